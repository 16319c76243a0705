"""From a profile to the jobs of dependency parsing.

train ──> predict (1-best of every system) ───────────────────────────────┬──> breakdowns ──┐
  ├────> distil (students of the old models) ──> predict                  │                 ├──> collect ──> speed
  └────> candidates on dev ──> choose rate, weight ──> candidates, sweep ─┴─────────────────┘

New models propose candidates; the old ones that they replace, and the other new ones of their kind, score them.
"""

from dataclasses import asdict
from typing import Any

from bcrlib.experiments.counting import ONE_BEST
from bcrlib.pipeline.half import Half, Model, plain
from bcrlib.pipeline.jobs import Job
from bcrlib.pipeline.profile import Profile
from bcrlib.samplers.strategies import Beam, DropoutP, parse_strategy
from bcrlib.tasks.names import AUTHORS_LISTS, TASKS

LISTED = TASKS["dependency"].listed
# Not among the parameters of a deepbiaf's training: changing them must not train it anew.
_ONLY_STACKPTR = ("decoder_input_size", "decoder_size", "beam_width")


def plan_dependency(profile: Profile) -> list[Job]:
    """All jobs but those of the story. O(updates seeds)."""
    half = half_of(profile)
    training = [half.train(model, _training(profile, half, model)) for model in half.trained()]
    students = [half.distil(lesson, _training(profile, half, lesson.student)) for lesson in half.lessons()]
    dev = [half.predict("dev", half.singles())]
    dev += [_dev_candidates(profile, half, model) for model in half.new()]
    test = [half.predict("test", [*half.singles(), *half.students(), *half.ensembles()])]
    test += [_test_candidates(profile, half, model) for model in half.new()]
    test += [_sweep(profile, half, model) for model in half.new() if model.kind == "stackptr"]
    choice = half.choose_dropout(profile.preset, dev)
    work = [*training, *students, *dev, choice, *test, _breakdowns(profile, half)]
    own = ("semantic", "speed", "workers", "ablation")
    asked_for = {name: value for name, value in asdict(profile).items() if name not in own}
    return [*work, half.collect(plain(asked_for), work), _speed(profile, half)]


def half_of(profile: Profile) -> Half:
    """The models in the updates of this half."""
    return Half(
        task="dependency",
        updates=profile.parsed_updates(),
        notebook="pipeline/train.ipynb",
        old_seeds=profile.old_seeds,
        new_seeds=profile.new_seeds,
        groups_of_seeds=profile.ensembles,
        corpus={"corpus": profile.corpus, "ambiguity": profile.ambiguity},
        num_candidates=profile.num_candidates,
        dev_share=profile.dev_share,
        most_students={"stackptr": profile.stackptr_students},
    )


def _training(profile: Profile, half: Half, model: Model) -> dict[str, Any]:
    sizes, training = asdict(profile.network(model.kind)), asdict(profile.recipe(model.kind))
    if model.kind != "stackptr":
        sizes = {name: value for name, value in sizes.items() if name not in _ONLY_STACKPTR}
    common = {**half.corpus, "precision": profile.precision}
    return {**common, "model": sizes, "training": training, "seed": model.seed}


def _dev_candidates(profile: Profile, half: Half, model: Model) -> Job:
    """Samples by the rates among which one is chosen, and what is joined with them."""
    return half.candidates("candidates dev", model, {"strategies": [*_listed(profile, model), *_dropout_grid(profile)]})


def _listed(profile: Profile, model: Model) -> list[str]:
    """The list of best trees, behind the 1-best where it does not begin with it."""
    listed = LISTED[model.kind]
    begins = model.kind != "stackptr" or parse_strategy(listed) == Beam(profile.model.beam_width)
    return [listed] if begins else [ONE_BEST, listed]


def _test_candidates(profile: Profile, half: Half, model: Model) -> Job:
    """What the paper compares, scored also by the other new models: one may come to replace the other.

    Beside a list that the authors do not have the one that they have: tables of sources show both.
    """
    peers = [new for new in half.new() if new.kind == model.kind and new != model]
    lists = _listed(profile, model)
    theirs = [AUTHORS_LISTS[name] for name in lists if name in AUTHORS_LISTS]
    strategies = {"strategies": [*lists, *theirs], "dropout": "chosen"}
    return half.candidates("candidates test", model, strategies, peers)


def _sweep(profile: Profile, half: Half, model: Model) -> Job:
    """All other strategies, for the comparison among them."""
    grid = [str(parse_strategy(text)) for text in profile.sampling_grid]
    names = [name for name in dict.fromkeys([*grid, *_dropout_grid(profile)]) if name != LISTED[model.kind]]
    return half.candidates("sweep test", model, {"strategies": names, "dropout": "others"})


def _dropout_grid(profile: Profile) -> list[str]:
    return [str(DropoutP(p)) for p in profile.dropout_grid]


def _breakdowns(profile: Profile, half: Half) -> Job:
    """Needs the trees themselves; their counts alone go further."""
    updates = [*map(str, half.updates)]
    seeds = {"old_seeds": [*profile.old_seeds], "new_seeds": [*profile.new_seeds]}
    candidates = [f"candidates test {model.kind} {model.seed}" for model in half.new()]
    needs = ("predict test", *candidates, "choose dropout")
    return Job("breakdowns", "pipeline/breakdowns.ipynb", {**half.corpus, "updates": updates, **seeds}, needs)


def _speed(profile: Profile, half: Half) -> Job:
    """Of one parser of each kind, a new one where there is one."""
    first = {model.kind: model.job for model in reversed([*half.new(), *half.old()])}
    jobs = {kind: first[kind] for kind in LISTED if kind in first}
    return half.speed(jobs, {"precision": profile.precision, **plain(asdict(profile.speed))})
