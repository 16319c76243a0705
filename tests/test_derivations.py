"""Derivations against a plain stack, and shared prefixes against sets of prefixes."""

from itertools import product

import numpy as np
import pytest
from plain_stackptr import any_order, inside_out

from bcrlib.data.treebank import read_conllu
from bcrlib.samplers.brute_force import all_trees, is_tree
from bcrlib.samplers.derivations import Derivations, derivations, prefix_tree, word_on_cycle


def padded(trees: list[tuple[int, ...]]) -> tuple[np.ndarray, np.ndarray]:
    """Heads [tree, position] and lengths, both with the root; rubbish at the root and behind the end."""
    lengths = np.array([len(tree) + 1 for tree in trees])
    heads = np.full((len(trees), lengths.max() + 2), 77)
    for row, tree in zip(heads, trees):
        row[1 : len(tree) + 1] = tree
    return heads, lengths


def simulate(words: list[int]) -> tuple[tuple[int, ...], list[tuple[int, int, int]]]:
    """What the steps build on a plain stack, and top, its last child and its head before every step."""
    stack, heads, last_child, seen = [0], {0: 0}, {}, []
    for word in words:
        top = stack[-1]
        seen.append((top, last_child.get(top, 0), heads[top]))
        if word == top:
            stack.pop()
        else:
            assert word not in heads, "attached twice"
            heads[word], last_child[top] = top, word
            stack.append(word)
    assert not stack, "left on the stack"
    return tuple(heads[word] for word in range(1, len(heads))), seen


def assert_rebuilds(steps: Derivations, tree: int, heads: tuple[int, ...]) -> None:
    """The steps of a tree are its own, in order and in number."""
    num_steps = 2 * len(heads) + 1
    rebuilt, seen = simulate(steps.word[tree, :num_steps].tolist())
    assert rebuilt == heads
    columns = (steps.top, steps.sibling, steps.grandparent)
    assert seen == list(zip(*(column[tree, :num_steps].tolist() for column in columns)))
    assert not any(column[tree, num_steps:].any() for column in (steps.word, *columns))


def test_every_small_tree_is_rebuilt_by_its_steps():
    trees = [tree for length in range(1, 5) for tree in all_trees(length, single_root=False)]
    steps = derivations(*padded(trees))
    assert len(trees) == 1 + 3 + 16 + 125 and steps.word.shape == (145, 9)
    for number, heads in enumerate(trees):
        assert_rebuilds(steps, number, heads)


def test_children_come_from_the_inside_out():
    trees = [tree for length in range(1, 5) for tree in all_trees(length, single_root=False)]
    steps = derivations(*padded(trees))
    ours = [tuple(row[: 2 * len(tree) + 1]) for row, tree in zip(steps.word.tolist(), trees)]
    assert ours == [inside_out(tree) for tree in trees]
    assert all(words in any_order(tree) for words, tree in zip(ours, trees))
    assert len({(len(tree), words) for tree, words in zip(trees, ours)}) == len(trees), "one tree, one derivation"


@pytest.mark.parametrize(
    "heads", [(2, 1, 0), (0, 2, 1), (0, 3, 2), (2, 3, 1), (0, 4, 1), (0, -1, 1)],
    ids=["cycle before the root", "itself", "cycle behind the root", "no root", "too far", "negative"],
)  # fmt: skip
def test_what_is_no_tree_is_refused_by_name(heads):
    good = (0, 1, 1)
    with pytest.raises(ValueError, match="tree 2 is not a tree"):
        derivations(*padded([good, heads, heads]))


def test_exactly_the_trees_are_accepted():
    """All heads of three words, of which 16 of 64 are trees."""
    for heads in product(range(4), repeat=3):
        tree = is_tree(heads, single_root=False)
        fault = word_on_cycle(np.array([0, *heads]), np.array([0, 1, 4]))
        assert (fault < 0) == tree
        if tree:
            derivations(*padded([heads]))
        else:
            assert heads[fault - 1] != 0, "the word named hangs on the root"
            with pytest.raises(ValueError, match="tree 1 is not a tree"):
                derivations(*padded([heads]))


def test_no_trees_have_no_steps():
    assert derivations(np.zeros((0, 5)), np.zeros(0)).word.shape == (0, 0)


def is_projective(heads: tuple[int, ...]) -> bool:
    spans = [(min(word, head), max(word, head)) for word, head in enumerate(heads, start=1)]
    return not any(a < c < b < d for a, b in spans for c, d in spans)


def test_trees_of_a_real_treebank_are_rebuilt(ewt):
    """UD English EWT, train; some of its trees are not projective."""
    treebank = read_conllu(ewt("train"))
    bounds = zip(treebank.offsets, treebank.offsets[1:])
    trees = [tuple(treebank.heads[begin:end].tolist()) for begin, end in bounds]
    assert len(trees) == 12_543
    for start in range(0, len(trees), 500):
        part = trees[start : start + 500]
        steps = derivations(*padded(part))
        for number, heads in enumerate(part):
            assert_rebuilds(steps, number, heads)
    assert not all(is_projective(heads) for heads in trees[:2000])


@pytest.fixture
def trees_of_sentences() -> list[list[tuple[int, ...]]]:
    """Of four sentences, in order of falling length; one tree comes twice."""
    rng = np.random.default_rng(0)
    some = [tree for tree in all_trees(4, single_root=False) if rng.random() < 0.2]
    return [[*some, some[2]], list(all_trees(3)), list(all_trees(3, single_root=False))[::-1], [(0,)]]


def test_the_nodes_of_a_step_are_the_different_prefixes(trees_of_sentences):
    sentence = np.repeat(np.arange(4), [len(trees) for trees in trees_of_sentences])
    heads, lengths = padded([tree for trees in trees_of_sentences for tree in trees])
    steps = derivations(heads, lengths)
    nodes = prefix_tree(steps, sentence, lengths)
    assert len(nodes.starts) == steps.word.shape[1] + 1 and nodes.starts[-1] == len(nodes.parent)
    for k in range(steps.word.shape[1]):
        alive = [tree for tree in range(len(heads)) if k < 2 * lengths[tree] - 1]
        prefix_of = {tree: (sentence[tree], *steps.word[tree, :k].tolist()) for tree in alive}
        places = range(nodes.starts[k], nodes.starts[k + 1])
        node_of = {prefix_of[tree]: int(nodes.node_of_step[tree, k]) for tree in alive}
        assert sorted(node_of.values()) == list(places), "one node a prefix"
        assert all(nodes.node_of_step[tree, k] == node_of[prefix_of[tree]] for tree in alive)
        assert (np.diff(nodes.sentence[places]) >= 0).all()
        for tree in alive:
            node = nodes.node_of_step[tree, k]
            assert nodes.sentence[node] == sentence[tree]
            assert nodes.parent[node] == (sentence[tree] if k == 0 else nodes.node_of_step[tree, k - 1])
            for name in ("top", "sibling", "grandparent"):
                assert getattr(nodes, name)[node] == getattr(steps, name)[tree, k]
    behind = np.arange(steps.word.shape[1]) >= 2 * lengths[:, None] - 1
    assert (nodes.node_of_step[behind] == -1).all() and behind.any()
