"""Candidate pools: duplicates, and the single candidate a re-ranker chose."""

from dataclasses import replace

import numpy as np
import pytest

from bcrlib.candidates import CandidatePool, single, together
from bcrlib.decoding.strategies import Beam, DropoutP, KBest, OneBest, parse_strategy


@pytest.fixture
def pool() -> CandidatePool:
    """Two sentences, of two words and of one word; three candidates."""
    return CandidatePool(
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
    chosen = single(pool, np.array([1, 2]))
    assert chosen.heads.tolist() == [[2, 0, 0]]
    assert chosen.relation_strings() == ["obj", "root", "obj"]
    assert chosen.log_probs.tolist() == [[-2.0, np.float32(-0.2)]]
    assert chosen.num_candidates == 1


def test_pools_come_together_in_their_order(pool):
    both = together([single(pool, np.array([1, 2])), pool])
    assert both.heads.tolist() == [[2, 0, 0], *pool.heads.tolist()]
    assert both.relations.tolist() == [[1, 0, 1], *pool.relations.tolist()]
    assert both.log_probs[0].tolist() == [-2.0, np.float32(-0.2)]
    with pytest.raises(ValueError, match="same relations"):
        together([pool, replace(pool, relation_names=("root", "nsubj"))])


@pytest.mark.parametrize("strategy", [OneBest(), KBest(7), Beam(4, 7), Beam(4, 7, ended=True), DropoutP(0.15, 7)])
def test_a_strategy_is_read_back_from_its_name(strategy):
    assert parse_strategy(str(strategy), strategy.num_candidates) == strategy


@pytest.mark.parametrize("text", ["best", "dropout-p", "dropout-p(p=1.5)", "k-best ", "beam(b=4,end)"])
def test_an_unknown_strategy_is_refused(text):
    with pytest.raises(ValueError):
        parse_strategy(text)
