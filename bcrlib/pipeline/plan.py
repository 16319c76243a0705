"""From a profile to its jobs: the experiments of the paper as a graph of notebook executions.

The halves of the plan, one a task, share no job until the story. Speed is measured when both are done, and the story
told after that: what runs beside a measurement of speed spoils it.
"""

from dataclasses import replace

from bcrlib.pipeline.causes import CAUSES, is_ablation, plan_causes
from bcrlib.pipeline.jobs import Job
from bcrlib.pipeline.plan_dependency import plan_dependency
from bcrlib.pipeline.plan_semantic import plan_semantic
from bcrlib.pipeline.profile import Profile

STORY = {
    "00_start_here.ipynb": ("dependency",),
    "01_the_data.ipynb": ("dependency",),
    "02_the_dependency_parser.ipynb": ("dependency",),
    "03_the_stack_pointer_parser.ipynb": ("dependency",),
    "04_measuring_regression.ipynb": ("dependency",),
    "05_reranking.ipynb": ("dependency",),
    "06_where_it_breaks.ipynb": ("dependency",),
    "07_candidate_sources.ipynb": ("dependency",),
    "08_many_rounds.ipynb": ("dependency",),
    "09_semantic_frames.ipynb": ("semantic",),
    "10_the_seq2seq_pointer_parser.ipynb": ("semantic",),
    "11_regression_in_frames.ipynb": ("dependency", "semantic"),
    "12_decoding_methods.ipynb": ("semantic",),
    "13_what_it_costs.ipynb": (),
}
"""Notebooks that are made for readers, and the tasks that each tells of: it is left out where one of them is.

One without any tells of those that there are.
"""
INTO = {"07_candidate_sources.ipynb": "stackptr"}
"""Notebooks that tell of new parsers of one kind: left out too where no update leads to it."""
COLLECTED = {"dependency": ("collect", "speed"), "semantic": ("collect frames", "speed frames")}
"""The jobs of each task whose results the story reads (`bcrlib.report.publisher`): what was counted, and the speed."""
PUBLISHING = (*(notebook.removesuffix(".ipynb") for notebook in STORY), *CAUSES.values())
"""The jobs that make tables and figures."""


def tasks(profile: Profile) -> list[str]:
    """The tasks that this profile has updates of."""
    updates = {"dependency": profile.updates, "semantic": profile.semantic.updates}
    return [task for task, asked in updates.items() if asked]


def kept_jobs(profile: Profile, task: str) -> tuple[str, ...]:
    """The jobs whose results the repository keeps of a task."""
    return (CAUSES[task],) if is_ablation(profile) else COLLECTED[task]


def plan(profile: Profile) -> list[Job]:
    """All jobs of a profile. O(updates seeds)."""
    if is_ablation(profile):
        return plan_causes(profile)
    planned = tasks(profile)
    dependency = plan_dependency(profile) if "dependency" in planned else []
    semantic = plan_semantic(profile) if "semantic" in planned else []
    if dependency and semantic:
        dependency[-1] = replace(dependency[-1], after=("collect frames",))
        semantic[-1] = replace(semantic[-1], after=("speed",))
    return [*dependency, *semantic, *_story(profile, planned)]


def _story(profile: Profile, planned: list[str]) -> list[Job]:
    """The notebooks that tell of nothing but these tasks, and of updates that there are."""
    measured = [COLLECTED[task][1] for task in planned]
    kinds = {update.new for update in [*profile.parsed_updates(), *profile.semantic.parsed_updates()]}
    jobs = []
    for notebook, told in STORY.items():
        if set(told) <= set(planned) and INTO.get(notebook) in {None, *kinds}:
            needs = sum((COLLECTED[task] for task in told or planned), ())
            after = tuple(job for job in measured if job not in needs)
            name = notebook.removesuffix(".ipynb")
            jobs.append(Job(name, notebook, {"profile": profile.name}, needs, after=after))
    return jobs
