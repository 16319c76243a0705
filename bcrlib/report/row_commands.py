"""The one command that makes a row of the paper's tables again: of a profile, the updates that the row needs."""

from collections.abc import Mapping
from typing import Any

from bcrlib.experiments.counting import Update
from bcrlib.pipeline.plan import COLLECTED, STORY, plan
from bcrlib.pipeline.profile import Profile, load_profile
from bcrlib.report.paper_rows import PLACES, RETRAINED, PaperRow

FOLDER = "again"
"""Where the command puts its tables: what is committed stays."""
_LATER = {job for jobs in COLLECTED.values() for job in jobs} | {name.removesuffix(".ipynb") for name in STORY}
_FIELDS = {"dependency": "updates", "semantic": "semantic.updates"}


def row_overrides(profile: Profile, row: PaperRow) -> list[str] | None:
    """What a run of the profile is told to do no more than the row needs; None where the profile has no such update.

    Of the other task nothing is run, or where the notebook of the table tells of both tasks, one update.
    """
    place = PLACES[row.table]
    asked = {"dependency": profile.parsed_updates(), "semantic": profile.semantic.parsed_updates()}
    needed = _needed(row, asked[place.task])
    if not needed:
        return None
    kept = {task: needed if task == place.task else _beside(task, place.notebook, asked[task]) for task in asked}
    return [f"{_FIELDS[task]}=[{', '.join(map(str, kept[task]))}]" for task in kept if kept[task] != asked[task]]


def row_command(profile: Profile, row: PaperRow) -> str | None:
    """The shell command that makes the row; None where the profile has none."""
    overrides = row_overrides(profile, row)
    if overrides is None:
        return None
    told = [f"--set '{override}'" for override in overrides]
    return " ".join(["bcr reproduce", f"--profile {profile.name}", *told, f"-o {FOLDER}"])


def row_seconds(profile: Profile, row: PaperRow, jobs: Mapping[str, Mapping[str, Any]]) -> float | None:
    """What the jobs of that command took in a run of the whole profile, added up; None where they are not all known.

    jobs: those of its manifests; speed and story, of which manifests do not tell, are not counted.
    """
    overrides = row_overrides(profile, row)
    if overrides is None:
        return None
    planned = [job.name for job in plan(load_profile(profile.name, tuple(overrides))) if job.name not in _LATER]
    return sum(jobs[name]["seconds"] for name in planned) if jobs.keys() >= set(planned) else None


def _needed(row: PaperRow, updates: list[Update]) -> list[Update]:
    """The updates whose models are in a row."""
    if row.is_single:  # counted where it is replaced first, or else where it replaces another
        of_model = [u for u in updates if u.old == row.update] or [u for u in updates if u.new == row.update]
        return of_model[:1]
    own = [update for update in updates if str(update) == row.update]
    if row.table not in RETRAINED or not own or own[0].old == own[0].new:
        return own
    # Old models of the new kind are there only where it is replaced too.
    replaced = [update for update in updates if update.old == own[0].new][:1]
    return [update for update in updates if update in [*own, *replaced]]


def _beside(task: str, notebook: str, updates: list[Update]) -> list[Update]:
    return updates[:1] if task in STORY[notebook] else []
