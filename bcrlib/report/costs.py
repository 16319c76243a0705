"""What parsing costs: measured speeds and memory as rows of tables and as curves (paper, section 6.4)."""

import json
from collections.abc import Mapping
from itertools import product
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullLocator

from bcrlib.experiments.paper_numbers import lookup
from bcrlib.experiments.speed_grid import MEMORY, PAPER_BATCH, SPEED, STEPS
from bcrlib.report.figures import INK, PAPER_MARK, Look, legend, method_colours, panels, paper_mark
from bcrlib.report.tables import MISSING

_COLUMNS = ["kind", "precision", "step", "batch_size", "num_candidates", "words", "metric", "value"]


def load_speeds(files: Mapping[str, Path]) -> tuple[dict[str, Any], pd.DataFrame]:
    """The settings of the measurements of some tasks, and all that was measured: {task: speed.json}.

    Columns: kind, precision, step, batch_size, num_candidates, words (mean length where it was varied), metric
    ("per_second": sentences, "peak_bytes") and value; what did not fit into the memory has no value and is left out.
    Settings: device (the GPU, or the processor where that did the work), threads, and of each task its corpus,
    sentences and turns.
    """
    records = [json.loads(path.read_text("utf-8")) for path in files.values()]
    frame = pd.DataFrame([row for record in records for row in record["rows"]], columns=_COLUMNS)
    first = records[0]
    device = first["machine"]["gpu" if first["device"] == "cuda" else "processor"]
    settings = {"device": device, "threads": first["num_threads"]}
    for name, key in {"corpus": "corpus", "sentences": "num_sentences", "turns": "num_turns"}.items():
        settings[name] = [record[key] for record in records]
    return settings, frame.dropna(subset="value").reset_index(drop=True)


def paper_speed(kind: str, step: str) -> float | None:
    """Sentences a second on a V100 in batches of 32, where the paper says it."""
    return lookup("Section 6.4", kind, "single-model", "speed", "SENTENCES_PER_SECOND", {"stage": STEPS[step].in_paper})


def by_batch_size(frame: pd.DataFrame, metric: str = SPEED) -> pd.DataFrame:
    """What was measured with the usual number of candidates: of memory the longest sentences, of speed all of them."""
    usual = frame["step"].map(lambda step: STEPS[step].num_candidates)
    found = frame[(frame["metric"] == metric) & (frame["num_candidates"] == usual)]
    return found if metric == MEMORY else found[found["words"].isna()]


def by_length(frame: pd.DataFrame) -> pd.DataFrame:
    """Speeds by the mean length of the sentences."""
    return frame[(frame["metric"] == SPEED) & frame["words"].notna()]


def speed_rows(frame: pd.DataFrame) -> pd.DataFrame:
    """In the paper's batches: sentences a second, and as a share of the bare encoder's and of 1-best decoding."""
    found = by_batch_size(frame).query("batch_size == @PAPER_BATCH")
    return pd.DataFrame([cell for row in found.itertuples() for cell in _cells(found, row)])


def best_rows(frame: pd.DataFrame) -> pd.DataFrame:
    """In the batches that are best for each step: sentences a second, of how many, and as a share of the encoder's."""
    found = by_batch_size(frame)
    best = found.loc[found.groupby(["kind", "precision", "step"], sort=False)["value"].idxmax()]
    rows = []
    for row in best.itertuples():
        speed, of_encoder, _ = _cells(best, row)
        size = {**speed, "metric": "batch", "value": row.batch_size, "unit": "sentences"}
        rows += [speed, size, of_encoder]
    return pd.DataFrame(rows).assign(paper=None)


