"""Row by row: what the paper prints, what a run has for it, whether they agree, and what the run does otherwise."""

import ast
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from bcrlib.data.presets import PRESETS
from bcrlib.experiments.paper_numbers import paper_numbers, strategy_of
from bcrlib.pipeline.profile import Profile, load_profile
from bcrlib.report import tables
from bcrlib.report.candidate_sources import SAMPLED
from bcrlib.report.tables import Record, read_record
from bcrlib.samplers.strategies import parse_strategy

DEFINITIONS = ("clean", "official")
BOTH = "both"
"""Counted by either definition with the same result."""
INSIDE, NOT_RUN, NO_SPREAD = "inside", "not run", "–"
_ROUNDING = 1e-9  # of a difference of two floats
_STAGES = {"decode": "1-best", "re-rank": "re-ranking ten candidates"}
_MIRRORED = {"ER": "ACC", "ACC": "ER"}


@dataclass(frozen=True)
class Place:
    """Where a run has its numbers for a table, a figure or a section of the paper."""

    task: str
    notebook: str
    record: str
    """The name of the file: of both definitions where `both` is empty, else of the run's preset."""
    both: str = ""
    """The name of the file with both definitions, where `record` has one."""


PLACES = {
    "Table 1": Place("dependency", "04_measuring_regression.ipynb", "table1"),
    "Table 2": Place("semantic", "11_regression_in_frames.ipynb", "table2"),
    "Table 3": Place("dependency", "05_reranking.ipynb", "table3", "definitions"),
    "Table 4": Place("semantic", "11_regression_in_frames.ipynb", "table4", "definitions_frames"),
    "Table 5": Place("semantic", "12_decoding_methods.ipynb", "table5", "definitions_frames"),
    "Table 6": Place("semantic", "11_regression_in_frames.ipynb", "table6", "definitions_frames"),
    "Table 7": Place("dependency", "04_measuring_regression.ipynb", "table7"),
    "Table 8": Place("dependency", "05_reranking.ipynb", "table8", "definitions"),
    "Table 9": Place("dependency", "05_reranking.ipynb", "table9", "definitions"),
    "Figure 2": Place("semantic", "12_decoding_methods.ipynb", "table5", "definitions_frames"),
    "Figure 3": Place("semantic", "12_decoding_methods.ipynb", "figure3"),
    "Section 6.4": Place("dependency", "05_reranking.ipynb", "speed"),
}
"""In the order of the paper. The one point of Figure 2's curve that is known is a row of Table 5."""
SPEEDS = "Section 6.4"
RETRAINED = ("Table 1", "Table 2", "Table 7")
"""They compare old models among each other."""


Cell = Mapping[str, Any]
"""A number as a row of a record has it: the paper's is under paper and paper_spread, ours under value, low and high."""


def verdict(printed: Cell, cell: Cell | None) -> str:
    """The difference, ours minus the paper's, in points of per cent; or that it is inside the spread, or why neither.

    Inside of what, says `templates/reproducibility.md`.  cell: None where we have no number.
    """
    if cell is None:
        return NOT_RUN
    difference = cell["value"] - printed["paper"]
    if printed["paper_spread"] is not None:
        inside = abs(difference) <= printed["paper_spread"] + _ROUNDING
    elif cell["low"] is not None and cell["high"] is not None:
        inside = cell["low"] - _ROUNDING <= printed["paper"] <= cell["high"] + _ROUNDING
    else:
        return NO_SPREAD
    return INSIDE if inside else f"{100 * difference:+.2f}".replace("-", "−")


@dataclass(frozen=True)
class PaperRow:
    """One method of one update at one level, as one table of the paper has it."""

    table: str
    update: str
    """"old=>new", or the name of a single model."""
    method: str
    params: Mapping[str, object]
    level: str
    numbers: dict[str, dict] = field(default_factory=dict)
    """Metric -> the paper's number; derived: it is not printed, but follows from what is."""

    @property
    def is_single(self) -> bool:
        """Whether it is of models by themselves, not of an update."""
        return self.method == "single-model"

    @property
    def of_update(self) -> str:
        """The update, or nothing where the row is of a model by itself; of speeds the parser."""
        return "" if self.is_single and self.table != SPEEDS else self.update

    @property
    def name(self) -> str:
        """What our tables call it."""
        if "stage" in self.params:
            return _STAGES[str(self.params["stage"])]
        if self.is_single:
            return self.update
        if self.method == "oracle-re-ranker":
            return f"oracle {self.params['reranker']}"
        if self.method != "BCR":
            return self.method
        return strategy_of(self.params) if self.table in ("Table 5", "Figure 2") else SAMPLED


