"""What a result was made from, as a hash: equal hashes mean that the work need not be done again.

Counted: the notebook's code, the job's parameters, the results it reads, and every module of our package that
the notebook imports, directly or not, or that the job names because the notebook computes its name.  Not counted:
outputs, prose, comments, docstrings, layout, the version number, modules that are not imported - so editing a report
does not retrain a parser - and other packages.
Data are not seen: what a notebook reads from elsewhere must come in as a parameter (a checksum, say) that
changes when the data change.
"""

import ast
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import nbformat
from IPython.core.inputtransformer2 import TransformerManager

from bcrlib.pipeline.jobs import GraphError, Job


def job_fingerprint(code: str, job: Job, need_fingerprints: Mapping[str, str]) -> str:
    """64 hex digits for one job: `code` is its notebook's `code_fingerprint`, needs come by name with theirs.

    The job's own name is not counted (renaming a job redoes nothing), the names of its needs are: the
    notebook sees them.  GraphError: a parameter that is no JSON value.
    """
    needs = {need: need_fingerprints[need] for need in job.needs}
    try:
        return _digest({"code": code, "params": dict(job.params), "needs": needs})
    except (TypeError, ValueError) as error:
        raise GraphError(f"job {job.name!r}: parameters must be JSON values: {error}") from None


def code_fingerprint(
    notebook: nbformat.NotebookNode, name: str, package_folder: Path, further_modules: Sequence[str] = ()
) -> str:
    """64 hex digits for the code a notebook runs: its own cells and all it imports from the package.

    `further_modules` are imported by a computed name (`Job.modules`).  `name` is for error messages.
    O(size of those sources).
    GraphError: a cell or a module that does not parse, a further module that is not there.
    """
    cells, modules = _sources(notebook, name, package_folder, further_modules)
    sources = {module: source.code for module, source in modules.items()}
    return _digest({"cells": [cell.code for cell in cells], "modules": sources})


def imported_packages(
    notebook: nbformat.NotebookNode, name: str, package_folder: Path, further_modules: Sequence[str] = ()
) -> tuple[str, ...]:
    """Sorted names of all packages that the notebook, and our modules behind it, may import.

    Arguments, cost and errors as for `code_fingerprint`.
    """
    cells, modules = _sources(notebook, name, package_folder, further_modules)
    imports = set().union(*(source.imports for source in (*cells, *modules.values())))
    return tuple(sorted(name for name in imports if name and "." not in name))


@dataclass(frozen=True)
class _Source:
    """A cell or a module: the dotted names it may load, with their parents, and its normalised code."""

    imports: frozenset[str]
    code: str


def _sources(
    notebook: nbformat.NotebookNode, name: str, package_folder: Path, further_modules: Sequence[str]
) -> tuple[list[_Source], dict[str, _Source]]:
    """The notebook's cells of code, and by dotted name every module of the package that they reach."""
    texts = [_plain_python(cell.source) for cell in notebook.cells if cell.cell_type == "code"]
    cells = [_read(text, f"{name}, code cell {i}", "") for i, text in enumerate(texts, start=1)]
    for module in further_modules:
        if _module_file(module, package_folder) is None:
            raise GraphError(f"{name}: the package has no module {module!r}")
    wanted = set().union(*(cell.imports for cell in cells), *map(_with_parents, further_modules))
    return cells, _reachable_modules(wanted, package_folder)


@cache  # a run asks for a module once a notebook and once a job
def _read(text: str, place: str, package: str) -> _Source:
    tree = _parse(text, place)
    return _Source(frozenset(_imported_names(tree, package)), _normalised(tree))


def _digest(content: dict[str, Any]) -> str:
    # NaN is no JSON and unequal to itself: refused.
    return hashlib.sha256(json.dumps(content, sort_keys=True, allow_nan=False).encode()).hexdigest()


def _plain_python(cell: str) -> str:
    """IPython's `%magic` and `!command` lines as the function calls they stand for."""
    return TransformerManager().transform_cell(cell)


def _parse(source: str, place: str) -> ast.Module:
    try:
        return ast.parse(source)
    except SyntaxError as error:
        raise GraphError(f"{place}, line {error.lineno}: {error.msg}") from None


def _normalised(tree: ast.Module) -> str:
    """The tree as source again: parsing dropped comments and layout, here go docstrings and the version."""
    for node in ast.walk(tree):
        documented = isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef))
        if documented and ast.get_docstring(node, clean=False) is not None:
            # Not so in a module: an empty one that gets its first docstring stays the same work.
            node.body = node.body[1:] or ([] if isinstance(node, ast.Module) else [ast.Pass()])
    tree.body = [statement for statement in tree.body if not _sets_version(statement)]
    return ast.unparse(tree)


def _sets_version(statement: ast.stmt) -> bool:
    # A release must not make every result stale.
    return isinstance(statement, ast.Assign) and ast.unparse(statement.targets[0]) == "__version__"


def _reachable_modules(wanted: set[str], package_folder: Path) -> dict[str, _Source]:
    """Dotted name -> source of every package module that some import statement reaches."""
    found: dict[str, _Source] = {}
    pending = sorted(wanted)
    while pending:
        module = pending.pop()
        file = _module_file(module, package_folder)
        if module in found or file is None:
            continue
        package = module if file.name == "__init__.py" else module.rpartition(".")[0]
        found[module] = _read(file.read_text(encoding="utf-8"), str(file), package)
        pending.extend(found[module].imports)
    return found


def _module_file(module: str, package_folder: Path) -> Path | None:
    """Its source file; None for another package's module, and for a name that is a function or a class."""
    parts = module.split(".")
    if parts[0] != package_folder.name:
        return None
    base = package_folder.joinpath(*parts[1:])
    candidates = [base / "__init__.py", base.with_name(base.name + ".py")]
    return next((file for file in candidates if file.is_file()), None)


def _imported_names(tree: ast.Module, package: str) -> set[str]:
    """Every dotted name that the import statements may load, with its parents (Python runs those first)."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = _absolute(node, package)
            names.update(f"{base}.{alias.name}" for alias in node.names)
    return set().union(*map(_with_parents, names))


def _with_parents(name: str) -> set[str]:
    """ "a.b.c" -> "a", "a.b", "a.b.c" """
    return {".".join(name.split(".")[:end]) for end in range(1, name.count(".") + 2)}


def _absolute(node: ast.ImportFrom, package: str) -> str:
    if node.level == 0:
        return node.module or ""
    parents = package.split(".")[: len(package.split(".")) - node.level + 1]
    return ".".join([*parents, *([node.module] if node.module else [])])
