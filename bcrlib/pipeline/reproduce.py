"""Run a profile from its corpora to its tables, and publish what the repository keeps of it."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

from bcrlib.data.files import ROOT
from bcrlib.pipeline.manifest import data_files
from bcrlib.pipeline.plan import PUBLISHING, kept_jobs, plan
from bcrlib.pipeline.profile import json_values, load_profile, with_values
from bcrlib.pipeline.results import COLLECTED, lay_out
from bcrlib.pipeline.run import print_line, reasons, run_graph

RESULTS = Path("results")
"""Where a run writes unless it is told otherwise; git ignores it. What is committed lies in ROOT, laid out alike."""


def reproduce(
    profile_name: str,
    overrides: tuple[str, ...] = (),
    scheduler: str | None = None,
    num_workers: int | None = None,
    output: Path = RESULTS,
    report: Callable[[str], None] = print_line,
    minutes: float | None = None,
) -> Path:
    """Bring a profile's results up to date; returns the index page of its tables and figures.

    Trained models and pools stay in the folder of runs (BCRLIB_RUNS, default OUTPUT/runs), from which finished jobs are
    taken the next time. OUTPUT/figures/PROFILE and OUTPUT/data/correctness/PROFILE/TASK are replaced; where a task is
    left out of which results are kept there, so are its tables and figures.
    num_workers: jobs at a time on this machine; None: as the profile says.  minutes: no job is begun after them.
    Errors: ValueError (profile), DataError (corpus), GraphFailed (jobs), TimeIsUp (jobs are left), ConnectionError
    (scheduler).
    """
    profile = load_profile(profile_name, overrides)
    for variable in ("BCRLIB_DATA", "BCRLIB_CACHE"):
        if os.environ.get(variable):  # jobs run in folders of their own, where a relative path would lead elsewhere
            os.environ[variable] = str(Path(os.environ[variable]).resolve())
    for task, half in profile.halves().items():
        for values in half.ablation.cells().values() or [{}]:
            # Downloaded before jobs start, which would do it side by side or fail one by one.
            data_files(task, json_values(with_values(half, values)))
    folders = run_graph(
        plan(profile),
        ROOT / "notebooks",
        _runs_folder(output),
        scheduler,
        num_workers or profile.workers or None,
        report=report,
        minutes=minutes,
        num_threads=profile.threads or None,
    )
    kept = output / "data" / "correctness" / profile.name
    for task in profile.halves():
        shutil.rmtree(kept / task, ignore_errors=True)
        lay_out(kept / task, *(folders[job] for job in kept_jobs(profile, task)))
    figures = output / "figures" / profile.name
    if all(task in profile.halves() for task in COLLECTED if (kept / task).exists()):
        shutil.rmtree(figures, ignore_errors=True)
    figures.mkdir(parents=True, exist_ok=True)
    published = [folders[name] for name in PUBLISHING if name in folders]
    for file in sorted(file for folder in published for file in (folder / "figures").glob("*")):
        shutil.copy(file, figures)
    from bcrlib.report.publisher import write_index  # matplotlib comes with it

    return write_index(figures, profile.name)


def why(profile_name: str, overrides: tuple[str, ...] = (), output: Path = RESULTS) -> dict[str, list[str]]:
    """The jobs that `reproduce` would run, each with what it would run for. Nothing runs, and nothing is downloaded."""
    return reasons(plan(load_profile(profile_name, overrides)), ROOT / "notebooks", _runs_folder(output))


def _runs_folder(output: Path) -> Path:
    return Path(os.environ.get("BCRLIB_RUNS") or output / "runs").resolve()
