"""The publisher saves what it returns, under its signature and command."""

import json

import pandas as pd
import pytest

from bcrlib.report.figures import nfr_nfi_by_method
from bcrlib.report.publisher import Publisher, command_of

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
