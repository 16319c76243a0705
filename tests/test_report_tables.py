"""Tables and the page that shows all: the paper beside ours, fixed decimals, the same bytes, text escaped."""

import json
import math
import re
import shutil
from pathlib import Path

import pandas as pd
import pytest
from html_page import Page

from bcrlib.report import tables
from bcrlib.report.figures import nfr_nfi_by_method
from bcrlib.report.publisher import Publisher, write_index

DD = "deepbiaf=>deepbiaf"
ROWS = [
    {"group": DD, "row": "Old", "level": "UAS", "metric": "ACC", "value": 0.8723, "spread": 0.0013},
    {"group": DD, "row": "BCR", "level": "UAS", "metric": "ACC", "value": 0.8741},
    {"group": DD, "row": "BCR", "level": "UAS", "metric": "NFR", "value": 0.0103, "low": 0.0096, "high": 0.0112},
]


def write(folder, rows=ROWS, name="table3", title="BCR & 50 % fewer flips"):
    publisher = Publisher(folder, {"preset": "clean", "old_seeds": [1, 2]}, "make a|b")
    publisher.table(tables.beside_paper(rows, "Table 3"), name, title, "Brackets: 95 % interval.")
    return {end: (folder / f"{name}.{end}").read_text(encoding="utf-8") for end in ("json", "md", "tex")}


def test_markdown_puts_paper_and_ours_side_by_side(tmp_path):
    lines = write(tmp_path)["md"].splitlines()
    assert lines[0] == "## Table 3. BCR & 50 % fewer flips"
    assert "| method | ACC (%) paper | ACC (%) ours | NFR (%) paper | NFR (%) ours | command |" in lines
    assert "| Old | 91.76 | 87.23 ± 0.13 | – | – | `make a\\|b` |" in lines
    assert "| BCR | 91.78 | 87.41 | 0.84 | 1.03 [0.96, 1.12] | `make a\\|b` |" in lines
    assert "**UAS, deepbiaf ⇒ deepbiaf**" in lines


def test_what_the_paper_has_no_number_for_has_no_column_for_it(tmp_path):
    rows = [row | {"row": f"Our own {row['row']}"} for row in ROWS]
    texts = write(tmp_path, rows)
    assert "| method | ACC (%) | NFR (%) | command |" in texts["md"].splitlines()
    assert "| Our own BCR | 87.41 | 1.03 [0.96, 1.12] |" in texts["md"]
    assert r"\begin{tabular}{lrr}" in texts["tex"] and r"\cmidrule(lr){2-2} \cmidrule(lr){3-3}" in texts["tex"]
    html = tables.to_html(tables.read_record(tmp_path / "table3.json"))
    assert 'class="paper' not in html and html.count('<th class="ours">') == 2
    assert '<th class="level" colspan="2">' in html and '<tr class="group"><th colspan="3">' in html


def test_json_holds_rates_and_the_whole_record(tmp_path):
    record = json.loads(write(tmp_path)["json"])
    assert record["signature"].startswith("preset:clean|old_seeds:1,2|v:")
    assert (record["label"], record["command"]) == ("Table 3", "make a|b")
    cell = record["rows"][2]
    assert (cell["value"], cell["paper"], cell["low"], cell["spread"]) == (0.0103, 0.0084, 0.0096, None)
    assert tables.read_record(tmp_path / "table3.json").rows == record["rows"]


def test_latex_is_booktabs_with_text_escaped(tmp_path):
    tex = write(tmp_path, title="50 % & more_flips")["tex"]
    assert r"50 \% \& more\_flips" in tex
    assert r"BCR & 91.78 & 87.41 & 0.84 & 1.03 {\scriptsize [0.96, 1.12]} \\" in tex
    assert [tex.count(rule) for rule in (r"\toprule", r"\midrule", r"\bottomrule")] == [1, 1, 1]
    # Every line of the tabular has as many cells as columns: lrrrr.
    assert all(line.count(" & ") == 4 for line in tex.splitlines() if line.startswith(("Old", "BCR")))


