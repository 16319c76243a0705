"""The authors' breakdowns, stored in their notebook: the only place where they live is data/authors_breakdowns.csv."""

from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd

from bcrlib.breakdown_tables import HISTOGRAM
from bcrlib.metrics.slices import FEWEST_UNITS, OTHER, RANGES, by_range

AUTHORS_UPDATE, AUTHORS_PRESET = "stackptr=>deepbiaf", "official"
"""The update that the authors break down, and the definitions that they count by."""

_FILE = Path(__file__).resolve().parents[2] / "data" / "authors_breakdowns.csv"
_SLICE = ["update", "level", "breakdown", "key"]
_RATES = ["nfr", "pfr", "acc_old", "acc_new", "nfi"]
_SUMS = ["num_units", "both", "only_one"]


@cache
def authors_breakdowns() -> pd.DataFrame:
    """Every breakdown of the authors' dependency notebook (protocol 5.5, 7), a slice a row, keys as printed.

    The update is stackptr=>deepbiaf, untreated, among the old seeds, heads only; histograms ("sentence NFR") are there
    for all updates.  Columns: update, level, breakdown, key, num_pairs, num_units (as in `breakdown_tables`), nfr, pfr,
    acc_old, acc_new, nfi (rates in [0, 1] of four digits), both, only_one (sums over pairs), derived ("yes" where
    what is printed also holds earlier outputs, which were taken off).  Read once; treat as read-only.
    """
    rows = pd.read_csv(_FILE, dtype={"key": str, "derived": str}, keep_default_na=False, na_values=[""])
    # Printed values have two decimals per cent; rounding takes the binary noise of the division away.
    rows[_RATES] = (rows[_RATES] / 100).round(6)
    of_gold = rows["breakdown"] != HISTOGRAM
    rows["num_units"] = np.where(of_gold, rows["count"] // rows["num_pairs"], rows["count"])
    return rows.astype({"both": "Int64", "only_one": "Int64"}).drop(columns="count")


@cache
def authors_slices() -> pd.DataFrame:
    """`authors_breakdowns` in our slices: numbers in our ranges, and what has too few units as "other".

    A merged slice has the mean of the printed rates, weighted by units: right to the two decimals they are printed
    with.  NFI, a ratio of rates, is left out.  Read-only too.
    """
    rows = authors_breakdowns()
    rows = rows.assign(key=_our_keys(rows), **{rate: rows[rate] * rows["num_units"] for rate in _RATES[:-1]})
    sums = rows.groupby(_SLICE, sort=False)[[*_SUMS, *_RATES[:-1]]].sum(min_count=1).reset_index()
    return sums.assign(**{rate: sums[rate] / sums["num_units"] for rate in _RATES[:-1]})


def _our_keys(rows: pd.DataFrame) -> pd.Series:
    keys = rows["key"].copy()
    for breakdown, starts in RANGES.items():
        numbers = rows["breakdown"] == breakdown
        slices = by_range(keys[numbers].astype(int).to_numpy(), starts)
        keys[numbers] = [slices.names[i] for i in slices.of_unit]
    num_units = rows.assign(key=keys).groupby(_SLICE)["num_units"].transform("sum")
    num_units = num_units.where(~rows["breakdown"].str.startswith("couple"), num_units // 2)  # both orders are counted
    return keys.where((num_units >= FEWEST_UNITS) | (rows["breakdown"] == HISTOGRAM), OTHER)
