"""How every figure looks and is saved, and the paper's: bars by method, curves along what varies, maps of seed pairs.

The second half takes tidy rows (`tables.tidy`).  Every function returns a matplotlib Figure (not tied to pyplot): show
it with display(figure), save it with `publisher.Publisher.figure`.
"""

import io
import textwrap
from collections.abc import Hashable, Iterable, Mapping, Sequence
from itertools import pairwise, product
from typing import Literal

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from PIL import Image

from bcrlib.report.tables import arrow, tidy

_PALETTE = sns.color_palette("colorblind").as_hex()
METHOD_COLOURS = {
    "Old": "#BDBDBD",
    "Untreated": "#7A7A7A",
    "Distillation": _PALETTE[1],
    "Ensemble": _PALETTE[2],
    "BCR": _PALETTE[0],
    "BCR (beam)": _PALETTE[3],
    "BCR (k-best)": _PALETTE[4],
    "BCR (listed)": _PALETTE[3],
    "BCR (joined)": _PALETTE[9],
}
METHOD_COLOURS |= {"dropout-p": METHOD_COLOURS["BCR"], "top-k": _PALETTE[5], "nucleus": _PALETTE[2]}
METHOD_COLOURS |= {source: METHOD_COLOURS[f"BCR ({source})"] for source in ("beam", "k-best")}
"""Methods, and sources of candidates in the colour of BCR that picks from them."""
# Without the palette's yellow and pink, too light for lines on white.
_OTHER_COLOURS = [_PALETTE[i] for i in (0, 3, 2, 4, 1, 5)]
INK = "#374151"
Look = Mapping[str, object]
"""What matplotlib calls properties of a line, or of an area (which has a facecolor)."""
PAPER_MARK = {"linestyle": "none", "marker": "D", "markersize": 6.5, "markerfacecolor": "white"}
PAPER_MARK |= {"markeredgecolor": "black"}
CHOSEN_MARK = {"linestyle": "none", "marker": "o", "markersize": 11, "markerfacecolor": "none", "markeredgecolor": INK}
INTERVAL = "95 % interval"
INTERVALS: dict[str, Look] = {INTERVAL: {"color": "black", "linewidth": 1.4}}
"""What a legend says of intervals drawn in black; and of those in the colours of their methods."""
VERTICAL_INTERVALS: dict[str, Look] = {f"vertical: {INTERVAL}": {"color": INK, "linewidth": 1.2}}
LEVEL_NAMES = {
    "UAS": "words, head right (UAS)",
    "LAS": "words, head and relation right (LAS)",
    "UCM": "whole sentences, all heads right (UCM)",
    "LCM": "whole sentences, heads and relations right (LCM)",
    "spanEM": "spans of words, labels right (span EM)",
    "EM": "whole frames right (EM)",
}
LEVEL_UNITS = {"UAS": "words", "LAS": "words", "UCM": "sentences", "LCM": "sentences"}
LEVEL_UNITS |= {"spanEM": "spans", "EM": "utterances"}
_AXES = {
    "ACC": "accuracy\n(% of {units})",
    "ER": "error rate\n(% of {units})",
    "NFR": "negative flip rate NFR\n(% of {units})",
    "PFR": "positive flip rate PFR\n(% of {units})",
    "NFI": "negative flip impact NFI\n(% of errors)",
    "ACC random": "accuracy of a random candidate\n(% of {units})",
    "ACC oracle": "accuracy of the best candidate\n(% of {units})",
    "NFR oracle": "NFR of the safest candidate\n(% of {units})",
    "NFR BCR": "NFR of the old model's pick\n(% of {units})",
}
_THEME = {
    "axes.titlesize": 10.5,
    "axes.titlelocation": "left",
    "axes.labelsize": 10,
    "xtick.labelsize": 9.5,
    "ytick.labelsize": 9.5,
    "legend.fontsize": 9.5,
    "legend.title_fontsize": 9.5,
    "figure.titlesize": 13,
    "figure.titleweight": "bold",
    "axes.edgecolor": "#9CA3AF",
    "grid.color": "#E5E7EB",
    "svg.hashsalt": "bcrlib",
    "svg.fonttype": "none",  # text stays text: smaller, and found by a search
    "figure.dpi": 80,
    "savefig.dpi": 150,
}


