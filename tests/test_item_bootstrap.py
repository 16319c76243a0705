"""The bootstrap of one pair of models over items: draws replayed, and beside the bootstrap over many pairs."""

import numpy as np
import pytest

from bcrlib.metrics import uncertainty
from bcrlib.metrics.flips import as_flips
from bcrlib.metrics.uncertainty import PairCounts, estimate, rate_intervals, resampled_sums


def random_counts(num_items: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.multinomial(rng.integers(1, 9), [0.8, 0.05, 0.06, 0.09], size=num_items)


def test_a_resample_is_the_sum_over_drawn_items():
    numbers, rng = random_counts(30), np.random.default_rng(3)
    expected = [[sum(numbers[i, c] for i in drawn) for c in range(4)] for drawn in rng.integers(30, size=(7, 30))]
    assert resampled_sums(numbers, 7, np.random.default_rng(3)).tolist() == expected


def test_memory_is_bounded_and_changes_nothing(monkeypatch):
    numbers = random_counts(50)
    at_once = resampled_sums(numbers, 20, np.random.default_rng(1))
    monkeypatch.setattr(uncertainty, "CELLS_AT_ONCE", 150)  # three resamples
    np.testing.assert_array_equal(resampled_sums(numbers, 20, np.random.default_rng(1)), at_once)


@pytest.mark.parametrize("rate", ["acc_new", "nfr", "nfi"])
def test_intervals_are_those_of_the_bootstrap_over_pairs(rate):
    """Other draws of the same distribution: ends differ by little of the interval's width."""
    counts = random_counts(400)
    of_pair = rate_intervals(PairCounts(counts[None], ("old",), ("new",)), 4000, np.random.default_rng(0))[rate]
    drawn = as_flips(resampled_sums(counts, 4000, np.random.default_rng(1)))
    ours = estimate(of_pair.value, getattr(drawn, rate))
    width = of_pair.high - of_pair.low
    assert width > 0
    assert (ours.low, ours.high) == pytest.approx((of_pair.low, of_pair.high), abs=0.08 * width)


def test_resamples_without_units_are_left_out():
    assert estimate(0.5, np.array([np.nan, 0.2, 0.4]), 1.0) == uncertainty.Estimate(0.5, 0.2, 0.4)
