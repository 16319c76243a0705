"""Run one notebook, and one job: a notebook whose results are filed under the hash of what made them."""

import logging
import os
import platform
import shutil
import socket
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
import papermill
from ipykernel.kernelspec import get_kernel_dict
from jupyter_client import AsyncKernelManager, KernelClient
from jupyter_client.kernelspec import KernelSpec
from nbclient.exceptions import DeadKernelError
from nbclient.util import run_sync
from papermill.exceptions import PapermillExecutionError

from bcrlib.pipeline import results
from bcrlib.pipeline.jobs import Job, code_of, declared_parameters, read_notebook
from bcrlib.pipeline.kernels import ForkingProvisioner

# What numerical libraries read when they are loaded.
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")
KERNEL_ENVIRONMENT = {
    "PYTHONHASHSEED": "0",
    # tqdm, which libraries load, says in notebooks that it misses widgets: nobody here needs them.
    "PYTHONWARNINGS": "ignore:IProgress not found",
    # Dask has its workers' allocator return memory at once. Numerical code would ask for the same pages again a
    # moment later: a third of a training's time went into page faults. glibc alone reads these.
    "MALLOC_TRIM_THRESHOLD_": str(2**34),
    "MALLOC_MMAP_THRESHOLD_": str(2**34),
}


@dataclass(eq=False)
class NotebookError(Exception):
    """A notebook did not reach its end."""

    notebook: str
    cell: int | None
    """Its number as shown in `In [n]` of the executed copy, None where none was running."""
    source: str
    """That cell's code."""
    error: str

    def __str__(self) -> str:
        place = f"{self.notebook}, cell In [{self.cell}]" if self.cell else self.notebook
        head = "".join(f"\n    {line}" for line in self.source.strip().splitlines()[:4])
        return f"{place}: {self.error}{head}"


@dataclass(eq=False)
class JobFailed(Exception):
    """A job without a result; `reason` names notebook, cell and error, `left` the folder of what it left."""

    job_name: str
    reason: str
    left: str | None = None

    def __str__(self) -> str:
        return self.reason + (f"\n    see {self.left}" if self.left else "")


class NotBegun(JobFailed):
    """A job that was not begun because the time for the run was up: nothing is wrong with it."""


@dataclass(frozen=True)
class PlannedJob:
    """A job with all that a worker must know: its hashes, and where it reads and writes."""

    job: Job
    code: str
    fingerprint: str
    need_fingerprints: Mapping[str, str]
    folder: Path
    runs_folder: Path
    notebooks_folder: Path


@dataclass(frozen=True)
class Finished:
    """A job's result folder and what it took, in seconds of wall time."""

    folder: Path
    seconds: float


class _ThisPython(AsyncKernelManager):
    """Starts kernels of the running interpreter, whatever kernel specifications the user has installed."""

    def __init__(self, num_threads: int | None, scratch: Path, packages: Sequence[str]) -> None:
        super().__init__(kernel_name="python3")
        self.num_threads, self.scratch = num_threads, scratch
        self.clients: list[KernelClient] = []
        self.provisioner = ForkingProvisioner(packages, parent=self, kernel_spec=self.kernel_spec)

    def client(self, **settings: Any) -> KernelClient:
        """A client that is remembered, for its connections have to be closed."""
        self.clients.append(super().client(**settings))
        return self.clients[-1]

    @property
    def kernel_spec(self) -> KernelSpec:
        # The level silences a warning about unencrypted local connections at every start.
        spec = get_kernel_dict(extra_arguments=["--IPKernelApp.log_level=40"])
        threads = {} if self.num_threads is None else dict.fromkeys(THREAD_VARIABLES, str(self.num_threads))
        # An IPYTHONDIR of its own: no user's start-up files, and no race of kernels to create the shared one.
        return KernelSpec(**spec, env={"IPYTHONDIR": str(self.scratch), **KERNEL_ENVIRONMENT, **threads})

    def end(self) -> None:
        """papermill ends only kernels that it started; ours would live, and keep its memory, as long as the worker."""
        for client in self.clients:
            client.stop_channels()  # else it would call for its kernel at ports that belong to the next one soon
        if self.has_kernel:
            run_sync(self.shutdown_kernel)(now=True)


