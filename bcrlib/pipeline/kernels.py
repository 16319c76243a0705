"""Kernels that are forked from a process with the big libraries loaded, where that can be; else started as ever.

That process, the fork server, is this module run as a script. A request comes in on its standard input, one line of
JSON: {"packages": [...], "arguments": [...], "folder": "...", "environment": {...}}; on its standard output goes the
number of the kernel's process, or null. It ends with its input, and kernels end with it. It is started in the kernels'
environment, for libraries read that when they are loaded, and it never forks while it has a second thread, for a lock
that one holds would stay locked.

multiprocessing's own fork server will not do: Dask's workers are daemons, which may have no children there; what it
loads is fixed when it starts, and no notebook needs all of it; and its children outlive the worker.
"""

import gc
import importlib
import json
import os
import signal
import subprocess
import sys
import threading
import warnings
import weakref
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from functools import lru_cache
from typing import Any, TextIO

import psutil
from jupyter_client.connect import KernelConnectionInfo
from jupyter_client.provisioning import LocalProvisioner

KERNEL = ("ipykernel.kernelapp", "ipykernel.debugger")
# What takes its time of the packages that a notebook imports, also modules that they load at first use.
WARM = (
    "matplotlib.figure",
    "matplotlib.backends.backend_agg",
    "matplotlib.backends.backend_svg",
    "numba",
    "pandas",
    "pyarrow.parquet",
    "scipy.special",
    "scipy.sparse",
    "seaborn",
    "torch",
    "torch._dynamo",  # an optimizer's first step loads it
    "transformers.masking_utils",
    "transformers.modeling_utils",
    "transformers.models.auto.modeling_auto",
    "transformers.models.auto.tokenization_auto",
    "transformers.models.bert.modeling_bert",
)
# Read when the libraries are loaded; kernels have their own environment then.
SETTINGS = {
    "MPLBACKEND": "module://matplotlib_inline.backend_inline",  # a kernel sets it before anything loads matplotlib
    "JE_ARROW_MALLOC_CONF": "background_thread:false",  # pyarrow would start one
    "PYDEVD_DISABLE_FILE_VALIDATION": "1",  # the debugger would complain in our terminal, not in a notebook
}
_one_at_a_time = threading.Lock()


class ForkingProvisioner(LocalProvisioner):
    """Has this process's fork server start the kernel; where that fails, starts it itself.

    packages: names of packages that the kernel's code imports; the server loads the big ones of them first.
    """

    def __init__(self, packages: Sequence[str], **settings: Any) -> None:
        super().__init__(**settings)
        self.packages = tuple(packages)

    async def launch_kernel(self, cmd: list[str], **settings: Any) -> KernelConnectionInfo:
        """The kernel of this command line; settings: Popen's, of which `cwd` and `env` are heeded."""
        process = _fork_kernel(cmd, self.packages, settings["cwd"], settings["env"])
        if process is None:
            return await super().launch_kernel(cmd, **settings)
        self.process, self.cwd = process, settings["cwd"]
        self.pid = self.pgid = process.pid
        return self.connection_info