def paper_rows(table: str) -> list[PaperRow]:
    """Every row of a table of the paper, in the order of the file of its numbers. O(numbers)."""
    rows: dict[str, PaperRow] = {}
    for cell in paper_numbers().query("source == 'paper' and table == @table").itertuples():
        key = json.dumps([cell.update, cell.method, cell.params, cell.level], sort_keys=True)
        numbers = rows.setdefault(key, PaperRow(table, cell.update, cell.method, cell.params, cell.level)).numbers
        metric, is_spread, _ = cell.metric.partition("_STD")
        if is_spread:  # it stands behind its number
            numbers[metric]["paper_spread"] = cell.value
        else:
            unit = "sentences/s" if table == SPEEDS else "%"
            numbers[metric] = {"paper": cell.value, "paper_spread": None, "unit": unit, "derived": cell.derived}
    return list(rows.values())


@dataclass(frozen=True)
class Run:
    """The tables and figures that a run left, by name and cell."""

    figures: Path
    """The folder with their records."""
    preset: str

    @cached_property
    def records(self) -> dict[str, Record]:
        """Name -> record, of those that there are."""
        names = {name for place in PLACES.values() for name in (place.record, place.both) if name}
        files = {name: self.figures / f"{name}.json" for name in sorted(names)}
        return {name: read_record(file) for name, file in files.items() if file.exists()}

    @cached_property
    def _cells(self) -> dict[tuple, dict]:
        """Record, group, row, level, metric and size of an ensemble -> cell."""
        key = ("group", "row", "level", "metric", "ensemble_size")
        return {(name, *map(cell.get, key)): cell for name, record in self.records.items() for cell in record.rows}

    def counted(self, row: PaperRow) -> list[str]:
        """By which definitions, or at which precisions, the run has numbers for a row: the run's preset first."""
        if row.table == SPEEDS:
            rows = self.records["speed"].rows if "speed" in self.records else []
            return list(dict.fromkeys(cell["level"] for cell in rows if cell["group"] == row.update))
        ordered = sorted(DEFINITIONS, key=lambda name: name != self.preset)
        return [name for name in ordered if any(self.cell(row, metric, name) for metric in row.numbers)]

    def cell(self, row: PaperRow, metric: str, counted: str) -> dict | None:
        """The run's number for one of the paper's, a row of a record; None where it has none.

        Where a record has an accuracy for an error rate, or the reverse, the one is made from the other.
        """
        place, name, level, suffix, size = PLACES[row.table], row.name, row.level, "", None
        record = place.record
        if row.table == SPEEDS:
            level, metric = counted, "speed"
        elif row.table in RETRAINED:
            name = f"{name}, {counted}"
        elif counted != self.preset:
            record, suffix = place.both, f" {counted}"  # Figure 3 has none
        if row.table == "Figure 3":
            size = row.params["ensemble_size"]
        # First what is most like the paper's, whose beams list what ends first.
        beams = [str(replace(parse_strategy(name), ended=True))] if name.startswith("beam(") else []
        for called in (*beams, name, f"{name}, chosen on dev"):
            key = (record, row.of_update, called, level)
            if cell := self._cells.get((*key, metric + suffix, size)):
                return cell
            if cell := self._cells.get((*key, _MIRRORED.get(metric, "") + suffix, size)):
                value, low, high = (None if cell[part] is None else 1 - cell[part] for part in ("value", "high", "low"))
                return cell | {"value": value, "low": low, "high": high}
        return None


@dataclass(frozen=True)
class Line:
    """A row of the paper beside our numbers, counted one way."""

    row: PaperRow
    counted: str
    """"clean", "official" or "both"; of speeds the precision; empty where we have no numbers."""
    cells: Mapping[str, dict | None]
    """By metric."""

    @property
    def verdicts(self) -> dict[str, str]:
        """Of each of its numbers."""
        return {metric: verdict(printed, self.cells.get(metric)) for metric, printed in self.row.numbers.items()}

    def ours(self, metric: str) -> str:
        """Our number as text, with what stands behind it."""
        return " ".join(filter(None, tables.ours(self.cells.get(metric))))

    def text(self, metric: str) -> str:
        """Our number, and on a second line the paper's with the verdict; nothing where the paper has none."""
        if (printed := self.row.numbers.get(metric)) is None:
            return ""
        number = " ".join(filter(None, tables.paper(printed))) + ("\\*" if printed["derived"] == "yes" else "")
        return f"{self.ours(metric)}<br>{number}: {self.verdicts[metric]}"


