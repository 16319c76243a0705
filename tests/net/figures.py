"""Make the tables and figures of profiles again from stored correctness, and compare them byte for byte.

    python tests/net/figures.py OUT                       # demo and small, against figures/PROFILE
    python tests/net/figures.py OUT --against FOLDER      # against FOLDER/PROFILE, as an earlier run left it
    python tests/net/figures.py OUT --profiles small --notebooks 05 11

The story notebooks run as in the pipeline, each in a kernel of its own on one thread, one after the other. What the
jobs before them would have left (`collect`, `speed`) is data/correctness/PROFILE, so nothing is trained but the
practice parser of notebook 10. Written: OUT/PROFILE with all files and the index page, OUT/executed/PROFILE with the
executed notebooks. Exit status 1 where a file differs, is missing, or is new.

Notebook 14 publishes nothing and is not run. Speed is not measured again: its tables come from the stored speed.json.
Pixels depend on matplotlib's and its fonts' versions: after a change of the environment compare with --against.
"""

import argparse
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from bcrlib.pipeline.execute import execute_notebook
from bcrlib.pipeline.jobs import Job, declared_parameters, read_notebook
from bcrlib.pipeline.plan import STORY, plan
from bcrlib.pipeline.profile import load_profile
from bcrlib.report.publisher import write_index

ROOT = Path(__file__).resolve().parents[2]
PROFILES = ("demo", "small")


def main() -> int:
    """0 where all files are equal."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, help="folder for what is made; PROFILE in it is replaced")
    parser.add_argument("--against", type=Path, default=ROOT / "figures", help="folder with PROFILE to compare with")
    parser.add_argument("--profiles", nargs="+", default=PROFILES, choices=PROFILES)
    parser.add_argument("--notebooks", nargs="+", default=[], metavar="NN", help="numbers; default: all that publish")
    asked = parser.parse_args()
    right = True
    for profile in asked.profiles:
        made = remade(profile, asked.out.resolve(), asked.notebooks)
        right &= compare(made, asked.against / profile, is_part=bool(asked.notebooks))
    return 0 if right else 1


def remade(profile: str, out: Path, numbers: Sequence[str]) -> Path:
    """OUT/PROFILE, written by the story notebooks with these numbers; none: by all."""
    figures, executed = out / profile, out / "executed" / profile
    for folder in (figures, executed):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
    jobs = [job for job in plan(load_profile(profile)) if job.notebook in STORY]
    with tempfile.TemporaryDirectory() as scratch:
        for job in jobs:
            if not numbers or job.notebook[:2] in numbers:
                run(job, executed, Path(scratch, job.name))
        for file in sorted(Path(scratch).glob("*/figures/*")):  # as the pipeline publishes them
            shutil.copy(file, figures)
    if not numbers:
        write_index(figures, profile)
    return figures


def run(job: Job, executed: Path, folder: Path) -> None:
    """Execute a story notebook as the job that it is; its figures go into folder/figures."""
    start = time.monotonic()
    folder.mkdir()
    notebook = read_notebook(ROOT / "notebooks", job.notebook)
    parameters = {**job.params, "output": "figures"}
    if "results" in declared_parameters(notebook):
        parameters["results"] = str(ROOT / "data" / "correctness" / job.params["profile"])
    execute_notebook(notebook, job.notebook, executed / job.notebook, parameters, folder, num_threads=1)
    print(f"{job.params['profile']}  {job.notebook}  {time.monotonic() - start:.0f} s", flush=True)


def compare(made: Path, expected: Path, is_part: bool) -> bool:
    """Print which files are equal, which not; whether all are. is_part: files that were not made do not count."""
    ours, theirs = ({path.name: path.read_bytes() for path in folder.glob("*")} for folder in (made, expected))
    both = sorted(ours.keys() & theirs.keys())
    found = {
        "equal": [name for name in both if ours[name] == theirs[name]],
        "different": [name for name in both if ours[name] != theirs[name]],
        "missing": [] if is_part else sorted(theirs.keys() - ours.keys()),
        "new": sorted(ours.keys() - theirs.keys()),
    }
    print(f"{made.name} against {expected}:", ", ".join(f"{len(names)} {state}" for state, names in found.items()))
    wrong = [(state, name) for state in ("different", "missing", "new") for name in found[state]]
    for state, name in wrong:
        print(f"  {state:<9}  {name}")
    return not wrong


if __name__ == "__main__":
    sys.exit(main())
