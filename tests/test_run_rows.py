"""Rows from the records of a run, against hand-made records."""

import numpy as np
import pytest

from bcrlib.metrics.uncertainty import PairCounts
from bcrlib.report.regression import (
    candidate_signature,
    chosen_rates,
    dropout_rate,
    dropout_rows,
    signature,
    teacher_rows,
)


@pytest.mark.parametrize(("strategy", "rate"), [("dropout-p(p=0.15)", 0.15), ("dropout-p(p=0.3)", 0.3)])
def test_dropout_rate_of_a_strategy(strategy, rate):
    assert dropout_rate(strategy) == rate


def test_dropout_grid_by_rate():
    point = {"nfr": 0.01, "nfi": 0.1, "acc_new": 0.9}
    grid = [point | {"strategy": f"dropout-p(p={p})", "level": level} for p in (0.05, 0.1) for level in ("UAS", "LAS")]
    choice = {"strategy": "dropout-p(p=0.1)", "grid": grid}
    choices = {"a=>a": choice, "a=>b": choice | {"strategy": "dropout-p(p=0.05)"}}
    frame = dropout_rows(choices, ["LAS"])
    assert frame["p"].tolist() == 2 * ([0.05] * 3 + [0.1] * 3)
    assert frame["row"].tolist() == ["a ⇒ a"] * 6 + ["a ⇒ b"] * 6
    assert dict(zip(frame["metric"], frame["value"])) == {"NFR": 0.01, "NFI": 0.1, "ACC": 0.9}
    assert chosen_rates(choices) == {"a ⇒ a": 0.1, "a ⇒ b": 0.05}


def test_signature_names_the_settings():
    profile = {"corpus": "demo", "preset": "clean", "old_seeds": [123], "new_seeds": [1], "num_candidates": 10}
    manifest = {
        "profile": profile | {"ensembles": ["(1, 2)"], "name": "demo"},
        "dropout_choice": {
            "deepbiaf=>deepbiaf": {"strategy": "dropout-p(p=0.1)", "grid": []},
            "deepbiaf=>stackptr": {"strategy": "dropout-p(p=0.05)", "grid": []},
        },
    }
    assert signature(manifest)["old_seeds"] == [123]
    assert signature(manifest)["task"] == "dependency-parsing"  # of manifests from before there was a second task
    assert signature(manifest | {"task": "semantic"})["task"] == "semantic-parsing"
    settings = candidate_signature(manifest)
    assert settings["ensembles"] == ["(1,2)"]
    of_numbers = candidate_signature(manifest | {"profile": manifest["profile"] | {"ensembles": [[1, 2]]}})
    assert of_numbers == settings  # however old the manifest is
    assert settings["preset"] == "clean"
    assert settings["sampling"] == ["deepbiaf=>deepbiaf dropout-p(p=0.1)", "deepbiaf=>stackptr dropout-p(p=0.05)"]


def test_teachers_are_told_beside_their_students():
    # Two lessons of one sentence with ten words: kept, broken, repaired, left wrong.
    counts = np.array([[[6, 2, 1, 1]], [[5, 1, 3, 1]]])
    names = ("deepbiaf-static/11", "deepbiaf-static/12")
    students = tuple(f"deepbiaf/distillation({teacher})/1" for teacher in names)
    counts_of = {"deepbiaf-static=>deepbiaf": {"UAS": {"Distillation": PairCounts(counts, names, students)}}}
    told = {11: {"UAS": 0.9, "LAS": 0.5}, 12: {"UAS": 0.8, "LAS": 0.5}}
    jobs = {f"distil deepbiaf by deepbiaf-static {seed}": {"teacher_accuracy": told[seed]} for seed in told}
    frame = teacher_rows({"jobs": jobs}, counts_of)
    assert set(frame["row"]) == {"Distillation"} and set(frame["level"]) == {"UAS"}
    expected = {"teacher, training data": 0.85, "teacher, test": 14 / 20, "student, test": 15 / 20}
    assert dict(zip(frame["metric"], frame["value"])) == pytest.approx(expected)
    older = {"distil deepbiaf by deepbiaf-static 11": {}, "distil deepbiaf by deepbiaf-static 12": {}}
    assert teacher_rows({"jobs": older}, counts_of).empty and teacher_rows({}, counts_of).empty
