"""The length budget, kept by machine: files one can read in a sitting, functions of about ten lines."""

import ast
from pathlib import Path
from statistics import median

import pytest

ROOT = Path(__file__).resolve().parents[1]
FILES = sorted((ROOT / "bcrlib").rglob("*.py"))
TORCH_FREE = (
    "data",
    "decoding/derivations",
    "decoding/strategies",
    "decoding/spanning_trees",
    "decoding/k_best_trees",
    "decoding/k_best_labellings",
    "decoding/swap_search",
    "decoding/split_trees",
    "decoding/brute_force",
    "metrics",
    "pipeline",
    "report",
    "reranking",
    "correctness",
    "experiments",
    "candidates",
    "frame_candidates",
    "candidate_lines",
    "candidate_files",
    "frame_candidate_files",
    "predicted_frames",
    "tasks",
    "configuration",
    "presets",
    "rounds",
    "diversity",
    "comparison",
)


def functions(path: Path) -> list[ast.FunctionDef]:
    return [node for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.FunctionDef)]


def is_compiled(function: ast.FunctionDef) -> bool:
    """Whether numba compiles it: its types come from the caller."""
    return any("njit" in ast.unparse(d) or "compiled" in ast.unparse(d) or "inlined" in ast.unparse(d)
               for d in function.decorator_list)  # fmt: skip


def public_functions(path: Path) -> list[ast.FunctionDef]:
    top = ast.parse(path.read_text("utf-8")).body
    return [f for f in top if isinstance(f, ast.FunctionDef) and not f.name.startswith("_") and not is_compiled(f)]


def lines(function: ast.FunctionDef) -> int:
    return function.end_lineno - function.lineno + 1


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_file_and_no_function_is_too_long(path):
    assert len(path.read_text("utf-8").splitlines()) <= 400
    assert max((lines(f) for f in functions(path)), default=0) <= 60


def test_the_median_function_is_about_ten_lines():
    assert median(lines(f) for path in FILES for f in functions(path)) <= 12


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_public_functions_and_classes_have_docstrings(path):
    tree = ast.parse(path.read_text("utf-8"))
    classes = [node for node in tree.body if isinstance(node, ast.ClassDef) and not node.name.startswith("_")]
    assert ast.get_docstring(tree), path
    assert [node.name for node in [*classes, *public_functions(path)] if not ast.get_docstring(node)] == []


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_public_functions_are_annotated(path):
    bare = [f.name for f in public_functions(path) if f.returns is None or any(not a.annotation for a in f.args.args)]
    assert bare == []


@pytest.mark.parametrize("part", TORCH_FREE)
def test_what_stands_right_of_correctness_does_not_import_torch(part):
    place = ROOT / "bcrlib" / part
    for path in place.rglob("*.py") if place.is_dir() else [place.with_suffix(".py")]:
        for node in ast.parse(path.read_text("utf-8")).body:  # top level: what importing the module imports
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module] if isinstance(node, ast.ImportFrom) else []
            assert not any(name.split(".")[0] == "torch" or name.startswith("bcrlib.models") for name in names), path
