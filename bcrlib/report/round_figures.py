"""Rates over the rounds of a chain of updates."""

from collections.abc import Sequence

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from bcrlib.report.house_style import INTERVAL, LEVEL_NAMES, axis_label, method_colours, new_figure
from bcrlib.report.table_text import arrow
from bcrlib.report.tables import tidy

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
