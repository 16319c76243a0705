"""Sources of candidates: what a pool offers, who picks what from it, what is left of the flips (Tables 3 to 9)."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from importlib.util import find_spec

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from bcrlib.experiments import counting
from bcrlib.experiments.counting import Update
from bcrlib.experiments.store import CorrectnessStore
from bcrlib.metrics.uncertainty import PairCounts, all_rate_intervals, micro_average, share_intervals
from bcrlib.report import figures
from bcrlib.report.regression import drawing
from bcrlib.report.tables import arrow, tidy
from bcrlib.samplers.strategies import STRATEGIES, Nucleus, Strategy, TopK, parse_strategy

SAMPLED = "BCR (dropout-p)"
JOINED = "BCR (joined)"
IN_PAPER = {SAMPLED: ("BCR", {})} | {f"oracle {by}": ("oracle-re-ranker", {"reranker": by}) for by in ("NFR", "ACC")}
"""What the paper calls a row, for `tables.beside_paper`."""

Method = Callable[[CorrectnessStore, str, str, Update], PairCounts]
"""From a store, a preset, a level and an update to the flips, as the functions of `bcrlib.experiments.counting`."""


def listed_row(update: Update) -> str:
    """The name of re-ranking over the new parser's list of best structures: "BCR (k-best)" or "BCR (beam)"."""
    return f"BCR ({source_of(update.task.listed[update.new])})"


def rerankers(store: CorrectnessStore, update: Update) -> dict[str, Method]:
    """BCR over both main pools: sampled with the dropout rate chosen on dev for this update, and listed.

    And over both together, the new model having the say that was chosen on dev; runs from before have no such row.
    """
    pools = {
        SAMPLED: counting.dropout_strategy(store, update),
        listed_row(update): counting.listed_strategy(store, update),
    }
    rows: dict[str, Method] = {row: partial(counting.bcr, strategy=strategy) for row, strategy in pools.items()}
    if choice := counting.joined_choice(store, update):
        rows[JOINED] = partial(counting.bcr, strategy=choice[0], new_weight=choice[1])
    return rows


def methods(store: CorrectnessStore, update: Update) -> dict[str, Method]:
    """The methods of the paper's Tables 3, 4 and 8, and BCR over listed structures and joined pools."""
    plain = {"Untreated": counting.untreated, "Distillation": counting.distillation, "Ensemble": counting.ensemble}
    return plain | rerankers(store, update)


def pickers(store: CorrectnessStore, update: Update) -> dict[str, Method]:
    """Who may choose from the sampled pool: nobody, the new model, the old one, the oracles (paper, Tables 6 and 9)."""
    sampling = counting.dropout_strategy(store, update)
    models = {"own choice": counting.own_choice, SAMPLED: counting.bcr}
    oracles = {f"oracle {by}": partial(counting.oracle, by=by) for by in ("NFR", "ACC")}
    picking = {row: partial(pick, strategy=sampling) for row, pick in (models | oracles).items()}
    return {"Untreated": counting.untreated, **picking}


def sources(store: CorrectnessStore, update: Update) -> dict[str, Method]:
    """BCR over what every strategy proposes, rows named as by `strategy_rows` (paper, Table 5)."""
    rows = strategy_rows(counting.strategies(store, update.new), counting.dropout_strategy(store, update))
    return {row: partial(counting.bcr, strategy=strategy) for row, strategy in rows.items()}


def by_score(store: CorrectnessStore, update: Update, rows: Mapping[str, str]) -> dict[str, Method]:
    """BCR of strategies, {row: strategy}, by the sum and by the mean a token, where the store can tell that."""
    names = {"sum": "sum", "mean": "mean a token"}
    return {
        f"{row}, {names[score]}": partial(counting.bcr, strategy=strategy, score=score)
        for row, strategy in rows.items()
        for score in counting.scores_of(store, update, strategy)
    }


