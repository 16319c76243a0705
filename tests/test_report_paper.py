"""The paper's rows beside a run's: every number once, every name found, the verdict by hand."""

from pathlib import Path

import pytest

from bcrlib.experiments.paper_numbers import lookup, paper_numbers, reranked_from
from bcrlib.report.paper import PLACES, PaperRow, Printed, Run, paper_rows, strategy_of, verdict
from bcrlib.report.publisher import ROOT
from bcrlib.report.tables import Record, beside_paper, plain_rows, write_record, write_table

ABOUT = {"title": "t", "caption": "c", "signature": {}, "command": "make reproduce"}
DD, SIZE = "deepbiaf=>deepbiaf", "s2s-base=>s2s-large"


def row_of(table: str, update: str, name: str, level: str) -> PaperRow:
    (found,) = [row for row in paper_rows(table) if (row.update, row.name, row.level) == (update, name, level)]
    return found


def number(group: str, row: str, level: str, metric: str, value: float, **further) -> dict:
    return {"group": group, "row": row, "level": level, "metric": metric, "value": value} | further


def run_with(folder: Path, preset: str = "clean", **tables: list[dict]) -> Run:
    for name, rows in tables.items():
        write_table(rows, folder, name, **ABOUT)
    return Run(folder, preset)


def test_every_number_of_the_paper_is_in_one_row():
    rows = [row for table in PLACES for row in paper_rows(table)]
    printed = [one for row in rows for one in row.numbers.values()]
    values = sorted([one.value for one in printed] + [one.spread for one in printed if one.spread is not None])
    of_file = paper_numbers().query("source == 'paper'")
    assert len(values) == len(of_file) == 422
    assert values == sorted(of_file["value"])
    assert sum(one.derived for one in printed) == (of_file["derived"] == "yes").sum()


def test_a_row_has_the_numbers_that_look_up_finds():
    row = row_of("Table 3", DD, "BCR (dropout-p)", "UCM")
    assert {metric: one.value for metric, one in row.numbers.items()} == {
        metric: lookup("Table 3", DD, "BCR", "UCM", metric) for metric in ("ACC", "NFR", "NFI")
    }
    single = row_of("Table 7", "stackptr-part", "stackptr-part", "LAS")
    assert single.numbers == {"ACC": Printed(0.8888, 0.0023, False)}
    assert single.is_single and single.of_update == ""


def test_params_and_strategies_are_each_other_s_reverse():
    rows = [row for row in paper_rows("Table 5") if row.method == "BCR"]
    assert {"beam(b=10)", "top-k(k=5)", "nucleus(p=0.95)", "dropout-p(p=0.3)"} < {row.name for row in rows}
    for row in rows:
        method, params = reranked_from(strategy_of(row.params))
        assert method == "BCR" and params.items() <= row.params.items()


@pytest.mark.parametrize(
    ("printed", "ours", "expected"),
    [
        ((0.9176, 0.001), (0.9186, None), "inside"),  # one deviation off, to the digit
        ((0.9176, 0.001), (0.9187, None), "+0.11"),
        ((0.9176, 0.001), (0.9100, (0.90, 0.92)), "−0.76"),  # the paper's spread decides where it is printed
        ((0.0166, None), (0.0156, (0.0138, 0.0173)), "inside"),
        ((0.0166, None), (0.0210, (0.0166, 0.0230)), "inside"),
        ((0.0166, None), (0.0210, (0.0167, 0.0230)), "+0.44"),
        ((171.0, None), (668.7, None), "–"),
        ((0.5, None), None, "not run"),
    ],
)
def test_verdicts_by_hand(printed, ours, expected):
    value, interval = ours or (None, None)
    low, high = interval or (None, None)
    assert verdict(Printed(*printed, False), ours and {"value": value, "low": low, "high": high}) == expected


def test_clean_is_in_the_table_and_official_in_the_file_of_both(tmp_path):
    both = [number(DD, "Old", "UAS", f"ACC {name}", value) for name, value in (("clean", 0.1), ("official", 0.2))]
    run = run_with(tmp_path, table3=[number(DD, "Old", "UAS", "ACC", 0.1)], definitions=both)
    row = row_of("Table 3", DD, "Old", "UAS")
    assert run.counted(row) == ["clean", "official"]
    assert [run.cell(row, "ACC", name)["value"] for name in ("clean", "official")] == [0.1, 0.2]
    assert run.counted(row_of("Table 8", DD, "Old", "LAS")) == []
    of_official = Run(tmp_path, "official")
    assert [of_official.cell(row, "ACC", name)["value"] for name in ("clean", "official")] == [0.1, 0.1]


