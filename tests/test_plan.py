"""The jobs planned from a profile: who is trained, who proposes, who scores."""

from dataclasses import replace

import pytest

from bcrlib.parsers.configuration import NetworkConfig, TrainingConfig
from bcrlib.pipeline.jobs import Job, in_running_order
from bcrlib.pipeline.plan import plan
from bcrlib.pipeline.profile import PROFILE_FOLDER, Profile, load_profile
from bcrlib.pipeline.run import plan_graph

PROFILES = sorted(path.stem for path in PROFILE_FOLDER.glob("*.yaml"))
NOTEBOOKS = PROFILE_FOLDER.parent

TINY = Profile(
    name="tiny",
    corpus="demo",
    old_seeds=(11, 12),
    new_seeds=(1, 2),
    ensembles=((1, 2), (3, 4)),
    dropout_grid=(0.1, 0.2),
    sampling_grid=("top-k(k=5)", "beam(b=10)", "nucleus(p=0.90)"),
)
ONLY_DEEPBIAF = replace(TINY, updates=("deepbiaf=>deepbiaf",))
STATIC = replace(TINY, updates=("deepbiaf-static=>deepbiaf", "deepbiaf=>deepbiaf"), static_vectors="few")
ONLY_ACROSS = replace(TINY, updates=("deepbiaf=>stackptr",))


def jobs_of(profile: Profile) -> dict[str, Job]:
    return {job.name: job for job in in_running_order(plan(profile))}


def names(profile: Profile, start: str) -> list[str]:
    return sorted(name.removeprefix(start) for name in jobs_of(profile) if name.startswith(start))


@pytest.mark.parametrize("name", PROFILES)
def test_every_profile_makes_a_graph_whose_parameters_the_notebooks_know(name, tmp_path):
    planned = plan_graph(plan(load_profile(name)), NOTEBOOKS, tmp_path)
    assert len({job.fingerprint for job in planned}) == len(planned)


def test_every_model_is_trained_once():
    seeds = ["1", "11", "12", "2", "3", "4"]
    assert names(TINY, "train ") == [f"{kind} {seed}" for kind in ("deepbiaf", "stackptr") for seed in seeds]
    assert names(ONLY_DEEPBIAF, "train ") == [f"deepbiaf {seed}" for seed in seeds]


def test_an_update_across_kinds_needs_old_models_of_the_one_and_new_ones_of_the_other():
    assert names(ONLY_ACROSS, "train deepbiaf ") == ["11", "12"]
    assert names(ONLY_ACROSS, "train stackptr ") == ["1", "2", "3", "4"]
    assert jobs_of(ONLY_ACROSS)["speed"].params["models"] == {
        "deepbiaf": "train deepbiaf 11",
        "stackptr": "train stackptr 1",
    }


def test_every_old_model_teaches_a_student_for_each_update():
    jobs = jobs_of(TINY)
    assert len(names(TINY, "distil ")) == 6
    student = jobs["distil stackptr by deepbiaf 11"]
    assert student.needs == ("train deepbiaf 11",)
    assert (student.params["teacher"], student.params["seed"]) == ("train deepbiaf 11", 1)
    assert student.params["model"]["kind"] == "stackptr"


def test_few_students_of_stackptr_leave_those_of_deepbiaf_alone():
    few = replace(TINY, stackptr_students=1)
    expected = [
        "deepbiaf by deepbiaf 11",
        "deepbiaf by deepbiaf 12",
        "stackptr by deepbiaf 11",
        "stackptr by stackptr 11",
    ]
    assert names(few, "distil ") == expected
    systems = jobs_of(few)["predict test"].params["systems"]
    taught = [(s["model"], s["teacher"]) for s in systems if s["method"] == "distillation"]
    assert sorted(taught) == [
        ("deepbiaf", "deepbiaf/11"),
        ("deepbiaf", "deepbiaf/12"),
        ("stackptr", "deepbiaf/11"),
        ("stackptr", "stackptr/11"),
    ]


def test_a_student_of_seed_1_is_trained_like_the_new_model_of_seed_1():
    jobs = jobs_of(TINY)
    params = dict(jobs["distil stackptr by deepbiaf 11"].params)
    del params["teacher"]
    assert params == jobs["train stackptr 1"].params


