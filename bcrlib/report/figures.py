"""The paper's figures from tidy rows: bars by method, curves by candidates and dropout, seed-pair map.

Every function returns a matplotlib Figure (not tied to pyplot): show it with display(figure), save it
with `save_figure`.
"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from bcrlib.report.style import (
    INTERVAL,
    LEVEL_NAMES,
    axis_label,
    method_colours,
    new_figure,
    one_input,
    save_figure,
    use_house_theme,
)
from bcrlib.report.tables import arrow, tidy

__all__ = [
    "metric_by_ensemble_size",
    "metric_by_num_candidates",
    "metric_by_task",
    "name_rates",
    "nfr_by_dropout",
    "nfr_nfi_by_method",
    "save_figure",
    "seed_pair_heat_map",
    "use_house_theme",
]

PAPER_MARK = {"marker": "D", "markersize": 6.5, "markerfacecolor": "white", "markeredgecolor": "black"}
CHOSEN_MARK = {"marker": "o", "markersize": 11, "markerfacecolor": "none", "markeredgecolor": "#374151"}
Rows = pd.DataFrame | Iterable[Mapping[str, object]]


def _unique(values: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(values))


def _panel(frame: pd.DataFrame, level: str, metric: str) -> pd.DataFrame:
    return frame[(frame["level"] == level) & (frame["metric"] == metric) & frame["value"].notna()]


def _one_group(frame: pd.DataFrame) -> None:
    if frame["group"].nunique() > 1:
        raise ValueError(f"one update a figure, please: {', '.join(_unique(frame['group']))}")


def _legend(figure: Figure, handles: Sequence, frame: pd.DataFrame) -> None:
    marks = list(handles)
    if frame["paper"].notna().any():
        marks.append(Line2D([], [], linestyle="none", label="the paper's number", **PAPER_MARK))
    figure.legend(handles=marks, loc="outside lower left", ncols=min(6, len(marks)), frameon=False)


def nfr_nfi_by_method(rows: Rows, title: str, metrics: Sequence[str] = ("NFR", "NFI")) -> Figure:
    """Bars of each metric by method, a column of panels a level and a line of them an update.

    `rows`: tidy table rows (`tables.tidy`), values as rates; intervals and the paper's points are drawn where there are
    any. Rows without the metric (Old) are left out; each update shows the methods that it has.
    """
    frame = tidy(rows)
    frame = frame[frame["metric"].isin(metrics)]
    levels, updates = _unique(frame["level"]), _unique(frame["group"])
    lines = [(metric, update) for metric in metrics for update in updates]
    most = frame.groupby("group")["row"].nunique().max()
    bar = 0.4 if len(lines) <= 2 else 0.3
    figure = new_figure(1.6 + 4.1 * len(levels), 1.3 + len(lines) * (0.85 + bar * most), title)
    panels = figure.subplots(len(lines), len(levels), squeeze=False, sharey="row")
    for line, (metric, update) in zip(panels, lines):
        for axes, level in zip(line, levels):
            _bar_panel(axes, _panel(frame, level, metric), update)
            axes.set_xlabel(axis_label(metric, level).replace("\n", " "))
            axes.set_title(_panel_title(update if len(updates) > 1 else "", level), loc="left")
    _bar_legend(figure, frame)
    return figure


def _bar_legend(figure: Figure, frame: pd.DataFrame) -> None:
    handles: list = [Patch(facecolor="#9CA3AF", label="ours")]
    if frame["low"].notna().any():
        handles.append(Line2D([], [], color="black", linewidth=1.4, label=INTERVAL))
    _legend(figure, handles, frame)


def _panel_title(update: str, level: str) -> str:
    name = LEVEL_NAMES.get(level, level)
    return f"{arrow(update)}\n{name}" if update else name


def _bar_panel(axes: Axes, of_all: pd.DataFrame, update: str) -> None:
    """The bars of one update, on the scale that all need: updates are compared by eye."""
    cells = of_all[of_all["group"] == update]
    methods = _unique(cells["row"])
    _bars(axes, cells, [methods.index(row) for row in cells["row"]])
    axes.set_ylim(len(methods) - 0.45, -0.55)
    axes.set_yticks(range(len(methods)), methods)
    _leave_room(axes, of_all)


def _leave_room(axes: Axes, cells: pd.DataFrame) -> None:
    """From 0 as far as the bars of these cells, their intervals and the numbers beside them reach."""
    reach = 100 * np.nanmax(cells[["value", "high", "paper"]].to_numpy(), initial=0)
    axes.set_xlim(0, 1.22 * (reach or 1.0))


def _bars(axes: Axes, cells: pd.DataFrame, places: Sequence[float]) -> None:
    """A bar a cell at its place from the top, with its interval, the paper's number and its own."""
    colours = method_colours(_unique(cells["row"]))
    axes.barh(places, 100 * cells["value"], height=0.66, color=[colours[row] for row in cells["row"]])
    for place, cell in zip(places, cells.itertuples()):
        ends = [cell.value, cell.high, cell.paper]
        if not np.isnan(cell.low):
            axes.plot([100 * cell.low, 100 * cell.high], [place] * 2, color="black", linewidth=1.4)
        if not np.isnan(cell.paper):
            axes.plot([100 * cell.paper], [place], linestyle="none", **PAPER_MARK)
        end = 100 * np.nanmax(ends)
        axes.annotate(
            f"{100 * cell.value:.2f}", (end, place), (9, 0), textcoords="offset points", va="center", size=9.5
        )
    axes.grid(False, axis="y")


