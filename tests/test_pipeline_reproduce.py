"""The main command, end to end in a folder of its own: every notebook of the pipeline and of the story, very small."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from command_runs import bcr as command
from command_runs import run

from bcrlib.data.top import read_top
from bcrlib.data.treebank import read_conllu
from bcrlib.experiments.choices import NEW_WEIGHTS
from bcrlib.experiments.counting import (
    bcr,
    dropout_strategy,
    joined_choice,
    listed_strategy,
    old_models,
    strategies,
    updates,
)
from bcrlib.experiments.store import CorrectnessStore, Pool
from bcrlib.metrics.tree_breakdowns import BREAKDOWNS_FILE, read_breakdowns
from bcrlib.tasks import TASKS

PAPERS = ("deepbiaf=>deepbiaf", "stackptr=>stackptr", "deepbiaf=>stackptr")
UPDATES = ("deepbiaf-static=>deepbiaf", *PAPERS)
VERY_SMALL = (
    f"updates=[{', '.join(UPDATES)}]",
    "static_vectors=none",  # no data: they differ from the others by their training
    "static_training.num_epochs=1",
    "training.num_epochs=2",
    "stackptr_training.num_epochs=2",
    "old_seeds=[123, 456]",
    "new_seeds=[1, 2]",
    "ensembles=[[1, 2]]",  # of the new models: no more to train
    "dropout_grid=[0.05, 0.1]",
    "sampling_grid=[top-k(k=2)]",
    "num_candidates=3",
    "speed.sentences=8",
    "speed.num_candidates=[2]",
    "speed.words=[4]",
    "semantic.updates=[s2s-base-part=>s2s-base]",
    "semantic.old_seeds=[123]",
    "semantic.new_seeds=[1]",
    "semantic.ensembles=[[1]]",
    "semantic.ensemble_sizes=[1]",
    "semantic.dropout_grid=[0.1, 0.3]",
    "semantic.sampling_grid=[top-k(k=2)]",
    "semantic.num_candidates=3",
    "semantic.more_candidates=4",
    "semantic.base_training.num_epochs=1",
    "semantic.base.constrained=true",  # else so short a training says no tree, and a student has nothing to learn
)
EVERY = ("table1", "table3", "table7", "table8")
IN_PAPER = {name: set(PAPERS) for name in EVERY} | {"table9": {"deepbiaf=>stackptr"}}


def reproduce(folder: Path, overrides: Sequence[str]) -> list[object]:
    """The arguments of `bcr`."""
    return ["reproduce", "-o", folder, *(f"--set={override}" for override in overrides)]


@pytest.fixture(scope="module")
def output(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("reproduced")
    told = json.loads(run(*reproduce(folder, VERY_SMALL), "--json"))
    index = folder / "figures" / "demo" / "index.html"
    assert told == {"profile": "demo", "figures": str(index.parent), "index": str(index)}
    return folder


def kinds_measured(kept: Path) -> set[str]:
    """The kinds of parsers whose speed was measured."""
    return {row["kind"] for row in json.loads((kept / "speed.json").read_text())["rows"]}


def test_tables_come_in_every_form_beside_the_paper(output):
    figures = output / "figures" / "demo"
    for name, expected in IN_PAPER.items():
        assert {path.suffix for path in figures.glob(f"{name}.*")} == {".json", ".md", ".tex"}
        rows = json.loads((figures / f"{name}.json").read_text())["rows"]
        beside = {row["group"] for row in rows if row["paper"] is not None and row["value"] is not None}
        assert expected <= beside
        assert {row["group"] for row in rows} >= set(UPDATES) and "deepbiaf-static=>deepbiaf" not in beside


def test_joined_pools_have_their_row_and_the_headline_its_table(output):
    figures = output / "figures" / "demo"
    for name in ("table3", "table4", "table8", "headline"):
        rows = json.loads((figures / f"{name}.json").read_text())["rows"]
        assert all(row["value"] is not None for row in rows if row["row"] == "BCR (joined)")
        assert "BCR (joined)" in {row["row"] for row in rows}
    assert (figures / "frontier.svg").is_file() and (figures / "frontier_frames.svg").is_file()


def test_the_index_shows_all_of_them(output):
    page = (output / "figures" / "demo" / "index.html").read_text()
    for name in ("Table 1", "Table 3", "Table 7", "Table 8", "Table 9", "Figure 1"):
        assert name in page


def test_the_correctness_is_that_of_the_whole_test_split(output):
    store = CorrectnessStore(output / "data" / "correctness" / "demo" / "dependency")
    assert store.load_units("official").num_sentences == 500
    methods = sorted({system.method for system in store.systems()})
    assert methods == ["distillation", "ensemble", "new", "old"]
    profile = store.load_manifest()["profile"]
    assert (profile["training"]["num_epochs"], profile["stackptr_training"]["num_epochs"]) == (2, 2)


def test_every_update_has_its_pools_scored_by_old_models_and_peers(output):
    store = CorrectnessStore(output / "data" / "correctness" / "demo" / "dependency")
    assert list(map(str, updates(store))) == list(UPDATES)
    for update in updates(store):
        for strategy in (listed_strategy(store, update), dropout_strategy(store, update)):
            scorers = store.scorers(Pool(f"{update.new}/1", strategy))
            assert {*old_models(store, update.old), f"{update.new}/1", f"{update.new}/2"} <= set(scorers)
        joined, weight = joined_choice(store, update)
        assert joined == f"{listed_strategy(store, update)}+{dropout_strategy(store, update)}" and weight in NEW_WEIGHTS
    sampled = {"beam(b=10)", "dropout-p(p=0.05)", "dropout-p(p=0.1)", "top-k(k=2)"}
    assert set(strategies(store, "stackptr")) == sampled


def test_speeds_breakdowns_and_the_demo_s_trees_are_kept(output):
    kept = output / "data" / "correctness" / "demo" / "dependency"
    assert kinds_measured(kept) == {"deepbiaf-static", "deepbiaf", "stackptr"}
    assert set(read_breakdowns(kept / BREAKDOWNS_FILE)["update"]) >= set(UPDATES)
    for update in UPDATES:
        folder = kept / "predictions" / update.replace("=>", "-to-")
        assert {read_conllu(folder / f"{name}.conllu").num_sentences for name in ("old", "new", "bcr")} == {500}


def test_frames_are_trained_re_ranked_and_kept_beside_the_trees(output):
    kept = output / "data" / "correctness" / "demo" / "semantic"
    store, more = CorrectnessStore(kept), CorrectnessStore(kept / "more")
    assert set(store.load_units("clean").sentence_of_unit) == {"spanEM", "EM"}
    (update,) = updates(store)
    assert str(update) == "s2s-base-part=>s2s-base"
    assert sorted({s.method for s in store.systems()}) == ["distillation", "ensemble", "growing ensemble", "new", "old"]
    (new,) = (system for system in store.systems() if system.method == "new")
    right, sampling = store.load_system(new, "clean", "EM"), dropout_strategy(store, update)
    sizes = [len(each.load_scores(Pool("s2s-base/1", sampling), "s2s-base-part/123")) for each in (store, more)]
    assert sizes == [3, 4]
    np.testing.assert_array_equal(
        bcr(more, "clean", "spanEM", update, sampling, 3).counts, bcr(store, "clean", "spanEM", update, sampling).counts
    )
    assert set(strategies(store, "s2s-base")) == {"beam(b=10)", "dropout-p(p=0.1)", "dropout-p(p=0.3)", "top-k(k=2)"}
    assert joined_choice(store, update)[0] == f"1-best+beam(b=10)+{sampling}"
    assert store.load_pool(Pool("s2s-base/1", "1-best"), "clean", "EM").tolist() == [right.tolist()]
    assert kinds_measured(kept) == {"s2s-base"}
    manifest = store.load_manifest()
    assert (manifest["task"], set(manifest["invalid"].values())) == ("semantic", {0})
    folder = kept / "predictions" / "s2s-base-part-to-s2s-base"
    assert {len(read_top(folder / f"{name}.tsv")) for name in ("old", "new", "bcr")} == {500}


def test_students_tell_what_their_teachers_know(output):
    for task, table in {"dependency": "teachers", "semantic": "teachers_frames"}.items():
        jobs = CorrectnessStore(output / "data" / "correctness" / "demo" / task).load_manifest()["jobs"]
        told = {name: job.get("teacher_accuracy") for name, job in jobs.items() if name.startswith("distil ")}
        assert told and all(set(known) == set(TASKS[task].levels) for known in told.values())
        assert not any("teacher_accuracy" in job for name, job in jobs.items() if name not in told)
        rows = json.loads((output / "figures" / "demo" / f"{table}.json").read_text())["rows"]
        assert {row["metric"] for row in rows} == {"teacher, training data", "teacher, test", "student, test"}


def test_a_second_run_does_nothing_again(output):
    result = command(*reproduce(output, VERY_SMALL))
    lines = result.stderr.splitlines()
    assert lines and result.stdout == f"tables and figures: {output / 'figures' / 'demo' / 'index.html'}\n"
    assert all(line.endswith("fresh") for line in lines)


# What is kept, without running anything


@pytest.fixture
def kept(tmp_path, monkeypatch):
    """kept(*overrides): what `reproduce` keeps, by relative path, where every job leaves its own name in files."""

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

    def names(*overrides: str) -> set[str]:
        run(*reproduce(tmp_path / "out", overrides))
        files = (file for file in (tmp_path / "out").rglob("*") if file.is_file())
        return {file.relative_to(tmp_path / "out").as_posix() for file in files}

    monkeypatch.setattr("bcrlib.pipeline.run.run_graph", results)
    return names


def test_both_halves_are_kept_side_by_side(kept, tmp_path):
    files = kept()
    assert {f"data/correctness/demo/{task}/manifest.json" for task in TASKS} <= files
    assert "figures/demo/04_measuring_regression.md" in files and "figures/demo/index.html" in files
    assert not any("figures/demo/train" in file for file in files)
    folders = [tmp_path / "out/data/correctness/demo" / task for task in TASKS]
    assert [(folder / "manifest.json").read_text() for folder in folders] == ["collect", "collect frames"]
    assert [json.loads((folder / "speed.json").read_text()) for folder in folders] == ["speed", "speed frames"]


def test_what_is_left_of_an_earlier_run_is_gone_unless_it_is_of_a_half_left_out(kept, tmp_path):
    kept()
    stale = [tmp_path / "out" / place for place in ("figures/demo/table99.md", "data/correctness/demo/semantic/old")]
    for file in stale:
        file.write_text("of an earlier run")
    kept("semantic.updates=[]")
    assert all(file.exists() for file in stale)
    kept()
    assert not any(file.exists() for file in stale)


def test_a_half_by_itself_makes_no_results_of_the_other(kept):
    files = kept("updates=[]")
    assert "data/correctness/demo/semantic/manifest.json" in files
    assert not any(file.startswith("data/correctness/demo/dependency") for file in files)
