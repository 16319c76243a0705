"""`bcr course`: the notebooks as students get them, as nbgrader grades them, and as slides.

The notebooks of the repository are the teacher's. In them a markdown cell tagged "answer" answers the questions before
it, a numbered line each; in a code cell tagged "solution" the lines from `# begin solution` to `# end solution` are
what students write, and what follows are its checks. notebooks/hidden_tests.yaml has checks that students do not see.
"""

import re
from collections.abc import Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bcrlib.cli.options import check_new_folder

if TYPE_CHECKING:  # takes long to load
    from nbformat import NotebookNode

BEGIN, END = "# begin solution", "# end solution"
TO_WRITE, TO_ANSWER = "...  # your code", "*Your answer:*"
CHECK_POINTS, HIDDEN_POINTS, ANSWER_POINTS = 2, 1, 1
"""Of an exercise's checks, of its hidden ones, and of each question."""
HIDDEN_BEGIN, HIDDEN_END = "### BEGIN HIDDEN TESTS", "### END HIDDEN TESTS"
CONFIG = f"""\
c = get_config()
c.ClearSolutions.begin_solution_delimeter = "{BEGIN.removeprefix("# ")}"
c.ClearSolutions.end_solution_delimeter = "{END.removeprefix("# ")}"
c.ClearSolutions.code_stub = {{"python": "{TO_WRITE}"}}
c.ClearSolutions.text_stub = "{TO_ANSWER}"
c.Execute.timeout = 300
"""
"""nbgrader's, so that it understands our marks and makes the copies that we make."""
PACKAGE = "bcrlib[run]"

Output = Annotated[Path, typer.Argument(metavar="FOLDER", help="New or empty; everything is written there.")]
Package = Annotated[
    str, typer.Option(metavar="SPEC", help="What pip installs where bcrlib is missing: also an address, or a wheel.")
]
GitHub = Annotated[
    str | None,
    typer.Option(
        "--github",
        metavar="USER/REPO",
        help="Where you publish students/: the copies get links that open them in Colab and Binder.",
    ),
]


def course(output: Output, package: Package = PACKAGE, github: GitHub = None) -> None:
    """Write the course: students' notebooks, the same for grading, and slides.

    [bold]students[/bold]: no outputs, no solutions. A first cell installs bcrlib where it is
    missing. The notebooks run on the demo profile, without a network.

    [bold]grading[/bold]: a course folder of nbgrader, with solutions, points and checks that
    students do not see. In it, say [cyan]nbgrader generate_assignment 00_start_here[/cyan], put
    what comes back into submitted/NAME/00_start_here, then
    [cyan]nbgrader autograde 00_start_here[/cyan].

    [bold]slides[/bold]: with outputs, without solutions:
    [cyan]jupyter nbconvert --to slides slides/*.ipynb[/cyan].

    Example: [green]bcr course homework[/green]
    """
    from bcrlib.data.files import ROOT

    written = write_course(ROOT / "notebooks", output, package, github)
    typer.echo(f"{len(written)} notebooks; begin with {written[0]}")


def write_course(notebooks: Path, folder: Path, package: str = PACKAGE, github: str | None = None) -> list[Path]:
    """Write all story notebooks into a new or empty folder, in three forms; the students' copies in reading order.

    FileExistsError where something is in the folder; ValueError with the notebook's name for one that `graded` refuses,
    and for a repository that is not USER/REPO.
    """
    import nbformat
    import yaml

    if github is not None and not re.fullmatch(r"[\w.-]+/[\w.-]+", github):
        raise ValueError(f"--github takes USER/REPO, not {github!r}")
    hidden = yaml.safe_load((notebooks / "hidden_tests.yaml").read_text("utf-8"))
    check_new_folder(folder)  # what students have written there would be lost
    students, grading, slides = (folder / name for name in ("students", "grading", "slides"))
    written = []
    for path in sorted(notebooks.glob("[0-9]*.ipynb")):
        original = nbformat.read(path, as_version=4)
        try:
            teachers = graded(original, path.stem, hidden.get(path.stem, ""))
        except ValueError as error:
            raise ValueError(f"{path.name}, {error}") from None
        copy = students_copy(teachers)
        copy.cells[1:1] = set_up_cells(path.name, package, github)
        places = {
            students / path.name: copy,
            grading / "source" / path.stem / path.name: teachers,
            slides / path.name: as_slides(original),
        }
        for place, notebook in places.items():
            place.parent.mkdir(parents=True, exist_ok=True)
            nbformat.write(notebook, place)
        written.append(students / path.name)
    (students / "requirements.txt").write_text(f"{package}\n", "utf-8")  # Binder reads it
    (grading / "nbgrader_config.py").write_text(CONFIG, "utf-8")
    return written


def graded(notebook: "NotebookNode", name: str, hidden: str = "") -> "NotebookNode":
    """The teacher's notebook as nbgrader reads it: every exercise, its checks and its hidden checks are cells with
    points, and so are answers; without outputs.

    ValueError: a solution that does not begin or end, or is not tagged.
    """
    copy = deepcopy(notebook)
    copy.cells = []
    for number, original in enumerate(notebook.cells, start=1):
        cell, tags = deepcopy(original), original.metadata.get("tags", [])
        copy.cells.append(cell)
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
            if _is_solution(cell.source, "solution" in tags, number):
                place = f"{name}-{number}"
                cell.source, checks = _split(cell.source)
                cell.metadata.nbgrader = _marks(f"{place}-solution", 0)
                tests = {"checks": (checks, CHECK_POINTS), "hidden": (_hidden(hidden), HIDDEN_POINTS)}
                for kind, (source, points) in tests.items():
                    if source:
                        copy.cells.append(_test_cell(cell, source, f"{place}-{kind}", points))
        elif "answer" in tags:
            questions = len(re.findall(r"^\d+\. ", cell.source, re.MULTILINE)) or 1
            cell.metadata.nbgrader = _marks(f"{name}-{number}-answer", questions * ANSWER_POINTS)
    return copy