def count(
    store: CorrectnessStore,
    preset: str,
    update: Update,
    rows: Mapping[str, Method],
    levels: Iterable[str] | None = None,
) -> dict[str, dict[str, PairCounts]]:
    """The flips of every row at these levels, by default all of the update's task, as `regression` takes them."""
    chosen = update.task.levels if levels is None else levels
    return {level: {row: method(store, preset, level, update) for row, method in rows.items()} for level in chosen}


def source_of(row: str) -> str:
    """ "top-k(k=5)" -> "top-k" """
    return row.partition("(")[0]


def strategy_rows(names: Iterable[str], chosen: str = "") -> dict[str, str]:
    """The rows of a table of these strategies, {row: strategy}: source by source, parameters ascending.

    A row is called as its strategy, the one `chosen` on dev with that remark.
    """
    names_in_order = list(STRATEGIES)

    def place(strategy: Strategy) -> tuple[int, float, str]:
        numbers = [getattr(strategy, parameter, None) for parameter in ("width", "k", "p")]
        return names_in_order.index(strategy.name), next((n for n in numbers if n is not None), 0), str(strategy)

    ordered = map(str, sorted(map(parse_strategy, names), key=place))
    return {f"{name}, chosen on dev" if name == chosen else name: name for name in ordered}


def shown_strategies(names: Sequence[str], update: Update, dropout: str) -> dict[str, str]:
    """One strategy of each source by the source's name: what curves show where a table shows every parameter.

    The list of best trees, the top-k nearest to k = 5, the nucleus nearest to p = 0.95, and the dropout-p given.
    A source without strategies among `names` is left out.
    """
    parsed = [parse_strategy(name) for name in names]
    top_k = sorted((s for s in parsed if isinstance(s, TopK)), key=lambda s: abs(s.k - 5))
    nucleus = sorted((s for s in parsed if isinstance(s, Nucleus)), key=lambda s: abs(s.p - 0.95))
    shown = [counting.best_list(names, update), *map(str, top_k[:1]), *map(str, nucleus[:1]), dropout]
    return {source_of(name): name for name in shown if name in names}


# Metric of the table -> who picks from the pool, and which rate of what is picked.
_PICKED = {
    "ACC own": (counting.own_choice, "acc_new"),
    "ACC oracle": (partial(counting.oracle, by="ACC"), "acc_new"),
    "NFR oracle": (partial(counting.oracle, by="NFR"), "nfr"),
    "ACC BCR": (counting.bcr, "acc_new"),
    "NFR BCR": (counting.bcr, "nfr"),
}


def source_rows(
    store: CorrectnessStore,
    preset: str,
    levels: Sequence[str],
    update: Update,
    strategies: Mapping[str, str],
    num_candidates: int | None = None,
) -> pd.DataFrame:
    """What the pools of each strategy offer, and who picks what from them, with 95 % intervals.

    `strategies`: {row of the table: strategy}.  Metrics: the measures of `bcrlib.experiments.counting.offered`;
    accuracy of the new model's own choice, of the best candidate (oracle) and of what the old model picks (BCR);
    negative flip rate of the safest candidate (oracle) and of BCR's.
    O(strategies resamples sentences).
    """
    rows = []
    for level in levels:
        shares, picked = {}, {}
        for row, strategy in strategies.items():
            pool = (store, preset, level, update, strategy)
            shares |= {(row, metric): share for metric, share in counting.offered(*pool, num_candidates).items()}
            for metric, (pick, _) in _PICKED.items():
                picked[row, metric] = pick(*pool, num_candidates=num_candidates)
        measured, rates = share_intervals(shares, *drawing()), all_rate_intervals(picked, *drawing())
        measured |= {(row, metric): of_rate[_PICKED[metric][1]] for (row, metric), of_rate in rates.items()}
        for (row, metric), estimate in measured.items():
            unit = "a sentence" if metric == "distinct trees" else "%"
            rows.append({"row": row, "level": level, "metric": metric, "unit": unit, **asdict(estimate)})
    return pd.DataFrame(rows).assign(group=str(update))


