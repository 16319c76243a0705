"""Where an update breaks: its flips slice by slice, with rates, intervals and tests.

A slice is the units of one level that share a property of gold: a tag, a relation, a distance, a depth, a length.  The
authors' notebooks print such tables for one update (protocol 5.5).  Counts are sums over all pairs of an old and a new
model, as in every table.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, pairwise
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Bool, Float64, Int64, Integer, Num

from bcrlib.data.frames import CLOSE, OPEN, FrameBank, Node, frame_tokens
from bcrlib.data.presets import Preset
from bcrlib.data.treebank import Treebank
from bcrlib.metrics.attachment import scored_units, scored_words
from bcrlib.metrics.uncertainty import COVERAGE

if TYPE_CHECKING:  # loaded where rates are computed: `bcr evaluate` needs slices alone
    import pandas as pd

ALL = "all"
"""The breakdown, and its only slice, that holds every unit."""
OTHER = "other"
LEVEL_OF_Q = 0.05
"""The share of false alarms, among the slices called harmed, that is put up with."""
FEWEST_UNITS = 10
"""Slices with fewer units are counted together, as "other"."""
BLOCK, MOST_CELLS = 12_000, 16
"""Units that are counted at once, so that the processor's cache holds them; cells a unit of the largest table that is
filled."""
RANGES = {
    "distance": (1, 2, 3, 4, 5, 6, 8, 11, 16, 21),
    "size": (2, 3, 4, 5, 6, 8, 11, 16, 21, 31),
    "depth": (1, 2, 3, 4, 5, 6, 7, 8, 9),
    "length": (1, 2, 6, 11, 16, 21, 31, 41),
    "couple distance": (1, 2, 3, 4, 5, 6, 8, 11, 16, 21, 31),
    "couple tree distance": (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 11),
}
"""Where the ranges of the breakdowns by number begin; all others are by tag."""

Keys = Mapping[str, Sequence[str] | Sequence[int] | np.ndarray]
"""Breakdown -> what each unit is told apart by."""
Rates = Float64[np.ndarray, "slice"]
Numbers = Num[np.ndarray, "slice"]


@dataclass(frozen=True, eq=False)
class Slices:
    """Which slice each unit is in: an index into the names, -1 for none."""

    of_unit: Int64[np.ndarray, "unit"]
    names: tuple[str, ...]


def by_tag(tags: Sequence[str]) -> Slices:
    """A slice for each tag, in alphabetical order; a unit without one, "", is in no slice.  O(units)."""
    names = sorted(set(map(str, set(tags))) - {""})
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


def sliced(keys: Keys, breakdowns: Sequence[str]) -> dict[str, Slices]:
    """The slices of these breakdowns, by number where `RANGES` has them, rare ones merged.  O(units log units)."""
    return {
        name: merge_rare(by_range(np.asarray(keys[name]), RANGES[name]) if name in RANGES else by_tag(keys[name]))
        for name in breakdowns
    }


def tree_slices(gold: Treebank, preset: Preset) -> dict[str, dict[str, Slices]]:
    """Level -> breakdown -> slices, all of the gold trees.  O(tokens deepest).

    Words by UPOS, relation, distance of the head, depth, length of their sentence; trees by length and depth.
    """
    words = sliced(word_keys(gold, preset), ("upos", "relation", "distance", "depth", "length"))
    trees = sliced(tree_keys(gold, preset), ("length", "depth"))
    return {"UAS": words, "UCM": trees, "LAS": words, "LCM": trees}


def word_keys(gold: Treebank, preset: Preset) -> Keys:
    """What scored words are told apart by: tag, relation, distance and tag of the head, depth, length of the sentence.

    Distances and lengths are in words, depths as of `word_depths`.  The root word counts as the authors' code has it:
    its head is called "ROOT" and stands at position 0, before the first word.  O(tokens deepest).
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
        "depth": word_depths(gold)[words],
        "length": gold.lengths[gold.sentence_of_token[words]],
    }


def tree_keys(gold: Treebank, preset: Preset) -> Keys:
    """What whole trees (UCM, LCM) are told apart by: length in words, punctuation included, and deepest word."""
    trees = scored_units(gold, preset).sentence_of_unit["UCM"]
    deepest = np.maximum.reduceat(word_depths(gold), gold.offsets[:-1])
    return {"length": gold.lengths[trees], "depth": deepest[trees]}


def parents(treebank: Treebank) -> Int64[np.ndarray, "token"]:
    """The token that is the head of each token; -1 for words that hang from the artificial root.  O(tokens)."""
    heads = treebank.heads.astype(np.int64)
    return np.where(heads == 0, -1, treebank.offsets[treebank.sentence_of_token] + heads - 1)


