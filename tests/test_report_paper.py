"""The paper's rows beside a run's: every number once, every name found, verdicts by hand, what differs by design."""

from dataclasses import asdict
from pathlib import Path

import pytest

from bcrlib.data.presets import PRESETS
from bcrlib.experiments.paper_numbers import lookup, paper_numbers, reranked_from, strategy_of
from bcrlib.pipeline.profile import load_profile
from bcrlib.report import paper
from bcrlib.report.publisher import ROOT, Publisher
from bcrlib.report.tables import Record, beside_paper, plain_rows, write_record

DD, SIZE = "deepbiaf=>deepbiaf", "s2s-base=>s2s-large"
ROWS = [row for table in paper.PLACES for row in paper.paper_rows(table)]
SMALL = load_profile("small")


def row_of(table: str, update: str, name: str, level: str) -> paper.PaperRow:
    (found,) = [row for row in paper.paper_rows(table) if (row.update, row.name, row.level) == (update, name, level)]
    return found


def number(group: str, row: str, level: str, metric: str, value: float, **further) -> dict:
    return {"group": group, "row": row, "level": level, "metric": metric, "value": value} | further


def run_with(folder: Path, preset: str = "clean", **tables: list[dict]) -> paper.Run:
    for name, rows in tables.items():
        Publisher(folder, {}, "make reproduce").table(rows, name, "t", "c")
    return paper.Run(folder, preset)


def test_every_number_of_the_paper_is_in_one_row():
    printed = [one for row in ROWS for one in row.numbers.values()]
    values = sorted(one[part] for one in printed for part in ("paper", "paper_spread") if one[part] is not None)
    of_file = paper_numbers().query("source == 'paper'")
    assert len(values) == len(of_file) == 422
    assert values == sorted(of_file["value"])
    assert sum(one["derived"] == "yes" for one in printed) == (of_file["derived"] == "yes").sum()


def test_a_row_has_the_numbers_that_look_up_finds():
    row = row_of("Table 3", DD, "BCR (dropout-p)", "UCM")
    assert {metric: one["paper"] for metric, one in row.numbers.items()} == {
        metric: lookup("Table 3", DD, "BCR", "UCM", metric) for metric in ("ACC", "NFR", "NFI")
    }
    single = row_of("Table 7", "stackptr-part", "stackptr-part", "LAS")
    assert [single.numbers["ACC"][part] for part in ("paper", "paper_spread", "unit")] == [0.8888, 0.0023, "%"]
    assert single.is_single and single.of_update == ""


def test_params_and_strategies_are_each_other_s_reverse():
    rows = [row for row in paper.paper_rows("Table 5") if row.method == "BCR"]
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
    printed = dict(zip(("paper", "paper_spread"), printed))
    assert paper.verdict(printed, ours and {"value": value, "low": low, "high": high}) == expected


def test_clean_is_in_the_table_and_official_in_the_file_of_both(tmp_path):
    both = [number(DD, "Old", "UAS", f"ACC {name}", value) for name, value in (("clean", 0.1), ("official", 0.2))]
    run = run_with(tmp_path, table3=[number(DD, "Old", "UAS", "ACC", 0.1)], definitions=both)
    row = row_of("Table 3", DD, "Old", "UAS")
    assert run.counted(row) == ["clean", "official"]
    assert [run.cell(row, "ACC", name)["value"] for name in ("clean", "official")] == [0.1, 0.2]
    assert run.counted(row_of("Table 8", DD, "Old", "LAS")) == []
    of_official = paper.Run(tmp_path, "official")
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
    run, row = paper.Run(tmp_path, "clean"), row_of("Figure 3", SIZE, "Ensemble", "EM")
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
        run = paper.Run(ROOT / "figures" / profile, "clean")
        for row in paper.paper_rows(table):
            assert run.counted(row) == ["clean", "official"]
            cells = [run.cell(row, metric, name) for metric in row.numbers for name in run.counted(row)]
            assert all(cell["low"] <= cell["value"] <= cell["high"] for cell in cells)


def texts(name: str, task: str, precisions: tuple = ()) -> dict[str, str]:
    return {one.what: one.text for one in paper.departures(task, paper.asked_of(load_profile(name), task), precisions)}


@pytest.mark.parametrize("task", ["dependency", "semantic"])
def test_the_authors_profile_differs_in_what_no_profile_can_have(task):
    always = {"dependency": {"Word vectors", "Ensembles", "Dropout rate"}}
    always["semantic"] = {"Ensembles", "Dropout rate", "Part of the data"}
    assert set(texts("authors", task)) == always[task]


def test_a_smaller_network_is_told_value_by_value():
    network = texts("small", "dependency")["Network"]
    assert "`hidden_size` 200 (512)" in network and "`num_layers` 2 (3)" in network
    assert "`word_size` 300 (100)" in network and "decoder_input_size" not in network  # the same
    assert texts("small", "semantic")["Encoder"].startswith("base: `encoder` minilm (roberta-base), `encoder_layers` 3")


def test_precision_and_seeds():
    assert "Precision" not in texts("small", "dependency", ("float32",))
    assert texts("small", "dependency", ("bfloat16", "float32"))["Precision"].endswith("in bfloat16 (float32)")
    num = len(SMALL.old_seeds)
    assert texts("small", "dependency")["Seeds"].startswith(f"{num} old and {len(SMALL.new_seeds)} new models")
    old_manifest = paper.asked_of(SMALL, "dependency") | {"ensembles": ["(1, 2, 3)"]}  # a group was text there
    (ensembles,) = [one.text for one in paper.departures("dependency", old_manifest) if one.what == "Ensembles"]
    assert ensembles.startswith("1 of 3 (5 of 5)")


def test_every_switch_belongs_to_one_task():
    clean, official = (asdict(PRESETS[name]) for name in ("clean", "official"))
    of_tasks = [paper.differing_switches(task) for task in ("dependency", "semantic")]
    assert not set(of_tasks[0]) & set(of_tasks[1])
    assert set().union(*of_tasks) == {name for name in clean if clean[name] != official[name]} - {"name"}
    assert set(paper.COUNTING) < set().union(*of_tasks)


def test_a_departure_concerns_its_own_rows():
    found = {one.what: one for one in paper.departures("dependency", paper.asked_of(SMALL, "dependency"))}
    names = {
        what: {row.name for row in ROWS if one.concerns(row, "clean") and not row.is_single}
        for what, one in found.items()
    }
    assert names["Ensembles"] == {"Ensemble"} and names["Students"] == {"Distillation"}
    assert names["Dropout rate"] == {"BCR (dropout-p)", "oracle NFR", "oracle ACC"}
    assert names["Network"] >= {"Old", "Untreated", "Ensemble"}
    counting, (row, *_) = found["Switches of counting"], paper.paper_rows("Table 3")
    assert counting.concerns(row, "clean") and not counting.concerns(row, "official")
    assert not any(
        one.concerns(row, "clean") for one in paper.departures("semantic", paper.asked_of(SMALL, "semantic"))
    )
