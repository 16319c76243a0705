"""One table of the paper, number by number beside ours, as Markdown."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from string import ascii_uppercase
from typing import Any

from bcrlib.experiments.paper_numbers import paper_numbers
from bcrlib.pipeline.profile import Profile
from bcrlib.report import tables
from bcrlib.report.departures import Asked, Departure, shown
from bcrlib.report.paper_rows import INSIDE, NO_SPREAD, NOT_RUN, PLACES, SPEEDS, PaperRow, Run, paper_rows, verdict
from bcrlib.report.row_commands import row_command, row_seconds
from bcrlib.report.tables import arrow
from bcrlib.samplers.strategies import DropoutP, parse_strategy
from bcrlib.tasks.names import TASKS

BOTH = "both"
"""Counted by either definition with the same result."""
_HEADS = {"SENTENCES_PER_SECOND": "sentences a second"}


@dataclass(frozen=True)
class Line:
    """A row of the paper beside our numbers, counted one way."""

    row: PaperRow
    counted: str
    """"clean", "official" or "both"; of speeds the precision; empty where we have no numbers."""
    cells: Mapping[str, dict | None]
    """By metric."""

    def verdict(self, metric: str) -> str:
        """Of one of its numbers."""
        return verdict(self.row.numbers[metric], self.cells.get(metric))

    @property
    def verdicts(self) -> set[str]:
        """Of all its numbers."""
        return {self.verdict(metric) for metric in self.row.numbers}

    def texts(self, metric: str) -> list[str]:
        """The paper's number, ours and the verdict; nothing where the paper has none."""
        if metric not in self.row.numbers:
            return ["", "", ""]
        printed, cell = self.row.numbers[metric], self.cells.get(metric)
        unit = "sentences/s" if metric == "SENTENCES_PER_SECOND" else "%"
        of_paper = {"paper": printed.value, "paper_spread": printed.spread, "unit": unit}
        paper = " ".join(filter(None, tables.paper(of_paper))) + ("\\*" if printed.derived else "")
        ours = " ".join(filter(None, tables.ours(cell and {"unit": unit, **cell})))
        return [paper, ours, self.verdict(metric)]


def lines(row: PaperRow, run: Run) -> list[Line]:
    """A row of the paper beside what the run has for it: a line each definition, one where both give the same."""
    found = [
        Line(row, name, {metric: run.cell(row, metric, name) for metric in row.numbers}) for name in run.counted(row)
    ]
    if not found:
        return [Line(row, "", {})]
    numbers = [[line.texts(metric)[1] for metric in row.numbers] for line in found]
    if len(found) > 1 and row.table != SPEEDS and numbers[0] == numbers[1]:
        return [Line(row, BOTH, found[0].cells)]
    return found


def not_asked(row: PaperRow, asked: Asked) -> str:
    """What of the profile keeps a run from having a row; empty where nothing does."""
    kinds = {kind for update in asked["updates"] for kind in update.split("=>")}
    if row.is_single:
        return "" if row.update in kinds else f"no update has {row.update}"
    if row.update not in asked["updates"]:
        return "not among the updates"
    if row.table == "Figure 3" and row.params["ensemble_size"] not in asked["ensemble_sizes"]:
        return f"not among the sizes {shown(asked['ensemble_sizes'])}"
    if row.table in ("Table 5", "Figure 2") and row.method == "BCR" and row.name not in _strategies(row, asked):
        return f"{row.name} in no grid"
    return ""


def _strategies(row: PaperRow, asked: Asked) -> set[str]:
    rates = [str(DropoutP(p)) for p in asked["dropout_grid"]]
    listed = TASKS[PLACES[row.table].task].listed[row.update.split("=>")[1]]
    return {*map(str, map(parse_strategy, asked["sampling_grid"])), *rates, listed}


