"""From a profile to its jobs: the experiments of the paper as a graph of notebook executions.

train ──> predict (1-best of every system) ───────────────────────────────┬──> breakdowns ──┐
  ├────> distil (students of the old models) ──> predict                  │                 ├──> collect ──> speed
  └────> candidates on dev ──> choose dropout rate ──> candidates, sweep ─┴─────────────────┘       └──> story

New models propose candidates; the old ones that they replace, and the other new ones of their kind, score them.
"""

from dataclasses import asdict
from typing import Any, NamedTuple

from bcrlib.configuration import KINDS
from bcrlib.decoding.strategies import DropoutP, parse_strategy
from bcrlib.experiments import Update
from bcrlib.pipeline.jobs import Job
from bcrlib.pipeline.profiles import Profile
from bcrlib.tasks.names import TASKS

STORY = (
    "00_start_here.ipynb",
    "01_the_data.ipynb",
    "02_the_dependency_parser.ipynb",
    "03_the_stack_pointer_parser.ipynb",
    "04_measuring_regression.ipynb",
    "05_reranking.ipynb",
    "06_where_it_breaks.ipynb",
    "07_candidate_sources.ipynb",
    "08_many_rounds.ipynb",
)
SAMPLING_SEED = 1
LISTED = TASKS["dependency"].listed
MODULES = ("bcrlib.tasks.dependency",)  # of notebooks that serve both tasks
# Not among the parameters of a deepbiaf's training: changing them must not train it anew.
_ONLY_STACKPTR = ("decoder_input_size", "decoder_size", "beam_width")


class Model(NamedTuple):
    """A parser trained on the treebank; prints as "stackptr/123"."""

    kind: str
    seed: int

    def __str__(self) -> str:
        return f"{self.kind}/{self.seed}"

    @property
    def job(self) -> str:
        """The name of the job that trains it."""
        return f"train {self.kind} {self.seed}"


def plan(profile: Profile) -> list[Job]:
    """All jobs of a profile. O(updates seeds)."""
    training = [_train(profile, model) for model in _trained(profile)]
    students = [_distil(profile, update, teacher) for update, teacher in _lessons(profile)]
    dev = [_predict(profile, "dev", _singles(profile)), *(_dev_candidates(profile, model) for model in _new(profile))]
    test = [_predict(profile, "test", [*_singles(profile), *_students(profile), *_ensembles(profile)])]
    test += [_test_candidates(profile, model) for model in _new(profile)]
    test += [_sweep(profile, model) for model in _new(profile) if model.kind == "stackptr"]
    work = [*training, *students, *dev, _choose_dropout(profile, dev), *test, _breakdowns(profile)]
    collect = Job("collect", "pipeline/collect.ipynb", {"profile": _plain(profile)}, tuple(job.name for job in work))
    # After everything else: what runs beside a measurement spoils it.
    story = [Job(name.removesuffix(".ipynb"), name, {"profile": profile.name}, ("collect", "speed")) for name in STORY]
    return [*work, collect, _speed(profile), *story]


def _old(profile: Profile, into: str | None = None) -> list[Model]:
    """The models that are replaced: by new ones of the kind `into`, or by any."""
    kinds = {update.old for update in profile.parsed_updates() if into in (None, update.new)}
    return [Model(kind, seed) for kind in KINDS if kind in kinds for seed in profile.old_seeds]


def _new(profile: Profile) -> list[Model]:
    """The models that replace others and propose candidates."""
    return [Model(kind, seed) for kind in _new_kinds(profile) for seed in profile.new_seeds]


def _new_kinds(profile: Profile) -> list[str]:
    return [kind for kind in KINDS if any(update.new == kind for update in profile.parsed_updates())]


def _groups(profile: Profile) -> list[list[Model]]:
    """The members of every ensemble."""
    return [[Model(kind, seed) for seed in group] for kind in _new_kinds(profile) for group in profile.ensembles]


def _trained(profile: Profile) -> list[Model]:
    """All models that learn from the treebank, each once: ensembles may share members with the new models."""
    members = [model for group in _groups(profile) for model in group]
    return list(dict.fromkeys([*_old(profile), *_new(profile), *members]))


def _lessons(profile: Profile) -> list[tuple[Update, Model]]:
    """Who teaches, for which update: every old model a student of the new kind, or the first ones."""
    most = {"stackptr": profile.stackptr_students or None}
    return [
        (update, Model(update.old, seed))
        for update in profile.parsed_updates()
        for seed in profile.old_seeds[: most.get(update.new)]
    ]


def _train(profile: Profile, model: Model) -> Job:
    return Job(model.job, "pipeline/train.ipynb", _training(profile, model))


def _distil(profile: Profile, update: Update, teacher: Model) -> Job:
    params = {**_training(profile, _student(update)), "teacher": teacher.job}
    return Job(_distil_job(update, teacher), "pipeline/train.ipynb", params, (teacher.job,))


def _student(update: Update) -> Model:
    # The authors' students all have seed 1; so do ours: they differ by their teacher.
    return Model(update.new, 1)


def _distil_job(update: Update, teacher: Model) -> str:
    return f"distil {update.new} by {teacher.kind} {teacher.seed}"


def _training(profile: Profile, model: Model) -> dict[str, Any]:
    sizes, training = asdict(profile.network(model.kind)), asdict(profile.recipe(model.kind))
    if model.kind != "stackptr":
        sizes = {name: value for name, value in sizes.items() if name not in _ONLY_STACKPTR}
    common = {**_corpus(profile), "precision": profile.precision}
    return {**common, "model": sizes, "training": training, "seed": model.seed}


