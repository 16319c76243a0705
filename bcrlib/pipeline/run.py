"""Run a graph of jobs: decide what is fresh, hand the rest to Dask, tell what happens.

Which job runs when and where is Dask's work; ours is only the hash that says what need not run at all.
"""

import logging
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from dask.system import CPU_COUNT
from distributed import Client, Future, KilledWorker, LocalCluster, as_completed

import bcrlib
from bcrlib.pipeline import results
from bcrlib.pipeline.execute import Finished, JobFailed, NotBegun, PlannedJob, run_job
from bcrlib.pipeline.fingerprint import code_fingerprint, job_fingerprint
from bcrlib.pipeline.jobs import Job, check_parameters, in_running_order, read_notebook

PACKAGE_FOLDER = Path(bcrlib.__file__).parent
CONNECT_SECONDS = 20
# Ctrl-C reaches the whole process group; only the driver shall act on it, and end its workers.
IGNORE_CTRL_C = "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)"


class GraphFailed(Exception):
    """Some jobs have no result.  failed: name -> reason; not_run: name -> the failed job it waited for."""

    def __init__(self, failed: Mapping[str, str], not_run: Mapping[str, str]) -> None:
        super().__init__(failed, not_run)
        self.failed, self.not_run = failed, not_run

    def __str__(self) -> str:
        lines = [f"{name} failed: {reason}" for name, reason in self.failed.items()]
        lines += [f"{name} not run because {cause} failed" for name, cause in self.not_run.items()]
        return "\n".join(lines)


class TimeIsUp(Exception):
    """The run ended as it was told to, before all its jobs had been begun; run again, it goes on."""

    def __init__(self, num_left: int) -> None:
        super().__init__(num_left)
        self.num_left = num_left

    def __str__(self) -> str:
        return f"the time is up; jobs left: {self.num_left}. The same command goes on from here."


def print_line(line: str) -> None:
    """Print at once, also into a pipe."""
    print(line, flush=True)


def plan_graph(
    jobs: Sequence[Job], notebooks_folder: Path, runs_folder: Path, package_folder: Path = PACKAGE_FOLDER
) -> list[PlannedJob]:
    """Every job with its fingerprint and result folder, in running order; nothing runs.

    GraphError: anything wrong with the graph, a notebook, its parameters or a module it imports.
    """
    notebooks_folder, runs_folder = notebooks_folder.resolve(), runs_folder.resolve()
    ordered = in_running_order(jobs)
    notebooks = {name: read_notebook(notebooks_folder, name) for name in {job.notebook for job in ordered}}
    codes = {
        (name, modules): code_fingerprint(notebooks[name], name, package_folder, modules)
        for name, modules in {(job.notebook, job.modules) for job in ordered}
    }
    planned: dict[str, PlannedJob] = {}
    for job in ordered:
        check_parameters(job, notebooks[job.notebook])
        needs = {need: planned[need].fingerprint for need in job.needs}
        code = codes[job.notebook, job.modules]
        fingerprint = job_fingerprint(code, job, needs)
        # Jobs that are the same work share the folder, named after the first of them.
        twin = next((other for other in planned.values() if other.fingerprint == fingerprint), None)
        folder = twin.folder if twin else results.result_folder(runs_folder, job.name, fingerprint)
        planned[job.name] = PlannedJob(
            job,
            code,
            fingerprint,
            needs,
            folder,
            runs_folder,
            notebooks_folder,
            package_folder,
        )
    return list(planned.values())


def run_graph(
    jobs: Sequence[Job],
    notebooks_folder: Path,
    runs_folder: Path,
    scheduler_address: str | None = None,
    num_workers: int | None = None,
    package_folder: Path = PACKAGE_FOLDER,
    report: Callable[[str], None] = print_line,
    minutes: float | None = None,
) -> dict[str, Path]:
    """Bring every job's result up to date; job name -> its result folder.

    Runs what is not fresh, on `num_workers` local processes (default: one a core, no more than jobs to run)
    or on the Dask cluster at `scheduler_address`, which must share the file system.  Locally the cores are
    divided among the workers, unless OMP_NUM_THREADS is set; on a cluster the workers' environment decides.
    The worker publishes a finished job at once, so a killed run loses only what was being worked on.
    minutes: after as many no job is begun; those under way are finished.
    GraphError: nothing was run.  GraphFailed: at the end, after everything that did not depend on a failure.
    TimeIsUp: jobs were left when the minutes were over.
    ConnectionError: no scheduler at that address, or it has no workers.
    """
    until = None if minutes is None else time.time() + 60 * minutes
    planned = plan_graph(jobs, notebooks_folder, runs_folder, package_folder)
    results.remove_abandoned(runs_folder)
    progress = _Progress(len(planned), report)
    stale = [job for job in planned if not _report_fresh(job, progress)]
    if stale:
        workers = num_workers or min(CPU_COUNT, len(stale))
        with _client(scheduler_address, workers) as client:
            report(f"{len(stale)} of {len(planned)} jobs to run on {len(client.nthreads())} workers")
            threads = None if scheduler_address else _threads_each(workers)
            _run_stale(client, planned, stale, (threads, until), progress)
    return {job.job.name: job.folder for job in planned}


