"""The course: nothing of the solutions is in students' copies, all points are in the graders', slides are cut."""

import ast
from pathlib import Path

import nbformat
import pytest
import yaml
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from bcrlib.cli.course import as_slides, graded, set_up_cells, write_course
from bcrlib.cli.course import students_copy as copy_of_graded

NOTEBOOKS = Path(__file__).resolve().parents[1] / "notebooks"
HIDDEN = yaml.safe_load((NOTEBOOKS / "hidden_tests.yaml").read_text("utf-8"))
SOLVED = """def nfr(old, new):
    # begin solution
    secret = old & ~new
    return secret.mean()
    # end solution


assert nfr(a, b) == 0.5"""
STUB = """def nfr(old, new):
    ...  # your code"""
CHECK = "assert nfr(a, b) == 0.5"


def students_copy(notebook, hidden: str = ""):
    return copy_of_graded(graded(notebook, "name", hidden))


def solution(source: str):
    return new_code_cell(source, metadata={"tags": ["solution"]})


def test_a_copy_has_room_where_solutions_and_answers_were():
    printed = new_output("stream", text="0.5")
    original = new_notebook(
        cells=[
            new_markdown_cell("**Question.** Why?"),
            new_markdown_cell("Because.", metadata={"tags": ["answer"]}),
            new_code_cell("print(1)", outputs=[printed], execution_count=3),
            solution(SOLVED),
        ]
    )
    copy = students_copy(original)
    assert [cell.source for cell in copy.cells] == ["**Question.** Why?", "*Your answer:*", "print(1)", STUB, CHECK]
    assert all(cell.outputs == [] and cell.execution_count is None for cell in copy.cells[2:])
    assert original.cells[3].source == SOLVED and original.cells[2].outputs == [printed]


def test_a_stub_is_still_python():
    compile(students_copy(new_notebook(cells=[solution(SOLVED)])).cells[0].source, "stub", "exec")


def test_a_cell_may_hold_two_solutions():
    twice = "# begin solution\na = 1\n# end solution\nb = 2\n# begin solution\nc = 3\n# end solution"
    copy = students_copy(new_notebook(cells=[solution(twice)]))
    assert copy.cells[0].source == "...  # your code\nb = 2\n...  # your code" and len(copy.cells) == 1


@pytest.mark.parametrize(
    "cell",
    [
        solution("a = 1"),
        solution("# begin solution\na = 1"),
        solution("# end solution\na = 1\n# begin solution"),
        solution("# begin solution\n# begin solution\n# end solution"),
        new_code_cell("# begin solution\na = 1\n# end solution"),
    ],
)
def test_marks_out_of_place_are_refused(cell):
    with pytest.raises(ValueError, match="cell 1"):
        students_copy(new_notebook(cells=[cell]))


def test_every_notebook_has_a_copy_and_no_solution_is_left(tmp_path):
    written = write_course(NOTEBOOKS, tmp_path / "course")
    assert [path.name for path in written] == sorted(path.name for path in NOTEBOOKS.glob("[0-9]*.ipynb"))
    for path in written:
        copy = nbformat.read(path, as_version=4)
        nbformat.validate(copy)
        nbformat.validate(
            nbformat.read(tmp_path / "course" / "grading" / "source" / path.stem / path.name, as_version=4)
        )
        assert copy.cells[1].id == "set-up"
        assert not any("solution" in line and "#" in line for cell in copy.cells for line in cell.source.splitlines())


@pytest.mark.parametrize("path", sorted(NOTEBOOKS.glob("[0-9]*.ipynb")), ids=lambda path: path.stem)
def test_every_notebook_asks_and_has_something_to_write(path):
    notebook = nbformat.read(path, as_version=4)
    tagged = [cell for cell in notebook.cells if "answer" in cell.metadata.get("tags", [])]
    assert tagged and all(cell.cell_type == "markdown" for cell in tagged)
    teachers = graded(notebook, path.stem, HIDDEN[path.stem])
    kinds = [
        cell.metadata.nbgrader.grade_id.rsplit("-", 1)[1] for cell in teachers.cells if "nbgrader" in cell.metadata
    ]
    assert kinds == ["answer", "solution", "checks", "hidden"]
    checks, hidden = (cell.source for cell in teachers.cells if cell.metadata.get("nbgrader", {}).get("locked"))
    assert all("assert " in source for source in (checks, hidden))
    for cell in copy_of_graded(teachers).cells:
        if cell.cell_type == "code":
            compile("\n".join(line for line in cell.source.splitlines() if line[:1] != "%"), path.name, "exec")


