"""Causes: the cells that are planned, and what they are told."""

from dataclasses import replace

import pytest

from bcrlib.pipeline.plan import CAUSES, kept_jobs, plan
from bcrlib.pipeline.profile import Ablation, load_profile, with_values
from bcrlib.tasks import TASKS

BOTH = "base_training.dropout, base_training.attention_dropout"


def test_every_combination_is_a_cell_and_the_last_field_varies_fastest():
    ablation = Ablation({"training.num_epochs": [4, 10], "model.vectors": ["minilm", "none"]})
    assert ablation.cells() == {
        "epochs 4, vectors minilm": {"training.num_epochs": 4, "model.vectors": "minilm"},
        "epochs 4, vectors none": {"training.num_epochs": 4, "model.vectors": "none"},
        "epochs 10, vectors minilm": {"training.num_epochs": 10, "model.vectors": "minilm"},
        "epochs 10, vectors none": {"training.num_epochs": 10, "model.vectors": "none"},
    }
    assert ablation.factors() == {"epochs": ["4", "10"], "vectors": ["minilm", "none"]}
    assert Ablation().cells() == {}


def test_fields_that_go_together_are_one_factor():
    ablation = Ablation({BOTH: [[0.1, 0.0], [0.3, 0.1]]})
    assert ablation.cells() == {
        "dropout 0.1": {"base_training.dropout": 0.1, "base_training.attention_dropout": 0.0},
        "dropout 0.3": {"base_training.dropout": 0.3, "base_training.attention_dropout": 0.1},
    }


def test_a_cell_differs_from_the_profile_in_its_values_alone():
    half = load_profile("causes").semantic
    cell = with_values(half, {"base_training.num_epochs": 7, "base_training.dropout": 0})
    assert (cell.base_training.num_epochs, cell.base_training.dropout) == (7, 0.0)
    assert replace(cell, base_training=half.base_training) == half


@pytest.mark.parametrize(
    ("override", "words"),
    [
        (
            "ablation.vary={training.epochs: [1]}",
            r"^ablation.vary: unknown field training.epochs; did you mean training.num_epochs\?",
        ),
        ("ablation.vary={training: [1]}", "ablation.vary: training: Input should be an object, not 1"),
        ("ablation.vary={training.num_epochs: [1.5]}", "num_epochs: Input should be a valid integer, not 1.5"),
        ("ablation.vary={model.hidden_size: [8], model.num_hidden_size: [8]}", "unknown field model.num_hidden_size"),
        ("semantic.ablation.vary={}", r"semantic.ablation varies fields of one update .* not \['s2s-base=>s2s-base'\]"),
        ("updates=[deepbiaf=>stackptr]", "of one update of a kind to itself"),
        ("ablation.train_share=0.0", r"ablation.train_share is a share in \(0, 1\]"),
        ("ablation.colour=red", "unknown field ablation.colour"),
    ],
)
def test_a_bad_ablation_is_refused(override, words):
    with pytest.raises(ValueError, match=words):
        load_profile("causes", (override,))


def test_the_profile_causes_has_a_job_a_cell_and_one_a_task_that_counts_them():
    profile = load_profile("causes")
    jobs = {job.name: job for job in plan(profile)}
    trees, frames = ([name for name in jobs if name.startswith(f"cell {kind} ")] for kind in ("deepbiaf", "s2s-base"))
    assert (len(trees), len(frames), len(jobs)) == (12, 6, 20)
    assert jobs["causes"].needs == tuple(trees) and jobs["causes frames"].needs == tuple(frames)
    assert all(jobs[name].needs == () for name in [*trees, *frames])
    assert [kept_jobs(profile, task) for task in TASKS] == [("causes",), ("causes frames",)]


def test_cells_are_told_their_recipe_and_all_of_them_the_same_data_and_seeds():
    jobs = {job.name: dict(job.params) for job in plan(load_profile("causes"))}
    cell = jobs["cell deepbiaf epochs 10, vectors mpnet-context, hidden size 100"]
    assert (cell["training"]["num_epochs"], cell["model"]["vectors"], cell["model"]["hidden_size"]) == (
        10, "mpnet-context", 100)  # fmt: skip
    frames = jobs["cell s2s-base epochs 40, dropout 0.3"]["training"]
    assert (frames["num_epochs"], frames["dropout"], frames["attention_dropout"]) == (40, 0.3, 0.1)
    assert jobs["cell s2s-base epochs 5, dropout 0.1"]["training"]["attention_dropout"] == 0.0
    for kind in ("deepbiaf", "s2s-base"):
        cells = [params for name, params in jobs.items() if name.startswith(f"cell {kind} ")]
        common = [{key: value for key, value in params.items() if key not in ("model", "training")} for params in cells]
        assert common == common[:1] * len(common)
        assert (common[0]["old_seeds"], common[0]["new_seeds"]) == ([1], [2])
        assert common[0]["dropout_grid"] == [0.05, 0.1, 0.2, 0.3]
    assert cell["strategies"] == ["1-best", "k-best(labelled)"]


def test_whole_runs_know_nothing_of_ablations():
    # Their jobs keep their fingerprints, and finished runs stay fresh.
    jobs = {job.name: job for job in plan(load_profile("demo"))}
    assert not any("ablation" in jobs[name].params["profile"] for name in ("collect", "collect frames"))
    assert not any(name in jobs for name in CAUSES.values())
