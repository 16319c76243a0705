"""A page for every package, with the signatures and docstrings of its public functions and classes.

Our docstrings are plain text: but for names between backticks nothing in them is markup. Modules are read, not
imported.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from sphinx.application import Sphinx

PACKAGE = Path(__file__).resolve().parents[1] / "bcrlib"
PAGES = Path(__file__).parent / "api"
Definition = ast.FunctionDef | ast.ClassDef
WIDTH = 100  # of a line of a page


def write_pages(app: Sphinx) -> None:
    """docs/api/*.md, one for each folder of the package, and their index."""
    PAGES.mkdir(exist_ok=True)
    folders = [PACKAGE, *sorted(path.parent for path in PACKAGE.rglob("__init__.py") if path.parent != PACKAGE)]
    for page in PAGES.glob("*.md"):  # of a folder that is no longer there, Sphinx would miss it in the contents
        if page.stem not in ("index", *(folder.name for folder in folders)):
            page.unlink()
    for folder in folders:
        _write(PAGES / f"{folder.name}.md", _page(folder))
    entries = "\n".join(folder.name for folder in folders)
    _write(PAGES / "index.md", f"# API reference\n\n```{{toctree}}\n:maxdepth: 2\n\n{entries}\n```\n")


def _write(file: Path, text: str) -> None:
    if not file.exists() or file.read_text("utf-8") != text:  # else Sphinx would read it again
        file.write_text(text, "utf-8")


def _page(folder: Path) -> str:
    name = ".".join(folder.relative_to(PACKAGE.parent).parts)
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
    if isinstance(node, ast.ClassDef):
        fields = [f"    {ast.unparse(inner)}" for inner in node.body if isinstance(inner, ast.AnnAssign)]
        bases = ", ".join(map(ast.unparse, node.bases))
        return "\n".join([f"class {node.name}" + (f"({bases})" if bases else ""), *fields])
    arguments, returns = (
        _arguments(_Bare().visit(node.args)),
        f" -> {ast.unparse(node.returns)}" if node.returns else "",
    )
    line = f"def {node.name}({', '.join(arguments)}){returns}"
    if len(line) <= WIDTH:
        return line
    return "\n".join([f"def {node.name}(", *(f"    {argument}," for argument in arguments), f"){returns}"])


def _arguments(given: ast.arguments) -> list[str]:
    """Each as it is written, with its type and default."""
    by_place = [*given.posonlyargs, *given.args]
    defaults = [None] * (len(by_place) - len(given.defaults)) + given.defaults
    written = [_argument(*pair) for pair in zip(by_place, defaults)]
    if given.vararg or given.kwonlyargs:
        written.append("*" + (ast.unparse(given.vararg) if given.vararg else ""))
    written += [_argument(*pair) for pair in zip(given.kwonlyargs, given.kw_defaults)]
    return [*written, *(f"**{ast.unparse(given.kwarg)}" for _ in filter(None, [given.kwarg]))]


def _argument(argument: ast.arg, default: ast.expr | None) -> str:
    equals = " = " if argument.annotation else "="
    return ast.unparse(argument) + (f"{equals}{ast.unparse(default)}" if default else "")


class _Bare(ast.NodeTransformer):
    """Types without what the command line says of them: Annotated[T, ...] is T."""

    def visit_Subscript(self, node: ast.Subscript) -> ast.expr:
        bare = isinstance(node.value, ast.Name) and node.value.id == "Annotated" and isinstance(node.slice, ast.Tuple)
        return self.visit(node.slice.elts[0]) if bare else self.generic_visit(node)


def _plain(docstring: str | None) -> str:
    """A docstring as Markdown: paragraphs, and what is indented or drawn as it stands."""
    return "\n\n".join(map(_paragraph, (docstring or "").split("\n\n")))


def _paragraph(text: str) -> str:
    if re.search(r"^ |^<|   ", text, re.MULTILINE):
        return f"```text\n{text}\n```"
    parts = re.split(r"(`[^`]+`)", " ".join(text.split("\n")))
    return "".join(part if part.startswith("`") else re.sub(r"([\\*_<>\[\]$#|~`-])", r"\\\1", part) for part in parts)


def setup(app: Sphinx) -> dict[str, bool]:
    """Called by Sphinx: the pages are written before it looks for pages."""
    app.connect("builder-inited", write_pages)
    return {"parallel_read_safe": True}
