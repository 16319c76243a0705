"""What many updates come to: the headline of a task, its frontier, and chains of updates; rows and figures.

The headline: how much of the negative flip impact each method takes away, as means over the cells of a task, the
updates and levels of the paper's Tables 3 and 4.  The frontier: what a cut of negative flips costs or gains in
accuracy.  Chains: every round of every way to re-rank, against what users had before.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from bcrlib.experiments import counting
from bcrlib.experiments.choices import NEW_WEIGHTS
from bcrlib.experiments.paper_numbers import lookup, paper_numbers
from bcrlib.experiments.rounds import AGAINST, Rounds
from bcrlib.experiments.store import CorrectnessStore
from bcrlib.metrics.flips import Flips
from bcrlib.metrics.uncertainty import PairCounts, all_rate_intervals, micro_average, resample
from bcrlib.report import figures
from bcrlib.report.candidate_sources import IN_PAPER, JOINED, SAMPLED
from bcrlib.report.regression import Counts, difference_rows, drawing, rate_row
from bcrlib.report.tables import MISSING, Grid, Record, arrow, markdown_table, tidy

UNTREATED, LISTED = "Untreated", "BCR (listed)"
METHODS = ("Distillation", "Ensemble", SAMPLED, LISTED, JOINED)
CUT, CHANGE = "NFI cut", "ΔACC"
STRUCTURES = {"dependency": "trees", "semantic": "frames"}
_TABLES = {"dependency": "Table 3", "semantic": "Table 4"}

Cell = tuple[str, str]
"""An update and a level."""


def by_gain(store: CorrectnessStore, preset: str) -> list[counting.Update]:
    """The updates of a store, the one whose accuracy rises most first: mean over the levels of its task.

    A story begins with the first: it is better on average, so that what it breaks is not for want of quality.
    """

    def gain(update: counting.Update) -> float:
        levels = update.task.levels
        totals = [micro_average(counting.untreated(store, preset, level, update).counts) for level in levels]
        return float(np.mean([total.acc_new - total.acc_old for total in totals]))

    return sorted(counting.updates(store), key=gain, reverse=True)


def headline_rows(task: str, counts_of: Mapping[str, Counts]) -> pd.DataFrame:
    """Of every method the relative cut of NFI, 1 - NFI / NFI untreated, and the change of ACC, with 95 % intervals.

    `counts_of`: {"deepbiaf=>stackptr": {level: {row: pairs}}}, as `regression.update_rows` takes them.  Cells that
    the paper does not have are left out, and so are those that the run does not have; the row of a method that is
    missing in some of the others says so.  All methods see the same resamples of sentences and lack the same models.
    O(cells methods resamples sentences).
    """
    of_cell = _by_cell(task, counts_of)
    pairs = {(cell, row): of_row[row] for cell, of_row in of_cell.items() for row in of_row}
    draws = resample(pairs, *drawing())
    rows = []
    for method in METHODS:
        cells = [cell for cell in of_cell if method in of_cell[cell]]
        if not cells:
            continue
        name = method if len(cells) == len(of_cell) else f"{method}, {len(cells)} of {len(of_cell)} cells"
        values = _mean_changes([_flips(of_cell[cell], method) for cell in cells])
        drawn = _mean_changes([(draws.flips[cell, UNTREATED], draws.flips[cell, method]) for cell in cells])
        for metric, paper in paper_headline(task, method).items():
            numbers = asdict(draws.interval(values[metric], drawn[metric])) | {"paper": paper}
            rows.append({"row": name, "level": STRUCTURES[task], "metric": metric, **numbers})
    return pd.DataFrame(rows)


def frontier_rows(
    task: str,
    store: CorrectnessStore,
    preset: str,
    counts_of: Mapping[str, Counts],
    weights: Sequence[float] = NEW_WEIGHTS,
) -> pd.DataFrame:
    """What a cut of NFI costs or gains in ACC: every method, and BCR over joined pools at every weight.

    `headline_rows` without intervals, with the column new_weight: NaN for methods, whose joined pools have the weights
    chosen on dev, if any.  `counts_of`: as there.  O(weights cells pairs (candidates sentences + units)).
    """
    of_cell = _by_cell(task, counts_of)
    flips = {
        (method, float("nan")): [_flips(of_row, method) for of_row in of_cell.values() if method in of_row]
        for method in METHODS
    }
    for weight in weights:
        flips[JOINED, weight] = []
        for (name, level), of_row in of_cell.items():
            update = counting.parse_update(name)
            pool = counting.joined_strategy(store, update, counting.dropout_strategy(store, update))
            joined = counting.bcr(store, preset, level, update, pool, new_weight=weight)
            flips[JOINED, weight].append(_flips({UNTREATED: of_row[UNTREATED], JOINED: joined}, JOINED))
    return pd.DataFrame(
        {"row": row, "level": STRUCTURES[task], "metric": metric, "value": float(value), "new_weight": weight}
        | {"paper": paper_headline(task, row)[metric]}
        for (row, weight), cells in flips.items()
        if cells
        for metric, value in _mean_changes(cells).items()
    )


def paper_headline(task: str, method: str) -> dict[str, float]:
    """The paper's cut and change of a method, from the numbers of its table; nan for one that it does not have."""
    called = IN_PAPER.get(method, (method, {}))[0]

    def numbers(row: str, metric: str) -> np.ndarray:
        found = [lookup(_TABLES[task], update, row, level, metric) for update, level in paper_cells(task)]
        return np.array(found, dtype=float)  # None becomes nan

    cut = 1 - numbers(called, "NFI") / numbers(UNTREATED, "NFI")
    change = numbers(called, "ACC") - numbers(UNTREATED, "ACC")
    return {CUT: float(cut.mean()), CHANGE: float(change.mean())}


