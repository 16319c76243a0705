"""`bcr course`: the notebooks as students get them, the same without outputs, without answers and without solutions.

The notebooks of the repository are the teacher's. In them a markdown cell tagged "answer" answers the question before
it, and in a code cell tagged "solution" the lines from `# begin solution` to `# end solution` are what students write.
"""

from copy import deepcopy
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bcrlib.cli.options import check_new_folder

if TYPE_CHECKING:  # takes long to load
    from nbformat import NotebookNode

BEGIN, END = "# begin solution", "# end solution"
TO_WRITE, TO_ANSWER = "...  # your code", "*Your answer:*"


def course(
    output: Annotated[Path, typer.Argument(metavar="FOLDER", help="New or empty; the notebooks are written there.")],
) -> None:
    """Write the students' copies of the notebooks: no outputs, no solutions.

    The notebooks of the repository have the answers to their questions and the
    solutions of their exercises; in the copies there is room for them. They run
    on the demo profile, without a network.

    Example: [green]bcr course homework[/green]
    """
    from bcrlib.pipeline.reproduce import ROOT

    check_new_folder(output)
    written = write_course(ROOT / "notebooks", output)
    typer.echo(f"{len(written)} notebooks; begin with {written[0]}")


def write_course(notebooks: Path, folder: Path) -> list[Path]:
    """Write the students' copies of all story notebooks into a new or empty folder; their paths in reading order.

    FileExistsError where something is in the folder: a student's work must not be overwritten. ValueError with the
    notebook's name for one that `students_copy` refuses.
    """
    import nbformat

    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise FileExistsError(f"{folder} is not empty: what students have written there would be lost")
    written = []
    for path in sorted(notebooks.glob("[0-9]*.ipynb")):
        try:
            copy = students_copy(nbformat.read(path, as_version=4))
        except ValueError as error:
            raise ValueError(f"{path.name}, {error}") from None
        nbformat.write(copy, folder / path.name)
        written.append(folder / path.name)
    return written


def students_copy(notebook: "NotebookNode") -> "NotebookNode":
    """A copy to work in. ValueError: a solution that does not begin or end, or is not tagged."""
    copy = deepcopy(notebook)
    for number, cell in enumerate(copy.cells, start=1):
        tags = cell.metadata.get("tags", [])
        if cell.cell_type == "code":
            cell.source = _without_solution(cell.source, "solution" in tags, number)
            cell.outputs, cell.execution_count = [], None
        elif "answer" in tags:
            cell.source = TO_ANSWER
    return copy


def _without_solution(source: str, tagged: bool, number: int) -> str:
    lines, kept, inside = source.splitlines(), [], False
    for line in lines:
        mark = line.strip()
        if mark not in (BEGIN, END):
            kept += [] if inside else [line]
            continue
        if not tagged or inside == (mark == BEGIN):
            raise ValueError(f"cell {number}: {mark!r} out of place, or no tag 'solution'")
        inside = mark == BEGIN
        kept += [line.replace(BEGIN, TO_WRITE)] if inside else []
    if inside or (tagged and len(kept) == len(lines)):
        raise ValueError(f"cell {number}: a solution needs the lines {BEGIN!r} and {END!r}")
    return "\n".join(kept)