def test_a_rounding_error_in_the_last_bit_changes_nothing(tmp_path):
    nudged = [row | {"value": math.nextafter(row["value"], 1)} for row in ROWS]
    assert write(tmp_path / "a") == write(tmp_path / "b", nudged)


def test_single_models_are_found_in_the_paper_by_name():
    rows = [{"row": "stackptr", "level": "UCM", "metric": "ACC", "value": 0.6}]
    frame = tables.beside_paper(rows, "Table 1")
    assert list(frame["paper"]) == [0.6583] and list(frame["paper_spread"]) == [0.0044]


@pytest.mark.parametrize(
    ("rows", "fault"),
    [
        ([{"row": "a", "level": "UAS", "value": 1}], "needs the columns metric"),
        ([ROWS[0] | {"lowest": 0.1}], "unknown columns lowest"),
        ([ROWS[0], ROWS[0]], "given twice: .* / Old / UAS / ACC"),
    ],
)
def test_bad_rows_are_refused(rows, fault):
    with pytest.raises(ValueError, match=fault):
        tables.tidy(rows)


def test_an_update_is_named_where_its_block_begins(tmp_path):
    rows = [*ROWS, *(row | {"group": "deepbiaf=>stackptr"} for row in ROWS)]
    text = write(tmp_path, rows)
    table = [line for line in text["md"].splitlines() if line.startswith(("| deep", "|  |"))]
    assert [line.split(" | ")[:2] for line in table] == [
        ["| deepbiaf ⇒ deepbiaf", "Old"],
        ["| ", "BCR"],
        ["| deepbiaf ⇒ stackptr", "Old"],
        ["| ", "BCR"],
    ]
    assert text["tex"].count(r"\addlinespace") == 1
    assert tables.to_html(tables.read_record(tmp_path / "table3.json")).count('class="group"') == 2
    assert r"deepbiaf $\Rightarrow$ stackptr & Old &" in text["tex"]


def test_the_compact_form_is_one_table_with_the_papers_in_brackets(tmp_path):
    write(tmp_path, [*ROWS, ROWS[2] | {"level": "UCM", "value": 0.02}])
    lines = tables.compact_grid(tables.read_record(tmp_path / "table3.json")).splitlines()
    assert lines[0] == "| method | ACC UAS | NFR UAS | NFR UCM |"
    assert lines[2:] == ["| Old | 87.23 (91.76) | – | – |", "| BCR | 87.41 (91.78) | 1.03 (0.84) | 2.00 (1.12) |"]


def test_html_escapes_every_text(tmp_path):
    evil = "<script>alert(1)</script>"
    write(tmp_path, [{"group": evil, "row": evil, "level": evil, "metric": evil, "value": 0.5}])
    html = tables.to_html(tables.read_record(tmp_path / "table3.json"))
    assert "<script" not in html and html.count("&lt;script&gt;") == 4


def test_other_units_are_printed_as_they_are_and_groups_that_are_no_updates_are_parsers(tmp_path):
    cell = {"row": "decode", "level": "speed", "metric": "sentences / s", "value": 13500.0, "unit": ""}
    text = write(tmp_path, [cell | {"group": kind, "paper": None} for kind in "ab"])["md"]
    assert "| parser | method | sentences / s |" in text and "| b | decode | 13,500.0 |" in text


def test_labels_and_signatures():
    assert [tables.Record("table", n, "", "", "", "", []).label for n in ("table3", "figure2_words", "seed_pairs")] == [
        "Table 3", "Figure 2 (words)", "Seed pairs"]  # fmt: skip
    assert tables.format_signature({"tags": {"SYM", "PUNCT"}, "n": 10}).startswith("tags:PUNCT,SYM|n:10|v:")


def test_names_that_are_no_file_names_are_refused(tmp_path):
    with pytest.raises(ValueError, match="cannot name"):
        write(tmp_path, name="../table3")
    assert not list(tmp_path.parent.glob("table3*"))


