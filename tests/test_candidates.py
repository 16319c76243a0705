"""Candidate pools of trees and of frames: duplicates, joined ones, what a re-ranker chose; and strategies."""

import time
from dataclasses import replace

import numpy as np
import pytest
from pools import structures

from bcrlib.data.candidates import TreePool, joined, together
from bcrlib.data.frame_candidates import FramePool
from bcrlib.data.frames import BROKEN, END
from bcrlib.samplers.strategies import Beam, DropoutP, Joined, KBest, OneBest, parse_strategy

LABELS = ("IN:A", "SL:B")


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


@pytest.fixture
def frame_pool() -> FramePool:
    """Two utterances of three candidates."""
    return FramePool(
        sequences=np.array(
            [
                [[1, 5, 3, END, END], [BROKEN, END, END, END, END]],
                [[1, 2, 5, 4, 3], [1, 5, 6, 3, END]],
                [[1, 5, 3, END, END], [BROKEN, END, END, END, END]],
            ],
            dtype=np.int16,
        ),
        labels=LABELS,
        log_probs=np.array([[-1.0, -0.1], [-2.0, -0.2], [-1.0, -0.3]], dtype=np.float32),
    )


def test_pools_of_other_lengths_come_together_in_their_order(frame_pool):
    short = FramePool(frame_pool.sequences[1:2, :, :4], LABELS, frame_pool.log_probs[1:2])
    both = together([short, frame_pool])
    np.testing.assert_array_equal(both.sequences[1:], frame_pool.sequences, strict=True)
    assert both.sequences[0].tolist() == [[1, 2, 5, 4, END], [1, 5, 6, 3, END]]
    assert both.log_probs[:, 0].tolist() == [-2.0, -1.0, -2.0, -1.0]
    with pytest.raises(ValueError, match="same utterances"):
        together([frame_pool, FramePool(frame_pool.sequences[:, :1], LABELS, frame_pool.log_probs[:, :1])])


def test_pools_that_number_labels_otherwise_come_together_by_name(frame_pool):
    sequences = np.array([[[1, 3, 2, END, END], [BROKEN, 0, 0, 0, 0]]], dtype=np.int16)
    other = FramePool(sequences, ("IN:A",), np.zeros((1, 2), dtype=np.float32))
    both = together([FramePool(frame_pool.sequences, ("SL:B", "IN:A"), frame_pool.log_probs), other, frame_pool])
    assert both.labels == ("SL:B", "IN:A")
    assert both.sequences[:3].tolist() == frame_pool.sequences.tolist()
    assert both.sequences[3].tolist() == [[2, 5, 4, END, END], [BROKEN, END, END, END, END]]  # IN:A around word 0
    assert both.sequences[5].tolist() == [[2, 1, 5, 3, 4], [2, 5, 6, 4, END]]
    assert both.first_equal()[:, 1].tolist() == [0, 1, 0, 0, 0, 5, 0]


def test_single_takes_another_candidate_for_each_utterance(frame_pool):
    chosen = frame_pool.single(np.array([1, 2]))
    assert chosen.sequences.tolist() == [[[1, 2, 5, 4, 3], [BROKEN, END, END, END, END]]]
    assert chosen.sequences.dtype == np.int16
    assert chosen.log_probs.tolist() == [[-2.0, np.float32(-0.3)]]
    assert chosen.labels == LABELS
    assert chosen.num_candidates == 1


def random_trees(number: int, rng: np.random.Generator) -> TreePool:
    """Few heads and relations to choose from: many candidates are the same."""
    heads, relations = rng.integers(0, 2, (2, number, 7)).astype(np.int16)
    log_probs = rng.normal(size=(number, 4)).astype(np.float32)
    return TreePool(heads, relations, ("root", "obj"), log_probs, np.array([0, 1, 3, 5, 7]))


def random_frames(number: int, rng: np.random.Generator) -> FramePool:
    sequences = rng.integers(1, 3, (number, 5, 2 + number % 2)).astype(np.int16)
    return FramePool(sequences, LABELS, rng.normal(size=(number, 5)).astype(np.float32))


@pytest.mark.parametrize("random_pool", [random_trees, random_frames])
def test_joined_pools_have_equal_structures_once_and_are_filled_up_with_the_first(random_pool):
    rng = np.random.default_rng(4)
    pools = [random_pool(number, rng) for number in (1, 6, 5)]
    both, widths = joined(pools), []
    for item, kept in enumerate(structures(both)):
        distinct: dict[tuple, float] = {}
        for pool in pools:
            for structure, log_prob in zip(structures(pool)[item], pool.log_probs[:, item].tolist()):
                distinct.setdefault(structure, log_prob)
        widths.append(len(distinct))
        assert kept[: widths[-1]] == list(distinct) and set(kept[widths[-1] :]) <= {kept[0]}
        assert both.log_probs[: widths[-1], item].tolist() == list(distinct.values())
    assert both.num_candidates == max(widths) < 12 and min(widths) < max(widths)
    assert structures(joined([both])) == structures(both)


@pytest.mark.parametrize("random_pool", [random_trees, random_frames])
def test_equal_candidates_as_a_dictionary_finds_them(random_pool):
    pool = random_pool(6, np.random.default_rng(1))
    seen = [{structure: column.index(structure) for structure in column} for column in structures(pool)]
    expected = [[of[structure] for structure in column] for of, column in zip(seen, structures(pool))]
    assert pool.first_equal().T.tolist() == expected and pool.first_equal().dtype == np.int16
    assert pool.num_distinct().tolist() == list(map(len, seen))
    assert len(set(pool.num_distinct().tolist())) > 1


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
    "strategy", [OneBest(), KBest(7), KBest(7, labelled=True), Beam(4, 7), Beam(4, 7, ended=True), DropoutP(0.15, 7)]
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


def test_a_pool_of_the_size_of_top_test_is_compared_within_half_a_second():
    rng = np.random.default_rng(2)
    sequences = np.repeat(rng.integers(1, 9, (1, 8241, 100)), 10, axis=0).astype(np.int16)
    sequences[:, :, 99] = rng.integers(1, 3, (10, 8241))
    pool = FramePool(sequences, LABELS, np.zeros((10, 8241), dtype=np.float32))
    start = time.process_time()
    pool.first_equal()
    assert time.process_time() - start <= 0.5