def method_colours(methods: Sequence[str]) -> dict[str, str]:
    """A colour-blind safe colour a method; "BCR (3 old)" has BCR's colour if no other BCR row came before."""
    colours: dict[str, str] = {}
    for method in methods:
        name = method.split(",")[0]
        known = METHOD_COLOURS.get(name, METHOD_COLOURS.get(name.split("(")[0].strip()))
        if known and known not in colours.values():
            colours[method] = known
    spare = [colour for colour in _OTHER_COLOURS if colour not in colours.values()]
    rest = [method for method in methods if method not in colours]
    colours |= {method: spare[i % len(spare)] for i, method in enumerate(rest)}
    return {method: colours[method] for method in methods}


def paper_mark(colour: str) -> Look:
    """A number of the paper, in the colour of the method whose number it is."""
    return PAPER_MARK | {"markeredgecolor": colour, "markeredgewidth": 1.8}


def in_paper(rows: pd.DataFrame, label: str = "the paper's number") -> dict[str, Look]:
    """What a legend says of the diamonds, where tidy rows have any."""
    return {label: PAPER_MARK} if rows["paper"].notna().any() else {}


def axis_label(metric: str, level: str, on_one_line: bool = False) -> str:
    """What an axis of this metric shows, its unit on a second line if not told otherwise."""
    label = _AXES.get(metric, f"{metric}\n(%)").format(units=LEVEL_UNITS.get(level, "units"))
    return label.replace("\n", " ") if on_one_line else label


def new_figure(width: float, height: float, title: str) -> Figure:
    """An empty figure in the house style whose title, the claim, stands at its upper left."""
    # The font comes with matplotlib, so that it is the same on any machine.
    sns.set_theme(style="whitegrid", context="notebook", palette="colorblind", font="DejaVu Sans", rc=_THEME)
    figure = Figure(figsize=(width, height), layout="constrained")
    wrapped = "\n".join(textwrap.wrap(title, width=int(width * 9.2)))
    figure.suptitle(wrapped, x=0.01, ha="left")
    return figure


def panels(
    size: tuple[float, float],
    title: str,
    lines: Sequence[Hashable],
    columns: Sequence[Hashable],
    *,
    sharex: bool | Literal["row"] = False,
    sharey: bool | Literal["row"] = False,
    heights: Sequence[float] | None = None,
) -> tuple[Figure, dict[tuple, Axes]]:
    """A new figure, and its drawing areas by what their line and their column show, line by line."""
    figure = new_figure(*size, title)
    sharing = {"sharex": sharex, "sharey": sharey, "height_ratios": heights}
    areas = figure.subplots(len(lines), len(columns), squeeze=False, **sharing)
    return figure, dict(zip(product(lines, columns), areas.ravel()))


def legend(figure: Figure, looks: Mapping[str, Look], num_columns: int = 6) -> None:
    """Below the figure, what its lines, marks and areas stand for: {label: look}."""
    handles = [
        Patch(label=label, **look) if "facecolor" in look else Line2D([], [], label=label, **look)
        for label, look in looks.items()
    ]
    figure.legend(handles=handles, loc="outside lower left", ncols=num_columns, frameon=False)


def picture(figure: Figure, dpi: int = 80) -> bytes:
    """The figure as a PNG file, by default as large as notebooks keep it."""
    drawn, small = io.BytesIO(), io.BytesIO()
    figure.savefig(drawn, format="png", dpi=dpi)
    # 256 colours, which our figures hardly exceed: a third of the bytes.
    few = Image.open(drawn).convert("RGB").quantize(256, dither=Image.Dither.NONE)
    few.save(small, format="PNG", optimize=True)
    return small.getvalue()


Rows = pd.DataFrame | Iterable[Mapping[str, object]]
_GREY = {"facecolor": "#9CA3AF"}