def execute_notebook(
    notebook: nbformat.NotebookNode,
    name: str,
    executed: Path,
    parameters: Mapping[str, Any],
    working_folder: Path,
    num_threads: int | None = None,
    packages: Sequence[str] = (),
) -> nbformat.NotebookNode:
    """Run all cells with these parameters in a kernel of this interpreter; the executed notebook.

    name: for error messages.  executed: file for the executed copy, rewritten after every cell, so that it
    shows how far a killed run came.  working_folder: the kernel's current folder.  num_threads: of numerical
    libraries in the kernel; None leaves the environment's choice.  packages: what the cells import, directly or
    not; the big ones are loaded once for all kernels of this process.
    NotebookError: a cell raised, or the kernel died (most often for want of memory).
    """
    scratch = working_folder / ".ipython"
    manager = _ThisPython(num_threads, scratch, packages)
    try:
        return papermill.execute_notebook(
            notebook,
            executed,
            dict(parameters),
            kernel_name="python3",
            language="python",
            progress_bar=False,
            km=manager,
            coalesce_streams=True,  # where a kernel cuts what a cell prints is chance
            # Not papermill's `cwd`: it changes the folder of the whole process, that is of all its threads.
            resources={"metadata": {"path": str(working_folder)}},
        )
    except PapermillExecutionError as error:
        raise NotebookError(name, error.exec_count, error.source, f"{error.ename}: {error.evalue}") from None
    except DeadKernelError:
        cells = [cell for cell in nbformat.read(executed, as_version=4).cells if cell.cell_type == "code"]
        # Whether the dying cell still got its number is chance, so it is counted; blank cells get none.
        begun = [cell.source for cell in cells if cell.source.strip() and cell.metadata.papermill.start_time]
        dying = begun[-1] if begun else ""
        raise NotebookError(name, len(begun) or None, dying, "its kernel died (out of memory?)") from None
    except RuntimeError as error:  # nbclient's for a kernel that does not come up
        raise NotebookError(name, None, "", str(error)) from None
    finally:
        manager.end()
        shutil.rmtree(scratch, ignore_errors=True)


def run_job(
    planned: PlannedJob, need_results: Mapping[str, Finished], num_threads: int | None, until: float | None = None
) -> Finished:
    """Execute the job's notebook in a partial folder and publish that as the result.

    need_results: by the name under which the notebook knows them.  Its parameters get `output_folder` (".":
    it runs there) and `inputs` (need -> absolute folder); a notebook made for readers gets `output` and, if it asks for
    them, `results`, a copy laid out as by hand.  A result that is there already is taken.
    until: a time of the clock (`time.time`) after which no notebook is begun.
    JobFailed: the notebook failed, or its code changed since the hash was taken.  NotBegun: it was too late for it.
    """
    logging.getLogger("papermill").setLevel(logging.CRITICAL)  # what it would log comes as an exception
    start = time.monotonic()
    if results.fault(planned.folder, planned.fingerprint) is None:
        return Finished(planned.folder, 0.0)
    job, runs = planned.job, planned.runs_folder
    if until is not None and time.time() >= until:
        raise NotBegun(job.name, "the time was up before it began")
    notebook = read_notebook(planned.notebooks_folder, job.notebook)
    code = code_of(notebook, job.notebook, job.modules)
    if code.fingerprint != planned.code:
        raise JobFailed(job.name, f"{job.notebook} or a module it uses was edited meanwhile: run again")
    partial = results.new_partial(runs, job.name, planned.fingerprint)
    # Relative paths rather than the partial folder's: they stay true when the folder moves into place.
    declared, laid_out, parameters = declared_parameters(notebook), partial / "results", dict(job.params)
    if "output" in declared:
        parameters["output"] = "figures"
        if "results" in declared:
            for task, (collect, speed) in results.COLLECTED.items():
                if collect in job.needs:
                    results.lay_out(laid_out / task, need_results[collect].folder, need_results[speed].folder)
            parameters["results"] = laid_out.name
    else:
        parameters["output_folder"] = "."
        if job.needs:
            parameters["inputs"] = {need: str(need_results[need].folder) for need in job.needs}
    executed = partial / Path(job.notebook).name
    try:
        try:
            execute_notebook(notebook, job.notebook, executed, parameters, partial, num_threads, code.packages)
        finally:
            shutil.rmtree(laid_out, ignore_errors=True)
    except NotebookError as error:
        left = results.keep_failed(partial, runs, job.name)
        raise JobFailed(job.name, str(error), str(left)) from None
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    seconds = time.monotonic() - start
    record = {
        "name": job.name,
        "notebook": job.notebook,
        "params": dict(job.params),
        "needs": dict(planned.need_fingerprints),
        "fingerprint": planned.fingerprint,
        "code": code.parts,
        "seconds": round(seconds, 3),
        "host": socket.gethostname(),
        "python": platform.python_version(),
        "interpreter": sys.executable,
        "process": os.getpid(),
    }
    results.publish(partial, planned.folder, record)
    results.forget_failed(runs, job.name)
    return Finished(planned.folder, seconds)