def metric_by_task(rows_of: Mapping[str, Rows], title: str, metric: str = "NFI") -> Figure:
    """Bars of one metric by method, grouped by update: a column of panels a task, a line of them a level.

    `rows_of`: {"dependency parsing": rows, ...}, tidy table rows (Tables 3 and 4); all their levels are drawn, those of
    one task beside the other's in the order given.  Rows without the metric (Old) are left out.  ValueError for tasks
    with unequal numbers of levels.
    """
    tables = {task: tidy(rows) for task, rows in rows_of.items()}
    frames = {task: table[(table["metric"] == metric) & table["value"].notna()] for task, table in tables.items()}
    levels = {task: _unique(frame["level"]) for task, frame in frames.items()}
    if len({len(of_task) for of_task in levels.values()}) != 1:
        raise ValueError(f"as many levels for each task, please: {levels}")
    num_levels = len(next(iter(levels.values())))
    most = max(max(_places(frame).values()) for frame in frames.values())
    figure = new_figure(1.2 + 5.4 * len(frames), 1.3 + num_levels * (1.2 + 0.25 * most), title)
    panels = figure.subplots(num_levels, len(frames), squeeze=False)
    for column, (task, frame) in zip(panels.T, frames.items()):
        for axes, level in zip(column, levels[task]):
            cells = frame[frame["level"] == level]
            _grouped_bars(axes, cells)
            axes.set_xlabel(axis_label(metric, level).replace("\n", " "))
            axes.set_title(f"{task}\n{LEVEL_NAMES.get(level, level)}", loc="left")
    _bar_legend(figure, pd.concat(frames.values()))
    return figure


def _places(cells: pd.DataFrame) -> dict[tuple[str, str], int]:
    """(update, method) -> how far from the top its bar is, a place left free above each update for its name."""
    places: dict[tuple[str, str], int] = {}
    for number, (update, of_update) in enumerate(cells.groupby("group", sort=False), start=1):
        for row in _unique(of_update["row"]):
            places[update, row] = number + len(places)
    return places


def _grouped_bars(axes: Axes, cells: pd.DataFrame) -> None:
    places = _places(cells)
    _bars(axes, cells, [places[line] for line in zip(cells["group"], cells["row"])])
    first = {update: place for (update, _), place in reversed(places.items())}
    look = {"textcoords": "offset points", "va": "center", "weight": "bold", "size": 9.5}
    for update, place in first.items():
        axes.annotate(arrow(update), (0, place - 1), (4, -2), **look)
    axes.set_ylim(max(places.values()) + 0.6, -0.55)
    axes.set_yticks(list(places.values()), [row for _, row in places])
    _leave_room(axes, cells)


def metric_by_num_candidates(rows: Rows, title: str, metrics: Sequence[str] = ("ER", "NFR", "NFI")) -> Figure:
    """Each metric against the number of candidates, a line a row: the form of the paper's Figure 2.

    `rows`: tidy rows plus the column num_candidates; a row with NaN there (Untreated) is a horizontal
    dashed line. Intervals are bands, the paper's numbers diamonds.
    """
    return _curves(rows, "num_candidates", "number of candidates {input}", title, metrics, {})


def metric_by_ensemble_size(rows: Rows, title: str, metrics: Sequence[str] = ("ER", "NFR", "NFI")) -> Figure:
    """Each metric against the number of new models in the ensemble: the form of the paper's Figure 3.

    `rows`: tidy rows plus the column ensemble_size; a row with NaN there (BCR) is a horizontal dashed line.
    """
    return _curves(rows, "ensemble_size", "models in the ensemble", title, metrics, {})


def nfr_by_dropout(
    rows: Rows, title: str, chosen: Mapping[str, float] | None = None, metrics: Sequence[str] = ("NFR", "ACC")
) -> Figure:
    """Each metric against the dropout rate p the candidates were sampled with; a ring marks the p chosen for a row.

    `rows`: tidy rows plus the column p; a row with NaN there is a horizontal dashed line. `chosen`: {row: p}.
    """
    return _curves(rows, "p", "dropout rate p while sampling candidates", title, metrics, chosen or {})