def paper_cells(task: str) -> list[Cell]:
    """The updates and levels of the paper's table of a task, in its order."""
    rows = paper_numbers()
    untreated = rows[rows["table"].eq(_TABLES[task]) & rows["source"].eq("paper") & rows["method"].eq(UNTREATED)]
    return list(dict.fromkeys(zip(untreated["update"], untreated["level"])))


def short_name(row: str) -> str:
    """What a row is called where parsers stand together: the lists of all have one name, "BCR (listed)"."""
    return LISTED if row.startswith("BCR (") and row not in (SAMPLED, JOINED) else row


def _by_cell(task: str, counts_of: Mapping[str, Counts]) -> dict[Cell, dict[str, PairCounts]]:
    """The rows of each cell that both the paper and the run have; re-ranking of a list by one name for all parsers."""
    of_cell = {}
    for update, level in paper_cells(task):
        if level in counts_of.get(update, {}):
            of_row = counts_of[update][level]
            named = {short_name(row): counts for row, counts in of_row.items()}
            of_cell[update, level] = {row: named[row] for row in (UNTREATED, *METHODS) if row in named}
    return of_cell


def _flips(of_row: Mapping[str, PairCounts], method: str) -> tuple[Flips, Flips]:
    """Untreated, and by the method."""
    return micro_average(of_row[UNTREATED].counts), micro_average(of_row[method].counts)


def _mean_changes(cells: Sequence[tuple[Flips, Flips]]) -> dict[str, np.ndarray]:
    """Means over cells of (untreated, treated): numbers, or arrays of resamples.

    Where an update breaks nothing there is nothing to cut, and the cell does not count for the cut.
    """
    before, after = (np.array([flips.nfi for flips in side], dtype=float) for side in zip(*cells))
    known = before > 0
    cut = np.where(known, 1 - after / np.where(known, before, 1), 0).sum(axis=0)
    change = np.array([treated.acc_new - untreated.acc_new for untreated, treated in cells])
    return {CUT: cut / np.where(known.any(axis=0), known.sum(axis=0), np.nan), CHANGE: change.mean(axis=0)}


