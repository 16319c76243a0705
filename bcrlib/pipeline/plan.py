"""From a profile to its jobs: the experiments of the paper as a graph of notebook executions, half by half.

train ──> predict (1-best of every system) ────────────────────────────┬─> breakdowns (trees) ─┐
  ├────> distil (students of the old models) ──> predict               │                       ├──> collect ──> speed
  └────> candidates on dev ──> choose dropout ──> candidates, sweep  ──┴───────────────────────┘

New models propose candidates; the old ones that they replace score them. Part models are old models alone: trained on
a part of the data, they are replaced by models of all of it. The halves, one a task, share no job until the story.
Speed is measured when both are done, and the story told after that: what runs beside a measurement of speed spoils it.
The names of jobs of frames have that word in the second place.

Of an ablation there are cells instead (each one job, which trains an old model, a new one and a student, and measures)
and `causes`, which counts the flips of all cells.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any, NamedTuple

from bcrlib.data.randomness import PART_SEED
from bcrlib.experiments.counting import ONE_BEST, Update
from bcrlib.experiments.speed_grid import SpeedGrid
from bcrlib.parsers.configuration import KINDS
from bcrlib.pipeline.jobs import Job
from bcrlib.pipeline.profile import HalfProfile, Profile, SemanticProfile, is_part, json_values, with_values
from bcrlib.pipeline.results import COLLECTED
from bcrlib.samplers.strategies import Beam, DropoutP, parse_strategy
from bcrlib.tasks import AUTHORS_LISTS, TASKS, network_of

SAMPLING_SEED = 1
STUDENT_SEED = 1  # the authors' students all have it; so do ours: they differ by their teacher
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
CAUSES = {"dependency": "causes", "semantic": "causes frames"}
"""The job of each task that counts the flips of all cells, and publishes them."""
PUBLISHING = (*(notebook.removesuffix(".ipynb") for notebook in STORY), *CAUSES.values())
"""The jobs that make tables and figures."""
TRAINING = {"dependency": "pipeline/train.ipynb", "semantic": "pipeline/train_frames.ipynb"}
"""The notebook that trains a model, or a student."""
# Not among the parameters of a deepbiaf's training: changing them must not train it anew.
_ONLY_STACKPTR = ("decoder_input_size", "decoder_size", "beam_width")

System = dict[str, Any]
"""The fields of a bcrlib.experiments.store.System, and the "jobs" that trained it: several make an ensemble."""


class Model(NamedTuple):
    """A parser trained on a corpus; prints as "stackptr/123"."""

    kind: str
    seed: int

    def __str__(self) -> str:
        return f"{self.kind}/{self.seed}"

    @property
    def job(self) -> str:
        """The name of the job that trains it."""
        return f"train {self.kind} {self.seed}"


class Lesson(NamedTuple):
    """Who teaches for which update."""

    update: Update
    teacher: Model

    @property
    def student(self) -> Model:
        """All students of a kind have the same seed."""
        return Model(self.update.new, STUDENT_SEED)

    @property
    def job(self) -> str:
        """The name of the job that trains the student."""
        return f"distil {self.update.new} by {self.teacher.kind} {self.teacher.seed}"


def kept_jobs(profile: Profile, task: str) -> tuple[str, ...]:
    """The jobs whose results the repository keeps of a task."""
    return (CAUSES[task],) if profile.is_ablation else COLLECTED[task]


def plan(profile: Profile) -> list[Job]:
    """All jobs of a profile. O(updates seeds)."""
    halves = profile.halves()
    if profile.is_ablation:
        return [job for half in halves.values() for job in _cells(half)]
    planned = {task: _HalfPlan(half).jobs(profile.speed) for task, half in halves.items()}
    if len(planned) == 2:
        for task, earlier in {"dependency": "collect frames", "semantic": "speed"}.items():
            planned[task][-1] = replace(planned[task][-1], after=(earlier,))
    return [*(job for jobs in planned.values() for job in jobs), *_story(profile)]


def _story(profile: Profile) -> list[Job]:
    """The notebooks that tell of nothing but the tasks and updates that there are."""
    halves = profile.halves()
    kinds = {update.new for half in halves.values() for update in half.parsed_updates()}
    jobs = []
    for notebook, told in STORY.items():
        if {*told} <= {*halves} and INTO.get(notebook) in {None, *kinds}:
            needs = tuple(job for task in told or halves for job in COLLECTED[task])
            after = tuple(COLLECTED[task][1] for task in halves if COLLECTED[task][1] not in needs)
            name = notebook.removesuffix(".ipynb")
            modules = tuple(name for task in told or halves for name in _modules(task, TASKS[task].kinds))
            jobs.append(Job(name, notebook, {"profile": profile.name}, needs, modules, after))
    return jobs


class _HalfPlan:
    """The updates of one task, the models in them, and the jobs that train, parse, propose and count."""

    def __init__(self, asked: Profile | SemanticProfile) -> None:
        self.asked, self.updates, self.names = asked, asked.parsed_updates(), TASKS[asked.task]
        self.is_trees = asked.task == "dependency"
        self.new_kinds = [kind for kind in self.names.kinds if any(update.new == kind for update in self.updates)]
        # Dependency parsing is what notebooks do unless told otherwise, as before there was another task.
        self.task = {} if self.is_trees else {"task": asked.task}
        self.corpus = {"corpus": asked.corpus, "ambiguity": asked.ambiguity}

    def jobs(self, speed: SpeedGrid) -> list[Job]:
        """All but those of the story."""
        new, lessons, (swept, replaced) = self.new(), self.lessons(), self.swept()
        rates = [str(DropoutP(p)) for p in self.asked.dropout_grid]
        training = [*map(self.train, self.trained()), *map(self.distil, lessons)]
        singles = [_system("old", model, [model.job]) for model in self.old()]
        singles += [_system("new", model, [model.job]) for model in new]
        students = [_system("distillation", one.student, [one.job], str(one.teacher)) for one in lessons]
        dev = [self.predict("dev", singles)]
        dev += [self.candidates("candidates dev", model, [*self.lists(model.kind), *rates]) for model in new]
        choosing = {**self.task, "preset": self.asked.preset}
        choice = Job(self.named("choose dropout"), "pipeline/choose_dropout.ipynb", choosing, _names(dev))
        test = [self.predict("test", [*singles, *students, *self.ensembles()])]
        test += [self.candidates_on_test(model) for model in new]
        counted = (*_names(test), choice.name)
        compared = dict.fromkeys([*(str(parse_strategy(text)) for text in self.asked.sampling_grid), *rates])
        others = [name for name in compared if name != self.names.listed[swept]]
        test += [
            self.candidates("sweep test", model, others, old=replaced, dropout="others")
            for model in new
            if model.kind == swept
        ]
        work = [*training, *dev, choice, *test, *self.breakdowns(counted)]
        collecting = {
            **self.task,
            "profile": _asked_for(self.asked),
            "fixed_seeds": {"students": STUDENT_SEED, "sampling": SAMPLING_SEED, "share of dev": PART_SEED},
        }
        collect = Job(self.named("collect"), "pipeline/collect.ipynb", collecting, _names(work))
        return [*work, collect, self.speed(speed)]

    # Who there is

    def old(self, into: str | None = None) -> list[Model]:
        """The models that are replaced: by new ones of the kind `into`, or by any."""
        replaced = {update.old for update in self.updates if into in (None, update.new)}
        kinds = [kind for kind in self.names.kinds if kind in replaced]
        return [Model(kind, seed) for kind in kinds for seed in self.asked.old_seeds]

    def new(self) -> list[Model]:
        """The models that replace others and propose candidates."""
        return [Model(kind, seed) for kind in self.new_kinds for seed in self.asked.new_seeds]

    def trained(self) -> list[Model]:
        """All models that learn from gold, each once: ensembles may share members with the new models."""
        members = [Model(kind, s) for kind in self.new_kinds for group in self.asked.ensembles for s in group]
        return list(dict.fromkeys([*self.old(), *self.new(), *members, *self.growing()]))

    def lessons(self) -> list[Lesson]:
        """Every old model teaches a student of the new kind, or the first ones do."""
        return [
            Lesson(update, Model(update.old, seed))
            for update in self.updates
            for seed in self.asked.old_seeds[: self.asked.num_students(update.new) or None]
        ]

    def growing(self) -> list[Model]:
        """Members of the largest growing ensemble (Figure 3), of the last update."""
        most = max(self.asked.ensemble_sizes, default=0)
        return [Model(self.updates[-1].new, seed) for seed in self.asked.growing_seeds[:most]]

    def ensembles(self) -> list[System]:
        """Of new kinds, numbered within a kind; then growing ones, each with the members of the one before and more."""
        groups = [
            ("ensemble", number, [Model(kind, seed) for seed in group])
            for kind in self.new_kinds
            for number, group in enumerate(self.asked.ensembles, start=1)
        ]
        groups += [("growing ensemble", size, self.growing()[:size]) for size in sorted({*self.asked.ensemble_sizes})]
        return [
            _system(method, Model(of[0].kind, number), [one.job for one in of], members=[one.seed for one in of])
            for method, number, of in groups
        ]

    def swept(self) -> tuple[str, list[Model]]:
        """The kind of new models of which all strategies are compared (Table 5), and the old models that score."""
        if self.is_trees:
            return "stackptr", self.old(into="stackptr")
        update = self.updates[-1]
        return update.new, [model for model in self.old() if model.kind == update.old]

    def lists(self, kind: str) -> list[str]:
        """The list of best structures, behind the 1-best where it need not begin with it."""
        listed = self.names.listed[kind]
        begins = network_of(kind) == "deepbiaf" or (
            kind == "stackptr" and parse_strategy(listed) == Beam(self.asked.model.beam_width)
        )
        return [listed] if begins else [ONE_BEST, listed]

    # What they do

    def named(self, stage: str) -> str:
        """A job's name, of frames with that noun after its first word: "candidates frames test"."""
        verb, *rest = stage.split(" ")
        return stage if self.is_trees else " ".join([verb, "frames", *rest])

    def train(self, model: Model) -> Job:
        """Learns from gold."""
        sizes = asdict(self.asked.network(model.kind))
        left_out = _ONLY_STACKPTR if network_of(model.kind) == "deepbiaf" else ()
        params = {
            **self.corpus,
            "precision": self.asked.precision,
            "model": {name: value for name, value in sizes.items() if name not in left_out},
            "training": asdict(self.asked.recipe(model.kind)),
            "seed": model.seed,
        }
        if not self.is_trees:
            is_whole = not is_part(model.kind)
            params |= {"part": 1.0 if is_whole else self.asked.part, "part_seed": 0 if is_whole else model.seed}
        return Job(model.job, TRAINING[self.asked.task], params, modules=_modules(self.asked.task, [model.kind]))

    def distil(self, lesson: Lesson) -> Job:
        """Learns from what its teacher says of the training data."""
        like, teacher = self.train(lesson.student), lesson.teacher
        modules = _modules(self.asked.task, [teacher.kind, lesson.student.kind])
        return Job(lesson.job, like.notebook, {**like.params, "teacher": teacher.job}, (teacher.job,), modules)

    def predict(self, split: str, systems: list[System]) -> Job:
        """The 1-best of every system."""
        needs = dict.fromkeys(job for system in systems for job in system["jobs"])
        return self.parse(f"predict {split}", "", "pipeline/predict.ipynb", {"systems": systems}, needs)

    def candidates(
        self,
        stage: str,
        model: Model,
        strategies: list[str],
        old: Sequence[Model] | None = None,
        peers: Sequence[Model] = (),
        **further: Any,
    ) -> Job:
        """One model's pools, scored by itself, by old models (all that it may replace), and by its peers.

        stage: "candidates dev", "sweep test".
        """
        old = self.old(into=model.kind) if old is None else old
        params = {
            "new_model": str(model),
            "old_models": [*map(str, old)],
            "peers": [*map(str, peers)],
            "num_candidates": self.asked.num_candidates,
            "sampling_seed": SAMPLING_SEED,
            "strategies": strategies,
            **further,
        }
        needs = [scorer.job for scorer in (model, *old, *peers)]
        needs += [self.named("choose dropout")] if "dropout" in further else []
        return self.parse(stage, f" {model.kind} {model.seed}", "pipeline/candidates.ipynb", params, needs)

    def candidates_on_test(self, model: Model) -> Job:
        """What the paper compares, beside a list that the authors do not have the one that they have.

        Trees are scored also by the other new models, for one may come to replace the other; of frames there are more
        candidates where the paper's curve goes on.
        """
        lists = self.lists(model.kind)
        strategies = [*lists, *(AUTHORS_LISTS[name] for name in lists if name in AUTHORS_LISTS)]
        peers = [new for new in self.new() if self.is_trees and new.kind == model.kind and new != model]
        is_last, number = model.kind == self.updates[-1].new, self.asked.more_candidates
        more = {"more_candidates": number} if is_last and number else {}
        return self.candidates("candidates test", model, strategies, peers=peers, dropout="chosen", **more)

    def parse(self, stage: str, who: str, notebook: str, params: Mapping[str, Any], needs: Iterable[str]) -> Job:
        """Reads a split, the last word of the stage; of dev the share for choices."""
        split = stage.split(" ")[-1]
        common = {"split": split, "share": self.asked.dev_share if split == "dev" else 1.0}
        common |= {"precision": self.asked.decoding_precision}
        params = {**self.task, **self.corpus, **common, **params}
        return Job(self.named(stage) + who, notebook, params, tuple(needs), _modules(self.asked.task, self.names.kinds))

    def breakdowns(self, needs: tuple[str, ...]) -> list[Job]:
        """Needs the trees themselves; their counts alone go further. Of frames there are none."""
        seeds = {"old_seeds": [*self.asked.old_seeds], "new_seeds": [*self.asked.new_seeds]}
        params = {**self.corpus, "updates": [*map(str, self.updates)], **seeds}
        return [Job("breakdowns", "pipeline/breakdowns.ipynb", params, needs)] if self.is_trees else []

    def speed(self, grid: SpeedGrid) -> Job:
        """Of one parser of each kind, a new one where there is one, when all that is counted is there."""
        measured = [*self.new(), *(self.old() if self.is_trees else [])]
        models = {model.kind: model.job for model in reversed(measured)}
        if self.is_trees:
            models = {kind: models[kind] for kind in self.names.kinds if kind in models}
        params = {**self.task, **self.corpus, "precision": self.asked.precision, **json_values(grid)}
        needs = (*models.values(), self.named("collect"))
        params["models"] = models
        return Job(
            self.named("speed"), "pipeline/speed.ipynb", params, needs, _modules(self.asked.task, self.names.kinds)
        )


