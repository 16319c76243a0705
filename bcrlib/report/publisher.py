"""What a story notebook reads, how it shows and, if asked to, saves tables and figures, and the page of them all."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from bcrlib.data.files import CARRIED, ROOT
from bcrlib.report.draw_trees import save_drawing
from bcrlib.report.style import save_figure
from bcrlib.report.tables import (
    TEMPLATES,
    Record,
    markdown_grid,
    read_record,
    render,
    tidy,
    to_html,
    write_table,
    write_text,
)
from bcrlib.tasks import TASKS


def stored(profile: str, results: str = "", task: str = "dependency") -> Path:
    """The folder with a task's stored results: correctness, for CorrectnessStore, and speed.json.

    results: the folder of the tasks' folders; "": what the repository keeps of the profile. ValueError names the
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
    folder = Path(results) if results else ROOT / "data" / "correctness" / profile
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


@dataclass(frozen=True, eq=False)
class Publisher:
    """What `write_table`, `save_figure` and `save_drawing` need beyond the thing itself."""

    output: Path | str
    """The folder for tables and figures; "": they are shown only."""
    signature: Mapping[str, object]
    """The settings under the numbers."""
    command: str

    def under(self, signature: Mapping[str, object]) -> "Publisher":
        """The same with other settings under the numbers."""
        return replace(self, signature=signature)

    def table(self, rows: pd.DataFrame | Iterable[Mapping[str, object]], name: str, title: str, caption: str) -> str:
        """Save a table, the command in every row; returns its numbers as text, without the commands."""
        rows, about = tidy(rows).assign(command=self.command), self._about(caption) | {"title": title}
        record = write_table(rows, Path(self.output) if self.output else None, name, **about)
        return markdown_grid(replace(record, rows=[row | {"command": ""} for row in record.rows]))

    def figure(self, figure: Figure, name: str, rows: pd.DataFrame, caption: str) -> Figure:
        """Save a figure with the numbers it plots; returns it, for a cell to show."""
        if self.output:
            save_figure(figure, Path(self.output), name, rows, **self._about(caption))
        return figure

    def drawing(self, svg: str, name: str, title: str, caption: str) -> str:
        """Save a tree drawing; returns it."""
        if self.output:
            save_drawing(svg, Path(self.output), name, title=title, **self._about(caption))
        return svg

    def _about(self, caption: str) -> dict[str, Any]:
        return {"caption": caption, "signature": self.signature, "command": self.command}


_SECTIONS = {"table": "Tables", "figure": "Figures", "drawing": "Sentences"}


def write_index(figures_folder: Path, profile: str) -> Path:
    """Writes figures_folder/index.html, the page of all records (*.json) in that folder, and returns its path.

    It links the files beside it and needs nothing else.  Equal folders give equal bytes.  ValueError names a JSON file
    that is no record, or a figure without a picture.
    """
    folder = Path(figures_folder)
    sections: dict[str, list[dict[str, object]]] = {heading: [] for heading in _SECTIONS.values()}
    for record in sorted(map(read_record, sorted(folder.glob("*.json"))), key=_paper_order):
        files = [f"{record.name}.{ending}" for ending in ("json", "md", "tex", "svg", "png")]
        files = [file for file in files if (folder / file).is_file()]
        pictures = [file for file in files if file.endswith((".svg", ".png"))]
        if record.kind != "table" and not pictures:
            raise ValueError(f"{folder / record.name}: neither .svg nor .png beside the record")
        shown = {"table": to_html(record), "picture": ""} if record.kind == "table" else {"picture": pictures[0]}
        sections[_SECTIONS[record.kind]].append({"record": record, "files": files, "table": "", **shown})
    values = {"profile": profile, "sections": [section for section in sections.items() if section[1]]}
    write_text(folder / "index.html", render(TEMPLATES / "index.html", values))
    return folder / "index.html"


def _paper_order(record: Record) -> tuple[float, str]:
    digits = "".join(filter(str.isdigit, record.name.split("_")[0]))
    return 0.0 if record.name.startswith("headline") else float(digits or "inf"), record.name