def word_depths(treebank: Treebank) -> Int64[np.ndarray, "token"]:
    """Words from the root of its tree down to each word, both counted: 1 for a root.

    Heads must not run in a circle.  O(tokens deepest).
    """
    parent = parents(treebank)
    depths = np.ones(treebank.num_tokens, dtype=np.int64)
    (walking,) = np.nonzero(parent >= 0)  # words whose walk up has not come to the root: fewer with every step
    above = parent[walking]
    for _ in range(treebank.lengths.max(initial=0)):
        depths[walking] += 1
        higher = parent[above]
        walking, above = walking[higher >= 0], higher[higher >= 0]
    return depths


def frame_slices(gold: FrameBank) -> dict[str, dict[str, Slices]]:
    """Level -> breakdown -> slices, all of the gold frames.  O(tokens).

    Spans by the intent and the slot over them, depth, length in words; frames by intent, length and depth.  Of several
    intents (slots) over the same words the outermost counts.
    """
    frames = [_span_keys(frame) for frame in gold.frames]
    spans = list(chain.from_iterable(frames))
    of_spans = {name: [span[name] for span in spans] for name in ("intent", "slot", "depth", "length")}
    of_frames = {
        "intent": [frame.label.partition(":")[2] for frame in gold.frames],
        "depth": [max(span["deepest"] for span in frame) for frame in frames],
        "length": gold.lengths,
    }
    return {"spanEM": sliced(of_spans, tuple(of_spans)), "EM": sliced(of_frames, tuple(of_frames))}


def _span_keys(frame: Node) -> list[dict]:
    """What the spans of words under the nodes are told apart by, from the left, outer first."""
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
    spans: dict[tuple[int, int], dict] = {}
    for label, depth, begin, end in nodes:
        span = spans.setdefault((begin, end), {"intent": "", "slot": "", "depth": depth, "length": end - begin})
        prefix, _, name = label.partition(":")
        kind = "intent" if prefix == "IN" else "slot"
        span[kind] = span[kind] or name
        span["deepest"] = depth
    return list(spans.values())


def unit_counts(
    old_right: Bool[np.ndarray, "pair unit"], new_right: Bool[np.ndarray, "pair unit"]
) -> Int64[np.ndarray, "unit 4"]:
    """(yy, yn, ny, nn) of every unit: in how many pairs of models it stays right, flips, ...  O(pairs units)."""
    if old_right.shape != new_right.shape:
        raise ValueError(f"{old_right.shape} old and {new_right.shape} new units")
    outcomes = (old_right & new_right, old_right & ~new_right, ~old_right & new_right, ~old_right & ~new_right)
    return np.stack([outcome.sum(axis=0) for outcome in outcomes]).T  # each column in one piece


def flips_by_slice(
    counts: Int64[np.ndarray, "unit 4"], sentence_of_unit: Int64[np.ndarray, "unit"], slices: Slices
) -> "pd.DataFrame":
    """The 2x2 counts of every slice and how sure its NFR is, a row a slice, in the order of their names.

    Columns: key, num_units (of the gold trees), num_sentences (that have one), yy, yn, ny, nn (sums of `unit_counts`),
    nfr_error (standard error of the slice's NFR), excess_error (that of its NFR minus the NFR of all other units).
    Both errors take sentences for the sample: a sentence's flips, over all its units and all pairs of models, are one
    observation (ratio estimator, linearised).  What other seeds would give is not in them.
    O(units log units).
    """
    import pandas as pd

    of_unit, num_slices = slices.of_unit, len(slices.names)
    if (of_unit < 0).any():
        chosen = of_unit >= 0
        counts, sentence_of_unit, of_unit = counts[chosen], sentence_of_unit[chosen], of_unit[chosen]
    if (np.diff(sentence_of_unit) < 0).any():
        order = np.argsort(sentence_of_unit, kind="stable")
        counts, sentence_of_unit, of_unit = counts[order], sentence_of_unit[order], of_unit[order]
    begins = np.unique(sentence_of_unit.searchsorted(sentence_of_unit[::BLOCK]))
    blocks = [
        _moments(counts[begin:end], sentence_of_unit[begin:end], of_unit[begin:end], num_slices)
        for begin, end in pairwise([*begins.tolist(), len(of_unit)])
    ]
    zeros = np.zeros((num_slices, 4), np.int64), np.zeros(num_slices, np.int64), np.zeros((num_slices, 4, 4)), 0
    outcomes, num_sentences, moments, num_drawn = map(sum, zip(zeros, *blocks))
    table = {"key": slices.names, "num_units": np.bincount(of_unit, minlength=num_slices)}
    table |= {"num_sentences": num_sentences} | dict(zip(("yy", "yn", "ny", "nn"), outcomes.T))
    nfr_error, excess_error = _standard_errors(outcomes, moments, num_drawn)
    return pd.DataFrame(table | {"nfr_error": nfr_error, "excess_error": excess_error})


