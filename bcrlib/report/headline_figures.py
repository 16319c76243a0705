"""The frontier: what a cut of negative flips costs or gains in accuracy, by method and by the new model's weight."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from bcrlib.report.figures import CHOSEN_MARK, PAPER_MARK
from bcrlib.report.headline_rows import CHANGE, CUT, LISTED, UNTREATED
from bcrlib.report.house_style import METHOD_COLOURS, method_colours, new_figure
from bcrlib.report.method_counts import JOINED, SAMPLED
from bcrlib.report.tables import tidy

_WRITTEN = (0.0, 0.1, 0.25, 0.5, 1.0)
"""Weights that stand beside their points; all of them would cover the curve."""
_SIDES = {UNTREATED: "below", "Distillation": "right", "Ensemble": "below", SAMPLED: "below", LISTED: "left"}
"""Where names stand: off the curve, which falls from the upper left to the right."""
_OFFSETS = {"below": (0, -14, "center"), "right": (9, 0, "left"), "left": (-9, 0, "right"), "above": (14, 18, "left")}
_TEXT = "#374151"


def frontier(rows: pd.DataFrame, title: str) -> Figure:
    """The cut of NFI against the change of accuracy: a point a method, a curve for joined pools; best is upper right.

    `rows`: of `headline_rows.frontier_rows`, of one task. Points on the curve are weights of the new model's own
    log-probability, from 0 (the old model alone picks) on; a ring is the joined pool with the weights chosen on dev,
    each update its own, so that it need not lie on the curve. Diamonds are the paper's.
    """
    frame = tidy(rows, extra=("new_weight",))
    columns = ["value", "paper"]
    points = 100 * frame.pivot(index=["row", "new_weight"], columns="metric", values=columns)
    methods = list(dict.fromkeys(frame["row"]))
    colours = method_colours(methods)
    figure = new_figure(8.6, 5.4, title)
    axes = figure.subplots()
    axes.axvline(0, color="#9CA3AF", linewidth=1)
    axes.axhline(0, color="#9CA3AF", linewidth=1)
    axes.plot(0, 0, marker="s", markersize=7, color=METHOD_COLOURS[UNTREATED])
    _name(axes, UNTREATED, (0, 0), _SIDES[UNTREATED])
    for method in methods:
        of_method = points.loc[method].sort_index()
        _curve(axes, of_method[of_method.index.notna()]["value"], colours[method])
        _points(axes, method, of_method[of_method.index.isna()], colours[method])
    axes.set(
        xlabel="change of accuracy, percentage points (right: more accurate than the plain update)",
        ylabel="cut of the negative flip impact, per cent\n(up: fewer new errors among the errors)",
    )
    axes.margins(x=0.16, y=0.1)  # names stand beside points
    _legend(figure, frame)
    return figure


def _curve(axes: Axes, curve: pd.DataFrame, colour: str) -> None:
    if curve.empty:
        return
    axes.plot(curve[CHANGE], curve[CUT], color=colour, marker="o", markersize=4.5, linewidth=2, zorder=2)
    places = [(point[CHANGE], point[CUT]) for _, point in curve.iterrows()]
    for weight, place in zip(curve.index, places):
        if weight in _WRITTEN:
            look = {"textcoords": "offset points", "size": 8.5, "color": _TEXT, "ha": "right", "va": "top"}
            axes.annotate(
                f"{weight:g}", place, (-4, -3), **look
            )  # on the left: the chosen weights' ring is on the right
    _name(axes, JOINED, places[len(places) // 5], "above")  # where it is still high


def _points(axes: Axes, method: str, of_method: pd.DataFrame, colour: str) -> None:
    """A method's own point, or the ring of the chosen weights, and the paper's diamond."""
    for _, point in of_method.iterrows():
        place = point["value"][CHANGE], point["value"][CUT]
        axes.plot(*place, color=colour, marker="o", markersize=8, zorder=3)
        if method == JOINED:
            axes.plot(*place, linestyle="none", zorder=4, **CHOSEN_MARK)
        else:
            _name(axes, method, place, _SIDES[method.split(",")[0]])
        of_paper = point["paper"]
        if np.isfinite(of_paper[CUT]):
            mark = PAPER_MARK | {"markeredgecolor": colour, "markeredgewidth": 1.8}
            axes.plot(of_paper[CHANGE], of_paper[CUT], linestyle="none", zorder=3, **mark)


def _name(axes: Axes, name: str, place: tuple[float, float], side: str) -> None:
    *offset, alignment = _OFFSETS[side]
    look = {"textcoords": "offset points", "va": "center", "ha": alignment, "color": _TEXT, "zorder": 2.5}
    look["bbox"] = {"facecolor": "white", "edgecolor": "none", "pad": 0.5, "alpha": 0.75}  # over lines of the grid
    axes.annotate(name, place, offset, size=9.5, **look)


def _legend(figure: Figure, frame: pd.DataFrame) -> None:
    handles = [Line2D([], [], color="#374151", marker="o", markersize=8, linestyle="none", label="ours")]
    if frame["paper"].notna().any():
        handles.append(Line2D([], [], linestyle="none", label="the paper's, in its method's colour", **PAPER_MARK))
    curve = {"color": METHOD_COLOURS[JOINED], "marker": "o", "markersize": 4.5, "linewidth": 2}
    handles.append(Line2D([], [], label="by the new model's weight (numbers), explored on test", **curve))
    if ((frame["row"] == JOINED) & frame["new_weight"].isna()).any():
        handles.append(Line2D([], [], linestyle="none", label="weights chosen on dev", **CHOSEN_MARK))
    figure.legend(handles=handles, loc="outside lower left", ncols=2, frameon=False)
