"""A process that has loaded the big libraries once, and forks a kernel from itself whenever it is told to.

A script: `fork_server.py CHANNEL`, the number of an open socket. One JSON value a line comes in and one goes out:
    {"packages": [...], "arguments": [...], "folder": "...", "environment": {...}}  ->  the kernel's process, or null
    {"ended": process}  ->  the kernel's exit code, or null while it runs
It ends with the socket, and kernels end with it. It must be started in the kernels' environment, for libraries read
that when they are loaded, and it never forks while it has a second thread, for a lock that one holds would stay locked.
"""

import gc
import importlib
import json
import os
import signal
import socket
import sys
import warnings
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

KERNEL = ("ipykernel.kernelapp", "ipykernel.debugger")
# By package that a notebook imports: what takes its time, also modules that the package loads at first use.
WARM = {
    "matplotlib": ("matplotlib.figure", "matplotlib.backends.backend_agg", "matplotlib.backends.backend_svg"),
    "numba": ("numba",),
    "pandas": ("pandas",),
    "pyarrow": ("pyarrow.parquet",),
    "scipy": ("scipy.special", "scipy.sparse"),
    "seaborn": ("seaborn",),
    "torch": ("torch", "torch._dynamo"),  # an optimizer's first step loads the latter
    "transformers": (
        "transformers.masking_utils",
        "transformers.modeling_utils",
        "transformers.models.auto.modeling_auto",
        "transformers.models.auto.tokenization_auto",
        "transformers.models.bert.modeling_bert",
    ),
}
# Read when the libraries are loaded; kernels have their own environment then.
SETTINGS = {
    "MPLBACKEND": "module://matplotlib_inline.backend_inline",  # a kernel sets it before anything loads matplotlib
    "JE_ARROW_MALLOC_CONF": "background_thread:false",  # pyarrow would start one
    "PYDEVD_DISABLE_FILE_VALIDATION": "1",  # the debugger would complain in our terminal, not in a notebook
}


def main() -> None:
    """Answer until the other end closes; returns in forked processes alone, once their kernel has ended."""
    sys.path.remove(os.path.dirname(os.path.abspath(__file__)))  # a script's folder comes first; no kernel has that
    os.environ.update({**SETTINGS, **os.environ})
    server, request = os.getpid(), None
    with (
        suppress(BrokenPipeError),
        socket.socket(fileno=int(sys.argv[1])) as connection,
        connection.makefile("rw", encoding="utf-8") as channel,
    ):
        request = _serve(channel)
    if os.getpid() == server:
        os._exit(0)
    _become_kernel(server, **request)


def _serve(channel: Any) -> dict[str, Any] | None:
    """None when the other end has closed; in a forked process, what it was asked for."""
    _load(KERNEL)
    for line in channel:
        request = json.loads(line)
        if "ended" in request:
            answer = _ended(request["ended"])
        else:
            _load(module for package in request.pop("packages") for module in WARM.get(package, ()))
            answer = _fork()
            if answer == 0:
                return request
        print(json.dumps(answer), file=channel, flush=True)
    return None


def _load(modules: Iterable[str]) -> None:
    missing = [module for module in modules if module not in sys.modules]
    show, warnings.showwarning = warnings.showwarning, _show_nothing
    for module in missing:
        with suppress(Exception):  # the kernel will meet it again, and say so in its notebook
            importlib.import_module(module)
            if module == "numba":
                _load_compiler()
    warnings.showwarning = show
    if missing:
        gc.collect()
        gc.freeze()  # else a kernel's first collection touches all that was loaded, and so copies it


def _load_compiler() -> None:
    """What the first call of a compiled function would load."""
    target = importlib.import_module("numba.core.registry").cpu_target
    target.typing_context.refresh()
    target.target_context.refresh()


def _show_nothing(*warning: Any) -> None:
    """In place of `warnings.showwarning`: nobody sees which notebook a warning in our terminal is about."""


def _fork() -> int | None:
    """As os.fork; None where it cannot be or is not safe."""
    with suppress(OSError):
        return os.fork() if len(os.listdir("/proc/self/task")) == 1 else None


def _ended(process: int) -> int | None:
    # Nobody else waits for it: until it is asked for, an ended kernel keeps its number.
    ended, status = os.waitpid(process, os.WNOHANG)
    return os.waitstatus_to_exitcode(status) if ended else None


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
    main()
