"""Notebooks made on the spot for the tests of the pipeline."""

import os
import time
from collections.abc import Callable
from pathlib import Path

import nbformat
import psutil
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

DRIVER_CELL = 'output_folder = "."\ninputs = {}\n'

# Writes `number` into number.txt.
NUMBER = "from pathlib import Path\nPath(output_folder, 'number.txt').write_text(str(number))"
# Writes the sum of what its needs wrote.
SUM = (
    "from pathlib import Path\n"
    "numbers = [int(Path(folder, 'number.txt').read_text()) for folder in inputs.values()]\n"
    "Path(output_folder, 'number.txt').write_text(str(sum(numbers)))"
)


def notebook(*cells: str, parameters: str = "") -> nbformat.NotebookNode:
    tagged = new_code_cell(DRIVER_CELL + parameters, metadata={"tags": ["parameters"]})
    return new_notebook(cells=[new_markdown_cell("# A claim"), tagged, *map(new_code_cell, cells)])


def write(folder: Path, name: str, *cells: str, parameters: str = "") -> None:
    folder.mkdir(exist_ok=True)
    nbformat.write(notebook(*cells, parameters=parameters), folder / name)


def write_arithmetic(folder: Path) -> None:
    write(folder, "number.ipynb", NUMBER, parameters="number: int")
    write(folder, "sum.ipynb", SUM)


def number(folder: Path) -> int:
    return int((folder / "number.txt").read_text())


def states(lines: list[str]) -> dict[str, str]:
    """Job -> what its line says, durations as 'ran'."""
    told = [line.partition("] ")[2].partition("\n")[0].split("  ", 1) for line in lines if line.startswith("[")]
    return {name: "ran" if state.endswith(" s") else state for name, state in told}


@pytest.fixture(autouse=True)
def quick_imports(tmp_path, monkeypatch):
    """An optional part of jsonschema takes seconds to import; without it all processes here start sooner."""
    (tmp_path / "stubs").mkdir()
    (tmp_path / "stubs" / "rfc3987_syntax.py").write_text("raise ImportError")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "stubs"), prepend=os.pathsep)


def wait_for(condition: Callable[[], object], seconds: float = 120) -> None:
    """Long enough for a busy machine, which starts kernels slowly."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)


def running(process: int) -> bool:
    try:
        return psutil.Process(process).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
