"""Runs with real Dask clusters and real kernels, also killed ones; the slowest tests of the pipeline."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from distributed import LocalCluster
from tiny_notebooks import SUM, number, quick_imports, running, states, wait_for, write, write_arithmetic  # noqa: F401

from bcrlib.pipeline.jobs import GraphError, Job
from bcrlib.pipeline.run import GraphFailed, TimeIsUp, reasons, run_graph

ARITHMETIC = [
    Job("one", "number.ipynb", {"number": 1}),
    Job("two", "number.ipynb", {"number": 2}),
    Job("three", "sum.ipynb", {}, ("one", "two")),
    Job("six", "sum.ipynb", {}, ("one", "two", "three")),
]


@pytest.fixture
def run(tmp_path):
    """run(jobs) -> (folders, lines) on two local workers; after a failure the lines are in run.lines."""
    write_arithmetic(tmp_path / "notebooks")

    def run_here(jobs, **options):
        run_here.lines = []
        options = {"num_workers": 2, "report": run_here.lines.append, **options}
        return run_graph(jobs, tmp_path / "notebooks", tmp_path / "runs", **options), run_here.lines

    return run_here


def test_graph_runs_once_and_again_only_what_changed(run, tmp_path):
    before = dict(os.environ)
    folders, lines = run(ARITHMETIC)
    assert {name: number(folder) for name, folder in folders.items()} == {"one": 1, "two": 2, "three": 3, "six": 6}
    assert lines[0] == "4 of 4 jobs to run on 2 workers"
    assert [line[:5] for line in lines[1:]] == ["[1/4]", "[2/4]", "[3/4]", "[4/4]"]
    assert set(states(lines).values()) == {"ran"}
    assert dict(os.environ) == before

    start = time.process_time()  # not the clock: other work here must not decide
    assert run(ARITHMETIC)[0] == folders
    assert time.process_time() - start < 1
    assert states(run.lines) == dict.fromkeys(folders, "fresh")

    # One parameter changed, one file lost, one job renamed, and the same work asked for twice.
    (folders["one"] / "number.txt").unlink()
    jobs = [
        Job("uno", "number.ipynb", {"number": 5}),
        Job("one", "number.ipynb", {"number": 1}),
        Job("two", "number.ipynb", {"number": 2}),
        Job("dos", "number.ipynb", {"number": 2}),
        Job("three", "sum.ipynb", {}, ("one", "two")),
        Job("drei", "sum.ipynb", {}, ("one", "two")),
        Job("seven", "sum.ipynb", {}, ("uno", "two")),
        Job("sept", "sum.ipynb", {}, ("uno", "two")),
    ]
    places = tmp_path / "notebooks", tmp_path / "runs"
    assert reasons(jobs, *places) == {
        "uno": ["it never ran"],
        "one": ["number.txt is missing or cut"],
        "seven": ["it never ran"],
        "sept": ["it never ran"],
    }
    changed, lines = run(jobs)
    assert states(lines) == {
        "uno": "ran",
        "one": "ran",
        "two": "fresh",
        "dos": "fresh",
        "three": "fresh",
        "drei": "fresh",
        "seven": "ran",
        "sept": "ran",
    }
    assert any("number.txt is missing or cut, so it is made again" in line for line in lines)
    assert changed["sept"] == changed["seven"] and number(changed["seven"]) == 7
    assert changed["drei"] == folders["three"]
    assert number(folders["one"]) == 1

    # Another parameter, and another program: each is told where it is, and whoever reads the result is told of its job.
    three = Job("three", "sum.ipynb", {}, ("one", "two"))
    jobs = [ARITHMETIC[0], Job("two", "number.ipynb", {"number": 3}), three]
    assert reasons(jobs, *places) == {"two": ["number: 2 -> 3"], "three": ["input two"]}
    write(places[0], "sum.ipynb", SUM, "print('done')")
    assert reasons(ARITHMETIC[:3], *places) == {"three": ["code of sum.ipynb"]}


def test_failures_stop_only_what_depends_on_them(run, tmp_path, capfd):
    write(tmp_path / "notebooks", "bad.ipynb", "1 / 0")
    write(tmp_path / "notebooks", "dead.ipynb", "import os\nos.kill(os.getpid(), 9)")
    jobs = [
        Job("bad", "bad.ipynb"),
        Job("dead", "dead.ipynb"),
        Job("after", "sum.ipynb", {}, ("one", "bad")),
        Job("later", "sum.ipynb", {}, ("after",)),
        Job("waits", "number.ipynb", {"number": 4}, after=("bad",)),
        *ARITHMETIC[:3],
    ]
    with pytest.raises(GraphFailed) as caught:
        run(jobs)
    assert caught.value.not_run == {"after": "bad", "later": "bad", "waits": "bad"}
    assert set(caught.value.failed) == {"bad", "dead"}
    assert "bad.ipynb, cell In [3]: ZeroDivisionError: division by zero" in caught.value.failed["bad"]
    assert "dead.ipynb, cell In [3]: its kernel died" in caught.value.failed["dead"]
    assert "later not run because bad failed" in str(caught.value)
    told = states(run.lines)
    assert told["bad"].startswith("FAILED: bad.ipynb, cell In [3]")
    assert told["later"] == "not run because bad failed"
    assert [told[job.name] for job in ARITHMETIC[:3]] == ["ran"] * 3
    assert len(told) == len(jobs)
    assert capfd.readouterr() == ("", "")

    write(tmp_path / "notebooks", "bad.ipynb", "Path = __import__('pathlib').Path\nPath('number.txt').write_text('4')")
    folders, lines = run([job for job in jobs if job.name != "dead"])
    assert number(folders["later"]) == 5
    ran = [name for name, state in states(lines).items() if state == "ran"]
    assert [name for name in ran if name != "waits"] == ["bad", "after", "later"]
    assert number(folders["waits"]) == 4 and ran.index("waits") > 0
    assert not (tmp_path / "runs" / "failed" / "bad").exists()


# A forked kernel is its worker's grandchild.
KILL_WORKER = """
import psutil
parent = psutil.Process().parent()
(parent.parent() if "bcrlib.pipeline.kernels" in parent.cmdline() else parent).kill()
"""


def test_a_run_told_to_end_begins_nothing_more_and_goes_on_the_next_time(run):
    with pytest.raises(TimeIsUp, match="jobs left: 4"):
        run(ARITHMETIC, minutes=0)
    assert run.lines == ["4 of 4 jobs to run on 2 workers"]
    folders, lines = run(ARITHMETIC, minutes=60)
    assert number(folders["six"]) == 6 and set(states(lines).values()) == {"ran"}


def test_job_whose_worker_dies_twice_fails(run, tmp_path):
    write(tmp_path / "notebooks", "killer.ipynb", KILL_WORKER)
    with pytest.raises(GraphFailed) as caught:
        run([Job("killer", "killer.ipynb"), Job("after", "sum.ipynb", {}, ("killer",))])
    assert caught.value.failed == {"killer": "its worker process died each time (out of memory?)"}
    assert caught.value.not_run == {"after": "killer"}


def test_nothing_runs_when_anything_is_wrong(run, tmp_path):
    for wrong in (Job("x", "number.ipynb", {"nubmer": 1}), Job("x", "none.ipynb"), Job("x", "sum.ipynb", {}, ("y",))):
        with pytest.raises(GraphError):
            run([*ARITHMETIC, wrong])
    assert not (tmp_path / "runs").exists()


def test_no_scheduler_at_the_address(run, monkeypatch):
    monkeypatch.setattr("bcrlib.pipeline.run.CONNECT_SECONDS", 1)
    with pytest.raises(ConnectionError, match=r"no Dask scheduler answers at tcp://127\.0\.0\.1:9"):
        run(ARITHMETIC, scheduler_address="tcp://127.0.0.1:9")


def test_scheduler_without_workers(run, monkeypatch):
    monkeypatch.setattr("bcrlib.pipeline.run.CONNECT_SECONDS", 1)
    with LocalCluster(n_workers=0, dashboard_address=":0") as cluster, pytest.raises(ConnectionError) as caught:
        run(ARITHMETIC, scheduler_address=cluster.scheduler_address)
    assert str(caught.value).endswith("has no workers")


@contextmanager
def dask_processes(folder: Path):
    """A scheduler and two workers, started from the command line as on a cluster; the scheduler's address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address, dask = f"tcp://127.0.0.1:{port}", [sys.executable, "-m", "dask"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": folder}
    quietly = ["--no-dashboard", "--host", "127.0.0.1"]
    scheduler = ["scheduler", "--port", str(port), "--dashboard-address", ":0", *quietly]
    worker = ["worker", address, "--nthreads", "1", "--memory-limit", "0", *quietly]
    processes = [subprocess.Popen([*dask, *command], **quiet) for command in (scheduler, worker, worker)]
    try:
        yield address
    finally:
        for process in reversed(processes):
            process.terminate()
        for process in processes:
            process.wait(20)


