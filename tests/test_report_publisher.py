"""What story notebooks read, and that what they show is saved under its signature and command."""

import json
from xml.etree import ElementTree

import pandas as pd
import pytest

from bcrlib.report.figures import nfr_nfi_by_method
from bcrlib.report.publisher import Publisher, as_table, command_of, stored, tasks_measured

TASKS = ("dependency", "semantic")

ROWS = pd.DataFrame(
    [{"row": row, "level": "UAS", "metric": "NFI", "value": value} for row, value in (("Untreated", 0.2), ("BCR", 0.1))]
)


@pytest.fixture
def publisher(tmp_path):
    return Publisher(tmp_path, {"preset": "clean"}, "make reproduce PROFILE=small")


def record(publisher, name):
    return json.loads((publisher.output / f"{name}.json").read_text(encoding="utf-8"))


def test_a_table_has_the_command_in_every_row_but_a_reader_sees_its_claim_and_numbers(publisher):
    table = publisher.table(ROWS, "table3", "Claim", "Caption")
    text = repr(table)
    saved = record(publisher, "table3")
    assert [row["command"] for row in saved["rows"]] == [publisher.command] * 2
    assert saved["signature"].startswith("preset:clean|")
    assert text.startswith("Claim\n") and "| BCR | 10.00 |" in text
    assert "make" not in text + table.html


def cells_of(html):
    """The texts of a table's cells, row by row, and of each row what its style says of the sides."""
    rows = ElementTree.fromstring(f"<div>{html}</div>".replace("\u00a0", " ")).findall(".//tr")
    texts = [["".join(cell.itertext()) for cell in row] for row in rows]
    return texts, [[cell.get("style", "").removeprefix("text-align: ") for cell in row] for row in rows]


def test_a_table_is_html_with_numbers_on_the_right_and_no_column_for_the_update(publisher):
    groups = pd.concat([ROWS.assign(group=group, low=0.1, high=0.3, paper=0.25) for group in ("a=>a", "a=><b>")])
    texts, sides = cells_of(publisher.table(groups, "table3", "Claim & more", "Caption").html)
    assert texts[:2] == [["UAS", "NFI (%)"], ["", "paper", "ours"]]
    assert texts[2:] == [
        ["a ⇒ a"],
        ["Untreated", "25.00", "20.00 [10.00, 30.00]"],
        ["BCR", "25.00", "10.00 [10.00, 30.00]"],
        ["a ⇒ <b>"],
        ["Untreated", "25.00", "20.00 [10.00, 30.00]"],
        ["BCR", "25.00", "10.00 [10.00, 30.00]"],
    ]
    assert sides[3] == ["left", "right", "right"] and sides[2] == ["left"]


def test_a_table_wider_than_a_page_comes_in_blocks(publisher):
    rows = pd.concat([ROWS.assign(metric=f"M{number}") for number in range(9)])
    texts, _ = cells_of(publisher.table(rows, "wide", "Claim", "Caption").html)
    heads = [row for row in texts if row[0] == "UAS"]
    assert [len(row) for row in heads] == [6, 5] and heads[1][1] == "M5 (%)"


def test_a_frame_is_shown_with_fixed_decimals_and_a_name_once():
    index = pd.MultiIndex.from_tuples([("a", "x"), ("a", "y"), ("b", "y")], names=["update", "level"])
    frame = pd.DataFrame(
        {"rate": [0.125, float("nan"), 2], "words": [1234, 2, 3], "which": ["<i>", "", "z"]}, index=index
    )
    texts, sides = cells_of(as_table(frame, "Of it", {"rate": 1}).html)
    assert texts == [
        ["update", "level", "rate", "words", "which"],
        ["a", "x", "0.1", "1,234", "<i>"],
        ["", "y", "–", "2", ""],
        ["b", "y", "2.0", "3", "z"],
    ]
    assert set(map(tuple, sides)) == {("left", "left", "right", "right", "left")}
    assert "Of it" in repr(as_table(frame, "Of it")) and "1,234" in repr(as_table(frame))
    plain = as_table(pd.DataFrame({"head": ["a", "a"], "word": ["x", "x"]}))
    assert cells_of(plain.html)[0][1:] == [["a", "x"]] * 2  # columns that are no names are said in every row
    assert cells_of(as_table(frame.reset_index(drop=True)).html)[0][1] == ["0.12", "1,234", "<i>"]


def test_a_figure_comes_back_with_words_for_whoever_cannot_see_it_and_is_saved_with_its_numbers(publisher):
    figure = nfr_nfi_by_method(ROWS, "Claim", metrics=("NFI",))
    shown = publisher.figure(figure, "methods", ROWS, "Caption.")
    png, about = shown._repr_png_()
    assert png.startswith(b"\x89PNG") and about == {"alt": "Claim. Caption."} and repr(shown) == about["alt"]
    saved = record(publisher, "methods")
    assert (saved["kind"], saved["title"], [row["value"] for row in saved["rows"]]) == ("figure", "Claim", [0.2, 0.1])
    assert (publisher.output / "methods.svg").read_text("utf-8").startswith("<?xml")
    assert (publisher.output / "methods.png").read_bytes()[1:4] == b"PNG"


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
    publisher.figure(figure, "methods", ROWS, "Caption")
    assert publisher.drawing("<svg/>", "update", "Claim", "Caption") == "<svg/>"
    publisher.table(ROWS, "table3", "Claim", "Caption")
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
