"""Records: what stands under every table, figure and drawing, and a table's record as JSON, Markdown, LaTeX and HTML.

A table begins as tidy rows, one number a row, with the paper's numbers filled in beside ours.  Its record is a small
JSON file; all other forms are made from it.
"""

import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import jinja2
import numpy as np
import pandas as pd

from bcrlib import __version__
from bcrlib.experiments.paper_numbers import lookup

TEMPLATES = Path(__file__).parent / "templates"
MISSING = "–"
_HEADS = {"cells": "cell", "causes": "mean over cells with"}
"""What names a row, in tables whose rows are no methods."""
_LATEX = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
_LATEX |= {c: f"\\{c}" for c in "&%$#_{}"} | {"⇒": r"$\Rightarrow$", "±": r"$\pm$", "–": "--"}

Kind = Literal["table", "figure", "drawing"]
Line = tuple[str, str]
"""What names a line of a table: its group (an update, or ""), and its row."""
Column = tuple[str, str]
"""A level and a metric."""


@dataclass(frozen=True)
class Record:
    """One table, figure or drawing: its claim, where it comes from and its numbers."""

    kind: Kind
    name: str
    """The file name without ending: "table3", "figure2", "table3_labelled"."""
    title: str
    """The claim, one sentence."""
    caption: str
    """What is shown: units, intervals, what the reader should see."""
    signature: str
    """The settings under the numbers, `key:value` joined by `|`."""
    command: str
    """The shell command that makes it."""
    rows: list[dict]
    """The numbers: rates in [0, 1]; absent values are None."""

    @property
    def label(self) -> str:
        """ "table3" -> "Table 3", "figure2_words" -> "Figure 2 (words)", other names as plain words."""
        match = re.fullmatch(r"(table|figure)(\d+)(?:_([a-z0-9_]+))?", self.name)
        if match is None:
            return self.name.replace("_", " ").capitalize()
        kind, number, suffix = match.groups()
        return f"{kind.capitalize()} {number}" + (f" ({suffix.replace('_', ' ')})" if suffix else "")


def format_signature(settings: Mapping[str, object]) -> str:
    """The settings under a number as one string: `key:value|...|v:VERSION`; lists joined by commas.

    Two numbers may be compared when their signatures agree.
    """

    def text(value: object) -> str:
        if isinstance(value, (set, frozenset)):
            value = sorted(value)
        return ",".join(map(str, value)) if isinstance(value, (list, tuple, np.ndarray)) else str(value)

    return "|".join(f"{key}:{text(value)}" for key, value in [*settings.items(), ("v", __version__)])


def plain_rows(frame: pd.DataFrame) -> list[dict]:
    """The rows of a frame as JSON has them: NaN is None, floats have ten digits, so that the last bit of a sum changes
    no file.  O(cells).
    """

    def plain(value: object) -> object:
        value = value.item() if isinstance(value, np.generic) else value
        if not isinstance(value, float):
            return value
        return round(value, 10) if math.isfinite(value) else None

    return [{str(name): plain(value) for name, value in row.items()} for row in frame.to_dict(orient="records")]


def write_record(record: Record, folder: Path) -> None:
    """Writes folder/NAME.json; the same record gives the same bytes.  ValueError for a name with other characters."""
    if not re.fullmatch(r"[a-z][a-z0-9_]*", record.name):
        raise ValueError(f"{record.name!r} cannot name a table or figure: lower-case letters, digits, _ only")
    folder.mkdir(parents=True, exist_ok=True)
    fields = {"kind": record.kind, "name": record.name, "label": record.label, "title": record.title}
    fields |= {"caption": record.caption, "signature": record.signature, "command": record.command}
    write_text(folder / f"{record.name}.json", json_with_rows(fields, record.rows))


def json_with_rows(fields: Mapping[str, object], rows: Iterable[Mapping[str, object]]) -> str:
    """{FIELDS, "rows": ROWS} as JSON, a row a line: readable, and a changed number is one changed line in a diff."""
    head = json.dumps(fields, ensure_ascii=False, indent=1).removesuffix("\n}")
    lines = ",".join(f"\n  {json.dumps(row, ensure_ascii=False)}" for row in rows)
    return f'{head},\n "rows": [{lines}]\n}}\n'


