"""A run that is killed or interrupted in the middle, with real workers and kernels."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from tiny_notebooks import number, quick_imports, states, write, write_arithmetic  # noqa: F401

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
    run_graph(jobs, Path("notebooks"), Path("runs"), num_workers=2)
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


def wait_for(condition, seconds=30):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.1)


def running(process: psutil.Process) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


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
    return subprocess.Popen([sys.executable, "driver.py"], cwd=folder, start_new_session=True, **streams)


def test_kill_9_in_the_middle_then_the_same_command_again(driver, tmp_path):
    process, family = driver
    process.kill()
    assert "quick" in process.communicate(timeout=30)[0]
    wait_for(lambda: not any(running(member) for member in family))

    (tmp_path / "hold").unlink()
    again = start_driver(tmp_path)
    told = states(again.communicate(timeout=60)[0].splitlines())
    assert again.returncode == 0
    assert told == {"quick": "fresh", "slow": "ran", "other": "ran", "end": "ran"}
    (end,) = (tmp_path / "runs").glob("*-end")
    assert number(end) == 7
    assert list((tmp_path / "runs" / ".partial").iterdir()) == []
    assert json.loads((end / "job.json").read_text())["name"] == "end"


def test_ctrl_c_ends_everything_and_only_the_driver_speaks(driver):
    process, family = driver
    os.killpg(process.pid, signal.SIGINT)
    errors = process.communicate(timeout=30)[1]
    assert process.returncode == -signal.SIGINT
    assert errors.count("Traceback") == 1 and errors.rstrip().endswith("KeyboardInterrupt")
    wait_for(lambda: not any(running(member) for member in family))
