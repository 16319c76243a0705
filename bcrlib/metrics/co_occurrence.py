"""Do units flip together?  Co-occurrence of negative flips for two words, or two sub-trees, of one sentence.

The authors' statistic (protocol 5.5): of the couples of which at least one flips, the share of which both do.  A
*couple* is two units of one sentence; a *pair* is, here as everywhere, an old and a new model.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Bool, Int64
from scipy.sparse import csr_array, triu

from bcrlib.data.presets import Preset
from bcrlib.data.treebank import Treebank
from bcrlib.metrics.attachment import scored_words
from bcrlib.metrics.breakdowns import Slices
from bcrlib.metrics.subtrees import Subtrees, ancestry, parents

OUTCOMES = ("both", "only_one", "neither")


@dataclass(frozen=True, eq=False)
class Couples:
    """Every two units of one sentence, once, with what they are told apart by."""

    first: Int64[np.ndarray, "couple"]
    second: Int64[np.ndarray, "couple"]
    keys: Mapping[str, Int64[np.ndarray, "couple"] | np.ndarray]


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
    return Couples(first, second, keys)


def subtree_couples(gold: Treebank, units: Subtrees) -> Couples:
    """Every two sub-trees of a sentence: arcs between their roots, 0 where one contains the other.  O(couples)."""
    first, second, contained, tree_distance = _couples(gold, units.root)
    return Couples(first, second, {"tree distance": np.where(contained, 0, tree_distance)})


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


def _couples(gold: Treebank, tokens: Int64[np.ndarray, "unit"]) -> tuple[np.ndarray, ...]:
    """Both units of every two tokens of one sentence, whether one is above the other, and the arcs between them.

    Words have as many common ancestors as their lowest common one has above itself (and itself): the product of the
    table [unit, ancestor] with its transpose.  The artificial root is an ancestor of all, so that no two are without.
    """
    entries, num_tokens = ancestry(gold), gold.num_tokens
    own_root = num_tokens + gold.sentence_of_token
    lower = np.concatenate([entries.lower, np.arange(num_tokens)])
    upper = np.concatenate([entries.upper, own_root])
    shape = (num_tokens, num_tokens + gold.num_sentences)
    ancestors = csr_array((np.ones(len(lower), dtype=np.int64), (lower, upper)), shape)[tokens]
    common = triu(ancestors @ ancestors.T, k=1).tocoo()
    num_ancestors = np.bincount(lower)[tokens]
    first, second = common.row.astype(np.int64), common.col.astype(np.int64)
    above_first, above_second = num_ancestors[first], num_ancestors[second]
    contained = common.data == np.minimum(above_first, above_second)
    return first, second, contained, above_first + above_second - 2 * common.data
