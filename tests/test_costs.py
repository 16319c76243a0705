"""Rows and figures of speed, against hand-made records."""

import json

import numpy as np
import pandas as pd
import pytest

from bcrlib.report import costs
from bcrlib.report.tables import tidy


def row(kind: str, step: str, value: float | None, size: int = 32, number: int = 10, **others) -> dict:
    about = {"kind": kind, "precision": "float32", "step": step, "batch_size": size, "num_candidates": number}
    return about | {"words": None, "metric": "per_second", "value": value} | others


def rows_of(kind: str, listed: str) -> list[dict]:
    """Of a parser that decodes 200 sentences a second in batches of 32, and 300 in batches of 128."""
    return [
        *(row(kind, "encoder", value, size, 0) for size, value in {32: 800.0, 128: 1000.0}.items()),
        *(row(kind, "1-best", value, size, 1) for size, value in {32: 200.0, 128: 300.0}.items()),
        *(row(kind, listed, value, size) for size, value in {32: 100.0, 128: 90.0}.items()),
        *(row(kind, "dropout-p", value, size) for size, value in {32: 50.0, 128: 40.0}.items()),
        *(row(kind, "re-ranking", value, size) for size, value in {32: 400.0, 128: None}.items()),
        row(kind, "dropout-p, one by one", 20.0),
        row(kind, "dropout-p", 160.0, number=1),
        row(kind, "re-ranking dropout-p", 250.0, number=1),
        *(row(kind, "1-best", value, number=1, words=words) for words, value in {4.0: 500.0, 20.0: 100.0}.items()),
        *(row(kind, "1-best", 1e6 * size, size, 1, words=40.0, metric="peak_bytes") for size in (32, 128)),
    ]


@pytest.fixture
def files(tmp_path):
    machine = {"processor": "some processor", "gpu": "some GPU"}
    paths = {}
    for task, kinds in {
        "dependency": {"deepbiaf": "k-best", "stackptr": "beam"},
        "semantic": {"s2s-base": "beam"},
    }.items():
        about = {"task": task, "corpus": f"corpus of {task}", "device": "cpu", "machine": machine}
        about |= {"num_threads": 2, "num_turns": 3, "num_sentences": 50 if task == "semantic" else 40}
        rows = [row for kind, listed in kinds.items() for row in rows_of(kind, listed)]
        paths[task] = tmp_path / f"{task}.json"
        paths[task].write_text(json.dumps({**about, "rows": rows}))
    return paths


@pytest.fixture
def measured(files) -> pd.DataFrame:
    return costs.load_speeds(files)[1]


def cell(frame: pd.DataFrame, kind: str, step: str, metric: str):
    """The cell of a table that concerns one step."""
    found = frame[(frame["group"] == kind) & (frame["row"] == costs.STEPS[step].name) & (frame["metric"] == metric)]
    (found,) = found.itertuples()
    return found


def test_settings_are_those_of_all_tasks(files):
    settings, frame = costs.load_speeds(files)
    assert settings == {
        "device": "some processor",
        "threads": 2,
        "corpus": ["corpus of dependency", "corpus of semantic"],
        "sentences": [40, 50],
        "turns": [3, 3],
    }
    assert list(frame["kind"].unique()) == ["deepbiaf", "stackptr", "s2s-base"]
    assert frame["value"].notna().all(), "what does not fit was not measured"
    of_gpu = json.loads(files["semantic"].read_text()) | {"device": "cuda"}
    files["semantic"].write_text(json.dumps(of_gpu))
    assert costs.load_speeds({"semantic": files["semantic"]})[0]["device"] == "some GPU"


def test_speeds_in_the_papers_batches_stand_beside_its_numbers(measured):
    frame = tidy(costs.speed_rows(measured))
    assert [cell(frame, kind, "1-best", "speed").paper for kind in ("deepbiaf", "stackptr")] == [171, 64]
    assert [cell(frame, kind, "re-ranking", "speed").paper for kind in ("deepbiaf", "stackptr")] == [244, 221]
    assert np.isnan(cell(frame, "s2s-base", "1-best", "speed").paper)
    speed, of_encoder, of_decode = (
        cell(frame, "stackptr", "dropout-p", metric) for metric in ("speed", "of encoder", "of 1-best")
    )
    assert (speed.value, speed.unit, of_encoder.value, of_decode.value) == (50, "sentences/s", 1 / 16, 1 / 4)
    assert cell(frame, "s2s-base", "re-ranking", "of 1-best").value == 2
    assert cell(frame, "deepbiaf", "dropout-p, one by one", "speed").value == 20


