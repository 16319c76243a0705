"""The index page: everything found is shown, in the paper's order, self-contained and escaped."""

import re

import pandas as pd
import pytest
from html_page import Page

from bcrlib.report.figures import nfr_nfi_by_method
from bcrlib.report.style import save_figure
from bcrlib.report.tables import beside_paper, write_index, write_table

ROWS = [
    {"group": "deepbiaf=>deepbiaf", "row": row, "level": "UAS", "metric": metric, "value": value}
    for row, value in {"Untreated": 0.023, "BCR": 0.0103}.items()
    for metric in ("NFR", "NFI")
]
ABOUT = {"caption": "c <i>", "signature": {"preset": "clean"}, "command": "make reproduce && true"}


@pytest.fixture
def folder(tmp_path):
    for name in ("table8", "table1", "table10"):
        write_table(beside_paper(ROWS, "Table 3"), tmp_path, name, title=f"<b>{name}</b>", **ABOUT)
    figure = nfr_nfi_by_method(ROWS, "BCR halves the flips")
    save_figure(figure, tmp_path, "figure2", pd.DataFrame(ROWS), **ABOUT)
    return tmp_path


def test_page_shows_everything_in_the_papers_order(folder):
    page = write_index(folder, "demo").read_text(encoding="utf-8")
    assert re.findall(r'<section id="(\w+)">', page) == ["table1", "table8", "table10", "figure2"]
    assert "1.03" in page and "0.84" in page and "preset:clean" in page
    assert page.count("make reproduce &amp;&amp; true") == 4


def test_page_is_well_formed_escaped_and_needs_nothing_of_elsewhere(folder):
    content = write_index(folder, "demo").read_text(encoding="utf-8")
    page = Page(content)
    assert not page.open and page.values("src") == ["figure2.svg"]
    assert "<b>table1" not in content and "&lt;b&gt;table1" in content and "c &lt;i&gt;" in content
    files = [link for link in page.values("href") if not link.startswith("#")]
    assert sorted(files) == sorted(p.name for p in folder.iterdir() if p.name != "index.html")


def test_page_is_the_same_every_time(folder):
    first = write_index(folder, "demo").read_bytes()
    assert write_index(folder, "demo").read_bytes() == first


def test_faults_name_the_file(tmp_path):
    (tmp_path / "table1.json").write_text("[]")
    with pytest.raises(ValueError, match=r"table1\.json: not the record"):
        write_index(tmp_path, "demo")
    (tmp_path / "table1.json").unlink()
    figure = nfr_nfi_by_method(ROWS, "BCR halves the flips")
    save_figure(figure, tmp_path, "figure2", pd.DataFrame(ROWS), **ABOUT)
    for path in (*tmp_path.glob("*.svg"), *tmp_path.glob("*.png")):
        path.unlink()
    with pytest.raises(ValueError, match="figure2: neither"):
        write_index(tmp_path, "demo")
