"""The site's pages: their examples run, what they name exists, and they build without a warning."""

import re
import subprocess
import sys
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
DOCS, PACKAGE = ROOT / "docs", ROOT / "bcrlib"
PAGES = sorted(DOCS.glob("*.md"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_examples_of_a_page_run(page):
    blocks = re.findall(r"^```python\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)
    assert blocks or page.stem in ("index", "commands", "dependencies", "results", "speed")
    exec(compile("\n".join(blocks), page.name, "exec"), {"__name__": page.stem})


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_what_a_page_names_is_there(page):
    text = page.read_text()
    for name in set(re.findall(r"`(bcrlib(?:\.\w+)+)`", text)):
        assert _exists(name), name
    for file in set(re.findall(r"`((?:tests|data)/[\w./]+)`", text)):
        assert (DOCS.parent / file).exists(), file


def _exists(name: str) -> bool:
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        if find_spec_safely(module := ".".join(parts[:length])):
            found = import_module(module)
            for attribute in parts[length:]:
                fields = getattr(found, "__dataclass_fields__", {})
                if not hasattr(found, attribute) and attribute not in fields:
                    return False
                found = getattr(found, attribute, None)
            return True
    return False


def find_spec_safely(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:
        return False


def test_the_site_builds_without_a_warning(tmp_path):
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", str(DOCS), str(tmp_path)]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    pages = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.html")}
    assert {"index.html", "add_a_parser.html", "api/parsers.html", "notebooks/05_reranking.html"} <= pages
    api = {path.stem: re.sub("<[^>]+>", "", path.read_text()) for path in (tmp_path / "api").glob("*.html")}
    assert "def bcr_scores" in api["bcrlib"] and "Annotated[" not in api["cli"]
    assert {path.parent.name for path in PACKAGE.rglob("*.py")} <= api.keys()
    pictures = [
        (page.stem, picture)
        for page in (tmp_path / "notebooks").glob("*.html")
        for picture in re.findall("<img [^>]*>", page.read_text())
    ]
    assert pictures and [name for name, picture in pictures if not re.search('alt="[^"_]', picture)] == []
