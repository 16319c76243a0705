"""Rows from the records of a run, against hand-made records."""

import numpy as np
import pytest

from bcrlib.report.run_rows import candidate_signature, dropout_rate, dropout_rows, signature, speed_rows
from bcrlib.report.tables import tidy


def cell(frame, row: str, metric: str):
    (found,) = frame[(frame["row"] == row) & (frame["metric"] == metric)].itertuples()
    return found


@pytest.mark.parametrize(("strategy", "rate"), [("dropout-p(p=0.15)", 0.15), ("dropout-p(p=0.3)", 0.3)])
def test_dropout_rate_of_a_strategy(strategy, rate):
    assert dropout_rate(strategy) == rate


def test_dropout_grid_by_rate():
    point = {"nfr": 0.01, "nfi": 0.1, "acc_new": 0.9}
    grid = [point | {"strategy": f"dropout-p(p={p})", "level": level} for p in (0.05, 0.1) for level in ("UAS", "LAS")]
    frame = dropout_rows(grid, "BCR", ["LAS"])
    assert frame["p"].tolist() == [0.05] * 3 + [0.1] * 3
    assert dict(zip(frame["metric"], frame["value"])) == {"NFR": 0.01, "NFI": 0.1, "ACC": 0.9}


def test_speed_beside_the_papers_and_relative_to_decoding():
    speeds = {"1-best": 200.0, "k-best": 150, "dropout-p": 20, "dropout-p, one by one": 10, "re-ranking": 100}
    frame = tidy(speed_rows({"float32": speeds}))
    speed, share = (cell(frame, "re-ranking ten candidates", metric) for metric in ("speed", "of 1-best"))
    assert (speed.value, speed.paper, speed.unit) == (100, 244, "sentences/s")
    assert (share.value, share.unit) == (0.5, "%")
    assert np.isnan(share.paper)
    assert cell(frame, "1-best", "speed").paper == 171


def test_signature_names_the_settings():
    profile = {"corpus": "demo", "preset": "clean", "old_seeds": [123], "new_seeds": [1], "num_candidates": 10}
    manifest = {
        "profile": profile | {"ensembles": ["(1, 2)"], "name": "demo"},
        "dropout_choice": {"strategy": "dropout-p(p=0.1)", "grid": []},
    }
    assert signature(manifest)["old_seeds"] == [123]
    settings = candidate_signature(manifest)
    assert settings["ensembles"] == ["(1,2)"]
    assert (settings["preset"], settings["sampling"]) == ("clean", "dropout-p(p=0.1)")
