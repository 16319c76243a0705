"""Where a story notebook reads and writes, in a run or opened by hand, and how it saves what it shows."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from bcrlib.report.draw_trees import save_drawing
from bcrlib.report.style import save_figure
from bcrlib.report.tables import markdown_grid, tidy, write_table

ROOT = Path(__file__).resolve().parents[2]
_NOUN = {"dependency": "", "semantic": " frames"}
"""How the names of a task's jobs go on."""


@dataclass(frozen=True)
class Places:
    """Folders of one task of a profile; both tasks' tables and figures go into one."""

    correctness: Path
    """Tables of correctness, for CorrectnessStore."""
    figures: Path
    """Where tables and figures go."""
    speed: Path
    """The JSON file of measured speeds."""


def places(profile: str, inputs: Mapping[str, str], output_folder: str, task: str = "dependency") -> Places:
    """In a run: the results of the jobs before, and the job's own folder. By hand: what the repository keeps.

    KeyError for an unknown task, and in a run for a task of which nothing was collected.
    """
    noun = _NOUN[task]
    if inputs:
        correctness = Path(inputs[f"collect{noun}"], "correctness")
        return Places(correctness, Path(output_folder, "figures"), Path(inputs[f"speed{noun}"], "speed.json"))
    kept = ROOT / "data" / "correctness" / profile / task
    return Places(kept, ROOT / "figures" / profile, kept / "speed.json")


def tasks_measured(profile: str, inputs: Mapping[str, str]) -> list[str]:
    """The tasks whose speed was measured: in a run those of the jobs before, by hand those that are kept."""
    if inputs:
        return [task for task, noun in _NOUN.items() if f"speed{noun}" in inputs]
    return [task for task in _NOUN if places(profile, {}, "", task).speed.is_file()]


def command_of(profile: str) -> str:
    """The shell command that remakes the tables and figures of a profile."""
    return "make reproduce" if profile == "demo" else f"make reproduce PROFILE={profile}"


@dataclass(frozen=True, eq=False)
class Publisher:
    """Saves into one folder; what `write_table`, `save_figure` and `save_drawing` need beyond the thing itself."""

    folder: Path
    signature: Mapping[str, object]
    """The settings under the numbers."""
    command: str

    def under(self, signature: Mapping[str, object]) -> "Publisher":
        """The same with other settings under the numbers."""
        return replace(self, signature=signature)

    def table(self, rows: pd.DataFrame | Iterable[Mapping[str, object]], name: str, title: str, caption: str) -> str:
        """Save a table, the command in every row; returns its numbers as text, without the commands."""
        about = {"title": title, "caption": caption, "signature": self.signature, "command": self.command}
        record = write_table(tidy(rows).assign(command=self.command), self.folder, name, **about)
        return markdown_grid(replace(record, rows=[row | {"command": ""} for row in record.rows]))

    def figure(self, figure: Figure, name: str, rows: pd.DataFrame, caption: str) -> Figure:
        """Save a figure with the numbers it plots; returns it, for a cell to show."""
        about = {"caption": caption, "signature": self.signature, "command": self.command}
        save_figure(figure, self.folder, name, rows, **about)
        return figure

    def drawing(self, svg: str, name: str, title: str, caption: str) -> str:
        """Save a tree drawing; returns it."""
        about = {"title": title, "caption": caption, "signature": self.signature, "command": self.command}
        save_drawing(svg, self.folder, name, **about)
        return svg
