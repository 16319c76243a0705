"""Chains of updates as tidy rows: every round of every way to re-rank, against what users had before."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from bcrlib.metrics.uncertainty import Estimate, all_rate_intervals, difference_intervals
from bcrlib.report.regression_rows import BOOTSTRAP_SEED, NUM_RESAMPLES
from bcrlib.rounds import AGAINST, Rounds

NFR_AGAINST = {"before": "NFR", "first": "NFR to first", "any": "NFR to any"}
"""What the negative flip rate is called in tables, by what a round is compared with (bcrlib.rounds)."""

RoundCounts = Mapping[str, Mapping[str, Rounds]]
"""By level and row: {"UAS": {"Untreated": rounds, "BCR (last 1)": rounds}}."""


def round_rows(counts: RoundCounts, group: str = "", num_resamples: int = NUM_RESAMPLES) -> pd.DataFrame:
    """Every rate of every round with its 95 % interval, in the column round: 0, 1, 2, ...

    Metrics: ACC; NFR and NFI against the round before; NFR to first; NFR to any.  Round 0 has only ACC, that of the old
    models.  The intervals draw sentences and old models anew.  O(rows rounds resamples sentences old_models).
    """
    pairs = {
        (number, against, level, row): of_round
        for level, rows in counts.items()
        for row, rounds in rows.items()
        for against in AGAINST
        for number, of_round in enumerate(rounds[against], start=1)
    }
    rates = all_rate_intervals(pairs, num_resamples, np.random.default_rng(BOOTSTRAP_SEED))
    found = []
    for (number, against, level, row), of_rate in rates.items():
        metrics = {NFR_AGAINST[against]: "nfr"}
        if against == "before":
            metrics = {"ACC": "acc_new", **metrics, "NFI": "nfi"}
        if (number, against) == (1, "first"):
            found.append(_row(group, row, level, "ACC", of_rate["acc_old"], 0))
        found += [_row(group, row, level, metric, of_rate[rate], number) for metric, rate in metrics.items()]
    return pd.DataFrame(found)


def last_round(rows: pd.DataFrame) -> pd.DataFrame:
    """Of `round_rows`, the last round alone, as a table takes it."""
    return rows[rows["round"] == rows["round"].max()].drop(columns="round").reset_index(drop=True)


def last_round_differences(
    counts: RoundCounts, baseline: str, group: str = "", num_resamples: int = NUM_RESAMPLES
) -> pd.DataFrame:
    """NFR of every row minus that of the row `baseline` in the last round, "ΔNFR to any" and so on.

    Below 0 a row loses less than the baseline; an interval that leaves out 0 is a difference at that confidence.
    """
    found = []
    for level, rows in counts.items():
        for against in AGAINST:
            last = {row: rounds[against][-1] for row, rounds in rows.items()}
            for row in [row for row in last if row != baseline]:
                rng = np.random.default_rng(BOOTSTRAP_SEED)
                nfr = difference_intervals(last[row], last[baseline], num_resamples, rng)["nfr"]
                found.append(_row(group, row, level, f"Δ{NFR_AGAINST[against]}", nfr, len(rows[row][against])))
    return last_round(pd.DataFrame(found))


def _row(group: str, row: str, level: str, metric: str, estimate: Estimate, number: int) -> dict[str, object]:
    cell = {"group": group, "row": row, "level": level, "metric": metric, "round": float(number)}
    return cell | {"value": estimate.value, "low": estimate.low, "high": estimate.high}
