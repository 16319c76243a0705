"""REPRODUCIBILITY.md: is what its files say, number by number, copes with what is missing; each row's command."""

import json
import re
import shutil
from pathlib import Path

import pytest

from bcrlib.experiments.paper_numbers import lookup
from bcrlib.pipeline.plan import plan
from bcrlib.pipeline.profile import load_profile
from bcrlib.report.pages import PROFILE, ROOT, reproducibility, row_command, row_overrides, row_seconds
from bcrlib.report.paper import PLACES, RETRAINED, PaperRow, paper_rows
from bcrlib.report.tables import read_record

DD = "deepbiaf=>deepbiaf"
SMALL = load_profile("small")


@pytest.fixture(scope="module")
def text() -> str:
    return reproducibility()


def section(text: str, table: str) -> str:
    return re.search(rf"^## {table}\n(.*?)(?=^## )", text, re.DOTALL | re.MULTILINE)[1]


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_the_committed_file_is_up_to_date(text):
    assert (ROOT / "REPRODUCIBILITY.md").read_text("utf-8") == text


def test_a_clone_does_not_mind_the_committed_results():
    folders = (ROOT / "figures" / PROFILE, ROOT / "data" / "correctness" / PROFILE)
    assert sum(file.stat().st_size for folder in folders for file in folder.rglob("*") if file.is_file()) <= 22e6


def test_the_paper_s_422_numbers_are_counted(text):
    assert "The paper has 422 numbers: the 402 below and 20 standard deviations" in text
    (total,) = [cells(line) for line in text.splitlines() if line.startswith("| all, speed too |")]
    assert total[1] == "402"


def test_every_table_has_every_row_of_the_paper(text):
    for table in PLACES:
        of_table = section(text, table)
        for row in paper_rows(table):
            first = next(iter(row.numbers.values()))
            shown = f"{first['paper']:.1f}" if table == "Section 6.4" else f"{100 * first['paper']:.2f}"
            assert re.search(rf"\| {re.escape(row.name)} \|[^\n]*<br>{shown}", of_table), (table, row)


def test_a_number_stands_beside_the_paper_s_with_its_verdict(text):
    rows = read_record(ROOT / "figures" / PROFILE / "table3.json").rows
    (ours,) = [r for r in rows if (r["group"], r["row"], r["level"], r["metric"]) == (DD, "Untreated", "UAS", "NFR")]
    paper = lookup("Table 3", DD, "Untreated", "UAS", "NFR")
    block = section(text, "Table 3").split("**UAS**")[1].split("**UCM**")[0]
    line = next(
        cells(line) for line in block.splitlines() if "| Untreated | clean |" in line or "| Untreated | both |" in line
    )
    expected = "inside" if ours["low"] <= paper <= ours["high"] else f"{100 * (ours['value'] - paper):+.2f}"
    number = f"{100 * ours['value']:.2f} [{100 * ours['low']:.2f}, {100 * ours['high']:.2f}]"
    assert line[3].replace("−", "-") == f"{number}<br>{100 * paper:.2f}: {expected}"


def test_no_table_is_wide_and_the_summary_stands_before_all_tables(text):
    assert max(len(cells(line)) for line in text.splitlines() if line.startswith("|")) <= 8
    heads = re.findall(r"^## (.*)$", text, re.MULTILINE)
    assert heads[:2] == ["Summary", "What is not reproduced, and why"] and heads.index("Table 1") < 8
    assert text[: text.index("## Table by table")].count("\n") <= 60  # one screen and a half, whatever is run


def test_what_is_not_reproduced_counts_every_number_once_by_its_method(text):
    page = section(text, "Method by method")
    inside = [list(map(int, found)) for found in re.findall(r"\| (\d+) of (\d+) \|", page.replace(" | ", " | | "))]
    missing = sum(
        map(int, re.findall(r"^- .*, (\d+) numbers: ", section(text, "What is not reproduced, and why"), re.M))
    )
    assert sum(of for _, of in inside) + missing == 402 - 4  # of speeds nothing is said
    assert f"| all, speed too | 402 | {402 - missing} | {sum(number for number, _ in inside)} of" in section(
        text, "Summary"
    )
    (distilled, _) = re.findall(r"^\| Distillation \| .*", page, re.MULTILINE)
    rows = [row for name in ("table3", "table8") for row in read_record(ROOT / f"figures/{PROFILE}/{name}.json").rows]
    ours = [r for r in rows if r["row"] == "Distillation" and r["metric"] == "NFR" and r["paper"] is not None]
    mean = sum(100 * (r["value"] - r["paper"]) for r in ours) / len(ours)
    assert cells(distilled)[4].replace("−", "-") == f"{mean:+.2f}"


def test_a_row_outside_names_departures_that_are_in_the_list_and_its_command(text):
    numbers = set(re.findall(r"^(\d+)\. \*", text, re.MULTILINE))
    for line in section(text, "Table 3").splitlines():
        if re.match(r"\| .*\| (clean|official|both) \|", line):
            *_, why, letter = cells(line)
            assert set(why.split()) <= numbers
            assert bool(why) == bool(re.search(r": [+−]\d", line))
            assert f"- {letter}: `bcr reproduce --profile {PROFILE}" in section(text, "Table 3")


