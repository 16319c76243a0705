"""Figures of where updates break: NFR slice by slice, and how often two units flip together."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from bcrlib.metrics.slices import OTHER
from bcrlib.report.figures import PAPER_MARK
from bcrlib.report.house_style import INTERVAL, method_colours, new_figure
from bcrlib.report.tables import tidy

BREAKDOWN_NAMES = {
    "upos": "tag of the word (UPOS)",
    "relation": "relation of the word",
    "distance": "distance to the head (words)",
    "head upos": "tag of the head (UPOS)",
    "size": "size of the sub-tree (words)",
    "depth": "depth of the sub-tree (words)",
    "root upos": "tag of the sub-tree's root (UPOS)",
    "length": "length of the sentence (words)",
    "couple distance": "words apart",
    "couple tree distance": "arcs apart in the gold tree",
    "couple relation": "relation between the two",
}
AUTHORS = "the authors' notebook"


def nfr_by_slice(rows: pd.DataFrame, title: str, num_columns: int = 3) -> Figure:
    """NFR of every slice with its interval, a panel a breakdown, a colour a method, the authors' numbers as diamonds.

    `rows`: tidy rows plus the column slice, level being the breakdown (`breakdown_rows.nfr_rows`).  Slices named by
    numbers stay in their order, others are sorted by the NFR of the first method, "other" last.  The slice "all"
    of a breakdown becomes a dashed line.  O(rows).
    """
    frame = tidy(rows, extra=("slice",))
    methods = list(dict.fromkeys(frame["row"]))
    breakdowns = list(dict.fromkeys(frame["level"]))
    num_columns = min(num_columns, len(breakdowns))
    slices = {name: _slice_order(frame[frame["level"] == name], methods[0]) for name in breakdowns}
    lines = [breakdowns[start : start + num_columns] for start in range(0, len(breakdowns), num_columns)]
    heights = [0.9 + 0.14 * (1 + len(methods)) * max(len(slices[name]) for name in line) for line in lines]
    figure = new_figure(0.6 + 4.2 * num_columns, 1.2 + sum(heights), title)
    panels = figure.subplots(len(lines), num_columns, squeeze=False, height_ratios=heights)
    for axes in panels.ravel()[len(breakdowns) :]:
        axes.set_axis_off()
    for axes, name in zip(panels.ravel(), breakdowns):
        _slice_panel(axes, frame[frame["level"] == name], slices[name], methods)
        axes.set_title(BREAKDOWN_NAMES.get(name, name), loc="left")
        axes.set_xlabel("negative flip rate NFR (%)")
    handles = [Line2D([], [], color=method_colours(methods)[row], marker="o", label=row) for row in methods]
    handles.append(Line2D([], [], color="black", linewidth=1.4, label=INTERVAL))
    handles.append(Line2D([], [], color="black", linewidth=1.2, linestyle="--", label="all units"))
    _legend(figure, handles, frame)
    return figure


def _slice_order(cells: pd.DataFrame, method: str) -> list[str]:
    numbers = cells["slice"].str.fullmatch(r"\d+(-\d+|\+)?").any()
    first = cells[(cells["row"] == method) & (cells["slice"] != "all")]
    if not numbers:
        first = first.sort_values("value", ascending=False, kind="stable")
    return sorted(first["slice"], key=lambda name: name == OTHER)


def _slice_panel(axes: Axes, cells: pd.DataFrame, slices: Sequence[str], methods: Sequence[str]) -> None:
    colours, step = method_colours(methods), 0.7 / len(methods)
    for i, method in enumerate(methods):
        points = cells[cells["row"] == method].set_index("slice").reindex([*slices, "all"])
        axes.axvline(100 * points["value"].iloc[-1], color=colours[method], linestyle="--", linewidth=1.2)
        points = points.iloc[:-1]
        places = np.arange(len(slices)) + (i - (len(methods) - 1) / 2) * step
        axes.hlines(places, 100 * points["low"], 100 * points["high"], color=colours[method], linewidth=1.4)
        axes.plot(100 * points["paper"], places, linestyle="none", **PAPER_MARK)
        axes.plot(100 * points["value"], places, "o", color=colours[method], markersize=4.5)  # over the diamonds
    axes.set_yticks(range(len(slices)), slices)
    axes.set_ylim(len(slices) - 0.45, -0.55)
    axes.set_xlim(left=0)
    axes.grid(False, axis="y")


def co_occurrence_by_distance(rows: pd.DataFrame, title: str) -> Figure:
    """How often both of two units flip if one does, against their distance, and what chance alone would give.

    `rows`: `breakdown_rows.co_occurrence_rows` of one or more levels; a panel for each level and breakdown, slices in
    the order of the rows.  The authors' shares are diamonds.  O(rows).
    """
    panels_of = list(dict.fromkeys(zip(rows["level"], rows["breakdown"])))
    figure = new_figure(0.8 + 4.3 * len(panels_of), 4.2, title)
    panels = figure.subplots(1, len(panels_of), squeeze=False)[0]
    for axes, (level, breakdown) in zip(panels, panels_of):
        cells = rows[(rows["level"] == level) & (rows["breakdown"] == breakdown)]
        places = np.arange(len(cells))
        axes.plot(places, 100 * cells["share"], marker="o", markersize=4, linewidth=2, color="#0173B2")
        axes.plot(places, 100 * cells["chance"], linestyle="--", linewidth=1.6, color="#7A7A7A")
        axes.plot(places, 100 * cells["paper"], linestyle="none", **PAPER_MARK)
        axes.set_xticks(places, cells["key"], rotation=45)
        axes.set_ylim(bottom=0)
        axes.set_xlabel(BREAKDOWN_NAMES.get(breakdown, breakdown))
        axes.set_ylabel("both flip\n(% of couples in which one does)")
        axes.set_title("two sub-trees" if "sub-tree" in level else "two words", loc="left")
    handles = [
        Line2D([], [], color="#0173B2", marker="o", linewidth=2, label="found"),
        Line2D([], [], color="#7A7A7A", linestyle="--", label="if flips were independent"),
    ]
    _legend(figure, handles, rows)
    return figure


def _legend(figure: Figure, handles: Sequence[Line2D], rows: pd.DataFrame) -> None:
    marks = list(handles)
    if rows["paper"].notna().any():
        marks.append(Line2D([], [], linestyle="none", label=AUTHORS, **PAPER_MARK))
    figure.legend(handles=marks, loc="outside lower left", ncols=min(5, len(marks)), frameon=False)
