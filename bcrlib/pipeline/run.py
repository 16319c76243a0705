"""Run a graph of jobs: decide what is fresh, hand the rest to Dask, tell what happens.

Which job runs when and where is Dask's work; ours is only the hash that says what need not run at all.
"""

import json
import logging
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from textwrap import shorten
from typing import Any

import dask
from dask.system import CPU_COUNT
from distributed import Client, Future, KilledWorker, LocalCluster, as_completed

from bcrlib.pipeline import results
from bcrlib.pipeline.execute import Finished, JobFailed, NotBegun, PlannedJob, run_job
from bcrlib.pipeline.jobs import Job, check_parameters, code_of, in_running_order, job_fingerprint, read_notebook

CONNECT_SECONDS = 20
# What Dask watches all the time on one machine: most of it for its page, of which there is none, in a tenth of a core.
UNWATCHED = {
    "distributed.worker.profile.enabled": False,
    "distributed.admin.tick.interval": "1s",
    "distributed.admin.system-monitor.interval": "10s",
    "distributed.scheduler.active-memory-manager.start": False,
    "distributed.scheduler.worker-ttl": None,  # silent for minutes: the machine slept; who dies is noticed at once
}
# It reaches the whole process group; only the driver shall act on it, and end its workers.
IGNORE_CTRL_C = "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)"


@dataclass(eq=False)
class GraphFailed(Exception):
    """Some jobs have no result.  failed: name -> reason; not_run: name -> the failed job it waited for."""

    failed: Mapping[str, str]
    not_run: Mapping[str, str]

    def __str__(self) -> str:
        lines = [f"{name} failed: {reason}" for name, reason in self.failed.items()]
        lines += [f"{name} not run because {cause} failed" for name, cause in self.not_run.items()]
        return "\n".join(lines)


@dataclass(eq=False)
class TimeIsUp(Exception):
    """The run ended as it was told to, before all its jobs had been begun; run again, it goes on."""

    num_left: int

    def __str__(self) -> str:
        return f"the time is up; jobs left: {self.num_left}. The same command goes on from here."


def plan_graph(jobs: Sequence[Job], notebooks_folder: Path, runs_folder: Path) -> list[PlannedJob]:
    """Every job with its fingerprint and result folder, in running order; nothing runs.

    GraphError: anything wrong with the graph, a notebook, its parameters or a module it imports.
    """
    places = (runs_folder.resolve(), notebooks_folder.resolve())
    ordered = in_running_order(jobs)
    notebooks = {name: read_notebook(notebooks_folder, name) for name in {job.notebook for job in ordered}}
    codes = {
        (name, modules): code_of(notebooks[name], name, modules).fingerprint
        for name, modules in {(job.notebook, job.modules) for job in ordered}
    }
    planned: dict[str, PlannedJob] = {}
    folders: dict[str, Path] = {}  # jobs that are the same work share one, named after the first of them
    for job in ordered:
        check_parameters(job, notebooks[job.notebook])
        needs = {need: planned[need].fingerprint for need in job.needs}
        code = codes[job.notebook, job.modules]
        fingerprint = job_fingerprint(code, job, needs)
        if fingerprint not in folders:
            folders[fingerprint] = results.result_folder(places[0], job.name, fingerprint)
        planned[job.name] = PlannedJob(job, code, fingerprint, needs, folders[fingerprint], *places)
    return list(planned.values())


