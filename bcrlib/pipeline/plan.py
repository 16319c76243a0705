"""From a profile to its jobs: the experiments of the paper as a graph of notebook executions.

train ──> predict (1-best of every system) ────────────────────────┐
  ├────> distil (students of the old models) ──> predict           ├──> collect ──> speed, story notebooks
  └────> candidates on dev ──> choose dropout rate ──> candidates ─┘
"""

from dataclasses import asdict
from typing import Any

from bcrlib.pipeline.jobs import Job
from bcrlib.pipeline.profiles import Profile

STORY = (
    "00_start_here.ipynb",
    "01_the_data.ipynb",
    "02_the_dependency_parser.ipynb",
    "03_measuring_regression.ipynb",
    "04_reranking.ipynb",
)
SAMPLING_SEED = 1


def plan(profile: Profile) -> list[Job]:
    """All jobs of a profile. O(seeds)."""
    training = [_train(profile, seed) for seed in _all_seeds(profile)]
    students = [_distil(profile, seed) for seed in profile.old_seeds]
    work = [*training, *students, _predict(profile, "test"), _predict_old(profile, "dev")]
    work += [_candidates(profile, seed, "dev") for seed in profile.new_seeds]
    work += [_choose_dropout(profile)]
    work += [_candidates(profile, seed, "test") for seed in profile.new_seeds]
    parts = [job.name for job in work if not job.name.startswith(("train", "distil"))]
    histories = tuple(job.name for job in (*training, *students))
    collect = Job("collect", "pipeline/collect.ipynb", {"profile": _plain(profile)}, (*parts, *histories))
    sample = {**_corpus(profile), "num_sentences": profile.speed_sentences, "precision": profile.precision}
    # After everything else: what runs beside a measurement spoils it.
    speed = Job("speed", "pipeline/speed.ipynb", sample, (_model(profile.new_seeds[0]), "collect"))
    story = [Job(name.removesuffix(".ipynb"), name, {"profile": profile.name}, ("collect", "speed")) for name in STORY]
    return [*work, collect, speed, *story]


def _model(seed: int) -> str:
    return f"train deepbiaf {seed}"


def _student(old_seed: int) -> str:
    return f"distil deepbiaf {old_seed}"


def _all_seeds(profile: Profile) -> list[int]:
    members = [seed for group in profile.ensembles for seed in group]
    return list(dict.fromkeys([*profile.old_seeds, *profile.new_seeds, *members]))


def _train(profile: Profile, seed: int) -> Job:
    return Job(_model(seed), "pipeline/train.ipynb", _training(profile, seed))


def _distil(profile: Profile, old_seed: int) -> Job:
    # The authors' students all have seed 1; so do ours: they differ by their teacher.
    params = {**_training(profile, 1), "teacher": _model(old_seed)}
    return Job(_student(old_seed), "pipeline/train.ipynb", params, (_model(old_seed),))


def _training(profile: Profile, seed: int) -> dict[str, Any]:
    return {
        **_corpus(profile),
        "model": {**asdict(profile.model), "preset": profile.preset},
        "training": asdict(profile.training),
        "precision": profile.precision,
        "seed": seed,
    }


def _corpus(profile: Profile) -> dict[str, Any]:
    return {"corpus": profile.corpus, "ambiguity": profile.ambiguity}


def _predict(profile: Profile, split: str) -> Job:
    singles = dict.fromkeys([*profile.old_seeds, *profile.new_seeds])
    systems = [_system("untreated", seed, [_model(seed)]) for seed in singles]
    systems += [_system("distillation", 1, [_student(old)], old_seed=old) for old in profile.old_seeds]
    for number, group in enumerate(profile.ensembles, start=1):
        systems.append(_system("ensemble", number, [_model(seed) for seed in group], members=list(group)))
    return _predict_job(profile, f"predict {split}", split, systems)


def _predict_old(profile: Profile, split: str) -> Job:
    systems = [_system("untreated", seed, [_model(seed)]) for seed in profile.old_seeds]
    return _predict_job(profile, f"predict {split}", split, systems)


def _predict_job(profile: Profile, name: str, split: str, systems: list[dict]) -> Job:
    needs = dict.fromkeys(job for system in systems for job in system["jobs"])
    params = {**_corpus(profile), "split": split, "systems": systems}
    return Job(name, "pipeline/predict.ipynb", params, tuple(needs))


def _system(
    method: str, seed: int, jobs: list[str], old_seed: int | None = None, members: list[int] | None = None
) -> dict[str, Any]:
    return {"method": method, "seed": seed, "old_seed": old_seed, "members": members or [], "jobs": jobs}


def _candidates(profile: Profile, seed: int, split: str) -> Job:
    grid = [f"dropout-p(p={p:g})" for p in profile.dropout_grid]
    params = {
        **_corpus(profile),
        "split": split,
        "new_seed": seed,
        "old_seeds": list(profile.old_seeds),
        "strategies": grid if split == "dev" else ["k-best"],
        "num_candidates": profile.num_candidates,
        "sampling_seed": SAMPLING_SEED,
    }
    needs = (_model(seed), *(_model(old) for old in profile.old_seeds))
    if split == "test":
        needs = (*needs, "choose dropout")
    return Job(f"candidates {split} {seed}", "pipeline/candidates.ipynb", params, needs)


def _choose_dropout(profile: Profile) -> Job:
    needs = ("predict dev", *(f"candidates dev {seed}" for seed in profile.new_seeds))
    return Job("choose dropout", "pipeline/choose_dropout.ipynb", {"preset": profile.preset}, needs)


def _plain(profile: Profile) -> dict[str, Any]:
    """The profile as JSON values, for the manifest."""
    return {name: [*value] if isinstance(value, tuple) else value for name, value in asdict(profile).items()}
