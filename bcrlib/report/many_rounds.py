"""Chains of updates as tidy rows: every rate of every round of every way to re-rank, against what users had before."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from bcrlib.experiments.rounds import AGAINST, Rounds
from bcrlib.metrics.uncertainty import Estimate, all_rate_intervals, difference_intervals
from bcrlib.report.regression import BOOTSTRAP_SEED, NUM_RESAMPLES
from bcrlib.report.style import LEVEL_NAMES, VERTICAL_INTERVALS, axis_label, legend, method_colours, panels
from bcrlib.report.tables import arrow, tidy

NFR_AGAINST = {"before": "NFR", "first": "NFR to first", "any": "NFR to any"}
"""What the negative flip rate is called in tables, by what a round is compared with (bcrlib.experiments.rounds)."""

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


_MEANING = {
    "NFR": "right in the round before,\nwrong now",
    "NFR to first": "right in round 0,\nwrong now",
    "NFR to any": "right in some earlier round,\nwrong now",
}
_DODGE = 0.05  # between the lines of one panel, in rounds, so that intervals do not hide each other


def metric_by_round(
    rows: pd.DataFrame, title: str, level: str = "UAS", metrics: Sequence[str] = ("ACC", *_MEANING)
) -> Figure:
    """Each metric over the rounds of a level, a line a method, a line of panels a group; bars are intervals.

    `rows`: of `round_rows`, possibly of several groups one below the other.  Flip rates start at 0.
    """
    frame = tidy(rows, extra=("round",))
    frame = frame[(frame["level"] == level) & frame["metric"].isin(metrics)]
    groups, colours = frame["group"].unique(), method_colours(frame["row"].unique())
    looks = {
        method: {"color": colour, "marker": "o", "markersize": 4.5, "linestyle": "--" if method == "Untreated" else "-"}
        for method, colour in colours.items()
    }
    size = 1.0 + 2.9 * len(metrics), 1.9 + 2.3 * len(groups)
    figure, areas = panels(size, title, groups, metrics)
    unit = axis_label("ACC", level).split("\n")[1]
    for (group, metric), axes in areas.items():
        cells = frame[(frame["group"] == group) & (frame["metric"] == metric)]
        for place, (method, look) in enumerate(looks.items()):
            of_method = cells[cells["row"] == method].sort_values("round")
            rounds = of_method["round"] + _DODGE * (place - (len(looks) - 1) / 2)
            axes.plot(rounds, 100 * of_method["value"], linewidth=1.8, **look)
            low, high = 100 * of_method["low"], 100 * of_method["high"]
            axes.vlines(rounds, low, high, color=look["color"], linewidth=1.2)
        of_group = arrow(group).split(", ") if metric == metrics[0] else []
        axes.set(xlabel="round", ylabel="\n".join([*of_group, f"{metric} {unit}"]))
        axes.set(ylim=(0, None) if metric in _MEANING else None)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        if group == groups[0]:
            axes.set_title(_MEANING.get(metric, LEVEL_NAMES[level].replace(", ", ",\n")), loc="left")
    legend(figure, looks | VERTICAL_INTERVALS)
    return figure
