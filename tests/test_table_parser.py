"""Decoding by a table of numbers against all trees, one by one; what `allowed` permits against what leads to a tree."""

from collections import Counter
from itertools import product
from math import factorial, prod

import numpy as np
import pytest

from bcrlib.samplers.brute_force import (
    SampledScorer,
    TableScorer,
    all_trees,
    decode,
    next_steps,
    seeded_uniform,
    step_log_probs,
)
from bcrlib.samplers.derivations import derivations
from bcrlib.samplers.rules import Rules
from bcrlib.samplers.search import best_actions, sampled_actions
from bcrlib.samplers.strategies import Nucleus, TopK

INSIDE_OUT = Rules(any_order=False, single_root=True)
EVERYTHING = 10_000


def every_tree(num_words: int, single_root: bool = True) -> np.ndarray:
    return np.array([(0, *heads) for heads in all_trees(num_words, single_root)])


def derived(trees: np.ndarray):
    return derivations(trees, np.full(len(trees), trees.shape[1]))


def tree_log_probs(table: np.ndarray, trees: np.ndarray) -> np.ndarray:
    return step_log_probs(table, derived(trees)).sum(axis=1)


def random_table(num_words: int, seed: int) -> np.ndarray:
    return np.exp(np.random.default_rng(seed).normal(size=(num_words + 1,) * 4))


@pytest.mark.parametrize("single_root", [True, False])
@pytest.mark.parametrize("num_words", [1, 2, 3, 4])
def test_a_full_beam_finds_every_tree_once_with_its_log_probability(num_words, single_root):
    table = random_table(num_words, seed=num_words)
    trees = every_tree(num_words, single_root)
    expected = dict(zip(map(tuple, trees), tree_log_probs(table, trees)))
    rules = Rules(any_order=False, single_root=single_root)
    heads, scores = decode(TableScorer(table[None]), np.array([num_words + 1]), best_actions(len(trees)), rules)
    assert {tuple(tree) for tree in heads[0]} == set(expected)
    np.testing.assert_allclose(scores[0], [expected[tuple(tree)] for tree in heads[0]])
    assert (np.diff(scores[0]) <= 0).all()


@pytest.mark.parametrize("num_words", [1, 2, 3, 4])
def test_in_any_order_a_tree_has_a_derivation_for_every_order_of_every_words_children(num_words):
    table, rules = np.ones((1,) + (num_words + 1,) * 4), Rules(any_order=True, single_root=False)
    heads, scores = decode(TableScorer(table), np.array([num_words + 1]), best_actions(EVERYTHING), rules)
    found = Counter(map(tuple, heads[0][np.isfinite(scores[0])].tolist()))
    children = {tree: Counter(tree[1:]).values() for tree in map(tuple, every_tree(num_words, False).tolist())}
    assert found == {tree: prod(map(factorial, counts)) for tree, counts in children.items()}
    assert found.total() == factorial(2 * num_words) // factorial(num_words + 1)


@pytest.mark.parametrize("single_root", [True, False])
@pytest.mark.parametrize("any_order", [True, False])
def test_next_steps_are_those_of_some_tree_with_this_beginning(any_order, single_root):
    rules = Rules(any_order, single_root)
    words = derived(every_tree(4, single_root)).word.tolist()
    continuations: dict[tuple, set] = {}
    for steps, number in product(words, range(9)):
        continuations.setdefault(tuple(steps[:number]), set()).add(steps[number])
    for begin, expected in continuations.items():
        found = set(next_steps(begin, 5, rules))
        assert found >= expected if any_order else found == expected


def test_a_step_against_the_rules_ends_in_a_dead_end():
    # The second word has children on its right: only the fifth can still take the first.
    assert next_steps([2, 3, 3, 5, 4, 4], 6, INSIDE_OUT) == [1]
    assert next_steps([2, 3, 3, 5, 4, 4, 5], 6, INSIDE_OUT) == []


def test_the_probability_of_a_tree_by_hand():
    table = np.ones((3, 3, 3, 3))
    table[0, 0, 0] = [1, 6, 3]  # from the root, without a child: itself, the first or the second word
    table[0, 1, 0] = [9, 2, 6]  # from the first word under the root; the root cannot be pointed to
    (steps,) = np.exp(step_log_probs(table, derived(np.array([[0, 0, 1]]))))
    assert steps.tolist() == pytest.approx([6 / 10, 6 / 8, 1, 1, 1])  # all attached: only finishing is left


@pytest.mark.parametrize("strategy", [TopK(2), Nucleus(0.8), Nucleus(1.0), Nucleus(0.9, temperature=2.0)])
def test_samples_come_as_often_as_they_are_probable(strategy):
    num_samples, lengths = 10_000, np.array([4])
    scorer = TableScorer(random_table(3, seed=7)[None])
    trees, exact = decode(SampledScorer(scorer, strategy, INSIDE_OUT), lengths, best_actions(9), INSIDE_OUT)
    probability = {tuple(tree): np.exp(score) for tree, score in zip(trees[0], exact[0]) if score > -np.inf}
    assert sum(probability.values()) == pytest.approx(1)
    heads, scores = decode(scorer, lengths, sampled_actions(strategy, seeded_uniform(3, num_samples)), INSIDE_OUT)
    drawn = Counter(map(tuple, heads[0]))
    assert set(drawn) <= {tree for tree, p in probability.items() if p > 0}
    for tree, p in probability.items():
        assert abs(drawn[tree] / num_samples - p) < 4.5 * np.sqrt(p * (1 - p) / num_samples) + 1e-12
    np.testing.assert_allclose(scores[0], tree_log_probs(random_table(3, seed=7), heads[0]))


def test_sentences_of_a_batch_have_tables_of_their_own_and_may_be_shorter():
    tables = np.stack([random_table(4, seed) for seed in (5, 6)])
    heads, scores = decode(TableScorer(tables), np.array([5, 3]), best_actions(64), INSIDE_OUT)
    np.testing.assert_allclose(scores[0], tree_log_probs(tables[0], heads[0]))
    expected = tree_log_probs(tables[1, :3, :3, :3, :3], every_tree(2))  # words behind the end take no part
    short = np.isfinite(scores[1])
    assert {tuple(tree[:3]) for tree in heads[1][short]} == set(map(tuple, every_tree(2)))
    assert sorted(scores[1][short]) == pytest.approx(sorted(expected))