def _is_solution(source: str, tagged: bool, number: int) -> bool:
    marks = [line.strip() for line in source.splitlines() if line.strip() in (BEGIN, END)]
    if marks and (not tagged or marks != [BEGIN, END] * (len(marks) // 2)):
        raise ValueError(f"cell {number}: {BEGIN!r} or {END!r} out of place, or no tag 'solution'")
    if tagged and not marks:
        raise ValueError(f"cell {number}: a solution needs the lines {BEGIN!r} and {END!r}")
    return bool(marks)


def _split(source: str) -> tuple[str, str]:
    """A cell up to its last solution, with the rest of that function; and what follows, its checks."""
    lines = source.splitlines()
    end = max(place for place, line in enumerate(lines) if line.strip() == END) + 1
    checks = next((place for place in range(end, len(lines)) if lines[place][:1].strip()), len(lines))
    return "\n".join(lines[:checks]).rstrip(), "\n".join(lines[checks:])


def _hidden(checks: str) -> str:
    return f"# Further checks, which only the grader has.\n{HIDDEN_BEGIN}\n{checks}{HIDDEN_END}" if checks else ""


def _marks(grade_id: str, points: int, is_test: bool = False) -> dict[str, object]:
    """nbgrader's metadata of a cell, as its schema 3 has them."""
    marks = {"grade_id": grade_id, "grade": points > 0, "solution": not is_test, "locked": is_test, "task": False}
    return marks | ({"points": points} if points else {}) | {"schema_version": 3}


def _test_cell(exercise: "NotebookNode", source: str, grade_id: str, points: int) -> "NotebookNode":
    cell = deepcopy(exercise)
    cell.id, cell.source = f"{exercise.id[:50]}-{grade_id.rsplit('-', 1)[-1]}", source
    cell.metadata = {"nbgrader": _marks(grade_id, points, is_test=True)}
    return cell


def students_copy(notebook: "NotebookNode") -> "NotebookNode":
    """A copy of what `graded` made, to work in: room where solutions and answers were, no hidden checks."""
    copy = deepcopy(notebook)
    for cell in copy.cells:
        if cell.cell_type == "code":
            cell.source = _without(_without(cell.source, BEGIN, END, TO_WRITE), HIDDEN_BEGIN, HIDDEN_END)
        elif "answer" in cell.metadata.get("tags", []):
            cell.source = TO_ANSWER
    return copy


def _without(source: str, begin: str, end: str, room: str = "") -> str:
    """The source with `room` in place of two marks and whatever stands between them."""
    marked = rf"^([ \t]*){re.escape(begin)}[ \t]*$.*?^[ \t]*{re.escape(end)}[ \t]*$\n?"
    found = re.sub(marked, rf"\1{room}\n" if room else "", source, flags=re.MULTILINE | re.DOTALL)
    return found.removesuffix("\n")


def set_up_cells(name: str, package: str, github: str | None) -> Sequence["NotebookNode"]:
    """Links that open a published copy elsewhere, and a cell that installs bcrlib where it is missing."""
    from nbformat.v4 import new_code_cell, new_markdown_cell

    install = f'if find_spec("bcrlib") is None:\n    %pip install --quiet "{package}"'
    source = f"from importlib.util import find_spec\n\n{install}"
    cells = [new_code_cell(source, id="set-up", metadata={"tags": ["set-up"]})]
    if github is not None:
        colab = f"https://colab.research.google.com/github/{github}/blob/HEAD/{name}"
        binder = f"https://mybinder.org/v2/gh/{github}/HEAD?labpath={name}"
        links = f"[Open in Colab]({colab}) · [Open in Binder]({binder})"
        cells.insert(0, new_markdown_cell(links, id="open-elsewhere"))
    return cells


def as_slides(notebook: "NotebookNode") -> "NotebookNode":
    """A copy for `jupyter nbconvert --to slides`, with outputs: a slide a section, without set-up and solutions."""
    copy = deepcopy(notebook)
    copy.cells = []
    for original in notebook.cells:
        is_prose = original.cell_type == "markdown"
        for number, source in enumerate(_sections(original.source) if is_prose else [original.source]):
            cell = deepcopy(original)
            cell.source = source
            cell.id = f"{original.id[:56]}-{number}" if number else original.id
            cell.metadata.slideshow = {"slide_type": _slide_type(cell)}
            copy.cells.append(cell)
    return copy


def _sections(text: str) -> list[str]:
    """Prose cut before each of its headings."""
    return [part.strip() for part in re.split(r"^(?=#{1,3} )", text, flags=re.MULTILINE) if part.strip()]


def _slide_type(cell: Mapping) -> str:
    hidden = {"parameters", "answer", "solution"} & {*cell.metadata.get("tags", [])}
    heading = re.match(r"(#{1,3}) ", cell.source)
    if hidden or (cell.cell_type == "code" and re.match(r"(import|from) ", cell.source)):
        return "skip"
    return "-" if heading is None else "slide" if len(heading[1]) < 3 else "subslide"