def test_scheduler_and_workers_started_elsewhere(run, tmp_path):
    write(tmp_path / "notebooks", "bad.ipynb", "1 / 0")
    with dask_processes(tmp_path) as address:
        folders, lines = run(ARITHMETIC, scheduler_address=address)
        assert number(folders["six"]) == 6
        assert "on 2 workers" in lines[0] or "on 1 workers" in lines[0]  # the second may come late
        with pytest.raises(GraphFailed) as caught:
            run(
                [*ARITHMETIC, Job("bad", "bad.ipynb"), Job("after", "sum.ipynb", {}, ("bad",))],
                scheduler_address=address,
            )
        assert caught.value.not_run == {"after": "bad"}
        # The cluster lives on, and what failed there is not remembered.
        write(tmp_path / "notebooks", "bad.ipynb", "open('number.txt', 'w').write('4')")
        assert number(run([Job("bad", "bad.ipynb")], scheduler_address=address)[0]["bad"]) == 4


DRIVER = """
import signal, sys
from pathlib import Path
from bcrlib.pipeline.jobs import Job
from bcrlib.pipeline.run import run_graph

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)
    jobs = [
        Job("quick", "number.ipynb", {"number": 1}),
        Job("slow", "slow.ipynb", {}, ("quick",)),
        Job("other", "slow.ipynb"),
        Job("end", "sum.ipynb", {}, ("quick", "slow", "other")),
    ]
    run_graph(jobs, Path("notebooks"), Path("runs"), print, num_workers=2)
"""
# Says which process it is, then works as long as the file `hold` is there.
SLOW = """
import os, time
from pathlib import Path
top = Path(output_folder).resolve().parents[2]
(top / f"kernel-{os.getpid()}").touch()
while (top / "hold").exists():
    time.sleep(0.1)
Path(output_folder, "number.txt").write_text("3")
"""


