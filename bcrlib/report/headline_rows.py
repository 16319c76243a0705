"""The headline: how much of the negative flip impact each method takes away, a task at a time, the paper's beside ours.

Means over the cells of a task: the paper's three updates, each at two levels (words and whole trees by their heads,
spans and whole frames), as its Tables 3 and 4 have them.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from bcrlib import experiments
from bcrlib.choices import NEW_WEIGHTS
from bcrlib.correctness import CorrectnessStore
from bcrlib.metrics.flips import Flips
from bcrlib.metrics.uncertainty import PairCounts, micro_average, resample
from bcrlib.report.method_counts import IN_PAPER, JOINED, SAMPLED
from bcrlib.report.paper_numbers import lookup, paper_numbers
from bcrlib.report.regression_rows import BOOTSTRAP_SEED, NUM_RESAMPLES, Counts

UNTREATED, LISTED = "Untreated", "BCR (listed)"
METHODS = ("Distillation", "Ensemble", SAMPLED, LISTED, JOINED)
CUT, CHANGE = "NFI cut", "ΔACC"
STRUCTURES = {"dependency": "trees", "semantic": "frames"}
_TABLES = {"dependency": "Table 3", "semantic": "Table 4"}

Cell = tuple[str, str]
"""An update and a level."""


def headline_rows(task: str, counts_of: Mapping[str, Counts], num_resamples: int = NUM_RESAMPLES) -> pd.DataFrame:
    """Of every method the relative cut of NFI, 1 - NFI / NFI untreated, and the change of ACC, with 95 % intervals.

    `counts_of`: {"deepbiaf=>stackptr": {level: {row: pairs}}}, as `regression_rows.update_rows` takes them.  Cells that
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
        values = _mean_changes([_flips(of_cell[cell], method) for cell in cells])
        drawn = _mean_changes([(draws[cell, UNTREATED], draws[cell, method]) for cell in cells])
        for metric, paper in paper_headline(task, method).items():
            low, high = np.nanquantile(drawn[metric], [0.025, 0.975])
            numbers = {"value": float(values[metric]), "low": float(low), "high": float(high), "paper": paper}
            name = method if len(cells) == len(of_cell) else f"{method}, {len(cells)} of {len(of_cell)} cells"
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
    changes = {}
    for method in METHODS:
        if cells := [_flips(of_row, method) for of_row in of_cell.values() if method in of_row]:
            changes[method, float("nan")] = _mean_changes(cells)
    for weight in weights:
        joined = {cell: {**of_row, JOINED: _joined(store, preset, cell, weight)} for cell, of_row in of_cell.items()}
        changes[JOINED, weight] = _mean_changes([_flips(of_row, JOINED) for of_row in joined.values()])
    return pd.DataFrame(
        {"row": row, "level": STRUCTURES[task], "metric": metric, "value": float(value), "new_weight": weight}
        | {"paper": paper_headline(task, row)[metric]}
        for (row, weight), of_metric in changes.items()
        for metric, value in of_metric.items()
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
    numbers = paper_numbers()
    of_table = numbers[(numbers["table"] == _TABLES[task]) & (numbers["source"] == "paper")]
    untreated = of_table[of_table["method"] == UNTREATED]
    return list(dict.fromkeys(zip(untreated["update"], untreated["level"])))


def _by_cell(task: str, counts_of: Mapping[str, Counts]) -> dict[Cell, dict[str, PairCounts]]:
    """The rows of each cell that both the paper and the run have; re-ranking of a list by one name for all parsers."""
    cells = [(u, level) for u, level in paper_cells(task) if level in counts_of.get(u, {})]
    of_cell = {}
    for update, level in cells:
        of_row = counts_of[update][level]
        listed = [row for row in of_row if row.startswith("BCR (") and row not in (SAMPLED, JOINED)]
        named = {**of_row, LISTED: of_row[listed[0]]} if listed else of_row
        of_cell[update, level] = {row: named[row] for row in (UNTREATED, *METHODS) if row in named}
    return of_cell


def _joined(store: CorrectnessStore, preset: str, cell: Cell, weight: float) -> PairCounts:
    update = experiments.parse_update(cell[0])
    strategy = experiments.joined_strategy(store, update, experiments.dropout_strategy(store, update))
    return experiments.bcr(store, preset, cell[1], update, strategy, new_weight=weight)


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