def headline_table(record: Record, intervals: bool = False) -> str:
    """The cut of NFI of every method as a Markdown table, the paper's in brackets or ours with its interval; ΔACC.

    `record`: of `headline_rows`, of one task or both.
    """
    grid = Grid(record)
    columns = ("ours [95 %]", "ΔACC [95 %]") if intervals else ("ours (the paper)", "ΔACC")
    rows = [["NFI taken away, %", *(f"{level}: {column}" for level in grid.levels for column in columns)]]
    for group, method in grid.lines:
        rows.append([method])
        for level in grid.levels:
            cut, change = (grid.cells.get((group, method, level, metric)) for metric in (CUT, CHANGE))
            if cut is None or change is None:
                rows[-1] += [MISSING] * 2
                continue
            behind = "" if cut["paper"] is None else f" ({100 * cut['paper']:.1f})"
            numbers = [f"**{100 * cut['value']:.1f}**{behind}", f"{100 * change['value']:+.2f}"]
            if intervals:
                numbers[0] = f"{100 * cut['value']:.1f} [{100 * cut['low']:.1f}, {100 * cut['high']:.1f}]"
                numbers[1] += f" [{100 * change['low']:+.2f}, {100 * change['high']:+.2f}]"
            rows[-1] += numbers
    return markdown_table(rows, "l" + "rr" * len(grid.levels))


def changes_table(record: Record) -> str:
    """What every method changes against Untreated, over the updates and levels of Table 3 or 4: least and most."""
    frame = pd.DataFrame(record.rows)
    frame["row"] = frame["row"].map(short_name)
    wide = frame.pivot(index=["group", "level"], columns=["metric", "row"], values="value")
    left, gained = wide["NFR"].div(wide["NFR"][UNTREATED], axis=0), wide["ACC"].sub(wide["ACC"][UNTREATED], axis=0)
    rows = [["method", "fewer items break in", "share of broken items left, %", "change of accuracy, points"]]
    for method in [row for row in frame["row"].unique() if row in left and row != UNTREATED]:
        shares, changes = 100 * left[method], 100 * gained[method]
        fewer = f"{(shares < 100).sum()} of {shares.count()} cells"
        span = f"{changes.min():+.2f} to {changes.max():+.2f}"
        rows.append([method, fewer, f"{shares.min():.0f} to {shares.max():.0f}", span])
    return markdown_table(rows, "lrrr")


_WRITTEN = (0.0, 0.1, 0.25, 0.5, 1.0)
"""Weights that stand beside their points; all of them would cover the curve."""
_BELOW, _ON_THE_CURVE = (0, -14, "center"), (14, 18, "left")
_SIDES = {UNTREATED: _BELOW, "Distillation": (9, 0, "left"), "Ensemble": _BELOW, SAMPLED: _BELOW}
_SIDES[LISTED] = (-9, 0, "right")
"""Where names stand: off the curve, which falls from the upper left to the right."""
_CURVE = {"marker": "o", "markersize": 4.5, "linewidth": 2}