def test_tables_of_old_models_have_both_in_their_rows(tmp_path):
    rows = [number("", f"stackptr, {name}", "LCM", "ACC", value) for name, value in (("clean", 0.3), ("official", 0.4))]
    rows += [number(DD, "Untreated, official", "LCM", "NFR", 0.5)]
    run = run_with(tmp_path, table7=rows)
    single, update = row_of("Table 7", "stackptr", "stackptr", "LCM"), row_of("Table 7", DD, "Untreated", "LCM")
    assert [run.cell(single, "ACC", name)["value"] for name in ("clean", "official")] == [0.3, 0.4]
    assert run.counted(update) == ["official"] and run.cell(update, "NFI", "official") is None


def test_the_papers_beam_is_the_one_that_lists_what_ends_first(tmp_path):
    plain, ended = (
        number(SIZE, row, "EM", "ACC", value) for row, value in (("beam(b=10)", 0.8), ("beam(b=10,ended)", 0.7))
    )
    row = row_of("Table 5", SIZE, "beam(b=10)", "EM")
    for rows, expected in (([plain], 0.8), ([plain, ended], 0.7)):
        assert run_with(tmp_path, table5=rows).cell(row, "ACC", "clean")["value"] == expected


def test_a_strategy_is_found_though_it_was_chosen(tmp_path):
    rows = [number(SIZE, "dropout-p(p=0.3), chosen on dev", "EM", "ACC", 0.8, low=0.7, high=0.85)]
    run = run_with(tmp_path, table5=rows)
    assert run.cell(row_of("Table 5", SIZE, "dropout-p(p=0.3)", "EM"), "ACC", "clean")["value"] == 0.8
    error = run.cell(row_of("Figure 2", SIZE, "dropout-p(p=0.3)", "EM"), "ER", "clean")
    assert [error[part] for part in ("value", "low", "high")] == pytest.approx([0.2, 0.15, 0.3])
    assert run.cell(row_of("Table 5", SIZE, "dropout-p(p=0.2)", "EM"), "ACC", "clean") is None


def test_an_ensemble_of_the_curve_has_the_paper_s_size(tmp_path):
    rows = [number(SIZE, "Ensemble", "EM", "ER", size / 100, ensemble_size=float(size)) for size in (1, 5)]
    content = plain_rows(beside_paper(rows, "Figure 3", along="ensemble_size"))
    write_record(Record("figure", "figure3", "t", "c", "", "make reproduce", content), tmp_path)
    run, row = Run(tmp_path, "clean"), row_of("Figure 3", SIZE, "Ensemble", "EM")
    assert run.cell(row, "ACC", "clean")["value"] == pytest.approx(0.95)
    assert run.cell(row, "ACC", "official") is None


def test_speeds_are_found_by_stage_and_precision(tmp_path):
    speeds = [number("stackptr", "1-best", name, "speed", 10.0, unit="sentences/s") for name in ("float32", "bfloat16")]
    run, row = run_with(tmp_path, speed=speeds), row_of("Section 6.4", "stackptr", "1-best", "speed")
    assert run.counted(row) == ["float32", "bfloat16"]
    assert run.cell(row, "SENTENCES_PER_SECOND", "bfloat16")["value"] == 10
    assert run.counted(row_of("Section 6.4", "deepbiaf", "1-best", "speed")) == []


@pytest.mark.parametrize("table", ["Table 3", "Table 8", "Table 9"])
def test_the_committed_tables_of_both_profiles_have_every_row(table):
    for profile in ("demo", "small"):
        run = Run(ROOT / "figures" / profile, "clean")
        for row in paper_rows(table):
            assert run.counted(row) == ["clean", "official"]
            cells = [run.cell(row, metric, name) for metric in row.numbers for name in run.counted(row)]
            assert all(cell["low"] <= cell["value"] <= cell["high"] for cell in cells)