def nfr_nfi_by_method(rows: Rows, title: str, metrics: Sequence[str] = ("NFR", "NFI")) -> Figure:
    """Bars of each metric by method, a column of panels a level and a line of them an update.

    `rows`: tidy table rows (`tables.tidy`), values as rates; intervals and the paper's points are drawn where there are
    any. Rows without the metric (Old) are left out; each update shows the methods that it has.
    """
    frame = tidy(rows).query("metric in @metrics")
    levels, updates = frame["level"].unique(), frame["group"].unique()
    lines = list(product(metrics, updates))
    most = frame.groupby("group")["row"].nunique().max()
    height = 0.85 + (0.4 if len(lines) <= 2 else 0.3) * most
    size = 1.6 + 4.1 * len(levels), 1.3 + len(lines) * height
    figure, areas = panels(size, title, lines, levels, sharey="row")
    for ((metric, update), level), axes in areas.items():
        of_all = frame.query("level == @level and metric == @metric").dropna(subset="value")
        cells = of_all[of_all["group"] == update]
        places = {(update, row): place for place, row in enumerate(cells["row"].unique())}
        _bars(axes, cells, places, of_all, axis_label(metric, level, on_one_line=True))  # compared by eye: one scale
        axes.set_title(_panel_title(update if len(updates) > 1 else "", level))
    return _with_legend(figure, frame)


def metric_by_task(rows_of: Mapping[str, Rows], title: str) -> Figure:
    """Bars of NFI by method, grouped by update: a column of panels a task, a line of them a level.

    `rows_of`: {"dependency parsing": rows, ...}, tidy table rows (Tables 3 and 4); all their levels are drawn, those of
    one task beside the other's in the order given.  Rows without the metric (Old) are left out.  ValueError for tasks
    with unequal numbers of levels.
    """
    frames = {task: tidy(rows).query("metric == 'NFI'").dropna(subset="value") for task, rows in rows_of.items()}
    levels = {task: frame["level"].unique() for task, frame in frames.items()}
    if len({len(of_task) for of_task in levels.values()}) != 1:
        raise ValueError(f"as many levels for each task, please: {levels}")
    numbers = range(len(next(iter(levels.values()))))
    most = max(max(_places(frame).values()) for frame in frames.values())
    size = 1.2 + 5.4 * len(frames), 1.3 + len(numbers) * (1.2 + 0.25 * most)
    figure, areas = panels(size, title, numbers, list(frames))
    for (number, task), axes in areas.items():
        frame, level = frames[task], levels[task][number]
        cells = frame[frame["level"] == level]
        places = _places(cells)
        _bars(axes, cells, places, cells, axis_label("NFI", level, on_one_line=True))
        first = {update: place for (update, _), place in reversed(places.items())}
        look = {"textcoords": "offset points", "va": "center", "weight": "bold", "size": 9.5}
        for update, place in first.items():
            axes.annotate(arrow(update), (0, place - 1), (4, -2), **look)
        axes.set(title=f"{task}\n{LEVEL_NAMES.get(level, level)}", ylim=(max(places.values()) + 0.6, -0.55))
    return _with_legend(figure, pd.concat(frames.values()))


def cut_by_method(rows: Rows, title: str) -> Figure:
    """How much of the negative flip impact each method takes away, a panel a task; below 0 a method adds to it.

    `rows`: of `updates.headline_rows`, of one task or of several, one below the other.
    """
    frame = tidy(rows).query("metric == 'NFI cut'")
    levels = frame["level"].unique()
    places = {("", row): place for place, row in enumerate(frame["row"].unique())}
    figure, areas = panels((1.2 + 4.6 * len(levels), 1.5 + 0.3 * len(places)), title, [""], levels, sharey=True)
    for (_, level), axes in areas.items():
        _bars(axes, frame[frame["level"] == level], places, frame, "NFI taken away (% of the plain update's NFI)")
        axes.axvline(0, color="#9CA3AF", linewidth=1)
        axes.set_title(level)
    return _with_legend(figure, frame)


