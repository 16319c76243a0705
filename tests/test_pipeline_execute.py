import contextlib
import pickle
import sys

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook
from tiny_notebooks import notebook, running, write, write_arithmetic

from bcrlib.pipeline.execute import Finished, JobFailed, NotebookError, execute_notebook, run_job
from bcrlib.pipeline.jobs import Job
from bcrlib.pipeline.run import plan_graph


def execute(tmp_path, *cells, parameters="", values=None, num_threads=None):
    content = notebook(*cells, parameters=parameters)
    return execute_notebook(content, "n.ipynb", tmp_path / "n.ipynb", values or {}, tmp_path, num_threads)


def printed(executed):
    return "".join(output.text for cell in executed.cells for output in cell.get("outputs", ()) if "text" in output)


def test_kernel_has_parameters_folder_threads_and_this_interpreter(tmp_path, capfd):
    look = (
        "import os, sys\n"
        "names = ('OMP_NUM_THREADS', 'MKL_NUM_THREADS', 'OPENBLAS_NUM_THREADS', 'NUMBA_NUM_THREADS')\n"
        "print([os.environ[name] for name in names], seed, os.getcwd(), sys.executable)"
    )
    executed = execute(tmp_path, look, parameters="seed = 0", values={"seed": 5}, num_threads=3)
    assert printed(executed) == f"['3', '3', '3', '3'] 5 {tmp_path} {sys.executable}\n"
    assert [file.name for file in tmp_path.iterdir()] == ["n.ipynb"]
    assert nbformat.read(tmp_path / "n.ipynb", as_version=4) == executed
    assert capfd.readouterr() == ("", "")


def test_error_names_notebook_cell_and_source(tmp_path):
    with pytest.raises(NotebookError) as caught:
        execute(tmp_path, "x = 0", "# divide\n1 / x")
    error = pickle.loads(pickle.dumps(caught.value))
    assert (error.notebook, error.cell, error.error) == ("n.ipynb", 3, "ZeroDivisionError: division by zero")
    assert str(error) == "n.ipynb, cell In [3]: ZeroDivisionError: division by zero\n    # divide\n    1 / x"
    assert "ZeroDivisionError" in (tmp_path / "n.ipynb").read_text()


def test_dead_kernel_is_an_error_with_its_cell(tmp_path):
    with pytest.raises(NotebookError) as caught:
        execute(tmp_path, "x = 0", "", "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)", "y = 1")
    assert caught.value.cell == 3
    assert "kernel died" in caught.value.error
    assert caught.value.source.startswith("import os, signal")


@pytest.mark.parametrize("last", ["pass", "raise ValueError"])
def test_the_kernel_ends_with_its_notebook(tmp_path, last):
    with contextlib.suppress(NotebookError):
        execute(tmp_path, "import os\nopen('process', 'w').write(str(os.getpid()))", last)
    assert not running(int((tmp_path / "process").read_text()))


def plan_one(tmp_path, job):
    (planned,) = plan_graph([job], tmp_path / "notebooks", tmp_path / "runs")
    return planned


def test_job_is_published_and_then_taken(tmp_path):
    write_arithmetic(tmp_path / "notebooks")
    planned = plan_one(tmp_path, Job("seven", "number.ipynb", {"number": 7}))
    finished = run_job(planned, {}, None)
    assert finished.folder == planned.folder and finished.seconds > 0
    assert {file.name for file in planned.folder.iterdir()} == {"job.json", "number.ipynb", "number.txt"}
    assert (planned.folder / "number.txt").read_text() == "7"
    assert run_job(planned, {}, None) == Finished(planned.folder, 0.0)


def test_failed_job_leaves_its_notebook_to_look_at(tmp_path):
    write(tmp_path / "notebooks", "bad.ipynb", "open('half', 'w').write('1')\nraise ValueError('no gold')")
    with pytest.raises(JobFailed) as caught:
        run_job(plan_one(tmp_path, Job("bad", "bad.ipynb")), {}, None)
    error = pickle.loads(pickle.dumps(caught.value))
    assert error.job_name == "bad"
    assert error.left == str(tmp_path / "runs" / "failed" / "bad")
    assert str(error).startswith("bad.ipynb, cell In [3]: ValueError: no gold\n")
    assert {file.name for file in (tmp_path / "runs" / "failed" / "bad").iterdir()} == {"bad.ipynb", "half"}
    assert list((tmp_path / "runs" / ".partial").iterdir()) == []


def test_code_edited_after_planning_is_not_filed_under_the_old_hash(tmp_path):
    write_arithmetic(tmp_path / "notebooks")
    planned = plan_one(tmp_path, Job("seven", "number.ipynb", {"number": 7}))
    write(tmp_path / "notebooks", "number.ipynb", "number += 1", parameters="number: int")
    with pytest.raises(JobFailed, match="edited meanwhile"):
        run_job(planned, {}, None)
    assert not planned.folder.exists()


def test_a_kernel_that_does_not_start_is_an_error_of_the_notebook(tmp_path, monkeypatch):
    (tmp_path / "ipykernel.py").write_text("raise SystemExit")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(NotebookError, match=r"n\.ipynb: Kernel died before"):
        execute(tmp_path, "x = 0")


def test_a_notebook_for_readers_gets_results_as_by_hand_and_a_folder_for_figures(tmp_path):
    declared = new_code_cell('results: str = ""\noutput: str = ""', metadata={"tags": ["parameters"]})
    cell = "from pathlib import Path\nPath(output).mkdir()\n"
    cell += "found = sorted(str(path) for path in Path(results).rglob('*.json'))\n"
    cell += "Path(output, 'found.md').write_text(' '.join(found))"
    (tmp_path / "notebooks").mkdir()
    for name in ("collect", "speed"):
        nbformat.write(notebook(), tmp_path / "notebooks" / f"{name}.ipynb")
    nbformat.write(new_notebook(cells=[declared, new_code_cell(cell)]), tmp_path / "notebooks" / "told.ipynb")
    needs = {name: Finished(tmp_path / name, 0.0) for name in ("collect", "speed")}
    (tmp_path / "collect" / "correctness").mkdir(parents=True)
    (tmp_path / "collect" / "correctness" / "manifest.json").write_text("{}")
    (tmp_path / "speed").mkdir()
    (tmp_path / "speed" / "speed.json").write_text("{}")
    jobs = [Job("collect", "collect.ipynb"), Job("speed", "speed.ipynb"), Job("told", "told.ipynb", {}, tuple(needs))]
    *_, planned = plan_graph(jobs, tmp_path / "notebooks", tmp_path / "runs")
    folder = run_job(planned, needs, None).folder
    found = "results/dependency/manifest.json results/dependency/speed.json"
    assert (folder / "figures" / "found.md").read_text() == found
    assert {path.name for path in folder.iterdir()} == {"figures", "told.ipynb", "job.json"}