def _moments(
    counts: Int64[np.ndarray, "unit 4"],
    sentences: Int64[np.ndarray, "unit"],
    of_unit: Int64[np.ndarray, "unit"],
    num_slices: int,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, int]:
    """Of some whole sentences, in their order, what can be added up.

    Counts [slice, 4]; sentences with a unit [slice]; sums over sentences of the products [slice, 4, 4] of b_s, c_s, B_s
    and C_s as in `_standard_errors`, unit by unit: each has with it what its sentence has in the slice, and in all;
    the number of sentences.
    """
    columns = np.ascontiguousarray(counts.T, dtype=np.float64)
    sentences = np.cumsum(np.diff(sentences, prepend=sentences[0]) > 0)
    cells = sentences * num_slices + of_unit  # a cell: the units of a slice in one sentence
    if cells[-1] > MOST_CELLS * len(cells):
        _, cells = np.unique(cells, return_inverse=True)
    flipped = np.flatnonzero(columns[1])  # few
    sides = (flipped, columns[1, flipped]), (slice(None), columns.sum(axis=0))
    moments = np.empty((num_slices, 4, 4))
    for j, (units, numbers) in enumerate(sides):
        own, whole = (np.bincount(group[units], numbers, group.max() + 1) for group in (cells, sentences))
        for i, (units, numbers) in enumerate(sides):
            for column, sums, group in ((j, own, cells), (2 + j, whole, sentences))[i > j :]:  # [0, 1] is [1, 0]
                products = np.bincount(of_unit[units], numbers * sums[group[units]], num_slices)
                moments[:, i, column] = moments[:, column, i] = products
            moments[:, 2 + i, 2 + j] = products.sum()
    shares = np.bincount(of_unit, numbers / own[cells], num_slices)  # those of a sentence add up to 1
    some = [np.flatnonzero(column) for column in columns]
    outcomes = [np.bincount(of_unit[units], column[units], num_slices) for units, column in zip(some, columns)]
    num_sentences = np.rint(shares).astype(np.int64)
    return np.stack(outcomes, axis=1).astype(np.int64), num_sentences, moments, int(sentences[-1]) + 1


def _standard_errors(
    outcomes: Int64[np.ndarray, "slice 4"], moments: Float64[np.ndarray, "slice 4 4"], num_sentences: int
) -> tuple[Rates, Rates]:
    """Of each slice's rate broken / counted, and of its difference to the rate of the rest.

    A sentence moves the rate b / c of a slice by (b_s - c_s b / c) / c away from where all sentences together have it,
    and that of the rest, with B - b and C - c of all units, likewise; the errors are roots of summed squares.  These
    are quadratic in b_s, c_s, B_s and C_s, of which only products are added up, exactly (`_moments`).  nan where
    undefined.
    """
    b, c = outcomes[:, 1].astype(np.float64), outcomes.sum(axis=1).astype(np.float64)
    rest_b, rest_c = b.sum() - b, c.sum() - c
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.stack([1 / c, -b / c / c], axis=1)
        rest = np.stack([1 / rest_c, -rest_b / rest_c / rest_c], axis=1)
        shares = np.concatenate([share, np.zeros_like(share)], axis=1)
        differences = np.concatenate([share + rest, -rest], axis=1)
        scale = num_sentences / (num_sentences - np.float64(1))
        squares = (np.einsum("si,sij,sj->s", part, moments, part) for part in (shares, differences))
        return tuple(np.sqrt(np.maximum(scale * square, 0)) for square in squares)


