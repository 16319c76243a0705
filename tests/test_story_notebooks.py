"""The style of the notebooks, kept by machine: what a reader meets first must not depend on whoever ran it last."""

import ast
import re
from pathlib import Path

import nbformat
import pytest

NOTEBOOKS = Path(__file__).resolve().parents[1] / "notebooks"
STORY = sorted(NOTEBOOKS.glob("*.ipynb"))
PIPELINE = sorted((NOTEBOOKS / "pipeline").glob("*.ipynb"))
CHECKED = "nbval-check-output"
DRIVER_PARAMETERS = {"output_folder", "inputs"}
STORY_PARAMETERS = {
    "profile", "results", "output", "sampler", "num_candidates", "new_weight", "task"
}  # fmt: skip
# Of Linux, macOS and Windows; and addresses of objects, which differ from run to run.
MACHINE = re.compile(r"(?<![\w.:/])/(home|root|work|Users|tmp|private|var|opt|usr|mnt)/|[A-Z]:\\\\|at 0x[0-9a-f]{6,}")

story = pytest.mark.parametrize("path", STORY, ids=lambda path: path.stem)
pipeline = pytest.mark.parametrize("path", PIPELINE, ids=lambda path: path.stem)
every = pytest.mark.parametrize("path", STORY + PIPELINE, ids=lambda path: path.stem)


def read(path: Path) -> nbformat.NotebookNode:
    return nbformat.read(path, as_version=4)


def code_cells(path: Path) -> list[nbformat.NotebookNode]:
    return [cell for cell in read(path).cells if cell.cell_type == "code"]


def tags(cell: nbformat.NotebookNode) -> list[str]:
    return cell.metadata.get("tags", [])


def parse(cell: nbformat.NotebookNode) -> ast.Module:
    plain = [line for line in cell.source.splitlines() if not line.lstrip().startswith("%")]
    return ast.parse("\n".join(plain))


def output_text(cell: nbformat.NotebookNode) -> str:
    """All that is shown as text: printed, results, drawings; not pixels."""
    texts = []
    for output in cell.outputs:
        shown = output.get("data", {"text/plain": output.get("text", "")})
        texts += [str(content) for kind, content in shown.items() if kind != "image/png"]
    return "\n".join(texts)


def claim_faults(first: nbformat.NotebookNode) -> list[str]:
    """What keeps a first cell from being a claim and a few sentences on it."""
    title, _, text = first.source.strip().partition("\n")
    faults = [] if first.cell_type == "markdown" else ["no prose"]
    faults += [] if title.startswith("# ") else ["no title"]
    faults += [] if len(title.split()) >= 6 else ["a topic, not a claim"]
    faults += [] if text.count(".") >= 2 else ["no sentences below the title"]
    return faults


def test_there_are_notebooks_in_the_order_of_their_numbers():
    assert len(PIPELINE) >= 6
    assert [path.name[:2] for path in STORY] == [f"{i:02d}" for i in range(len(STORY))]
    assert len(STORY) >= 5


@story
def test_the_title_is_a_claim(path):
    assert claim_faults(read(path).cells[0]) == []


def test_a_topic_is_no_claim():
    cell = nbformat.v4.new_markdown_cell
    assert claim_faults(cell("# The data\n\nOne. Two.")) == ["a topic, not a claim"]
    assert claim_faults(cell("# A better parser still breaks sentences")) == ["no sentences below the title"]


@every
def test_one_parameters_cell_and_it_is_the_first_code(path):
    first, *others = code_cells(path)
    assert tags(first) == ["parameters"]
    assert not any("parameters" in tags(cell) for cell in others)
    statements = parse(first).body
    # papermill knows the type of what is annotated only.
    assert all(isinstance(statement, ast.AnnAssign) for statement in statements)


@pipeline
def test_the_driver_tells_pipeline_notebooks_where_they_read_and_write(path):
    assert {statement.target.id for statement in parse(code_cells(path)[0]).body} >= DRIVER_PARAMETERS


@story
def test_story_notebooks_run_without_being_told_anything_and_use_what_they_may_be_told(path):
    first, *others = code_cells(path)
    statements = parse(first).body
    assert {statement.target.id for statement in statements} <= STORY_PARAMETERS
    assert all(statement.value is not None for statement in statements)
    # papermill lists a parameter with its help only where its line has one "=".
    assert all("  # " in line and line.count("=") == 1 for line in first.source.splitlines())
    used = {node.id for cell in others for node in ast.walk(parse(cell)) if isinstance(node, ast.Name)}
    assert {statement.target.id for statement in statements} <= used


@story
def test_notebooks_are_short_and_cells_are_small(path):
    assert len(read(path).cells) <= 34
    for cell in code_cells(path):
        imports = [node for node in parse(cell).body if isinstance(node, (ast.Import, ast.ImportFrom))]
        lines = sum(node.end_lineno - node.lineno + 1 for node in imports)
        assert len(cell.source.splitlines()) - lines <= 20


@story
def test_prose_and_code_alternate(path):
    kinds = "".join(cell.cell_type[0] for cell in read(path).cells[3:])
    assert "cccc" not in kinds  # four cells of code in a row leave the reader alone


@story
def test_machinery_is_in_the_package(path):
    of_cell = [(cell, list(ast.walk(parse(cell)))) for cell in code_cells(path)]
    nodes = [node for _, in_cell in of_cell for node in in_cell]
    story = [node for cell, in_cell in of_cell if "solution" not in tags(cell) for node in in_cell]
    assert sum(isinstance(node, (ast.FunctionDef, ast.ClassDef)) for node in story) <= 1  # what students write is extra
    names = [node.module for node in nodes if isinstance(node, ast.ImportFrom)]
    names += [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    assert not [name for name in names if name.split(".")[0] == "torch" or name.startswith("bcrlib.models")]


@every
def test_any_machine_has_the_kernel_and_nothing_of_ours_is_in_the_metadata(path):
    notebook = read(path)
    assert notebook.metadata.kernelspec.name == "python3"
    assert set(notebook.metadata) <= {"kernelspec", "language_info"}
    assert all(set(cell.metadata) <= {"tags"} for cell in notebook.cells)
    ids = [cell.id for cell in notebook.cells]
    assert len(set(ids)) == len(ids)


@story
def test_committed_as_executed_in_order(path):
    counts = [cell.execution_count for cell in code_cells(path)]
    assert counts == list(range(1, len(counts) + 1))


@story
def test_claims_have_outputs_to_be_checked(path):
    # Without a stored output nbval passes emptily.
    checked = [cell for cell in code_cells(path) if CHECKED in tags(cell)]
    assert checked
    for cell in checked:
        assert {output.output_type for output in cell.outputs} == {"stream"}, cell.source
        assert output_text(cell).strip(), cell.source


@story
def test_outputs_show_nothing_of_the_machine_and_no_faults(path):
    for cell in code_cells(path):
        assert not MACHINE.search(output_text(cell)), cell.source
        assert not any(output.output_type == "error" or output.get("name") == "stderr" for output in cell.outputs)


def test_paths_of_machines_are_recognised():
    assert all(map(MACHINE.search, ["/home/ada/x", "in '/tmp/x'", "C:\\\\Users", "<Figure at 0x7f0012ab>"]))
    assert not any(map(MACHINE.search, ["figures/tmp/x", "http://www.w3.org/2000/svg", "new/old", "./var/x"]))


@pipeline
def test_pipeline_notebooks_are_committed_without_outputs(path):
    assert not any(cell.outputs or cell.execution_count for cell in code_cells(path))
