"""What may come next: every way leads to a tree, and to every tree there is a way."""

from itertools import product

import numpy as np
import pytest
import torch
from plain_stackptr import any_order, inside_out

from bcrlib.samplers.brute_force import all_trees, is_tree
from bcrlib.samplers.rules import PartialTrees, Rules, allowed, extend, start
from bcrlib.samplers.search import at

RULES = [Rules(any_order=order, single_root=root) for order, root in product([False, True], repeat=2)]
EACH_RULE = pytest.mark.parametrize("rules", RULES, ids=str)


def all_derivations(length: int, rules: Rules) -> tuple[torch.Tensor, PartialTrees]:
    """The steps [derivation, step] of every sequence of allowed actions, and where they end."""
    hyps, words = start(torch.tensor([length + 1])), torch.zeros(1, 0, dtype=torch.int64)
    for _ in range(2 * length + 1):
        may = allowed(hyps, rules)[0]
        assert may.any(dim=1).all(), "a dead end"
        parent, word = may.nonzero(as_tuple=True)
        hyps = extend(hyps, parent[None], word[None], torch.zeros(1, len(parent)))
        words = torch.cat([words[parent], word[:, None]], dim=1)
    return words, hyps


@EACH_RULE
@pytest.mark.parametrize("length", [1, 2, 3, 4])
def test_every_way_ends_in_a_tree_and_every_tree_is_reached(length, rules):
    words, hyps = all_derivations(length, rules)
    trees = list(all_trees(length, rules.single_root))
    assert {tuple(heads) for heads in hyps.heads[0, :, 1:].tolist()} == set(trees)
    assert not hyps.on_stack.any()
    expected = [way for tree in trees for way in (any_order(tree) if rules.any_order else [inside_out(tree)])]
    assert sorted(map(tuple, words.tolist())) == sorted(expected)


@EACH_RULE
def test_random_walks_through_long_sentences_end_in_trees(rules):
    """Sentences of unequal length side by side: nobody points behind the end of his own."""
    generator = torch.Generator().manual_seed(0)
    lengths = torch.tensor([14, 9, 9, 2])
    hyps, ended = start(lengths), []
    for step in range(2 * 14 - 1):
        alive = int((2 * lengths - 1 > step).sum())
        ended += [(row, hyps.heads[row]) for row in range(alive, len(hyps.top))]
        hyps = at(hyps, slice(alive))
        may = allowed(hyps, rules)
        behind = torch.arange(14) >= lengths[:alive, None, None]
        assert not (may & behind).any() and may.any(dim=2).all()
        parent = torch.zeros(alive, 30, dtype=torch.int64) if step == 0 else torch.arange(30).expand(alive, 30)
        of_parent = may.gather(1, parent[:, :, None].expand(-1, -1, 14))
        word = torch.multinomial(of_parent.flatten(0, 1).float(), 1, generator=generator).view(alive, 30)
        hyps = extend(hyps, parent, word, torch.zeros(alive, 30))
    ended += [(row, hyps.heads[row]) for row in range(len(hyps.top))]
    assert sorted(row for row, _ in ended) == [0, 1, 2, 3]
    for row, heads in ended:
        trees = {tuple(tree) for tree in heads[:, 1 : lengths[row]].tolist()}
        assert all(is_tree(tree, rules.single_root) for tree in trees)
        assert len(trees) > 20 or lengths[row] == 2


def test_each_hypothesis_knows_its_sibling_and_grandparent():
    hyps = start(torch.tensor([4]))
    seen = []
    for word in (2, 1, 1, 3, 3, 2, 0):
        seen.append((hyps.top.item(), hyps.sibling.item(), hyps.grandparent.item()))
        hyps = extend(hyps, torch.tensor([[0]]), torch.tensor([[word]]), torch.zeros(1, 1))
    assert seen == [(0, 0, 0), (2, 0, 0), (1, 0, 2), (2, 1, 0), (3, 0, 2), (2, 3, 0), (0, 2, 0)]
    assert hyps.heads.tolist() == [[[0, 2, 0, 2]]]


def test_children_keep_what_their_parents_had():
    parent, word = torch.tensor([[0, 0]]), torch.tensor([[1, 2]])
    hyps = extend(start(torch.tensor([4])), parent, word, torch.tensor([[-1.0, -2.0]]), torch.tensor([[7, 8]]))
    hyps = extend(hyps, torch.tensor([[1, 0, 1]]), torch.tensor([[1, 3, 2]]), torch.tensor([[-3.0, -4.0, -5.0]]))
    np.testing.assert_array_equal(hyps.relations[0], [[0, 0, 8, 0], [0, 7, 0, 0], [0, 0, 8, 0]])
    np.testing.assert_array_equal(hyps.heads[0], [[0, 2, 0, -1], [0, 0, -1, 1], [0, -1, 0, -1]])
    assert hyps.top.tolist() == [[1, 3, 0]] and hyps.score.tolist() == [[-3, -4, -5]]
