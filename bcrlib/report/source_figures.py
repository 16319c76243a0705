"""Figures on sources of candidates: cut-off distributions, flips out of and within reach, what diversity is worth."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from bcrlib.report.house_style import INTERVAL, LEVEL_NAMES, axis_label, method_colours, new_figure
from bcrlib.report.source_rows import source_of
from bcrlib.report.table_text import arrow
from bcrlib.report.tables import tidy

BEFORE, AFTER = "#D1D5DB", "#0173B2"
OUT_OF_REACH, WITHIN_REACH = "#7A7A7A", "#DE8F05"


def cut_distributions(
    outcomes: Sequence[str], original: np.ndarray, cut: Mapping[str, np.ndarray], title: str
) -> Figure:
    """The distribution over outcomes before (grey) and after each way of cutting it off or flattening it, a panel each.

    `original`, and every value of `cut`, are probabilities [outcome] that add up to 1; ValueError if not.
    """
    for name, probs in {"original": original, **cut}.items():
        if len(probs) != len(outcomes) or not np.isclose(np.sum(probs), 1):
            raise ValueError(f"{name}: no distribution over {len(outcomes)} outcomes")
    figure = new_figure(1.2 + 2.7 * len(cut), 3.6, title)
    places = np.arange(len(outcomes))
    for axes, (name, probs) in zip(figure.subplots(1, len(cut), squeeze=False, sharey=True)[0], cut.items()):
        axes.bar(places, original, width=0.85, color=BEFORE)
        axes.bar(places, probs, width=0.5, color=AFTER)
        axes.set_xticks(places, outcomes, rotation=60, ha="right", rotation_mode="anchor")
        axes.set_title(name, loc="left")
        axes.grid(False, axis="x")
    for axes in figure.axes:
        axes.set(xlabel="outcome", ylabel="probability")
    handles = [Patch(color=BEFORE, label="the model's own"), Patch(color=AFTER, label="what is drawn from")]
    figure.legend(handles=handles, loc="outside lower left", ncols=2, frameon=False)
    return figure


def flips_within_reach(rows: pd.DataFrame, title: str, level: str = "UAS") -> Figure:
    """Negative flips after BCR by source: as many as even the safest candidates have, and the rest, picked on top.

    The safest candidate of a sentence is the one with the fewest (the oracle by NFR).  `rows`: of `source_rows` for one
    or several updates, a panel each, plus rows "Untreated" of the metric NFR BCR (a dashed line).  The interval is that
    of the whole bar.
    """
    frame = tidy(rows)
    frame = frame[(frame["level"] == level) & frame["metric"].isin(["NFR oracle", "NFR BCR"])]
    groups = frame["group"].unique()
    most = frame.groupby("group")["row"].nunique().max()
    figure = new_figure(1.6 + 5.2 * len(groups), 1.8 + 0.36 * most, title)
    panels = figure.subplots(1, len(groups), squeeze=False, sharex=True)[0]
    for axes, group in zip(panels, groups):
        _reach(axes, frame[frame["group"] == group])
        axes.set_ylim(most - 1.4, -0.6)  # Untreated is no bar
        axes.set_xlabel(axis_label("NFR", level).replace("\n", " "))
        axes.set_title(arrow(group), loc="left")
    handles = [
        Patch(color=OUT_OF_REACH, label="in the safest candidates too"),
        Patch(color=WITHIN_REACH, label="on top: a safer candidate was there, another was picked"),
        Line2D([], [], color="black", linewidth=1.4, label=INTERVAL),
        Line2D([], [], color="#374151", linestyle="--", label="Untreated"),
    ]
    figure.legend(handles=handles, loc="outside lower left", ncols=2, frameon=False)
    return figure


def _reach(axes: Axes, cells: pd.DataFrame) -> None:
    picked = cells[cells["metric"] == "NFR BCR"].set_index("row")[["value", "low", "high"]] * 100
    axes.axvline(picked.loc["Untreated", "value"], color="#374151", linestyle="--", linewidth=1.4)
    picked = picked.drop(index="Untreated")
    fewest = 100 * cells[cells["metric"] == "NFR oracle"].set_index("row")["value"].reindex(picked.index)
    places = np.arange(len(picked))
    axes.barh(places, fewest, height=0.66, color=OUT_OF_REACH)
    axes.barh(places, picked["value"] - fewest, left=fewest, height=0.66, color=WITHIN_REACH)
    axes.hlines(places, picked["low"], picked["high"], color="black", linewidth=1.4)
    axes.set_yticks(places, picked.index)
    axes.set_xlim(left=0)
    axes.grid(False, axis="y")


def metrics_by_diversity(
    rows: pd.DataFrame,
    title: str,
    level: str = "UAS",
    metrics: Sequence[str] = ("ACC random", "ACC oracle", "NFR oracle", "NFR BCR"),
) -> Figure:
    """Each metric against the number of distinct trees a sentence: a point a strategy, a colour a source.

    `rows`: of `source_rows` for one update, rows named by their strategies.  The parameters of a source are joined in
    the order of their diversity; bars are intervals.
    """
    frame = tidy(rows)
    frame = frame[frame["level"] == level]
    wide = 100 * frame.pivot(index="row", columns="metric", values=["value", "low", "high"])
    num_distinct = (wide["value", "distinct trees"] / 100).sort_values()  # the one number that is no rate
    sources = list(dict.fromkeys(map(source_of, frame["row"])))
    colours = method_colours(sources)
    figure = new_figure(1.0 + 3.1 * len(metrics), 4.2, title)
    for axes, metric in zip(figure.subplots(1, len(metrics), squeeze=False)[0], metrics):
        for source in sources:
            x = num_distinct[num_distinct.index.map(source_of) == source]
            of_source = wide.loc[x.index]
            axes.plot(x, of_source["value", metric], color=colours[source], marker="o", markersize=5, linewidth=1.2)
            axes.vlines(x, of_source["low", metric], of_source["high", metric], color=colours[source])
        axes.set(xlabel="distinct trees a sentence", ylabel=f"{metric} (%)")
    figure.axes[0].set_title(LEVEL_NAMES[level], loc="left")
    handles = [Line2D([], [], color=colours[source], marker="o", markersize=5, label=source) for source in sources]
    handles.append(Line2D([], [], color="#374151", linewidth=1.2, label=f"vertical: {INTERVAL}"))
    figure.legend(handles=handles, loc="outside lower left", ncols=6, frameon=False)
    return figure
