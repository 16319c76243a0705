"""Where a story notebook reads and writes: in a run of the pipeline, or opened by hand."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Places:
    """Folders of one profile."""

    correctness: Path
    """Tables of correctness, for CorrectnessStore."""
    figures: Path
    """Where tables and figures go."""
    speed: Path
    """The JSON file of measured speeds."""


def places(profile: str, inputs: Mapping[str, str], output_folder: str) -> Places:
    """In a run: the results of the jobs before, and the job's own folder. By hand: what the repository keeps."""
    if inputs:
        collected = Path(inputs["collect"])
        return Places(collected / "correctness", Path(output_folder, "figures"), Path(inputs["speed"], "speed.json"))
    kept = ROOT / "data" / "correctness" / profile
    return Places(kept, ROOT / "figures" / profile, kept / "speed.json")
