"""What the halves of a plan have in common: the models in its updates, and the jobs that parse, propose and count."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from bcrlib.data.randomness import PART_SEED
from bcrlib.experiments.counting import Update
from bcrlib.parsers.configuration import KINDS
from bcrlib.pipeline.jobs import Job
from bcrlib.tasks.names import TASKS

SAMPLING_SEED = 1
STUDENT_SEED = 1  # the authors' students all have it; so do ours: they differ by their teacher


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


@dataclass(frozen=True)
class Half:
    """The updates of one task and the models in them."""

    task: str
    updates: list[Update]
    notebook: str
    """Trains a model, or a student."""
    old_seeds: tuple[int, ...]
    new_seeds: tuple[int, ...]
    groups_of_seeds: tuple[tuple[int, ...], ...]
    """Of the members of every ensemble."""
    corpus: Mapping[str, Any]
    """Parameters of notebooks that read it."""
    num_candidates: int
    dev_share: float = 1.0
    """Of dev, for choices."""
    precision: str = "float32"
    """Of the matrix products of decoding and scoring."""
    noun: str = ""
    """In the names of jobs that parse: "frames"."""
    most_students: Mapping[str, int] = field(default_factory=dict)
    """Kind -> how many old models teach a student of it, for each update; all of them where 0 or missing."""

    def named(self, stage: str) -> str:
        """A job's name with the noun after its first word: "candidates frames test"."""
        verb, *rest = stage.split(" ")
        return " ".join([verb, self.noun, *rest] if self.noun else [verb, *rest])

    def old(self, into: str | None = None) -> list[Model]:
        """The models that are replaced: by new ones of the kind `into`, or by any."""
        kinds = {update.old for update in self.updates if into in (None, update.new)}
        return [Model(kind, seed) for kind in self._kinds if kind in kinds for seed in self.old_seeds]

    def new(self) -> list[Model]:
        """The models that replace others and propose candidates."""
        return [Model(kind, seed) for kind in self.new_kinds for seed in self.new_seeds]

    @property
    def new_kinds(self) -> list[str]:
        """The kinds that replace another or themselves."""
        return [kind for kind in self._kinds if any(update.new == kind for update in self.updates)]

    def trained(self, further: Iterable[Model] = ()) -> list[Model]:
        """All models that learn from the corpus, each once: ensembles may share members with the new models."""
        members = [model for group in self._groups() for model in group]
        return list(dict.fromkeys([*self.old(), *self.new(), *members, *further]))

    def lessons(self) -> list[Lesson]:
        """Every old model teaches a student of the new kind, or the first ones do."""
        return [
            Lesson(update, Model(update.old, seed))
            for update in self.updates
            for seed in self.old_seeds[: self.most_students.get(update.new) or None]
        ]

    def singles(self) -> list[dict[str, Any]]:
        """Old and new models by themselves."""
        old = [system("old", model, [model.job]) for model in self.old()]
        return [*old, *(system("new", model, [model.job]) for model in self.new())]

    def students(self) -> list[dict[str, Any]]:
        """Those who were taught by old models."""
        lessons = self.lessons()
        return [system("distillation", one.student, [one.job], teacher=str(one.teacher)) for one in lessons]

    def ensembles(self) -> list[dict[str, Any]]:
        """Of new kinds, numbered within a kind."""
        numbers = [number for _ in self.new_kinds for number in range(1, len(self.groups_of_seeds) + 1)]
        return [ensemble("ensemble", number, group) for number, group in zip(numbers, self._groups())]

    def train(self, model: Model, training: Mapping[str, Any]) -> Job:
        """Learns from gold."""
        return Job(model.job, self.notebook, training, modules=parser_modules([model.kind]))

    def distil(self, lesson: Lesson, training: Mapping[str, Any]) -> Job:
        """Learns from what its teacher says of the training data."""
        teacher, modules = lesson.teacher, parser_modules([lesson.teacher.kind, lesson.student.kind])
        return Job(lesson.job, self.notebook, {**training, "teacher": teacher.job}, (teacher.job,), modules)

    def predict(self, split: str, systems: list[dict[str, Any]]) -> Job:
        """The 1-best of every system."""
        needs = dict.fromkeys(job for entry in systems for job in entry["jobs"])
        params = {**self._task, **self._reading(split), "systems": systems}
        return Job(self.named(f"predict {split}"), "pipeline/predict.ipynb", params, tuple(needs), self._modules)

    def candidates(
        self,
        stage: str,
        model: Model,
        strategies: Mapping[str, Any],
        peers: Iterable[Model] = (),
        old: Iterable[Model] | None = None,
    ) -> Job:
        """One model's pools, scored by itself, by old models (all that it may replace), and by its peers.

        stage: "candidates dev", "sweep test".  strategies: the parameters that say which.
        """
        old, peers = list(self.old(into=model.kind) if old is None else old), list(peers)
        params = {
            **self._task,
            **self._reading(stage.split()[-1]),
            "new_model": str(model),
            "old_models": [*map(str, old)],
            "peers": [*map(str, peers)],
            "num_candidates": self.num_candidates,
            "sampling_seed": SAMPLING_SEED,
            **strategies,
        }
        choice = [self.named("choose dropout")] if "dropout" in strategies else []
        needs = (*(scorer.job for scorer in (model, *old, *peers)), *choice)
        name = f"{self.named(stage)} {model.kind} {model.seed}"
        return Job(name, "pipeline/candidates.ipynb", params, needs, self._modules)

    def choose_dropout(self, preset: str, dev: Iterable[Job]) -> Job:
        """Chooses for every update, by what happens on dev, the rate and the new model's weight in a joined pool."""
        params, needs = {**self._task, "preset": preset}, tuple(job.name for job in dev)
        return Job(self.named("choose dropout"), "pipeline/choose_dropout.ipynb", params, needs)

    def collect(self, asked_for: Mapping[str, Any], work: Iterable[Job]) -> Job:
        """Makes one folder of all that the story needs of this half."""
        fixed = {"students": STUDENT_SEED, "sampling": SAMPLING_SEED, "share of dev": PART_SEED}
        params = {**self._task, "profile": asked_for, "fixed_seeds": fixed}
        return Job(self.named("collect"), "pipeline/collect.ipynb", params, tuple(job.name for job in work))

    def speed(self, models: Mapping[str, str], grid: Mapping[str, Any]) -> Job:
        """Measures how fast some parsers are, when all that is counted is there.  models: kind -> the job of one."""
        params = {**self._task, **self.corpus, **grid, "models": dict(models)}
        needs = (*models.values(), self.named("collect"))
        return Job(self.named("speed"), "pipeline/speed.ipynb", params, needs, self._modules)

    @property
    def _kinds(self) -> tuple[str, ...]:
        return TASKS[self.task].kinds

    @property
    def _task(self) -> dict[str, str]:
        # Dependency parsing is what notebooks do unless told otherwise, as they did before there was another task.
        return {} if self.task == "dependency" else {"task": self.task}

    @property
    def _modules(self) -> tuple[str, ...]:
        return (f"bcrlib.tasks.{self.task}", *parser_modules(self._kinds))

    def _reading(self, split: str) -> dict[str, Any]:
        share = self.dev_share if split == "dev" else 1.0
        return {**self.corpus, "split": split, "share": share, "precision": self.precision}

    def _groups(self) -> list[list[Model]]:
        return [[Model(kind, seed) for seed in group] for kind in self.new_kinds for group in self.groups_of_seeds]


def parser_modules(kinds: Iterable[str]) -> tuple[str, ...]:
    """The modules of some kinds of parsers, which nobody imports by name."""
    return tuple(sorted({KINDS[kind.split("-")[0]].split(":")[0] for kind in kinds}))


def system(
    method: str, model: Model, jobs: list[str], teacher: str | None = None, members: list[int] | None = None
) -> dict[str, Any]:
    """The fields of a bcrlib.experiments.store.System, and the jobs that trained it: several make an ensemble."""
    fields = {"method": method, "model": model.kind, "seed": model.seed, "teacher": teacher, "members": members or []}
    return {**fields, "jobs": jobs}


def ensemble(method: str, number: int, members: list[Model]) -> dict[str, Any]:
    """The system of several models of a kind, numbered among its like."""
    model = Model(members[0].kind, number)
    return system(method, model, [member.job for member in members], members=[member.seed for member in members])


def plain(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Tuples as lists, inner ones too: JSON values, for the manifest."""
    return {name: _plain(value) for name, value in fields.items()}


def _plain(value: Any) -> Any:
    return [_plain(part) for part in value] if isinstance(value, tuple) else value
