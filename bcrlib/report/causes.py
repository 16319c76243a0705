"""What the cells of an ablation tell of causes: counted, kept small, as tables, as a figure.

Three questions, each a number a cell (rates of the level by which the task chooses: labelled words, spans of frames):
    when does dropout-p beat a list?          NFI after re-ranking its samples, minus NFI after re-ranking the list
    what makes distillation harmless?         NFI of the student minus NFI of the new model, and the same of ACC
    what drives NFI at a given NFR?           NFI = NFR / error rate: with which power of it NFR goes

Intervals are of the paired bootstrap over test sentences, all cells by the same draws; what seeds do is not in them.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from jaxtyping import Float64
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.stats import rankdata

from bcrlib.data.files import whole
from bcrlib.experiments import counting
from bcrlib.experiments.store import CorrectnessStore
from bcrlib.metrics.flips import Flips
from bcrlib.metrics.uncertainty import PairCounts, micro_average, resample
from bcrlib.pipeline.profile import cell_name
from bcrlib.report.candidate_sources import JOINED, SAMPLED, rerankers
from bcrlib.report.candidate_sources import count as count_rows
from bcrlib.report.figures import INK, INTERVAL, METHOD_COLOURS, axis_label, legend, panels
from bcrlib.report.publisher import ROOT
from bcrlib.report.regression import NUM_RESAMPLES, Counts, drawing, dropout_rate
from bcrlib.report.tables import TEMPLATES, Record, markdown_grid, plain_rows, render, tidy
from bcrlib.report.updates import LISTED, UNTREATED, short_name
from bcrlib.tasks import TASKS

PROFILE = "causes"
FLIPS_FILE = "flips.parquet"
DISTILLED = "Distillation"
SAMPLED_ORACLE, LISTED_ORACLE = "oracle NFR, dropout-p", "oracle NFR, list"
ORACLES = {SAMPLED_ORACLE: "samples of dropout-p", LISTED_ORACLE: "the list"}
_COLOURS = {row: METHOD_COLOURS["BCR" if row == SAMPLED else row] for row in (UNTREATED, LISTED, SAMPLED, DISTILLED)}
_BESIDE = {"textcoords": "offset points", "size": 8.5, "va": "center", "annotation_clip": False}
_SCHEMA = pa.schema(
    [("cell", pa.string()), ("level", pa.string()), ("row", pa.string())]
    + [(side, pa.list_(pa.string())) for side in ("old", "new")]
    + [("flips", pa.list_(pa.int16()))]
)

Drawn = Float64[np.ndarray, "value_and_resample"]
"""A number, and behind it what each resample makes of it."""
OfRow = Mapping[str, Flips]
"""Row -> flips, each count `Drawn`."""


@dataclass(frozen=True, eq=False)
class Found:
    """What the cells of one task found."""

    counts: Mapping[str, Counts]
    """Cell -> level -> row -> flips."""
    manifest: Mapping[str, Any]

    @property
    def factors(self) -> Mapping[str, Sequence[str]]:
        """What varies -> its values."""
        return dict(self.manifest["factors"])  # pairs there: a JSON object would lose their order

    @property
    def settings(self) -> dict[str, dict[str, str]]:
        """Cell -> factor -> value, in the order of the profile."""
        return {cell_name(of := dict(zip(self.factors, each))): of for each in product(*self.factors.values())}

    @property
    def level(self) -> str:
        """By whose rates the questions are answered."""
        return TASKS[self.manifest["task"]].choice_level

    @cached_property
    def flips(self) -> dict[tuple[str, str], OfRow]:
        """By cell and level.  O(cells levels rows resamples sentences)."""
        pairs = {(c, level, row): n for c, of in self.counts.items() for level in of for row, n in of[level].items()}
        draws = resample(pairs, *drawing()).flips
        found: dict[tuple[str, str], dict[str, Flips]] = {}
        for (cell, level, row), drawn in draws.items():
            value = micro_average(pairs[cell, level, row].counts)
            sides = (np.append(getattr(value, n), getattr(drawn, n)[:NUM_RESAMPLES]) for n in ("yy", "yn", "ny", "nn"))
            found.setdefault((cell, level), {})[row] = Flips(*sides)
        return found

    @cached_property
    def numbers(self) -> dict[str, dict[str, Drawn]]:
        """Name of a quantity -> cell -> its number, at the level of the questions."""
        cells = {cell: self.flips[cell, self.level] for cell in self.settings}
        return {name: {cell: of(rows) for cell, rows in cells.items()} for name, of in QUANTITIES.items()}

    def mean(self, of_cell: Mapping[str, Drawn], factor: str, value: str) -> Drawn:
        """Over the cells in which the factor has this value."""
        return np.mean([of_cell[cell] for cell, setting in self.settings.items() if setting[factor] == value], axis=0)

    def moved(self, of_cell: Mapping[str, Drawn]) -> dict[str, Drawn]:
        """Factor -> how far the mean goes from its first value to its last."""
        of = self.factors.items()
        return {name: self.mean(of_cell, name, v[-1]) - self.mean(of_cell, name, v[0]) for name, v in of}

    def teacher(self, cell: str, level: str) -> float:
        """What teachers get right of the data that they teach from, mean over the teachers of a cell."""
        return float(np.mean([known[level] for known in self.manifest["cells"][cell]["teacher_accuracy"].values()]))

    def dropout(self, cell: str) -> float:
        """The rate chosen on dev."""
        (choice,) = self.manifest["cells"][cell]["dropout_choice"].values()
        return dropout_rate(choice["strategy"])


def count(store: CorrectnessStore, preset: str) -> Counts:
    """The flips of one cell from its store of test, by level and row. KeyError names what it lacks."""
    (name,) = store.load_manifest()["dropout_choice"]
    update = counting.parse_update(name)
    rows = {UNTREATED: counting.untreated, DISTILLED: counting.distillation}
    rows |= {short_name(row): method for row, method in rerankers(store, update).items()}
    for row, strategy_of in {
        SAMPLED_ORACLE: counting.dropout_strategy,
        LISTED_ORACLE: counting.listed_strategy,
    }.items():
        rows[row] = partial(counting.oracle, strategy=strategy_of(store, update), by="NFR")
    return count_rows(store, preset, update, rows)


def save_flips(folder: Path, counts: Mapping[str, Counts]) -> None:
    """Keep the flips of all cells, sentence by sentence, in one small file; equal counts give equal bytes."""
    rows = [
        (cell, level, row, pairs.old_of_pair, pairs.new_of_pair, pairs.counts.ravel().astype(np.int16))
        for cell, of_level in counts.items()
        for level, of_row in of_level.items()
        for row, pairs in of_row.items()
    ]
    content = pa.table([pa.array(column, field.type) for column, field in zip(zip(*rows), _SCHEMA)], _SCHEMA)
    folder.mkdir(parents=True, exist_ok=True)
    with whole(folder / FLIPS_FILE) as unfinished:
        pq.write_table(content, unfinished, compression="brotli")


def load(folder: Path) -> Found:
    """What `save_flips` and the manifest beside it keep. FileNotFoundError where nothing was kept."""
    counts: dict[str, dict[str, dict[str, PairCounts]]] = {}
    for kept in pq.read_table(folder / FLIPS_FILE, schema=_SCHEMA).to_pylist():
        flips = np.array(kept["flips"], dtype=np.int64).reshape(len(kept["old"]), -1, 4)
        cell = kept["cell"]  # the same seed is another model in another cell
        pairs = PairCounts(flips, *(tuple(f"{cell}: {name}" for name in kept[side]) for side in ("old", "new")))
        counts.setdefault(cell, {}).setdefault(kept["level"], {})[kept["row"]] = pairs
    return Found(counts, CorrectnessStore(folder).load_manifest())


def kept(root: Path = ROOT) -> dict[str, Found]:
    """What the repository keeps of the profile `causes`, by task; empty where nobody has run it."""
    folders = {task: root / "data" / "correctness" / PROFILE / task for task in TASKS}
    return {task: load(folder) for task, folder in folders.items() if (folder / FLIPS_FILE).is_file()}


BEATS, HARM, COST = "NFI, dropout-p − list", "NFI, student − new", "ACC, student − new"
QUANTITIES: dict[str, Callable[[OfRow], Drawn]] = {
    BEATS: lambda rows: rows[SAMPLED].nfi - rows[LISTED].nfi,
    "ACC, dropout-p − list": lambda rows: rows[SAMPLED].acc_new - rows[LISTED].acc_new,
    HARM: lambda rows: rows[DISTILLED].nfi - rows[UNTREATED].nfi,
    COST: lambda rows: rows[DISTILLED].acc_new - rows[UNTREATED].acc_new,
    "NFR": lambda rows: rows[UNTREATED].nfr,
    "error rate": lambda rows: 1 - rows[UNTREATED].acc_new,
    "NFI": lambda rows: rows[UNTREATED].nfi,
}
"""Of one cell."""


def cell_rows(found: Found) -> pd.DataFrame:
    """Tidy rows: everything that a cell measured, at every level of the task; a row a cell."""
    rows = []
    for level in TASKS[found.manifest["task"]].levels:
        for cell in found.settings:
            of_row = found.flips[cell, level]
            plain, student = of_row[UNTREATED], of_row[DISTILLED]
            numbers = {"ACC old": plain.acc_old, "ACC new": plain.acc_new, "NFR": plain.nfr, "NFI": plain.nfi}
            numbers["teacher, training data"] = np.array([found.teacher(cell, level)])
            numbers |= {"ACC student": student.acc_new, "NFI student": student.nfi}
            numbers["p"] = np.array([found.dropout(cell)])
            for row, called in {SAMPLED: "dropout-p", LISTED: "list", JOINED: "joined"}.items():
                numbers |= {f"ACC {called}": of_row[row].acc_new, f"NFI {called}": of_row[row].nfi}
            numbers |= {row.replace("NFR", "NFI"): of_row[row].nfi for row in ORACLES}
            cells = {"row": cell, "level": level}
            rows += [cells | {"metric": name} | estimate(drawn) for name, drawn in numbers.items()]
    return pd.DataFrame(rows)


def effect_rows(found: Found) -> pd.DataFrame:
    """Tidy rows: every quantity of the three questions, mean over the cells with each value of each factor."""
    return pd.DataFrame(
        {"row": f"{factor} {value}", "level": found.level, "metric": name}
        | estimate(found.mean(of_cell, factor, value))
        for factor, values in found.factors.items()
        for value in values
        for name, of_cell in found.numbers.items()
    )


def effect_text(found: Found) -> str:
    """`effect_rows` as a Markdown table."""
    return markdown_grid(Record("table", PROFILE, "", "", "", "", plain_rows(tidy(effect_rows(found)))))


def estimate(drawn: Drawn) -> dict[str, float]:
    """A number with its 95 % interval, as tidy rows have them."""
    known = drawn[1:][~np.isnan(drawn[1:])]
    low, high = np.quantile(known, [0.025, 0.975]) if len(known) else (np.nan, np.nan)
    return {"value": float(drawn[0]), "low": float(low), "high": float(high)}


def signs(of_cell: Mapping[str, Drawn]) -> dict[str, int]:
    """Cell -> -1 where the whole interval of a difference is below 0, 1 where it is above, else 0."""
    intervals = {cell: estimate(drawn) for cell, drawn in of_cell.items()}
    return {cell: int(of["low"] > 0) - int(of["high"] < 0) for cell, of in intervals.items()}


def harmed(found: Found) -> list[str]:
    """The cells whose student has a higher NFI or a lower accuracy than the new model, beyond the interval."""
    nfi, accuracy = (signs(found.numbers[name]) for name in (HARM, COST))
    return [cell for cell in found.settings if nfi[cell] > 0 or accuracy[cell] < 0]


def power_of_errors(found: Found) -> Drawn:
    """The slope over cells of log NFR by log error rate: below 1 better models have the higher NFI.

    NaN where nothing breaks in some cell, or all cells are alike.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        nfr, errors = (np.log([*found.numbers[name].values()]) for name in ("NFR", "error rate"))
        nfr, errors = nfr - nfr.mean(axis=0), errors - errors.mean(axis=0)
        return (nfr * errors).sum(axis=0) / (errors**2).sum(axis=0)


