"""What was measured of the parsers' speed, as rows of tables and points of curves (paper, section 6.4).

Figures of what parsing costs: by the number of candidates, the size of batches, the length of sentences; memory.
"""

import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullLocator

from bcrlib.bench.grid import MEMORY, PAPER_BATCH, SPEED, STEPS
from bcrlib.experiments.paper_numbers import lookup
from bcrlib.report.figures import PAPER_MARK
from bcrlib.report.style import method_colours, new_figure

_COLUMNS = ["kind", "precision", "step", "batch_size", "num_candidates", "words", "metric", "value"]


def load_speeds(files: Mapping[str, Path]) -> tuple[dict[str, Any], pd.DataFrame]:
    """The settings of the measurements of some tasks, and all that was measured: {task: speed.json}.

    Columns: kind, precision, step, batch_size, num_candidates, words (mean length where it was varied), metric
    ("per_second": sentences, "peak_bytes") and value; what did not fit into the memory has no value and is left out.
    Settings: device (its name), threads, and of each task its corpus, sentences and turns.
    """
    records = [json.loads(path.read_text("utf-8")) for path in files.values()]
    frame = pd.DataFrame([row for record in records for row in record["rows"]], columns=_COLUMNS)
    settings = {"device": device_name(records[0]), "threads": records[0]["num_threads"]}
    for name, key in {"corpus": "corpus", "sentences": "num_sentences", "turns": "num_turns"}.items():
        settings[name] = [record[key] for record in records]
    return settings, frame.dropna(subset="value").reset_index(drop=True)


def device_name(record: Mapping[str, Any]) -> str:
    """The GPU, or the processor where that did the work."""
    return record["machine"]["gpu" if record["device"] == "cuda" else "processor"]


def step_name(step: str) -> str:
    """As tables and figures write it."""
    return STEPS[step].name


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
    found = by_batch_size(frame)
    found = found[found["batch_size"] == PAPER_BATCH]
    return pd.DataFrame([cell for row in found.itertuples() for cell in _cells(row, _others(found, row))])


def best_rows(frame: pd.DataFrame) -> pd.DataFrame:
    """In the batches that are best for each step: sentences a second, of how many, and as a share of the encoder's."""
    found = by_batch_size(frame)
    best = found.loc[found.groupby(["kind", "precision", "step"], sort=False)["value"].idxmax()]
    rows = []
    for row in best.itertuples():
        speed, of_encoder, _ = _cells(row, _others(best, row))
        size = {**speed, "metric": "batch", "value": row.batch_size, "unit": "sentences", "paper": None}
        rows += [{**speed, "paper": None}, size, of_encoder]
    return pd.DataFrame(rows)


def cost_rows(frame: pd.DataFrame) -> pd.DataFrame:
    """What samples of dropout-p and their re-ranking cost, in 1-best decodes of the same sentences and batches.

    Columns: kind, precision, step, num_candidates, cost.
    """
    found = frame[(frame["metric"] == SPEED) & frame["words"].isna() & (frame["batch_size"] == PAPER_BATCH)]
    one_best = found[found["step"] == "1-best"].set_index(["kind", "precision"])["value"]
    of_samples = found[found["step"].isin(["dropout-p", "dropout-p, one by one", "re-ranking dropout-p"])]
    cost = one_best.loc[list(zip(of_samples["kind"], of_samples["precision"]))].to_numpy() / of_samples["value"]
    return of_samples[["kind", "precision", "step", "num_candidates"]].assign(cost=cost).reset_index(drop=True)


def _others(found: pd.DataFrame, row: Any) -> dict[str, float]:
    """Speeds of the same parser's steps."""
    of_parser = found[(found["kind"] == row.kind) & (found["precision"] == row.precision)]
    return dict(zip(of_parser["step"], of_parser["value"]))


def _cells(row: Any, of_step: Mapping[str, float]) -> list[dict[str, object]]:
    cell = {"group": row.kind, "row": step_name(row.step), "level": row.precision}
    paper = paper_speed(row.kind, row.step)
    return [
        cell | {"metric": "speed", "value": row.value, "unit": "sentences/s", "paper": paper},
        cell | {"metric": "of encoder", "value": row.value / of_step["encoder"], "unit": "%", "paper": None},
        cell | {"metric": "of 1-best", "value": row.value / of_step["1-best"], "unit": "%", "paper": None},
    ]


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
_COLOURS = method_colours(list(dict.fromkeys(_LINES.values())))
_PASSES = {"marker": "X", "markersize": 8, "color": _COLOURS[_LINES["dropout-p"]], "linestyle": "none"}
_LINEAR = {"color": "#374151", "linestyle": "--", "linewidth": 1.4}
_OF_BATCHES = ("encoder", "1-best", "k-best", "beam", "dropout-p", "re-ranking")


