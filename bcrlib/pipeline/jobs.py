"""What is to be run, in which order, and the hash of what a result was made from.

Equal hashes mean that the work need not be done again. Counted: the notebook's code, the job's parameters, the results
it reads, and every module of our package that the notebook imports, directly or not, or that the job names because the
notebook computes its name. Not counted: outputs, prose, comments, docstrings, layout, the version number, modules that
are not imported - so editing a report does not retrain a parser - and other packages.
Data are not seen: what a notebook reads from elsewhere must come in as a parameter (a checksum, say) that changes when
the data change.
"""

import ast
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from graphlib import CycleError, TopologicalSorter
from importlib.util import resolve_name
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bcrlib import FACE

if TYPE_CHECKING:  # takes a second to load, and who draws tables needs the names of jobs alone
    from nbformat import NotebookNode

DRIVER_PARAMETERS = ("output_folder", "inputs")
"""Set by the driver, in notebooks that work for others: no job may set them itself."""
STORY_PARAMETERS = ("output", "results")
"""In their place in notebooks made for readers: the folder for tables and figures, and the one with stored results."""

OF_FACE = {f"bcrlib.{name}": module for name, module in FACE.items()}
"""Name that a notebook may use -> the module behind it."""


PACKAGE_FOLDER = Path(__file__).resolve().parents[1]


class GraphError(ValueError):
    """A graph that cannot be run as declared; found before anything runs."""


@dataclass(frozen=True)
class Job:
    """One execution of one parameterised notebook."""

    name: str
    """Unique in its graph; names the result folder, and the key under which dependents find it."""
    notebook: str
    """File name inside the folder of notebooks."""
    params: Mapping[str, Any] = field(default_factory=dict)
    """Values for names that the notebook's cell tagged `parameters` declares (JSON values)."""
    needs: tuple[str, ...] = ()
    """Names of the jobs whose results it reads."""
    modules: tuple[str, ...] = ()
    """Of our package, which the notebook imports by a computed name: they count as if it named them."""
    after: tuple[str, ...] = ()
    """Names of jobs that must have ended before, though it reads nothing of theirs; it stays fresh when they change."""


def in_running_order(jobs: Sequence[Job]) -> list[Job]:
    """The jobs, each after everything it needs or runs after, otherwise in the given order.

    GraphError, naming the jobs: a name twice or unfit for a folder, an unknown need, a cycle.
    O(jobs + needs).
    """
    by_name: dict[str, Job] = {}
    for job in jobs:
        if job.name in by_name:
            raise GraphError(f"two jobs are named {job.name!r}")
        if not job.name or job.name.startswith(".") or {*job.name} & {*"/\\@"}:
            raise GraphError(f"job name {job.name!r} cannot name a folder (no '/', '\\', '@', no leading dot)")
        by_name[job.name] = job
    earlier = {job.name: (*job.needs, *job.after) for job in jobs}
    for name, needs in earlier.items():
        if unknown := [need for need in needs if need not in by_name]:
            raise GraphError(f"job {name!r} needs {unknown[0]!r}, which is not a job of this graph")
    try:
        return [by_name[name] for name in TopologicalSorter(earlier).static_order()]
    except CycleError as error:
        # graphlib lists a need before its dependent; read backwards it says "a needs b needs a".
        raise GraphError("jobs need each other: " + " needs ".join(reversed(error.args[1]))) from None


def read_notebook(notebooks_folder: Path, name: str) -> "NotebookNode":
    """The notebook, in format 4.  GraphError: no such file, or not a notebook."""
    import nbformat

    path = notebooks_folder / name
    if not path.is_file():
        raise GraphError(f"notebook not found: {path}")
    try:
        return nbformat.read(path, as_version=4)
    except (ValueError, nbformat.ValidationError) as error:  # covers JSON and Unicode errors
        raise GraphError(f"{path} is not a notebook: {error}") from None


def declared_parameters(notebook: "NotebookNode") -> dict[str, bool]:
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


def check_parameters(job: Job, notebook: "NotebookNode") -> None:
    """GraphError where the job gives an undeclared name, or leaves out one without default."""
    try:
        declared = declared_parameters(notebook)
    except SyntaxError as error:
        raise GraphError(f"{job.notebook}: the parameters cell must be plain Python: {error}") from None
    of_driver = {*DRIVER_PARAMETERS, *STORY_PARAMETERS}
    needed = () if "output" in declared else DRIVER_PARAMETERS[: 2 if job.needs else 1]
    given = {*job.params, *of_driver}
    complaints = [
        *(f"{name} is set by the driver" for name in job.params if name in of_driver),
        *(f"unknown parameter {name}" for name in job.params if name not in declared),
        *(f"missing parameter {name}" for name, default in declared.items() if not default and name not in given),
        *(f"must declare {name}" for name in needed if name not in declared),
    ]
    if complaints:
        known = ", ".join(declared) or "nothing: no cell is tagged 'parameters'"
        raise GraphError(f"job {job.name!r}, {job.notebook}: {'; '.join(complaints)} (declared: {known})")


