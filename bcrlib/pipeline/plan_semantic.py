"""From a profile to the jobs of conversational semantic parsing.

train ──> predict frames (1-best of every system) ───────────────────────────────┐
  ├────> distil (students of the old models) ──> predict frames                  ├──> collect frames ──> speed frames
  └────> candidates on dev ──> choose rate, weight ──> candidates, sweep ────────┘

Part models are old models alone: trained on a part of the data, they are replaced by models of all of it.
"""

from dataclasses import asdict
from typing import Any

from bcrlib.experiments.counting import ONE_BEST, Update
from bcrlib.pipeline.half import Half, Model, ensemble, plain
from bcrlib.pipeline.jobs import Job
from bcrlib.pipeline.profile import Profile, SemanticProfile, is_part
from bcrlib.samplers.strategies import DropoutP, parse_strategy
from bcrlib.tasks.names import TASKS

LISTED = TASKS["semantic"].listed


def plan_semantic(profile: Profile) -> list[Job]:
    """All jobs but those of the story. O(updates seeds)."""
    asked, half = profile.semantic, half_of(profile)
    training = [half.train(model, _training(profile, half, model)) for model in half.trained(_growing_members(asked))]
    students = [half.distil(lesson, _training(profile, half, lesson.student)) for lesson in half.lessons()]
    dev = [half.predict("dev", half.singles())]
    dev += [_dev_candidates(asked, half, model) for model in half.new()]
    test = [half.predict("test", [*half.singles(), *half.students(), *half.ensembles(), *_growing(asked)])]
    test += [_test_candidates(asked, half, model) for model in half.new()]
    test += [_sweep(asked, half, model) for model in half.new() if model.kind == _looked_at(asked).new]
    work = [*training, *students, *dev, half.choose_dropout(profile.preset, dev), *test]
    of_all = {"name": profile.name, "preset": profile.preset, "precision": profile.precision}
    asked_for = {name: value for name, value in asdict(asked).items() if name != "ablation"}
    return [*work, half.collect({**of_all, **plain(asked_for)}, work), _speed(profile, half)]


def half_of(profile: Profile) -> Half:
    """The models in the updates of this half."""
    asked = profile.semantic
    return Half(
        task="semantic",
        updates=asked.parsed_updates(),
        notebook="pipeline/train_frames.ipynb",
        old_seeds=asked.old_seeds,
        new_seeds=asked.new_seeds,
        groups_of_seeds=asked.ensembles,
        corpus={"corpus": asked.corpus, "ambiguity": asked.ambiguity},
        num_candidates=asked.num_candidates,
        dev_share=asked.dev_share,
        precision=profile.precision,
        noun="frames",
        most_students=dict.fromkeys(LISTED, asked.students),
    )


def _training(profile: Profile, half: Half, model: Model) -> dict[str, Any]:
    asked = profile.semantic
    sizes, training = asdict(asked.network(model.kind, profile.preset)), asdict(asked.recipe(model.kind))
    seen = {"part": asked.part, "part_seed": model.seed} if is_part(model.kind) else {"part": 1.0, "part_seed": 0}
    common = {**half.corpus, "precision": profile.precision}
    return {**common, "model": sizes, "training": training, "seed": model.seed, **seen}


def _looked_at(asked: SemanticProfile) -> Update:
    """The update of Tables 5 and 6 and of Figures 2 and 3."""
    return asked.parsed_updates()[-1]


def _growing_members(asked: SemanticProfile) -> list[Model]:
    most = max(asked.ensemble_sizes, default=0)
    return [Model(_looked_at(asked).new, seed) for seed in asked.growing_seeds[:most]]


def _growing(asked: SemanticProfile) -> list[dict[str, Any]]:
    """Ensembles each with the members of the one before it and more (Figure 3)."""
    members, sizes = _growing_members(asked), sorted(set(asked.ensemble_sizes))
    return [ensemble("growing ensemble", size, members[:size]) for size in sizes]


def _dev_candidates(asked: SemanticProfile, half: Half, model: Model) -> Job:
    """Samples by the rates among which one is chosen, and what is joined with them."""
    return half.candidates("candidates dev", model, {"strategies": [*_listed(model), *_dropout_grid(asked)]})


def _listed(model: Model) -> list[str]:
    """The list of best frames, behind the 1-best: the greedy frame need not be in a beam's list."""
    return [ONE_BEST, LISTED[model.kind]]


def _test_candidates(asked: SemanticProfile, half: Half, model: Model) -> Job:
    """What the paper compares, and more candidates where its curve goes on."""
    strategies: dict[str, Any] = {"strategies": _listed(model), "dropout": "chosen"}
    if model.kind == _looked_at(asked).new and asked.more_candidates:
        strategies["more_candidates"] = asked.more_candidates
    return half.candidates("candidates test", model, strategies)


def _sweep(asked: SemanticProfile, half: Half, model: Model) -> Job:
    """All other strategies, for the comparison among them (Table 5)."""
    grid = [str(parse_strategy(text)) for text in asked.sampling_grid]
    names = [name for name in dict.fromkeys([*grid, *_dropout_grid(asked)]) if name != LISTED[model.kind]]
    old = [Model(_looked_at(asked).old, seed) for seed in asked.old_seeds]
    return half.candidates("sweep test", model, {"strategies": names, "dropout": "others"}, old=old)


def _speed(profile: Profile, half: Half) -> Job:
    """Of one new parser of each kind."""
    jobs = {model.kind: model.job for model in reversed(half.new())}
    return half.speed(jobs, {"precision": profile.precision, **plain(asdict(profile.speed))})


def _dropout_grid(asked: SemanticProfile) -> list[str]:
    return [str(DropoutP(p)) for p in asked.dropout_grid]
