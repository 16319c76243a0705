"""What a source of candidates offers, and what becomes of it, as tidy rows.

The rows of Tables 3 to 6, 8 and 9: what replaces an old model, under the name of its row, and its flips counted.

Figures on sources of candidates: cut-off distributions, flips out of and within reach, what diversity is worth.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from functools import partial

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from bcrlib.experiments import counting
from bcrlib.experiments.counting import Update
from bcrlib.experiments.diversity import measure, share_intervals
from bcrlib.experiments.store import CorrectnessStore
from bcrlib.metrics.uncertainty import Estimate, PairCounts, all_rate_intervals
from bcrlib.report.regression import BOOTSTRAP_SEED, NUM_RESAMPLES
from bcrlib.report.style import INTERVAL, LEVEL_NAMES, axis_label, method_colours, new_figure
from bcrlib.report.tables import arrow, tidy
from bcrlib.samplers.strategies import STRATEGIES, Nucleus, Strategy, TopK, parse_strategy

# Metric of the table -> who picks from the pool, and which rate of what is picked.
_PICKED = {
    "ACC own": (counting.own_choice, "acc_new"),
    "ACC oracle": (partial(counting.oracle, by="ACC"), "acc_new"),
    "NFR oracle": (partial(counting.oracle, by="NFR"), "nfr"),
    "ACC BCR": (counting.bcr, "acc_new"),
    "NFR BCR": (counting.bcr, "nfr"),
}
_UNITS = {"distinct trees": "a sentence"}

_Pools = Mapping[str, tuple[CorrectnessStore, str, str, Update, str]]
"""Row of the table -> what measures of pools ask for: store, preset, level, update, strategy."""
_Estimates = Mapping[tuple[str, str], Estimate]
"""By row and metric."""


def source_rows(
    store: CorrectnessStore,
    preset: str,
    levels: Sequence[str],
    update: Update,
    strategies: Mapping[str, str],
    num_candidates: int | None = None,
    num_resamples: int = NUM_RESAMPLES,
) -> pd.DataFrame:
    """What the pools of each strategy offer, and who picks what from them, with 95 % intervals.

    `strategies`: {row of the table: strategy}.  Metrics: the measures of `bcrlib.experiments.diversity.measure`;
    accuracy of the new model's own choice, of the best candidate (oracle) and of what the old model picks (BCR);
    negative flip rate of the safest candidate (oracle) and of BCR's.
    O(strategies resamples sentences pairs).
    """
    some = []
    for level in levels:
        pools = {row: (store, preset, level, update, strategy) for row, strategy in strategies.items()}
        some += [_rows(level, estimates(pools, num_candidates, num_resamples)) for estimates in (_measured, _picked)]
    return pd.concat(some, ignore_index=True).assign(group=str(update))


def strategy_rows(names: Iterable[str], chosen: str = "") -> dict[str, str]:
    """The rows of a table of these strategies, {row: strategy}: source by source, parameters ascending.

    A row is called as its strategy, the one `chosen` on dev with that remark.
    """
    ordered = sorted(map(parse_strategy, names), key=lambda s: (list(STRATEGIES).index(s.name), _parameter(s), str(s)))
    return {f"{s}, chosen on dev" if str(s) == chosen else str(s): str(s) for s in ordered}


def shown_strategies(names: Sequence[str], update: Update, dropout: str, k: int = 5, p: float = 0.95) -> dict[str, str]:
    """One strategy of each source by the source's name: what curves show where a table shows every parameter.

    The list of best trees, the top-k nearest to this k, the nucleus nearest to this p, and the dropout-p given.
    A source without strategies among `names` is left out.
    """
    parsed = [parse_strategy(name) for name in names]
    top_k = sorted((s for s in parsed if isinstance(s, TopK)), key=lambda s: abs(s.k - k))
    nucleus = sorted((s for s in parsed if isinstance(s, Nucleus)), key=lambda s: abs(s.p - p))
    shown = [counting.best_list(names, update), *map(str, top_k[:1]), *map(str, nucleus[:1]), dropout]
    return {source_of(name): name for name in shown if name in names}


def source_of(row: str) -> str:
    """ "top-k(k=5)" -> "top-k" """
    return row.split("(")[0]


def _parameter(strategy: Strategy) -> float:
    return next((float(getattr(strategy, name)) for name in ("width", "k", "p") if hasattr(strategy, name)), 0.0)


def _measured(pools: _Pools, num_candidates: int | None, num_resamples: int) -> _Estimates:
    shares = {
        (row, metric): share for row, pool in pools.items() for metric, share in measure(*pool, num_candidates).items()
    }
    return share_intervals(shares, num_resamples, np.random.default_rng(BOOTSTRAP_SEED))


def _picked(pools: _Pools, num_candidates: int | None, num_resamples: int) -> _Estimates:
    picked = {
        (row, metric): pick(*pool, num_candidates=num_candidates)
        for row, pool in pools.items()
        for metric, (pick, _) in _PICKED.items()
    }
    rates = all_rate_intervals(picked, num_resamples, np.random.default_rng(BOOTSTRAP_SEED))
    return {(row, metric): of_rate[_PICKED[metric][1]] for (row, metric), of_rate in rates.items()}


def _rows(level: str, estimates: _Estimates) -> pd.DataFrame:
    return pd.DataFrame(
        {"row": row, "level": level, "metric": metric, "unit": _UNITS.get(metric, "%"), **asdict(estimate)}
        for (row, metric), estimate in estimates.items()
    )


SAMPLED = "BCR (dropout-p)"
JOINED = "BCR (joined)"
IN_PAPER = {SAMPLED: ("BCR", {})} | {f"oracle {by}": ("oracle-re-ranker", {"reranker": by}) for by in ("NFR", "ACC")}
"""What the paper calls a row, for `tables.beside_paper`."""

Method = Callable[[CorrectnessStore, str, str, Update], PairCounts]
"""From a store, a preset, a level and an update to the flips, as the functions of `bcrlib.experiments.counting`."""


def listed_row(update: Update) -> str:
    """The name of re-ranking over the new parser's list of best structures: "BCR (k-best)" or "BCR (beam)"."""
    return f"BCR ({update.task.listed[update.new].partition('(')[0]})"