def _cells(found: pd.DataFrame, row: Any) -> list[dict[str, object]]:
    """The speed of a step, also as a share of those of other steps of the same parser."""
    of_parser = found[(found["kind"] == row.kind) & (found["precision"] == row.precision)].set_index("step")["value"]
    cell = {"group": row.kind, "row": STEPS[row.step].name, "level": row.precision}
    paper = paper_speed(row.kind, row.step)
    return [
        cell | {"metric": "speed", "value": row.value, "unit": "sentences/s", "paper": paper},
        cell | {"metric": "of encoder", "value": row.value / of_parser["encoder"], "unit": "%", "paper": None},
        cell | {"metric": "of 1-best", "value": row.value / of_parser["1-best"], "unit": "%", "paper": None},
    ]


def cost_rows(frame: pd.DataFrame) -> pd.DataFrame:
    """What samples of dropout-p and their re-ranking cost, in 1-best decodes of the same sentences and batches.

    Columns: kind, precision, step, num_candidates, cost.
    """
    found = frame[(frame["metric"] == SPEED) & frame["words"].isna() & (frame["batch_size"] == PAPER_BATCH)]
    one_best = found[found["step"] == "1-best"].set_index(["kind", "precision"])["value"]
    of_samples = found[found["step"].isin(["dropout-p", "dropout-p, one by one", "re-ranking dropout-p"])]
    cost = one_best.loc[list(zip(of_samples["kind"], of_samples["precision"]))].to_numpy() / of_samples["value"]
    return of_samples[["kind", "precision", "step", "num_candidates"]].assign(cost=cost).reset_index(drop=True)


def speed_table(bench: dict) -> str:
    """The bars of `bcr bench --json` as a Markdown table."""
    lines = ["| measured in one run | ours | bar | |", "| :-- | --: | --: | :-- |"]
    for bar in bench["bars"]:
        limit = MISSING if bar["bar"] is None else f"{'≤' if bar['at_most'] else '≥'} {bar['bar']:g}"
        ours = MISSING if bar["value"] is None else f"{bar['value']:.2f}"
        verdict = {True: "met", False: "**missed**", None: "" if bar["bar"] is None else "not measured"}[bar["met"]]
        lines.append(f"| {bar['what']} | {ours} | {limit} | {verdict} |")
    return "\n".join(lines)


MEBIBYTE = 2**20
# Step -> the line it is drawn as: no parser has both k-best and beam, and ten passes are another way of dropout-p.
_LINES = {
    "encoder": "encoder alone",
    "1-best": "1-best",
    "k-best": "its ten best (k-best, beam)",
    "beam": "its ten best (k-best, beam)",
    "dropout-p": "dropout-p, in one pass",
    "re-ranking": "re-ranking its ten best",
    "re-ranking dropout-p": "re-ranking samples of dropout-p",
}
_LOOKS = {
    line: {"color": colour, "marker": "o", "markersize": 4.5}
    for line, colour in method_colours(list(dict.fromkeys(_LINES.values()))).items()
}
_PASSES = {"marker": "X", "markersize": 8, "color": _LOOKS[_LINES["dropout-p"]]["color"], "linestyle": "none"}
_LINEAR = {"color": INK, "linestyle": "--", "linewidth": 1.4}


def cost_by_candidates(costs: pd.DataFrame, title: str) -> Figure:
    """Cost in 1-best decodes against the number of candidates; dashed: a decode each, crosses: a pass each.

    `costs`: of `cost_rows`.
    """
    further = {"dropout-p, in ten passes": _PASSES, "linear: one decode per candidate": _LINEAR}
    figure, areas = _by_parser(costs, title, "candidates per sentence", "cost in 1-best decodes", further)
    for axes, cells in areas:
        most = cells["num_candidates"].max()
        axes.plot([1, most], [1, most], **_LINEAR)
        _curves(axes, cells, "num_candidates", cells["cost"])
        passes = cells[cells["step"] == "dropout-p, one by one"]
        axes.plot(passes["num_candidates"], passes["cost"], **_PASSES)
        axes.set_ylim(0, 1.08 * max(most, costs["cost"].max()))
        axes.set_xticks(sorted(cells["num_candidates"].unique()))
    return figure