class ForkServer:
    """This module as a script, in this environment; it ends when this object or this process does."""

    def __init__(self, python: Sequence[str], environment: Sequence[tuple[str, str]]) -> None:
        self.process = subprocess.Popen(
            [*python, "-m", __name__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd="/",
            env=dict(environment),
            start_new_session=True,
        )
        weakref.finalize(self, self.process.kill)


_server = lru_cache(maxsize=1)(ForkServer)  # the kernels of a run all have the same environment


class ForkedKernel:
    """What a provisioner asks of subprocess.Popen, for a child of the fork server, which is kept as long as this is."""

    stdin = stdout = stderr = None

    def __init__(self, pid: int, server: ForkServer) -> None:
        self.pid, self.server, self._process = pid, server, psutil.Process(pid)

    def poll(self) -> int | None:
        """None while it runs, then 0. Without its server a kernel ends within a second."""
        with suppress(psutil.NoSuchProcess):
            if self._process.is_running() and self._process.status() != psutil.STATUS_ZOMBIE:
                return None
        return 0

    wait = poll  # asked for when it has ended

    def send_signal(self, signum: int) -> None:
        """To the kernel alone, if it still runs."""
        if self.poll() is None:
            os.kill(self.pid, signum)


def _fork_kernel(
    command: Sequence[str], packages: Sequence[str], folder: str, environment: Mapping[str, str]
) -> ForkedKernel | None:
    """The kernel that `command` (python -m module ...) would start, in this folder; None where it cannot be forked."""
    if sys.platform != "linux":  # Windows has no fork, and the libraries of macOS do not survive one
        return None
    module = command.index("-m")
    arguments = command[module + 2 :]
    request = {"packages": packages, "arguments": arguments, "folder": str(folder), "environment": environment}
    shared = {name: value for name, value in environment.items() if name != "IPYTHONDIR"}  # a kernel's own
    with _one_at_a_time:
        server = _server(tuple(command[:module]), tuple(sorted(shared.items())))
        try:
            print(json.dumps(request), file=server.process.stdin, flush=True)
            pid = json.loads(server.process.stdout.readline())
            return None if pid is None else ForkedKernel(pid, server)
        except (OSError, ValueError, psutil.NoSuchProcess):  # the server is gone, or the kernel already
            return None
        except BaseException:
            server.process.kill()  # it might still answer, and the next question would get that
            raise


def serve() -> None:
    """Answer until the input ends; goes on as a kernel in forked processes alone."""
    sys.path.remove("/")  # the folder that it was started in; no kernel has that
    os.environ.update({**SETTINGS, **os.environ})
    requests, answers = os.fdopen(os.dup(0)), os.fdopen(os.dup(1), "w")
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)  # what libraries and kernels print is no answer
    server, request = os.getpid(), None
    with suppress(BrokenPipeError), requests, answers:
        request = _request_of_kernel(requests, answers)
    if request is not None:
        _become_kernel(server, request["arguments"], request["folder"], request["environment"])


def _request_of_kernel(requests: TextIO, answers: TextIO) -> dict[str, Any] | None:
    """None when the input has ended; in a forked process, what it was asked for."""
    _load(KERNEL)
    for line in requests:
        request = json.loads(line)
        _load(module for module in WARM if module.split(".")[0] in request["packages"])
        with suppress(ChildProcessError):  # nobody else waits for kernels that have ended
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        process = None
        with suppress(OSError):
            process = os.fork() if len(os.listdir("/proc/self/task")) == 1 else None
        if process == 0:
            return request
        print(json.dumps(process), file=answers, flush=True)
    return None


def _load(modules: Iterable[str]) -> None:
    missing = [module for module in modules if module not in sys.modules]
    # Nobody could see which notebook a warning in our terminal is about.
    show, warnings.showwarning = warnings.showwarning, lambda *warning: None
    for module in missing:
        with suppress(Exception):  # the kernel will meet it again, and say so in its notebook
            importlib.import_module(module)
            if module == "numba":  # and what the first call of a compiled function would load
                target = importlib.import_module("numba.core.registry").cpu_target
                target.typing_context.refresh()
                target.target_context.refresh()
    warnings.showwarning = show
    if missing:
        gc.collect()
        gc.freeze()  # else a kernel's first collection touches all that was loaded, and so copies it


def _become_kernel(server: int, arguments: list[str], folder: str, environment: dict[str, str]) -> None:
    os.setsid()
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    # Their global generators begin anywhere, and should not begin at the same place in all kernels.
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed()
    if "torch" in sys.modules:
        sys.modules["torch"].default_generator.seed()
    # That of the environment was read when ipykernel was loaded.
    sys.argv[1:] = [*arguments, f"--IPKernelApp.parent_handle={server}"]
    sys.modules["ipykernel.kernelapp"].launch_new_instance()


if __name__ == "__main__":
    serve()