def rerankers(store: CorrectnessStore, update: Update) -> dict[str, Method]:
    """BCR over both main pools: sampled with the dropout rate chosen on dev for this update, and listed.

    And over both together, the new model having the say that was chosen on dev; runs from before have no such row.
    """
    strategies = {SAMPLED: counting.dropout_strategy(store, update)}
    strategies[listed_row(update)] = counting.listed_strategy(store, update)
    rows: dict[str, Method] = {row: partial(counting.bcr, strategy=name) for row, name in strategies.items()}
    if choice := counting.joined_choice(store, update):
        rows[JOINED] = partial(counting.bcr, strategy=choice[0], new_weight=choice[1])
    return rows


def methods(store: CorrectnessStore, update: Update) -> dict[str, Method]:
    """The methods of the paper's Tables 3, 4 and 8, and BCR over listed structures and joined pools."""
    plain = {name: getattr(counting, name.lower()) for name in ("Untreated", "Distillation", "Ensemble")}
    return plain | rerankers(store, update)


def pickers(store: CorrectnessStore, update: Update) -> dict[str, Method]:
    """Who may choose from the sampled pool: nobody, the new model, the old one, the oracles (paper, Tables 6 and 9)."""
    sampling = counting.dropout_strategy(store, update)
    models: dict[str, Method] = {"own choice": partial(counting.own_choice, strategy=sampling)}
    models[SAMPLED] = rerankers(store, update)[SAMPLED]
    oracles = {f"oracle {by}": partial(counting.oracle, strategy=sampling, by=by) for by in ("NFR", "ACC")}
    return {"Untreated": counting.untreated, **models, **oracles}


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
    """The flips of every row at these levels, by default all of the update's task, as `regression_rows` takes them."""
    chosen = update.task.levels if levels is None else levels
    return {level: {row: method(store, preset, level, update) for row, method in rows.items()} for level in chosen}


BEFORE, AFTER = "#D1D5DB", "#0173B2"
OUT_OF_REACH, WITHIN_REACH = "#7A7A7A", "#DE8F05"