def _places(cells: pd.DataFrame) -> dict[tuple[str, str], int]:
    """(update, method) -> how far from the top its bar is, a place left free above each update for its name."""
    places: dict[tuple[str, str], int] = {}
    for number, (update, of_update) in enumerate(cells.groupby("group", sort=False), start=1):
        for row in of_update["row"].unique():
            places[update, row] = number + len(places)
    return places


def _bars(
    axes: Axes, cells: pd.DataFrame, places: Mapping[tuple[str, str], int], scale: pd.DataFrame, label: str
) -> None:
    """A bar a cell at its (update, method)'s place from the top, with its interval, the paper's number and its own.

    The axis goes as far as the bars of `scale`, which begin at 0, and what stands beside them reach.
    """
    colours = method_colours(cells["row"].unique())
    at = [places[line] for line in zip(cells["group"], cells["row"])]
    axes.barh(at, 100 * cells["value"], height=0.66, color=[colours[row] for row in cells["row"]])
    for place, cell in zip(at, cells.itertuples()):
        if not np.isnan(cell.low):
            axes.plot([100 * cell.low, 100 * cell.high], [place] * 2, **INTERVALS[INTERVAL])
        if not np.isnan(cell.paper):
            axes.plot([100 * cell.paper], [place], **PAPER_MARK)
        look = {"textcoords": "offset points", "va": "center", "size": 9.5}
        end = 100 * np.nanmax([cell.value, cell.high, cell.paper])
        of_paper = "" if np.isnan(cell.paper) else f" ({100 * cell.paper:.2f})"
        axes.annotate(f"{100 * cell.value:.2f}{of_paper}", (end, place), (9, 0), **look)
    axes.grid(False, axis="y")
    axes.set_yticks(list(places.values()), [row for _, row in places])
    ends = 100 * scale[["value", "low", "high", "paper"]].to_numpy()
    reach = np.nanmax(ends, initial=0) or 1.0
    room = 1.5 if scale["paper"].notna().any() else 1.22  # for the numbers
    axes.set(xlabel=label, xlim=(1.1 * np.nanmin(ends, initial=0), room * reach))
    axes.set(ylim=(max(places.values(), default=-1) + 0.55, -0.55))


def _with_legend(figure: Figure, frame: pd.DataFrame) -> Figure:
    intervals = INTERVALS if frame["low"].notna().any() else {}
    legend(figure, {"ours": _GREY, **intervals, **in_paper(frame, "the paper's number (in brackets)")})
    return figure


def _panel_title(update: str, level: str) -> str:
    name = LEVEL_NAMES.get(level, level)
    return f"{arrow(update)}\n{name}" if update else name


VARIED = {
    "num_candidates": "candidates per {input}",
    "ensemble_size": "models in the ensemble",
    "p": "dropout rate p while sampling candidates",
}
"""What a curve can go along: the column of its rows, and what the axis says."""


def curves(
    rows: Rows,
    x: str,
    title: str,
    metrics: Sequence[str] = ("ER", "NFR", "NFI"),
    chosen: Mapping[str, float] | None = None,
) -> Figure:
    """Each metric against what is varied, a line a row: the form of the paper's Figures 2 and 3.

    `rows`: tidy rows plus the column `x`, one of `VARIED`; a row with NaN there (Untreated) is a horizontal dashed
    line.  Intervals are bands, the paper's numbers diamonds; a ring marks the x `chosen` for a row, {row: x}.
    """
    frame = tidy(rows, extra=(x,)).query("metric in @metrics")
    if frame["group"].nunique() > 1:
        raise ValueError(f"one update a figure, please: {', '.join(frame['group'].unique())}")
    levels, colours = frame["level"].unique(), method_colours(frame["row"].unique())
    size = 1.0 + 3.6 * len(metrics), 1.5 + 2.7 * len(levels)
    figure, areas = panels(size, title, levels, metrics, sharex=True)
    for (level, metric), axes in areas.items():
        cells = frame.query("level == @level and metric == @metric").dropna(subset="value")
        for row, points in cells.groupby("row", sort=False):
            _curve(axes, points, x, colours[row])
        rings = cells[cells[x] == cells["row"].map(chosen or {})]
        axes.plot(rings[x], 100 * rings["value"], **CHOSEN_MARK)
        axes.set_ylabel(axis_label(metric, level))
        if metric == metrics[0]:
            axes.set_title(LEVEL_NAMES.get(level, level))
        if level == levels[-1]:
            axes.set_xlabel(VARIED[x].format(input="utterance" if {*levels} <= {"spanEM", "EM"} else "sentence"))
            axes.margins(x=0.04)
            axes.set_xticks(_ticks(sorted(frame[x].dropna().unique())))
    flat = frame[x].isna().groupby(frame["row"]).all()
    looks = {row: {"color": c, "linewidth": 2, "linestyle": "--" if flat[row] else "-"} for row, c in colours.items()}
    if frame["low"].notna().any():
        looks[INTERVAL] = _GREY | {"alpha": 0.35}
    legend(figure, looks | ({"chosen on dev": CHOSEN_MARK} if chosen else {}) | in_paper(frame))
    return figure