class _Progress:
    """Numbers the lines: every job gets exactly one."""

    def __init__(self, total: int, report: Callable[[str], None]) -> None:
        self.total, self.report, self.done = total, report, 0

    def line(self, name: str, state: str) -> None:
        self.done += 1
        self.report(f"[{self.done:{len(str(self.total))}}/{self.total}] {name}  {state}")


def _report_fresh(job: PlannedJob, progress: _Progress) -> bool:
    fault = results.fault(job.folder, job.fingerprint)
    if fault is None:
        progress.line(job.job.name, "fresh")
    elif job.folder.exists():
        progress.report(f"{job.folder}: {fault}, so it is made again")
    return fault is None


def _run_stale(
    client: Client,
    planned: Sequence[PlannedJob],
    stale: Sequence[PlannedJob],
    limits: tuple[int | None, float | None],
    progress: _Progress,
) -> None:
    """limits: of a job, its threads and the time of the clock until which it may begin."""
    futures = _submit(client, planned, stale, limits)
    # Twins share a future: `names` tells all jobs that one stands for.
    names: dict[str, list[str]] = {}
    for name, future in futures.items():
        names.setdefault(future.key, []).append(name)
    outcomes: dict[str, JobFailed] = {}
    try:
        for future in as_completed(list({future.key: future for future in futures.values()}.values())):
            for name in names[future.key]:
                _settle(name, future, names, outcomes, progress)
    except BaseException:
        # Ctrl-C above all: what has not begun shall not begin on a cluster that lives on.
        client.cancel(list(futures.values()), force=True)
        raise
    left = [name for name, error in outcomes.items() if isinstance(error, NotBegun)]
    broken = {name: error for name, error in outcomes.items() if name not in left}
    if broken:
        failed = {name: str(error) for name, error in broken.items() if error.job_name == name}
        not_run = {name: error.job_name for name, error in broken.items() if error.job_name != name}
        raise GraphFailed(failed, not_run)
    if left:
        raise TimeIsUp(len(left))


def _submit(
    client: Client,
    planned: Sequence[PlannedJob],
    stale: Sequence[PlannedJob],
    limits: tuple[int | None, float | None],
) -> dict[str, Future]:
    """Stale job name -> future of its result.  The key is the result folder: equal work is one task."""
    known: dict[str, Future | Finished] = {job.job.name: Finished(job.folder, 0.0) for job in planned}
    for job in stale:
        needs = {need: known[need] for need in (*job.job.needs, *job.job.after)}
        known[job.job.name] = client.submit(run_job, job, needs, *limits, key=str(job.folder))
    return {job.job.name: known[job.job.name] for job in stale}


def _settle(
    name: str,
    future: Future,
    names: Mapping[str, Sequence[str]],
    outcomes: dict[str, JobFailed],
    progress: _Progress,
) -> None:
    if future.status == "finished":
        first = names[future.key][0]
        took = _duration(future.result().seconds)
        progress.line(name, took if name == first else f"same work as {first}")
        return
    error = future.exception() if future.status == "error" else None
    outcomes[name] = _blame(name, error, names)
    if isinstance(outcomes[name], NotBegun):
        return  # they are counted at the end
    if outcomes[name].job_name == name:
        progress.line(name, f"FAILED: {outcomes[name]}")
    else:
        progress.line(name, f"not run because {outcomes[name].job_name} failed")


def _blame(name: str, error: BaseException | None, names: Mapping[str, Sequence[str]]) -> JobFailed:
    """The failure in terms of jobs.  Dask gives dependents the very exception of what they waited for."""
    if isinstance(error, JobFailed):
        return error
    if error is None:
        return JobFailed(name, "lost: the connection to the scheduler ended", None)
    if isinstance(error, KilledWorker):
        return JobFailed(names[error.task][0], "its worker process died each time (out of memory?)", None)
    return JobFailed(name, f"{type(error).__name__}: {error}", None)


def _duration(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds // 60:.0f} min {seconds % 60:.0f} s"


def _threads_each(workers: int) -> int:
    chosen = os.environ.get("OMP_NUM_THREADS", "")
    return int(chosen) if chosen.isdigit() else max(1, CPU_COUNT // workers)


@contextmanager
def _client(address: str | None, workers: int) -> Iterator[Client]:
    if address is not None:
        with _connect(address) as client:
            yield client
        return
    with _environment_kept(), _local_cluster(workers) as cluster, Client(cluster) as client:
        yield client


def _local_cluster(workers: int) -> LocalCluster:
    # Kernels hold the memory, not workers: there is nothing that Dask's limits could watch.
    # Silent, because every failure of a job comes as an exception and is reported once.  A job whose worker
    # dies gets one more try: whoever fills the memory need not be the one that is killed.
    return LocalCluster(
        n_workers=workers,
        threads_per_worker=1,
        processes=True,
        memory_limit=0,
        # Dask serves some page in any case; on a free port it disturbs no other cluster of this machine.
        dashboard_address="127.0.0.1:0",
        scheduler_kwargs={"dashboard": False, "allowed_failures": 1},
        silence_logs=logging.CRITICAL,
        preload=IGNORE_CTRL_C,
    )


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


@contextmanager
def _environment_kept() -> Iterator[None]:
    # A local cluster puts its workers' thread limits into this process's environment and leaves them there.
    before = dict(os.environ)
    try:
        yield
    finally:
        for name in set(os.environ) - set(before):
            del os.environ[name]
        os.environ.update(before)
