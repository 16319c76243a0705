"""Is a slice hit harder than the rest? Intervals of its NFR, a test against all other units, and many tests at once."""

import numpy as np
from jaxtyping import Bool, Float64, Num
from scipy.special import erfc, ndtri

Numbers = Num[np.ndarray, "slice"]
Rates = Float64[np.ndarray, "slice"]


def slice_interval(rate: Rates, error: Rates, num_units: Numbers, coverage: float = 0.95) -> tuple[Rates, Rates]:
    """Wilson's interval for the rate of each slice, with the sample size that its standard error speaks of.

    `error` is over sentences (`breakdowns.flips_by_slice`).  Units of a sentence that flip together are worth less than
    as many independent ones, so the size is rate (1 - rate) / error^2, but never more than the units there are: many
    pairs of models are no further text.  Unlike rate +- 2 error it stays in [0, 1] and is open where nothing flipped.
    O(slices).
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        worth = rate * (1 - rate) / np.square(error)
    size = np.where((worth > 0) & (worth < num_units), worth, num_units)
    z = ndtri((1 + coverage) / 2)
    centre = (rate + z**2 / (2 * size)) / (1 + z**2 / size)
    reach = z * np.sqrt(rate * (1 - rate) / size + (z / (2 * size)) ** 2) / (1 + z**2 / size)
    return np.maximum(centre - reach, 0), np.minimum(centre + reach, 1)


def excess_p_value(rate: Rates, num_units: Numbers, excess_error: Rates, all_rate: float, all_units: float) -> Rates:
    """Two-sided p-value that a slice has the NFR of all other units; nan for a slice of everything.

    A normal test of the difference.  Its standard error is the larger of two: the one over sentences, and that of
    independent units if the slice were like the rest (without which a slice where nothing flips would seem certain).
    It asks about other sentences, with these very models.  O(slices).
    """
    rest = all_units - num_units
    with np.errstate(divide="ignore", invalid="ignore"):
        rest_rate = (all_rate * all_units - rate * num_units) / rest
        by_chance = np.sqrt(all_rate * (1 - all_rate) * (1 / num_units + 1 / rest))
        z = (rate - rest_rate) / np.maximum(excess_error, by_chance)
    return erfc(np.abs(z) / np.sqrt(2))


def benjamini_hochberg(p_values: Rates) -> Rates:
    """For each test the smallest share of false alarms, among all tests called, at which it is called (its q-value).

    Benjamini and Hochberg (1995): the i-th smallest of m p-values times m / i, and never more than that of a larger
    one.  Holds on average for independent tests and for such that err together; slices that share units do so only
    roughly.  nan stays nan and is not counted.  O(tests log tests).
    """
    q_values = np.full(len(p_values), np.nan)
    (tested,) = np.nonzero(~np.isnan(p_values))
    order = tested[np.argsort(-p_values[tested], kind="stable")]  # from the largest down
    ranks = np.arange(len(order), 0, -1)
    q_values[order] = np.minimum.accumulate(np.minimum(p_values[order] * len(order) / ranks, 1))
    return q_values


def large_enough(num_units: Numbers, num_sentences: Numbers) -> Bool[np.ndarray, "slice"]:
    """Whether a slice is large enough for the normal test: 30 units in 20 sentences."""
    return (num_units >= 30) & (num_sentences >= 20)
