"""The table of breakdowns: the flips of every update by slice, as counts; what a run commits of its predictions.

One row a slice of one level of one update, method and preset.  num_pairs is the number of pairs of models that counts
are summed over, num_units how many units of the gold trees are in the slice, num_sentences how many sentences have one.
Which columns a row has depends on its breakdown:

    level           breakdown                                               columns
    UAS, LAS        all, upos, relation, distance, head upos                yy, yn, ny, nn, nfr_error, excess_error
    of sub-trees    all, size, depth, root upos                             the same
    UCM, LCM        all, length                                             the same
    UAS, LAS        couple distance, couple relation, couple tree distance  both, only_one, neither
    of sub-trees    couple tree distance                                    the same
    UAS, LAS        sentence NFR                                            num_units: the sentences, over all pairs,
                                                                            whose share of broken words is in the bin

Numbers are kept in ranges, and slices of fewer than ten units as one, "other": counts by tag, relation or distance are
all that can be read off.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from jaxtyping import Bool, Int64

from bcrlib.data.presets import Preset
from bcrlib.data.treebank import Treebank
from bcrlib.experiments.store import write_whole
from bcrlib.metrics.attachment import scored_units, treebank_correctness
from bcrlib.metrics.breakdowns import (
    HISTOGRAM_BINS,
    RANGES,
    Keys,
    Slices,
    by_range,
    by_tag,
    flips_by_slice,
    merge_rare,
    sentence_nfr_histogram,
    subtree_keys,
    tree_keys,
    unit_counts,
    word_keys,
)
from bcrlib.metrics.co_occurrence import OUTCOMES, Couples, co_occurrence, couple_counts, subtree_couples, word_couples
from bcrlib.metrics.flips import flips_by_sentence
from bcrlib.metrics.subtrees import SUBTREE_LEVELS, Subtrees, subtree_correctness, subtrees

BREAKDOWNS_FILE = "breakdowns.parquet"
HISTOGRAM = "sentence NFR"

_TEXT = ("update", "method", "preset", "level", "breakdown", "key")
_COUNTS = ("num_pairs", "num_units", "num_sentences", "yy", "yn", "ny", "nn", *OUTCOMES)

_ERRORS = ("nfr_error", "excess_error")
SCHEMA = pa.schema(
    [(name, pa.string()) for name in _TEXT]
    + [(name, pa.int64()) for name in _COUNTS]
    + [(name, pa.float32()) for name in _ERRORS]
)

Right = Mapping[str, Bool[np.ndarray, "_"]]


@dataclass(frozen=True, eq=False)
class UnitSlices:
    """The units of two levels, without and with relations, and the slices they and their couples are counted in."""

    levels: tuple[str, str]
    sentence_of_unit: Int64[np.ndarray, "unit"]
    slices: Mapping[str, Slices]
    couples: Couples | None = None
    couple_slices: Mapping[str, Slices] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class GoldSlices:
    """Everything about the gold trees of a corpus that breakdowns need, under one preset."""

    gold: Treebank
    preset: Preset
    subtrees: Subtrees
    kinds: tuple[UnitSlices, ...]
    """Words, sub-trees, whole trees."""


def gold_slices(gold: Treebank, preset: Preset) -> GoldSlices:
    """Sort the gold trees of a corpus into slices, once for all updates.  O(couples of words)."""
    below, units = subtrees(gold, preset), scored_units(gold, preset).sentence_of_unit
    of_words, of_subtrees = word_couples(gold, preset), subtree_couples(gold, below)
    sentence = gold.sentence_of_token[below.root]
    kinds = (
        UnitSlices(("UAS", "LAS"), units["UAS"], _slices(word_keys(gold, preset)), of_words, _couple_slices(of_words)),
        UnitSlices(
            SUBTREE_LEVELS, sentence, _slices(subtree_keys(gold, below)), of_subtrees, _couple_slices(of_subtrees)
        ),
        UnitSlices(("UCM", "LCM"), units["UCM"], _slices(tree_keys(gold, preset))),
    )
    return GoldSlices(gold, preset, below, kinds)


def right_units(corpus: GoldSlices, predicted: Treebank) -> Right:
    """Which units of every level one prediction gets right, sub-trees included.  O(tokens + members of sub-trees)."""
    whole = treebank_correctness(corpus.gold, predicted, corpus.preset)
    return whole | subtree_correctness(corpus.gold, corpus.subtrees, predicted, corpus.preset)


def update_breakdowns(
    corpus: GoldSlices, old: Sequence[Right], new: Sequence[Right], update: str, method: str
) -> pd.DataFrame:
    """All rows of one update by one method: old[i] is replaced by new[i], as `right_units` gives them.

    ValueError for different numbers of old and new predictions.  O(pairs couples).
    """
    if len(old) != len(new):
        raise ValueError(f"{len(old)} old and {len(new)} new predictions")
    rows = []
    for kind in corpus.kinds:
        for level in kind.levels:
            old_right, new_right = (np.stack([right[level] for right in side]) for side in (old, new))
            rows.append(_level_rows(kind, old_right, new_right).assign(level=level))
    names = {"update": update, "method": method, "preset": corpus.preset.name, "num_pairs": len(old)}
    return _typed(pd.concat(rows, ignore_index=True).assign(**names))


def write_breakdowns(rows: pd.DataFrame, file: Path) -> None:
    """Write a table, at once or not at all; equal tables give equal bytes.  O(rows)."""
    table = pa.Table.from_pandas(_typed(rows), SCHEMA, preserve_index=False).replace_schema_metadata(None)
    write_whole(file, lambda unfinished: pq.write_table(table, unfinished, compression="zstd"))


def read_breakdowns(file: Path) -> pd.DataFrame:
    """Read a table back.  ValueError for a file with other columns, OSError where there is none.  O(rows)."""
    table = pq.read_table(file)
    if not table.schema.equals(SCHEMA):
        raise ValueError(f"{file}: columns {table.column_names}, not those of a table of breakdowns")
    return _typed(table.to_pandas())


def _typed(rows: pd.DataFrame) -> pd.DataFrame:
    """All columns in their order; counts as whole numbers that may be missing."""
    types = dict.fromkeys(_TEXT, "object") | dict.fromkeys(_COUNTS, "Int64") | dict.fromkeys(_ERRORS, "float32")
    return rows.reindex(columns=list(types)).astype(types)


def _slices(keys: Keys) -> dict[str, Slices]:
    """The slices of every breakdown, and "all": everything in one."""
    num_units = len(next(iter(keys.values())))
    everything = Slices(np.zeros(num_units, dtype=np.int64), ("all",))
    return {"all": everything} | {name: _cut(name, values) for name, values in keys.items()}


def _couple_slices(couples: Couples) -> dict[str, Slices]:
    return {f"couple {key}": _cut(f"couple {key}", values) for key, values in couples.keys.items()}


def _cut(breakdown: str, values: Sequence[str] | np.ndarray) -> Slices:
    return merge_rare(by_range(values, RANGES[breakdown]) if breakdown in RANGES else by_tag(values))


def _level_rows(
    kind: UnitSlices, old_right: Bool[np.ndarray, "pair unit"], new_right: Bool[np.ndarray, "pair unit"]
) -> pd.DataFrame:
    """Every breakdown of one level."""
    counts = unit_counts(old_right, new_right)
    rows = [
        flips_by_slice(counts, kind.sentence_of_unit, slices).assign(breakdown=breakdown)
        for breakdown, slices in kind.slices.items()
    ]
    if kind.couples is not None:
        together = couple_counts(old_right & ~new_right, kind.couples)
        for breakdown, slices in kind.couple_slices.items():
            rows.append(co_occurrence(together, slices).assign(breakdown=breakdown))
    if kind.levels == ("UAS", "LAS"):
        rows.append(_histogram(kind, old_right, new_right))
    return pd.concat(rows, ignore_index=True)


def _histogram(
    kind: UnitSlices, old_right: Bool[np.ndarray, "pair unit"], new_right: Bool[np.ndarray, "pair unit"]
) -> pd.DataFrame:
    num_sentences = int(kind.sentence_of_unit.max()) + 1
    by_sentence = flips_by_sentence(old_right, new_right, kind.sentence_of_unit, num_sentences)
    numbers = sentence_nfr_histogram(by_sentence)
    return pd.DataFrame({"breakdown": HISTOGRAM, "key": HISTOGRAM_BINS, "num_units": numbers})
