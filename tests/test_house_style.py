"""The house: how many rooms and lines it may have, docstrings and annotations, and who may import torch."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FILES = sorted((ROOT / "bcrlib").rglob("*.py"))
MAX_MODULES, MAX_LINES, MAX_TEST_LINES = 101, 25_100, 22_950
"""Whoever adds takes away: what the house has reached, and 3 %."""
LONGEST_MODULE = 400
WITHOUT_TORCH = ("data", "metrics", "experiments", "comparison", "report", "pipeline", "tasks", "cli", "reranking")
ROOMS = "data metrics reranking samplers parsers tasks experiments pipeline report comparison bench cli __init__"
"""From the ground floor up: a module imports from its own room and from those before it."""
UPWARD = {("report/pages.py", "comparison")}  # the README's blocks
BRINGS_TORCH = ("precompile",)


def num_lines(paths: list[Path]) -> int:
    return sum(len(path.read_text("utf-8").splitlines()) for path in paths)


def public(nodes: list[ast.stmt], kind: type) -> list:
    return [node for node in nodes if isinstance(node, kind) and not node.name.startswith("_")]


def is_compiled(function: ast.FunctionDef) -> bool:
    """Whether numba compiles it: its types come from the caller."""
    decorators = " ".join(map(ast.unparse, function.decorator_list))
    return any(name in decorators for name in ("njit", "compiled", "inlined"))


def test_the_house_stays_small():
    assert len([path for path in FILES if path.name != "__init__.py"]) <= MAX_MODULES
    assert num_lines(FILES) <= MAX_LINES
    assert num_lines(sorted((ROOT / "tests").rglob("*.py"))) <= MAX_TEST_LINES


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_can_be_read_in_a_sitting_and_says_what_it_does(path):
    assert num_lines([path]) <= LONGEST_MODULE
    tree = ast.parse(path.read_text("utf-8"))
    functions = [f for f in public(tree.body, ast.FunctionDef) if not is_compiled(f)]
    assert ast.get_docstring(tree)
    assert [n.name for n in [*public(tree.body, ast.ClassDef), *functions] if not ast.get_docstring(n)] == []
    bare = [f.name for f in functions if f.returns is None or any(not a.annotation for a in f.args.args)]
    assert bare == []


def test_counting_comparing_and_drawing_need_no_torch():
    modules = [".".join(path.relative_to(ROOT).with_suffix("").parts) for path in FILES if path.name != "__init__.py"]
    wanted = [name for name in modules if name.split(".")[1] in WITHOUT_TORCH and not name.endswith(BRINGS_TORCH)]
    code = f"import sys\nfor name in {wanted}: __import__(name); assert 'torch' not in sys.modules, name"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


def test_imports_go_down():
    """Those of type checkers included: a name that is only read tells what hangs together, too."""
    upward, rooms = set(), ROOMS.split()
    for path in FILES:
        place = path.relative_to(ROOT / "bcrlib").as_posix()
        room = rooms.index(place.partition("/")[0].removesuffix(".py"))
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            of = {name.split(".")[1] for name in names if name.startswith("bcrlib.")}
            upward |= {(place, other) for other in of if rooms.index(other) > room}
    assert upward == UPWARD


def test_no_name_is_left_behind_by_a_move():
    """Names that nothing defines. ruff takes axes in strings for names, so that its rule is off for all else."""
    command = ["ruff", "check", "--isolated", "--select", "F821", "--output-format", "json", "bcrlib", "tests", "docs"]
    found = subprocess.run([sys.executable, "-m", *command], capture_output=True, text=True, cwd=ROOT).stdout
    left_behind = []
    for one in json.loads(found):
        line = Path(one["filename"]).read_text("utf-8").splitlines()[one["location"]["row"] - 1]
        if line[one["location"]["column"] - 2] != '"':
            left_behind.append((one["filename"], one["message"]))
    assert left_behind == []
