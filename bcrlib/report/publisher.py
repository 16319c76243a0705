"""What a story notebook reads, how it shows and, if asked to, saves tables and figures, and the page of them all."""

import io
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from html import escape
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure
from pandas.api.types import is_float_dtype, is_integer_dtype, is_numeric_dtype

from bcrlib.data.files import CARRIED, ROOT
from bcrlib.report import tables
from bcrlib.report.candidate_sources import SAMPLED
from bcrlib.report.figures import LEVEL_UNITS, picture
from bcrlib.tasks import TASKS


def stored(profile: str, results: str = "", task: str = "dependency") -> Path:
    """The folder with a task's stored results: correctness, for CorrectnessStore, and speed.json.

    results: the folder of the tasks' folders; "": what the repository keeps of the profile, or where it keeps nothing
    what `make reproduce` left in results/. ValueError names the
    choices for an unknown task or profile; FileNotFoundError says how to make results that are not there.
    """
    if task not in TASKS:
        raise ValueError(f"unknown task {task!r}; choose one of {', '.join(TASKS)}")
    folder = _of_all_tasks(profile, results) / task
    if not folder.is_dir():
        raise FileNotFoundError(f"no stored results of the task {task!r}: `{command_of(profile)}` makes them")
    return folder


def tasks_measured(profile: str, results: str = "") -> list[str]:
    """The tasks whose speed was measured. Errors as of `stored`."""
    folder = _of_all_tasks(profile, results)
    return [task for task in TASKS if (folder / task / "speed.json").is_file()]


def _of_all_tasks(profile: str, results: str) -> Path:
    kept, made = (root / "data" / "correctness" / profile for root in (ROOT, ROOT / "results"))
    folder = Path(results) if results else made if made.is_dir() and not kept.is_dir() else kept
    known = sorted(path.stem for path in (ROOT / "notebooks" / "profiles").glob("*.yaml"))
    if not results and profile not in known:
        raise ValueError(f"unknown profile {profile!r}; choose one of {', '.join(known)}")
    if not folder.is_dir():
        where = results or f"the profile {profile!r}"
        raise FileNotFoundError(f"no stored results of {where}: `{command_of(profile)}` makes them")
    return folder


def command_of(profile: str) -> str:
    """The shell command that remakes the tables and figures of a profile."""
    if ROOT == CARRIED:
        return f"bcr reproduce --profile {profile}"
    return "make reproduce" if profile == "demo" else f"make reproduce PROFILE={profile}"


@dataclass(frozen=True)
class Shown:
    """What a cell shows: a table as HTML or a figure as PNG, and text for whatever or whoever cannot see that."""

    text: str
    html: str | None = None
    png: bytes | None = None

    def _repr_html_(self) -> str | None:
        return self.html

    def _repr_png_(self) -> tuple[bytes, dict[str, str]] | None:
        return (self.png, {"alt": self.text}) if self.png else None

    def __repr__(self) -> str:
        return self.text


def as_table(frame: pd.DataFrame, title: str = "", decimals: int | Mapping[str, int] = 2) -> Shown:
    """A frame as a table: numbers stand on the right, with fixed decimals (of all columns, or by column).

    An index that is more than row numbers becomes the first columns, each name said once.  O(cells).
    """
    index = [] if isinstance(frame.index, pd.RangeIndex) else frame.index.names
    cells = frame.reset_index() if index else frame
    texts = pd.DataFrame({name: _texts(cells[name], decimals) for name in cells})
    for number in reversed(range(1, len(index))):
        same = (cells.iloc[:, :number] == cells.iloc[:, :number].shift()).all(axis=1)
        texts.isetitem(number - 1, texts.iloc[:, number - 1].mask(same, ""))
    right = [is_numeric_dtype(kind) for kind in cells.dtypes]
    rows = [[escape(cell) for cell in row] for row in texts.itertuples(index=False)]
    plain = texts.to_string(index=False)
    html = _html([[escape(str(name)) for name in cells]], rows, right)
    return Shown(f"{title}\n\n{plain}" if title else plain, _heading(title) + html)


