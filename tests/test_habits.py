"""What people expect around a library is there and agrees with it."""

import re
import tomllib
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[1]
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]


def read_yaml(name: str) -> dict:
    return yaml.safe_load((ROOT / name).read_text())


def test_the_citation_names_this_version_and_prefers_the_paper():
    citation = read_yaml("CITATION.cff")
    assert citation["version"] == VERSION
    paper = citation["preferred-citation"]
    assert paper["title"].startswith("Measuring and Reducing Model Update Regression") and len(paper["authors"]) == 6
    assert paper["year"] == 2022 and paper["identifiers"][0]["value"] == "arXiv:2202.02976"


def test_the_hooks_run_the_pinned_ruff_on_notebooks_too():
    (repository,) = read_yaml(".pre-commit-config.yaml")["repos"]
    pinned = re.search(r"^ruff==(\S+)$", (ROOT / "constraints.txt").read_text(), re.MULTILINE)[1]
    assert repository["rev"] == f"v{pinned}"
    assert all("jupyter" in hook["types_or"] for hook in repository["hooks"])


def test_the_weekly_run_calls_what_is_there():
    jobs = read_yaml(".github/workflows/weekly.yml")["jobs"]
    commands = [step.get("run", "") for job in jobs.values() for step in job["steps"]]
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    made = {target for command in commands if command.startswith("make ") for target in command.split()[1:]}
    assert {"test", "lint", "reproduce"} == made <= set(targets)


def test_contributing_fits_one_screen():
    assert len((ROOT / "CONTRIBUTING.md").read_text().splitlines()) <= 25


def test_the_changelog_says_what_is_new():
    changelog = (ROOT / "CHANGELOG.md").read_text()
    assert "## Unreleased" in changelog or f"## {VERSION}" in changelog
