"""Candidate pools: duplicates, and the single candidate a re-ranker chose."""

from dataclasses import replace

import numpy as np
import pytest

from bcrlib.data.candidates import TreePool, joined, together
from bcrlib.samplers.strategies import Beam, DropoutP, Joined, KBest, OneBest, parse_strategy


@pytest.fixture
def pool() -> TreePool:
    """Two sentences, of two words and of one word; three candidates."""
    return TreePool(
        heads=np.array([[0, 1, 0], [2, 0, 0], [0, 1, 0]], dtype=np.int16),
        relations=np.array([[0, 1, 0], [1, 0, 1], [0, 1, 1]], dtype=np.int16),
        relation_names=("root", "obj"),
        log_probs=np.array([[-1.0, -0.1], [-2.0, -0.2], [-1.0, -0.2]], dtype=np.float32),
        offsets=np.array([0, 2, 3]),
    )


def test_first_equal_compares_heads_and_relations(pool):
    assert pool.first_equal().tolist() == [[0, 0], [1, 1], [0, 1]]


def test_num_distinct_counts_labelled_trees(pool):
    assert pool.num_distinct().tolist() == [2, 2]


def test_single_takes_another_candidate_for_each_sentence(pool):
    chosen = pool.single(np.array([1, 2]))
    assert chosen.heads.tolist() == [[2, 0, 0]]
    assert chosen.relation_strings() == ["obj", "root", "obj"]
    assert chosen.log_probs.tolist() == [[-2.0, np.float32(-0.2)]]
    assert chosen.num_candidates == 1


def test_pools_come_together_in_their_order(pool):
    both = together([pool.single(np.array([1, 2])), pool])
    assert both.heads.tolist() == [[2, 0, 0], *pool.heads.tolist()]
    assert both.relations.tolist() == [[1, 0, 1], *pool.relations.tolist()]
    assert both.log_probs[0].tolist() == [-2.0, np.float32(-0.2)]
    with pytest.raises(ValueError, match="same sentences"):
        together([pool, replace(pool, offsets=np.array([0, 1, 3]))])


def test_pools_that_number_relations_otherwise_come_together_by_name(pool):
    swapped = replace(pool, relations=1 - pool.relations, relation_names=("obj", "root"))
    other = replace(pool, relation_names=("root", "nsubj"))
    both = together([pool, swapped, other])
    assert both.relation_names == ("root", "obj", "nsubj")
    assert [both.relation_strings(c) for c in range(6)] == 2 * [pool.relation_strings(c) for c in range(3)]
    assert both.relation_strings(7) == ["nsubj", "root", "nsubj"]
    assert both.first_equal()[3:6].tolist() == pool.first_equal().tolist()
    assert both.relations.dtype == np.int16


def trees_of(pool: TreePool, sentence: int) -> list[tuple]:
    """Heads, relations and log-probability of every candidate of a sentence."""
    words = slice(*pool.offsets[sentence : sentence + 2])
    return [
        (*pool.heads[c, words].tolist(), *pool.relation_strings(c)[words], float(pool.log_probs[c, sentence]))
        for c in range(pool.num_candidates)
    ]


def test_joined_pools_have_equal_trees_once_and_are_filled_up_with_the_first():
    rng = np.random.default_rng(4)
    pools = [
        TreePool(
            heads=rng.integers(0, 2, (number, 7)).astype(np.int16),
            relations=rng.integers(0, 2, (number, 7)).astype(np.int16),
            relation_names=("root", "obj"),
            log_probs=rng.normal(size=(number, 4)).astype(np.float32),
            offsets=np.array([0, 1, 3, 5, 7]),
        )
        for number in (1, 6, 5)
    ]
    both, widths = joined(pools), []
    for s in range(4):
        distinct: dict[tuple, tuple] = {}
        for tree in [tree for pool in pools for tree in trees_of(pool, s)]:
            distinct.setdefault(tree[:-1], tree)
        kept = trees_of(both, s)
        widths.append(len(distinct))
        assert kept[: widths[-1]] == list(distinct.values())
        assert set(kept[widths[-1] :]) <= {kept[0]}
    assert both.num_candidates == max(widths) < 12 and min(widths) < max(widths)
    assert joined([both]).heads.tolist() == both.heads.tolist()


def test_a_joined_strategy_prints_its_parts():
    strategy = Joined((OneBest(), Beam(10, 7), DropoutP(0.05, 7)))
    assert str(strategy) == "1-best+beam(b=10)+dropout-p(p=0.05)"
    assert parse_strategy(str(strategy), 7) == strategy
    assert strategy.num_candidates == 15


@pytest.mark.parametrize("text", ["k-best+", "+k-best", "k-best+k-best", "k-best+best", "k-best + 1-best"])
def test_what_does_not_join_is_refused(text):
    with pytest.raises(ValueError):
        parse_strategy(text)


@pytest.mark.parametrize(
    "strategy",
    [OneBest(), KBest(7), KBest(7, labelled=True), Beam(4, 7), Beam(4, 7, ended=True), DropoutP(0.15, 7)],
)
def test_a_strategy_is_read_back_from_its_name(strategy):
    assert parse_strategy(str(strategy), strategy.num_candidates) == strategy


def test_the_letter_of_the_first_number_may_be_left_out():
    assert parse_strategy("dropout-p(0.05)+beam(4)", 7) == Joined((DropoutP(0.05, 7), Beam(4, 7)))
    assert str(parse_strategy("top-k(5,t=0.7)")) == "top-k(k=5,t=0.7)"


@pytest.mark.parametrize(
    "text",
    [
        *("best", "k-best ", "k-best(unlabelled)", "k-best(3)", "1-best(3)", "top-k(5,0.7)"),
        *("dropout-p", "dropout-p(p=1.5)", "beam(b=4,end)", "beam(4.0)"),
    ],
)
def test_an_unknown_strategy_is_refused(text):
    with pytest.raises(ValueError):
        parse_strategy(text)
