"""From the counts of slices to their rates, intervals and tests: how each slice of one level fares."""

import numpy as np
import pandas as pd

from bcrlib.metrics.slice_tests import benjamini_hochberg, excess_p_value, large_enough, slice_interval

ALL = "all"
"""The breakdown, and its only slice, that holds every unit."""


def rates_of_slices(rows: pd.DataFrame) -> pd.DataFrame:
    """Rates, intervals and tests of the slices of one level, in the order of `rows`.

    `rows`: what `breakdowns.flips_by_slice` gives of every breakdown with its name as column "breakdown", the one of
    everything (`ALL`) among them.  Columns: breakdown, key, num_units, num_sentences, acc_old, acc_new, nfr, pfr, nfi,
    low, high (95 % interval of NFR), share (of all negative flips of the level), excess (NFR minus that of all other
    units), p_value, q_value (by Benjamini and Hochberg over all slices of the level that are large enough; nan for
    others).  Intervals and tests are about other sentences and these models (`metrics.slice_tests`).  O(slices).
    """
    yy, yn, ny, nn = (rows[name].to_numpy(np.float64) for name in ("yy", "yn", "ny", "nn"))
    counted, num_units = yy + yn + ny + nn, rows["num_units"].to_numpy(np.float64)
    nfr = yn / counted
    low, high = slice_interval(nfr, rows["nfr_error"].to_numpy(np.float64), num_units)
    (whole,) = np.flatnonzero(rows["breakdown"] == ALL)
    rates = {"acc_old": (yy + yn) / counted, "acc_new": (yy + ny) / counted, "nfr": nfr, "pfr": ny / counted}
    rates |= {"nfi": yn / np.maximum(yn + nn, 1), "low": low, "high": high, "share": yn / max(yn[whole], 1)}
    rates |= _tests(rows, nfr, num_units, whole)
    return rows[["breakdown", "key", "num_units", "num_sentences"]].assign(**rates)


def _tests(rows: pd.DataFrame, nfr: np.ndarray, num_units: np.ndarray, whole: int) -> dict[str, np.ndarray]:
    """Each slice against all other units: excess, p_value, q_value."""
    rest = num_units[whole] - num_units
    with np.errstate(divide="ignore", invalid="ignore"):
        excess = nfr - (nfr[whole] * num_units[whole] - nfr * num_units) / rest
    errors = rows["excess_error"].to_numpy(np.float64)
    p_values = excess_p_value(nfr, num_units, errors, nfr[whole], num_units[whole])
    p_values[~large_enough(num_units, rows["num_sentences"].to_numpy(np.float64))] = np.nan
    return {"excess": excess, "p_value": p_values, "q_value": benjamini_hochberg(p_values)}
