"""What a story notebook reads, and how it shows tables and figures and, if asked to, saves them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from bcrlib.report.draw_trees import save_drawing
from bcrlib.report.style import save_figure
from bcrlib.report.tables import markdown_grid, tidy, write_table
from bcrlib.tasks.names import TASKS

ROOT = Path(__file__).resolve().parents[2]


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
