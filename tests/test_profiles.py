"""Profiles: the YAML files in the repository, overrides, refusals; and the jobs planned from them."""

import dataclasses
from pathlib import Path

import pytest

from bcrlib.models.deepbiaf import DeepBiafConfig
from bcrlib.models.training import TrainingConfig
from bcrlib.pipeline.jobs import in_running_order
from bcrlib.pipeline.plan import plan
from bcrlib.pipeline.profiles import PROFILE_FOLDER, ModelSizes, Profile, Recipe, load_profile
from bcrlib.pipeline.schedule import plan_graph

PROFILES = sorted(path.stem for path in PROFILE_FOLDER.glob("*.yaml"))
NOTEBOOKS = PROFILE_FOLDER.parent


def test_the_three_profiles_are_there():
    assert PROFILES == ["demo", "paper", "small"]


@pytest.mark.parametrize("name", PROFILES)
def test_a_profile_starts_with_the_command_that_runs_it(name):
    command = "make reproduce" if name == "demo" else f"make reproduce PROFILE={name}"
    first = (PROFILE_FOLDER / f"{name}.yaml").read_text().splitlines()[0]
    assert first.split("(")[0].strip("# ") == command


@pytest.mark.parametrize("name", PROFILES)
def test_every_profile_makes_a_graph_whose_parameters_the_notebooks_know(name, tmp_path):
    planned = plan_graph(plan(load_profile(name)), NOTEBOOKS, tmp_path)
    assert len({job.fingerprint for job in planned}) == len(planned)


@pytest.mark.parametrize("name", PROFILES)
def test_ensembles_are_disjoint_from_the_old_models(name):
    profile = load_profile(name)
    assert not {seed for group in profile.ensembles for seed in group} & set(profile.old_seeds)


def test_the_paper_profile_has_the_paper_s_seeds_and_sizes():
    profile = load_profile("paper")
    assert profile.old_seeds == (123, 456, 789, 555, 666)
    assert profile.new_seeds == (1, 2, 3, 4, 5)
    assert {len(group) for group in profile.ensembles} == {5}
    sizes = profile.model
    assert (sizes.word_size, sizes.char_size, sizes.upos_size) == (100, 100, 100)
    assert (sizes.hidden_size, sizes.num_layers, sizes.arc_size, sizes.label_size) == (512, 3, 512, 128)


@pytest.mark.parametrize(("ours", "theirs"), [(ModelSizes, DeepBiafConfig), (Recipe, TrainingConfig)])
def test_a_profile_s_fields_are_those_of_the_model_and_the_recipe(ours, theirs):
    # The profile must not import torch, so it has classes of its own; this keeps them in step.
    known = {field.name: field.default for field in dataclasses.fields(theirs)}
    assert {field.name: field.default for field in dataclasses.fields(ours)}.items() <= known.items()
    assert known.keys() - {field.name for field in dataclasses.fields(ours)} <= {"preset"}


def test_overrides_reach_nested_fields():
    profile = load_profile("demo", ("training.num_epochs=3", "old_seeds=[7]", "training.learning_rate=1e-3"))
    assert (profile.training.num_epochs, profile.old_seeds, profile.training.learning_rate) == (3, (7,), 1e-3)


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("training.num_epoch=3", "did you mean training.num_epochs"),
        ("colour=red", "unknown field colour"),
        ("num_candidates=many", "must be int"),
        ("num_candidates", "NAME=VALUE"),
    ],
)
def test_a_bad_override_is_refused(override, words):
    with pytest.raises(ValueError, match=words):
        load_profile("demo", (override,))


def test_an_unknown_profile_is_refused():
    with pytest.raises(ValueError, match="choose one of demo"):
        load_profile("tiny")


def tiny() -> Profile:
    return Profile("tiny", "demo", (11, 12), (1, 2), ((1, 2), (3, 4)), (0.1, 0.2))


def test_the_plan_trains_every_model_once():
    trained = [job for job in plan(tiny()) if job.name.startswith("train")]
    assert sorted(job.params["seed"] for job in trained) == [1, 2, 3, 4, 11, 12]


def test_a_student_needs_its_teacher_and_the_rate_is_chosen_before_test():
    jobs = {job.name: job for job in in_running_order(plan(tiny()))}
    assert jobs["distil deepbiaf 11"].needs == ("train deepbiaf 11",)
    assert jobs["distil deepbiaf 11"].params["teacher"] == "train deepbiaf 11"
    assert "choose dropout" in jobs["candidates test 1"].needs
    assert not any("test" in need for need in jobs["choose dropout"].needs)


def test_the_authors_recipe_is_theirs():
    from bcrlib.models.training import AUTHORS_RECIPE as recipe

    assert (recipe.num_epochs, recipe.batch_tokens, recipe.learning_rate, recipe.warmup_steps) == (400, 0, 1e-3, 40)
    assert (recipe.beta1, recipe.beta2, recipe.epsilon, recipe.decay) == (0.9, 0.9, 1e-4, 0.999995)
    assert (recipe.clip, recipe.weight_decay, recipe.reset_after) == (5.0, 0.0, 20)


def test_profiles_point_at_files_of_the_repository():
    assert Path(NOTEBOOKS, "pipeline", "train.ipynb").is_file()
