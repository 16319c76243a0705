"""The site: API reference, the notebooks as they are committed, and how to add a parser, a sampler, a corpus.

make docs (no network, no notebook is run)
"""

import json
import shutil
import sys
from html import unescape
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(Path(__file__).parent))  # for the extension beside this file

project = "bcrlib"
author = "The bcrlib contributors"
html_theme = "furo"
html_title = "bcrlib"
extensions = ["myst_nb", "api_pages"]
nb_execution_mode = "off"
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3
exclude_patterns = ["_build", "jupyter_execute"]
# Notebooks link to modules and folders of the repository, which are no pages here.
suppress_warnings = ["myst.xref_missing"]

NOTEBOOKS = Path(__file__).parent / "notebooks"
shutil.rmtree(NOTEBOOKS, ignore_errors=True)
NOTEBOOKS.mkdir()


def with_words(cell: dict) -> list[dict]:
    """The cell, split by outputs, each with the words for its picture.

    myst-nb takes them from the cell; notebooks keep them with a figure, and drawings within themselves.
    """
    cells = [cell | {"outputs": [output]} for output in cell.get("outputs", [])] or [cell]
    for number, part in enumerate(cells):
        part["metadata"] = {**cell["metadata"]} if number == 0 else {"tags": ["remove-input"]}
        part["id"] += f"-{number}" if number else ""
        for output in part.get("outputs", []):
            drawing = "".join(output.get("data", {}).get("image/svg+xml", ""))
            words = output.get("metadata", {}).get("image/png", {}).get("alt")
            if words := words or unescape(drawing.partition("<title>")[2].partition("</title>")[0]):
                part["metadata"]["mystnb"] = {"image": {"alt": words}}
    return cells


for notebook in sorted((ROOT / "notebooks").glob("[0-9]*.ipynb")):
    content = json.loads(notebook.read_text(encoding="utf-8"))
    content["cells"] = [part for cell in content["cells"] for part in with_words(cell)]
    (NOTEBOOKS / notebook.name).write_text(json.dumps(content), encoding="utf-8")
