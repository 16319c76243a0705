"""Where a story notebook reads and writes: in a run of the pipeline, or opened by hand."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

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
