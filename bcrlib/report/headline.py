"""The headline: how much of the negative flip impact each method takes away, a task at a time, the paper's beside ours.

Means over the cells of a task: the paper's three updates, each at two levels (words and whole trees by their heads,
spans and whole frames), as its Tables 3 and 4 have them.  And the frontier: what a cut of negative flips costs or gains
in accuracy, by method and by the new model's weight.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bcrlib.experiments import counting
from bcrlib.experiments.choices import NEW_WEIGHTS
from bcrlib.experiments.paper_numbers import lookup, paper_numbers
from bcrlib.experiments.store import CorrectnessStore
from bcrlib.metrics.flips import Flips
from bcrlib.metrics.uncertainty import PairCounts, micro_average, resample
from bcrlib.report.candidate_sources import IN_PAPER, JOINED, SAMPLED
from bcrlib.report.regression import BOOTSTRAP_SEED, NUM_RESAMPLES, Counts
from bcrlib.report.style import (
    CHOSEN_MARK,
    INK,
    METHOD_COLOURS,
    in_paper,
    legend,
    method_colours,
    new_figure,
    paper_mark,
)
from bcrlib.report.tables import tidy

UNTREATED, LISTED = "Untreated", "BCR (listed)"
METHODS = ("Distillation", "Ensemble", SAMPLED, LISTED, JOINED)
CUT, CHANGE = "NFI cut", "ΔACC"
STRUCTURES = {"dependency": "trees", "semantic": "frames"}
_TABLES = {"dependency": "Table 3", "semantic": "Table 4"}

Cell = tuple[str, str]
"""An update and a level."""


def headline_rows(task: str, counts_of: Mapping[str, Counts], num_resamples: int = NUM_RESAMPLES) -> pd.DataFrame:
    """Of every method the relative cut of NFI, 1 - NFI / NFI untreated, and the change of ACC, with 95 % intervals.

    `counts_of`: {"deepbiaf=>stackptr": {level: {row: pairs}}}, as `regression.update_rows` takes them.  Cells that
    the paper does not have are left out, and so are those that the run does not have; the row of a method that is
    missing in some of the others says so.  All methods see the same resamples of sentences and models.
    O(cells methods resamples sentences pairs).
    """
    of_cell = _by_cell(task, counts_of)
    pairs = {(cell, row): of_row[row] for cell, of_row in of_cell.items() for row in of_row}
    draws = resample(pairs, num_resamples, np.random.default_rng(BOOTSTRAP_SEED))
    rows = []
    for method in METHODS:
        cells = [cell for cell in of_cell if method in of_cell[cell]]
        if not cells:
            continue
        name = method if len(cells) == len(of_cell) else f"{method}, {len(cells)} of {len(of_cell)} cells"
        values = _mean_changes([_flips(of_cell[cell], method) for cell in cells])
        drawn = _mean_changes([(draws[cell, UNTREATED], draws[cell, method]) for cell in cells])
        for metric, paper in paper_headline(task, method).items():
            low, high = np.nanquantile(drawn[metric], [0.025, 0.975])
            numbers = {"value": float(values[metric]), "low": float(low), "high": float(high), "paper": paper}
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
            flips[JOINED, weight].append(_flips({**of_row, JOINED: joined}, JOINED))
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
    wanted = {"table": _TABLES[task], "source": "paper", "method": UNTREATED}
    untreated = paper_numbers().query(" and ".join(f"{column} == {value!r}" for column, value in wanted.items()))
    return list(dict.fromkeys(zip(untreated["update"], untreated["level"])))


def _by_cell(task: str, counts_of: Mapping[str, Counts]) -> dict[Cell, dict[str, PairCounts]]:
    """The rows of each cell that both the paper and the run have; re-ranking of a list by one name for all parsers."""
    of_cell = {}
    for update, level in paper_cells(task):
        if level in counts_of.get(update, {}):
            of_row = counts_of[update][level]
            listed = [row for row in of_row if row.startswith("BCR (") and row not in (SAMPLED, JOINED)]
            named = {**of_row, LISTED: of_row[listed[0]]} if listed else of_row
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
    colours = method_colours(frame["row"].unique())
    figure = new_figure(8.6, 5.4, title)
    axes = figure.subplots()
    axes.axvline(0, color="#9CA3AF", linewidth=1)
    axes.axhline(0, color="#9CA3AF", linewidth=1)
    axes.plot(0, 0, marker="s", markersize=7, color=METHOD_COLOURS[UNTREATED])
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
    axes.margins(x=0.16, y=0.1)  # names stand beside points
    looks = {"ours": {"color": INK, "marker": "o", "markersize": 8, "linestyle": "none"}}
    looks |= in_paper(frame, "the paper's, in its method's colour")
    looks["by the new model's weight (numbers), explored on test"] = {"color": METHOD_COLOURS[JOINED], **_CURVE}
    if ((frame["row"] == JOINED) & frame["new_weight"].isna()).any():
        looks["weights chosen on dev"] = CHOSEN_MARK
    legend(figure, looks, 2)
    return figure


def _draw_curve(axes: Axes, curve: pd.DataFrame, colour: str) -> None:
    axes.plot(curve[CHANGE], curve[CUT], color=colour, zorder=2, **_CURVE)
    places = list(zip(curve[CHANGE], curve[CUT]))
    # On the left: the ring of the chosen weights is on the right.
    look = {"textcoords": "offset points", "size": 8.5, "color": INK, "ha": "right", "va": "top"}
    for weight, place in zip(curve.index, places):
        if weight in _WRITTEN:
            axes.annotate(f"{weight:g}", place, (-4, -3), **look)
    _name(axes, JOINED, places[len(places) // 5], _ON_THE_CURVE)  # where it is still high


def _draw_point(axes: Axes, method: str, point: pd.Series, colour: str) -> None:
    """A method's own point, or the ring of the chosen weights, and the paper's diamond."""
    place = point["value"][CHANGE], point["value"][CUT]
    axes.plot(*place, color=colour, marker="o", markersize=8, zorder=3)
    if method == JOINED:
        axes.plot(*place, zorder=4, **CHOSEN_MARK)
    else:
        _name(axes, method, place, _SIDES[method.split(",")[0]])
    if np.isfinite(point["paper"][CUT]):
        axes.plot(point["paper"][CHANGE], point["paper"][CUT], zorder=3, **paper_mark(colour))


def _name(axes: Axes, name: str, place: tuple[float, float], side: tuple[float, float, str]) -> None:
    *offset, alignment = side
    look = {"textcoords": "offset points", "va": "center", "ha": alignment, "color": INK, "zorder": 2.5}
    look["bbox"] = {"facecolor": "white", "edgecolor": "none", "pad": 0.5, "alpha": 0.75}  # over lines of the grid
    axes.annotate(name, place, offset, size=9.5, **look)