def speed_by_batch_size(frame: pd.DataFrame, title: str) -> Figure:
    """Sentences a second against the size of batches, by powers of both; diamonds: the paper's.

    `frame`: of `by_batch_size`; drawn are the main steps.
    """
    frame = frame[frame["step"].isin(set(_LINES) - {"re-ranking dropout-p"})]
    in_paper = {pair: paper_speed(*pair) for pair in product(frame["kind"].unique(), _LINES)}
    further = {"the paper's number, on a V100": PAPER_MARK} if any(in_paper.values()) else {}
    figure, areas = _by_parser(frame, title, "sentences per batch", "sentences per second", further)
    for axes, cells in areas:
        _curves(axes, cells, "batch_size", cells["value"])
        for (kind, step), number in in_paper.items():
            if kind == cells["kind"].iloc[0] and number is not None:
                axes.plot([PAPER_BATCH], [number], **paper_mark(_LOOKS[_LINES[step]]["color"]))
        _by_powers(axes, cells["batch_size"])
    return figure


def time_by_length(frame: pd.DataFrame, title: str) -> Figure:
    """Milliseconds a sentence against its length. `frame`: of `by_length`."""
    figure, areas = _by_parser(frame, title, "words per sentence", "milliseconds per sentence")
    for axes, cells in areas:
        _curves(axes, cells, "words", 1000 / cells["value"])
        axes.set_xlim(left=0)
        axes.set_xticks(sorted(cells["words"].unique()))
        _by_powers(axes)
    return figure


def memory_by_batch_size(frame: pd.DataFrame, title: str) -> Figure:
    """Mebibytes of tensors, at most, against the size of a batch. `frame`: of `by_batch_size`, of memory."""
    figure, areas = _by_parser(frame, title, "sentences per batch", "MiB beyond the weights")
    for axes, cells in areas:
        _curves(axes, cells, "batch_size", cells["value"] / MEBIBYTE)
        _by_powers(axes, cells["batch_size"])
    return figure


def _by_parser(
    frame: pd.DataFrame, title: str, x_label: str, y_label: str, further: Mapping[str, Look] | None = None
) -> tuple[Figure, list[tuple[Axes, pd.DataFrame]]]:
    """A column of panels a kind of parser, a line of them a precision, each with what is to be drawn there.

    ValueError without anything to draw.
    """
    if frame.empty:
        raise ValueError("nothing of this was measured")
    kinds, precisions = frame["kind"].unique(), frame["precision"].unique()
    size = 1.0 + 3.0 * max(2, len(kinds)), 1.9 + 2.6 * len(precisions)
    figure, areas = panels(size, title, precisions, kinds, sharey=True)
    found = []
    for (precision, kind), axes in areas.items():
        found.append((axes, frame.query("precision == @precision and kind == @kind")))
        axes.set(title=f"{kind}, {precision}", xlabel=x_label, ylabel=y_label if kind == kinds[0] else "")
    looks = {_LINES[step]: _LOOKS[_LINES[step]] for step in frame["step"] if step in _LINES}
    legend(figure, looks | (further or {}), 3)
    return figure, found


def _curves(axes: Axes, cells: pd.DataFrame, x: str, y: pd.Series) -> None:
    drawn = cells.assign(y=y)[cells["step"].isin(_LINES)]
    for step, of_step in drawn.groupby("step", sort=False):
        points = of_step.sort_values(x)
        axes.plot(points[x], points["y"], linewidth=1.8, **_LOOKS[_LINES[step]])


def _by_powers(axes: Axes, sizes: pd.Series | None = None) -> None:
    """A logarithmic axis of what is measured, and one of the sizes along the lower one."""
    locators = {axes.yaxis: LogLocator(subs=(1, 2, 5))}
    axes.set_yscale("log")
    if sizes is not None:
        locators |= {axes.xaxis: FixedLocator(sorted(sizes.unique()))}
        axes.set_xscale("log", base=2)
    for axis, locator in locators.items():
        axis.set_major_locator(locator)
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
        axis.set_minor_locator(NullLocator())
