"""The site: API reference, the notebooks as they are committed, and how to add a parser, a sampler, a corpus.

make docs (no network, no notebook is run)
"""

import json
import shutil
import sys
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
for notebook in sorted((ROOT / "notebooks").glob("[0-9]*.ipynb")):
    content = json.loads(notebook.read_text(encoding="utf-8"))
    for cell in content["cells"]:
        for output in cell.get("outputs", []):
            # myst-nb takes the words for a picture from the cell, notebooks keep them with the picture.
            if alt := output.get("metadata", {}).get("image/png", {}).get("alt"):
                cell["metadata"]["mystnb"] = {"image": {"alt": alt}}
    (NOTEBOOKS / notebook.name).write_text(json.dumps(content), encoding="utf-8")
