"""Sub-trees: how they are counted, and which are right, against the authors' way of comparing children recursively."""

import numpy as np
import pytest
from random_trees import random_mistakes, random_treebank

from bcrlib.data.presets import PRESETS
from bcrlib.data.treebank import Treebank
from bcrlib.metrics.attachment import treebank_correctness
from bcrlib.metrics.subtrees import SUBTREE_LEVELS, ancestry, subtree_correctness, subtrees

OFFICIAL, CLEAN = PRESETS["official"], PRESETS["clean"]
PRESET = pytest.mark.parametrize("preset", [OFFICIAL, CLEAN], ids=lambda preset: preset.name)

# The twin: one sentence at a time, words as numbers from 1, children as lists in order of position.


def is_compared(tag: str, preset) -> bool:
    return preset.tree_level_punct or tag not in preset.punct_exclude


def children(heads: list[int]) -> dict[int, list[int]]:
    return {head: [word for word, h in enumerate(heads, start=1) if h == head] for head in range(len(heads) + 1)}


def everything_below(word: int, below: dict[int, list[int]]) -> list[int]:
    return [word] + [w for child in below[word] for w in everything_below(child, below)]


def depth(word: int, below: dict[int, list[int]], compared: set[int]) -> int:
    deepest = max((depth(child, below, compared) for child in below[word]), default=0)
    return deepest + 1 if deepest or word in compared else 0


def same_below(word: int, gold: tuple, predicted: tuple, compared: set[int], labelled: bool) -> bool:
    def daughters(tree: tuple) -> list:
        heads, relations = tree
        found = [child for child in children(heads)[word] if child in compared]
        return [(child, relations[child - 1]) if labelled else child for child in found]

    below = children(gold[0])[word]
    return daughters(gold) == daughters(predicted) and all(
        same_below(child, gold, predicted, compared, labelled) for child in below
    )


def recursive_subtrees(gold: Treebank, predicted: Treebank, preset) -> list[tuple]:
    """(root token, size, depth, right without relations, right with relations) of every sub-tree."""
    found = []
    for start, end in zip(gold.offsets.tolist(), gold.offsets[1:].tolist()):
        mine, theirs = ((bank.heads[start:end].tolist(), bank.relations[start:end]) for bank in (gold, predicted))
        below = children(mine[0])
        compared = {w for w, tag in enumerate(gold.upos[start:end], start=1) if is_compared(tag, preset)}
        for word in sorted(compared):
            inside = [w for w in everything_below(word, below) if w in compared]
            if len(inside) >= 2:
                right = [same_below(word, mine, theirs, compared, labelled) for labelled in (False, True)]
                found.append((start + word - 1, len(inside), depth(word, below, compared), *right))
    return found


@PRESET
def test_subtrees_are_those_of_the_recursive_comparison(preset):
    rng = np.random.default_rng(1)
    gold = random_treebank(300, rng, longest=9)
    predicted = random_mistakes(gold, rng)
    expected = list(zip(*recursive_subtrees(gold, predicted, preset)))
    units = subtrees(gold, preset)
    assert (units.root.tolist(), units.size.tolist(), units.depth.tolist()) == tuple(map(list, expected[:3]))
    right = subtree_correctness(gold, units, predicted, preset)
    for level, twin in zip(SUBTREE_LEVELS, expected[3:]):
        assert 0.1 < right[level].mean() < 0.9
        assert right[level].tolist() == list(twin), level


def test_members_are_all_words_below():
    gold = random_treebank(50, np.random.default_rng(2), longest=9)
    units = subtrees(gold, CLEAN)
    members = np.split(units.members, units.starts[1:])
    assert len(members) == len(units.root)
    for root, inside in zip(units.root.tolist(), members):
        start = gold.offsets[gold.sentence_of_token[root]]
        heads = gold.heads[start : gold.offsets[gold.sentence_of_token[root] + 1]].tolist()
        assert sorted(inside - start + 1) == sorted(everything_below(root - start + 1, children(heads)))


def test_the_subtree_of_the_gold_root_is_the_whole_tree_of_the_authors():
    """Official UCM and LCM compare downwards from the gold root, as sub-trees do."""
    rng = np.random.default_rng(3)
    gold = random_treebank(200, rng)
    predicted = random_mistakes(gold, rng)
    units = subtrees(gold, OFFICIAL)
    at_root = gold.heads[units.root] == 0
    sentences = gold.sentence_of_token[units.root[at_root]]
    whole, parts = (
        treebank_correctness(gold, predicted, OFFICIAL),
        subtree_correctness(gold, units, predicted, OFFICIAL),
    )
    for level, part in zip(("UCM", "LCM"), SUBTREE_LEVELS):
        np.testing.assert_array_equal(parts[part][at_root], whole[level][sentences])


def test_a_word_moved_in_breaks_a_subtree_and_the_arc_above_it_does_not():
    gold = Treebank(list("abcd"), ["X"] * 4, np.array([2, 0, 2, 3], np.int32), ["r"] * 4, np.array([0, 4]))
    units = subtrees(gold, CLEAN)
    assert units.root.tolist() == [1, 2]

    def right(heads: list[int]) -> list[bool]:
        predicted = gold.with_trees(np.array(heads, np.int32), gold.relations)
        return subtree_correctness(gold, units, predicted, CLEAN)[SUBTREE_LEVELS[0]].tolist()

    assert right([2, 0, 2, 3]) == [True, True]
    assert right([3, 0, 2, 3]) == [False, False]  # the first word moved into the second sub-tree
    assert right([2, 0, 1, 3]) == [False, True]  # the second sub-tree moved as a whole
    with pytest.raises(ValueError, match="other sentences"):
        subtree_correctness(gold, units, gold.select(np.array([0, 0])), CLEAN)


def test_a_circle_is_refused():
    circle = Treebank(["a", "b"], ["X", "X"], np.array([2, 1], np.int32), ["r", "r"], np.array([0, 2]))
    with pytest.raises(ValueError, match="circle"):
        ancestry(circle)