def claim(found: Found) -> str:
    """The three answers in one line, for titles."""
    beats, num_cells = [*signs(found.numbers[BEATS]).values()], len(found.settings)
    power = power_of_errors(found)[0]
    return (
        f"Dropout-p beats the list in {beats.count(-1)} of {num_cells} cells and loses in {beats.count(1)};"
        f" distillation harms in {len(harmed(found))}; NFR goes with the error rate to the power {power:.2f}"
    )


def why_ours_differs(found_of: Mapping[str, Found]) -> str:
    """The three questions answered task by task, as Markdown (`templates/causes.md`)."""
    tasks = [_answers(task, found) for task, found in found_of.items()]
    functions = (_strongest_moves, _ends, _printed, estimate, min, max)
    values = {function.__name__.removeprefix("_"): function for function in functions}
    return render(TEMPLATES / "causes.md", {"tasks": tasks, **values})


def _answers(task: str, found: Found) -> dict[str, Any]:
    """What the template tells of a task."""
    beats, sign = found.numbers[BEATS], signs(found.numbers[BEATS])
    harm, known = found.numbers[HARM], {cell: found.teacher(cell, found.level) for cell in found.settings}
    is_harmed = harmed(found)
    # Spearman's correlation over cells; NaN where all are alike.
    x, y = rankdata([*known.values()]), rankdata([*harm.values()], axis=0)
    x, y = x - x.mean(), y - y.mean(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):  # also where a resample has no flip
        correlation = x @ y / np.sqrt((x**2).sum() * (y**2).sum(axis=0))
        rates = {name: found.numbers[name] for name in ("NFR", "error rate", "NFI")}
        logs = {name: {cell: np.log(drawn) for cell, drawn in of_cell.items()} for name, of_cell in rates.items()}
        moved = {name: found.moved(of_cell) for name, of_cell in logs.items()}
    return {
        "called": TASKS[task].in_paper.replace("-", " ").capitalize(),
        "found": found,
        "profile": found.manifest["profile"],
        "effects": effect_text(found),
        "beats": beats,
        "lower": [cell for cell in sign if sign[cell] < 0],
        "num_open": [*sign.values()].count(0),
        "num_higher": [*sign.values()].count(1),
        "oracles": {
            called: np.mean([found.flips[cell, found.level][row].nfi for cell in sign], axis=0)
            for row, called in ORACLES.items()
        },
        "harm": harm,
        "num_harmed": len(is_harmed),
        "teachers": {
            where: [100 * known[cell] for cell in known if (cell in is_harmed) == harms]
            for where, harms in {"Where it harms": True, "Where it does not": False}.items()
        },
        "correlation": correlation,
        "reach": {name: [100 * drawn[0] for drawn in rates[name].values()] for name in ("NFI", "NFR", "error rate")},
        "power": power_of_errors(found),
        "times": {factor: {name: np.exp(moved[name][factor]) for name in moved} for factor in found.factors},
    }


