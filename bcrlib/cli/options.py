"""What commands share: errors as one line on stderr, options, checks before the work begins, models by their folder."""

import errno
import json
import os
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from bcrlib.parsers.configuration import kind_of

if TYPE_CHECKING:  # at run time these would bring torch
    from bcrlib.parsers.parser import Parser
    from bcrlib.parsers.s2s import Seq2SeqParser
    from bcrlib.pipeline.profile import Profile
    from bcrlib.tasks import Task

    Model = Parser | Seq2SeqParser

USER_ERROR, INTERRUPTED = 2, 130
OF_RUN = ("reproduce", "course")
"""Commands that need the extra `run`; all others but compare and evaluate need `parsers`."""
SECONDS_OF_SILENCE = 5
LONGEST_LINE = 1000  # characters: a fault may quote a word, and a word may be a megabyte


class OneLineErrors(TyperGroup):
    """The commands of `bcr`: malformed files and the like end them with one line and exit code 2."""

    def invoke(self, ctx: typer.Context) -> object:
        """Run the chosen command."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            typer.echo("interrupted", err=True)
            raise typer.Exit(INTERRUPTED) from None
        except BrokenPipeError:
            raise  # whoever read the output has gone; typer ends quietly
        except ModuleNotFoundError as error:
            if error.name is None or error.name.startswith("bcrlib") or ctx.params.get("debug"):
                raise
            name = ctx.invoked_subcommand or ""
            extra = "run" if name in OF_RUN else "parsers"
            fault = f"bcr {name} needs {error.name}, which is not installed: pip install 'bcrlib[{extra}]'"
            typer.echo(f"error: {fault}", err=True)
            raise typer.Exit(USER_ERROR) from None
        except (OSError, ValueError, RuntimeError) as error:
            from bcrlib.data.download import DataError

            is_ours = isinstance(error, RuntimeError) and not isinstance(error, DataError)
            if is_ours or ctx.params.get("debug"):
                raise
            typer.echo(f"error: {_one_line(error)}", err=True)
            raise typer.Exit(USER_ERROR) from None


def _one_line(error: Exception) -> str:
    """The error's text without line breaks, a long one without its middle; of files the name and the reason."""
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    text = " ".join(str(error).split()) or type(error).__name__
    half = LONGEST_LINE // 2
    return text if len(text) <= LONGEST_LINE else f"{text[:half]} ... {text[-half:]}"


Json = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text for people.")]
Overrides = Annotated[
    list[str],
    typer.Option(
        "--set", metavar="NAME=VALUE", help="Change a value of the profile, e.g. training.num_epochs=4. Repeatable."
    ),
]


def print_json(content: Any, err: bool = False) -> None:
    """One JSON object on stdout."""
    typer.echo(json.dumps(content, indent=1, allow_nan=False), err=err)


def progress(line: str) -> None:
    """Tell how far the work is, on stderr: stdout is for the result."""
    typer.echo(line, err=True)


def counting(noun: str, total: int) -> Callable[[int], None]:
    """To be told how many items are done since it was last told; every few seconds it says how far that is.

    Work that goes over the items several times begins to count again. Nothing is said of what is done at once.
    """
    done, told = 0, time.monotonic()

    def tell(number: int) -> None:
        nonlocal done, told
        done = done % total + number
        if time.monotonic() - told >= SECONDS_OF_SILENCE:
            progress(f"{done:,} of {total:,} {noun}")
            told = time.monotonic()

    return tell


def read_profile(name: str, overrides: list[str]) -> "Profile":
    """The profile with its overrides; ValueError for whatever is wrong with either."""
    import yaml

    from bcrlib.pipeline.profile import load_profile

    try:
        return load_profile(name, tuple(overrides))
    except (yaml.YAMLError, AttributeError, TypeError) as error:
        raise ValueError(f"profile {name!r} with {overrides}: {error}") from None


def check_output_file(path: Path) -> None:
    """Complain now, not after minutes of work, about a file that could not be written; "-" is standard output."""
    from bcrlib.data.files import is_special

    if str(path) == "-" or is_special(path):
        return
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


def task_of(kind: str) -> "Task":
    """The task of a kind of parser, as `kind_of` or `bcr train` call it."""
    from bcrlib.tasks import TASKS, task_named

    return task_named(next(name for name, names in TASKS.items() if any(one.startswith(kind) for one in names.kinds)))


def load_model(folder: Path) -> "Model":
    """The parser in a folder, of whatever kind, on the GPU where there is one. OSError, ValueError: there is none."""
    kind_of(folder)
    from bcrlib.data.download import DataError
    from bcrlib.parsers.batches import best_runtime
    from bcrlib.parsers.training import load_parser

    try:
        return load_parser(folder, best_runtime())
    except (DataError, OSError):
        raise
    except Exception as error:  # a broken tokenizer.json, for one, raises nothing more special
        reason = str(error).partition("\n")[0]
        raise ValueError(f"{folder}: not a trained parser: {type(error).__name__}: {reason}") from None


def common_kind(folders: Iterable[Path]) -> str:
    """The kind of the first of some models, which all parse the same thing. ValueError: they do not."""
    kinds = {folder: kind_of(folder) for folder in folders}
    (first, kind), *others = kinds.items()
    for folder, other in others:
        if task_of(other) is not task_of(kind):
            raise ValueError(
                f"{folder} is a parser of kind {other}, {first} one of kind {kind}: one parses trees, the other frames"
            )
    return kind
