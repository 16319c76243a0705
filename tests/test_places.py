"""What a run keeps, and what a run of one half leaves of the other."""

import json

import pytest

from bcrlib.pipeline import reproduce as pipeline

TASKS = ("dependency", "semantic")


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
