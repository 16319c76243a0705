"""The command `bcr`: reproduce, and what holds for all commands."""

import os
import shutil
import signal
import subprocess
import sys

import pytest
from command_runs import TINY, bcr, refused, run, work_folder  # noqa: F401  a fixture

import bcrlib.pipeline.run
from bcrlib.pipeline.run import GraphFailed, TimeIsUp


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


def test_the_program_ends_with_one_line_and_code_2(tmp_path):
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
        (["compare", "--gold=f", "--old=f", "--new=f", "--html=h"], {"scipy", "pandas"}),
        (["compare", "i", "--html=h"], {"scipy", "pandas"}),
    ],
)
def test_light_commands_load_nothing_heavy(work, tmp_path, command, needed):
    shutil.copy(work / "test.conllu", tmp_path / "g")
    (tmp_path / "f").write_text("play jazz\t[IN:PLAY play [SL:GENRE jazz ] ]\n")
    (tmp_path / "i").write_text('{"id": 1, "gold": 1, "old": 1, "new": 2}\n')
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
