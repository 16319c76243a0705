"""Students' copies: nothing of the solutions is in them, all else is; every notebook of the course makes one."""

from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from bcrlib.cli.reproduce import students_copy, write_course

NOTEBOOKS = Path(__file__).resolve().parents[1] / "notebooks"
SOLVED = """def nfr(old, new):
    # begin solution
    secret = old & ~new
    return secret.mean()
    # end solution


assert nfr(a, b) == 0.5"""
STUB = """def nfr(old, new):
    ...  # your code


assert nfr(a, b) == 0.5"""


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
    assert [cell.source for cell in copy.cells] == ["**Question.** Why?", "*Your answer:*", "print(1)", STUB]
    assert all(cell.outputs == [] and cell.execution_count is None for cell in copy.cells[2:])
    assert original.cells[3].source == SOLVED and original.cells[2].outputs == [printed]


def test_a_stub_is_still_python():
    compile(students_copy(new_notebook(cells=[solution(SOLVED)])).cells[0].source, "stub", "exec")


def test_a_cell_may_hold_two_solutions():
    twice = "# begin solution\na = 1\n# end solution\nb = 2\n# begin solution\nc = 3\n# end solution"
    copy = students_copy(new_notebook(cells=[solution(twice)]))
    assert copy.cells[0].source == "...  # your code\nb = 2\n...  # your code"


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
        assert not any("solution" in line and "#" in line for cell in copy.cells for line in cell.source.splitlines())


@pytest.mark.parametrize("path", sorted(NOTEBOOKS.glob("[0-9]*.ipynb")), ids=lambda path: path.stem)
def test_every_notebook_asks_and_has_something_to_write(path):
    cells = nbformat.read(path, as_version=4).cells
    tagged = {tag: [cell for cell in cells if tag in cell.metadata.get("tags", [])] for tag in ("answer", "solution")}
    assert tagged["answer"] and all(cell.cell_type == "markdown" for cell in tagged["answer"])
    assert tagged["solution"] and all("\nassert " in f"\n{dedented(cell.source)}" for cell in tagged["solution"])
    for cell in students_copy(nbformat.read(path, as_version=4)).cells:
        if cell.cell_type == "code":
            compile("\n".join(line for line in cell.source.splitlines() if line[:1] != "%"), path.name, "exec")


def dedented(source: str) -> str:
    """Asserts in a loop are asserts as well."""
    return "\n".join(line.strip() for line in source.splitlines())


def test_what_students_wrote_is_not_overwritten(tmp_path):
    (tmp_path / "work.ipynb").write_text("mine")
    with pytest.raises(FileExistsError, match="exists already"):
        write_course(NOTEBOOKS, tmp_path)
    assert (tmp_path / "work.ipynb").read_text() == "mine"