def _curve(axes: Axes, points: pd.DataFrame, x: str, colour: str) -> None:
    flat, curve = points[points[x].isna()], points[points[x].notna()].sort_values(x)
    for value in flat["value"]:
        axes.axhline(100 * value, color=colour, linestyle="--", linewidth=1.6)
    axes.plot(curve[x], 100 * curve["value"], color=colour, marker="o", markersize=4, linewidth=2)
    axes.fill_between(curve[x], 100 * curve["low"], 100 * curve["high"], color=colour, alpha=0.18, linewidth=0)
    axes.plot(curve[x], 100 * curve["paper"], **paper_mark(colour))


def _ticks(values: Sequence[float]) -> list[float]:
    """The ascending values where they have room under an axis, else the multiples of 2, 5, 10, ... among them."""
    room = (values[-1] - values[0]) / 17
    crowded = any(right - left < room for left, right in pairwise(values))
    for step in (2, 5, 10, 20, 50, 100) if crowded else ():
        kept = [value for value in values if value % step == 0]
        if all(right - left >= room for left, right in pairwise(kept)):
            return kept
    return list(values)


def name_rates(chosen: Mapping[str, float]) -> str:
    """For a title, which dropout rate was chosen for which update: "p = 0.05 for every update" if it is one."""
    if len(chosen) > 1 and len(set(chosen.values())) == 1:
        return f"p = {next(iter(chosen.values())):g} for every update"
    return ", ".join(f"p = {rate:g} ({update})" for update, rate in chosen.items())


def seed_pair_heat_map(rows: pd.DataFrame, title: str) -> Figure:
    """NFR of words (UAS) for every pair of an old and a new seed, as an annotated map; one below the other by update.

    `rows`: columns old_seed, new_seed, value (a rate), and group where there are several updates. A missing pair (the
    same seed twice) stays white; all maps have one scale of colours.
    """
    frame = rows if "group" in rows else rows.assign(group="")
    maps = {
        group: 100 * cells.pivot(index="old_seed", columns="new_seed", values="value").astype(float)
        for group, cells in frame.groupby("group", sort=False)
    }
    heights = [1.2 + 0.62 * len(grid) for grid in maps.values()]
    width = 2.6 + 0.95 * max(grid.shape[1] for grid in maps.values())
    size = max(6.2, width), max(3.4, 0.4 + sum(heights))
    figure, areas = panels(size, title, list(maps), [""], heights=heights)
    shades = {"cmap": "Blues", "vmin": 0, "vmax": 140 * frame["value"].max(), "linewidths": 1}
    shades["cbar_kws"] = {"label": axis_label("NFR", "UAS")}
    for (group, _), axes in areas.items():
        sns.heatmap(maps[group], ax=axes, annot=True, fmt=".2f", **shades)
        axes.set(xlabel="seed of the new model", ylabel="seed of the old model")
        axes.grid(False)  # it would show in cells without a pair
        axes.tick_params(axis="y", rotation=0)
        axes.set_title(_panel_title(group, "UAS"))
    return figure
