import textwrap

import pytest
from tiny_notebooks import notebook

from bcrlib.pipeline.jobs import GraphError, Job, code_fingerprint, imported_packages, job_fingerprint

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
    return code_fingerprint(notebook(*(cells or ["from toy import train"])), "n.ipynb", package)


@pytest.mark.parametrize("name", ["train.py", "layers/__init__.py", "layers/lstm.py", "maths.py", "data.py", "late.py"])
def test_every_reachable_module_counts(package, name):
    before = code(package)
    (package / name).write_text(FILES[name] + "ANSWER = 42\n")
    assert code(package) != before


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


def test_an_import_that_becomes_possible_counts(package):
    before = code(package, "from toy.maths import sigmoid, tanh")
    (package / "maths.py").write_text(FILES["maths.py"] + "tanh = None\n")
    assert code(package, "from toy.maths import sigmoid, tanh") != before


@pytest.mark.parametrize(
    "cell",
    [
        "import toy.late",
        "from toy import late",
        "import toy.late as x",
        "def f():\n    from toy.late import VALUE",
    ],
)
def test_every_form_of_import_is_seen(package, cell):
    before = code(package, cell)
    (package / "late.py").write_text("VALUE = 2\n")
    assert code(package, cell) != before


COMPUTED = "import importlib\nimportlib.import_module(f'toy.{task}')"


def of_task(package, *modules):
    return code_fingerprint(notebook(COMPUTED), "n.ipynb", package, modules)


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


def test_naming_a_module_is_importing_it(package):
    (package / "layers" / "__init__.py").write_text("SIZE = 1\n")  # a parent, which Python runs first
    before = of_task(package, "toy.layers.lstm")
    (package / "layers" / "__init__.py").write_text("SIZE = 2\n")
    assert of_task(package, "toy.layers.lstm") != before


def test_a_module_that_is_not_there_is_an_error(package):
    with pytest.raises(GraphError, match=r"n\.ipynb: the package has no module 'toy\.parsing'"):
        of_task(package, "toy.parsing")


def test_packages_behind_a_notebook(package):
    (package / "maths.py").write_text("import numpy.linalg as la\n")
    (package / "late.py").write_text("def f():\n    from torch.nn import functional\n")
    (package / "report.py").write_text("import seaborn\n")
    cells = notebook("from os.path import join", "import pandas as pd")
    assert imported_packages(cells, "n.ipynb", package) == ("os", "pandas")
    assert imported_packages(cells, "n.ipynb", package, ("toy.late",)) == ("os", "pandas", "torch")
    cells = notebook("from toy import train")
    assert imported_packages(cells, "n.ipynb", package) == ("numpy", "torch", "toy")


def test_imports_in_a_circle_end(package):
    (package / "maths.py").write_text("import toy.train\n" + FILES["maths.py"])
    assert code(package) == code(package)


def test_cells_count_but_not_prose_outputs_or_comments(package):
    plain = notebook("x = 1", "y = x")
    before = code_fingerprint(plain, "n", package)
    plain.cells[0].source = "# Another claim"
    plain.cells[2].source = "x = 1  # one"
    plain.cells[2].outputs = [{"output_type": "stream", "name": "stdout", "text": "1"}]
    plain.cells[2].execution_count = 7
    assert code_fingerprint(plain, "n", package) == before
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
    job = Job("a", "n.ipynb", {"seed": 1}, ("b",))
    expected = '{"code": "c", "needs": {"b": "d"}, "params": {"seed": 1}}'
    import hashlib

    assert job_fingerprint("c", job, {"b": "d"}) == hashlib.sha256(textwrap.dedent(expected).encode()).hexdigest()
