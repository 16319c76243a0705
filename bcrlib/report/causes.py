"""What the cells of an ablation tell of causes: counted, kept small, as tables, as a figure, in words.

Three questions, each a number a cell (rates of the level by which the task chooses: labelled words, spans of frames):

    when does dropout-p beat a list?          NFI after re-ranking its samples, minus NFI after re-ranking the list
    what makes distillation harmless?         NFI of the student minus NFI of the new model, and the same of ACC
    what drives NFI at a given NFR?           NFI = NFR / (1 - ACC): how much of its spread goes with which

Intervals are of the paired bootstrap over test sentences, all cells by the same draws.  Where cells have one pair of
seeds, as in the profile `causes`, what seeds do is not in them.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from jaxtyping import Float64
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from scipy.stats import rankdata

from bcrlib import experiments
from bcrlib.correctness import MANIFEST, CorrectnessStore
from bcrlib.correctness_tables import write_whole
from bcrlib.metrics.flips import Flips
from bcrlib.metrics.uncertainty import PairCounts, micro_average, resample
from bcrlib.pipeline.causes import cell_name
from bcrlib.report.headline_rows import LISTED, UNTREATED
from bcrlib.report.house_style import INTERVAL, LEVEL_NAMES, METHOD_COLOURS, axis_label, new_figure
from bcrlib.report.method_counts import JOINED, SAMPLED, count as count_rows, listed_row, rerankers
from bcrlib.report.regression_rows import BOOTSTRAP_SEED, NUM_RESAMPLES, Counts
from bcrlib.report.run_rows import dropout_rate
from bcrlib.tasks.names import TASKS

FLIPS_FILE = "flips.parquet"
DISTILLED = "Distillation"
SAMPLED_ORACLE, LISTED_ORACLE = "oracle NFR, dropout-p", "oracle NFR, list"
_COLOURS = {UNTREATED: METHOD_COLOURS[UNTREATED], LISTED: METHOD_COLOURS[LISTED], SAMPLED: METHOD_COLOURS["BCR"]}
_TEXT = "#374151"
_SCHEMA = pa.schema(
    [("cell", pa.string()), ("level", pa.string()), ("row", pa.string())]
    + [(side, pa.list_(pa.string())) for side in ("old", "new")]
    + [("flips", pa.list_(pa.int16()))]
)

CELLS = (
    "A row a cell: an old and a new model of one recipe, a student of the old one, and re-ranking by it of a list and of"
    " samples at the dropout rate p chosen on dev. Brackets: 95 % bootstrap intervals over test sentences; one pair of"
    " seeds a cell, whose luck is not in them."
)
EFFECTS = (
    "Means over the cells with a value of what varies, on test: differences in percentage points, rates of the plain"
    " update in per cent. Brackets: 95 % bootstrap intervals over test sentences; one pair of seeds a cell, whose luck"
    " is not in them."
)
DRAWN = (
    "A column for all cells that differ in nothing but what the uppermost axis shows; its values stand beside the points"
    " below. Top: NFI of the plain update and after re-ranking. Middle: how much a student has more NFI than the new"
    " model, by what its teacher knows of the training data. Bottom: the plain update; on a dotted line NFI is the same."
)

Drawn = Float64[np.ndarray, "value_and_resample"]
"""A number, and behind it what each resample makes of it."""
Rates = Mapping[str, Mapping[str, Flips]]
"""Cell -> row -> flips as arrays `Drawn`."""


@dataclass(frozen=True, eq=False)
class Found:
    """What the cells of one task found."""

    counts: Mapping[str, Counts]
    """Cell -> level -> row -> flips."""
    manifest: Mapping[str, Any]

    @property
    def settings(self) -> dict[str, dict[str, str]]:
        """Cell -> factor -> value, in the order of the profile."""
        factors = self.manifest["factors"]
        combinations = (dict(zip(factors, values)) for values in product(*factors.values()))
        return {cell_name(one): one for one in combinations}

    @property
    def level(self) -> str:
        """By whose rates the questions are answered."""
        return TASKS[self.manifest["task"]].choice_level

    def teacher(self, cell: str, level: str) -> float:
        """What teachers get right of the data that they teach from, mean over the teachers of a cell."""
        return float(np.mean([known[level] for known in self.manifest["cells"][cell]["teacher_accuracy"].values()]))

    def dropout(self, cell: str) -> float:
        """The rate chosen on dev."""
        (choice,) = self.manifest["cells"][cell]["dropout_choice"].values()
        return dropout_rate(choice["strategy"])


def count(store: CorrectnessStore, preset: str) -> Counts:
    """The flips of one cell from its store of test, by level and row. KeyError names what it lacks."""
    (name,) = store.load_manifest()["dropout_choice"]
    update = experiments.parse_update(name)
    pools = {SAMPLED_ORACLE: experiments.dropout_strategy(store, update)}
    pools[LISTED_ORACLE] = experiments.listed_strategy(store, update)
    oracles = {row: partial(experiments.oracle, strategy=pool, by="NFR") for row, pool in pools.items()}
    reranked = {LISTED if row == listed_row(update) else row: m for row, m in rerankers(store, update).items()}
    plain = {UNTREATED: experiments.untreated, DISTILLED: experiments.distillation}
    return count_rows(store, preset, update, plain | reranked | oracles)


def save_flips(folder: Path, counts: Mapping[str, Counts]) -> None:
    """Keep the flips of all cells, sentence by sentence, in one small file; equal counts give equal bytes."""
    rows = [
        (cell, level, row, pairs.old_of_pair, pairs.new_of_pair, pairs.counts.ravel().astype(np.int16))
        for cell, of_level in counts.items()
        for level, of_row in of_level.items()
        for row, pairs in of_row.items()
    ]
    content = pa.table([pa.array(column, field.type) for column, field in zip(zip(*rows), _SCHEMA)], _SCHEMA)
    write_whole(folder / FLIPS_FILE, lambda file: pq.write_table(content, file, compression="brotli"))


def load(folder: Path) -> Found:
    """What `save_flips` and the manifest beside it keep. FileNotFoundError where nothing was kept."""
    counts: dict[str, dict[str, dict[str, PairCounts]]] = {}
    for kept in pq.read_table(folder / FLIPS_FILE, schema=_SCHEMA).to_pylist():
        flips = np.array(kept["flips"], dtype=np.int64).reshape(len(kept["old"]), -1, 4)
        pairs = PairCounts(flips, tuple(kept["old"]), tuple(kept["new"]))
        counts.setdefault(kept["cell"], {}).setdefault(kept["level"], {})[kept["row"]] = pairs
    return Found(counts, CorrectnessStore(folder).load_manifest())


def is_kept(folder: Path) -> bool:
    """Whether a folder has results of cells."""
    return (folder / FLIPS_FILE).is_file() and (folder / MANIFEST).is_file()
