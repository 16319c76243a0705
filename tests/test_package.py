"""The wheel: commands and notebooks find in it what they read, and the core does with its own packages."""

import os
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from comparison_files import tree_update
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
LEFT_OUT = ("data/correctness/small/", "data/README.md", "data/bench.json")
"""The stored results of small are heavy; the others are read by those who work on the repository."""
BLOCKED = """
import sys


class Missing:
    def find_spec(self, name, path=None, target=None):
        if name in {names}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)


sys.meta_path.insert(0, Missing())
"""
COMMAND = "import sys; from bcrlib.cli import app; app(sys.argv[1:], prog_name='bcr')"


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A folder with the unpacked wheel, as site-packages has it."""
    pytest.importorskip("hatchling", reason="builds the wheel")
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(build, check=True, cwd=ROOT, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    zipfile.ZipFile(wheel).extractall(folder / "site")
    assert wheel.stat().st_size < 8e6
    return folder / "site"


def run(site: Path, code: str, *arguments: object, cwd: Path) -> subprocess.CompletedProcess:
    env = os.environ | {"PYTHONPATH": str(site), "COLUMNS": "200"}
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True)


def of_extras() -> set[str]:
    """Modules that the core must do without."""
    listed = [text for extra in ("parsers", "run") for text in PROJECT["optional-dependencies"][extra]]
    wanted = {Requirement(text).name.lower() for text in listed} - {"bcrlib", "pydantic"}  # the core's own bring that
    return {module for module, found in packages_distributions().items() if {*map(str.lower, found)} & wanted}


def test_all_that_is_read_is_in_the_wheel(site):
    carried = site / "bcrlib" / "carried"
    there = {path.relative_to(carried).as_posix() for path in carried.rglob("*") if path.is_file()}
    tracked = subprocess.run(["git", "ls-files", "data", "notebooks"], cwd=ROOT, capture_output=True, text=True)
    assert {name for name in tracked.stdout.split() if not name.startswith(LEFT_OUT)} - there == set()
    code = {
        path.relative_to(ROOT) for path in (ROOT / "bcrlib").rglob("*.*") if path.suffix not in (".pyc", ".nbc", ".nbi")
    }
    assert [path for path in code if not (site / path).exists()] == []


def test_the_core_compares_and_says_what_else_is_needed(site, tmp_path):
    gold, old, new = tree_update(tmp_path, num_models=2)
    core = BLOCKED.format(names=sorted(of_extras())) + COMMAND
    files = ["--gold", gold, "--old", old, "--new", new]
    compared = run(site, core, "compare", *files, "--html", "report.html", "--junit", "gate.xml", cwd=tmp_path)
    assert compared.returncode == 0, compared.stderr
    assert run(site, core, "evaluate", *files, cwd=tmp_path).stdout.startswith("Definitions")
    trained = run(site, core, "train", "-o", "new", cwd=tmp_path)
    assert trained.returncode == 2
    assert trained.stderr.startswith("error: bcr train needs ") and trained.stderr.endswith("'bcrlib[parsers]'\n")
    assert "'bcrlib[run]'" in run(site, core, "reproduce", cwd=tmp_path).stderr


def test_an_installed_package_has_profiles_notebooks_and_results(site, tmp_path):
    code = """
from bcrlib.data.download import _checksums, data_folder
from bcrlib.data.files import ROOT
from bcrlib.experiments.store import CorrectnessStore
from bcrlib.pipeline.jobs import read_notebook
from bcrlib.pipeline.plan import plan
from bcrlib.pipeline.profile import load_profile
from bcrlib.report.publisher import command_of, stored
from bcrlib.tasks import TASKS

for job in plan(load_profile("demo")):
    read_notebook(ROOT / "notebooks", job.notebook)
for task in TASKS:
    CorrectnessStore(stored("demo", task=task)).load_manifest()
assert _checksums()
try:
    stored("small")
except FileNotFoundError as error:
    print(error)
"""
    told = run(site, code, cwd=tmp_path)
    assert told.returncode == 0, told.stderr
    assert told.stdout == "no stored results of the profile 'small': `bcr reproduce --profile small` makes them\n"
    course = run(site, COMMAND, "course", "homework", cwd=tmp_path)
    assert course.returncode == 0, course.stderr
    assert len([*(tmp_path / "homework" / "students").glob("*.ipynb")]) == len(
        [*(ROOT / "notebooks").glob("[0-9]*.ipynb")]
    )