def test_the_best_batches_of_each_step(measured):
    frame = tidy(costs.best_rows(measured))
    assert [cell(frame, "deepbiaf", "1-best", metric).value for metric in ("speed", "batch", "of encoder")] == [
        300,
        128,
        0.3,
    ]
    assert [cell(frame, "deepbiaf", "dropout-p", metric).value for metric in ("speed", "batch")] == [50, 32]
    assert cell(frame, "deepbiaf", "re-ranking", "batch").value == 32, "larger ones did not fit"
    assert frame["paper"].isna().all()


def test_costs_are_decodes_of_the_same_sentences_and_batches(measured):
    of_stackptr = costs.cost_rows(measured).query("kind == 'stackptr'")
    found = {(c.step, c.num_candidates): c.cost for c in of_stackptr.itertuples()}
    assert found == {
        ("dropout-p", 10): 4,
        ("dropout-p", 1): 200 / 160,
        ("dropout-p, one by one", 10): 10,
        ("re-ranking dropout-p", 1): 200 / 250,
    }


def test_curves_hold_what_was_varied_alone(measured):
    of_sizes = costs.by_batch_size(measured)
    assert of_sizes["words"].isna().all() and not of_sizes.duplicated(["kind", "step", "batch_size"]).any()
    assert set(of_sizes[of_sizes["step"] == "dropout-p"]["num_candidates"]) == {10}
    words = costs.by_length(measured).groupby("kind")["words"].apply(tuple)
    assert len(words) == 3 and set(words) == {(4.0, 20.0)}
    assert costs.by_batch_size(measured, costs.MEMORY)["value"].tolist() == [32e6, 128e6] * 3


def lines(axes) -> list[tuple[list, list]]:
    return [(list(line.get_xdata()), list(line.get_ydata())) for line in axes.get_lines()]


def test_the_figure_of_costs_has_lines_a_cross_and_the_linear_cost(measured):
    figure = costs.cost_by_candidates(costs.cost_rows(measured), "Cost")
    assert len(figure.axes) == 3 and figure.axes[1].get_title(loc="left") == "stackptr, float32"
    assert lines(figure.axes[1]) == [([1, 10], [1, 10]), ([1, 10], [1.25, 4]), ([1], [0.8]), ([10], [10])]
    assert all(axes.get_ylim()[0] == 0 and axes.get_ylim()[1] > 10 for axes in figure.axes), "nothing is cut off"


def test_the_figure_of_batch_sizes_has_the_papers_numbers(measured):
    figure = costs.speed_by_batch_size(costs.by_batch_size(measured), "Batches")
    of_deepbiaf, of_s2s = lines(figure.axes[0]), lines(figure.axes[2])
    assert ([32], [171]) in of_deepbiaf and ([32], [244]) in of_deepbiaf
    assert ([32, 128], [200, 300]) in of_deepbiaf and ([32], [400]) in of_deepbiaf
    assert not any(y in ([171], [244], [64], [221]) for _, y in of_s2s)
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    assert len(set(names)) == len(names) and "the paper's number, on a V100" in names


def test_figures_of_lengths_and_memory_have_units(measured):
    times = costs.time_by_length(costs.by_length(measured), "Lengths")
    assert lines(times.axes[0]) == [([4.0, 20.0], [2.0, 10.0])]
    assert times.axes[0].get_ylabel() == "milliseconds per sentence"
    memory = costs.memory_by_batch_size(costs.by_batch_size(measured, costs.MEMORY), "Memory")
    ((sizes, mebibytes),) = lines(memory.axes[0])
    assert sizes == [32, 128] and mebibytes == pytest.approx([32e6 / 2**20, 128e6 / 2**20])
    assert "MiB" in memory.axes[0].get_ylabel()


def test_there_is_no_figure_of_nothing(measured):
    with pytest.raises(ValueError, match="nothing of this was measured"):
        costs.memory_by_batch_size(costs.by_batch_size(measured, costs.MEMORY).head(0), "Memory")
