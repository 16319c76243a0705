"""The main command, end to end in a folder of its own: every notebook of the pipeline and of the story, very small."""

import json
from pathlib import Path

import pytest

from bcrlib.correctness import CorrectnessStore
from bcrlib.pipeline.reproduce import reproduce

VERY_SMALL = (
    "training.num_epochs=2",
    "new_seeds=[1]",
    "ensembles=[[1, 2]]",
    "dropout_grid=[0.05]",
    "num_candidates=3",
    "speed_sentences=20",
)
PAPER = ["table1", "table3", "table7", "table8", "figure1"]


@pytest.fixture(scope="module")
def output(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("reproduced")
    reproduce("demo", VERY_SMALL, output=folder)
    return folder


def test_tables_come_in_every_form_beside_the_paper(output):
    figures = output / "figures" / "demo"
    for name in ("table1", "table3", "table7", "table8"):
        assert {path.suffix for path in figures.glob(f"{name}.*")} == {".json", ".md", ".tex"}
        rows = json.loads((figures / f"{name}.json").read_text())["rows"]
        assert any(row["paper"] is not None and row["value"] is not None for row in rows)


def test_the_index_shows_all_of_them(output):
    page = (output / "figures" / "demo" / "index.html").read_text()
    for name in ("Table 1", "Table 3", "Table 7", "Table 8", "Figure 1"):
        assert name in page


def test_the_correctness_is_that_of_the_whole_test_split(output):
    store = CorrectnessStore(output / "data" / "correctness" / "demo")
    assert store.load_units("official").num_sentences == 500
    methods = sorted({system.method for system in store.systems()})
    assert methods == ["distillation", "ensemble", "untreated"]
    assert len(store.pools()) == 2
    assert store.load_manifest()["profile"]["training"]["num_epochs"] == 2


def test_a_second_run_does_nothing_again(output):
    lines: list[str] = []
    reproduce("demo", VERY_SMALL, output=output, report=lines.append)
    assert lines
    assert all(line.endswith("fresh") for line in lines)
