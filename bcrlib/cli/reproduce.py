"""`bcr reproduce`: every table and figure of a profile."""

from pathlib import Path
from typing import Annotated

import typer

from bcrlib.cli.options import Json, Overrides, print_json, progress, read_profile

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
        typer.Option(
            metavar="ADDRESS", help="Dask scheduler to use, e.g. tcp://host:8786; its workers must see our files."
        ),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Jobs to run at once on this machine.", show_default="one a core"),
    ] = None,
    minutes: Annotated[
        float | None,
        typer.Option(min=0, metavar="M", help="Start no new job after M minutes; exit code 3 if jobs are left."),
    ] = None,
    explain: Annotated[
        bool, typer.Option("--why", help="Only list the jobs that would run, and what has changed for each.")
    ] = False,
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FOLDER", help="For figures, data and runs.")
    ] = Path("results"),
    as_json: Json = False,
) -> None:
    """Run the experiments of a profile, from corpus to tables and figures.

    Trains old and new models, lets the new ones propose and the old ones
    pick, and writes the paper's tables and figures into
    FOLDER/figures/PROFILE, with an index.html that shows them beside the
    paper's numbers. Finished jobs are not repeated: after an interruption the
    same command goes on, and with --minutes a long run can be made in short
    pieces.

    Example: [green]bcr reproduce --profile demo --set training.num_epochs=4[/green]
    """
    read_profile(profile, overrides)  # its faults are named before slower imports
    from bcrlib.pipeline import reproduce as pipeline
    from bcrlib.pipeline.run import GraphFailed, TimeIsUp

    folder = output.resolve()
    if explain:
        _print_reasons(pipeline.why(profile, tuple(overrides), folder), as_json)
        return
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


def _print_reasons(reasons: dict[str, list[str]], as_json: bool) -> None:
    if as_json:
        print_json({"jobs": reasons})
        return
    for job, changes in reasons.items():
        typer.echo(f"{job}: {'; '.join(changes)}")
    typer.echo(f"{len(reasons)} jobs would run" if reasons else "nothing would run: every result is fresh")