def _curves(rows: Rows, x: str, x_label: str, title: str, metrics: Sequence[str], marks: Mapping[str, float]) -> Figure:
    frame = tidy(rows, extra=(x,))
    frame = frame[frame["metric"].isin(metrics)]
    _one_group(frame)
    levels, series = _unique(frame["level"]), _unique(frame["row"])
    figure = new_figure(1.0 + 3.6 * len(metrics), 1.5 + 2.7 * len(levels), title)
    panels = figure.subplots(len(levels), len(metrics), squeeze=False, sharex=True)
    for line, level in zip(panels, levels):
        for axes, metric in zip(line, metrics):
            cells = _panel(frame, level, metric)
            _lines(axes, cells, x, series)
            chosen = cells[cells[x] == cells["row"].map(marks)]
            axes.plot(chosen[x], 100 * chosen["value"], linestyle="none", **CHOSEN_MARK)
            axes.set_ylabel(axis_label(metric, level))
        line[0].set_title(LEVEL_NAMES.get(level, level), loc="left")
    for axes in panels[-1]:
        axes.set_xlabel(x_label.format(input=one_input(levels)))
        axes.margins(x=0.04)
        axes.set_xticks(_ticks(sorted(frame[x].dropna().unique())))
    handles = _line_handles(frame, x, series)
    if marks:
        handles.append(Line2D([], [], linestyle="none", label="chosen on dev", **CHOSEN_MARK))
    _legend(figure, handles, frame)
    return figure


def _ticks(values: Sequence[float]) -> list[float]:
    """The ascending values where they have room under an axis, else the multiples of 2, 5, 10, ... among them."""
    room = (values[-1] - values[0]) / 17
    crowded = any(right - left < room for left, right in pairwise(values))
    for step in (2, 5, 10, 20, 50, 100) if crowded else ():
        kept = [value for value in values if value % step == 0]
        if all(right - left >= room for left, right in pairwise(kept)):
            return kept
    return list(values)


def _line_handles(frame: pd.DataFrame, x: str, series: list[str]) -> list:
    colours = method_colours(series)
    flat = {row for row in series if frame.loc[frame["row"] == row, x].isna().all()}
    handles: list = [
        Line2D([], [], color=colours[row], linewidth=2, linestyle="--" if row in flat else "-", label=row)
        for row in series
    ]
    if frame["low"].notna().any():
        handles.append(Patch(facecolor="#9CA3AF", alpha=0.35, label=INTERVAL))
    return handles


def _lines(axes: Axes, cells: pd.DataFrame, x: str, series: list[str]) -> None:
    colours = method_colours(series)
    for row, points in cells.groupby("row", sort=False):
        flat, curve = points[points[x].isna()], points[points[x].notna()].sort_values(x)
        for value in flat["value"]:
            axes.axhline(100 * value, color=colours[row], linestyle="--", linewidth=1.6)
        axes.plot(curve[x], 100 * curve["value"], color=colours[row], marker="o", markersize=4, linewidth=2)
        axes.fill_between(
            curve[x], 100 * curve["low"], 100 * curve["high"], color=colours[row], alpha=0.18, linewidth=0
        )
        mark = PAPER_MARK | {"markeredgecolor": colours[row], "markeredgewidth": 1.8}  # whose number it is
        axes.plot(curve[x], 100 * curve["paper"], linestyle="none", **mark)


def name_rates(chosen: Mapping[str, float]) -> str:
    """For a title, which dropout rate was chosen for which update: "p = 0.05 for every update" if it is one."""
    if len(chosen) > 1 and len(set(chosen.values())) == 1:
        return f"p = {next(iter(chosen.values())):g} for every update"
    return ", ".join(f"p = {rate:g} ({update})" for update, rate in chosen.items())


def seed_pair_heat_map(rows: Rows, title: str, level: str = "UAS", metric: str = "NFR") -> Figure:
    """One metric for every pair of an old and a new seed, as an annotated map; one below the other for each update.

    `rows`: columns old_seed, new_seed, value (a rate), and group where there are several updates. A missing pair (the
    same seed twice) stays white; all maps have one scale of colours.
    """
    frame = rows if isinstance(rows, pd.DataFrame) else pd.DataFrame(list(rows))
    frame = frame if "group" in frame else frame.assign(group="")
    maps = {
        group: 100 * cells.pivot(index="old_seed", columns="new_seed", values="value")
        for group, cells in frame.groupby("group", sort=False)
    }
    heights = [1.2 + 0.62 * len(grid) for grid in maps.values()]
    width = 2.6 + 0.95 * max(grid.shape[1] for grid in maps.values())
    figure = new_figure(max(6.2, width), max(3.4, 0.4 + sum(heights)), title)
    panels = figure.subplots(len(maps), 1, squeeze=False, height_ratios=heights)[:, 0]
    for axes, (group, grid) in zip(panels, maps.items()):
        _heat_map(axes, grid.astype(float), 140 * frame["value"].max(), axis_label(metric, level))
        axes.set_title(_panel_title(group, level), loc="left")
    return figure


def _heat_map(axes: Axes, grid: pd.DataFrame, most: float, label: str) -> None:
    shades = {"cmap": "Blues", "vmin": 0, "vmax": most, "linewidths": 1, "cbar_kws": {"label": label}}
    sns.heatmap(grid, ax=axes, annot=True, fmt=".2f", **shades)
    axes.set(xlabel="seed of the new model", ylabel="seed of the old model")
    axes.grid(False)  # it would show in cells without a pair
    axes.tick_params(axis="y", rotation=0)
