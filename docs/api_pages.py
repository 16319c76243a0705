"""A page for every package, with the signatures and docstrings of its public functions and classes.

Our docstrings are plain text, so they are shown as they are: nothing in them is markup. Modules are read, not imported.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

from sphinx.application import Sphinx

PACKAGE = Path(__file__).resolve().parents[1] / "bcrlib"
PAGES = Path(__file__).parent / "api"
Definition = ast.FunctionDef | ast.ClassDef


def write_pages(app: Sphinx) -> None:
    """docs/api/*.md, one for each folder of the package, and their index."""
    PAGES.mkdir(exist_ok=True)
    folders = [PACKAGE, *sorted(path.parent for path in PACKAGE.glob("*/__init__.py"))]
    for folder in folders:
        _write(PAGES / f"{folder.name}.md", _page(folder))
    entries = "\n".join(folder.name for folder in folders)
    _write(PAGES / "index.md", f"# API reference\n\n```{{toctree}}\n:maxdepth: 2\n\n{entries}\n```\n")


def _write(file: Path, text: str) -> None:
    if not file.exists() or file.read_text("utf-8") != text:  # else Sphinx would read it again
        file.write_text(text, "utf-8")


def _page(folder: Path) -> str:
    name = "bcrlib" if folder == PACKAGE else f"bcrlib.{folder.name}"
    modules = [file for file in sorted(folder.glob("*.py")) if file.name != "__init__.py"]
    return "\n\n".join([f"# {name}", *(part for file in modules for part in _module(file, name))]) + "\n"


def _module(file: Path, package: str) -> Iterator[str]:
    tree = ast.parse(file.read_text("utf-8"))
    yield f"## {package}.{file.stem}"
    yield _plain(ast.get_docstring(tree))
    for node in tree.body:
        if isinstance(node, Definition) and not node.name.startswith("_"):
            yield from _definition(node)


def _definition(node: Definition) -> Iterator[str]:
    yield f"### {node.name}"
    yield f"```python\n{_signature(node)}\n```"
    yield _plain(ast.get_docstring(node))
    if isinstance(node, ast.ClassDef):
        for inner in node.body:
            if isinstance(inner, ast.FunctionDef) and not inner.name.startswith("_") and ast.get_docstring(inner):
                yield f"```python\n{_signature(inner)}\n```"
                yield _plain(ast.get_docstring(inner))


def _signature(node: Definition) -> str:
    """The definition without its body; of a class its fields too."""
    if isinstance(node, ast.FunctionDef):
        returns = f" -> {ast.unparse(node.returns)}" if node.returns else ""
        return f"def {node.name}({ast.unparse(node.args)}){returns}"
    fields = [f"    {ast.unparse(inner)}" for inner in node.body if isinstance(inner, ast.AnnAssign)]
    bases = ", ".join(map(ast.unparse, node.bases))
    return "\n".join([f"class {node.name}" + (f"({bases})" if bases else ""), *fields])


def _plain(docstring: str | None) -> str:
    return f"```text\n{docstring}\n```" if docstring else ""


def setup(app: Sphinx) -> dict[str, bool]:
    """Called by Sphinx: the pages are written before it looks for pages."""
    app.connect("builder-inited", write_pages)
    return {"parallel_read_safe": True}
