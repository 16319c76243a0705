"""Complete sub-trees of gold trees, the authors' third unit beside words and whole trees: which of them are right.

A sub-tree is a word with everything below it.  It is right if the words inside have the heads (and relations) of the
gold tree and no other word was moved in; the arc into its own root is not part of it.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int64

from bcrlib.data.presets import Preset
from bcrlib.data.treebank import Treebank
from bcrlib.metrics.attachment import scored_words

SUBTREE_LEVELS = ("unlabelled sub-tree", "labelled sub-tree")


@dataclass(frozen=True, eq=False)
class Ancestry:
    """Every word with every word above it in its tree, itself included: one entry each, sorted by the upper word."""

    upper: Int64[np.ndarray, "entry"]
    lower: Int64[np.ndarray, "entry"]
    num_arcs: Int64[np.ndarray, "entry"]
    """Arcs from the upper down to the lower word; 0 for a word and itself."""


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


def parents(treebank: Treebank) -> Int64[np.ndarray, "token"]:
    """The token that is the head of each token; -1 for words that hang from the artificial root.  O(tokens)."""
    heads = treebank.heads.astype(np.int64)
    return np.where(heads == 0, -1, treebank.offsets[treebank.sentence_of_token] + heads - 1)


def word_depths(treebank: Treebank) -> Int64[np.ndarray, "token"]:
    """Words from the root of its tree down to each word, both counted: 1 for a root.

    Heads must not run in a circle.  O(tokens log(longest sentence)).
    """
    top = treebank.num_tokens  # stands for the artificial root
    above = parents(treebank)
    above = np.append(np.where(above < 0, top, above), top)
    depths = np.append(np.ones(top, dtype=np.int64), 0)
    for _ in range(int(treebank.lengths.max()).bit_length()):  # doubles the height climbed
        depths, above = depths + depths[above], above[above]
    return depths[:top]


def ancestry(treebank: Treebank) -> Ancestry:
    """Who stands above whom.  ValueError for heads that run in a circle.  O(entries log entries)."""
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
    return Ancestry(uppers[order], lowers[order], num_arcs[order])


def subtrees(gold: Treebank, preset: Preset) -> Subtrees:
    """All sub-trees of two or more words, as the preset counts words (protocol 5.2, 5.5).

    Under `official` every word is compared, as in the authors' code; under `clean` the words that are no
    punctuation: one of them is the root of each sub-tree, and its size and depth are those of what is compared.
    O(entries of `ancestry`).
    """
    entries, compared = ancestry(gold), _compared_words(gold, preset)
    starts = np.searchsorted(entries.upper, np.arange(gold.num_tokens))  # each token is its own upper word
    size = np.add.reduceat(compared[entries.lower].astype(np.int64), starts)
    depth = np.maximum.reduceat(np.where(compared[entries.lower], entries.num_arcs + 1, 0), starts)
    chosen = compared & (size >= 2)
    (root,) = np.nonzero(chosen)
    inside = chosen[entries.upper]
    starts = np.searchsorted(entries.upper[inside], root)
    return Subtrees(root, size[root], depth[root], entries.lower[inside], starts)


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
    compared = _compared_words(gold, preset)
    moved = compared & (predicted.heads != gold.heads)
    renamed = compared & (np.array(predicted.relations) != np.array(gold.relations))
    right = {}
    for level, misplaced in zip(SUBTREE_LEVELS, (moved, moved | renamed)):
        torn = np.zeros(gold.num_tokens + 1, dtype=bool)  # the last entry, -1, stands for the artificial root
        torn[parents(gold)[misplaced]] = torn[parents(predicted)[misplaced]] = True
        right[level] = ~np.logical_or.reduceat(torn[units.members], units.starts)
    return right


def _compared_words(gold: Treebank, preset: Preset) -> Bool[np.ndarray, "token"]:
    """Which words the levels above single words compare."""
    return np.ones(gold.num_tokens, dtype=bool) if preset.tree_level_punct else scored_words(gold, preset)
