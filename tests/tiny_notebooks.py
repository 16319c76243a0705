"""Notebooks made on the spot for the tests of the pipeline."""

from pathlib import Path

import nbformat
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
