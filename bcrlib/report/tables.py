"""What stands under every table, figure and drawing: its record, a small JSON file beside it.

One table record as Markdown, LaTeX (booktabs) and HTML: fixed decimals, paper | ours side by side.

Result tables: tidy rows, the paper's numbers beside ours, written as JSON, Markdown and LaTeX.
"""

import json
import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from bcrlib import __version__
from bcrlib.experiments.paper_numbers import lookup

Kind = Literal["table", "figure", "drawing"]
_NAME = re.compile(r"[a-z][a-z0-9_]*")
_NUMBERED = re.compile(r"(table|figure)(\d+)(?:_([a-z0-9_]+))?")


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
        return label(self.name)


def label(name: str) -> str:
    """ "table3" -> "Table 3", "figure2_words" -> "Figure 2 (words)", other names as plain words."""
    match = _NUMBERED.fullmatch(name)
    if match is None:
        return name.replace("_", " ").capitalize()
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


def check_name(name: str) -> None:
    """ValueError unless `name` is lower-case letters, digits and underscores: it becomes a file name."""
    if not _NAME.fullmatch(name):
        raise ValueError(f"{name!r} cannot name a table or figure: lower-case letters, digits, _ only")


def _plain(value: object) -> object:
    """A value as JSON has it; floats at ten digits, so that the last bit of a sum changes no file."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float):
        return round(value, 10) if math.isfinite(value) else None
    return value


def plain_rows(frame: pd.DataFrame) -> list[dict]:
    """The rows of a frame as JSON-ready dicts; NaN becomes None. O(cells)."""
    return [{str(k): _plain(v) for k, v in row.items()} for row in frame.to_dict(orient="records")]


def write_record(record: Record, folder: Path) -> None:
    """Writes folder/NAME.json; the same record gives the same bytes."""
    check_name(record.name)
    folder.mkdir(parents=True, exist_ok=True)
    fields = {"kind": record.kind, "name": record.name, "label": record.label, "title": record.title}
    fields |= {"caption": record.caption, "signature": record.signature, "command": record.command}
    write_text(folder / f"{record.name}.json", json_with_rows(fields, record.rows))


def json_with_rows(fields: Mapping[str, object], rows: Iterable[Mapping[str, object]]) -> str:
    """{FIELDS, "rows": ROWS} as JSON, a row a line: readable, and a changed number is one changed line in a diff.

    ValueError without a field.
    """
    if not fields:
        raise ValueError("rows alone do not say what they are: name a field")
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


MISSING = "–"
_HEADS = {"cells": "cell", "causes": "mean over cells with"}
"""What names a row, in tables whose rows are no methods."""
_LATEX = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
_LATEX |= {c: f"\\{c}" for c in "&%$#_{}"} | {"⇒": r"$\Rightarrow$", "±": r"$\pm$", "–": "--"}


def _unique(values: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(values))


def _number(value: float | None, unit: str) -> str:
    if value is None:
        return MISSING
    return f"{100 * value:.2f}" if unit == "%" else f"{value:,.1f}"


def ours(cell: dict | None) -> tuple[str, str]:
    """Our number and, in the second string, its interval or spread ("" where there is none)."""
    if cell is None:
        return MISSING, ""
    unit = cell["unit"]
    if cell["low"] is not None and cell["high"] is not None:
        extra = f"[{_number(cell['low'], unit)}, {_number(cell['high'], unit)}]"
    else:
        extra = "" if cell["spread"] is None else f"± {_number(cell['spread'], unit)}"
    return _number(cell["value"], unit), extra


def paper(cell: dict | None) -> tuple[str, str]:
    """The paper's number and its spread."""
    if cell is None or cell["paper"] is None:
        return MISSING, ""
    spread = cell["paper_spread"]
    return _number(cell["paper"], cell["unit"]), "" if spread is None else f"± {_number(spread, cell['unit'])}"


def arrow(group: str) -> str:
    """ "deepbiaf=>stackptr" as the paper prints it."""
    return group.replace("=>", " ⇒ ")