_BEFORE, _AFTER, _OUT_OF_REACH, _WITHIN_REACH = (
    {"facecolor": colour, "edgecolor": colour} for colour in ("#D1D5DB", "#0173B2", "#7A7A7A", "#DE8F05")
)


def cut_distributions(
    outcomes: Sequence[str], original: np.ndarray, cut: Mapping[str, np.ndarray], title: str
) -> Figure:
    """The distribution over outcomes before (grey) and after each way of cutting it off or flattening it, a panel each.

    `original`, and every value of `cut`, are probabilities [outcome] that add up to 1; ValueError if not.
    """
    for name, probs in {"original": original, **cut}.items():
        if len(probs) != len(outcomes) or not np.isclose(np.sum(probs), 1):
            raise ValueError(f"{name}: no distribution over {len(outcomes)} outcomes")
    figure, areas = figures.panels((1.2 + 2.7 * len(cut), 3.6), title, [""], list(cut), sharey=True)
    places = np.arange(len(outcomes))
    for (_, name), axes in areas.items():
        axes.bar(places, original, width=0.85, color=_BEFORE["facecolor"])
        axes.bar(places, cut[name], width=0.5, color=_AFTER["facecolor"])
        axes.set_xticks(places, outcomes, rotation=60, ha="right", rotation_mode="anchor")
        axes.grid(False, axis="x")
        axes.set(title=name, xlabel="outcome", ylabel="probability")
    figures.legend(figure, {"the model's own": _BEFORE, "what is drawn from": _AFTER}, 2)
    return figure


def flips_within_reach(rows: pd.DataFrame, title: str, level: str = "UAS") -> Figure:
    """Negative flips after BCR by source: as many as even the safest candidates have, and the rest, picked on top.

    The safest candidate of a sentence is the one with the fewest (the oracle by NFR).  `rows`: of `source_rows` for one
    or several updates, a panel each, plus rows "Untreated" of the metric NFR BCR (a dashed line).  The interval is that
    of the whole bar.
    """
    frame = tidy(rows)
    frame = frame[(frame["level"] == level) & frame["metric"].isin(["NFR oracle", "NFR BCR"])]
    groups = frame["group"].unique()
    most = frame.groupby("group")["row"].nunique().max()
    untreated = {"color": figures.INK, "linestyle": "--"}
    reach = 100 * frame.loc[frame["metric"] == "NFR BCR", ["value", "high"]].max().max()
    figure, areas = figures.panels((1.6 + 5.2 * len(groups), 1.8 + 0.36 * most), title, [""], groups)
    for (_, group), axes in areas.items():
        cells = frame[frame["group"] == group]
        picked = 100 * cells[cells["metric"] == "NFR BCR"].set_index("row")[["value", "low", "high"]]
        axes.axvline(picked.loc["Untreated", "value"], linewidth=1.4, **untreated)
        picked = picked.drop(index="Untreated")
        fewest = 100 * cells[cells["metric"] == "NFR oracle"].set_index("row")["value"].reindex(picked.index)
        places, rest = np.arange(len(picked)), picked["value"] - fewest
        axes.barh(places, fewest, height=0.66, color=_OUT_OF_REACH["facecolor"])
        axes.barh(places, rest, left=fewest, height=0.66, color=_WITHIN_REACH["facecolor"])
        axes.hlines(places, picked["low"], picked["high"], **figures.INTERVALS[figures.INTERVAL])
        axes.set_yticks(places, picked.index)
        axes.grid(False, axis="y")
        axes.set(title=arrow(group), xlabel=figures.axis_label("NFR", level, on_one_line=True))
        # One scale for all panels, with room for Untreated, which is a line and not a bar, and every interval.
        axes.set(xlim=(0, 1.05 * reach), ylim=(most - 1.4, -0.6))
    looks = {
        "in the safest candidates too": _OUT_OF_REACH,
        "on top: a safer candidate was there, another was picked": _WITHIN_REACH,
    }
    figures.legend(figure, looks | figures.INTERVALS | {"Untreated": untreated}, 2)
    return figure