def run_graph(
    jobs: Sequence[Job],
    notebooks_folder: Path,
    runs_folder: Path,
    report: Callable[[str], None],
    scheduler_address: str | None = None,
    num_workers: int | None = None,
    minutes: float | None = None,
    num_threads: int | None = None,
) -> dict[str, Path]:
    """Bring every job's result up to date; job name -> its result folder.

    Runs what is not fresh, on `num_workers` local processes (default: one a core, no more than jobs to run)
    or on the Dask cluster at `scheduler_address`, which must share the file system.
    num_threads: of a job; None: locally the cores are divided among the workers, unless OMP_NUM_THREADS is set, and on
    a cluster the workers' environment decides.
    The worker publishes a finished job at once, so a killed run loses only what was being worked on.
    minutes: after as many no job is begun; those under way are finished.
    GraphError: nothing was run.  GraphFailed: at the end, after everything that did not depend on a failure.
    TimeIsUp: jobs were left when the minutes were over.
    ConnectionError: no scheduler at that address, or it has no workers.
    """
    until = None if minutes is None else time.time() + 60 * minutes
    planned = plan_graph(jobs, notebooks_folder, runs_folder)
    results.remove_abandoned(runs_folder)
    numbers, total = count(1), len(planned)

    def tell(name: str, state: str) -> None:  # every job gets exactly one line
        report(f"[{next(numbers):{len(str(total))}}/{total}] {name}  {state}")

    stale = []
    for job in planned:
        fault = results.fault(job.folder, job.fingerprint)
        if fault is None:
            tell(job.job.name, "fresh")
            continue
        stale.append(job)
        if job.folder.exists():
            report(f"{job.folder}: {fault}, so it is made again")
    if stale:
        workers = num_workers or min(CPU_COUNT, len(stale))
        with _local_client(workers) if scheduler_address is None else _connect(scheduler_address) as client:
            report(f"{len(stale)} of {total} jobs to run on {len(client.nthreads())} workers")
            if num_threads is None and scheduler_address is None:
                chosen = os.environ.get("OMP_NUM_THREADS", "")
                num_threads = int(chosen) if chosen.isdigit() else max(1, CPU_COUNT // workers)
            _run_stale(client, planned, stale, num_threads, until, tell)
    return {job.job.name: job.folder for job in planned}


def reasons(jobs: Sequence[Job], notebooks_folder: Path, runs_folder: Path) -> dict[str, list[str]]:
    """The jobs that `run_graph` would run, in its order, and what has changed since the last result of that name.

    Errors as of `plan_graph`.  O(jobs folders).
    """
    found = {}
    for one in plan_graph(jobs, notebooks_folder, runs_folder):
        fault = results.fault(one.folder, one.fingerprint)
        if fault is not None:
            before = results.latest(runs_folder, one.job.name)
            found[one.job.name] = ["it never ran"] if before is None else (_changes(one, before) or [fault])
    return found


def _changes(planned: PlannedJob, before: Mapping[str, Any]) -> list[str]:
    job = planned.job
    notebook = read_notebook(planned.notebooks_folder, job.notebook)
    parts = code_of(notebook, job.notebook, job.modules).parts
    params = [_leaves(values) for values in (before["params"], dict(job.params))]
    changes = [
        f"{name}: {' -> '.join(shorten(value, 60, placeholder=' ...') for value in values)}"
        for name, *values in _differences(*params)
    ]
    kinds = {"input": (before["needs"], planned.need_fingerprints), "code of": (before.get("code", parts), parts)}
    for kind, sides in kinds.items():
        if names := [name for name, *_ in _differences(*sides)]:
            changes.append(f"{kind} {', '.join(names)}")
    is_same = before["fingerprint"] == planned.fingerprint
    return changes or ([] if is_same else ["code; an older record does not tell which"])


def _leaves(values: Mapping[str, Any], place: str = "") -> dict[str, str]:
    """{"training": {"num_epochs": 4}} -> {"training.num_epochs": "4"}"""
    found: dict[str, str] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            found |= _leaves(value, f"{place}{name}.")
        else:
            found[place + name] = json.dumps(value, sort_keys=True)
    return found


def _differences(before: Mapping[str, str], now: Mapping[str, str]) -> list[tuple[str, str, str]]:
    names = dict.fromkeys([*before, *now])
    pairs = [(name, before.get(name, "none"), now.get(name, "none")) for name in names]
    return [pair for pair in pairs if pair[1] != pair[2]]


def _run_stale(
    client: Client,
    planned: Sequence[PlannedJob],
    stale: Sequence[PlannedJob],
    threads: int | None,
    until: float | None,
    tell: Callable[[str, str], None],
) -> None:
    """threads: of a job.  until: the time of the clock until which one may begin."""
    known: dict[str, Future | Finished] = {job.job.name: Finished(job.folder, 0.0) for job in planned}
    names: dict[str, list[str]] = {}  # by the key of their future: equal work is one task
    for job in stale:
        needs = {need: known[need] for need in (*job.job.needs, *job.job.after)}
        known[job.job.name] = client.submit(run_job, job, needs, threads, until, key=str(job.folder))
        names.setdefault(str(job.folder), []).append(job.job.name)
    futures = [known[same[0]] for same in names.values()]
    errors: dict[str, JobFailed] = {}
    try:
        for future in as_completed(futures):
            for name in names[future.key]:
                if future.status == "finished":
                    tell(name, _duration(future.result().seconds))
                    continue
                errors[name] = error = _blame(name, future, names)
                if isinstance(error, NotBegun):
                    continue  # they are counted at the end
                is_its_own = error.job_name == name
                tell(name, f"FAILED: {error}" if is_its_own else f"not run because {error.job_name} failed")
    except BaseException:
        # Ctrl-C above all: what has not begun shall not begin on a cluster that lives on.
        client.cancel(futures, force=True)
        raise
    broken = {name: error for name, error in errors.items() if not isinstance(error, NotBegun)}
    if broken:
        failed = {name: str(error) for name, error in broken.items() if error.job_name == name}
        raise GraphFailed(failed, {name: error.job_name for name, error in broken.items() if name not in failed})
    if errors:
        raise TimeIsUp(len(errors))


def _blame(name: str, future: Future, names: Mapping[str, Sequence[str]]) -> JobFailed:
    """The failure in terms of jobs.  Dask gives dependents the very exception of what they waited for."""
    error = future.exception() if future.status == "error" else None
    if isinstance(error, JobFailed):
        return error
    if error is None:
        return JobFailed(name, "lost: the connection to the scheduler ended")
    if isinstance(error, KilledWorker):
        return JobFailed(names[error.task][0], "its worker process died each time (out of memory?)")
    return JobFailed(name, f"{type(error).__name__}: {error}")


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds // 60:.0f} min {seconds % 60:.0f} s"


@contextmanager
def _local_client(workers: int) -> Iterator[Client]:
    before = dict(os.environ)  # a local cluster puts its workers' thread limits there, and leaves them
    try:
        # Kernels hold the memory, not workers: there is nothing that Dask's limits could watch.
        # Silent, because every failure of a job comes as an exception and is reported once.  A job whose worker
        # dies gets one more try: whoever fills the memory need not be the one that is killed.
        with (
            dask.config.set(UNWATCHED),
            LocalCluster(
                n_workers=workers,
                threads_per_worker=1,
                processes=True,
                memory_limit=0,
                # Dask serves some page in any case; on a free port it disturbs no other cluster of this machine.
                dashboard_address="127.0.0.1:0",
                scheduler_kwargs={"dashboard": False, "allowed_failures": 1},
                silence_logs=logging.CRITICAL,
                preload=IGNORE_CTRL_C,
            ) as cluster,
            Client(cluster) as client,
        ):
            yield client
    finally:
        for name in {*os.environ} - {*before}:
            del os.environ[name]
        os.environ.update(before)


def _connect(address: str) -> Client:
    try:
        client = Client(address, timeout=CONNECT_SECONDS)
    except (OSError, ValueError) as error:
        raise ConnectionError(f"no Dask scheduler answers at {address}: {error}") from None
    try:
        client.wait_for_workers(1, timeout=CONNECT_SECONDS)
    except TimeoutError:
        client.close()
        raise ConnectionError(f"the Dask scheduler at {address} has no workers") from None
    return client