@pytest.fixture
def driver(tmp_path):
    """A run in its own process group, both workers amid a job; the process and its descendants."""
    write_arithmetic(tmp_path / "notebooks")
    write(tmp_path / "notebooks", "slow.ipynb", SLOW)
    (tmp_path / "driver.py").write_text(DRIVER)
    (tmp_path / "hold").touch()
    process = start_driver(tmp_path)
    wait_for(lambda: len(list(tmp_path.glob("kernel-*"))) == 2)
    family = psutil.Process(process.pid).children(recursive=True)
    kernels = {int(file.name.removeprefix("kernel-")) for file in tmp_path.glob("kernel-*")}
    assert kernels <= {member.pid for member in family}
    if sys.platform == "linux":  # forks keep the name of their server
        named = [member for member in family if "bcrlib.pipeline.kernels" in member.cmdline()]
        assert len(named) == 2 * len(kernels)
    yield process, family
    process.kill()


def start_driver(folder: Path) -> subprocess.Popen:
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    soon = os.environ | {"DASK_DISTRIBUTED__SCHEDULER__WORKER_TTL": "1s"}  # when Dask would give a silent worker up
    return subprocess.Popen([sys.executable, "driver.py"], cwd=folder, start_new_session=True, env=soon, **streams)


def test_kill_9_in_the_middle_then_the_same_command_again(driver, tmp_path):
    process, family = driver
    process.kill()
    assert "quick" in process.communicate(timeout=30)[0]
    wait_for(lambda: not any(running(member.pid) for member in family))

    (tmp_path / "hold").unlink()
    again = start_driver(tmp_path)
    told = states(again.communicate(timeout=60)[0].splitlines())
    assert again.returncode == 0
    assert told == {"quick": "fresh", "slow": "ran", "other": "ran", "end": "ran"}
    (end,) = (tmp_path / "runs").glob("*-end")
    assert number(end) == 7
    assert list((tmp_path / "runs" / ".partial").iterdir()) == []
    assert json.loads((end / "job.json").read_text())["name"] == "end"


def test_a_machine_that_slept_goes_on_where_it_was(driver, tmp_path):
    """No worker counts as lost for its silence, so that no job begins anew."""
    process, family = driver
    for sign in (signal.SIGSTOP, signal.SIGCONT):
        for member in family:
            member.send_signal(sign)
        time.sleep(12 if sign == signal.SIGSTOP else 2)
    (tmp_path / "hold").unlink()
    assert states(process.communicate(timeout=60)[0].splitlines())["end"] == "ran"
    assert len(list(tmp_path.glob("kernel-*"))) == 2


def test_ctrl_c_ends_everything_and_only_the_driver_speaks(driver):
    process, family = driver
    os.killpg(process.pid, signal.SIGINT)
    errors = process.communicate(timeout=30)[1]
    assert process.returncode == -signal.SIGINT
    assert errors.count("Traceback") == 1 and errors.rstrip().endswith("KeyboardInterrupt")
    wait_for(lambda: not any(running(member.pid) for member in family))
