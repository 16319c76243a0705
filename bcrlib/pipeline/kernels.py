"""Kernels that are forked from a process with the big libraries loaded, where that can be; else started as ever."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any, TextIO

from jupyter_client.connect import KernelConnectionInfo
from jupyter_client.provisioning import LocalProvisioner

FORK_SERVER = Path(__file__).with_name("fork_server.py")
_one_server = threading.Lock()  # two threads that start kernels at once would start a server each


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


class ForkedKernel:
    """What jupyter_client asks of subprocess.Popen, for a process that is the fork server's child."""

    stdin = stdout = stderr = None

    def __init__(self, pid: int, server: "ForkServer") -> None:
        self.pid, self.server = pid, server
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """Its exit code, None while it runs.  Without its server a kernel ends within a second."""
        if self.returncode is None:
            try:
                self.returncode = self.server.ask({"ended": self.pid})
            except ConnectionError:
                self.returncode = -signal.SIGKILL
        return self.returncode

    def wait(self) -> int:
        """Its exit code, once it has one."""
        while self.poll() is None:
            time.sleep(0.05)
        return self.returncode

    def send_signal(self, signum: int) -> None:
        """To the kernel alone, if it still runs."""
        if self.poll() is None:
            os.kill(self.pid, signum)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)


class ForkServer:
    """A fork_server.py of our own; it ends when this object or this process does."""

    def __init__(self, python: Sequence[str], environment: Mapping[str, str]) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            self.process = subprocess.Popen(
                [*python, str(FORK_SERVER), str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                cwd="/",
                env=environment,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )
        self._lock = threading.Lock()
        with ours:
            self._channel = ours.makefile("rw", encoding="utf-8")
        self.close = weakref.finalize(self, _close, self._channel, self.process)

    def ask(self, request: Mapping[str, Any]) -> Any:
        """Its answer.  ConnectionError: it is gone."""
        with self._lock:
            try:
                print(json.dumps(request), file=self._channel, flush=True)
                return json.loads(self._channel.readline())
            except (OSError, ValueError) as error:
                raise ConnectionError(f"no fork server: {error}") from None
            except BaseException:
                self.close()  # it might still answer, and the next question would get that
                raise


def _fork_kernel(
    command: Sequence[str], packages: Sequence[str], folder: str, environment: Mapping[str, str]
) -> ForkedKernel | None:
    """The kernel that `command` (python -m module ...) would start, in this folder; None where it cannot be forked."""
    if sys.platform != "linux":  # Windows has no fork, and the libraries of macOS do not survive one
        return None
    module = command.index("-m")
    request = {
        "packages": packages,
        "arguments": command[module + 2 :],
        "folder": str(folder),
        "environment": environment,
    }
    shared = {name: value for name, value in environment.items() if name != "IPYTHONDIR"}  # a kernel's own
    try:
        with _one_server:
            server = _server(tuple(command[:module]), tuple(sorted(shared.items())))
        pid = server.ask(request)
    except ConnectionError:
        return None
    return None if pid is None else ForkedKernel(pid, server)


@lru_cache(maxsize=1)  # the kernels of a run all have the same environment
def _server(python: Sequence[str], environment: Sequence[tuple[str, str]]) -> ForkServer:
    return ForkServer(python, dict(environment))


def _close(channel: TextIO, process: subprocess.Popen) -> None:
    process.kill()
    process.wait()
    with suppress(OSError):  # of a question that it can no longer hear
        channel.close()
