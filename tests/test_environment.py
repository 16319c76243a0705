"""What stands around the library agrees with it: the environment's four descriptions, README, citation, hooks, runs."""

import json
import re
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.version import Version

from bcrlib.report.pages import PAGES, filled

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
CONDA_NAMES = {"torch": "pytorch"}


def read_yaml(name: str) -> dict:
    return yaml.safe_load((ROOT / name).read_text())


def declared() -> dict[str, Requirement]:
    """Every requirement of the project, extras included, by name."""
    return needed(*PROJECT["optional-dependencies"])


def needed(*extras: str) -> dict[str, Requirement]:
    """What an installation with these extras asks for, by name."""
    listed = [*PROJECT["dependencies"], *(text for extra in extras for text in PROJECT["optional-dependencies"][extra])]
    found = {(r := Requirement(text)).name: r for text in listed}
    further = found.pop("bcrlib", None)
    return found | needed(*further.extras) if further else found


def in_environment() -> dict[str, Requirement]:
    """Every requirement of environment.yml by name, pip's section included."""
    entries = read_yaml("environment.yml")["dependencies"]
    plain = [e for e in entries if isinstance(e, str)]
    pip = [e for section in entries if isinstance(section, dict) for e in section["pip"] if not e.startswith("--")]
    return {(r := Requirement(text)).name: r for text in [*plain, *pip]}


def pinned() -> dict[str, Version]:
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if not line.startswith("#")]
    return {_canonical(name): Version(version) for name, _, version in (line.partition("==") for line in lines)}


def _canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_environment_has_the_bounds_of_the_project():
    conda = in_environment()
    for name, requirement in declared().items():
        assert conda[CONDA_NAMES.get(name, name)].specifier == requirement.specifier, name
    assert conda["python"].specifier == Requirement("python" + PROJECT["requires-python"]).specifier


def test_environment_has_nothing_else():
    names = {CONDA_NAMES.get(name, name) for name in declared()}
    assert set(in_environment()) - names == {"python", "pip"}


def test_constraints_pin_every_requirement_within_its_bounds():
    pins = pinned()
    for name, requirement in declared().items():
        assert pins[_canonical(name)] in requirement.specifier, name


def test_every_dependency_has_its_reason_in_the_docs():
    page = (ROOT / "docs" / "dependencies.md").read_text()
    required = [*needed("run")]
    rows = [line.split("|")[1] for line in page.splitlines() if re.match(r"\| \w", line)]
    rows = [row for row in rows if row.strip() != "package"]
    assert sorted(name.strip() for row in rows for name in row.split(",")) == sorted(required)
    assert [name for name in declared() if name not in page] == []


def makefile_targets() -> set[str]:
    return set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


def readme_code() -> str:
    return "\n".join(re.findall(r"```(?:sh|bash)\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL))


def test_readme_names_only_make_targets_that_exist():
    text = (ROOT / "README.md").read_text()
    named = set(re.findall(r"\bmake ([a-z]+)", text))
    assert {"reproduce", "test"} <= named
    assert named <= makefile_targets()


def test_ci_runs_the_readme_s_test_command():
    assert "make test" in readme_code()
    assert "make test" in (ROOT / ".ci" / "run").read_text()


@pytest.mark.parametrize("profile", re.findall(r"PROFILE=(\w+)", (ROOT / "README.md").read_text()))
def test_profiles_named_in_the_readme_exist(profile):
    assert (ROOT / "notebooks" / "profiles" / f"{profile}.yaml").is_file()


@pytest.mark.parametrize("page", PAGES)
def test_paths_named_in_the_readme_and_its_pages_exist(page):
    text = (ROOT / page).read_text()
    for path in re.findall(r"\]\(([^)#:]+)(?:#[\w-]+)?\)|src=\"([^\"]+)\"", text):
        assert ((ROOT / page).parent / "".join(path)).exists(), path


@pytest.mark.parametrize("page", PAGES)
def test_the_numbers_of_the_readme_and_its_pages_are_those_of_the_runs(page):
    text = (ROOT / page).read_text("utf-8")
    assert "<!-- end of " in text
    assert filled(text) == text


def test_the_price_of_contextual_vectors_is_that_of_the_measurement():
    rows = json.loads((ROOT / "data/correctness/small/dependency/speed.json").read_text("utf-8"))["rows"]
    of_kind: dict[str, list[float]] = {}
    for row in rows:
        if (row["step"], row["metric"], row["words"]) == ("1-best", "per_second", None):
            of_kind.setdefault(row["kind"], []).append(row["value"])
    ratios = [static / contextual for static, contextual in zip(of_kind["deepbiaf-static"], of_kind["deepbiaf"])]
    text = (ROOT / "docs/results.md").read_text("utf-8")
    assert f"parses {min(ratios):.0f} to {max(ratios):.0f} times as many sentences a second" in text


def test_the_first_screen_of_the_readme_says_what_it_is_what_it_gives_and_how_to_begin():
    """One picture, one small table, two commands; then the gate, one's own parsers, and where things are."""
    text = (ROOT / "README.md").read_text("utf-8")
    first, _, rest = text.partition("\n## ")
    assert len(first.splitlines()) <= 40 and len(re.findall(r"<img |!\[", first)) == 1
    assert len(re.findall(r"^\| (?!:--)", first, re.MULTILINE)) <= 6
    assert re.findall(r"^make \w+", first, re.MULTILINE) == ["make reproduce", "make test"]
    wanted = ["\nbcr compare", "\n## Your own parsers", "\n## Where things are"]
    assert sorted(wanted, key=rest.index) == wanted
    assert max(len(table.splitlines()) for table in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE)) <= 20


def test_the_citation_names_this_version_and_prefers_the_paper():
    citation = read_yaml("CITATION.cff")
    assert citation["version"] == PROJECT["version"]
    paper = citation["preferred-citation"]
    assert paper["title"].startswith("Measuring and Reducing Model Update Regression") and len(paper["authors"]) == 6
    assert paper["year"] == 2022 and paper["identifiers"][0]["value"] == "arXiv:2202.02976"


def test_the_hooks_run_the_pinned_ruff_on_notebooks_too():
    (repository,) = read_yaml(".pre-commit-config.yaml")["repos"]
    assert repository["rev"] == f"v{pinned()['ruff']}"
    assert all("jupyter" in hook["types_or"] for hook in repository["hooks"])


def test_the_weekly_run_calls_what_is_there():
    jobs = read_yaml(".github/workflows/weekly.yml")["jobs"]
    commands = [step.get("run", "") for job in jobs.values() for step in job["steps"]]
    made = {target for command in commands if command.startswith("make ") for target in command.split()[1:]}
    assert {"test", "lint", "reproduce"} == made <= makefile_targets()


def test_the_changelog_says_what_is_new():
    changelog = (ROOT / "CHANGELOG.md").read_text()
    assert "## Unreleased" in changelog or f"## {PROJECT['version']}" in changelog
