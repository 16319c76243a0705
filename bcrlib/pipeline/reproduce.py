"""Run a profile from its corpora to its tables, and publish what the repository keeps of it."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

from bcrlib.data.corpora import SPLITS
from bcrlib.data.download import ewt_path, minilm_folder
from bcrlib.pipeline.plan import STORY, plan
from bcrlib.pipeline.profiles import Profile, load_profile
from bcrlib.pipeline.schedule import print_line, run_graph
from bcrlib.report.index import write_index

ROOT = Path(__file__).resolve().parents[2]


def reproduce(
    profile_name: str,
    overrides: tuple[str, ...] = (),
    scheduler: str | None = None,
    num_workers: int | None = None,
    output: Path = ROOT,
    report: Callable[[str], None] = print_line,
) -> Path:
    """Bring a profile's results up to date; returns the index page of its tables and figures.

    Trained models and pools stay in the folder of runs (BCRLIB_RUNS, default OUTPUT/runs), from which finished jobs are
    taken the next time. OUTPUT/figures/PROFILE and OUTPUT/data/correctness/PROFILE are replaced.
    Errors: ValueError (profile), DataError (corpus), GraphFailed (jobs), ConnectionError (scheduler).
    """
    profile = load_profile(profile_name, overrides)
    _make_absolute("BCRLIB_DATA", "BCRLIB_CACHE")
    _fetch(profile)
    runs = Path(os.environ.get("BCRLIB_RUNS") or output / "runs").resolve()
    folders = run_graph(plan(profile), ROOT / "notebooks", runs, scheduler, num_workers, report=report)
    kept = output / "data" / "correctness" / profile.name
    _replace(folders["collect"] / "correctness", kept)
    shutil.copy(folders["speed"] / "speed.json", kept)
    figures = output / "figures" / profile.name
    shutil.rmtree(figures, ignore_errors=True)
    figures.mkdir(parents=True)
    for notebook in STORY:
        made = folders[notebook.removesuffix(".ipynb")] / "figures"
        for file in sorted(made.glob("*")) if made.is_dir() else ():
            shutil.copy(file, figures)
    return write_index(figures, profile.name)


def _fetch(profile: Profile) -> None:
    """Have what must be downloaded before jobs start, which would fetch it side by side or fail one by one."""
    if profile.corpus == "ewt":
        for split in SPLITS:
            ewt_path(split)
    if profile.model.vectors == "minilm":
        minilm_folder()


def _make_absolute(*variables: str) -> None:
    """Jobs run in folders of their own, where a relative path would lead elsewhere."""
    for variable in variables:
        if os.environ.get(variable):
            os.environ[variable] = str(Path(os.environ[variable]).resolve())


def _replace(source: Path, target: Path) -> None:
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(source, target)