def lines(row: PaperRow, run: Run) -> list[Line]:
    """A row of the paper beside what the run has for it: a line each definition, one where both give the same."""
    cells = {name: {metric: run.cell(row, metric, name) for metric in row.numbers} for name in run.counted(row)}
    found = [Line(row, name, of_row) for name, of_row in cells.items()] or [Line(row, "", {})]
    if len(found) > 1 and row.table != SPEEDS and len({tuple(map(line.ours, row.numbers)) for line in found}) == 1:
        return [replace(found[0], counted=BOTH)]
    return found


Asked = Mapping[str, Any]
"""What was asked of a half of a run, as JSON values: the profile in a manifest."""
COUNTING = ("punct_exclude", "tree_level_punct", "lcm_root_label", "span_em")
"""Switches that say what counts as right; all others change models, or what they write down."""
SAMPLES = (SAMPLED, "oracle NFR", "oracle ACC")
"""Rows that choose from samples of dropout-p whose rate was chosen before."""
_SECTIONS = {
    "dependency": ({"": "model"}, {"deepbiaf": "training", "stackptr": "stackptr_training"}),
    "semantic": ({"base": "base", "large": "large"}, {"base": "base_training", "large": "large_training"}),
}
"""Networks and recipes of a task: what they are called here -> their section of a profile."""
_ENCODER = ("encoder", "encoder_layers")
_NOT_SIZES = ("kind", "preset", "vectors", "tiny_size", *_ENCODER)


@dataclass(frozen=True)
class Departure:
    """One thing that is not as in the paper, and the rows that it concerns: all of its task, unless it says which."""

    task: str
    what: str
    text: str
    """Our value, and behind it in brackets the paper's or the authors'."""
    rows: tuple[str, ...] = ()
    """Only these, as our tables call them."""
    part_models: bool = False
    """Only rows with models of a part of the data."""
    counted: str = ""
    """Only numbers counted by this definition."""

    def concerns(self, row: PaperRow, counted: str) -> bool:
        """Whether a row, counted by one of the definitions, differs in it."""
        if PLACES[row.table].task != self.task or (self.rows and row.name not in self.rows):
            return False
        return (not self.part_models or "-part" in row.update) and self.counted in ("", counted)

    @property
    def only(self) -> str:
        """Which rows it concerns, where not all, in brackets."""
        only = [*self.rows, *["part models"] * self.part_models]
        only += [f"counted `{self.counted}`"] if self.counted else []
        return f" ({', '.join(only)} alone)" if only else ""


def asked_of(profile: Profile, task: str) -> dict[str, Any]:
    """A half of a profile as a manifest has it."""
    fields = asdict(profile) if task == "dependency" else {"preset": profile.preset, **asdict(profile.semantic)}
    return json.loads(json.dumps(fields))


def departures(task: str, asked: Asked, precisions: Iterable[str] = ()) -> list[Departure]:
    """What a half of a run has otherwise than the paper.

    precisions: of the matrix products in its trainings.
    """
    theirs = asked_of(load_profile("authors"), task)
    networks, recipes = _SECTIONS[task]
    found = [Departure(task, "Network", _changed(networks, asked, theirs))]
    if task == "dependency":
        vectors = asked["model"]["vectors"]
        told = "" if "sskip" in vectors else f"{vectors} (sskip, which cannot be had by checksum)"
        found.append(Departure(task, "Word vectors", told))
    else:
        found.append(Departure(task, "Encoder", _changed(networks, asked, theirs, _ENCODER)))
    others, preset = sorted(set(precisions) - {"float32"}), asked["preset"]
    precision = f"matrix products of training in {shown(others)} (float32)" if others else ""
    found += [
        Departure(task, "Recipe", _changed(recipes, asked, theirs)),
        Departure(task, "Seeds", _seeds(asked, theirs)),
        Departure(task, "Precision", precision),
        Departure(task, "Switches of models", _switches(task, preset, counting=False)),
        Departure(task, "Switches of counting", _switches(task, preset, counting=True), counted=preset),
        Departure(task, "Ensembles", _ensembles(asked, theirs), rows=("Ensemble",)),
        Departure(task, "Students", _students(asked, theirs), rows=("Distillation",)),
        Departure(task, "Dropout rate", _rates(task, asked), rows=SAMPLES),
    ]
    if task == "semantic":
        part = f"a random share of {shown(asked['part'])}, another for each model (four fifths, it is not said which)"
        found.append(Departure(task, "Part of the data", part, part_models=True))
    return [departure for departure in found if departure.text]


