"""The jobs planned from a profile: who is trained, who proposes, who scores, of both tasks."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from bcrlib.parsers.configuration import NetworkConfig, TrainingConfig
from bcrlib.pipeline.jobs import PACKAGE_FOLDER, Job, code_of, in_running_order, read_notebook
from bcrlib.pipeline.plan import plan
from bcrlib.pipeline.profile import PROFILE_FOLDER, Profile, SemanticProfile, load_profile
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


def test_an_update_across_kinds_needs_old_models_of_the_one_and_new_ones_of_the_other():
    assert names(ONLY_ACROSS, "train deepbiaf ") == ["11", "12"]
    assert names(ONLY_ACROSS, "train stackptr ") == ["1", "2", "3", "4"]
    assert jobs_of(ONLY_ACROSS)["speed"].params["models"] == {
        "deepbiaf": "train deepbiaf 11",
        "stackptr": "train stackptr 1",
    }


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


def test_the_manifest_is_told_of_the_seeds_that_no_profile_sets():
    params = jobs_of(TINY)["collect"].params
    assert params["fixed_seeds"] == {"students": 1, "sampling": 1, "share of dev": 0}
    assert jobs_of(TINY)["distil stackptr by deepbiaf 11"].params["seed"] == params["fixed_seeds"]["students"]
    assert jobs_of(TINY)["sweep test stackptr 1"].params["sampling_seed"] == params["fixed_seeds"]["sampling"]


PART, LARGE_PART, SIZE = "s2s-base-part=>s2s-base", "s2s-large-part=>s2s-large", "s2s-base=>s2s-large"
SEMANTIC = SemanticProfile(
    updates=(PART, LARGE_PART, SIZE),
    old_seeds=(11, 12),
    new_seeds=(1, 2),
    ensembles=((1, 2), (3, 4)),
    ensemble_sizes=(1, 3, 5),
    further_seeds=(5, 6),
    dropout_grid=(0.1, 0.3),
    sampling_grid=("top-k(k=5)", "beam(b=10)", "beam(b=4)"),
    more_candidates=20,
    part=0.7,
)
BOTH = replace(TINY, semantic=SEMANTIC)
FRAMES = replace(BOTH, updates=())
COLLECTED_OF_BOTH = ("collect", "speed", "collect frames", "speed frames")
ONLY_PART = replace(FRAMES, semantic=replace(SEMANTIC, updates=(PART,)))


def trained(profile) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for kind, seed in (name.split() for name in names(profile, "train ")):
        found.setdefault(kind, []).append(int(seed))
    return {kind: sorted(seeds) for kind, seeds in found.items()}


def test_who_is_trained():
    old, new = [11, 12], [1, 2, 3, 4]
    assert trained(FRAMES) == {
        "s2s-base-part": old,
        "s2s-base": sorted([*old, *new]),  # it replaces its part model and is replaced
        "s2s-large-part": old,
        "s2s-large": [*new, 5],  # a member of the largest growing ensemble too; seed 6 is in none
    }
    assert trained(ONLY_PART) == {"s2s-base-part": old, "s2s-base": [*new, 5]}


def test_part_models_see_a_part_of_their_own_with_the_sizes_of_the_whole():
    jobs = jobs_of(FRAMES)
    part, whole = jobs["train s2s-large-part 12"].params, jobs["train s2s-large 1"].params
    assert (part["part"], part["part_seed"], part["seed"]) == (0.7, 12, 12)
    assert part["model"] == whole["model"] != jobs["train s2s-base 1"].params["model"]
    for params in (whole, jobs["train s2s-base 11"].params):
        assert (params["part"], params["part_seed"]) == (1.0, 0)
    assert all(jobs[f"train {name}"].notebook == "pipeline/train_frames.ipynb" for name in names(FRAMES, "train "))


def test_sizes_recipe_and_preset_come_from_the_profile():
    tuned = replace(SEMANTIC, base=replace(SEMANTIC.base, encoder_layers=3))
    tuned = replace(tuned, large_training=replace(tuned.large_training, num_epochs=77))
    jobs = jobs_of(replace(FRAMES, semantic=tuned, preset="official"))
    base, large = jobs["train s2s-base-part 11"].params, jobs["train s2s-large 2"].params
    assert (base["model"]["encoder_layers"], base["model"]["preset"]) == (3, "official")
    assert (large["model"]["encoder_layers"], large["training"]["num_epochs"]) == (0, 77)


def test_students_are_those_of_the_three_updates():
    kinds = ["s2s-base by s2s-base-part", "s2s-large by s2s-base", "s2s-large by s2s-large-part"]
    assert names(FRAMES, "distil ") == [f"{kind} {seed}" for kind in kinds for seed in (11, 12)]
    few = replace(FRAMES, semantic=replace(SEMANTIC, students=1))
    assert names(few, "distil ") == [f"{kind} 11" for kind in kinds]
    student = jobs_of(FRAMES)["distil s2s-large by s2s-base 12"]
    assert student.needs == ("train s2s-base 12",)
    params = dict(student.params)
    assert params.pop("teacher") == "train s2s-base 12"
    assert params == jobs_of(FRAMES)["train s2s-large 1"].params


def test_candidates_are_scored_by_whom_they_may_replace():
    jobs = jobs_of(FRAMES)
    base, large = (jobs[f"candidates frames test {kind} 1"] for kind in ("s2s-base", "s2s-large"))
    assert base.params["old_models"] == ["s2s-base-part/11", "s2s-base-part/12"]
    assert set(large.params["old_models"]) == {f"{k}/{s}" for k in ("s2s-base", "s2s-large-part") for s in (11, 12)}
    assert (base.params["strategies"], base.params["dropout"]) == (["1-best", "beam(b=10)"], "chosen")
    assert base.needs[-1] == "choose frames dropout"
    assert (base.params["task"], base.modules) == ("semantic", ("bcrlib.tasks.semantic", "bcrlib.parsers.s2s"))
    on_dev = ["1-best", "beam(b=10)", "dropout-p(p=0.1)", "dropout-p(p=0.3)"]
    assert jobs["candidates frames dev s2s-base 2"].params["strategies"] == on_dev


def test_the_last_update_alone_is_swept_and_has_more_candidates_and_growing_ensembles():
    jobs = jobs_of(FRAMES)
    assert names(FRAMES, "sweep frames test ") == ["s2s-large 1", "s2s-large 2"]
    sweep = jobs["sweep frames test s2s-large 1"].params
    assert sweep["strategies"] == ["top-k(k=5)", "beam(b=4)", "dropout-p(p=0.1)", "dropout-p(p=0.3)"]
    assert sweep["old_models"] == ["s2s-base/11", "s2s-base/12"]
    more = {
        name: job.params.get("more_candidates") for name, job in jobs.items() if name.startswith("candidates frames")
    }
    assert {name for name, number in more.items() if number} == {
        f"candidates frames test s2s-large {n}" for n in (1, 2)
    }
    systems = jobs["predict frames test"].params["systems"]
    growing = [(s["model"], s["seed"], s["members"]) for s in systems if s["method"] == "growing ensemble"]
    assert growing == [("s2s-large", 1, [1]), ("s2s-large", 3, [1, 2, 3]), ("s2s-large", 5, [1, 2, 3, 4, 5])]


def test_the_manifest_has_what_signatures_and_stories_ask_for():
    collect = jobs_of(FRAMES)["collect frames"]
    asked = collect.params["profile"]
    assert collect.params["task"] == "semantic"
    assert (asked["name"], asked["preset"], asked["corpus"]) == ("tiny", "clean", "demo")
    assert (asked["old_seeds"], asked["updates"]) == ([11, 12], [PART, LARGE_PART, SIZE])
    assert asked["base"]["decoder_layers"] == SEMANTIC.base.decoder_layers
    assert "semantic" not in jobs_of(BOTH)["collect"].params["profile"]


def test_one_half_does_not_touch_the_jobs_of_the_other():
    both, frames, trees = jobs_of(BOTH), jobs_of(FRAMES), jobs_of(TINY)
    whichever = {jobs.pop("13_what_it_costs").needs for jobs in (trees, frames, both)}
    assert whichever == {("collect", "speed"), ("collect frames", "speed frames"), COLLECTED_OF_BOTH}
    told = {name for name in both if name[:2].isdigit()} - {*frames, *trees}
    assert set(both) - told == set(frames) | set(trees) and not set(frames) & set(trees)
    for name, job in {**frames, **trees}.items():
        assert replace(both[name], after=()) == job, name
    assert told == {"11_regression_in_frames"}  # of both
    assert {"collect", "collect frames"} <= {*both["11_regression_in_frames"].needs}


def test_speed_is_measured_of_a_new_parser_of_each_kind():
    job = jobs_of(FRAMES)["speed frames"]
    assert job.params["models"] == {kind: f"train {kind} 1" for kind in ("s2s-base", "s2s-large")}
    assert job.needs == ("train s2s-large 1", "train s2s-base 1", "collect frames")
    assert (job.params["sentences"], job.params["batch_sizes"]) == (FRAMES.speed.sentences, [32, 128, 512])
    assert set(jobs_of(ONLY_PART)["speed frames"].params["models"]) == {"s2s-base"}


def test_nothing_runs_beside_a_measurement_of_speed():
    """Each of the two is after, or before, every other job."""
    jobs = jobs_of(BOTH)

    def before(name: str) -> set[str]:
        near = {*jobs[name].needs, *jobs[name].after}
        return near.union(*map(before, near))

    for speed in ("speed", "speed frames"):
        assert all(speed in before(name) or name in before(speed) for name in jobs if name != speed)
    assert jobs_of(TINY)["speed"].after == jobs_of(FRAMES)["speed frames"].after == ()


def codes(package: Path) -> dict[str, str]:
    """Job -> hash of its code, of all that are no story."""
    jobs = [job for job in plan(BOTH) if not job.name[:2].isdigit()]
    keys = {(job.notebook, job.modules) for job in jobs}
    found = {key: code_of(read_notebook(NOTEBOOKS, key[0]), *key, package).fingerprint for key in keys}
    return {job.name: found[job.notebook, job.modules] for job in jobs}


@pytest.mark.parametrize(
    ("task", "module"),
    [
        *(("semantic", name) for name in ("tasks/semantic.py", "data/frame_candidates.py", "parsers/s2s.py")),
        *(("dependency", name) for name in ("tasks/dependency.py", "parsers/stackptr.py", "parsers/tree_parser.py")),
    ],
)
def test_a_module_of_one_task_makes_no_job_of_the_other_stale(package, task, module):
    """The notebooks that serve both tasks import a module by its computed name; speed is measured by the same code."""
    folder, before = package
    source = (folder / module).read_text()
    (folder / module).write_text(f"{source}\nFURTHER = 1\n")
    stale = {name for name, code in codes(folder).items() if code != before[name]} - {"speed", "speed frames"}
    (folder / module).write_text(source)
    semantic = set(jobs_of(FRAMES))
    assert stale and stale <= (semantic if task == "semantic" else set(before) - semantic)
    parsing = {"predict frames test"} if task == "semantic" else {"predict test"}
    assert parsing <= stale


@pytest.fixture(scope="module")
def package(tmp_path_factory) -> tuple[Path, dict[str, str]]:
    """A copy of the package to be edited, and the hashes before."""
    folder = tmp_path_factory.mktemp("copy") / "bcrlib"
    shutil.copytree(PACKAGE_FOLDER, folder, ignore=shutil.ignore_patterns("__pycache__"))
    return folder, codes(folder)


def test_a_choice_is_made_on_a_share_of_dev_and_nothing_else_is():
    semantic = replace(FRAMES.semantic, dev_share=0.5)
    jobs = jobs_of(replace(BOTH, precision="bfloat16", dev_share=0.5, semantic=semantic))
    parsing = {name: job.params for name, job in jobs.items() if "share" in job.params}
    on_share = {name for name, params in parsing.items() if params["share"] == 0.5}
    assert on_share == {name for name in parsing if "dev" in name.split()[1:3]} and len(on_share) > 6
    by_task = {params.get("task"): params["precision"] for params in parsing.values()}
    assert by_task == {None: "float32", "semantic": "bfloat16"}  # trees are decoded exactly


def test_few_students_of_stackptr_leave_those_of_deepbiaf_alone():
    of_deepbiaf, of_stackptr = ["deepbiaf 11", "deepbiaf 12"], ["deepbiaf 11", "stackptr 11"]
    expected = [f"deepbiaf by {teacher}" for teacher in of_deepbiaf] + [f"stackptr by {t}" for t in of_stackptr]
    assert names(replace(TINY, stackptr_students=1), "distil ") == expected