def frontier(rows: pd.DataFrame, title: str) -> Figure:
    """The cut of NFI against the change of accuracy: a point a method, a curve for joined pools; best is upper right.

    `rows`: of `frontier_rows`, of one task. Points on the curve are weights of the new model's own log-probability,
    from 0 (the old model alone picks) on; a ring is the joined pool with the weights chosen on dev, each update its
    own, so that it need not lie on the curve. Diamonds are the paper's.
    """
    frame = tidy(rows, extra=("new_weight",))
    points = 100 * frame.pivot(index=["row", "new_weight"], columns="metric", values=["value", "paper"])
    colours = figures.method_colours(frame["row"].unique())
    figure = figures.new_figure(8.6, 5.4, title)
    axes = figure.subplots()
    axes.axvline(0, color="#9CA3AF", linewidth=1)
    axes.axhline(0, color="#9CA3AF", linewidth=1)
    axes.plot(0, 0, marker="s", markersize=7, color=figures.METHOD_COLOURS[UNTREATED])
    _name(axes, UNTREATED, (0, 0), _SIDES[UNTREATED])
    for method, colour in colours.items():
        of_method = points.loc[method].sort_index()
        curve = of_method[of_method.index.notna()]["value"]
        if not curve.empty:
            _draw_curve(axes, curve, colour)
        for _, point in of_method[of_method.index.isna()].iterrows():
            _draw_point(axes, method, point, colour)
    axes.set(
        xlabel="change of accuracy, percentage points (right: more accurate than the plain update)",
        ylabel="cut of the negative flip impact, per cent\n(up: fewer new errors among the errors)",
    )
    axes.margins(x=0.16, y=0.16)  # names stand beside points
    looks = {"ours": {"color": figures.INK, "marker": "o", "markersize": 8, "linestyle": "none"}}
    looks |= figures.in_paper(frame, "the paper's, in its method's colour")
    looks["by the new model's weight (numbers), explored on test"] = {"color": figures.METHOD_COLOURS[JOINED], **_CURVE}
    if ((frame["row"] == JOINED) & frame["new_weight"].isna()).any():
        looks["weights chosen on dev"] = figures.CHOSEN_MARK
    figures.legend(figure, looks, 2)
    return figure