class Grid:
    """A record's cells by row (group, row) and column (level, metric), in the order they were given."""

    def __init__(self, record: Record):
        cells = record.rows
        self.cells = {(c["group"], c["row"], c["level"], c["metric"]): c for c in cells}
        self.levels = _unique(c["level"] for c in cells)
        self.lines = list(dict.fromkeys((c["group"], c["row"]) for c in cells))
        self.commands = {(c["group"], c["row"]): c["command"] for c in cells if c["command"]}
        self.groups = _unique(group for group, _ in self.lines)
        self.units = {c["metric"]: c["unit"] for c in cells}
        self.of_row = _HEADS.get(record.name.split("_")[0], "method")
        in_paper = any(c["paper"] is not None for c in cells)
        self.sides = {"paper": paper, "ours": ours} if in_paper else {"ours": ours}
        """Who measured -> how a cell shows it; the paper has no column in a table of which it knows nothing."""

    def metrics(self, level: str) -> list[str]:
        return _unique(metric for _, _, cell_level, metric in self.cells if cell_level == level)

    def header(self, metric: str) -> str:
        return f"{metric} ({self.units[metric]})" if self.units[metric] else metric

    def pairs(self, cell: dict | None) -> list[tuple[str, str]]:
        """A cell's number and what stands behind it, of each side."""
        return [show(cell) for show in self.sides.values()]

    def cell(self, line: tuple[str, str], level: str, metric: str) -> dict | None:
        return self.cells.get((*line, level, metric))

    @property
    def name_heads(self) -> list[str]:
        """Heads of the cells that name a line."""
        of_group = "update" if any("=>" in group for group in self.groups) else "parser"
        return [of_group, self.of_row] if len(self.groups) > 1 else [self.of_row]

    def opens_block(self, line: tuple[str, str]) -> bool:
        """Whether the line is the first of its update."""
        number = self.lines.index(line)
        return number == 0 or self.lines[number - 1][0] != line[0]

    def names(self, line: tuple[str, str], text: Callable[[str], str]) -> list[str]:
        """The cells that name a line: its method, after its update where the table has several and another begins."""
        update = text(arrow(line[0])) if self.opens_block(line) else ""
        return [update, text(line[1])] if len(self.groups) > 1 else [text(line[1])]

    def heading(self, level: str) -> str:
        """The level, with the update where the table has only one."""
        only = self.groups[0] if len(self.groups) == 1 else ""
        return f"{level}, {arrow(only)}" if only else level


