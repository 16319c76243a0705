"""The command `bcr`: evaluate, reproduce, and what holds for all commands."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from command_runs import TINY, bcr, refused, run, work_folder  # noqa: F401  a fixture

import bcrlib.pipeline.run
from bcrlib.pipeline.run import GraphFailed, TimeIsUp

LEVELS = ["UAS", "UCM", "LAS", "LCM"]


def update(work: Path, folder: Path) -> list[object]:
    for name in ("old", "new"):
        output = folder / f"{name}.conllu"
        run("candidates", work / name, work / "test.conllu", "--strategy", "1-best", "-o", output)
    return ["--gold", work / "test.conllu", "--old", folder / "old.conllu", "--new", folder / "new.conllu"]


def test_evaluate_prints_one_object_of_levels(work, tmp_path):
    result = json.loads(run("evaluate", *update(work, tmp_path), "--json"))
    assert list(result) == LEVELS
    for rates in result.values():
        assert set(rates) == {"acc_old", "acc_new", "nfr", "pfr", "nfi", "num_units"}
        assert all(0 <= rates[name] <= 1 for name in rates if name != "num_units")
        assert rates["acc_new"] - rates["acc_old"] == pytest.approx(rates["pfr"] - rates["nfr"])


@pytest.mark.parametrize(("preset", "left_out"), [("clean", "PUNCT;"), ("official", "PUNCT, SYM;")])
def test_the_table_says_the_same_in_per_cent_and_names_its_definitions(work, tmp_path, preset, left_out):
    arguments = [*update(work, tmp_path), "--preset", preset]
    rates = json.loads(run("evaluate", *arguments, "--json"))["UAS"]
    text = run("evaluate", *arguments)
    row = next(line for line in text.splitlines() if line.split()[:1] == ["UAS"]).split()
    expected = [f"{100 * rates[name]:.2f}" for name in ("acc_old", "acc_new", "nfr", "pfr", "nfi")]
    assert row[1:7] == [str(rates["num_units"]), *expected]
    broken, repaired = (round(rates[name] * rates["num_units"]) for name in ("nfr", "pfr"))
    assert row[7:9] == [str(broken), str(repaired)] and 0 < float(row[9]) <= 1
    assert text.startswith(f"Definitions: {preset}; words except {left_out}")


def test_evaluate_refuses_by_file_line_and_fault(work, tmp_path):
    arguments = update(work, tmp_path)
    broken = tmp_path / "broken.conllu"
    broken.write_text((work / "test.conllu").read_text().replace("\t0\t", "\t1\t", 1).replace("\t1\t", "\t99\t", 1))
    assert f"{broken}:" in refused("evaluate", *arguments[:4], "--new", broken)
    assert f"{tmp_path}/no: No such file" in refused("evaluate", *arguments[:4], "--new", tmp_path / "no")
    assert "unknown preset 'dirty'; choose one of official, clean" in refused("evaluate", *arguments, "--preset=dirty")


@pytest.mark.corpus
def test_official_units_of_ewt_test(ewt):
    gold = ewt("test")
    arguments = ["--gold", gold, "--old", gold, "--new", gold, "--preset", "official", "--json"]
    result = json.loads(run("evaluate", *arguments))
    assert [result[level]["num_units"] for level in LEVELS] == [21_898, 2_077, 21_898, 2_077]
    assert all(result[level]["acc_new"] == 1 and result[level]["nfi"] == 0 for level in LEVELS)


def test_why_lists_what_would_run_and_runs_nothing(tmp_path):
    *jobs, number = run("reproduce", "--why", "-o", tmp_path, "--set", "semantic.updates=[]").splitlines()
    assert number == f"{len(jobs)} jobs would run" and "train deepbiaf 5: it never ran" in jobs
    assert list(tmp_path.iterdir()) == []


def test_reproduce_passes_its_options_on_and_says_how_far_it_is_on_stderr(tmp_path, monkeypatch):
    given = {}

    def stand_in(jobs, notebooks, runs, report, *options):
        given.update(trained={job.name for job in jobs if "train" in job.name}, runs=runs, options=options)
        report("[1/1] a job")
        raise TimeIsUp(5)

    monkeypatch.setattr(bcrlib.pipeline.run, "run_graph", stand_in)
    options = ["--set", "semantic.updates=[]", "--scheduler", "tcp://host:1", "--workers", 2, "--minutes", 7]
    result = bcr("reproduce", *options, "--set=threads=3", "-o", tmp_path)
    assert result.exit_code == 3 and result.stdout == ""
    assert result.stderr.startswith("[1/1] a job\nthe time is up") and "jobs left: 5" in result.stderr
    assert given["options"] == ("tcp://host:1", 2, 7, 3) and given["runs"] == tmp_path / "runs"
    assert "train deepbiaf 5" in given["trained"] and not any("s2s" in name for name in given["trained"])
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BCRLIB_RUNS", "elsewhere")
    assert bcr("reproduce").exit_code == 3 and given["options"] == (None, None, None, 1)
    assert given["runs"] == tmp_path / "elsewhere"


def test_failed_jobs_end_in_exit_code_1(tmp_path, monkeypatch):
    def fail(*_):
        raise GraphFailed({"train deepbiaf 1": "cell 3 broke"}, {"collect": "train deepbiaf 1"})

    monkeypatch.setattr(bcrlib.pipeline.run, "run_graph", fail)
    result = bcr("reproduce", "-o", tmp_path)
    assert result.exit_code == 1 and result.stdout == ""
    assert result.stderr.splitlines() == [
        "train deepbiaf 1 failed: cell 3 broke",
        "collect not run because train deepbiaf 1 failed",
    ]


def test_reproduce_refuses_unknown_names(tmp_path):
    assert "did you mean num_candidates?" in refused("reproduce", "--set", "num_candidate=3", "-o", tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_fault_of_the_program_is_not_blamed_on_the_user(monkeypatch):
    def broken(*_):
        raise KeyError("a mistake of ours")

    monkeypatch.setattr(bcrlib.pipeline.run, "run_graph", broken)
    assert isinstance(bcr("reproduce").exception, KeyError)


def test_debug_shows_where_an_error_comes_from(tmp_path):
    assert isinstance(bcr("--debug", "train", "--profile", "huge", "-o", tmp_path / "m").exception, ValueError)


def test_every_command_has_help():
    for command in ("reproduce", "train", "candidates", "rerank", "evaluate", "compare", "bench"):
        assert command in run("--help") and "Example" in run(command, "--help")


BCR = [sys.executable, "-c", "from bcrlib.cli import app; app()"]


def test_the_program_ends_with_one_line_and_code_2(work, tmp_path):
    (tmp_path / "bad.conllu").write_text("1\tgo\n\n")
    command = [*BCR, "evaluate", "--gold", "bad.conllu", "--old", "bad.conllu", "--new", "bad.conllu"]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.startswith("error: bad.conllu:1: ") and result.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("command", "needed"),
    [
        (["--help"], set()),
        (["evaluate", "--gold=g", "--old=g", "--new=g", "--json"], set()),
        (["compare", "--gold=g", "--old=g", "--new=g", "--html=h"], {"scipy", "pandas"}),
    ],
)
def test_light_commands_load_nothing_heavy(work, tmp_path, command, needed):
    shutil.copy(work / "test.conllu", tmp_path / "g")
    heavy = {"torch", "scipy", "numba", "distributed", "matplotlib", "pandas"} - needed
    code = (
        "import sys; from bcrlib.cli import app; "
        f"app({command}, standalone_mode=False); "
        f"sys.exit(sorted({heavy} & set(sys.modules)) or 0)"
    )
    result = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr


def test_ctrl_c_ends_with_130_and_leaves_nothing(work, tmp_path):
    options = ["--corpus", str(work), *TINY, "--set=training.num_epochs=100000", "-o", str(tmp_path / "model")]
    hears = (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "  # also where tests run behind nohup
    )
    command = [sys.executable, "-c", f"{hears}from bcrlib.cli import app; app()"]
    with subprocess.Popen([*command, "train", *options], stderr=subprocess.PIPE, text=True, env=os.environ) as process:
        assert process.stderr is not None
        assert process.stderr.readline().startswith("  1/")
        process.send_signal(signal.SIGINT)
        rest = process.stderr.read()
    assert process.returncode == 130
    assert rest.splitlines()[-1] == "interrupted" and "Traceback" not in rest
    assert list(tmp_path.iterdir()) == []