@pytest.mark.parametrize("path", sorted(NOTEBOOKS.glob("[0-9]*.ipynb")), ids=lambda path: path.stem)
def test_hidden_checks_know_the_solution_from_an_untouched_copy(path):
    notebook = nbformat.read(path, as_version=4)
    teachers = graded(notebook, path.stem, HIDDEN[path.stem])
    names: dict[str, object] = {}
    for cell in notebook.cells:
        if cell.cell_type == "code":
            tree = ast.parse("\n".join(line for line in cell.source.splitlines() if line[:1] != "%"))
            imports = [node for node in tree.body if isinstance(node, (ast.Import, ast.ImportFrom))]
            exec(compile(ast.Module(imports, []), path.name, "exec"), names)
    (solved,) = [cell.source for cell in teachers.cells if cell.source.count("# begin solution")]
    (untouched,) = [cell.source for cell in copy_of_graded(teachers).cells if "...  # your code" in cell.source]
    exec(f"{solved}\n{HIDDEN[path.stem]}", names)
    with pytest.raises((AssertionError, TypeError, AttributeError)):
        exec(f"{untouched}\n{HIDDEN[path.stem]}", names)


def test_points_are_where_nbgrader_looks_for_them():
    questions = new_markdown_cell("1. Because.\n2. So.", metadata={"tags": ["answer"]})
    answer, solved, checks, hidden = graded(
        new_notebook(cells=[questions, solution(SOLVED)]), "name", "assert 1\n"
    ).cells
    marks = [cell.metadata.nbgrader for cell in (answer, solved, checks, hidden)]
    assert [(mark.grade, mark.solution, mark.locked, mark.get("points")) for mark in marks] == [
        (True, True, False, 2), (False, True, False, None), (True, False, True, 2), (True, False, True, 1)
    ]  # fmt: skip
    assert solved.source + f"\n\n\n{checks.source}" == SOLVED
    assert len({mark.grade_id for mark in marks}) == len({cell.id for cell in (answer, solved, checks, hidden)}) == 4
    copy = students_copy(new_notebook(cells=[solution(SOLVED)]), "assert secret == 1\n")
    assert "secret" not in "".join(cell.source for cell in copy.cells)


def test_a_set_up_cell_installs_where_nothing_is(monkeypatch):
    (cell,) = set_up_cells("00.ipynb", "bcrlib[run] @ https://example.org/x.whl", None)
    assert cell.source.endswith('%pip install --quiet "bcrlib[run] @ https://example.org/x.whl"')
    links, _ = set_up_cells("00.ipynb", "bcrlib", "ada/course")
    assert "github/ada/course/blob/HEAD/00.ipynb" in links.source and "gh/ada/course/HEAD" in links.source


def test_slides_begin_at_headings_and_leave_out_what_nobody_shows():
    cells = [
        new_markdown_cell("# Title\n\nText."),
        new_code_cell("a = 1", metadata={"tags": ["parameters"]}),
        new_code_cell("import numpy as np"),
        new_markdown_cell("Before.\n\n## Section\n\nText.\n\n### Part"),
        new_code_cell("print(1)", outputs=[new_output("stream", text="1")]),
        new_markdown_cell("Because.", metadata={"tags": ["answer"]}),
        solution(SOLVED),
    ]
    slides = as_slides(new_notebook(cells=cells))
    nbformat.validate(slides)
    types = [cell.metadata.slideshow.slide_type for cell in slides.cells]
    assert types == ["slide", "skip", "skip", "-", "slide", "subslide", "-", "skip", "skip"]
    assert [cell.source for cell in slides.cells[3:6]] == ["Before.", "## Section\n\nText.", "### Part"]
    assert slides.cells[6].outputs == cells[4].outputs


def test_what_students_wrote_is_not_overwritten(tmp_path):
    (tmp_path / "work.ipynb").write_text("mine")
    with pytest.raises(FileExistsError, match="exists already"):
        write_course(NOTEBOOKS, tmp_path)
    assert (tmp_path / "work.ipynb").read_text() == "mine"