BARS = [
    {"group": DD, "row": row, "level": "UAS", "metric": metric, "value": value}
    for row, value in {"Untreated": 0.023, "BCR": 0.0103}.items()
    for metric in ("NFR", "NFI")
]
ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def folder(tmp_path):
    publisher = Publisher(tmp_path, {"preset": "clean"}, "make reproduce && true")
    for name in ("table8", "table1", "table10"):
        publisher.table(tables.beside_paper(BARS, "Table 3"), name, f"<b>{name}</b>", "c <i>")
    publisher.figure(nfr_nfi_by_method(BARS, "BCR halves the flips"), "figure2", pd.DataFrame(BARS), "c <i>")
    publisher.drawing("<svg/>", "one_update", "One sentence", "c <i>")
    return tmp_path


def test_page_shows_everything_in_the_papers_order(folder):
    page = write_index(folder, "demo").read_text(encoding="utf-8")
    names = ["table1", "figure2", "table8", "table10", "one_update"]
    assert re.findall(r'<section id="(\w+)">', page) == re.findall(r'<a href="#(\w+)">', page) == names
    assert "1.03" in page and "0.84" in page and "preset:clean" in page
    assert page.count("make reproduce &amp;&amp; true") == 5 and 'class="drawing"' in page


def test_page_is_well_formed_escaped_and_needs_nothing_of_elsewhere(folder):
    content = write_index(folder, "demo").read_text(encoding="utf-8")
    page = Page(content)
    assert not page.open and page.values("src") == ["figure2.svg", "one_update.svg"]
    assert "<b>table1" not in content and "&lt;b&gt;table1" in content and "c &lt;i&gt;" in content
    files = [link for link in page.values("href") if not link.startswith("#")]
    assert sorted(files) == sorted(p.name for p in folder.iterdir() if p.name != "index.html")


@pytest.mark.parametrize("profile", ["demo", "small"])
def test_the_page_of_a_profile_begins_with_a_picture_of_the_result_and_links_land_where_they_should(profile, tmp_path):
    """Every record has its chapter; every picture its size, so that nothing moves; all together at most 3 MB."""
    folder = shutil.copytree(ROOT / "figures" / profile, tmp_path / profile, ignore=shutil.ignore_patterns("*.html"))
    page = write_index(folder, profile).read_text(encoding="utf-8")
    assert page == (ROOT / "figures" / profile / "index.html").read_text(encoding="utf-8")
    for table in (record for record in map(tables.read_record, folder.glob("*.json")) if record.kind == "table"):
        assert tables.to_markdown(table) == (folder / f"{table.name}.md").read_text(encoding="utf-8")
        assert tables.to_latex(table) == (folder / f"{table.name}.tex").read_text(encoding="utf-8")
    order = re.findall(r'<section id="(\w+)">', page)
    assert order[0] in ("headline_cut", "headline") and "<h2>More</h2>" not in page
    assert order == re.findall(r'<a href="#(\w+)">', page) and len(order) == len(list(folder.glob("*.json")))
    assert "raises accuracy" in page.split("<section")[0]
    shown = re.findall(r'src="([\w.]+)" width="(\d+)" height="(\d+)"', page)
    assert len(shown) == page.count("<img ")
    for file, width, height in shown:
        box = re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', (folder / file).read_text())
        assert int(width) / int(height) == pytest.approx(float(box[1]) / float(box[2]), rel=0.01)
    assert len(page.encode()) + sum((folder / file).stat().st_size for file, _, _ in shown) <= 3e6


def test_faults_name_the_file(tmp_path):
    (tmp_path / "table1.json").write_text("[]")
    with pytest.raises(ValueError, match=r"table1\.json: not the record"):
        write_index(tmp_path, "demo")
    (tmp_path / "table1.json").unlink()
    tables.write_record(tables.Record("figure", "figure2", "", "", "", "", []), tmp_path)
    with pytest.raises(ValueError, match=r"figure2: no \.svg"):
        write_index(tmp_path, "demo")
