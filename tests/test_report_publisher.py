"""What story notebooks read, and that what they show is saved under its signature and command."""

import json

import pandas as pd
import pytest

from bcrlib.pipeline.plan import COLLECTED, plan
from bcrlib.pipeline.profile import load_profile
from bcrlib.report.figures import nfr_nfi_by_method
from bcrlib.report.publisher import Publisher, command_of, stored, tasks_measured

TASKS = ("dependency", "semantic")

ROWS = pd.DataFrame(
    [{"row": row, "level": "UAS", "metric": "NFI", "value": value} for row, value in (("Untreated", 0.2), ("BCR", 0.1))]
)


@pytest.fixture
def publisher(tmp_path):
    return Publisher(tmp_path, {"preset": "clean"}, "make reproduce PROFILE=small")


def record(publisher, name):
    return json.loads((publisher.output / f"{name}.json").read_text(encoding="utf-8"))


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
    assert (publisher.output / "methods.svg").exists()


def test_a_drawing_can_have_settings_of_its_own(publisher):
    publisher.under({"corpus": "demo"}).drawing("<svg/>", "update", "Claim", "Caption")
    assert record(publisher, "update")["signature"].startswith("corpus:demo|v:")
    assert (publisher.output / "update.svg").read_text(encoding="utf-8") == "<svg/>"


def test_the_command_names_the_profile_unless_it_is_the_default():
    assert command_of("demo") == "make reproduce"
    assert command_of("paper") == "make reproduce PROFILE=paper"


def test_nothing_is_written_where_no_folder_is_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    publisher = Publisher("", {"preset": "clean"}, "make reproduce")
    figure = nfr_nfi_by_method(ROWS, "Claim", metrics=("NFI",))
    assert publisher.figure(figure, "methods", ROWS, "Caption") is figure
    assert publisher.drawing("<svg/>", "update", "Claim", "Caption") == "<svg/>"
    assert "| BCR | 10.00 |" in publisher.table(ROWS, "table3", "Claim", "Caption")
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("profile", ["demo", "small"])
def test_what_the_repository_keeps_is_found(profile, task):
    folder = stored(profile, task=task)
    assert (folder / "manifest.json").is_file() and (folder / "speed.json").is_file()
    assert tasks_measured(profile) == [*TASKS]


def test_results_may_lie_elsewhere(tmp_path):
    (tmp_path / "semantic").mkdir()
    (tmp_path / "semantic" / "speed.json").write_text("{}")
    assert stored("mine", str(tmp_path), "semantic") == tmp_path / "semantic"
    assert tasks_measured("mine", str(tmp_path)) == ["semantic"]
    with pytest.raises(FileNotFoundError, match="no stored results of the task 'dependency'"):
        stored("mine", str(tmp_path))


def test_where_the_repository_keeps_nothing_a_run_of_one_s_own_is_found(tmp_path, monkeypatch):
    monkeypatch.setattr("bcrlib.report.publisher.ROOT", tmp_path)
    (tmp_path / "notebooks" / "profiles").mkdir(parents=True)
    (tmp_path / "notebooks" / "profiles" / "mine.yaml").touch()
    own, kept = (tmp_path / place / "data/correctness/mine/dependency" for place in ("results", ""))
    for folder in (own, kept):
        folder.mkdir(parents=True)
        assert stored("mine") == folder


def test_missing_results_and_unknown_values_say_what_to_do():
    with pytest.raises(FileNotFoundError, match=r"^no stored results .*: `make reproduce PROFILE=paper` makes them$"):
        stored("paper")
    with pytest.raises(FileNotFoundError, match="no stored results of nowhere: "):
        stored("demo", "nowhere")
    with pytest.raises(ValueError, match=r"unknown profile 'papr'; choose one of .*demo.*, small"):
        stored("papr")
    with pytest.raises(ValueError, match="unknown task 'trees'; choose one of dependency, semantic"):
        stored("demo", task="trees")


@pytest.mark.parametrize("task", TASKS)
def test_every_job_whose_results_are_read_is_planned(task):
    assert {job.name for job in plan(load_profile("demo"))}.issuperset(COLLECTED[task])
