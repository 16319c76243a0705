"""Intervals and tests of slices: against textbook numbers, definitions in a loop, and simulated updates."""

import numpy as np
import pytest
from scipy.stats import binomtest, false_discovery_control

from bcrlib.metrics.breakdowns import (
    benjamini_hochberg,
    excess_p_value,
    flips_by_slice,
    large_enough,
    slice_interval,
    unit_counts,
)
from bcrlib.metrics.slices import Slices


def test_interval_of_independent_units_is_wilsons():
    for flips, units in ((0, 40), (3, 40), (40, 40), (250, 10_000)):
        rate = np.array([flips / units])
        error = np.sqrt(rate * (1 - rate) / units)
        low, high = slice_interval(rate, error, np.array([units]))
        expected = binomtest(flips, units).proportion_ci(method="wilson")
        assert (low[0], high[0]) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_interval_widens_with_the_error_and_never_narrows_below_the_units():
    rate, units = np.full(3, 0.1), np.full(3, 100)
    plain = np.sqrt(0.1 * 0.9 / 100)
    low, high = slice_interval(rate, plain * np.array([0.5, 1, 2]), units)
    widths = high - low
    assert widths[0] == pytest.approx(widths[1]) and widths[2] > 1.8 * widths[1]


def test_q_values_are_those_of_scipy_and_of_the_definition():
    p_values = np.array([0.01, 0.9, 0.03, 0.03, 0.2, 1.0, 0.0])
    np.testing.assert_allclose(benjamini_hochberg(p_values), false_discovery_control(p_values))
    called = benjamini_hochberg(p_values) <= 0.06
    steps = [i for i, p in enumerate(sorted(p_values), start=1) if p <= 0.06 * i / len(p_values)]
    assert called.sum() == max(steps) == 4


def test_untested_slices_stay_out():
    q_values = benjamini_hochberg(np.array([np.nan, 0.04, np.nan, 0.02]))
    assert np.isnan(q_values[[0, 2]]).all()
    assert q_values[[1, 3]].tolist() == [0.04, 0.04]
    assert benjamini_hochberg(np.array([np.nan])).shape == (1,)
    assert large_enough(np.array([29, 30, 30]), np.array([25, 20, 19])).tolist() == [False, True, False]


def simulated(rng: np.random.Generator, factor: float) -> dict[str, np.ndarray]:
    """p-values and intervals of five slices; whole sentences are hit together, and the last slice by `factor` more."""
    num_sentences, num_units = 300, 3000
    sentences = np.sort(rng.integers(num_sentences, size=num_units))
    of_unit = rng.integers(5, size=num_units)
    rate = np.where(rng.random(num_sentences) < 0.2, 0.1, 0.01)[sentences] * np.where(of_unit == 4, factor, 1)
    broken = rng.random((1, num_units)) < rate
    broken = np.repeat(broken, 9, axis=0) & (rng.random((9, num_units)) < 0.6)  # pairs of models share their flips
    counts = unit_counts(np.ones_like(broken), ~broken)
    table = flips_by_slice(counts, sentences, Slices(of_unit, tuple("abcde")))
    nfr, units = (table["yn"] / (9 * table["num_units"])).to_numpy(), table["num_units"].to_numpy()
    low, high = slice_interval(nfr, table["nfr_error"].to_numpy(), units)
    p_values = excess_p_value(nfr, units, table["excess_error"].to_numpy(), broken.mean(), num_units)
    return {"p": p_values, "covered": (low < 0.028 * 0.6) & (high > 0.028 * 0.6)}


def test_false_alarms_are_as_rare_as_promised_and_harm_is_found():
    rng = np.random.default_rng(0)
    alike = [simulated(rng, 1) for _ in range(60)]
    false_alarms = np.mean([run["p"] < 0.05 for run in alike])
    assert 0.005 < false_alarms < 0.06
    assert np.mean([run["covered"] for run in alike]) > 0.93
    harmed = [simulated(rng, 4)["p"] < 0.05 for _ in range(30)]
    assert np.mean(harmed, axis=0)[4] > 0.9


def test_a_slice_without_flips_is_not_certain():
    """Ten units without a flip where 2 % flip otherwise say nothing; a slice of everything has no rest."""
    p_values = excess_p_value(np.array([0.0, 0.02]), np.array([10, 1000]), np.array([0.001, np.nan]), 0.02, 1000)
    assert p_values[0] > 0.5 and np.isnan(p_values[1])