def job_fingerprint(code: str, job: Job, need_fingerprints: Mapping[str, str]) -> str:
    """64 hex digits for one job: `code` is the fingerprint of its notebook's code, needs come by name with theirs.

    The job's own name is not counted (renaming a job redoes nothing), the names of its needs are: the
    notebook sees them.  GraphError: a parameter that is no JSON value.
    """
    needs = {need: need_fingerprints[need] for need in job.needs}
    try:
        return _digest({"code": code, "params": dict(job.params), "needs": needs})
    except (TypeError, ValueError) as error:
        raise GraphError(f"job {job.name!r}: parameters must be JSON values: {error}") from None


@dataclass(frozen=True)
class Code:
    """The code a notebook runs: its own cells and all it imports from the package."""

    name: str
    """Of the notebook."""
    cells: tuple[str, ...]
    modules: Mapping[str, str]
    """Module -> its source; and the data beside it with its name (trees.py, trees.yaml), by their paths."""
    packages: tuple[str, ...]
    """Sorted names of all packages that the notebook, and our modules behind it, may import."""

    @property
    def fingerprint(self) -> str:
        """64 hex digits."""
        return _digest({"cells": self.cells, "modules": self.modules})

    @property
    def parts(self) -> dict[str, str]:
        """What the fingerprint counts, part by part: the notebook's name, modules, data files -> 16 digits."""
        return {part: _digest(source)[:16] for part, source in {self.name: self.cells, **self.modules}.items()}


def code_of(
    notebook: "NotebookNode",
    name: str,
    further_modules: Sequence[str] = (),
    package_folder: Path = PACKAGE_FOLDER,
) -> Code:
    """What counts of a notebook of this name.

    `further_modules` are imported by a computed name (`Job.modules`).  O(size of the sources).
    GraphError: a cell or a module that does not parse, a further module that is not there.
    """
    from IPython.core.inputtransformer2 import TransformerManager

    # IPython's `%magic` and `!command` lines become the function calls that they stand for.
    texts = [TransformerManager().transform_cell(cell.source) for cell in notebook.cells if cell.cell_type == "code"]
    cells = [_read(text, f"{name}, code cell {i}", "") for i, text in enumerate(texts, start=1)]
    for module in further_modules:
        if _module_file(module, package_folder) is None:
            raise GraphError(f"{name}: the package has no module {module!r}")
    modules: dict[str, str] = {}
    seen = {*_with_parents(further_modules)}.union(*(cell.imports for cell in cells))
    pending = [*seen]
    while pending:
        module = pending.pop()
        if (file := _module_file(module, package_folder)) is None:
            continue
        package = module if file.name == "__init__.py" else module.rpartition(".")[0]
        source = _read(file.read_text(encoding="utf-8"), str(file), package)
        modules[module] = source.code
        for data in sorted(file.parent.glob(f"{file.stem}.*")):
            if data.suffix != ".py":
                modules[str(data.relative_to(package_folder))] = data.read_text(encoding="utf-8")
        pending += source.imports - seen
        seen |= source.imports
    packages = tuple(sorted(name for name in seen if "." not in name))
    return Code(name, tuple(cell.code for cell in cells), modules, packages)


def _digest(content: Any) -> str:
    # NaN is no JSON and unequal to itself: refused.
    return hashlib.sha256(json.dumps(content, sort_keys=True, allow_nan=False).encode()).hexdigest()


@dataclass(frozen=True)
class _Source:
    """A cell or a module."""

    imports: frozenset[str]
    """The dotted names that it may load, with their parents: Python runs those first."""
    code: str
    """Normalised."""


@cache  # a run asks for a module once a notebook and once a job
def _read(text: str, place: str, package: str) -> _Source:
    try:
        tree = ast.parse(text)
    except SyntaxError as error:
        raise GraphError(f"{place}, line {error.lineno}: {error.msg}") from None
    tree.body = [  # what is for type checkers is never run
        statement
        for statement in tree.body
        if not (isinstance(statement, ast.If) and ast.unparse(statement.test) == "TYPE_CHECKING")
    ]
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = resolve_name("." * node.level + (node.module or ""), package)
            names.update(f"{base}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Attribute):
            names.update({ast.unparse(node)} & OF_FACE.keys())
    names.update(OF_FACE[name] for name in names & OF_FACE.keys())
    return _Source(frozenset(_with_parents(names)), _normalised(tree))


def _normalised(tree: ast.Module) -> str:
    """The tree as source again: parsing dropped comments and layout, here go docstrings and the version."""
    for node in ast.walk(tree):
        documented = isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef))
        if documented and ast.get_docstring(node, clean=False) is not None:
            # Not so in a module: an empty one that gets its first docstring stays the same work.
            node.body = node.body[1:] or ([] if isinstance(node, ast.Module) else [ast.Pass()])
    tree.body = [  # a release must not make every result stale
        statement
        for statement in tree.body
        if not (isinstance(statement, ast.Assign) and ast.unparse(statement.targets[0]) == "__version__")
    ]
    return ast.unparse(tree)


def _module_file(module: str, package_folder: Path) -> Path | None:
    """Its source file; None for another package's module, and for a name that is a function or a class."""
    parts = module.split(".")
    if parts[0] != package_folder.name:
        return None
    base = package_folder.joinpath(*parts[1:])
    candidates = [base / "__init__.py", base.with_name(base.name + ".py")]
    return next((file for file in candidates if file.is_file()), None)


def _with_parents(names: Sequence[str] | set[str]) -> set[str]:
    """ "a.b.c" -> "a", "a.b", "a.b.c" """
    return {name.rsplit(".", up)[0] for name in names for up in range(name.count(".") + 1)}
