"""Where story notebooks read and write, and that what they show is saved under its signature and command."""

import json
from pathlib import Path

import pandas as pd
import pytest

from bcrlib.pipeline.plan import COLLECTED, plan
from bcrlib.pipeline.profile import load_profile
from bcrlib.report.figures import nfr_nfi_by_method
from bcrlib.report.publisher import ROOT, Publisher, command_of, places, tasks_measured

TASKS = ("dependency", "semantic")

ROWS = pd.DataFrame(
    [{"row": row, "level": "UAS", "metric": "NFI", "value": value} for row, value in (("Untreated", 0.2), ("BCR", 0.1))]
)


@pytest.fixture
def publisher(tmp_path):
    return Publisher(tmp_path, {"preset": "clean"}, "make reproduce PROFILE=small")


def record(publisher, name):
    return json.loads((publisher.folder / f"{name}.json").read_text(encoding="utf-8"))


def test_a_table_has_the_command_in_every_row_but_its_text_has_not(publisher):
    text = publisher.table(ROWS, "table3", "Claim", "Caption")
    saved = record(publisher, "table3")
    assert [row["command"] for row in saved["rows"]] == [publisher.command] * 2
    assert saved["signature"].startswith("preset:clean|")
    assert "| BCR | 10.00 |" in text
    assert "make" not in text


def test_a_figure_comes_back_and_is_saved_with_its_numbers(publisher):
    figure = nfr_nfi_by_method(ROWS, "Claim", metrics=("NFI",))
    assert publisher.figure(figure, "methods", ROWS, "Caption") is figure
    assert [row["value"] for row in record(publisher, "methods")["rows"]] == [0.2, 0.1]
    assert (publisher.folder / "methods.svg").exists()


def test_a_drawing_can_have_settings_of_its_own(publisher):
    publisher.under({"corpus": "demo"}).drawing("<svg/>", "update", "Claim", "Caption")
    assert record(publisher, "update")["signature"].startswith("corpus:demo|v:")
    assert (publisher.folder / "update.svg").read_text(encoding="utf-8") == "<svg/>"


def test_the_command_names_the_profile_unless_it_is_the_default():
    assert command_of("demo") == "make reproduce"
    assert command_of("paper") == "make reproduce PROFILE=paper"


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