def read_record(path: Path) -> Record:
    """Reads back what write_record wrote; ValueError names the file that is something else."""
    fields = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(fields, dict) or fields.pop("label", None) is None:
        raise ValueError(f"{path}: not the record of a table or figure")
    return Record(**fields)


def write_text(path: Path, content: str) -> None:
    """UTF-8 with bare line feeds, on every platform."""
    path.write_text(content, encoding="utf-8", newline="\n")


def render(template: Path, values: Mapping[str, object]) -> str:
    """A template file (jinja2) filled in with these values, which are escaped in HTML; a missing one is an error."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(template.parent),
        autoescape=template.suffix == ".html",
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    return environment.get_template(template.name).render(values)


_NUMBERS = ("value", "low", "high", "spread", "paper", "paper_spread")
_GIVEN = ("row", "level", "metric", "value")
_DEFAULTS = {"group": "", **dict.fromkeys(_NUMBERS[1:], math.nan), "unit": "%", "command": ""}
COLUMNS = ("group", *_GIVEN, *_NUMBERS[1:], "unit", "command")


def tidy(rows: pd.DataFrame | Iterable[Mapping[str, object]], extra: tuple[str, ...] = ()) -> pd.DataFrame:
    """One number a line, all columns present, in the order given.

    Columns: group (the update, e.g. "deepbiaf=>deepbiaf"), row (the method or model), level, metric, value, low, high
    (interval), spread (standard deviation over seeds or pairs), paper, paper_spread (the paper's), unit ("%": value is
    a rate in [0, 1]; any other: printed as it is), command (of this row of the table).  Only row, level, metric and
    value must be given.  `extra` names further columns (a curve's x).  ValueError for an unknown or missing column, or
    a cell given twice.  O(rows).
    """
    frame = rows if isinstance(rows, pd.DataFrame) else pd.DataFrame(list(rows))
    names = [*COLUMNS, *extra]
    if missing := [name for name in (*_GIVEN, *extra) if name not in frame]:
        raise ValueError(f"a table needs the columns {', '.join(missing)}")
    if unknown := [column for column in frame if column not in names]:
        raise ValueError(f"unknown columns {', '.join(map(str, unknown))}; known: {', '.join(COLUMNS)}")
    frame = frame.assign(**{name: default for name, default in _DEFAULTS.items() if name not in frame})
    frame = frame.fillna({name: _DEFAULTS[name] for name in ("group", "unit", "command")})
    key = ["group", "row", "level", "metric", *extra]
    if (twice := frame.duplicated(key)).any():
        raise ValueError(f"given twice: {' / '.join(map(str, frame.loc[twice, key].iloc[0]))}")
    # Ten digits, as in the JSON: else a table and its figure may round a tie to different percentages.
    frame[[*_NUMBERS]] = frame[[*_NUMBERS]].astype(float).round(10)
    return frame[names].reset_index(drop=True)


def beside_paper(
    rows: pd.DataFrame | Iterable[Mapping[str, object]],
    table: str,
    paper_rows: Mapping[str, tuple[str, Mapping[str, object]]] | None = None,
    along: str = "",
) -> pd.DataFrame:
    """Tidy rows with the paper's numbers filled in from `table` ("Table 3"); NaN where it has none.

    A row is looked up as (update = group, method = row); a row whose group is empty is a single model called `row`.
    `paper_rows` names the paper's method and params for rows called differently here: {"BCR, dropout 0.3": ("BCR",
    {"decoding": "dropout-p", "p": 0.3})}.  The rows of a curve have one more column, `along` ("num_candidates"), which
    is such a param too; NaN there: it does not concern the row.
    """
    frame = tidy(rows, extra=(along,) if along else ())
    names = paper_rows or {}

    def number(row: tuple, metric: str) -> float | None:
        method, params = names.get(row.row, (row.row, {}))
        if along and not math.isnan(getattr(row, along)):
            params = {**params, along: getattr(row, along)}
        update, method = (row.group, method) if row.group else (method, "single-model")
        return lookup(table, update, method, row.level, metric, params)

    frame["paper"] = [number(row, row.metric) for row in frame.itertuples()]
    frame["paper_spread"] = [number(row, f"{row.metric}_STD") for row in frame.itertuples()]
    return frame.astype({"paper": float, "paper_spread": float})


def arrow(group: str) -> str:
    """ "deepbiaf=>stackptr" as the paper prints it."""
    return group.replace("=>", " ⇒ ")


def _number(value: float | None, unit: str) -> str:
    if value is None:
        return MISSING
    return f"{100 * value:.2f}" if unit == "%" else f"{value:,.1f}"


def ours(cell: dict | None) -> tuple[str, str]:
    """Our number and, in the second string, its interval or spread ("" where there is none)."""
    if cell is None:
        return MISSING, ""
    value, low, high, spread = (_number(cell[key], cell["unit"]) for key in ("value", "low", "high", "spread"))
    if MISSING not in (low, high):
        return value, f"[{low}, {high}]"
    return value, "" if spread == MISSING else f"± {spread}"


def paper(cell: dict | None) -> tuple[str, str]:
    """The paper's number and its spread."""
    if cell is None:
        return MISSING, ""
    value, spread = (_number(cell[key], cell["unit"]) for key in ("paper", "paper_spread"))
    return value, "" if MISSING in (value, spread) else f"± {spread}"


