from itertools import pairwise

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook
from tiny_notebooks import notebook

from bcrlib.pipeline.jobs import (
    GraphError,
    Job,
    check_parameters,
    declared_parameters,
    in_running_order,
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


def test_no_tagged_cell_declares_nothing():
    assert declared_parameters(new_notebook(cells=[new_code_cell("a = 1")])) == {}


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


def test_parameters_cell_must_be_python():
    with pytest.raises(GraphError, match="must be plain Python"):
        check_parameters(Job("j", "n.ipynb"), notebook(parameters="%time x = 1"))


def test_unreadable_notebooks(tmp_path):
    with pytest.raises(GraphError, match=r"notebook not found: .*none\.ipynb"):
        read_notebook(tmp_path, "none.ipynb")
    (tmp_path / "torn.ipynb").write_text(nbformat.writes(new_notebook())[:-5])
    with pytest.raises(GraphError, match=r"torn\.ipynb is not a notebook"):
        read_notebook(tmp_path, "torn.ipynb")
