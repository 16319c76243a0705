"""Chains of updates as tidy rows: every round of every way to re-rank, against what users had before.

Rates over the rounds of a chain of updates.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from bcrlib.experiments.rounds import AGAINST, Rounds
from bcrlib.metrics.uncertainty import Estimate, all_rate_intervals, difference_intervals
from bcrlib.report.regression import BOOTSTRAP_SEED, NUM_RESAMPLES
from bcrlib.report.style import INTERVAL, LEVEL_NAMES, axis_label, method_colours, new_figure
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
DODGE = 0.05  # between the lines of one panel, in rounds, so that intervals do not hide each other


def metric_by_round(
    rows: pd.DataFrame, title: str, level: str = "UAS", metrics: Sequence[str] = ("ACC", *_MEANING)
) -> Figure:
    """Each metric over the rounds of a level, a line a method, a line of panels a group; bars are intervals.

    `rows`: of `round_rows`, possibly of several groups one below the other.  Flip rates start at 0.
    """
    frame = tidy(rows, extra=("round",))
    frame = frame[(frame["level"] == level) & frame["metric"].isin(metrics)]
    groups, methods = frame["group"].unique(), list(frame["row"].unique())
    figure = new_figure(1.0 + 2.9 * len(metrics), 1.9 + 2.3 * len(groups), title)
    panels = figure.subplots(len(groups), len(metrics), squeeze=False)
    unit = axis_label("ACC", level).split("\n")[1]
    for line, group in zip(panels, groups):
        for axes, metric in zip(line, metrics):
            _lines(axes, frame[(frame["group"] == group) & (frame["metric"] == metric)], methods)
            axes.set(xlabel="round", ylabel=f"{metric} {unit}", ylim=(0, None) if metric in _MEANING else None)
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        line[0].set_ylabel("\n".join([*arrow(group).split(", "), line[0].get_ylabel()]))
    for axes, metric in zip(panels[0], metrics):
        axes.set_title(_MEANING.get(metric, LEVEL_NAMES[level].replace(", ", ",\n")), loc="left")
    _legend(figure, methods)
    return figure


def _lines(axes: Axes, cells: pd.DataFrame, methods: list[str]) -> None:
    colours = method_colours(methods)
    for place, method in enumerate(methods):
        of_method = cells[cells["row"] == method].sort_values("round")
        points, rounds = 100 * of_method[["value", "low", "high"]], of_method["round"]
        rounds = rounds + DODGE * (place - (len(methods) - 1) / 2)
        style = {"color": colours[method], "linestyle": _line_style(method)}
        axes.plot(rounds, points["value"], marker="o", markersize=4.5, linewidth=1.8, **style)
        axes.vlines(rounds, points["low"], points["high"], color=colours[method], linewidth=1.2)


def _line_style(method: str) -> str:
    return "--" if method == "Untreated" else "-"


def _legend(figure: Figure, methods: list[str]) -> None:
    colours = method_colours(methods)
    handles = [
        Line2D([], [], color=colours[m], marker="o", markersize=4.5, linestyle=_line_style(m), label=m) for m in methods
    ]
    handles.append(Line2D([], [], color="#374151", linewidth=1.2, label=f"vertical: {INTERVAL}"))
    figure.legend(handles=handles, loc="outside lower left", ncols=min(6, len(handles)), frameon=False)
