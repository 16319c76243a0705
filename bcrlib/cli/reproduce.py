"""`bcr reproduce`: run a profile from its corpora to its tables, and publish what the repository keeps of it."""

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bcrlib.cli.options import Json, Overrides, print_json, progress, read_profile

if TYPE_CHECKING:
    from bcrlib.pipeline.profile import Profile

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
    asked = read_profile(profile, overrides)  # its faults are named before slower imports
    from bcrlib.data.files import ROOT
    from bcrlib.pipeline.plan import plan
    from bcrlib.pipeline.run import GraphFailed, TimeIsUp, reasons, run_graph

    folder = output.resolve()
    places = ROOT / "notebooks", Path(os.environ.get("BCRLIB_RUNS") or folder / "runs").resolve()
    if explain:
        changes = reasons(plan(asked), *places)
        if as_json:
            print_json({"jobs": changes})
        else:
            typer.echo("".join(f"{job}: {'; '.join(change)}\n" for job, change in changes.items()), nl=False)
            typer.echo(f"{len(changes)} jobs would run" if changes else "nothing would run: every result is fresh")
        return
    _fetch(asked)
    at_once, threads = workers or asked.workers or None, asked.threads or None
    try:
        results = run_graph(plan(asked), *places, progress, scheduler, at_once, minutes, threads)
    except GraphFailed as failure:
        typer.echo(str(failure), err=True)
        raise typer.Exit(1) from None
    except TimeIsUp as left:
        typer.echo(str(left), err=True)
        raise typer.Exit(JOBS_LEFT) from None
    index = _publish(asked, results, folder)
    if as_json:
        print_json({"profile": profile, "figures": str(index.parent), "index": str(index)})
    else:
        typer.echo(f"tables and figures: {index}")


def _fetch(profile: "Profile") -> None:
    """Download what jobs will read, before they start: they would do it side by side, or fail one by one."""
    from bcrlib.pipeline.manifest import data_files
    from bcrlib.pipeline.profile import json_values, with_values

    for variable in ("BCRLIB_DATA", "BCRLIB_CACHE"):
        if os.environ.get(variable):  # jobs run in folders of their own, where a relative path would lead elsewhere
            os.environ[variable] = str(Path(os.environ[variable]).resolve())
    for task, half in profile.halves().items():
        for values in half.ablation.cells().values() or [{}]:
            data_files(task, json_values(with_values(half, values)))


def _publish(profile: "Profile", results: Mapping[str, Path], output: Path) -> Path:
    """Replace OUTPUT/figures/PROFILE and OUTPUT/data/correctness/PROFILE/TASK; the index page of tables and figures.

    results: the folder of every job.  Where a task is left out of which results are kept there, so are its tables and
    figures.
    """
    from bcrlib.pipeline.plan import PUBLISHING, kept_jobs
    from bcrlib.pipeline.results import COLLECTED, lay_out
    from bcrlib.report.publisher import write_index

    kept = output / "data" / "correctness" / profile.name
    for task in profile.halves():
        shutil.rmtree(kept / task, ignore_errors=True)
        lay_out(kept / task, *(results[job] for job in kept_jobs(profile, task)))
    figures = output / "figures" / profile.name
    if all(task in profile.halves() for task in COLLECTED if (kept / task).exists()):
        shutil.rmtree(figures, ignore_errors=True)
    figures.mkdir(parents=True, exist_ok=True)
    published = [results[name] for name in PUBLISHING if name in results]
    for file in sorted(file for folder in published for file in (folder / "figures").glob("*")):
        shutil.copy(file, figures)
    return write_index(figures, profile.name)