def _draw_curve(axes: Axes, curve: pd.DataFrame, colour: str) -> None:
    axes.plot(curve[CHANGE], curve[CUT], color=colour, zorder=2, **_CURVE)
    places = list(zip(curve[CHANGE], curve[CUT]))
    # On the left: the ring of the chosen weights is on the right.
    look = {"textcoords": "offset points", "size": 8.5, "color": figures.INK, "ha": "right", "va": "top", "zorder": 5}
    for weight, place in zip(curve.index, places):
        if weight in _WRITTEN:
            axes.annotate(f"{weight:g}", place, (-4, -3), **look)
    _name(axes, JOINED, places[len(places) // 5], _ON_THE_CURVE)  # where it is still high


def _draw_point(axes: Axes, method: str, point: pd.Series, colour: str) -> None:
    """A method's own point, or the ring of the chosen weights, and the paper's diamond."""
    place = point["value"][CHANGE], point["value"][CUT]
    axes.plot(*place, color=colour, marker="o", markersize=8, zorder=3)
    if method == JOINED:
        axes.plot(*place, zorder=4, **figures.CHOSEN_MARK)
    else:
        _name(axes, method, place, _SIDES[method.split(",")[0]])
    if np.isfinite(point["paper"][CUT]):
        axes.plot(point["paper"][CHANGE], point["paper"][CUT], zorder=3, **figures.paper_mark(colour))


def _name(axes: Axes, name: str, place: tuple[float, float], side: tuple[float, float, str]) -> None:
    *offset, alignment = side
    look = {"textcoords": "offset points", "va": "center", "ha": alignment, "color": figures.INK, "zorder": 2.5}
    look["bbox"] = {"facecolor": "white", "edgecolor": "none", "pad": 0.5, "alpha": 0.75}  # over lines of the grid
    axes.annotate(name, place, offset, size=9.5, **look)


NFR_AGAINST = {"before": "NFR", "first": "NFR to first", "any": "NFR to any"}
"""What the negative flip rate is called in tables, by what a round is compared with (bcrlib.experiments.rounds)."""

RoundCounts = Mapping[str, Mapping[str, Rounds]]
"""By level and row: {"UAS": {"Untreated": rounds, "BCR (last 1)": rounds}}."""


def round_rows(counts: RoundCounts, group: str = "") -> pd.DataFrame:
    """Every rate of every round with its 95 % interval, in the column round: 0, 1, 2, ...

    Metrics: ACC; NFR and NFI against the round before; NFR to first; NFR to any.  Round 0 has only ACC, that of the old
    models.  The intervals are over sentences and old models.  O(rows rounds resamples sentences).
    """
    pairs = {
        (number, against, level, row): of_round
        for level, rows in counts.items()
        for row, rounds in rows.items()
        for against in AGAINST
        for number, of_round in enumerate(rounds[against], start=1)
    }
    found = []
    for (number, against, level, row), of_rate in all_rate_intervals(pairs, *drawing()).items():
        metrics = {NFR_AGAINST[against]: "nfr"}
        if against == "before":
            metrics = {"ACC": "acc_new", **metrics, "NFI": "nfi"}
        if (number, against) == (1, "first"):
            found.append(rate_row(group, row, level, "ACC", of_rate["acc_old"], {"round": 0.0}))
        of_round = {"round": float(number)}
        found += [rate_row(group, row, level, metric, of_rate[rate], of_round) for metric, rate in metrics.items()]
    return pd.DataFrame(found)


def last_round(rows: pd.DataFrame) -> pd.DataFrame:
    """Of `round_rows`, the last round alone, as a table takes it."""
    return rows[rows["round"] == rows["round"].max()].drop(columns="round").reset_index(drop=True)


def last_round_differences(counts: RoundCounts, baseline: str, group: str = "") -> pd.DataFrame:
    """NFR of every row minus that of the row `baseline` in the last round, "ΔNFR to any" and so on."""
    found = []
    for level, rows in counts.items():
        for against in AGAINST:
            last = {level: {row: rounds[against][-1] for row, rounds in rows.items()}}
            differences = difference_rows(last, baseline, group, metrics=["NFR"])
            found.append(differences.assign(metric=f"Δ{NFR_AGAINST[against]}"))
    return pd.concat(found, ignore_index=True)


_MEANING = {
    "NFR": "right in the round before,\nwrong now",
    "NFR to first": "right in round 0,\nwrong now",
    "NFR to any": "right in some earlier round,\nwrong now",
}
_DODGE = 0.05  # between the lines of one panel, in rounds, so that intervals do not hide each other


def metric_by_round(
    rows: pd.DataFrame, title: str, level: str = "UAS", metrics: Sequence[str] = ("ACC", *_MEANING)
) -> Figure:
    """Each metric over the rounds of a level, a line a method, a line of panels a group; bars are intervals.

    `rows`: of `round_rows`, possibly of several groups one below the other.  Flip rates start at 0.
    """
    frame = tidy(rows, extra=("round",))
    frame = frame[(frame["level"] == level) & frame["metric"].isin(metrics)]
    groups, colours = frame["group"].unique(), figures.method_colours(frame["row"].unique())
    looks = {
        method: {"color": colour, "marker": "o", "markersize": 4.5, "linestyle": "--" if method == "Untreated" else "-"}
        for method, colour in colours.items()
    }
    size = 1.0 + 2.9 * len(metrics), 1.9 + 2.3 * len(groups)
    figure, areas = figures.panels(size, title, groups, metrics)
    unit = figures.axis_label("ACC", level).split("\n")[1]
    for (group, metric), axes in areas.items():
        cells = frame[(frame["group"] == group) & (frame["metric"] == metric)]
        for place, (method, look) in enumerate(looks.items()):
            of_method = cells[cells["row"] == method].sort_values("round")
            rounds = of_method["round"] + _DODGE * (place - (len(looks) - 1) / 2)
            axes.plot(rounds, 100 * of_method["value"], linewidth=1.8, **look)
            low, high = 100 * of_method["low"], 100 * of_method["high"]
            axes.vlines(rounds, low, high, color=look["color"], linewidth=1.2)
        of_group = arrow(group).split(", ") if metric == metrics[0] else []
        axes.set(xlabel="round", ylabel="\n".join([*of_group, f"{metric} {unit}"]))
        axes.set(ylim=(0, None) if metric in _MEANING else None)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        if group == groups[0]:
            axes.set_title(_MEANING.get(metric, figures.LEVEL_NAMES[level].replace(", ", ",\n")))
    figures.legend(figure, looks | figures.VERTICAL_INTERVALS)
    return figure
