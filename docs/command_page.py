"""A page with the help of every command, read from the commands themselves."""

import re
from html import escape
from pathlib import Path

from sphinx.application import Sphinx
from typer import Context
from typer.core import TyperCommand
from typer.main import get_command

from bcrlib.cli import app as commands

PAGE = Path(__file__).parent / "commands.md"
MARKS = {"bold": "**", "green": "`", "cyan": "`"}
"""Of the help's markup -> of Markdown."""


def write_page(app: Sphinx) -> None:
    """docs/commands.md."""
    whole = get_command(commands)
    named = [_section(name, command) for name, command in whole.commands.items()]
    text = "\n\n".join(["# The commands", _markdown(whole.help), *named]) + "\n"
    if not PAGE.exists() or PAGE.read_text("utf-8") != text:  # else Sphinx would read it again
        PAGE.write_text(text, "utf-8")


def _section(name: str, command: TyperCommand) -> str:
    context = Context(command, info_name=name)
    usage = " ".join([f"bcr {name}", *command.collect_usage_pieces(context)])
    records = (param.get_help_record(context) for param in command.params if param.name != "help")
    rows = [_row(*record) for record in records if record]
    table = "\n".join(["| | |", "| :-- | :-- |", *rows])
    return "\n\n".join([f"## bcr {name}", f"```text\n{usage}\n```", _markdown(command.help), table])


def _row(names: str, about: str) -> str:
    """Of a table: an option or argument, and what it is."""
    names = re.sub(r" <.*>$", "", names)  # its type in Python
    return f"| `{names}` | {_markdown(about)} |".replace("sum|mean", "sum\\|mean")


def _markdown(help_text: str) -> str:
    """A help with marks such as [bold]...[/bold] as Markdown."""
    text = escape(help_text.replace("\\[", "["), quote=False)
    spans = re.compile(r"\[(bold|green|cyan)\](.*?)\[/\1\]", re.DOTALL)
    text = spans.sub(lambda span: MARKS[span[1]] + " ".join(span[2].split()) + MARKS[span[1]], text)
    return re.sub(
        r"`[^`]*`", lambda code: code[0].replace("&gt;", ">").replace("&lt;", "<").replace("&amp;", "&"), text
    )


def setup(app: Sphinx) -> dict[str, bool]:
    """Called by Sphinx: the page is written before it looks for pages."""
    app.connect("builder-inited", write_page)
    return {"parallel_read_safe": True}
