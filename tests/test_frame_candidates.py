"""Candidate pools of frames: duplicates, and the single candidate a re-ranker chose."""

import time

import numpy as np
import pytest

from bcrlib.data.bracket_sequences import BROKEN, END
from bcrlib.frame_candidates import FramePool, single, together

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
    assert (pool.num_candidates, pool.num_utterances) == (3, 2)


def test_equal_candidates_are_known(pool):
    np.testing.assert_array_equal(pool.first_equal(), np.array([[0, 0], [1, 1], [0, 0]], np.int16), strict=True)
    assert pool.num_distinct().tolist() == [2, 2]


def test_pools_of_other_lengths_come_together_in_their_order(pool):
    short = FramePool(pool.sequences[1:2, :, :4], LABELS, pool.log_probs[1:2])
    both = together([short, pool])
    np.testing.assert_array_equal(both.sequences[1:], pool.sequences, strict=True)
    assert both.sequences[0].tolist() == [[1, 2, 5, 4, END], [1, 5, 6, 3, END]]
    assert both.log_probs[:, 0].tolist() == [-2.0, -1.0, -2.0, -1.0]
    with pytest.raises(ValueError, match="same labels"):
        together([pool, FramePool(pool.sequences, ("IN:A", "SL:C"), pool.log_probs)])


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
    chosen = single(pool, np.array([1, 2]))
    assert chosen.sequences.tolist() == [[[1, 2, 5, 4, 3], [BROKEN, END, END, END, END]]]
    assert chosen.sequences.dtype == np.int16
    assert chosen.log_probs.tolist() == [[-2.0, np.float32(-0.3)]]
    assert chosen.labels == LABELS
    assert chosen.num_candidates == 1