def test_what_is_not_asked_for_says_so(text):
    demo = reproducibility("demo")
    assert "dropout-p(p=0.3) is in no grid of the run" in section(demo, "Table 5")
    assert "5 is not among the ensemble sizes 1, 2" in section(demo, "Figure 3")
    (first, _) = re.findall(r"\| \*\*s2s-large-part ⇒ s2s-large\*\*.*\n((?:\| [^*].*\n)+)", section(demo, "Table 4"))
    assert all("not among the updates" in line and "not run" in line for line in first.splitlines())
    assert "no update of the run has deepbiaf-part" in section(text, "Table 7")


def test_paths_in_it_exist(text):
    for path in re.findall(r"\]\(([^)#:]+)\)", text):
        assert (ROOT / path).exists(), path


def test_without_any_run_it_says_so(tmp_path):
    nothing = reproducibility("small", tmp_path)
    assert "not run: no data/correctness/small/dependency/manifest.json" in nothing
    assert ": inside" not in nothing.split("## Table 1")[1]
    assert "no table3.json" in section(nothing, "Table 3")


def test_a_manifest_says_what_it_has(tmp_path):
    kept = Path("data/correctness/small/dependency")
    manifest = json.loads((ROOT / kept / "manifest.json").read_text())
    recorded = {"commit": "abc+", "data": {"a/b.conllu": "1234567890abcdef", "roberta-base": None}}
    recorded |= {"seeds": {"old_seeds": [1, 2], "ensembles": [[3, 4]], "sampling": 7}}
    older = {key: value for key, value in manifest.items() if key not in ("commit", "data", "seeds", "wall_time")}
    (tmp_path / kept).mkdir(parents=True)
    shutil.copytree(
        ROOT / "figures" / "small", tmp_path / "figures" / "small", ignore=shutil.ignore_patterns("*.[!j]*")
    )
    (tmp_path / kept / "manifest.json").write_text(json.dumps(older))
    assert reproducibility("small", tmp_path).count("not recorded") == 2
    (tmp_path / kept / "manifest.json").write_text(json.dumps(older | recorded))
    told = reproducibility("small", tmp_path)
    assert "| abc+ |" in told and "a/b.conllu 1234567890ab, roberta-base from the hub" in told
    assert "old 1 2, ensembles (3, 4), sampling 7" in told


@pytest.mark.parametrize("name", ["demo", "small", "paper"])
def test_every_command_plans_the_models_and_the_notebook_of_its_row(name):
    profile = load_profile(name)
    for row in {(row.table, row.update, row.method): row for table in PLACES for row in paper_rows(table)}.values():
        overrides = row_overrides(profile, row)
        if overrides is None:
            continue
        jobs = {job.name for job in plan(load_profile(name, tuple(overrides)))}
        assert PLACES[row.table].notebook.removesuffix(".ipynb") in jobs
        half = profile if PLACES[row.table].task == "dependency" else profile.semantic
        old, new = half.old_seeds[0], half.new_seeds[0]
        if row.is_single:
            assert {f"train {row.update} {old}", f"train {row.update} {new}"} & jobs
        elif row.table in RETRAINED and any(
            update.old == row.update.split("=>")[1] for update in half.parsed_updates()
        ):
            assert {f"train {kind} {old}" for kind in row.update.split("=>")} <= jobs
        else:
            replaced, by = row.update.split("=>")
            assert {f"train {replaced} {old}", f"train {by} {new}"} <= jobs


def row_of(table: str, update: str) -> PaperRow:
    return next(row for row in paper_rows(table) if row.update == update)


def test_a_command_leaves_out_what_the_row_does_not_need():
    overrides = row_overrides(SMALL, row_of("Table 3", DD))
    expected = f"--set 'updates=[{DD}]' --set 'semantic.updates=[]' -o again"
    assert row_command(SMALL, overrides) == f"bcr reproduce --profile small {expected}"
    jobs = {job.name for job in plan(load_profile("small", tuple(overrides)))}
    assert not any("stackptr" in job or "frames" in job for job in jobs if not job[0].isdigit())
    assert row_overrides(load_profile("demo"), row_of("Table 4", "s2s-large-part=>s2s-large")) is None


def test_the_notebook_of_both_tasks_gets_one_update_of_the_other():
    overrides = row_overrides(SMALL, row_of("Table 4", "s2s-base=>s2s-large"))
    assert overrides == ["updates=[deepbiaf-static=>deepbiaf]", "semantic.updates=[s2s-base=>s2s-large]"]
    assert row_overrides(SMALL, row_of("Table 5", "s2s-base=>s2s-large"))[0] == "updates=[]"


def test_seconds_are_those_of_the_jobs_that_the_command_plans():
    overrides, later = row_overrides(SMALL, row_of("Table 3", DD)), ("collect", "speed")
    planned = [job.name for job in plan(load_profile("small", tuple(overrides)))]
    working = [name for name in planned if name not in later and not name[:2].isdigit()]
    jobs = {name: {"seconds": 2.0} for name in [*working, "train stackptr 1"]}
    assert row_seconds(SMALL, overrides, jobs) == 2.0 * len(working)
    assert row_seconds(SMALL, overrides, dict(list(jobs.items())[1:])) is None