class Grid:
    """A record's cells by line and column (level, metric), in the order they were given; a group's lines together."""

    def __init__(self, record: Record):
        cells = record.rows
        self.cells = {(c["group"], c["row"], c["level"], c["metric"]): c for c in cells}
        self.levels: dict[str, list[Column]] = {c["level"]: [] for c in cells}
        for column in dict.fromkeys((c["level"], c["metric"]) for c in cells):
            self.levels[column[0]].append(column)
        self.columns = [column for columns in self.levels.values() for column in columns]
        self.groups = list(dict.fromkeys(c["group"] for c in cells))
        lines: Iterable[Line] = dict.fromkeys((c["group"], c["row"]) for c in cells)
        self.lines = sorted(lines, key=lambda line: self.groups.index(line[0]))
        self.commands = {(c["group"], c["row"]): c["command"] for c in cells if c["command"]}
        self.units = {c["metric"]: c["unit"] for c in cells}
        in_paper = any(c["paper"] is not None for c in cells)
        self.sides = {"paper": paper, "ours": ours} if in_paper else {"ours": ours}
        """Who measured -> how a cell shows it; the paper has no column in a table of which it knows nothing."""
        of_group = "update" if any("=>" in group for group in self.groups) else "parser"
        of_row = _HEADS.get(record.name.split("_")[0], "method")
        self.name_heads = [of_group, of_row] if len(self.groups) > 1 else [of_row]
        """Heads of the cells that name a line."""

    def header(self, metric: str) -> str:
        """The metric with its unit."""
        return f"{metric} ({self.units[metric]})" if self.units[metric] else metric

    def heading(self, level: str) -> str:
        """The level, with the update where the table has only one."""
        return f"{level}, {arrow(self.groups[0])}" if len(self.groups) == 1 and self.groups[0] else level

    def opens_block(self, line: Line) -> bool:
        """Whether the line is the first of its update."""
        number = self.lines.index(line)
        return number == 0 or self.lines[number - 1][0] != line[0]

    def names(self, line: Line) -> list[str]:
        """The cells that name a line: its method, after its update where the table has several and another begins."""
        update = [arrow(line[0]) if self.opens_block(line) else ""]
        return [*update[: len(self.name_heads) - 1], line[1]]

    def numbers(self, line: Line, columns: Sequence[Column]) -> list[tuple[str, str, str]]:
        """Of each column and side: the number, what stands behind it, and whose it is."""
        cells = [self.cells.get((*line, *column)) for column in columns]
        return [(*show(cell), who) for cell in cells for who, show in self.sides.items()]


def markdown_table(rows: Sequence[Sequence[str]], alignment: str) -> str:
    """The rows, heads first, as a table; alignment: "l" or "r" for each column, as LaTeX has it."""
    rule = [{"l": ":--", "r": "--:"}[side] for side in alignment]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in [rows[0], rule, *rows[1:]])


def _markdown_text(text: str) -> str:
    return text.replace("|", "\\|")