def rates_of_slices(rows: "pd.DataFrame") -> "pd.DataFrame":
    """Rates, intervals and tests of the slices of one level, in the order of `rows`.

    `rows`: what `flips_by_slice` gives of every breakdown with its name as column "breakdown", the one of
    everything (`ALL`) among them.  Columns: breakdown, key, num_units, num_sentences, acc_old, acc_new, nfr, pfr, nfi,
    low, high (95 % interval of NFR), share (of all negative flips of the level), excess (NFR minus that of all other
    units), p_value, q_value (by Benjamini and Hochberg over all slices of the level with 30 units in 20 sentences; nan
    for others).  Intervals and tests are about other sentences and these models.  O(slices log slices).

    The p-value is that of a normal test of the excess.  Its standard error is the larger of two: the one over
    sentences, and that of independent units if the slice were like the rest (without which a slice where nothing flips
    would seem certain).
    """
    from scipy.special import erfc

    yy, yn, ny, nn = (rows[name].to_numpy(np.float64) for name in ("yy", "yn", "ny", "nn"))
    counted, num_units = yy + yn + ny + nn, rows["num_units"].to_numpy(np.float64)
    nfr = yn / counted
    low, high = slice_interval(nfr, rows["nfr_error"].to_numpy(np.float64), num_units)
    (whole,) = np.flatnonzero(rows["breakdown"] == ALL)
    all_nfr, rest = nfr[whole], num_units[whole] - num_units
    with np.errstate(divide="ignore", invalid="ignore"):
        excess = nfr - (all_nfr * num_units[whole] - nfr * num_units) / rest
        by_chance = np.sqrt(all_nfr * (1 - all_nfr) * (1 / num_units + 1 / rest))
        z = excess / np.maximum(rows["excess_error"].to_numpy(np.float64), by_chance)
    is_large = (num_units >= 30) & (rows["num_sentences"].to_numpy(np.float64) >= 20)
    p_value = np.where(is_large, erfc(np.abs(z) / np.sqrt(2)), np.nan)
    return rows[["breakdown", "key", "num_units", "num_sentences"]].assign(
        acc_old=(yy + yn) / counted,
        acc_new=(yy + ny) / counted,
        nfr=nfr,
        pfr=ny / counted,
        nfi=yn / np.maximum(yn + nn, 1),
        low=low,
        high=high,
        share=yn / max(yn[whole], 1),
        excess=excess,
        p_value=p_value,
        q_value=benjamini_hochberg(p_value),
    )


def harm_table(
    counts: Int64[np.ndarray, "unit 4"], sentence_of_unit: Int64[np.ndarray, "unit"], slices: Mapping[str, Slices]
) -> "pd.DataFrame":
    """Every slice of a level, the most harmed first: `rates_of_slices` with what is told of harm.

    extra: negative flips beyond what the slice would have at the rate of all other units, num_units * excess; by it
    rows are sorted, and then by their names.  is_harmed: whether it has more, at a q-value of `LEVEL_OF_Q` over all
    slices of the level.  broken: its negative flips, in `counts`.  O(units breakdowns).
    """
    import pandas as pd

    everything = {ALL: Slices(np.zeros(len(counts), dtype=np.int64), (ALL,))}
    rows = [
        flips_by_slice(counts, sentence_of_unit, of_units).assign(breakdown=breakdown)
        for breakdown, of_units in {**everything, **slices}.items()
    ]
    table = pd.concat(rows, ignore_index=True)
    rates = rates_of_slices(table).assign(broken=table["yn"])
    rates["extra"] = (rates["excess"] * rates["num_units"]).fillna(0.0)
    rates["is_harmed"] = (rates["q_value"] <= LEVEL_OF_Q) & (rates["excess"] > 0)
    rates = rates[rates["breakdown"] != ALL]
    return rates.sort_values("extra", ascending=False, kind="stable").reset_index(drop=True)


def slice_interval(rate: Rates, error: Rates, num_units: Numbers) -> tuple[Rates, Rates]:
    """Wilson's interval for the rate of each slice, with the sample size that its standard error speaks of.

    `error` is over sentences (`flips_by_slice`).  Units of a sentence that flip together are worth less than
    as many independent ones, so the size is rate (1 - rate) / error^2, but never more than the units there are: many
    pairs of models are no further text.  Unlike rate +- 2 error it stays in [0, 1] and is open where nothing flipped.
    O(slices).
    """
    from scipy.special import ndtri

    with np.errstate(divide="ignore", invalid="ignore"):
        worth = rate * (1 - rate) / np.square(error)
    size = np.where((worth > 0) & (worth < num_units), worth, num_units)
    z = ndtri((1 + COVERAGE) / 2)
    centre = (rate + z**2 / (2 * size)) / (1 + z**2 / size)
    reach = z * np.sqrt(rate * (1 - rate) / size + (z / (2 * size)) ** 2) / (1 + z**2 / size)
    return np.maximum(centre - reach, 0), np.minimum(centre + reach, 1)


def benjamini_hochberg(p_values: Rates) -> Rates:
    """For each test the smallest share of false alarms, among all tests called, at which it is called (its q-value).

    Benjamini and Hochberg (1995): the i-th smallest of m p-values times m / i, and never more than that of a larger
    one.  Holds on average for independent tests and for such that err together; slices that share units do so only
    roughly.  nan stays nan and is not counted.  scipy.stats has it too, and takes seconds to load.  O(tests log tests).
    """
    q_values = np.full(len(p_values), np.nan)
    (tested,) = np.nonzero(~np.isnan(p_values))
    order = tested[np.argsort(-p_values[tested], kind="stable")]  # from the largest down
    ranks = np.arange(len(order), 0, -1)
    q_values[order] = np.minimum.accumulate(np.minimum(p_values[order] * len(order) / ranks, 1))
    return q_values
