"""Where story notebooks read and write, and what a run of one half leaves of the other."""

import json
from pathlib import Path

import pytest

from bcrlib.pipeline import reproduce as pipeline
from bcrlib.pipeline.plan import COLLECTED, plan
from bcrlib.pipeline.profile import load_profile
from bcrlib.report.publisher import ROOT, places, tasks_measured

TASKS = ("dependency", "semantic")


@pytest.mark.parametrize("task", TASKS)
def test_by_hand_each_task_has_its_folder_and_both_share_the_figures(task):
    here = places("small", {}, "", task)
    assert here.correctness == ROOT / "data" / "correctness" / "small" / task
    assert (here.figures, here.speed) == (ROOT / "figures" / "small", here.correctness / "speed.json")


def test_what_is_kept_is_where_it_is_looked_for():
    for profile in ("demo", "small"):
        here = places(profile, {}, "")
        assert (here.correctness / "manifest.json").is_file() and here.speed.is_file()


def test_in_a_run_the_jobs_before_are_read():
    inputs = {"collect": "/runs/a", "speed": "/runs/b", "collect frames": "/runs/c", "speed frames": "/runs/d"}
    trees, frames = (places("demo", inputs, "out", task) for task in TASKS)
    assert (trees.correctness, trees.speed) == (Path("/runs/a/correctness"), Path("/runs/b/speed.json"))
    assert (frames.correctness, frames.speed) == (Path("/runs/c/correctness"), Path("/runs/d/speed.json"))
    assert trees.figures == frames.figures == Path("out/figures")
    with pytest.raises(KeyError, match="collect frames"):
        places("demo", {"collect": "/runs/a", "speed": "/runs/b"}, "out", "semantic")


def test_the_tasks_that_were_measured_are_those_that_there_are(monkeypatch, tmp_path):
    assert tasks_measured("demo", {"collect frames": "/runs/c", "speed frames": "/runs/d"}) == ["semantic"]
    assert tasks_measured("demo", dict.fromkeys(("collect", "speed", "speed frames"), "/runs")) == [*TASKS]
    monkeypatch.setattr("bcrlib.report.publisher.ROOT", tmp_path)
    assert tasks_measured("demo", {}) == []
    kept = tmp_path / "data" / "correctness" / "demo" / "dependency"
    kept.mkdir(parents=True)
    (kept / "speed.json").write_text("{}")
    assert tasks_measured("demo", {}) == ["dependency"]


@pytest.mark.parametrize("task", TASKS)
def test_every_job_that_places_read_is_planned(task):
    planned = {job.name for job in plan(load_profile("demo"))}
    assert planned.issuperset(COLLECTED[task])
    places("demo", dict.fromkeys(COLLECTED[task], "/runs"), "out", task)


@pytest.fixture
def run(tmp_path, monkeypatch):
    """run(*overrides): what `reproduce` keeps, by relative path, where every job leaves its own name in files."""

    def results(jobs, *_, **__):
        folders = {}
        for job in jobs:
            folder = folders[job.name] = tmp_path / "runs" / job.name
            for part in ("correctness", "figures"):
                (folder / part).mkdir(parents=True, exist_ok=True)
            (folder / "correctness" / "manifest.json").write_text(job.name)
            (folder / "speed.json").write_text(json.dumps(job.name))
            (folder / "figures" / f"{job.name}.md").write_text(job.name)
        return folders

    def run_here(*overrides: str) -> set[str]:
        pipeline.reproduce("demo", overrides, output=tmp_path / "out")
        files = (file for file in (tmp_path / "out").rglob("*") if file.is_file())
        return {file.relative_to(tmp_path / "out").as_posix() for file in files}

    monkeypatch.setattr(pipeline, "run_graph", results)
    return run_here


def test_both_halves_are_kept_side_by_side(run, tmp_path):
    kept = run()
    assert {f"data/correctness/demo/{task}/manifest.json" for task in TASKS} <= kept
    assert "figures/demo/04_measuring_regression.md" in kept and "figures/demo/index.html" in kept
    assert not any("figures/demo/train" in file for file in kept)
    folders = [tmp_path / "out/data/correctness/demo" / task for task in TASKS]
    assert [(folder / "manifest.json").read_text() for folder in folders] == ["collect", "collect frames"]
    assert [json.loads((folder / "speed.json").read_text()) for folder in folders] == ["speed", "speed frames"]


def test_what_is_left_of_an_earlier_run_is_gone_unless_it_is_of_a_half_left_out(run, tmp_path):
    run()
    stale = [tmp_path / "out" / place for place in ("figures/demo/table99.md", "data/correctness/demo/semantic/old")]
    for file in stale:
        file.write_text("of an earlier run")
    run("semantic.updates=[]")
    assert all(file.exists() for file in stale)
    run()
    assert not any(file.exists() for file in stale)


def test_a_half_by_itself_makes_no_results_of_the_other(run):
    kept = run("updates=[]")
    assert "data/correctness/demo/semantic/manifest.json" in kept
    assert not any(file.startswith("data/correctness/demo/dependency") for file in kept)
