"""The site: the notebooks as they are committed, the commands, how to add a parser, a sampler, a corpus, and the API.

make docs (no network, no notebook is run; no page loads anything from elsewhere)
"""

import json
import re
import shutil
import sys
from html import unescape
from pathlib import Path

from docutils.nodes import SkipNode, math, math_block
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.application import Sphinx
from sphinx.writers.html5 import HTML5Translator

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(Path(__file__).parent), str(ROOT)]  # for the extensions beside this file, and the package

project = "bcrlib"
author = "The bcrlib contributors"
html_theme = "furo"
html_title = "bcrlib"
html_static_path, html_css_files = ["static"], ["house.css"]
html_show_copyright = False
smartquotes = False  # two hyphens begin an option
extensions = ["myst_nb", "api_pages", "command_page"]
nb_execution_mode = "off"
nb_ipywidgets_js = {}  # sliders need a kernel; without them no page asks a server for scripts
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3
html_math_renderer = "mathml"
exclude_patterns = ["_build", "jupyter_execute"]
# Notebooks link to modules and folders of the repository, which are no pages here.
suppress_warnings = ["myst.xref_missing"]

NOTEBOOKS = Path(__file__).parent / "notebooks"
NUMBERS = re.compile(r"\b[Nn]otebooks? \d\d(?:(?:, | and | to |, and )\d\d)*\b")


def copy_notebooks() -> None:
    """docs/notebooks/*.ipynb: titles have their numbers, and a notebook that is named by its number is a link."""
    shutil.rmtree(NOTEBOOKS, ignore_errors=True)
    NOTEBOOKS.mkdir()
    names = {path.name[:2]: path.name for path in sorted((ROOT / "notebooks").glob("[0-9]*.ipynb"))}
    for number, name in names.items():
        notebook = json.loads((ROOT / "notebooks" / name).read_text("utf-8"))
        for cell in notebook["cells"]:
            if cell["cell_type"] == "markdown":
                cell["source"] = NUMBERS.sub(lambda found: _linked(found[0], names), "".join(cell["source"]))
        notebook["cells"] = [part for cell in notebook["cells"] for part in with_words(cell)]
        title = notebook["cells"][0]
        title["source"] = title["source"].replace("# ", f"# {number} · ", 1)
        (NOTEBOOKS / name).write_text(json.dumps(notebook), "utf-8")


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


def _linked(text: str, names: dict[str, str]) -> str:
    return re.sub(r"\d\d", lambda n: f"[{n[0]}]({names[n[0]]})" if n[0] in names else n[0], text)


APPLIED = "<mo>&ApplyFunction;</mo>"  # nothing is drawn for it, and "log p" wants a space


def _drawn(formula: str, as_block: bool) -> str:
    return tex2mathml(formula, as_block=as_block).replace(APPLIED, '<mspace width="0.17em"></mspace>')


def _inline(translator: HTML5Translator, node: math) -> None:
    translator.body.append(_drawn(node.astext(), as_block=False))
    raise SkipNode


def _block(translator: HTML5Translator, node: math_block) -> None:
    translator.body.append(f'<div class="math">{_drawn(node.astext(), as_block=True)}</div>\n')
    raise SkipNode


def setup(app: Sphinx) -> None:
    """Formulas are MathML, which browsers draw themselves."""
    app.add_html_math_renderer("mathml", (_inline, None), (_block, None))


copy_notebooks()
