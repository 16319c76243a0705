"""Slices of an update: the units of one level that share a property of gold, by tag, relation, size, depth, length.

Breakdowns of flips: the 2x2 counts of an update slice by slice, with rates, intervals and tests.

The authors' notebooks print such tables for one update (protocol 5.5).  Counts are sums over all pairs of an old and a
new model, as in every table.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float64, Int64, Integer, Num
from scipy.special import erfc, ndtri

from bcrlib.data.frames import CLOSE, OPEN, FrameBank, Node, frame_tokens
from bcrlib.data.presets import Preset
from bcrlib.data.treebank import Treebank
from bcrlib.metrics.attachment import scored_units, scored_words
from bcrlib.metrics.subtrees import Subtrees, parents, word_depths

OTHER = "other"
FEWEST_UNITS = 10
"""Slices with fewer units are counted together, as "other"."""
RANGES = {
    "distance": (1, 2, 3, 4, 5, 6, 8, 11, 16, 21),
    "size": (2, 3, 4, 5, 6, 8, 11, 16, 21, 31),
    "depth": (2, 3, 4, 5, 6, 7, 8, 9),
    "length": (1, 2, 6, 11, 16, 21, 31, 41),
    "couple distance": (1, 2, 3, 4, 5, 6, 8, 11, 16, 21, 31),
    "couple tree distance": (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 11),
}
"""Where the ranges of the numbers begin."""
DEPTHS = (1, 2, 3, 4, 5, 6, 7, 8, 9)
"""Where the ranges of depths begin: of words and nodes, the root has 1; of whole trees and frames, their deepest."""

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


def tree_slices(gold: Treebank, preset: Preset) -> dict[str, dict[str, Slices]]:
    """Level -> breakdown -> slices, all of the gold trees.  O(tokens).

    Words by UPOS, relation, distance of the head, depth, length of their sentence; trees by length and depth.
    """
    words, keys, depths = scored_words(gold, preset), word_keys(gold, preset), word_depths(gold)
    trees = scored_units(gold, preset).sentence_of_unit["UCM"]
    of_words = {
        "upos": _tags(keys["upos"]),
        "relation": _tags(keys["relation"]),
        "distance": _ranges(keys["distance"], RANGES["distance"]),
        "depth": _ranges(depths[words], DEPTHS),
        "length": _ranges(gold.lengths[gold.sentence_of_token[words]], RANGES["length"]),
    }
    of_trees = {
        "length": _ranges(gold.lengths[trees], RANGES["length"]),
        "depth": _ranges(np.maximum.reduceat(depths, gold.offsets[:-1])[trees], DEPTHS),
    }
    return {"UAS": of_words, "UCM": of_trees, "LAS": of_words, "LCM": of_trees}


def frame_slices(gold: FrameBank) -> dict[str, dict[str, Slices]]:
    """Level -> breakdown -> slices, all of the gold frames.  O(tokens).

    Spans by the intent and the slot over them, depth, length in words; frames by intent, length and depth.  Of several
    intents (slots) over the same words the outermost counts.
    """
    frames = [_spans(frame) for frame in gold.frames]
    spans = list(chain.from_iterable(frames))
    of_spans = {
        "intent": _tags([span["IN"] for span in spans]),
        "slot": _tags([span["SL"] for span in spans]),
        "depth": _ranges([span["depth"] for span in spans], DEPTHS),
        "length": _ranges([span["length"] for span in spans], RANGES["length"]),
    }
    of_frames = {
        "intent": _tags([frame.label.partition(":")[2] for frame in gold.frames]),
        "depth": _ranges([max(span["deepest"] for span in frame) for frame in frames], DEPTHS),
        "length": _ranges(list(map(len, gold.utterances)), RANGES["length"]),
    }
    return {"spanEM": of_spans, "EM": of_frames}


def _tags(tags: Sequence[str]) -> Slices:
    return merge_rare(by_tag(tags))


def _ranges(values: Sequence[int] | Int64[np.ndarray, "unit"], starts: tuple[int, ...]) -> Slices:
    return merge_rare(by_range(np.asarray(values), starts))


def _spans(frame: Node) -> list[dict[str, Any]]:
    """The spans of words under the nodes, from the left, outer first: what `frame_slices` tells them apart by."""
    nodes: list[list] = []  # label, depth, first word, end
    pending: list[list] = []
    num_words = 0
    for kind, text in frame_tokens(frame):
        if kind == OPEN:
            pending.append([text, len(pending) + 1, num_words, None])
            nodes.append(pending[-1])
        elif kind == CLOSE:
            pending.pop()[3] = num_words
        else:
            num_words += 1
    spans: dict[tuple[int, int], dict[str, Any]] = {}
    for label, depth, begin, end in nodes:
        span = spans.setdefault((begin, end), {"depth": depth, "length": end - begin, "IN": "", "SL": ""})
        kind, _, name = label.partition(":")
        span[kind] = span[kind] or name
        span["deepest"] = depth
    return list(spans.values())


HISTOGRAM_BINS = ("0", *(f"({k / 10}, {(k + 1) / 10}]" for k in range(10)))

ALL = "all"
"""The breakdown, and its only slice, that holds every unit."""


Numbers = Num[np.ndarray, "slice"]
Rates = Float64[np.ndarray, "slice"]


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


def rates_of_slices(rows: pd.DataFrame) -> pd.DataFrame:
    """Rates, intervals and tests of the slices of one level, in the order of `rows`.

    `rows`: what `flips_by_slice` gives of every breakdown with its name as column "breakdown", the one of
    everything (`ALL`) among them.  Columns: breakdown, key, num_units, num_sentences, acc_old, acc_new, nfr, pfr, nfi,
    low, high (95 % interval of NFR), share (of all negative flips of the level), excess (NFR minus that of all other
    units), p_value, q_value (by Benjamini and Hochberg over all slices of the level that are large enough; nan for
    others).  Intervals and tests are about other sentences and these models.  O(slices).
    """
    yy, yn, ny, nn = (rows[name].to_numpy(np.float64) for name in ("yy", "yn", "ny", "nn"))
    counted, num_units = yy + yn + ny + nn, rows["num_units"].to_numpy(np.float64)
    nfr = yn / counted
    low, high = slice_interval(nfr, rows["nfr_error"].to_numpy(np.float64), num_units)
    (whole,) = np.flatnonzero(rows["breakdown"] == ALL)
    rates = {"acc_old": (yy + yn) / counted, "acc_new": (yy + ny) / counted, "nfr": nfr, "pfr": ny / counted}
    rates |= {"nfi": yn / np.maximum(yn + nn, 1), "low": low, "high": high, "share": yn / max(yn[whole], 1)}
    rates |= _tests(rows, nfr, num_units, whole)
    return rows[["breakdown", "key", "num_units", "num_sentences"]].assign(**rates)


def _tests(rows: pd.DataFrame, nfr: np.ndarray, num_units: np.ndarray, whole: int) -> dict[str, np.ndarray]:
    """Each slice against all other units: excess, p_value, q_value."""
    rest = num_units[whole] - num_units
    with np.errstate(divide="ignore", invalid="ignore"):
        excess = nfr - (nfr[whole] * num_units[whole] - nfr * num_units) / rest
    errors = rows["excess_error"].to_numpy(np.float64)
    p_values = excess_p_value(nfr, num_units, errors, nfr[whole], num_units[whole])
    p_values[~large_enough(num_units, rows["num_sentences"].to_numpy(np.float64))] = np.nan
    return {"excess": excess, "p_value": p_values, "q_value": benjamini_hochberg(p_values)}


def slice_interval(rate: Rates, error: Rates, num_units: Numbers, coverage: float = 0.95) -> tuple[Rates, Rates]:
    """Wilson's interval for the rate of each slice, with the sample size that its standard error speaks of.

    `error` is over sentences (`flips_by_slice`).  Units of a sentence that flip together are worth less than
    as many independent ones, so the size is rate (1 - rate) / error^2, but never more than the units there are: many
    pairs of models are no further text.  Unlike rate +- 2 error it stays in [0, 1] and is open where nothing flipped.
    O(slices).
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        worth = rate * (1 - rate) / np.square(error)
    size = np.where((worth > 0) & (worth < num_units), worth, num_units)
    z = ndtri((1 + coverage) / 2)
    centre = (rate + z**2 / (2 * size)) / (1 + z**2 / size)
    reach = z * np.sqrt(rate * (1 - rate) / size + (z / (2 * size)) ** 2) / (1 + z**2 / size)
    return np.maximum(centre - reach, 0), np.minimum(centre + reach, 1)