def markdown_grid(record: Record) -> str:
    """The numbers alone, a block a level: what a notebook prints and nbval compares."""
    grid = Grid(record)
    blocks, command = [], ["command"] if grid.commands else []
    for level, columns in grid.levels.items():
        who = [f" {side}" for side in grid.sides] if len(grid.sides) > 1 else [""]
        heads = [f"{grid.header(metric)}{side}" for _, metric in columns for side in who]
        rows = [[*grid.name_heads, *heads, *command]]
        for line in grid.lines:
            numbers = [f"{number} {extra}".rstrip() for number, extra, _ in grid.numbers(line, columns)]
            told = [f"`{_markdown_text(grid.commands[line])}`" if line in grid.commands else "" for _ in command]
            rows.append([*map(_markdown_text, grid.names(line)), *numbers, *told])
        table = markdown_table(rows, "l" * len(grid.name_heads) + "r" * len(heads) + "l" * len(command))
        blocks.append(f"**{grid.heading(level)}**\n\n{table}")
    return "\n\n".join(blocks)


def compact_grid(record: Record) -> str:
    """All in one Markdown table for a front page: a column a level and metric, ours with the paper's in brackets.

    Intervals are left to the full table.
    """
    grid = Grid(record)
    rows = [[*grid.name_heads, *(f"{metric} {level}" for level, metric in grid.columns)]]
    for line in grid.lines:
        cells = [grid.cells.get((*line, *column)) for column in grid.columns]
        pairs = [(ours(cell)[0], paper(cell)[0]) for cell in cells]
        numbers = [our if of_paper == MISSING else f"{our} ({of_paper})" for our, of_paper in pairs]
        rows.append([*map(_markdown_text, grid.names(line)), *numbers])
    return markdown_table(rows, "l" * len(grid.name_heads) + "r" * len(grid.columns))


def to_markdown(record: Record) -> str:
    """The table with claim, caption, signature and command, as GitHub shows it."""
    head = f"## {record.label}. {record.title}\n\n{record.caption}"
    foot = f"Signature: `{record.signature}`\n\nCommand: `{record.command}`"
    return f"{head}\n\n{markdown_grid(record)}\n\n{foot}\n"


def _latex_text(text: str) -> str:
    return "".join(_LATEX.get(character, character) for character in text)


def _latex_level(grid: Grid, level: str) -> str:
    columns, num_names, num_sides = grid.levels[level], len(grid.name_heads), len(grid.sides)
    first = [num_names + 1 + num_sides * i for i in range(len(columns))]
    heads = [f"\\multicolumn{{{num_sides}}}{{c}}{{{_latex_text(grid.header(metric))}}}" for _, metric in columns]
    names = [f"\\textbf{{{_latex_text(grid.heading(level))}}}"] + [""] * (num_names - 1)
    lines = [f"\\begin{{tabular}}{{{'l' * num_names}{'r' * num_sides * len(columns)}}}", "\\toprule"]
    lines += [" & ".join(names + heads) + " \\\\"]
    lines += [" ".join(f"\\cmidrule(lr){{{column}-{column + num_sides - 1}}}" for column in first)]
    lines += [" & ".join([""] * num_names + [*grid.sides] * len(columns)) + " \\\\", "\\midrule"]
    for line in grid.lines:
        cells = [*map(_latex_text, grid.names(line))]
        for number, extra, _ in grid.numbers(line, columns):
            cells.append(_latex_text(number) + (f" {{\\scriptsize {_latex_text(extra)}}}" if extra else ""))
        lines += ["\\addlinespace"] if grid.opens_block(line) and line != grid.lines[0] else []
        lines += [" & ".join(cells) + " \\\\"]
    return "\n".join([*lines, "\\bottomrule", "\\end{tabular}"])


def to_latex(record: Record) -> str:
    """A booktabs table, a tabular a level, signature and command as comments."""
    grid = Grid(record)
    blocks = "\n\n\\medskip\n".join(_latex_level(grid, level) for level in grid.levels)
    caption = f"\\caption{{\\textbf{{{_latex_text(record.title)}}} {_latex_text(record.caption)}}}"
    comments = "\n".join(f"% {line}" for line in f"{record.signature}\n{record.command}".splitlines())
    body = f"\\begin{{table}}\n\\centering\n\\small\n{blocks}\n{caption}\n\\label{{tab:{record.name}}}\n"
    return f"{comments}\n{body}\\end{{table}}\n"


def to_html(record: Record) -> str:
    """The grid as one HTML table, all levels side by side, intervals under the numbers; all text escaped."""
    return render(TEMPLATES / "table.html", {"grid": Grid(record), "arrow": arrow, "missing": MISSING})