def _markdown_line(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _markdown_text(text: str) -> str:
    return text.replace("|", "\\|")


def _markdown_level(grid: Grid, level: str) -> str:
    metrics = grid.metrics(level)
    names = grid.name_heads
    last = ["command"] if grid.commands else []
    heads = [f"{grid.header(m)} {who}" for m in metrics for who in grid.sides]
    if len(grid.sides) == 1:
        heads = [grid.header(m) for m in metrics]
    lines = [names + heads + last, [":--"] * len(names) + ["--:"] * len(heads) + [":--"] * len(last)]
    for line in grid.lines:
        cells = [grid.cell(line, level, metric) for metric in metrics]
        numbers = [" ".join(filter(None, pair)) for cell in cells for pair in grid.pairs(cell)]
        command = [f"`{_markdown_text(grid.commands[line])}`" if line in grid.commands else ""] if last else []
        lines.append(grid.names(line, _markdown_text) + numbers + command)
    return "\n".join(map(_markdown_line, lines))


def markdown_grid(record: Record) -> str:
    """The numbers alone, a block a level: what a notebook prints and nbval compares."""
    grid = Grid(record)
    return "\n\n".join(f"**{grid.heading(level)}**\n\n{_markdown_level(grid, level)}" for level in grid.levels)


def compact_grid(record: Record) -> str:
    """All in one Markdown table for a front page: a column a level and metric, ours with the paper's in brackets.

    Intervals are left to the full table.
    """
    grid = Grid(record)
    columns = [(level, metric) for level in grid.levels for metric in grid.metrics(level)]
    heads = [*grid.name_heads, *(f"{metric} {level}" for level, metric in columns)]
    lines = [heads, [":--"] * len(grid.name_heads) + ["--:"] * len(columns)]
    for line in grid.lines:
        numbers = [_compact(grid.cell(line, level, metric)) for level, metric in columns]
        lines.append(grid.names(line, _markdown_text) + numbers)
    return "\n".join(map(_markdown_line, lines))


def _compact(cell: dict | None) -> str:
    of_paper = paper(cell)[0]
    return ours(cell)[0] + (f" ({of_paper})" if of_paper != MISSING else "")


def to_markdown(record: Record) -> str:
    """The table with claim, caption, signature and command, as GitHub shows it."""
    head = f"## {record.label}. {record.title}\n\n{record.caption}"
    foot = f"Signature: `{record.signature}`\n\nCommand: `{record.command}`"
    return f"{head}\n\n{markdown_grid(record)}\n\n{foot}\n"


def _latex_text(text: str) -> str:
    return "".join(_LATEX.get(character, character) for character in text)


def _latex_pair(pair: tuple[str, str]) -> str:
    number, extra = map(_latex_text, pair)
    return f"{number} {{\\scriptsize {extra}}}" if extra else number


def _latex_level(grid: Grid, level: str) -> str:
    metrics = grid.metrics(level)
    num_names, num_sides = min(2, len(grid.groups)), len(grid.sides)
    first = [num_names + 1 + num_sides * i for i in range(len(metrics))]
    heads = [f"\\multicolumn{{{num_sides}}}{{c}}{{{_latex_text(grid.header(m))}}}" for m in metrics]
    rules = " ".join(f"\\cmidrule(lr){{{column}-{column + num_sides - 1}}}" for column in first)
    names = [f"\\textbf{{{_latex_text(grid.heading(level))}}}"] + [""] * (num_names - 1)
    lines = [f"\\begin{{tabular}}{{{'l' * num_names}{'r' * num_sides * len(metrics)}}}", "\\toprule"]
    lines += [" & ".join(names + heads) + " \\\\", rules]
    lines += [" & ".join([""] * num_names + [*grid.sides] * len(metrics)) + " \\\\", "\\midrule"]
    for line in grid.lines:
        cells = [grid.cell(line, level, metric) for metric in metrics]
        numbers = [_latex_pair(pair) for cell in cells for pair in grid.pairs(cell)]
        rule = ["\\addlinespace"] if grid.opens_block(line) and line != grid.lines[0] else []
        lines += [*rule, " & ".join(grid.names(line, _latex_text) + numbers) + " \\\\"]
    return "\n".join([*lines, "\\bottomrule", "\\end{tabular}"])


def to_latex(record: Record) -> str:
    """A booktabs table, a tabular a level, signature and command as comments."""
    grid = Grid(record)
    blocks = "\n\n\\medskip\n".join(_latex_level(grid, level) for level in grid.levels)
    caption = f"\\caption{{\\textbf{{{_latex_text(record.title)}}} {_latex_text(record.caption)}}}"
    comments = "\n".join(f"% {line}" for line in f"{record.signature}\n{record.command}".splitlines())
    body = f"\\begin{{table}}\n\\centering\n\\small\n{blocks}\n{caption}\n\\label{{tab:{record.name}}}\n"
    return f"{comments}\n{body}\\end{{table}}\n"


def _html_pair(pair: tuple[str, str], who: str) -> str:
    number, extra = map(escape, pair)
    kind = f"{who} missing" if number == MISSING else who
    return f'<td class="{kind}">{number}' + (f"<small>{extra}</small>" if extra else "") + "</td>"


def _html_heads(grid: Grid, columns: list[tuple[str, str]]) -> str:
    num_sides = len(grid.sides)
    levels = "".join(
        f'<th class="level" colspan="{num_sides * len(grid.metrics(level))}">{escape(level)}</th>'
        for level in grid.levels
    )
    metrics = "".join(f'<th class="metric" colspan="{num_sides}">{escape(grid.header(m))}</th>' for _, m in columns)
    who = "".join(f'<th class="{who}">{who}</th>' for who in grid.sides) * len(columns)
    command = '<th rowspan="3" class="command">command</th>' if grid.commands else ""
    return f"<tr><th></th>{levels}{command}</tr><tr><th></th>{metrics}</tr><tr><th></th>{who}</tr>"


def _html_line(grid: Grid, line: tuple[str, str], columns: list[tuple[str, str]]) -> str:
    cells = [grid.cell(line, level, metric) for level, metric in columns]
    numbers = "".join(_html_pair(show(cell), who) for cell in cells for who, show in grid.sides.items())
    command = f"<td><code>{escape(grid.commands.get(line, ''))}</code></td>" if grid.commands else ""
    return f"<tr><th>{escape(line[1])}</th>{numbers}{command}</tr>"


def to_html(record: Record) -> str:
    """The grid as one HTML table, all levels side by side, intervals under the numbers; all text escaped."""
    grid = Grid(record)
    if set(grid.commands.values()) == {record.command}:
        grid.commands = {}  # the page says it under the table
    columns = [(level, metric) for level in grid.levels for metric in grid.metrics(level)]
    width = 1 + len(grid.sides) * len(columns) + bool(grid.commands)
    lines = []
    for group in grid.groups:
        if group:
            lines.append(f'<tr class="group"><th colspan="{width}">{escape(arrow(group))}</th></tr>')
        lines += [_html_line(grid, line, columns) for line in grid.lines if line[0] == group]
    body = "\n".join(lines)
    return f"<table><thead>{_html_heads(grid, columns)}</thead>\n<tbody>{body}</tbody></table>"


REQUIRED = ("row", "level", "metric", "value")
DEFAULTS: dict[str, object] = {
    "group": "",
    "low": float("nan"),
    "high": float("nan"),
    "spread": float("nan"),
    "paper": float("nan"),
    "paper_spread": float("nan"),
    "unit": "%",
    "command": "",
}
COLUMNS = ("group", "row", "level", "metric", "value", "low", "high", "spread", "paper", "paper_spread")
COLUMNS += ("unit", "command")


def tidy(rows: pd.DataFrame | Iterable[Mapping[str, object]], extra: tuple[str, ...] = ()) -> pd.DataFrame:
    """One number a line, all columns present, in the order given.

    Columns: group (the update, e.g. "deepbiaf=>deepbiaf"), row (the method or model), level, metric,
    value, low, high (interval), spread (standard deviation over seeds or pairs), paper, paper_spread
    (the paper's), unit ("%": value is a rate in [0, 1]; any other: printed as it is), command (of this
    row of the table). Only row, level, metric and value must be given. `extra` names further columns
    (a curve's x). ValueError for an unknown or missing column, or a cell given twice. O(rows).
    """
    frame = rows.copy() if isinstance(rows, pd.DataFrame) else pd.DataFrame(list(rows))
    if missing := [c for c in (*REQUIRED, *extra) if c not in frame]:
        raise ValueError(f"a table needs the columns {', '.join(missing)}")
    if unknown := [c for c in frame if c not in (*COLUMNS, *extra)]:
        raise ValueError(f"unknown columns {', '.join(map(str, unknown))}; known: {', '.join(COLUMNS)}")
    for column, default in DEFAULTS.items():
        if column not in frame:
            frame[column] = default
        elif not isinstance(default, float):
            frame[column] = frame[column].fillna(default)
    key = ["group", "row", "level", "metric", *extra]
    if (twice := frame.duplicated(key)).any():
        raise ValueError(f"given twice: {' / '.join(map(str, frame.loc[twice, key].iloc[0]))}")
    # Ten digits, as in the JSON: else a table and its figure may round a tie to different percentages.
    numbers = ["value", "low", "high", "spread", "paper", "paper_spread"]
    frame[numbers] = frame[numbers].astype(float).round(10)
    return frame[[*COLUMNS, *extra]].reset_index(drop=True)


def beside_paper(
    rows: pd.DataFrame | Iterable[Mapping[str, object]],
    table: str,
    paper_rows: Mapping[str, tuple[str, Mapping[str, object]]] | None = None,
    along: str = "",
) -> pd.DataFrame:
    """Tidy rows with the paper's numbers filled in from `table` ("Table 3"); NaN where it has none.

    A row is looked up as (update = group, method = row); a row whose group is empty is a single model
    called `row`. `paper_rows` names the paper's method and params for rows called differently here:
    {"BCR, dropout 0.3": ("BCR", {"decoding": "dropout-p", "p": 0.3})}. The rows of a curve have one more column,
    `along` ("num_candidates"), which is such a param too; NaN there: it does not concern the row.
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


def write_table(
    rows: pd.DataFrame | Iterable[Mapping[str, object]],
    folder: Path,
    name: str,
    *,
    title: str,
    caption: str,
    signature: Mapping[str, object],
    command: str,
) -> None:
    """Writes NAME.json (rates in [0, 1]), NAME.md and NAME.tex (per cent, two decimals) into `folder`.

    `name` is the paper's: "table3", or "table3_words" for a part of it. `title` is the claim. `signature`
    holds the settings under the numbers (task, corpus, preset, seeds, ...). Equal arguments give equal
    bytes. ValueError for rows `tidy` refuses.
    """
    frame = tidy(rows)
    stamp = format_signature(signature)
    record = Record("table", name, title, caption, stamp, command, plain_rows(frame))
    write_record(record, Path(folder))
    write_text(Path(folder) / f"{name}.md", to_markdown(record))
    write_text(Path(folder) / f"{name}.tex", to_latex(record))
