"""Candidate pools of frames: duplicates, and the single candidate a re-ranker chose."""

import time

import numpy as np
import pytest

from bcrlib.data.candidates import joined, together
from bcrlib.data.frame_candidates import FramePool
from bcrlib.data.frames import BROKEN, END

LABELS = ("IN:A", "SL:B")


@pytest.fixture
def pool() -> FramePool:
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


def test_sizes(pool):
    assert (pool.num_candidates, pool.num_items) == (3, 2)


def test_equal_candidates_are_known(pool):
    np.testing.assert_array_equal(pool.first_equal(), np.array([[0, 0], [1, 1], [0, 0]], np.int16), strict=True)
    assert pool.num_distinct().tolist() == [2, 2]


def test_pools_of_other_lengths_come_together_in_their_order(pool):
    short = FramePool(pool.sequences[1:2, :, :4], LABELS, pool.log_probs[1:2])
    both = together([short, pool])
    np.testing.assert_array_equal(both.sequences[1:], pool.sequences, strict=True)
    assert both.sequences[0].tolist() == [[1, 2, 5, 4, END], [1, 5, 6, 3, END]]
    assert both.log_probs[:, 0].tolist() == [-2.0, -1.0, -2.0, -1.0]
    with pytest.raises(ValueError, match="same utterances"):
        together([pool, FramePool(pool.sequences[:, :1], LABELS, pool.log_probs[:, :1])])


def test_pools_that_number_labels_otherwise_come_together_by_name(pool):
    sequences = np.array([[[1, 3, 2, END, END], [BROKEN, 0, 0, 0, 0]]], dtype=np.int16)
    other = FramePool(sequences, ("IN:A",), np.zeros((1, 2), dtype=np.float32))
    both = together([FramePool(pool.sequences, ("SL:B", "IN:A"), pool.log_probs), other, pool])
    assert both.labels == ("SL:B", "IN:A")
    assert both.sequences[:3].tolist() == pool.sequences.tolist()
    assert both.sequences[3].tolist() == [[2, 5, 4, END, END], [BROKEN, END, END, END, END]]  # IN:A around word 0
    assert both.sequences[5].tolist() == [[2, 1, 5, 3, 4], [2, 5, 6, 4, END]]
    assert both.first_equal()[:, 1].tolist() == [0, 1, 0, 0, 0, 5, 0]


def test_joined_pools_have_equal_frames_once_and_are_filled_up_with_the_first():
    rng = np.random.default_rng(4)
    pools = [
        FramePool(
            rng.integers(1, 3, (number, 5, steps)).astype(np.int16),
            LABELS,
            rng.normal(size=(number, 5)).astype(np.float32),
        )
        for number, steps in ((1, 3), (8, 2), (6, 3))
    ]
    both, widths = joined(pools), []
    for u in range(5):
        distinct: dict[tuple, float] = {}
        for pool in pools:
            for sequence, log_prob in zip(pool.sequences[:, u].tolist(), pool.log_probs[:, u].tolist()):
                distinct.setdefault(tuple(code for code in sequence if code != END), log_prob)
        kept = [tuple(code for code in sequence if code != END) for sequence in both.sequences[:, u].tolist()]
        widths.append(len(distinct))
        assert kept[: widths[-1]] == list(distinct)
        assert both.log_probs[: widths[-1], u].tolist() == list(distinct.values())
        assert set(kept[widths[-1] :]) <= {kept[0]}
    assert both.num_candidates == max(widths) < 15 and min(widths) < max(widths)


def random_pool(rng: np.random.Generator, candidates: int, utterances: int, steps: int) -> FramePool:
    """A pool of few distinct sequences each, which differ in one step, the last or the first among others."""
    base = rng.integers(1, 9, (utterances, steps))
    sequences = np.repeat(base[None], candidates, axis=0)
    where = rng.integers(0, 2, (candidates, utterances)) * (steps - 1)
    np.put_along_axis(sequences, where[..., None], rng.integers(1, 3, (candidates, utterances, 1)), axis=2)
    return FramePool(sequences.astype(np.int16), LABELS, rng.normal(size=(candidates, utterances)).astype(np.float32))


def test_equal_candidates_as_a_dictionary_finds_them():
    pool = random_pool(np.random.default_rng(1), candidates=7, utterances=40, steps=5)
    for u in range(40):
        seen: dict[tuple[int, ...], int] = {}
        expected = [seen.setdefault(tuple(pool.sequences[c, u].tolist()), c) for c in range(7)]
        assert pool.first_equal()[:, u].tolist() == expected
        assert pool.num_distinct()[u] == len(seen)
    assert len(set(pool.num_distinct().tolist())) > 1


def test_a_pool_of_the_size_of_top_test_is_compared_within_half_a_second():
    pool = random_pool(np.random.default_rng(2), candidates=10, utterances=8241, steps=100)
    start = time.process_time()
    pool.first_equal()
    assert time.process_time() - start <= 0.5


def test_single_takes_another_candidate_for_each_utterance(pool):
    chosen = pool.single(np.array([1, 2]))
    assert chosen.sequences.tolist() == [[[1, 2, 5, 4, 3], [BROKEN, END, END, END, END]]]
    assert chosen.sequences.dtype == np.int16
    assert chosen.log_probs.tolist() == [[-2.0, np.float32(-0.3)]]
    assert chosen.labels == LABELS
    assert chosen.num_candidates == 1
