"""`bcr reproduce`: every table and figure of a profile.  `bcr course`: the notebooks as students get them.

The notebooks of the repository are the teacher's. In them a markdown cell tagged "answer" answers the question before
it, and in a code cell tagged "solution" the lines from `# begin solution` to `# end solution` are what students write.
"""

from copy import deepcopy
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bcrlib.cli.options import Json, Overrides, check_new_folder, print_json, progress, read_profile

if TYPE_CHECKING:  # takes long to load
    from nbformat import NotebookNode

JOBS_LEFT = 3
"""Exit code of a run that was told to end before it was done."""


def reproduce(
    profile: Annotated[
        str,
        typer.Option(
            help="How large: [bold]demo[/bold] (minutes), [bold]small[/bold] (the real corpora), [bold]paper[/bold]"
            " (on a GPU), another of notebooks/profiles, or a YAML file."
        ),
    ] = "demo",
    overrides: Overrides = [],  # noqa: B006  typer copies it
    scheduler: Annotated[
        str | None,
        typer.Option(metavar="ADDRESS", help="Dask scheduler to run on, e.g. tcp://host:8786; it shares our files."),
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Jobs at a time on this machine.", show_default="one a core")
    ] = None,
    minutes: Annotated[
        float | None,
        typer.Option(min=0, metavar="M", help="Begin no job after M minutes; exit code 3 where some are left."),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="FOLDER", help="For figures, data and runs.", show_default="the repository"
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Run the experiments of a profile, from corpus to tables and figures.

    Trains old and new models, lets the new ones propose and the old ones
    pick, and writes the paper's tables and figures into figures/PROFILE,
    with an index.html that shows them beside the paper's numbers. Finished
    jobs are not repeated: after an interruption the same command goes on, and
    with --minutes a long run can be made in short pieces.

    Example: [green]bcr reproduce --profile demo --set training.num_epochs=4[/green]
    """
    read_profile(profile, overrides)  # its faults are named before slower imports
    from bcrlib.pipeline import reproduce as pipeline
    from bcrlib.pipeline.run import GraphFailed, TimeIsUp

    folder = (output or pipeline.ROOT).resolve()
    try:
        index = pipeline.reproduce(profile, tuple(overrides), scheduler, workers, folder, progress, minutes)
    except GraphFailed as failure:
        typer.echo(str(failure), err=True)
        raise typer.Exit(1) from None
    except TimeIsUp as left:
        typer.echo(str(left), err=True)
        raise typer.Exit(JOBS_LEFT) from None
    if as_json:
        print_json({"profile": profile, "figures": str(index.parent), "index": str(index)})
    else:
        typer.echo(f"tables and figures: {index}")


BEGIN, END = "# begin solution", "# end solution"
TO_WRITE, TO_ANSWER = "...  # your code", "*Your answer:*"


def course(
    output: Annotated[Path, typer.Argument(metavar="FOLDER", help="New or empty; the notebooks are written there.")],
) -> None:
    """Write the students' copies of the notebooks: no outputs, no solutions.

    The notebooks of the repository have the answers to their questions and the
    solutions of their exercises; in the copies there is room for them. They run
    on the demo profile, without a network.

    Example: [green]bcr course homework[/green]
    """
    from bcrlib.data.files import ROOT

    written = write_course(ROOT / "notebooks", output)
    typer.echo(f"{len(written)} notebooks; begin with {written[0]}")


def write_course(notebooks: Path, folder: Path) -> list[Path]:
    """Write the students' copies of all story notebooks into a new or empty folder; their paths in reading order.

    FileExistsError where something is in the folder; ValueError with the notebook's name for one that `students_copy`
    refuses.
    """
    import nbformat

    check_new_folder(folder)  # what students have written there would be lost
    folder.mkdir(exist_ok=True)
    written = []
    for path in sorted(notebooks.glob("[0-9]*.ipynb")):
        try:
            copy = students_copy(nbformat.read(path, as_version=4))
        except ValueError as error:
            raise ValueError(f"{path.name}, {error}") from None
        nbformat.write(copy, folder / path.name)
        written.append(folder / path.name)
    return written


def students_copy(notebook: "NotebookNode") -> "NotebookNode":
    """A copy to work in. ValueError: a solution that does not begin or end, or is not tagged."""
    copy = deepcopy(notebook)
    for number, cell in enumerate(copy.cells, start=1):
        tags = cell.metadata.get("tags", [])
        if cell.cell_type == "code":
            cell.source = _without_solution(cell.source, "solution" in tags, number)
            cell.outputs, cell.execution_count = [], None
        elif "answer" in tags:
            cell.source = TO_ANSWER
    return copy


def _without_solution(source: str, tagged: bool, number: int) -> str:
    lines, kept, inside = source.splitlines(), [], False
    for line in lines:
        mark = line.strip()
        if mark not in (BEGIN, END):
            kept += [] if inside else [line]
            continue
        if not tagged or inside == (mark == BEGIN):
            raise ValueError(f"cell {number}: {mark!r} out of place, or no tag 'solution'")
        inside = mark == BEGIN
        kept += [line.replace(BEGIN, TO_WRITE)] if inside else []
    if inside or (tagged and len(kept) == len(lines)):
        raise ValueError(f"cell {number}: a solution needs the lines {BEGIN!r} and {END!r}")
    return "\n".join(kept)
