"""The command `bcr`. Each command imports what it needs when it runs, so that `bcr --help` is there at once."""

from importlib.metadata import version
from typing import Annotated

import typer

from bcrlib.cli.bench import bench
from bcrlib.cli.candidates import candidates, rerank
from bcrlib.cli.compare import compare, evaluate
from bcrlib.cli.course import course
from bcrlib.cli.options import OneLineErrors
from bcrlib.cli.reproduce import reproduce
from bcrlib.cli.train import train

app = typer.Typer(
    cls=OneLineErrors,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(version("bcrlib"))
        raise typer.Exit


@app.callback()
def bcr(
    debug: Annotated[bool, typer.Option("--debug", help="Show where an error comes from, with a traceback.")] = False,
    show_version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Does a newer parser break what the old one got right? Measure it, and repair it.

    A new model that is better on average still makes [bold]negative flips[/bold]:
    the old model parsed a word or a sentence correctly, and the new one does not.
    [bold]evaluate[/bold] counts them in the prediction files of any parser.
    [bold]compare[/bold] says whether the update may ship.
    [bold]train[/bold], [bold]candidates[/bold] and [bold]rerank[/bold] reduce them: the new model proposes
    several parses of each sentence, and the old model picks one
    (backward-congruent re-ranking, BCR).

    Files hold dependency trees (CoNLL-U) or semantic frames (TOP).

    Start with [green]bcr reproduce[/green] or [green]bcr COMMAND --help[/green].
    [bold]--install-completion[/bold] lets your shell complete commands and options.
    """


for command in (reproduce, train, candidates, rerank, evaluate, compare, bench, course):
    app.command()(command)