def cost_by_candidates(costs: pd.DataFrame, title: str) -> Figure:
    """Cost in 1-best decodes against the number of candidates; dashed: a decode each, crosses: a pass each.

    `costs`: of `speed_rows.cost_rows`.
    """

    def draw(axes: Axes, cells: pd.DataFrame) -> None:
        most = cells["num_candidates"].max()
        axes.plot([1, most], [1, most], **_LINEAR)
        _curves(axes, cells, "num_candidates", cells["cost"])
        passes = cells[cells["step"] == "dropout-p, one by one"]
        axes.plot(passes["num_candidates"], passes["cost"], **_PASSES)
        axes.set_ylim(0, 1.08 * max(most, costs["cost"].max()))
        axes.set_xticks(sorted(cells["num_candidates"].unique()))

    figure = _panels(costs, title, draw, "candidates of a sentence", "cost in 1-best decodes")
    linear = Line2D([], [], label="linear: one decode a candidate", **_LINEAR)
    return _legend(figure, costs["step"], [Line2D([], [], label="dropout-p, in ten passes", **_PASSES), linear])


def speed_by_batch_size(frame: pd.DataFrame, title: str) -> Figure:
    """Sentences a second against the size of batches, by powers of both; diamonds: the paper's.

    `frame`: of `speed_rows.by_batch_size`; drawn are the main steps.
    """
    frame = frame[frame["step"].isin(_OF_BATCHES)]
    in_paper = {(kind, step): paper_speed(kind, step) for kind in frame["kind"].unique() for step in _OF_BATCHES}

    def draw(axes: Axes, cells: pd.DataFrame) -> None:
        _curves(axes, cells, "batch_size", cells["value"])
        for (kind, step), number in in_paper.items():
            if kind == cells["kind"].iloc[0] and number is not None:
                mark = PAPER_MARK | {"markeredgecolor": _COLOURS[_LINES[step]], "markeredgewidth": 1.8}
                axes.plot([PAPER_BATCH], [number], linestyle="none", **mark)
        _by_powers(axes, cells["batch_size"])

    figure = _panels(frame, title, draw, "sentences of a batch", "sentences a second")
    mark = Line2D([], [], linestyle="none", label="the paper's number, on a V100", **PAPER_MARK)
    return _legend(figure, frame["step"], [mark] if any(in_paper.values()) else [])


def time_by_length(frame: pd.DataFrame, title: str) -> Figure:
    """Milliseconds a sentence against its length. `frame`: of `speed_rows.by_length`."""

    def draw(axes: Axes, cells: pd.DataFrame) -> None:
        _curves(axes, cells, "words", 1000 / cells["value"])
        axes.set_xlim(left=0)
        _logarithmic(axes)

    return _legend(_panels(frame, title, draw, "words of a sentence", "milliseconds a sentence"), frame["step"])


def memory_by_batch_size(frame: pd.DataFrame, title: str) -> Figure:
    """Mebibytes of tensors, at most, against the size of a batch. `frame`: of `speed_rows.by_batch_size`, of memory."""

    def draw(axes: Axes, cells: pd.DataFrame) -> None:
        _curves(axes, cells, "batch_size", cells["value"] / MEBIBYTE)
        _by_powers(axes, cells["batch_size"])

    return _legend(_panels(frame, title, draw, "sentences of a batch", "MiB beyond the weights"), frame["step"])


def _panels(
    frame: pd.DataFrame, title: str, draw: Callable[[Axes, pd.DataFrame], None], x_label: str, y_label: str
) -> Figure:
    """A column of panels a kind of parser, a line of them a precision; ValueError without anything to draw."""
    if frame.empty:
        raise ValueError("nothing of this was measured")
    kinds, precisions = frame["kind"].unique(), frame["precision"].unique()
    figure = new_figure(1.0 + 3.0 * max(2, len(kinds)), 1.9 + 2.6 * len(precisions), title)
    panels = figure.subplots(len(precisions), len(kinds), squeeze=False, sharey=True)
    for line, precision in zip(panels, precisions):
        for axes, kind in zip(line, kinds):
            axes.set(xlabel=x_label)
            axes.set_title(f"{kind}, {precision}", loc="left")
            draw(axes, frame[(frame["kind"] == kind) & (frame["precision"] == precision)])
        line[0].set_ylabel(y_label)
    return figure


def _curves(axes: Axes, cells: pd.DataFrame, x: str, y: pd.Series) -> None:
    drawn = cells.assign(y=y)[cells["step"].isin(_LINES)]
    for step, of_step in drawn.groupby("step", sort=False):
        points = of_step.sort_values(x)
        axes.plot(points[x], points["y"], color=_COLOURS[_LINES[step]], marker="o", markersize=4.5, linewidth=1.8)


def _by_powers(axes: Axes, sizes: pd.Series) -> None:
    """Both axes logarithmic, with the sizes along the lower one."""
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_locator(FixedLocator(sorted(sizes.unique())))
    axes.xaxis.set_major_formatter(FuncFormatter(_plain))
    axes.xaxis.set_minor_locator(NullLocator())
    _logarithmic(axes)


def _logarithmic(axes: Axes) -> None:
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter(FuncFormatter(_plain))
    axes.yaxis.set_minor_locator(NullLocator())


def _plain(value: float, _: int) -> str:
    return f"{value:,g}"


def _legend(figure: Figure, steps: Iterable[str], further: Iterable[Line2D] = ()) -> Figure:
    lines = dict.fromkeys(_LINES[step] for step in steps if step in _LINES)
    handles = [Line2D([], [], color=_COLOURS[line], marker="o", markersize=4.5, label=line) for line in lines]
    figure.legend(handles=[*handles, *further], loc="outside lower left", ncols=3, frameon=False)
    return figure