def _texts(column: pd.Series, decimals: int | Mapping[str, int]) -> list[str]:
    number = decimals if isinstance(decimals, int) else decimals.get(str(column.name), 2)
    if is_float_dtype(column.dtype):
        return ["–" if value != value else f"{value:,.{number}f}" for value in column]
    return [f"{value:,}" if is_integer_dtype(column.dtype) else str(value) for value in column]


def _heading(title: str) -> str:
    return f"<p><b>{escape(title)}</b></p>\n" if title else ""


def _html(heads: Sequence[Sequence[str]], rows: Sequence[Sequence[str]], right: Sequence[bool]) -> str:
    """A table of HTML cells, a line a row.  One cell alone spans all columns; of few all but the first span several."""
    sides = [f' style="text-align: {"right" if of_column else "left"}"' for of_column in right]

    def line(cells: Sequence[str], tag: str) -> str:
        others = len(cells) - 1
        widths = [1, *[(len(sides) - 1) // others] * others] if others else [len(sides)]
        spans = [f' colspan="{width}"' if width > 1 else "" for width in widths]
        return "".join(f"<{tag}{span}{side}>{cell}</{tag}>" for cell, span, side in zip(cells, spans, sides))

    lines = [f"<tr>{line(cells, 'th')}</tr>" for cells in heads] + ["</thead><tbody>"]
    lines += [f"<tr>{line(row, 'th' if len(row) < len(sides) else 'td')}</tr>" for row in rows]
    return "\n".join(["<table><thead>", *lines, "</tbody></table>"])


_MOST_COLUMNS = 8
"""Of numbers side by side: what a page of 1,000 pixels shows."""


def _of_record(record: tables.Record) -> Shown:
    """A table's claim and numbers, a block a level (or several, where it has more columns than a page shows).

    The update stands above its rows, intervals beside numbers.
    """
    grid, blocks = tables.Grid(record), []
    for level, all_columns in grid.levels.items():
        num_blocks = math.ceil(len(all_columns) * len(grid.sides) / _MOST_COLUMNS)
        size = math.ceil(len(all_columns) / num_blocks)
        for first in range(0, len(all_columns), size):
            blocks.append(_block(grid, level, all_columns[first : first + size]))
    return Shown(f"{record.title}\n\n{tables.markdown_grid(record)}", _heading(record.title) + "\n".join(blocks))


def _block(grid: tables.Grid, level: str, columns: Sequence[tables.Column]) -> str:
    heads = [[escape(text) for text in (grid.heading(level), *(grid.header(metric) for _, metric in columns))]]
    if len(grid.sides) > 1:
        heads.append(["", *[*grid.sides] * len(columns)])
    rows: list[list[str]] = []
    for line in grid.lines:
        if len(grid.name_heads) > 1 and line[0] and grid.opens_block(line):
            rows.append([escape(tables.arrow(line[0]))])
        numbers = grid.numbers(line, columns)
        small = [extra.replace(" ", "\u00a0") for _, extra, _ in numbers]
        cells = [f"{n[0]} <small>{extra}</small>" if extra else n[0] for n, extra in zip(numbers, small)]
        rows.append([escape(line[1]), *cells])
    return _html(heads, rows, [False] + [True] * (len(columns) * len(grid.sides)))


@dataclass(frozen=True, eq=False)
class Publisher:
    """Saves tables, figures and drawings, each with its record NAME.json; equal ones give equal bytes.

    `name` is the paper's, "table3", or "table3_words" for a part of it; `title` is the claim.
    """

    output: Path | str
    """The folder for tables and figures; "": they are shown only."""
    signature: Mapping[str, object]
    """The settings under the numbers: task, corpus, preset, seeds, ..."""
    command: str

    def under(self, signature: Mapping[str, object]) -> "Publisher":
        """The same with other settings under the numbers."""
        return replace(self, signature=signature)

    def table(self, rows: pd.DataFrame | Iterable[Mapping[str, object]], name: str, title: str, caption: str) -> Shown:
        """Save NAME.md and NAME.tex (per cent), the command in every row; the claim and numbers, for a cell to show.

        ValueError for rows that `tidy` refuses.
        """
        rows = tables.tidy(rows)
        record = self._record("table", name, title, caption, rows.assign(command=self.command))
        self._write(f"{name}.md", tables.to_markdown(record))
        self._write(f"{name}.tex", tables.to_latex(record))
        return _of_record(replace(record, rows=tables.plain_rows(rows.assign(command=""))))

    def figure(self, figure: Figure, name: str, rows: pd.DataFrame, caption: str) -> Shown:
        """Save NAME.svg and NAME.png with the numbers plotted; returns the picture, for a cell to show.

        ValueError for a figure to be saved without a title, its claim, or with a drawing area without axis labels: each
        must be readable alone.
        """
        claim = " ".join(figure.get_suptitle().split())
        if self.output:
            if not claim:
                raise ValueError(f"{name}: a figure needs its claim as suptitle")
            if any(axes.axison and not (axes.get_xlabel() or axes.get_ylabel()) for axes in figure.axes):
                raise ValueError(f"{name}: an axis has no label")
            self._record("figure", name, claim, caption, rows)
            svg = io.StringIO()
            figure.savefig(svg, format="svg", metadata={"Date": None})
            self._write(f"{name}.svg", svg.getvalue())
            Path(self.output, f"{name}.png").write_bytes(picture(figure, dpi=150))
        return pictured(figure, caption)

    def drawing(self, svg: str, name: str, title: str, caption: str) -> str:
        """Save a drawing as NAME.svg; returns it."""
        self._record("drawing", name, title, caption, pd.DataFrame())
        self._write(f"{name}.svg", svg)
        return svg

    def _record(self, kind: tables.Kind, name: str, title: str, caption: str, rows: pd.DataFrame) -> tables.Record:
        record = tables.Record(
            kind, name, title, caption, tables.format_signature(self.signature), self.command, tables.plain_rows(rows)
        )
        if self.output:
            tables.write_record(record, Path(self.output))
        return record

    def _write(self, name: str, text: str) -> None:
        if self.output:
            tables.write_text(Path(self.output, name), text)


def pictured(figure: Figure, caption: str) -> Shown:
    """A figure as a cell shows it; its claim and caption are what readers who cannot see it are told."""
    claim = " ".join(figure.get_suptitle().split())
    return Shown(f"{claim.rstrip('.')}. {caption}", png=picture(figure))


CHAPTERS = {
    "The headline": "headline_cut headline methods_both_tasks headline_trees frontier frontier_frames",
    "Measuring regression": "figure1 figure1_reranked figure1_frames_untreated figure1_frames_reranked "
    "update_untreated update_reranked table1 table2 seed_pairs",
    "Reducing it": "dropout_p table3 methods table4 differences differences_frames dropout_choice",
    "Decoding methods": "table5 figure2 scores_frames table6 figure3 within_reach diversity_frames",
    "What it costs": "speed speed_best speed_by_batch_size cost_by_candidates time_by_length memory_by_batch_size",
    "With relations, and what bounds it": "table7 table8 differences_labelled table9 definitions definitions_frames",
    "Where candidates come from": "cut_distributions table5_dependency figure2_dependency diversity "
    "pool_growth sampling",
    "Where it breaks": "breakdown_words breakdown_trees breakdown_sentences breakdown_together "
    "together_untreated together_reranked breakdown_beside_authors",
    "Many updates in a row": "rounds rounds_words rounds_differences",
    "Why ours differs": "causes cells teachers",
    "Data and parsers": "zipf sentence_lengths ambiguity_dial frame_sizes frame_ambiguity arc_scores number_of_trees "
    "stack wrong_turn beam_width shared_prefixes token_steps dropout_masks",
}
"""Headings of an index page, and the records under each, in the paper's order and then that of the notebooks.

A name stands for its parts too: table3 for table3_words.
"""
_CHAPTER_OF = {name: heading for heading, names in CHAPTERS.items() for name in names.split()}
_PLACES = [*_CHAPTER_OF, ""]


def write_index(figures_folder: Path, profile: str) -> Path:
    """Writes figures_folder/index.html, the page of all records (*.json) in that folder, and returns its path.

    It links the files beside it and needs nothing else.  Equal folders give equal bytes.  ValueError names a JSON file
    that is not a record, or a figure without a picture.
    """
    folder = Path(figures_folder)
    chapters: dict[str, list[dict[str, object]]] = {}
    records = sorted(map(tables.read_record, sorted(folder.glob("*.json"))), key=_place)
    for record in records:
        files = [f"{record.name}.{ending}" for ending in ("json", "md", "tex", "svg", "png")]
        files = [file for file in files if (folder / file).is_file()]
        entry: dict[str, object] = {"record": record, "files": files, "table": "", "picture": ""}
        if record.kind == "table":
            entry["table"] = tables.to_html(record)
        elif (picture := f"{record.name}.svg") in files:
            entry |= {"picture": picture, "size": _pixels(folder / picture)}
        else:
            raise ValueError(f"{folder / record.name}: no .svg beside the record")
        chapters.setdefault(_CHAPTER_OF.get(_listed(record), "More"), []).append(entry)
    values = {"profile": profile, "chapters": chapters, "lead": _lead(records)}
    tables.write_text(folder / "index.html", tables.render(tables.TEMPLATES / "index.html", values))
    return folder / "index.html"


def _listed(record: tables.Record) -> str:
    """The name in `CHAPTERS` that stands for a record: the longest that begins its name; none: empty."""
    return max((name for name in _CHAPTER_OF if f"{record.name}_".startswith(f"{name}_")), key=len, default="")


def _place(record: tables.Record) -> tuple[int, float, str]:
    """Unlisted ones come last, tables by number."""
    digits = "".join(filter(str.isdigit, record.name.split("_")[0]))
    return _PLACES.index(_listed(record)), float(digits or "inf"), record.name


def _pixels(picture: Path) -> tuple[int, int]:
    """Width and height, so that a page keeps room for a picture before it is loaded."""
    head = picture.read_text(encoding="utf-8")[:2000]
    found = [re.search(rf'<svg[^>]* {side}="([\d.]+)(pt)?"', head) for side in ("width", "height")]
    width, height = (round(float(side[1]) * (4 / 3 if side[2] else 1)) if side else 0 for side in found)
    return width, height


def _lead(records: Iterable[tables.Record]) -> str:
    """Of the updates of Tables 3 and 4, the one that gains most accuracy, and what it breaks; none gains: empty."""
    found: list[tuple[float, str]] = [(0.0, "")]
    names = (("Old", "ACC"), ("Untreated", "ACC"), ("Untreated", "NFR"), (SAMPLED, "NFR"))
    for cells in (tables.Grid(record).cells for record in records if record.name in ("table3", "table4")):
        for update, level in dict.fromkeys((update, level) for update, _, level, _ in cells):
            of_update = [cells.get((update, row, level, metric)) for row, metric in names]
            if None in of_update:
                continue
            old, new, broken, left = (100 * cell["value"] for cell in of_update)
            units = LEVEL_UNITS[level]
            text = f"{tables.arrow(update)} raises accuracy ({level}) from {old:.1f} to {new:.1f} % of the {units}. "
            text += f"Yet {broken:.1f} % of the {units} were right and are now wrong; {left:.1f} % if the old model "
            found.append((new - old, f"{text}picks among the new model's candidates."))
    return max(found)[1]