def excess_p_value(rate: Rates, num_units: Numbers, excess_error: Rates, all_rate: float, all_units: float) -> Rates:
    """Two-sided p-value that a slice has the NFR of all other units; nan for a slice of everything.

    A normal test of the difference.  Its standard error is the larger of two: the one over sentences, and that of
    independent units if the slice were like the rest (without which a slice where nothing flips would seem certain).
    It asks about other sentences, with these very models.  O(slices).
    """
    rest = all_units - num_units
    with np.errstate(divide="ignore", invalid="ignore"):
        rest_rate = (all_rate * all_units - rate * num_units) / rest
        by_chance = np.sqrt(all_rate * (1 - all_rate) * (1 / num_units + 1 / rest))
        z = (rate - rest_rate) / np.maximum(excess_error, by_chance)
    return erfc(np.abs(z) / np.sqrt(2))


def benjamini_hochberg(p_values: Rates) -> Rates:
    """For each test the smallest share of false alarms, among all tests called, at which it is called (its q-value).

    Benjamini and Hochberg (1995): the i-th smallest of m p-values times m / i, and never more than that of a larger
    one.  Holds on average for independent tests and for such that err together; slices that share units do so only
    roughly.  nan stays nan and is not counted.  O(tests log tests).
    """
    q_values = np.full(len(p_values), np.nan)
    (tested,) = np.nonzero(~np.isnan(p_values))
    order = tested[np.argsort(-p_values[tested], kind="stable")]  # from the largest down
    ranks = np.arange(len(order), 0, -1)
    q_values[order] = np.minimum.accumulate(np.minimum(p_values[order] * len(order) / ranks, 1))
    return q_values


def large_enough(num_units: Numbers, num_sentences: Numbers) -> Bool[np.ndarray, "slice"]:
    """Whether a slice is large enough for the normal test: 30 units in 20 sentences."""
    return (num_units >= 30) & (num_sentences >= 20)