def _system(
    method: str, model: Model, jobs: list[str], teacher: str | None = None, members: Sequence[int] = ()
) -> System:
    fields = {"method": method, "model": model.kind, "seed": model.seed, "teacher": teacher, "members": [*members]}
    return {**fields, "jobs": jobs}


def _modules(task: str, kinds: Iterable[str]) -> tuple[str, ...]:
    """What is imported by computed names: the task, and its kinds of parsers."""
    of_kinds = {KINDS[kind.split("-")[0]].split(":")[0] for kind in kinds}
    return (f"bcrlib.tasks.{task}", *sorted(of_kinds))


def _names(jobs: Iterable[Job]) -> tuple[str, ...]:
    return tuple(job.name for job in jobs)


def _asked_for(half: HalfProfile) -> dict[str, Any]:
    """What a manifest says of this half."""
    left_out = ("semantic", "speed", "workers", *(() if half.ablation.vary else ("ablation",)))
    return {name: value for name, value in json_values(half).items() if name not in left_out}


def _cells(half: Profile | SemanticProfile) -> list[Job]:
    """Every cell of a half that is an ablation, and the job that counts and publishes. O(cells)."""
    (update,), task = half.parsed_updates(), half.task
    common = {
        "task": task,
        "corpus": half.corpus,
        "ambiguity": half.ambiguity,
        "precision": half.precision,
        "decoding_precision": half.decoding_precision,
        "preset": half.preset,
        "train_share": half.ablation.train_share,
        "dev_share": half.dev_share,
        "test_share": half.ablation.test_share,
        "kind": update.new,
        "old_seeds": [*half.old_seeds],
        "new_seeds": [*half.new_seeds],
        "strategies": [ONE_BEST, TASKS[task].listed[update.new]],
        "dropout_grid": [*half.dropout_grid],
        "num_candidates": half.num_candidates,
        "sampling_seed": SAMPLING_SEED,
    }
    jobs, modules = {}, _modules(task, [update.new])
    for name, values in half.ablation.cells().items():
        cell = with_values(half, values)
        parser = {"model": asdict(cell.network(update.new)), "training": asdict(cell.recipe(update.new))}
        job = f"cell {update.new} {name}".replace("/", "-")
        jobs[name] = Job(job, "pipeline/cell.ipynb", common | parser, modules=modules)
    counting = {
        "task": task,
        "profile": _asked_for(half),
        "fixed_seeds": {"sampling": SAMPLING_SEED, "shares of train and dev": PART_SEED},
        "cells": {job.name: name for name, job in jobs.items()},
    }
    return [*jobs.values(), Job(CAUSES[task], "pipeline/causes.ipynb", counting, _names(jobs.values()))]
