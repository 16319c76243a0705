"""Options that several commands share, and checks of what they name before the work begins."""

import errno
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:  # only for annotations: the profiles need a YAML reader
    from bcrlib.pipeline.profiles import Profile

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text for people.")]
Overrides = Annotated[
    list[str],
    typer.Option(
        "--set", metavar="NAME=VALUE", help="Change a value of the profile, e.g. training.num_epochs=4. Repeatable."
    ),
]


def print_json(content: Any) -> None:
    """One JSON object on stdout."""
    typer.echo(json.dumps(content, indent=1, allow_nan=False))


def progress(line: str) -> None:
    """Tell how far the work is, on stderr: stdout is for the result."""
    typer.echo(line, err=True)


def read_profile(name: str, overrides: list[str]) -> "Profile":
    """The profile with its overrides; ValueError for whatever is wrong with either."""
    import yaml

    from bcrlib.pipeline.profiles import load_profile

    try:
        return load_profile(name, tuple(overrides))
    except (yaml.YAMLError, AttributeError, TypeError) as error:
        raise ValueError(f"profile {name!r} with {overrides}: {error}") from None


def check_output_file(path: Path) -> None:
    """Complain now, not after minutes of work, about a file that could not be written."""
    if not path.parent.is_dir():
        raise FileNotFoundError(errno.ENOENT, "no such folder", str(path.parent))
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, "is a folder, expected the name of a file", str(path))
    if not os.access(path.parent, os.W_OK):
        raise PermissionError(errno.EACCES, "this folder cannot be written", str(path.parent))


def check_new_folder(path: Path) -> None:
    """Complain now about a folder that could not be made, or that would overwrite what is there."""
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise FileExistsError(errno.EEXIST, "exists already; choose another folder or delete it", str(path))
    path.parent.mkdir(parents=True, exist_ok=True)
    if not os.access(path.parent, os.W_OK):
        raise PermissionError(errno.EACCES, "this folder cannot be written", str(path.parent))