def test_training_parameters_are_those_of_the_kind():
    profile = replace(TINY, training=TrainingConfig(num_epochs=3), stackptr_training=TrainingConfig(num_epochs=5))
    jobs = jobs_of(profile)
    assert jobs["train deepbiaf 1"].params["training"]["num_epochs"] == 3
    assert jobs["train stackptr 1"].params["training"]["num_epochs"] == 5
    assert NetworkConfig(**jobs["train stackptr 1"].params["model"]) == profile.network("stackptr")
    assert NetworkConfig(**jobs["train deepbiaf 1"].params["model"]) == profile.network("deepbiaf")


def test_static_deepbiafs_are_old_models_that_teach_and_score():
    jobs = jobs_of(STATIC)
    assert names(STATIC, "train deepbiaf-static ") == ["11", "12"]
    assert names(STATIC, "train deepbiaf ") == ["1", "11", "12", "2", "3", "4"]
    static, other = (jobs[f"train {kind} 11"].params["model"] for kind in ("deepbiaf-static", "deepbiaf"))
    assert static == other | {"vectors": "few"} and static["kind"] == "deepbiaf"
    student = jobs["distil deepbiaf by deepbiaf-static 12"].params
    assert student["teacher"] == "train deepbiaf-static 12" and student["model"] == other
    old = [f"{kind}/{seed}" for kind in ("deepbiaf-static", "deepbiaf") for seed in (11, 12)]
    for stage in ("dev", "test"):
        assert jobs[f"candidates {stage} deepbiaf 2"].params["old_models"] == old
    assert names(STATIC, "candidates test ") == ["deepbiaf 1", "deepbiaf 2"]
    assert jobs["breakdowns"].params["updates"] == [*STATIC.updates]


def test_the_profile_small_updates_static_vectors_to_contextual_ones():
    jobs = jobs_of(load_profile("small"))
    trained = [name for name in jobs if name.startswith("train deepbiaf-static")]
    assert trained == [f"train deepbiaf-static {seed}" for seed in (123, 456, 789)]
    assert {jobs[name].params["model"]["vectors"] for name in trained} == {"minilm"}
    others = [job for name, job in jobs.items() if name.startswith(("train deepbiaf ", "train stackptr ", "distil d"))]
    assert {job.params["model"]["vectors"] for job in others} == {"mpnet-context"}
    assert {f"distil deepbiaf by {name.removeprefix('train ')}" for name in trained} <= set(jobs)
    assert not any(name.startswith("distil stackptr by deepbiaf-static") for name in jobs)
    for seed in (1, 2, 3):
        scorers = jobs[f"candidates test deepbiaf {seed}"].params["old_models"]
        assert {f"deepbiaf-static/{old}" for old in (123, 456, 789)} < set(scorers)


def test_sizes_of_the_decoder_do_not_retrain_deepbiaf():
    wider = replace(TINY, model=replace(TINY.model, decoder_size=99, beam_width=3), stackptr_training=TrainingConfig(7))
    before, after = jobs_of(TINY), jobs_of(wider)
    changed = {name for name in before if before[name].params != after[name].params and name.startswith("train")}
    assert changed == {name for name in before if name.startswith("train stackptr")}


def test_the_rate_of_dropout_is_chosen_before_test():
    jobs = jobs_of(TINY)
    needs = set(jobs["choose dropout"].needs)
    seeds = {f"{kind} {seed}" for kind in ("deepbiaf", "stackptr") for seed in (1, 2)}
    assert needs == {"predict dev"} | {f"candidates dev {model}" for model in seeds}
    assert all(job.params["split"] == "dev" for job in map(jobs.get, needs))
    for stage in ("candidates test", "sweep test"):
        assert all("choose dropout" in jobs[f"{stage} {name}"].needs for name in names(TINY, f"{stage} "))


def test_dev_pools_hold_the_list_and_the_grid_and_are_scored_by_every_model_that_may_be_replaced():
    job = jobs_of(TINY)["candidates dev stackptr 2"]
    assert job.params["strategies"] == ["beam(b=10)", "dropout-p(p=0.1)", "dropout-p(p=0.2)"]
    assert job.params["old_models"] == ["deepbiaf/11", "deepbiaf/12", "stackptr/11", "stackptr/12"]
    assert (job.params["peers"], job.params["split"]) == ([], "dev")
    assert jobs_of(TINY)["candidates dev deepbiaf 2"].params["old_models"] == ["deepbiaf/11", "deepbiaf/12"]


