"""Jobs: their order, their parameters, and the hash of what a result was made from."""

import hashlib
from itertools import pairwise

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook
from tiny_notebooks import notebook

from bcrlib.pipeline.jobs import (
    GraphError,
    Job,
    check_parameters,
    code_of,
    declared_parameters,
    in_running_order,
    job_fingerprint,
    read_notebook,
)


def test_needs_come_first():
    jobs = [
        Job("table", "t", {}, ("rerank",)),
        Job("rerank", "r", {}, ("new", "old")),
        Job("old", "n"),
        Job("new", "n"),
    ]
    order = [job.name for job in in_running_order(jobs)]
    assert sorted(order) == ["new", "old", "rerank", "table"]
    assert order.index("old") < order.index("rerank") > order.index("new")
    assert order[-1] == "table"


def test_what_a_job_runs_after_comes_before_it():
    jobs = [Job("speed", "s", after=("train",)), Job("train", "t")]
    assert [job.name for job in in_running_order(jobs)] == ["train", "speed"]
    with pytest.raises(GraphError, match="need each other"):
        in_running_order([Job("a", "n", needs=("b",)), Job("b", "n", after=("a",))])


def test_unknown_need_names_both():
    for jobs in ([Job("rerank", "r", {}, ("old",))], [Job("rerank", "r", after=("old",))]):
        with pytest.raises(GraphError, match="'rerank' needs 'old'"):
            in_running_order(jobs)


def test_cycle_names_its_jobs():
    jobs = [Job("a", "n", {}, ("b",)), Job("b", "n", {}, ("c",)), Job("c", "n", {}, ("a",)), Job("d", "n")]
    with pytest.raises(GraphError) as error:
        in_running_order(jobs)
    chain = str(error.value).removeprefix("jobs need each other: ").split(" needs ")
    assert chain[0] == chain[-1]
    needs = {job.name: job.needs for job in jobs}
    assert all(later in needs[earlier] for earlier, later in pairwise(chain))


def test_name_twice():
    with pytest.raises(GraphError, match="two jobs are named 'a'"):
        in_running_order([Job("a", "n"), Job("b", "n"), Job("a", "m")])


@pytest.mark.parametrize("name", ["", "a/b", "..", ".hidden", "a@b", "a\\b"])
def test_name_unfit_for_a_folder(name):
    with pytest.raises(GraphError, match="cannot name a folder"):
        in_running_order([Job(name, "n")])


def test_declared_parameters():
    source = "a = 1\nb: int = 2\nc: str\nd = [\n    1,  # one\n    2,\n]\ne = f = 0\nprint(a)\ng.h = 1"
    cell = new_code_cell(source, metadata={"tags": ["parameters", "other"]})
    later = new_code_cell("z = 1", metadata={"tags": ["parameters"]})
    declared = declared_parameters(new_notebook(cells=[new_code_cell("y = 1"), cell, later]))
    assert declared == {"a": True, "b": True, "c": False, "d": True, "e": True, "f": True}


def test_unknown_and_missing_parameters_are_refused():
    content = notebook(parameters="seed: int\nwidth = 400")
    check_parameters(Job("j", "n.ipynb", {"seed": 1}), content)
    with pytest.raises(GraphError, match=r"job 'j', n\.ipynb: unknown parameter sede; missing parameter seed"):
        check_parameters(Job("j", "n.ipynb", {"sede": 1}), content)


def test_driver_parameters_belong_to_the_driver():
    with pytest.raises(GraphError, match="output_folder is set by the driver"):
        check_parameters(Job("j", "n.ipynb", {"output_folder": "x"}), notebook())


def test_inputs_must_be_declared_where_there_are_needs():
    cell = new_code_cell("output_folder = '.'", metadata={"tags": ["parameters"]})
    content = new_notebook(cells=[cell])
    check_parameters(Job("j", "n.ipynb"), content)
    with pytest.raises(GraphError, match="must declare inputs"):
        check_parameters(Job("j", "n.ipynb", {}, ("other",)), content)
    with pytest.raises(GraphError, match=r"must declare output_folder.*no cell is tagged"):
        check_parameters(Job("j", "n.ipynb"), new_notebook())