def differing_switches(task: str) -> dict[str, tuple[object, object]]:
    """Every switch of a task in which the presets differ: (clean, official)."""
    clean, official = (asdict(PRESETS[name]) for name in DEFINITIONS)
    of_task = [name for name in clean if (name.startswith("s2s_") or name == "span_em") == (task == "semantic")]
    return {name: (clean[name], official[name]) for name in of_task if name != "name" and clean[name] != official[name]}


def shown(value: object) -> str:
    """A value of a profile or a preset as text."""
    if isinstance(value, (list, tuple, frozenset)):
        return ", ".join(map(shown, sorted(value) if isinstance(value, frozenset) else value))
    return f"{value:g}" if isinstance(value, float) else str(value)


def _changed(sections: Mapping[str, str], asked: Asked, theirs: Asked, names: Sequence[str] = ()) -> str:
    """Of each section, under its name here, the values that differ: of these names, or of sizes and recipes all."""
    texts = []
    for called, section in sections.items():
        ours, authors = asked[section], theirs[section]
        both = [name for name in names or authors if name in ours and name in authors]
        chosen = [name for name in both if ours[name] != authors[name] and (names or name not in _NOT_SIZES)]
        told = ", ".join(f"`{name}` {shown(ours[name])} ({shown(authors[name])})" for name in chosen)
        texts += [f"{called}: {told}" if called else told] if told else []
    return "; ".join(texts)


def _seeds(asked: Asked, theirs: Asked) -> str:
    ours, paper = ([len(one[side]) for side in ("old_seeds", "new_seeds")] for one in (asked, theirs))
    return "" if ours == paper else "{} old and {} new models of a kind ({} and {})".format(*ours, *paper)


def _switches(task: str, preset: str, counting: bool) -> str:
    names = [f"`{name}`" for name in differing_switches(task) if (name in COUNTING) == counting]
    return "" if preset == "official" else f"`{preset}` (`official`): {', '.join(names)}"


def _ensembles(asked: Asked, theirs: Asked) -> str:
    def sizes(groups: Sequence[Any]) -> str:  # in old manifests a group is text
        members = {len(ast.literal_eval(group) if isinstance(group, str) else group) for group in groups}
        return f"{len(groups)} of {'/'.join(map(str, sorted(members)))}"

    ours, paper = (sizes(one["ensembles"]) for one in (asked, theirs))
    disjoint = "no member is an old model (the authors' first ensemble is their old models of the kind)"
    return disjoint if ours == paper else f"{ours} ({paper}), and {disjoint}"


def _students(asked: Asked, theirs: Asked) -> str:
    def numbers(one: Asked) -> dict[str, int]:
        num_old = len(one["old_seeds"])
        if "students" in one:
            return {"": one["students"] or num_old}
        return {" into deepbiaf": num_old, " into stackptr": one["stackptr_students"] or num_old}

    ours, paper = numbers(asked), numbers(theirs)
    differ = [kind for kind in ours if ours[kind] != paper[kind]]
    return ", ".join(f"{ours[kind]}{kind} for each update ({paper[kind]})" for kind in differ)


def _rates(task: str, asked: Asked) -> str:
    share = asked.get("dev_share", 1.0)
    dev = "dev" if share == 1 else f"{shown(share)} of dev"
    tables = [table for table, place in PLACES.items() if place.task == task and table != "Table 5"]
    params = [row.params for table in tables for row in paper_rows(table) if row.method == "BCR"]
    rates = sorted({of_row.get("p", of_row.get("p_in_official_code")) for of_row in params})
    return f"chosen on {dev} for each update, of {shown(asked['dropout_grid'])} ({shown(rates)}, chosen on test)"