def cut_distributions(
    outcomes: Sequence[str], original: np.ndarray, cut: Mapping[str, np.ndarray], title: str
) -> Figure:
    """The distribution over outcomes before (grey) and after each way of cutting it off or flattening it, a panel each.

    `original`, and every value of `cut`, are probabilities [outcome] that add up to 1; ValueError if not.
    """
    for name, probs in {"original": original, **cut}.items():
        if len(probs) != len(outcomes) or not np.isclose(np.sum(probs), 1):
            raise ValueError(f"{name}: no distribution over {len(outcomes)} outcomes")
    figure = new_figure(1.2 + 2.7 * len(cut), 3.6, title)
    places = np.arange(len(outcomes))
    for axes, (name, probs) in zip(figure.subplots(1, len(cut), squeeze=False, sharey=True)[0], cut.items()):
        axes.bar(places, original, width=0.85, color=BEFORE)
        axes.bar(places, probs, width=0.5, color=AFTER)
        axes.set_xticks(places, outcomes, rotation=60, ha="right", rotation_mode="anchor")
        axes.set_title(name, loc="left")
        axes.grid(False, axis="x")
    for axes in figure.axes:
        axes.set(xlabel="outcome", ylabel="probability")
    handles = [Patch(color=BEFORE, label="the model's own"), Patch(color=AFTER, label="what is drawn from")]
    figure.legend(handles=handles, loc="outside lower left", ncols=2, frameon=False)
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
    figure = new_figure(1.6 + 5.2 * len(groups), 1.8 + 0.36 * most, title)
    panels = figure.subplots(1, len(groups), squeeze=False, sharex=True)[0]
    for axes, group in zip(panels, groups):
        _reach(axes, frame[frame["group"] == group])
        axes.set_ylim(most - 1.4, -0.6)  # Untreated is no bar
        axes.set_xlabel(axis_label("NFR", level).replace("\n", " "))
        axes.set_title(arrow(group), loc="left")
    handles = [
        Patch(color=OUT_OF_REACH, label="in the safest candidates too"),
        Patch(color=WITHIN_REACH, label="on top: a safer candidate was there, another was picked"),
        Line2D([], [], color="black", linewidth=1.4, label=INTERVAL),
        Line2D([], [], color="#374151", linestyle="--", label="Untreated"),
    ]
    figure.legend(handles=handles, loc="outside lower left", ncols=2, frameon=False)
    return figure


def _reach(axes: Axes, cells: pd.DataFrame) -> None:
    picked = cells[cells["metric"] == "NFR BCR"].set_index("row")[["value", "low", "high"]] * 100
    axes.axvline(picked.loc["Untreated", "value"], color="#374151", linestyle="--", linewidth=1.4)
    picked = picked.drop(index="Untreated")
    fewest = 100 * cells[cells["metric"] == "NFR oracle"].set_index("row")["value"].reindex(picked.index)
    places = np.arange(len(picked))
    axes.barh(places, fewest, height=0.66, color=OUT_OF_REACH)
    axes.barh(places, picked["value"] - fewest, left=fewest, height=0.66, color=WITHIN_REACH)
    axes.hlines(places, picked["low"], picked["high"], color="black", linewidth=1.4)
    axes.set_yticks(places, picked.index)
    axes.set_xlim(left=0)
    axes.grid(False, axis="y")


def metrics_by_diversity(
    rows: pd.DataFrame,
    title: str,
    level: str = "UAS",
    metrics: Sequence[str] = ("ACC random", "ACC oracle", "NFR oracle", "NFR BCR"),
) -> Figure:
    """Each metric against the number of distinct trees a sentence: a point a strategy, a colour a source.

    `rows`: of `source_rows` for one update, rows named by their strategies.  The parameters of a source are joined in
    the order of their diversity; bars are intervals.
    """
    frame = tidy(rows)
    frame = frame[frame["level"] == level]
    wide = 100 * frame.pivot(index="row", columns="metric", values=["value", "low", "high"])
    num_distinct = (wide["value", "distinct trees"] / 100).sort_values()  # the one number that is no rate
    sources = list(dict.fromkeys(map(source_of, frame["row"])))
    colours = method_colours(sources)
    figure = new_figure(1.0 + 3.1 * len(metrics), 4.2, title)
    for axes, metric in zip(figure.subplots(1, len(metrics), squeeze=False)[0], metrics):
        for source in sources:
            x = num_distinct[num_distinct.index.map(source_of) == source]
            of_source = wide.loc[x.index]
            axes.plot(x, of_source["value", metric], color=colours[source], marker="o", markersize=5, linewidth=1.2)
            axes.vlines(x, of_source["low", metric], of_source["high", metric], color=colours[source])
        axes.set(xlabel="distinct trees a sentence", ylabel=f"{metric} (%)")
    figure.axes[0].set_title(LEVEL_NAMES[level], loc="left")
    handles = [Line2D([], [], color=colours[source], marker="o", markersize=5, label=source) for source in sources]
    handles.append(Line2D([], [], color="#374151", linewidth=1.2, label=f"vertical: {INTERVAL}"))
    figure.legend(handles=handles, loc="outside lower left", ncols=6, frameon=False)
    return figure
