"""Everything that the authors' dependency notebook breaks flips down by, as a table of counts (protocol 5.5).

Beside words and whole trees it counts *sub-trees*: a word with everything below it is right if the words inside have
the heads (and relations) of the gold tree and no other word was moved in; the arc into its own root is not part of it.
And *couples*, two units of one sentence: of those of which at least one flips, of how many do both?

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
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from jaxtyping import Bool, Int64
from scipy.sparse import csr_array, triu

from bcrlib.data.files import whole
from bcrlib.data.presets import Preset
from bcrlib.data.treebank import Treebank
from bcrlib.metrics.attachment import compared_words, scored_units, scored_words, treebank_correctness
from bcrlib.metrics.breakdowns import (
    ALL,
    Keys,
    Slices,
    flips_by_slice,
    parents,
    sliced,
    tree_keys,
    unit_counts,
    word_keys,
)
from bcrlib.metrics.flips import flips_by_sentence

BREAKDOWNS_FILE = "breakdowns.parquet"
SUBTREE_LEVELS = ("unlabelled sub-tree", "labelled sub-tree")
OUTCOMES = ("both", "only_one", "neither")
HISTOGRAM = "sentence NFR"
HISTOGRAM_BINS = ("0", *(f"({k / 10}, {(k + 1) / 10}]" for k in range(10)))

_TEXT = ("update", "method", "preset", "level", "breakdown", "key")
_COUNTS = ("num_pairs", "num_units", "num_sentences", "yy", "yn", "ny", "nn", *OUTCOMES)
_ERRORS = ("nfr_error", "excess_error")
SCHEMA = pa.schema(
    [(name, pa.string()) for name in _TEXT]
    + [(name, pa.int64()) for name in _COUNTS]
    + [(name, pa.float32()) for name in _ERRORS]
)

Right = Mapping[str, Bool[np.ndarray, "_"]]
"""Level -> which of its units are right."""


@dataclass(frozen=True, eq=False)
class Subtrees:
    """The sub-trees of a treebank with at least two compared words, in the order of their root words."""

    root: Int64[np.ndarray, "subtree"]
    """The token at the top."""
    size: Int64[np.ndarray, "subtree"]
    """Compared words inside, the root among them."""
    depth: Int64[np.ndarray, "subtree"]
    """Words on the longest way down from the root to a compared word: 2 for a word with leaves only."""
    members: Int64[np.ndarray, "member"]
    """The tokens inside, sub-tree by sub-tree: all of them, compared or not."""
    starts: Int64[np.ndarray, "subtree"]
    """Where the members of each sub-tree begin."""


@dataclass(frozen=True, eq=False)
class Couples:
    """Every two units of one sentence, once, and what they are told apart by, under the names of breakdowns."""

    first: Int64[np.ndarray, "couple"]
    second: Int64[np.ndarray, "couple"]
    keys: Keys

    @cached_property
    def slices(self) -> dict[str, Slices]:
        """The slices of every breakdown.  O(couples log couples) the first time."""
        return sliced(self.keys, tuple(self.keys))


@dataclass(frozen=True, eq=False)
class UnitSlices:
    """The units of two levels, without and with relations, and the slices that they are counted in."""

    levels: tuple[str, str]
    sentence_of_unit: Int64[np.ndarray, "unit"]
    slices: Mapping[str, Slices]
    couples: Couples | None
    """None of whole trees."""


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
    below, sentences = subtrees(gold, preset), scored_units(gold, preset).sentence_of_unit

    def kind(levels: tuple[str, str], of_unit: np.ndarray, slices: Mapping[str, Slices], couples: Couples | None):
        everything = Slices(np.zeros(len(of_unit), dtype=np.int64), (ALL,))
        return UnitSlices(levels, of_unit, {ALL: everything, **slices}, couples)

    words = sliced(word_keys(gold, preset), ("upos", "relation", "distance", "head upos"))
    of_subtrees = sliced(subtree_keys(gold, below), ("size", "depth", "root upos"))
    trees = sliced(tree_keys(gold, preset), ("length",))
    kinds = (
        kind(("UAS", "LAS"), sentences["UAS"], words, word_couples(gold, preset)),
        kind(SUBTREE_LEVELS, gold.sentence_of_token[below.root], of_subtrees, subtree_couples(gold, below)),
        kind(("UCM", "LCM"), sentences["UCM"], trees, None),
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
            counts = unit_counts(old_right, new_right)
            found = {name: flips_by_slice(counts, kind.sentence_of_unit, cut) for name, cut in kind.slices.items()}
            if kind.couples is not None:
                together = couple_counts(old_right & ~new_right, kind.couples)
                found |= {name: co_occurrence(together, cut) for name, cut in kind.couples.slices.items()}
            if level in ("UAS", "LAS"):
                by_sentence = flips_by_sentence(old_right, new_right, kind.sentence_of_unit, corpus.gold.num_sentences)
                bins = {"key": HISTOGRAM_BINS, "num_units": sentence_nfr_histogram(by_sentence)}
                found[HISTOGRAM] = pd.DataFrame(bins)
            rows += [table.assign(level=level, breakdown=breakdown) for breakdown, table in found.items()]
    names = {"update": update, "method": method, "preset": corpus.preset.name, "num_pairs": len(old)}
    return _typed(pd.concat(rows, ignore_index=True).assign(**names))


def write_breakdowns(rows: pd.DataFrame, file: Path) -> None:
    """Write a table, at once or not at all; equal tables give equal bytes.  O(rows)."""
    table = pa.Table.from_pandas(_typed(rows), SCHEMA, preserve_index=False).replace_schema_metadata(None)
    file.parent.mkdir(parents=True, exist_ok=True)
    with whole(file) as unfinished:
        pq.write_table(table, unfinished, compression="zstd")


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


def sentence_nfr_histogram(counts: Int64[np.ndarray, "pair sentence 4"]) -> Int64[np.ndarray, "bin"]:
    """How many sentences, over all pairs, lose which share of their words: `HISTOGRAM_BINS`.

    Sentences without a counted word are left out.  Exact: shares are compared as fractions.  O(pairs sentences).
    """
    num_words = counts.sum(axis=-1)
    some = num_words > 0
    tenth = -(-10 * counts[..., 1][some] // num_words[some])  # rounded up: (0.1, 0.2] is the second
    return np.bincount(tenth, minlength=len(HISTOGRAM_BINS))


def ancestry(treebank: Treebank) -> tuple[Int64[np.ndarray, "entry"], ...]:
    """Who stands above whom: upper and lower word, and the arcs between them, of every two words of one way up.

    Sorted by the upper word; each word is with itself, too, 0 arcs away.  ValueError for heads that run in a circle.
    O(entries log entries).
    """
    parent, lower = parents(treebank), np.arange(treebank.num_tokens, dtype=np.int64)
    upper, steps = lower, []
    while len(upper):
        if len(steps) >= treebank.lengths.max():
            raise ValueError("heads run in a circle")
        steps.append((upper, lower, np.full(len(upper), len(steps), dtype=np.int64)))
        upper = parent[upper]
        upper, lower = upper[upper >= 0], lower[upper >= 0]
    uppers, lowers, num_arcs = (np.concatenate(column) for column in zip(*steps))
    order = np.argsort(uppers, kind="stable")
    return uppers[order], lowers[order], num_arcs[order]


def subtrees(gold: Treebank, preset: Preset) -> Subtrees:
    """All sub-trees of two or more words, as the preset counts words (protocol 5.2, 5.5).

    Under `official` every word is compared, as in the authors' code; under `clean` the words that are no
    punctuation: one of them is the root of each sub-tree, and its size and depth are those of what is compared.
    O(entries of `ancestry`).
    """
    (upper, lower, num_arcs), compared = ancestry(gold), compared_words(gold, preset)
    starts = np.searchsorted(upper, np.arange(gold.num_tokens))  # each token is its own upper word
    size = np.add.reduceat(compared[lower].astype(np.int64), starts)
    depth = np.maximum.reduceat(np.where(compared[lower], num_arcs + 1, 0), starts)
    chosen = compared & (size >= 2)
    (root,) = np.nonzero(chosen)
    inside = chosen[upper]
    starts = np.searchsorted(upper[inside], root)
    return Subtrees(root, size[root], depth[root], lower[inside], starts)


def subtree_keys(gold: Treebank, units: Subtrees) -> Keys:
    """What sub-trees are told apart by: size in words, depth (a leaf has 1), tag of the root word.  O(sub-trees)."""
    return {"size": units.size, "depth": units.depth, "root upos": np.array(gold.upos)[units.root]}


def subtree_correctness(
    gold: Treebank, units: Subtrees, predicted: Treebank, preset: Preset
) -> dict[str, Bool[np.ndarray, "subtree"]]:
    """Which of the gold sub-trees a prediction gets right, by heads alone and by heads and relations.

    A word with a wrong head tears the children of two words apart: of the head it should have, and of the one it
    has.  A sub-tree is wrong if any word inside is torn.  The authors' code compares the children of each word
    recursively, which is the same.  ValueError for a prediction of other sentences.  O(tokens + members).
    """
    if not np.array_equal(gold.offsets, predicted.offsets):
        raise ValueError("the predicted trees are of other sentences than the gold trees")
    compared = compared_words(gold, preset)
    moved = compared & (predicted.heads != gold.heads)
    renamed = compared & (np.array(predicted.relations) != np.array(gold.relations))
    right = {}
    for level, misplaced in zip(SUBTREE_LEVELS, (moved, moved | renamed)):
        torn = np.zeros(gold.num_tokens + 1, dtype=bool)  # the last entry, -1, stands for the artificial root
        torn[parents(gold)[misplaced]] = torn[parents(predicted)[misplaced]] = True
        right[level] = ~np.logical_or.reduceat(torn[units.members], units.starts)
    return right


def word_couples(gold: Treebank, preset: Preset) -> Couples:
    """Every two scored words of a sentence: how far apart they stand, in words and in arcs, and how they are related.

    The relation is "" unless one is the head of the other.  Arcs are counted in the whole gold tree, through words
    that are not scored and, in a tree of several roots, through the artificial one.  O(couples).
    """
    words = np.flatnonzero(scored_words(gold, preset))
    first, second, _, tree_distance = _couples(gold, words)
    parent = parents(gold)[words]
    dependent = np.where(parent[first] == words[second], first, second)
    relation = np.where(tree_distance == 1, np.array(gold.relations)[words[dependent]], "")
    keys = {"distance": words[second] - words[first], "relation": relation, "tree distance": tree_distance}
    return Couples(first, second, {f"couple {name}": values for name, values in keys.items()})


def subtree_couples(gold: Treebank, units: Subtrees) -> Couples:
    """Every two sub-trees of a sentence: arcs between their roots, 0 where one contains the other.  O(couples)."""
    first, second, contained, tree_distance = _couples(gold, units.root)
    return Couples(first, second, {"couple tree distance": np.where(contained, 0, tree_distance)})


def _couples(gold: Treebank, tokens: Int64[np.ndarray, "unit"]) -> tuple[np.ndarray, ...]:
    """Both units of every two tokens of one sentence, whether one is above the other, and the arcs between them.

    Words have as many common ancestors as their lowest common one has above itself (and itself): the product of the
    table [unit, ancestor] with its transpose.  The artificial root is an ancestor of all, so that no two are without.
    """
    (upper, lower, _), num_tokens = ancestry(gold), gold.num_tokens
    lower = np.concatenate([lower, np.arange(num_tokens)])
    upper = np.concatenate([upper, num_tokens + gold.sentence_of_token])
    shape = (num_tokens, num_tokens + gold.num_sentences)
    ancestors = csr_array((np.ones(len(lower), dtype=np.int64), (lower, upper)), shape)[tokens]
    common = triu(ancestors @ ancestors.T, k=1).tocoo()
    num_ancestors = np.bincount(lower)[tokens]
    first, second = common.row.astype(np.int64), common.col.astype(np.int64)
    above_first, above_second = num_ancestors[first], num_ancestors[second]
    contained = common.data == np.minimum(above_first, above_second)
    return first, second, contained, above_first + above_second - 2 * common.data


def couple_counts(flipped: Bool[np.ndarray, "pair unit"], couples: Couples) -> Int64[np.ndarray, "couple 3"]:
    """(both, only one, neither): in how many pairs of models the units of each couple flip.  O(pairs couples)."""
    both = np.zeros(len(couples.first), dtype=np.int64)
    for one in flipped:
        some = np.flatnonzero(one[couples.first])  # few
        both[some] += one[couples.second[some]]
    num_flips = flipped.sum(axis=0)
    only_one = num_flips[couples.first] + num_flips[couples.second] - 2 * both
    return np.stack([both, only_one, len(flipped) - both - only_one], axis=1)


def co_occurrence(counts: Int64[np.ndarray, "couple 3"], slices: Slices) -> pd.DataFrame:
    """The counts of `couple_counts` added up slice by slice, a row a slice.

    Columns: key, num_units (couples of the gold trees), both, only_one, neither.  Every couple counts twice, as (x, y)
    and as (y, x), as in the authors' code.  O(couples).
    """
    chosen = slices.of_unit >= 0
    of_couple, num_slices = slices.of_unit[chosen], len(slices.names)
    columns = {"num_units": np.ones(len(of_couple))} | dict(zip(OUTCOMES, counts[chosen].T))
    twice = {name: 2 * np.bincount(of_couple, n, num_slices).astype(np.int64) for name, n in columns.items()}
    return pd.DataFrame({"key": slices.names} | twice)
