"""Breakdowns of flips: the 2x2 counts of an update slice by slice, by tag, relation, distance, size, depth, length.

The authors' notebooks print such tables for one update (protocol 5.5).  A *slice* is the set of units of one level
that share a property of the gold tree.  Counts are sums over all pairs of an old and a new model, as in every table.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float64, Int64, Integer

from bcrlib.data.treebank import Treebank
from bcrlib.metrics.attachment import scored_units, scored_words
from bcrlib.metrics.subtrees import Subtrees, parents
from bcrlib.presets import Preset

OTHER = "other"
FEWEST_UNITS = 10
"""Slices with fewer units are counted together, as "other"."""
HISTOGRAM_BINS = ("0", *(f"({k / 10}, {(k + 1) / 10}]" for k in range(10)))

Keys = Mapping[str, Sequence[str] | Integer[np.ndarray, "unit"]]


@dataclass(frozen=True, eq=False)
class Slices:
    """Which slice each unit is in: an index into the names, -1 for none."""

    of_unit: Int64[np.ndarray, "unit"]
    names: tuple[str, ...]


def word_keys(gold: Treebank, preset: Preset) -> Keys:
    """What scored words are told apart by: their tag and relation, how far off the head is, the tag of the head.

    Distances are in words.  The root word counts as the authors' code has it: its head is called "ROOT" and stands
    at position 0, before the first word.  O(tokens).
    """
    words = np.flatnonzero(scored_words(gold, preset))
    # As objects: as numpy's own texts, all would be as long as the longest.
    upos = np.array([*gold.upos, "ROOT"], dtype=object)  # parent -1 is the last entry
    position = np.arange(gold.num_tokens) - gold.offsets[gold.sentence_of_token] + 1
    return {
        "upos": upos[words],
        "relation": np.array(gold.relations, dtype=object)[words],
        "distance": np.abs(position - gold.heads)[words],
        "head upos": upos[parents(gold)[words]],
    }


def subtree_keys(gold: Treebank, units: Subtrees) -> Keys:
    """What sub-trees are told apart by: size in words, depth (a leaf has 1), tag of the root word.  O(sub-trees)."""
    return {"size": units.size, "depth": units.depth, "root upos": np.array(gold.upos)[units.root]}


def tree_keys(gold: Treebank, preset: Preset) -> Keys:
    """What whole trees (UCM, LCM) are told apart by: the length of the sentence in words, punctuation included."""
    return {"length": gold.lengths[scored_units(gold, preset).sentence_of_unit["UCM"]]}


def by_tag(tags: Sequence[str]) -> Slices:
    """A slice for each tag, in alphabetical order; a unit without one, "", is in no slice.  O(units)."""
    names = sorted(set(map(str, tags)) - {""})
    number_of = {"": -1} | {name: i for i, name in enumerate(names)}
    return Slices(np.fromiter(map(number_of.__getitem__, tags), np.int64, len(tags)), tuple(names))


def by_range(values: Integer[np.ndarray, "unit"], starts: Sequence[int]) -> Slices:
    """Slices of numbers: from each start up to the next, the last one open: 1, 2, 4 makes "1", "2-3" and "4+".

    Numbers below the first start are in no slice.  O(units log starts).
    """
    ends = [following - 1 for following in starts[1:]]
    names = [str(start) if start == end else f"{start}-{end}" for start, end in zip(starts, ends)]
    return Slices(np.searchsorted(starts, values, side="right") - 1, (*names, f"{starts[-1]}+"))


def merge_rare(slices: Slices, fewest_units: int = FEWEST_UNITS) -> Slices:
    """The slices with those of fewer units made one, "other", the last.  Empty slices go.  O(units + slices)."""
    num_units = np.bincount(slices.of_unit[slices.of_unit >= 0], minlength=len(slices.names))
    kept = np.flatnonzero(num_units >= fewest_units)
    names = tuple(slices.names[i] for i in kept)
    if num_units.sum() - num_units[kept].sum() > 0:
        names = (*names, OTHER)
    new = np.full(len(slices.names) + 1, len(kept), dtype=np.int64)
    new[kept], new[-1] = np.arange(len(kept)), -1
    return Slices(new[slices.of_unit], names)


def unit_counts(
    old_right: Bool[np.ndarray, "pair unit"], new_right: Bool[np.ndarray, "pair unit"]
) -> Int64[np.ndarray, "unit 4"]:
    """(yy, yn, ny, nn) of every unit: in how many pairs of models it stays right, flips, ...  O(pairs units)."""
    if old_right.shape != new_right.shape:
        raise ValueError(f"{old_right.shape} old and {new_right.shape} new units")
    outcomes = (old_right & new_right, old_right & ~new_right, ~old_right & new_right, ~old_right & ~new_right)
    return np.stack([outcome.sum(axis=0) for outcome in outcomes], axis=1)


def flips_by_slice(
    counts: Int64[np.ndarray, "unit 4"], sentence_of_unit: Int64[np.ndarray, "unit"], slices: Slices
) -> pd.DataFrame:
    """The 2x2 counts of every slice and how sure its NFR is, a row a slice, in the order of their names.

    Columns: key, num_units (of the gold trees), num_sentences (that have one), yy, yn, ny, nn (sums of `unit_counts`),
    nfr_error (standard error of the slice's NFR), excess_error (that of its NFR minus the NFR of all other units).
    Both errors take sentences for the sample: a sentence's flips, over all its units and all pairs of models, are one
    observation (ratio estimator, linearised).  What other seeds would give is not in them.
    O(units + sentences slices).
    """
    chosen = slices.of_unit >= 0
    counts, sentences, of_unit = counts[chosen], sentence_of_unit[chosen], slices.of_unit[chosen]
    num_slices = len(slices.names)
    sums = np.stack([_sums(of_unit, counts[:, i], num_slices) for i in range(4)], axis=1)
    cells = _cells(sentences, of_unit, np.stack([counts[:, 1], counts.sum(axis=1)], axis=1), num_slices)
    nfr_error, excess_error = _standard_errors(cells, sums[:, 1], sums.sum(axis=1))
    table = {"key": slices.names, "num_units": _sums(of_unit, np.ones(len(of_unit)), num_slices)}
    table |= {"num_sentences": np.bincount(cells.of_slice[cells.counted > 0], minlength=num_slices)}
    table |= {name: sums[:, i] for i, name in enumerate(("yy", "yn", "ny", "nn"))}
    return pd.DataFrame(table | {"nfr_error": nfr_error, "excess_error": excess_error})


def sentence_nfr_histogram(counts: Int64[np.ndarray, "pair sentence 4"]) -> Int64[np.ndarray, "bin"]:
    """How many sentences, over all pairs, lose which share of their words: `HISTOGRAM_BINS` (protocol 5.5).

    Sentences without a counted word are left out.  Exact: shares are compared as fractions.  O(pairs sentences).
    """
    num_words = counts.sum(axis=-1)
    some = num_words > 0
    tenth = -(-10 * counts[..., 1][some] // num_words[some])  # rounded up: (0.1, 0.2] is the second
    return np.bincount(tenth, minlength=len(HISTOGRAM_BINS))


def _sums(
    place: Int64[np.ndarray, "item"], numbers: Integer[np.ndarray, "item"], num_places: int
) -> Int64[np.ndarray, "place"]:
    """The numbers added up by place; exact, since they stay below 2**53."""
    return np.bincount(place, numbers, num_places).astype(np.int64)


@dataclass(frozen=True, eq=False)
class _Cells:
    """What the units of one sentence in one slice have in common: the table [sentence, slice] without its zeros."""

    sentence: Int64[np.ndarray, "cell"]
    of_slice: Int64[np.ndarray, "cell"]
    broken: Float64[np.ndarray, "cell"]
    counted: Float64[np.ndarray, "cell"]


def _cells(
    sentences: Int64[np.ndarray, "unit"],
    of_unit: Int64[np.ndarray, "unit"],
    numbers: Int64[np.ndarray, "unit 2"],
    num_slices: int,
) -> _Cells:
    """The numbers (broken, counted) of units added up by sentence and slice."""
    key = sentences * num_slices + of_unit
    order = np.argsort(key, kind="stable")  # fast: units come by sentence
    starts = np.flatnonzero(np.diff(key[order], prepend=-1))
    sums = np.add.reduceat(numbers[order], starts, axis=0) if len(starts) else numbers
    sentence, of_slice = np.divmod(key[order][starts], num_slices)
    return _Cells(sentence, of_slice, *sums.T.astype(np.float64))


def _standard_errors(
    cells: _Cells, broken: Int64[np.ndarray, "slice"], counted: Int64[np.ndarray, "slice"]
) -> tuple[Float64[np.ndarray, "slice"], Float64[np.ndarray, "slice"]]:
    """Of each slice's rate broken / counted, and of its difference to the rate of the rest; nan where undefined.

    A sentence moves the rate b / c of a slice by (b_s - c_s b / c) / c away from where all sentences together have it,
    and that of the rest, with B - b and C - c of all units, likewise; the errors are roots of summed squares.  These
    are quadratic in b_s, c_s, B_s and C_s, of which only products are added up: no table [sentence, slice] is made.
    """
    moments = _moments(cells, len(broken))
    num_sentences = np.count_nonzero(np.diff(cells.sentence, prepend=-1))
    rest_broken, rest_counted = broken.sum() - broken, counted.sum() - counted
    with np.errstate(divide="ignore", invalid="ignore"):
        own = np.stack([1 / counted, -broken / counted / counted], axis=1)
        rest = np.stack([1 / rest_counted, -rest_broken / rest_counted / rest_counted], axis=1)
        shares = np.concatenate([own, np.zeros_like(own)], axis=1)
        differences = np.concatenate([own + rest, -rest], axis=1)
        scale = num_sentences / (num_sentences - np.float64(1))
        squares = (np.einsum("si,sij,sj->s", part, moments, part) for part in (shares, differences))
        return tuple(np.sqrt(np.maximum(scale * square, 0)) for square in squares)


def _moments(cells: _Cells, num_slices: int) -> Float64[np.ndarray, "slice 4 4"]:
    """The products of (b_s, c_s, B_s, C_s) with each other, summed over sentences."""
    totals = np.stack([np.bincount(cells.sentence, numbers) for numbers in (cells.broken, cells.counted)])
    columns = [cells.broken, cells.counted, *totals[:, cells.sentence]]
    moments = np.empty((num_slices, 4, 4))
    moments[:, 2:, 2:] = totals @ totals.T  # sentences without a unit in the slice are in these, too
    for i, j in ((0, 0), (0, 1), (1, 1), (0, 2), (0, 3), (1, 2), (1, 3)):
        moments[:, i, j] = moments[:, j, i] = np.bincount(cells.of_slice, columns[i] * columns[j], num_slices)
    return moments