def _strongest_moves(found: Found, of_cell: Mapping[str, Drawn]) -> dict[str, Drawn]:
    """How far the factors move a difference that move it beyond the interval, the strongest first."""
    moved = found.moved(of_cell)
    beyond = [factor for factor, sign in signs(moved).items() if sign]
    return {factor: moved[factor] for factor in sorted(beyond, key=lambda factor: -abs(moved[factor][0]))}


def _ends(found: Found, factor: str) -> str:
    return f"{factor} from {found.factors[factor][0]} to {found.factors[factor][-1]}"


def _printed(drawn: Drawn, form: str = ".2f") -> str:
    """ "−1.20 [−2.00, −0.40]" """
    value, low, high = (format(number, form) for number in estimate(drawn).values())
    return f"{value} [{low}, {high}]".replace("-", "−")


def question_panels(found: Found) -> Figure:
    """The three questions, a line of panels each; a column for all cells that differ in nothing but the first factor.

    Intervals are of test sentences alone.  O(cells).
    """
    columns: dict[str, list[str]] = {}
    for cell, setting in found.settings.items():
        others = cell_name({factor: value for factor, value in setting.items() if factor != next(iter(found.factors))})
        columns.setdefault(others, []).append(cell)
    size = 1.6 + 3.0 * max(2, len(columns)), 10.6
    figure, areas = panels(size, claim(found), [*_QUESTIONS], [*columns], sharex="row", sharey="row")
    for (question, others), axes in areas.items():
        is_first = others == next(iter(columns))
        _QUESTIONS[question](axes, found, columns[others])
        axes.set_title(f"{question if is_first else ''}\n{others}")
        axes.set_ylabel(axes.get_ylabel() if is_first else "")
    looks = {row: {"color": colour, "marker": "o", "linewidth": 2} for row, colour in _COLOURS.items()}
    looks[f"vertical: {INTERVAL}, of sentences alone"] = {"color": INK, "linewidth": 1.2}
    looks[f"numbers beside points: {next(iter(found.factors))}"] = {"linestyle": "none"}
    legend(figure, looks, 3)
    return figure


