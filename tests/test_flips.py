"""The 2x2 count and its rates."""

import numpy as np
import pytest

from bcrlib.metrics.flips import RATES, Flips, as_flips, flips, flips_by_sentence


def test_hand_worked():
    """Ten words: 5 stay right, 2 break, 1 is repaired, 2 stay wrong."""
    old_right = np.array([1, 1, 1, 1, 1, 1, 1, 0, 0, 0], dtype=bool)
    new_right = np.array([1, 1, 1, 1, 1, 0, 0, 1, 0, 0], dtype=bool)
    update = flips(old_right, new_right)
    assert update == Flips(yy=5, yn=2, ny=1, nn=2)
    assert update.num_units == 10
    assert (update.acc_old, update.acc_new, update.nfr, update.pfr) == (0.7, 0.6, 0.2, 0.1)
    assert update.nfi == 2 / 4  # of the new model's 4 errors 2 are negative flips
    assert update.nfi == pytest.approx(update.nfr / (1 - update.acc_new))


def test_a_perfect_new_model_has_no_impact():
    assert Flips(yy=3, yn=0, ny=1, nn=0).nfi == 0


def test_sums_come_before_ratios():
    assert Flips(1, 1, 0, 0) + Flips(0, 0, 4, 4) == Flips(1, 1, 4, 4)
    assert (Flips(1, 1, 0, 0) + Flips(0, 0, 4, 4)).nfr == 0.1


def test_rates_of_zero_units_do_not_exist():
    with pytest.raises(ZeroDivisionError):
        _ = Flips(0, 0, 0, 0).nfr


def test_different_numbers_of_units_are_refused():
    with pytest.raises(ValueError, match="units"):
        flips(np.ones(3, dtype=bool), np.ones(1, dtype=bool))
    with pytest.raises(ValueError, match="units"):
        flips_by_sentence(np.ones((2, 3), dtype=bool), np.ones(3, dtype=bool), np.zeros(3, int), 1)


def test_by_sentence_equals_counting_each_sentence_of_each_pair():
    rng = np.random.default_rng(1)
    sentence_of_unit = np.sort(rng.integers(0, 9, 40))
    sentence_of_unit[sentence_of_unit == 4] = 5  # sentence 4 has no unit, nor has the last one
    old_right, new_right = rng.random((2, 3, 40)) < 0.6
    counts = flips_by_sentence(old_right, new_right, sentence_of_unit, 10)
    assert counts.shape == (3, 10, 4) and counts.dtype == np.int64
    for pair in range(3):
        for sentence in range(10):
            units = sentence_of_unit == sentence
            expected = flips(old_right[pair, units], new_right[pair, units])
            assert as_flips(counts[pair, sentence]) == expected
    np.testing.assert_array_equal(flips_by_sentence(old_right[0], new_right[0], sentence_of_unit, 10), counts[0])


def test_rates_of_arrays_are_the_rates_of_their_entries():
    counts = np.random.default_rng(2).integers(0, 5, (7, 4))
    counts[0] = [3, 0, 2, 0]
    many = as_flips(counts)
    for rate in RATES:
        expected = [getattr(Flips(*map(int, row)), rate) for row in counts]
        np.testing.assert_allclose(getattr(many, rate), expected)