@dataclass(frozen=True)
class Section:
    """What is written about one table of the paper."""

    table: str
    run: Run
    profile: Profile
    asked: Asked
    """Of its task."""
    jobs: Mapping[str, Mapping[str, Any]]
    """Of all manifests."""
    departures: Sequence[Departure]
    """Of both tasks, in the order of their numbers."""

    def text(self) -> str:
        """The numbers, the commands that make them again, and what is to be said of the paper's."""
        commands, levels = self._commands(), TASKS[PLACES[self.table].task].levels
        of_level = {
            level: [row for row in paper_rows(self.table) if row.level == level] for level in (*levels, "speed")
        }
        blocks = [f"**{level}**\n\n{self._block(rows, commands)}" for level, rows in of_level.items() if rows]
        legend = [f"- {letter}: `{command}`{self._minutes(row)}" for command, (letter, row) in commands.items()]
        return "\n\n".join(filter(None, [f"## {self.table}", *blocks, "\n".join(legend), self._notes()]))

    def _commands(self) -> dict[str, tuple[str, PaperRow]]:
        """Command -> its letter, and the first row that it makes."""
        found: dict[str, tuple[str, PaperRow]] = {}
        for row in paper_rows(self.table):
            command = None if not_asked(row, self.asked) else row_command(self.profile, row)
            if command and command not in found:
                found[command] = (ascii_uppercase[len(found)], row)
        return found

    def _block(self, rows: Sequence[PaperRow], commands: Mapping[str, tuple[str, PaperRow]]) -> str:
        metrics = list(dict.fromkeys(metric for row in rows for metric in row.numbers))
        names = ["parser", "method", "precision"] if self.table == SPEEDS else ["update", "method", "counted"]
        heads = [head for metric in metrics for head in (f"{_HEADS.get(metric, metric)}: paper", "ours", "verdict")]
        table = [[*names, *heads, "differs in", "run"], [":--"] * 3 + ["--:"] * len(heads) + [":--"] * 2]
        for line, opens in self._lines(rows):
            update = arrow(line.row.of_update) if opens else ""
            numbers = [text for metric in metrics for text in line.texts(metric)]
            asked = not not_asked(line.row, self.asked)
            letter = commands.get(row_command(self.profile, line.row) or "", ("",))[0] if asked else ""
            table.append([update, line.row.name, line.counted or "–", *numbers, self._why(line), letter])
        return "\n".join("| " + " | ".join(cells) + " |" for cells in table)

    def _lines(self, rows: Sequence[PaperRow]) -> Iterator[tuple[Line, bool]]:
        """Update by update; whether a line is the first of its own."""
        for update in dict.fromkeys(row.of_update for row in rows):
            of_update = [line for row in rows if row.of_update == update for line in lines(row, self.run)]
            yield from ((line, number == 0) for number, line in enumerate(of_update))

    def _why(self, line: Line) -> str:
        """The numbers of the departures that concern a line outside; why there is nothing."""
        record = PLACES[self.table].record
        if not line.counted:
            return not_asked(line.row, self.asked) or f"{'not in' if self.run.has(record) else 'no'} {record}.json"
        if line.verdicts <= {INSIDE, NO_SPREAD, NOT_RUN}:
            return ""
        counted = "official" if line.counted == BOTH else line.counted  # the same numbers are the paper's way too
        return " ".join(str(i) for i, one in enumerate(self.departures, 1) if one.concerns(line.row, counted))

    def _minutes(self, row: PaperRow) -> str:
        seconds = row_seconds(self.profile, row, self.jobs)
        return "" if seconds is None else f" (its jobs: {seconds / 60:.0f} minutes, added up)"

    def _notes(self) -> str:
        numbers = paper_numbers()
        noted = numbers[(numbers["source"] == "paper") & (numbers["table"] == self.table)]
        notes = [f"{arrow(row.update)}, {row.method}: {row.note}" for row in noted.itertuples() if row.note]
        for params in (row.params for row in paper_rows(self.table) if "gpu" in row.params):
            theirs = f"measured on a {params['gpu']}, {params['batch_size']} sentences a batch"
            notes.append(f"{theirs}; ours on the hardware of the run, with networks of its sizes")
        notes += ["\\* is not printed, but follows"] if (noted["derived"] == "yes").any() else []
        listed = "\n".join(f"- {note}" for note in dict.fromkeys(notes))
        return f"On the paper's numbers:\n\n{listed}" if listed else ""