def _reranked(axes: Axes, found: Found, cells: Sequence[str]) -> None:
    """NFI of the plain update and after re-ranking, by the first factor."""
    factor, values = next(iter(found.factors.items()))
    for number, row in enumerate((UNTREATED, LISTED, SAMPLED)):
        places = np.arange(len(cells)) + 0.06 * (number - 1)  # intervals side by side
        _points(axes, places, [found.flips[cell, found.level][row].nfi for cell in cells], row)
    axes.set_xticks(range(len(cells)), values)
    axes.set_ylim(bottom=0)
    axes.set(xlabel=factor, ylabel=axis_label("NFI", found.level))


def _taught(axes: Axes, found: Found, cells: Sequence[str]) -> None:
    """What the student has more NFI than the new model, by what its teacher knows."""
    known = [100 * found.teacher(cell, found.level) for cell in cells]
    axes.axhline(0, color="#9CA3AF", linewidth=1)
    _named_points(axes, found, known, [found.numbers[HARM][cell] for cell in cells], DISTILLED)
    axes.margins(x=0.2, y=0.12)
    axes.set(xlabel="teacher, on its training data (%)", ylabel="NFI, student − new model\n(points)")


def _untreated(axes: Axes, found: Found, cells: Sequence[str]) -> None:
    """NFR over the error rate: NFI is the slope of the line through a point and the origin."""
    errors, nfr = (found.numbers[name] for name in ("error rate", "NFR"))
    right, top = (120 * max(estimate(one)["high"] for one in of_cell.values()) for of_cell in (errors, nfr))
    for nfi in (0.1, 0.2, 0.3, 0.5):
        axes.plot([0, right], [0, right * nfi], color="#9CA3AF", linewidth=1, linestyle=":", zorder=1)
        end, offset = ((right, right * nfi), (4, 0)) if right * nfi < top else ((top / nfi, top), (3, -6))
        if axes.get_subplotspec().is_last_col():
            text = f"{'NFI ' if end[0] == right else ''}{100 * nfi:.0f} %"
            axes.annotate(text, end, offset, color="#6B7280", **_BESIDE)
    places = [100 * errors[cell][0] for cell in cells]
    _named_points(axes, found, places, [nfr[cell] for cell in cells], UNTREATED)
    axes.set(xlabel="error rate of the new model (%)", ylabel=axis_label("NFR", found.level))
    axes.set(xlim=(0, right), ylim=(0, top))


def _points(axes: Axes, places: Sequence[float], drawn: Sequence[Drawn], row: str) -> None:
    """Rates in per cent at their places, joined, with their intervals."""
    numbers, colour = pd.DataFrame([estimate(one) for one in drawn]) * 100, _COLOURS[row]
    axes.plot(places, numbers["value"], color=colour, marker="o", markersize=5.5, linewidth=2, zorder=3)
    axes.vlines(places, numbers["low"], numbers["high"], color=colour, linewidth=1.2, zorder=2)


def _named_points(axes: Axes, found: Found, places: Sequence[float], drawn: Sequence[Drawn], row: str) -> None:
    """`_points`, the value of the first factor beside each."""
    _points(axes, places, drawn, row)
    box = {"facecolor": "white", "edgecolor": "none", "pad": 0.4, "alpha": 0.75}
    for text, x, one in zip(next(iter(found.factors.values())), places, drawn):
        axes.annotate(text, (x, 100 * one[0]), (7, -8), color=INK, bbox=box, zorder=4, **_BESIDE)


_QUESTIONS = {
    "When does dropout-p beat a list?": _reranked,
    "What makes distillation harmless?": _taught,
    "What drives NFI at a given NFR?": _untreated,
}
"""And what draws a panel about each."""