def test_notebooks_for_readers_declare_output_and_if_they_read_any_results():
    cell = new_code_cell('output: str = ""', metadata={"tags": ["parameters"]})
    content = new_notebook(cells=[cell])
    check_parameters(Job("j", "n.ipynb", {}, ("other",)), content)
    with pytest.raises(GraphError, match="output is set by the driver"):
        check_parameters(Job("j", "n.ipynb", {"output": "x"}), content)


def test_unreadable_notebooks(tmp_path):
    with pytest.raises(GraphError, match=r"notebook not found: .*none\.ipynb"):
        read_notebook(tmp_path, "none.ipynb")
    (tmp_path / "torn.ipynb").write_text(nbformat.writes(new_notebook())[:-5])
    with pytest.raises(GraphError, match=r"torn\.ipynb is not a notebook"):
        read_notebook(tmp_path, "torn.ipynb")


FILES = {
    "__init__.py": '"""Package."""\n__version__ = "1"\n',
    "train.py": "from .layers import lstm\nfrom toy.data import read\n",
    "layers/__init__.py": "",
    "layers/lstm.py": "from ..maths import sigmoid\n\ndef forward(x):\n    return sigmoid(x)\n",
    "maths.py": "def sigmoid(x):\n    '''Squash.'''\n    # plainly\n    return 1 / (1 + 2.7 ** -x)\n",
    "data.py": "def read():\n    import toy.late\n    return toy.late.VALUE\n",
    "late.py": "VALUE = 1\n",
    "report.py": "from toy.train import *\nCOLOUR = 'red'\n",
}


@pytest.fixture
def package(tmp_path):
    folder = tmp_path / "toy"
    for name, source in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(source)
    return folder


def code(package, *cells):
    return code_of(notebook(*(cells or ["from toy import train"])), "n.ipynb", (), package).fingerprint


@pytest.mark.parametrize("name", ["train.py", "layers/__init__.py", "layers/lstm.py", "maths.py", "data.py", "late.py"])
def test_every_reachable_module_counts(package, name):
    before = code(package)
    (package / name).write_text(FILES[name] + "ANSWER = 42\n")
    assert code(package) != before


def test_data_with_the_name_of_a_module_count_with_it(package):
    before = code(package)
    (package / "report.yaml").write_text("colour: red\n")  # its module is not imported
    assert code(package) == before
    (package / "maths.yaml").write_text("base: 2.7\n")
    with_data = code(package)
    (package / "maths.yaml").write_text("base: 2.8\n")
    assert len({before, with_data, code(package)}) == 3


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("report.py", "red", "blue"),  # not imported
        ("__init__.py", '"1"', '"2"'),  # the version
        ("__init__.py", "Package.", "Our package."),
        ("maths.py", "Squash.", "Logistic function."),
        ("maths.py", "    '''Squash.'''\n", ""),
        ("maths.py", "# plainly", "# slowly"),
        ("maths.py", "1 / (1 + 2.7 ** -x)", "(1 / (1 + 2.7**-x))"),
    ],
)
def test_what_changes_no_result_does_not_count(package, name, old, new):
    before = code(package)
    assert old in FILES[name]
    (package / name).write_text(FILES[name].replace(old, new))
    assert code(package) == before


@pytest.mark.parametrize(
    "cell",
    ["import toy.late", "from toy import late", "import toy.late as x", "def f():\n    from toy.late import VALUE"],
)
def test_every_form_of_import_is_seen(package, cell):
    before = code(package, cell)
    (package / "late.py").write_text("VALUE = 2\n")
    assert code(package, cell) != before


COMPUTED = "import importlib\nimportlib.import_module(f'toy.{task}')"


def of_task(package, *modules):
    return code_of(notebook(COMPUTED), "n.ipynb", modules, package).fingerprint


def test_modules_that_the_notebook_imports_by_a_computed_name_count_where_the_job_names_them(package):
    before = {name: of_task(package, name) for name in ("toy.train", "toy.report")}
    assert len({*before.values(), of_task(package)}) == 3
    (package / "report.py").write_text(FILES["report.py"] + "WIDTH = 3\n")
    assert of_task(package, "toy.train") == before["toy.train"]
    assert of_task(package, "toy.report") != before["toy.report"]
    unnamed = of_task(package)
    (package / "maths.py").write_text(FILES["maths.py"] + "tanh = None\n")  # imported by what both import
    assert of_task(package, "toy.train") != before["toy.train"]
    assert of_task(package) == unnamed


