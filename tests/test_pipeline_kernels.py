"""Kernels forked from a server are like those that were started; the server and all kernels here are real."""

import gc
import json
import os
import signal
import sys
from concurrent.futures import ThreadPoolExecutor

import psutil
import pytest
from tiny_notebooks import notebook, quick_imports, running, wait_for  # noqa: F401

from bcrlib.pipeline import kernels
from bcrlib.pipeline.execute import NotebookError, execute_notebook

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="kernels are forked on Linux alone")

LOOK = """
import json, os, random, signal, sys, threading
loaded = "numba.np.arraymath" in sys.modules
import numba, numpy
own = ("IPYTHONDIR", "JPY_PARENT_PID", "PYDEVD_USE_FRAME_EVAL")  # of a kernel's start, not of its environment
look = {
    "folder": os.getcwd() == here,
    "path": sys.path,
    "flags": str(sys.flags),
    "hash": hash("a"),
    "group": os.getpgid(0) == os.getsid(0) == os.getpid(),
    "environment": {name: value for name, value in os.environ.items() if name not in own},
    "threads": threading.active_count(),
    "interrupt": str(signal.getsignal(signal.SIGINT)),
    "seeded": [numpy.random.default_rng(3).random(), random.Random(3).random()],
    "compiled": numba.njit(lambda x: 2 * x + 1)(0.1),
}
print(json.dumps([look, loaded, os.getppid(), [numpy.random.random(), random.random()]]))
"""


def execute(folder, *cells, packages=(), **values):
    """What the cells print."""
    folder.mkdir(exist_ok=True)
    parameters = "".join(f"{name} = ''\n" for name in values)
    content = notebook(*cells, parameters=parameters)
    executed = execute_notebook(content, "n.ipynb", folder / "n.ipynb", values, folder, 1, packages)
    return "".join(output.text for cell in executed.cells for output in cell.get("outputs", ()))


def is_server(process):
    return kernels.__name__ in psutil.Process(process).cmdline()


def test_a_forked_kernel_is_like_one_that_was_started(tmp_path, monkeypatch, capfd):
    def look(name):
        return json.loads(execute(tmp_path / name, LOOK, packages=("json", "numba"), here=str(tmp_path / name)))

    first, second = look("first"), look("second")
    monkeypatch.setattr(kernels, "_fork_kernel", lambda *kernel: None)
    started = look("started")
    assert first[0] == second[0] == started[0]
    assert (first[1], second[1], started[1]) == (True, True, False)
    assert first[2] == second[2] and is_server(first[2]) and started[2] == os.getpid()
    for draws in zip(first[3], second[3], started[3]):
        assert len(set(draws)) == 3
    assert len(psutil.Process(first[2]).children()) == 1  # the zombie of the last is there until the next
    assert capfd.readouterr() == ("", "")


def test_an_interrupt_reaches_the_cell(tmp_path):
    cell = (
        "import os, time\nopen('process', 'w').write(str(os.getpid()))\n"
        "os.rename('process', 'ready')\n"
        "try:\n    time.sleep(60)\nexcept KeyboardInterrupt:\n    print('interrupted')"
    )
    with ThreadPoolExecutor(1) as pool:
        printed = pool.submit(execute, tmp_path, cell)
        wait_for((tmp_path / "ready").exists)
        os.killpg(int((tmp_path / "ready").read_text()), signal.SIGINT)
        assert printed.result() == "interrupted\n"


def test_a_lost_server_takes_its_kernel_along_and_the_next_is_started(tmp_path):
    kill = "import os, signal, time\nopen('process', 'w').write(str(os.getpid()))\n"
    kill += "os.kill(os.getppid(), signal.SIGKILL)\ntime.sleep(60)"
    with pytest.raises(NotebookError, match="its kernel died"):
        execute(tmp_path, kill)
    wait_for(lambda: not running(int((tmp_path / "process").read_text())))
    assert int(execute(tmp_path, "import os\nprint(os.getppid())")) == os.getpid()


@pytest.mark.parametrize(
    ("package", "forked"),
    [
        ("raise RuntimeError('half installed')", True),
        ("import threading, time\nthreading.Thread(target=time.sleep, args=(60,), daemon=True).start()", False),
    ],
)
def test_a_package_that_the_server_cannot_load_or_not_safely(tmp_path, package, forked):
    (tmp_path / "stubs" / "seaborn.py").write_text(package)
    load = "import os\ntry:\n    import seaborn\nexcept RuntimeError as error:\n    print(error)\nprint(os.getppid())"
    *said, parent = execute(tmp_path, load, packages=("seaborn",)).splitlines()
    assert is_server(int(parent)) == forked
    assert said == (["half installed"] if forked else [])


def test_a_server_ends_when_nobody_has_it_any_more(tmp_path):
    server = int(execute(tmp_path, "import os\nprint(os.getppid())"))
    assert is_server(server) and running(server)
    kernels._server.cache_clear()
    gc.collect()
    wait_for(lambda: not running(server))


def test_two_at_once(tmp_path):
    meet = (
        "import os, time\nfrom pathlib import Path\n"
        "Path(mine).touch()\n"
        "while not Path(other).exists():\n    time.sleep(0.05)\n"
        "print(os.getppid(), os.getpid())"
    )
    one, two = str(tmp_path / "one"), str(tmp_path / "two")
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(execute, tmp_path / "a", meet, mine=one, other=two)
        second = pool.submit(execute, tmp_path / "b", meet, mine=two, other=one)
        (server, kernel), (other_server, other_kernel) = first.result().split(), second.result().split()
    assert kernel != other_kernel
    assert server == other_server and is_server(int(server))
