"""Sampling against plain twins: what is kept, how often it is drawn, and how often whole trees come about."""

import math
from functools import reduce

import numpy as np
import pytest
import torch
from plain_stackptr import PlainStackPtr, inside_out
from random_trees import random_treebank
from tiny_parsers import tiny_pointer_parser

from bcrlib.samplers.brute_force import all_trees
from bcrlib.samplers.search import draw, kept_probs
from bcrlib.samplers.strategies import Nucleus, TopK

STRATEGIES = [TopK(1), TopK(3), TopK(3, temperature=0.5), TopK(100), Nucleus(0.3), Nucleus(0.9), Nucleus(1.0)]
STRATEGIES += [Nucleus(0.7, temperature=2.0)]


def plainly_kept(log_probs: list[float], strategy: TopK | Nucleus) -> list[float]:
    """The definition, action by action; of equal ones the first counts as more probable."""
    weights = [math.exp(log_prob / strategy.temperature) for log_prob in log_probs]
    probs = [weight / sum(weights) for weight in weights]
    kept, mass = {}, 0.0
    for action in sorted(range(len(probs)), key=lambda action: -probs[action]):
        enough = len(kept) == strategy.k if isinstance(strategy, TopK) else mass >= strategy.p
        if not enough:
            kept[action] = probs[action]
            mass += probs[action]
    return [kept.get(action, 0.0) / mass for action in range(len(probs))]


@pytest.mark.parametrize("strategy", STRATEGIES, ids=str)
@pytest.mark.parametrize("kind", ["all different", "ties", "forbidden"])
def test_kept_probabilities_are_their_definition(strategy, kind):
    scores = 2 * np.random.default_rng(0).normal(size=(40, 7))
    if kind == "ties":
        scores = np.round(scores)
    if kind == "forbidden":
        scores[:, 1:][np.random.default_rng(1).random((40, 6)) < 0.5] = -np.inf
    log_probs = torch.from_numpy(scores).log_softmax(dim=1)
    ours = kept_probs(log_probs.view(8, 5, 7), strategy).view(40, 7)
    expected = [plainly_kept(row, strategy) for row in log_probs.tolist()]
    np.testing.assert_allclose(ours, expected, atol=1e-12)
    assert not ours[log_probs == -torch.inf].any()


def test_a_nucleus_stops_as_soon_as_its_mass_is_reached():
    """Four equal actions: half the mass is exactly two of them, and a hair more takes a third."""
    quarters = torch.full((4,), 0.25).log()
    assert kept_probs(quarters, Nucleus(0.5)).tolist() == [0.5, 0.5, 0, 0]
    assert (kept_probs(quarters, Nucleus(0.51)) > 0).tolist() == [True, True, True, False]
    assert kept_probs(quarters, Nucleus(0.01)).tolist() == [1, 0, 0, 0]
    assert kept_probs(quarters, Nucleus(1.0)).tolist() == [0.25] * 4
    assert kept_probs(quarters, TopK(3)).tolist() == pytest.approx([1 / 3, 1 / 3, 1 / 3, 0])


def test_draws_invert_the_distribution_function():
    """Evenly spaced numbers hit each action as often as it is wide, at most one more or less."""
    probs = torch.rand(30, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    probs /= probs.sum(dim=1, keepdim=True)
    even = (torch.arange(1000, dtype=torch.float64) + 0.5) / 1000
    actions = draw(probs[:, None].expand(-1, 1000, -1), even.expand(30, -1))
    counts = torch.stack([(actions == action).sum(dim=1) for action in range(5)], dim=1)
    assert (counts - 1000 * probs).abs().max() <= 1
    assert (actions.diff(dim=1) >= 0).all()


def test_draws_at_the_ends_have_a_probability():
    probs = torch.tensor([0.0, 0.3, 0.7, 0.0])
    ends = torch.tensor([0.0, 1 - 2**-53], dtype=torch.float64)
    assert draw(probs.expand(2, -1), ends).tolist() == [1, 2]
    tenths = torch.tensor([0.1] * 10 + [0.0])  # in float32 they are more than one together
    assert draw(tenths[None], ends[1:]).tolist() == [9]


def tree_probs(plain: PlainStackPtr, length: int, strategy: TopK | Nucleus) -> dict[tuple[int, ...], float]:
    """Of every tree the product over its steps of what the strategy leaves of the actions that lead to trees."""
    ways = {tree: inside_out(tree) for tree in all_trees(length)}
    result = {}
    for tree, words in ways.items():
        factors = []
        for number, step in enumerate(plain.steps(words)):
            next_words = {way[number] for way in ways.values() if way[:number] == words[:number]}
            log_probs = [step.pointers[w].item() if w in next_words else -math.inf for w in range(length + 1)]
            factors.append(plainly_kept(log_probs, strategy)[step.word])
        result[tree] = reduce(float.__mul__, factors)
    return result


@pytest.mark.parametrize("strategy", [TopK(2, 20_000, temperature=2.0), Nucleus(1.0, 20_000)], ids=str)
def test_trees_come_as_often_as_their_probabilities(strategy):
    """Within five standard deviations of 20,000 independent draws."""
    treebank = random_treebank(12, np.random.default_rng(0), longest=3)
    parser = tiny_pointer_parser(treebank, seed=2)
    one = treebank.select(np.flatnonzero(treebank.lengths == 3)[:1])
    expected = tree_probs(PlainStackPtr(parser, one), 3, strategy)
    assert sum(expected.values()) == pytest.approx(1) and sorted(expected.values())[-2] > 0.02
    pool = parser.candidates(one, strategy, seed=3)
    trees, counts = np.unique(pool.heads, axis=0, return_counts=True)
    count_of = dict(zip(map(tuple, trees.tolist()), counts.tolist()))
    assert set(count_of) <= set(expected)
    for tree, p in expected.items():
        deviation = math.sqrt(p * (1 - p) / 20_000)
        assert abs(count_of.get(tree, 0) / 20_000 - p) <= 5 * deviation + 1e-6, tree