def test_a_module_that_is_not_there_is_an_error(package):
    with pytest.raises(GraphError, match=r"n\.ipynb: the package has no module 'toy\.parsing'"):
        of_task(package, "toy.parsing")


def test_packages_behind_a_notebook(package):
    (package / "maths.py").write_text("import numpy.linalg as la\n")
    (package / "late.py").write_text("def f():\n    from torch.nn import functional\n")
    (package / "report.py").write_text("import seaborn\n")
    cells = notebook("from os.path import join", "import pandas as pd")
    assert code_of(cells, "n.ipynb", (), package).packages == ("os", "pandas")
    assert code_of(cells, "n.ipynb", ("toy.late",), package).packages == ("os", "pandas", "torch", "toy")
    cells = notebook("from toy import train")
    assert code_of(cells, "n.ipynb", (), package).packages == ("numpy", "torch", "toy")


def test_cells_count_but_not_prose_outputs_or_comments(package):
    plain = notebook("x = 1", "y = x")
    before = code_of(plain, "n", (), package).fingerprint
    plain.cells[0].source = "# Another claim"
    plain.cells[2].source = "x = 1  # one"
    plain.cells[2].outputs = [{"output_type": "stream", "name": "stdout", "text": "1"}]
    plain.cells[2].execution_count = 7
    assert code_of(plain, "n", (), package).fingerprint == before
    assert code(package, "x = 2", "y = x") != before
    assert code(package, "y = x", "x = 1") != before


def test_magics_are_read_as_what_they_do(package):
    assert code(package, "%matplotlib inline\n!ls") != code(package, "%matplotlib svg\n!ls")


def test_broken_sources_are_named(package):
    with pytest.raises(GraphError, match=r"n\.ipynb, code cell 3, line 2"):
        code(package, "x = 1", "y = 1\nz = (")
    (package / "late.py").write_text("def f(:\n")
    with pytest.raises(GraphError, match=r"late\.py, line 1"):
        code(package)


def test_job_fingerprint_depends_on_code_params_and_needs_only():
    job = Job("a", "n.ipynb", {"seed": 1, "widths": (2, 3)}, ("old", "new"))
    needs = {"old": "1" * 64, "new": "2" * 64, "unused": "3" * 64}
    base = job_fingerprint("c", job, needs)
    assert len(base) == 64
    same = Job("b", "m.ipynb", {"widths": [2, 3], "seed": 1}, ("new", "old"))
    assert job_fingerprint("c", same, {**needs, "unused": "4" * 64}) == base
    others = [
        job_fingerprint("d", job, needs),
        job_fingerprint("c", Job("a", "n.ipynb", {"seed": 2, "widths": (2, 3)}, job.needs), needs),
        job_fingerprint("c", Job("a", "n.ipynb", {"seed": 1}, job.needs), needs),
        job_fingerprint("c", job, {**needs, "old": "5" * 64}),
        job_fingerprint("c", job, {"old": needs["new"], "new": needs["old"]}),
        job_fingerprint("c", Job("a", "n.ipynb", job.params, ("old",)), needs),
    ]
    assert len({base, *others}) == 1 + len(others)


@pytest.mark.parametrize("value", [float("nan"), object(), {1, 2}])
def test_parameters_must_be_json(value):
    with pytest.raises(GraphError, match="job 'a': parameters must be JSON"):
        job_fingerprint("c", Job("a", "n", {"x": value}), {})


def test_fixed_value_guards_against_silent_change_of_the_scheme():
    expected = b'{"code": "c", "needs": {"b": "d"}, "params": {"seed": 1}}'
    found = job_fingerprint("c", Job("a", "n.ipynb", {"seed": 1}, ("b",)), {"b": "d"})
    assert found == hashlib.sha256(expected).hexdigest()


def test_names_of_the_face_count_as_the_modules_behind_them():
    def packages(source: str) -> tuple[str, ...]:
        return code_of(new_notebook(cells=[new_code_cell(source)]), "n").packages

    assert "torch" not in packages("import bcrlib") and "torch" not in packages("from bcrlib import flips, DropoutP")
    assert "torch" in packages("from bcrlib import train") and "torch" in packages("import bcrlib\nbcrlib.load('x')")
