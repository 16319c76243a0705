"""Run a profile from its corpora to its tables, and publish what the repository keeps of it."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

from bcrlib.data.corpora import SPLITS
from bcrlib.data.download import ewt_path, minilm_folder, mpnet_folder, top_path
from bcrlib.data.vectors import CONTEXTUAL
from bcrlib.pipeline.plan import COLLECTED, PUBLISHING, kept_jobs, plan
from bcrlib.pipeline.profile import Profile, load_profile, with_values
from bcrlib.pipeline.run import print_line, run_graph
from bcrlib.report.index import write_index

ROOT = Path(__file__).resolve().parents[2]


def reproduce(
    profile_name: str,
    overrides: tuple[str, ...] = (),
    scheduler: str | None = None,
    num_workers: int | None = None,
    output: Path = ROOT,
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
    _make_absolute("BCRLIB_DATA", "BCRLIB_CACHE")
    _fetch(profile)
    runs = Path(os.environ.get("BCRLIB_RUNS") or output / "runs").resolve()
    workers = num_workers or profile.workers or None
    folders = run_graph(plan(profile), ROOT / "notebooks", runs, scheduler, workers, report=report, minutes=minutes)
    kept = output / "data" / "correctness" / profile.name
    for task in profile.halves():
        _keep([folders[job] for job in kept_jobs(profile, task)], kept / task)
    figures = output / "figures" / profile.name
    if all(task in profile.halves() for task in COLLECTED if (kept / task).exists()):
        shutil.rmtree(figures, ignore_errors=True)
    figures.mkdir(parents=True, exist_ok=True)
    published = [folders[name] for name in PUBLISHING if name in folders]
    for file in sorted(file for folder in published for file in (folder / "figures").glob("*")):
        shutil.copy(file, figures)
    return write_index(figures, profile.name)


def _fetch(profile: Profile) -> None:
    """Have what must be downloaded before jobs start, which would fetch it side by side or fail one by one."""
    planned, wanted = profile.halves(), set()
    if "dependency" in planned:
        cells = [with_values(profile, values) for values in profile.ablation.cells().values()] or [profile]
        kinds = {kind for update in profile.parsed_updates() for kind in (update.old, update.new)}
        vectors = {cell.network(kind).vectors for cell in cells for kind in kinds}
        wanted |= {CONTEXTUAL[name].encoder if name in CONTEXTUAL else name for name in vectors}
        for split in SPLITS if profile.corpus == "ewt" else ():
            ewt_path(split)
    if "semantic" in planned:
        wanted |= {profile.semantic.base.encoder, profile.semantic.large.encoder}
        for split in SPLITS if profile.semantic.corpus == "top" else ():
            top_path(split)
    for name, fetch in {"minilm": minilm_folder, "mpnet": mpnet_folder}.items():
        if name in wanted:
            fetch()


def _make_absolute(*variables: str) -> None:
    """Jobs run in folders of their own, where a relative path would lead elsewhere."""
    for variable in variables:
        if os.environ.get(variable):
            os.environ[variable] = str(Path(os.environ[variable]).resolve())


def _keep(results: list[Path], folder: Path) -> None:
    """Put the correctness that was collected, and the speed if it was measured, in place of what was kept before."""
    collected, *measured = results
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(collected / "correctness", folder)
    for place in measured:
        shutil.copy(place / "speed.json", folder)
