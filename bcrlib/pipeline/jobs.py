"""What is to be run: jobs, the order they allow, and the parameters their notebooks declare."""

import ast
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Any

import nbformat

# Set by the driver in every notebook, so no job may set them itself.
DRIVER_PARAMETERS = ("output_folder", "inputs")


class GraphError(ValueError):
    """A graph that cannot be run as declared; found before anything runs."""


@dataclass(frozen=True)
class Job:
    """One execution of one parameterised notebook.

    name      unique in its graph; names the result folder, and the key under which dependents find it.
    notebook  file name inside the folder of pipeline notebooks.
    params    values for names that the notebook's cell tagged `parameters` declares (JSON values).
    needs     names of the jobs whose results it reads.
    modules   modules of our package that the notebook imports by a computed name: they count as if it named them.
    after     names of jobs that must have ended before, though it reads nothing of theirs; its result stays fresh when
              theirs change.
    """

    name: str
    notebook: str
    params: Mapping[str, Any] = field(default_factory=dict)
    needs: tuple[str, ...] = ()
    modules: tuple[str, ...] = ()
    after: tuple[str, ...] = ()


def in_running_order(jobs: Sequence[Job]) -> list[Job]:
    """The jobs, each after everything it needs or runs after, otherwise in the given order.

    GraphError, naming the jobs: a name twice or unfit for a folder, an unknown need, a cycle.
    O(jobs + needs).
    """
    by_name = {job.name: job for job in jobs}
    if len(by_name) < len(jobs):
        names = [job.name for job in jobs]
        raise GraphError(f"two jobs are named {next(name for name in names if names.count(name) > 1)!r}")
    for job in jobs:
        _check_names(job, by_name)
    try:
        order = list(TopologicalSorter({job.name: (*job.needs, *job.after) for job in jobs}).static_order())
    except CycleError as error:
        # graphlib lists a need before its dependent; read backwards it says "a needs b needs a".
        raise GraphError("jobs need each other: " + " needs ".join(reversed(error.args[1]))) from None
    return [by_name[name] for name in order]


def _check_names(job: Job, by_name: Mapping[str, Job]) -> None:
    if not job.name or job.name.startswith(".") or set(job.name) & set("/\\@"):
        raise GraphError(f"job name {job.name!r} cannot name a folder (no '/', '\\', '@', no leading dot)")
    for need in (*job.needs, *job.after):
        if need not in by_name:
            raise GraphError(f"job {job.name!r} needs {need!r}, which is no job of this graph")


def declared_parameters(notebook: nbformat.NotebookNode) -> dict[str, bool]:
    """Names that the first cell tagged `parameters` declares -> whether the name has a default there.

    `seed = 1` and `seed: int = 1` have one; `seed: int` must be given by every job.
    """
    tagged = (cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", ()))
    cell = next((cell for cell in tagged if cell.cell_type == "code"), None)
    declared: dict[str, bool] = {}
    for statement in ast.parse(cell.source).body if cell is not None else ():
        if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
            declared[statement.target.id] = statement.value is not None
        elif isinstance(statement, ast.Assign):
            declared |= {target.id: True for target in statement.targets if isinstance(target, ast.Name)}
    return declared


def read_notebook(notebooks_folder: Path, name: str) -> nbformat.NotebookNode:
    """The notebook, in format 4.  GraphError: no such file, or not a notebook."""
    path = notebooks_folder / name
    if not path.is_file():
        raise GraphError(f"notebook not found: {path}")
    try:
        return nbformat.read(path, as_version=4)
    except (ValueError, nbformat.ValidationError) as error:  # covers JSON and Unicode errors
        raise GraphError(f"{path} is not a notebook: {error}") from None


def check_parameters(job: Job, notebook: nbformat.NotebookNode) -> None:
    """GraphError where the job gives an undeclared name, or leaves out one without default."""
    try:
        declared = declared_parameters(notebook)
    except SyntaxError as error:
        raise GraphError(f"{job.notebook}: the parameters cell must be plain Python: {error}") from None
    complaints = [
        *(f"{name} is set by the driver" for name in job.params if name in DRIVER_PARAMETERS),
        *(f"unknown parameter {name}" for name in job.params if name not in declared),
        *(f"missing parameter {name}" for name in _required(declared) if name not in job.params),
        *(f"must declare {name}" for name in _expected(job) if name not in declared),
    ]
    if complaints:
        known = ", ".join(declared) or "nothing: no cell is tagged 'parameters'"
        raise GraphError(f"job {job.name!r}, {job.notebook}: {'; '.join(complaints)} (declared: {known})")


def _required(declared: Mapping[str, bool]) -> list[str]:
    return [name for name, default in declared.items() if not default and name not in DRIVER_PARAMETERS]


def _expected(job: Job) -> tuple[str, ...]:
    return DRIVER_PARAMETERS if job.needs else DRIVER_PARAMETERS[:1]