def test_the_main_candidates_on_test_are_scored_by_peers_too():
    job = jobs_of(TINY)["candidates test stackptr 2"]
    assert (job.params["strategies"], job.params["dropout"]) == (["beam(b=10)"], "chosen")
    assert job.params["peers"] == ["stackptr/1"]
    scorers = [job.params["new_model"], *job.params["old_models"], *job.params["peers"]]
    assert job.needs == (*(f"train {name.replace('/', ' ')}" for name in scorers), "choose dropout")
    assert jobs_of(TINY)["candidates test deepbiaf 1"].params["strategies"] == ["k-best(labelled)", "k-best"]


def test_the_1_best_is_kept_where_the_list_does_not_begin_with_it():
    jobs = jobs_of(replace(TINY, model=replace(TINY.model, beam_width=4)))
    for split in ("dev", "test"):
        assert jobs[f"candidates {split} stackptr 1"].params["strategies"][:2] == ["1-best", "beam(b=10)"]
        assert jobs[f"candidates {split} deepbiaf 1"].params["strategies"][0] == "k-best(labelled)"


def test_the_sweep_takes_what_the_main_candidates_leave():
    job = jobs_of(TINY)["sweep test stackptr 1"]
    assert job.params["strategies"] == ["top-k(k=5)", "nucleus(p=0.9)", "dropout-p(p=0.1)", "dropout-p(p=0.2)"]
    assert (job.params["dropout"], job.params["peers"]) == ("others", [])
    assert names(TINY, "sweep test ") == ["stackptr 1", "stackptr 2"]
    assert names(ONLY_DEEPBIAF, "sweep ") == []


def test_predict_names_every_system_once():
    systems = jobs_of(TINY)["predict test"].params["systems"]
    counts = {m: sum(system["method"] == m for system in systems) for m in ("old", "new", "distillation", "ensemble")}
    assert counts == {"old": 4, "new": 4, "distillation": 6, "ensemble": 4}
    assert {"method": "ensemble", "model": "stackptr", "seed": 2, "teacher": None, "members": [3, 4],
            "jobs": ["train stackptr 3", "train stackptr 4"]} in systems  # fmt: skip
    assert {"method": "distillation", "model": "stackptr", "seed": 1, "teacher": "deepbiaf/12", "members": [],
            "jobs": ["distil stackptr by deepbiaf 12"]} in systems  # fmt: skip
    assert {system["method"] for system in jobs_of(TINY)["predict dev"].params["systems"]} == {"old", "new"}


def test_breakdowns_read_the_trees_of_test():
    job = jobs_of(TINY)["breakdowns"]
    kinds = ("deepbiaf", "stackptr")
    assert job.needs == (
        "predict test",
        *(f"candidates test {kind} {seed}" for kind in kinds for seed in (1, 2)),
        "choose dropout",
    )
    assert job.params["updates"] == ["deepbiaf=>deepbiaf", "stackptr=>stackptr", "deepbiaf=>stackptr"]
    assert (job.params["old_seeds"], job.params["new_seeds"]) == ([11, 12], [1, 2])


def test_what_is_measured_runs_after_everything_that_could_disturb_it():
    jobs = jobs_of(TINY)
    story = [name for name in jobs if name[:2].isdigit()]
    assert "collect" in jobs["speed"].needs
    assert story and all("speed" in jobs[name].needs for name in story)
    assert set(jobs["collect"].needs) == set(jobs) - {"collect", "speed", *story}


def test_the_manifest_keeps_what_was_asked_for():
    asked = jobs_of(TINY)["collect"].params["profile"]
    assert asked["updates"] == ["deepbiaf=>deepbiaf", "stackptr=>stackptr", "deepbiaf=>stackptr"]
    assert asked["ensembles"] == [[1, 2], [3, 4]]
    assert asked["training"]["num_epochs"] == TrainingConfig().num_epochs


def test_a_story_of_new_pointer_parsers_is_told_where_there_are_some():
    assert "07_candidate_sources" not in jobs_of(ONLY_DEEPBIAF)
    assert "07_candidate_sources" in jobs_of(ONLY_ACROSS)
    assert "05_reranking" in jobs_of(ONLY_DEEPBIAF)


def test_the_manifest_is_told_of_the_seeds_that_no_profile_sets():
    params = jobs_of(TINY)["collect"].params
    assert params["fixed_seeds"] == {"students": 1, "sampling": 1, "share of dev": 0}
    assert jobs_of(TINY)["distil stackptr by deepbiaf 11"].params["seed"] == params["fixed_seeds"]["students"]
    assert jobs_of(TINY)["sweep test stackptr 1"].params["sampling_seed"] == params["fixed_seeds"]["sampling"]