def _corpus(profile: Profile) -> dict[str, Any]:
    return {"corpus": profile.corpus, "ambiguity": profile.ambiguity}


def _singles(profile: Profile) -> list[dict]:
    old = [_system("old", model, [model.job]) for model in _old(profile)]
    return [*old, *(_system("new", model, [model.job]) for model in _new(profile))]


def _students(profile: Profile) -> list[dict]:
    return [
        _system("distillation", _student(update), [_distil_job(update, teacher)], teacher=str(teacher))
        for update, teacher in _lessons(profile)
    ]


def _ensembles(profile: Profile) -> list[dict]:
    numbers = [number for _ in _new_kinds(profile) for number in range(1, len(profile.ensembles) + 1)]
    return [
        _system("ensemble", Model(group[0].kind, number), [m.job for m in group], members=[m.seed for m in group])
        for number, group in zip(numbers, _groups(profile))
    ]


def _system(
    method: str, model: Model, jobs: list[str], teacher: str | None = None, members: list[int] | None = None
) -> dict[str, Any]:
    """The fields of a bcrlib.correctness.System, and the jobs that trained it: several make an ensemble."""
    fields = {"method": method, "model": model.kind, "seed": model.seed, "teacher": teacher, "members": members or []}
    return {**fields, "jobs": jobs}


def _predict(profile: Profile, split: str, systems: list[dict]) -> Job:
    needs = dict.fromkeys(job for system in systems for job in system["jobs"])
    params = {**_corpus(profile), "split": split, "systems": systems}
    return Job(f"predict {split}", "pipeline/predict.ipynb", params, tuple(needs), MODULES)


def _dev_candidates(profile: Profile, model: Model) -> Job:
    """Among these rates of dropout the job "choose dropout" chooses."""
    return _candidates(profile, "candidates dev", model, {"strategies": _dropout_grid(profile)}, [])


def _test_candidates(profile: Profile, model: Model) -> Job:
    """What the paper compares, scored also by the other new models: one may come to replace the other."""
    peers = [new for new in _new(profile) if new.kind == model.kind and new != model]
    strategies = {"strategies": [LISTED[model.kind]], "dropout": "chosen"}
    return _candidates(profile, "candidates test", model, strategies, peers)


def _sweep(profile: Profile, model: Model) -> Job:
    """All other strategies, for the comparison among them."""
    grid = [str(parse_strategy(text)) for text in profile.sampling_grid]
    names = [name for name in dict.fromkeys([*grid, *_dropout_grid(profile)]) if name != LISTED[model.kind]]
    return _candidates(profile, "sweep test", model, {"strategies": names, "dropout": "others"}, [])


def _candidates(profile: Profile, stage: str, model: Model, strategies: dict[str, Any], peers: list[Model]) -> Job:
    """One model's pools, scored by itself, by all models that it may replace, and by its peers.

    stage: ends with the split.  strategies: the parameters that say which.
    """
    old = _old(profile, into=model.kind)
    params = {
        **_corpus(profile),
        "split": stage.split()[-1],
        "new_model": str(model),
        "old_models": [*map(str, old)],
        "peers": [*map(str, peers)],
        "num_candidates": profile.num_candidates,
        "sampling_seed": SAMPLING_SEED,
        **strategies,
    }
    choice = ["choose dropout"] if "dropout" in strategies else []
    needs = (*(scorer.job for scorer in (model, *old, *peers)), *choice)
    return Job(f"{stage} {model.kind} {model.seed}", "pipeline/candidates.ipynb", params, needs, MODULES)


def _dropout_grid(profile: Profile) -> list[str]:
    return [str(DropoutP(p)) for p in profile.dropout_grid]


def _choose_dropout(profile: Profile, dev: list[Job]) -> Job:
    params = {"preset": profile.preset}
    return Job("choose dropout", "pipeline/choose_dropout.ipynb", params, tuple(job.name for job in dev))


def _breakdowns(profile: Profile) -> Job:
    """Needs the trees themselves; their counts alone go further."""
    updates = [*map(str, profile.parsed_updates())]
    seeds = {"old_seeds": [*profile.old_seeds], "new_seeds": [*profile.new_seeds]}
    candidates = [f"candidates test {model.kind} {model.seed}" for model in _new(profile)]
    needs = ("predict test", *candidates, "choose dropout")
    return Job("breakdowns", "pipeline/breakdowns.ipynb", {**_corpus(profile), "updates": updates, **seeds}, needs)


def _speed(profile: Profile) -> Job:
    """Of one parser of each kind, a new one where there is one."""
    first = {model.kind: model.job for model in reversed([*_new(profile), *_old(profile)])}
    jobs = {kind: first[kind] for kind in KINDS if kind in first}
    sample = {"num_sentences": profile.speed_sentences, "precision": profile.precision, "models": jobs}
    return Job("speed", "pipeline/speed.ipynb", {**_corpus(profile), **sample}, (*jobs.values(), "collect"))


def _plain(profile: Profile) -> dict[str, Any]:
    """The profile without its other half as JSON values, for the manifest."""
    content = {name: value for name, value in asdict(profile).items() if name != "semantic"}
    return {name: [*value] if isinstance(value, tuple) else value for name, value in content.items()}
