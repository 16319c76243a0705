"""`bcr course`: the notebooks as students get them."""

from pathlib import Path
from typing import Annotated

import typer

from bcrlib.cli.options import check_new_folder


def course(
    output: Annotated[Path, typer.Argument(metavar="FOLDER", help="New or empty; the notebooks are written there.")],
) -> None:
    """Write the students' copies of the notebooks: no outputs, no solutions.

    The notebooks of the repository have the answers to their questions and the
    solutions of their exercises; in the copies there is room for them. They run
    on the demo profile, without a network.

    Example: [green]bcr course homework[/green]
    """
    from bcrlib.pipeline.course import write_course
    from bcrlib.pipeline.reproduce import ROOT

    check_new_folder(output)
    written = write_course(ROOT / "notebooks", output)
    typer.echo(f"{len(written)} notebooks; begin with {written[0]}")