def metrics_by_diversity(rows: pd.DataFrame, title: str) -> Figure:
    """What can be and what is picked, against the number of distinct trees: a point a strategy, a colour a source.

    `rows`: of `source_rows` for one update, of words (UAS), named by their strategies.  The parameters of a source are
    joined in the order of their diversity; bars are intervals.
    """
    frame = tidy(rows)
    frame = frame[frame["level"] == "UAS"]
    wide = frame.pivot(index="row", columns="metric", values=["value", "low", "high"])
    num_distinct = wide["value", "distinct trees"].sort_values()  # the one number that is not a rate
    metrics = ("ACC random", "ACC oracle", "NFR oracle", "NFR BCR")
    colours = figures.method_colours(frame["row"].map(source_of).unique())
    figure, areas = figures.panels((1.0 + 3.1 * len(metrics), 4.2), title, [""], metrics)
    for (_, metric), axes in areas.items():
        for source, colour in colours.items():
            x = num_distinct[num_distinct.index.map(source_of) == source]
            of_source = 100 * wide.loc[x.index]
            axes.plot(x, of_source["value", metric], color=colour, marker="o", markersize=5, linewidth=1.2)
            axes.vlines(x, of_source["low", metric], of_source["high", metric], color=colour)
        axes.set(xlabel="distinct trees per sentence", ylabel=figures.axis_label(metric, "UAS"))
    figure.axes[0].set_title(figures.LEVEL_NAMES["UAS"])
    looks = {source: {"color": colour, "marker": "o", "markersize": 5} for source, colour in colours.items()}
    figures.legend(figure, looks | figures.VERTICAL_INTERVALS)
    return figure


# What a reader may turn in a notebook: the re-ranking of a stored pool under other choices, counted at once.


def pool_rates(
    store: CorrectnessStore, preset: str, update: Update, strategy: str, num_candidates: int, new_weight: float = 0.0
) -> pd.DataFrame:
    """Rates in [0, 1] of an update as it is and re-ranked: rows (level, method), columns ACC, NFR and NFI.

    Micro-averages over all pairs of an old and a new model (paper, Tables 3 and 4). BCR picks from the first
    `num_candidates` of each pool, with the new model's log-probability weighted by `new_weight`. ValueError for a
    strategy that is not stored and for fewer candidates than one.  O(pairs candidates units).
    """
    stored = counting.strategies(store, update.new)
    if strategy not in stored:
        raise ValueError(f"{update}: no pool by {strategy!r} is stored; choose one of {', '.join(stored)}")
    if num_candidates < 1:
        raise ValueError(f"{update}: {num_candidates} candidates leave nothing to pick")
    choices = {"strategy": strategy, "num_candidates": num_candidates, "new_weight": new_weight}
    counted = count(store, preset, update, {"Untreated": counting.untreated, "BCR": partial(counting.bcr, **choices)})
    flips = {(level, m): micro_average(pairs.counts) for level, of in counted.items() for m, pairs in of.items()}
    rows = {cell: {"ACC": found.acc_new, "NFR": found.nfr, "NFI": found.nfi} for cell, found in flips.items()}
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis(["level", "method"])


def explore(look: Callable[..., None], choices: Mapping[str, object]) -> None:
    """Sliders and menus over `look` for a person; for a program that runs the notebook one look at its defaults.

    So committed outputs are text and equal from run to run.  choices: the name of each parameter of `look` and what
    `ipywidgets.interact` makes a control of, a range or a list.
    """
    if a_person_is_here() and find_spec("ipywidgets"):
        from ipywidgets import interact

        interact(look, **choices)
    else:
        look()


def a_person_is_here() -> bool:
    """Whether the running cell was sent by a front end that could ask its user for input, as JupyterLab's could.

    Programs that run notebooks say with each cell that nobody is there to be asked.
    """
    from IPython import get_ipython

    kernel = getattr(get_ipython(), "kernel", None)
    return kernel is not None and bool(kernel.get_parent().get("content", {}).get("allow_stdin", False))
