"""What commands share: errors as one line on stderr, options, checks before the work begins, models by their folders.

And which candidates a parser is to propose: from the options of `bcr candidates` to a strategy.
"""

import errno
import json
import os
from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from bcrlib.samplers import strategies
from bcrlib.samplers.strategies import JOINT, Beam, DropoutP, Joined, KBest, Nucleus, Strategy, TopK, parse_strategy

if TYPE_CHECKING:  # at run time these would bring torch
    from bcrlib.parsers.parser import Parser
    from bcrlib.parsers.s2s import Seq2SeqParser
    from bcrlib.pipeline.profile import Profile
    from bcrlib.tasks import Task

    Model = Parser | Seq2SeqParser

USER_ERROR, INTERRUPTED = 2, 130
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
        except (OSError, ValueError, RuntimeError) as error:
            if ctx.params.get("debug") or not is_users(error):
                raise
            typer.echo(f"error: {one_line(error)}", err=True)
            raise typer.Exit(USER_ERROR) from None


def is_users(error: Exception) -> bool:
    """Whether the input is to blame: any error of files and values, and data that cannot be had."""
    if isinstance(error, RuntimeError):
        from bcrlib.data.download import DataError

        return isinstance(error, DataError)
    return True


def one_line(error: Exception) -> str:
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


def print_json(content: Any) -> None:
    """One JSON object on stdout."""
    typer.echo(json.dumps(content, indent=1, allow_nan=False))


def progress(line: str) -> None:
    """Tell how far the work is, on stderr: stdout is for the result."""
    typer.echo(line, err=True)


def read_profile(name: str, overrides: list[str]) -> "Profile":
    """The profile with its overrides; ValueError for whatever is wrong with either."""
    import yaml

    from bcrlib.pipeline.profile import load_profile

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


def kind_of(folder: Path) -> str:
    """The kind of the parser in a folder, all sizes of s2s being one. OSError, ValueError: there is none."""
    try:
        kind = json.loads((folder / "config.json").read_bytes())["kind"]
    except (ValueError, KeyError, TypeError) as error:
        raise _not_trained(folder, error) from None
    if kind not in STRATEGIES:
        raise ValueError(f"{folder}: a model of kind {kind!r}, expected one of {', '.join(STRATEGIES)}")
    return kind


def task_of(kind: str) -> "Task":
    """The task of a kind of parser, as `kind_of` or `bcr train` call it."""
    from bcrlib.tasks import TASKS, task_named

    return task_named(next(name for name, names in TASKS.items() if any(one.startswith(kind) for one in names.kinds)))


def load_model(folder: Path) -> "Model":
    """The parser in a folder, of whatever kind, on the GPU where there is one. OSError, ValueError: there is none."""
    kind_of(folder)
    from bcrlib.data.download import DataError
    from bcrlib.parsers.batches import best_runtime
    from bcrlib.parsers.checkpoint import load_parser

    try:
        return load_parser(folder, best_runtime())
    except (DataError, OSError):
        raise
    except Exception as error:  # a broken tokenizer.json, for one, raises nothing more special
        raise _not_trained(folder, error) from None


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


def _not_trained(folder: Path, error: Exception) -> ValueError:
    return ValueError(f"{folder}: not a trained parser: {type(error).__name__}: {str(error).partition(chr(10))[0]}")


_IN_WORDS = {"deepbiaf": "a deepbiaf", "stackptr": "a stackptr", "s2s": "an s2s"}
STRATEGIES = {
    kind: tuple(name for name, strategy in strategies.STRATEGIES.items() if kind in strategy.kinds)
    for kind in _IN_WORDS
}
"""What each kind of parser can do, by the first part of a strategy's name."""
DEFAULTS = {"deepbiaf": "k-best(labelled)", "stackptr": "beam", "s2s": "beam"}


@dataclass(frozen=True)
class StrategyOptions:
    """What was said on the command line; None, or False, where nothing was."""

    beam_width: int | None = None
    k: int | None = None
    p: float | None = None
    temperature: float | None = None
    keep_duplicates: bool = False
    labelled: bool = False

    def given(self) -> set[str]:
        """Names of the options that were said."""
        return {f.name for f in fields(self) if getattr(self, f.name) not in (None, False)}


_OPTIONS = {
    "k-best": {"labelled"},
    "beam": {"beam_width", "keep_duplicates"},
    "top-k": {"k", "temperature"},
    "nucleus": {"p", "temperature"},
    "dropout-p": {"p"},
}


def chosen_strategy(name: str | None, kind: str, num_candidates: int, options: StrategyOptions) -> Strategy:
    """The strategy of this name for a parser of this kind; without a name the kind's own.

    A name is short, e.g. "beam", its numbers then come from the options; or it is a strategy as tables print it, e.g.
    "beam(b=10)", which leaves no choice but `keep_duplicates`. "k-best" is both: without `labelled` the authors' list.
    Joined ones, "k-best(labelled)+dropout-p(p=0.1)", say their numbers themselves. ValueError: an unknown name, a
    strategy that this kind of parser does not have, an option that the strategy does not have or that is missing, a
    number out of range.
    """
    name = DEFAULTS[kind] if name is None else name
    if JOINT in name:
        if options.given():
            told = _flags(options.given())
            raise ValueError(f"--strategy {name!r} joins several: say {told} in the name, a rate as (p=0.1)")
        parts = (chosen_strategy(part, kind, num_candidates, options) for part in name.split(JOINT))
        return Joined(tuple(parts))
    short, parenthesis, _ = name.partition("(")
    if short not in strategies.STRATEGIES:
        raise ValueError(f"unknown strategy {name!r}; {_choices(kind)}")
    if short not in STRATEGIES[kind]:
        raise ValueError(f"{_IN_WORDS[kind]} has no strategy {short}; {_choices(kind)}")
    foreign = options.given() - _OPTIONS.get(short, set())
    if foreign:
        raise ValueError(f"{_flags(foreign)} is no option of --strategy {short}")
    if kind == "s2s" and options.keep_duplicates:
        raise ValueError("--keep-duplicates is of a stackptr: a frame is written in one way only")
    if parenthesis or short not in _OPTIONS:
        return _spelt_out(name, num_candidates, options)
    return _from_options(short, num_candidates, options)


def _spelt_out(name: str, num_candidates: int, options: StrategyOptions) -> Strategy:
    twice = options.given() - {"keep_duplicates", "labelled"}
    if twice:
        raise ValueError(f"--strategy {name!r} already says what {_flags(twice)} says; give one of them")
    strategy = parse_strategy(name, num_candidates)
    if isinstance(strategy, Beam):
        return replace(strategy, keep_duplicates=options.keep_duplicates)
    return strategy


def _from_options(short: str, num_candidates: int, options: StrategyOptions) -> Strategy:
    temperature = 1.0 if options.temperature is None else options.temperature
    if short == "k-best":
        return KBest(num_candidates, options.labelled)
    if short == "beam":
        width = 10 if options.beam_width is None else options.beam_width
        return Beam(width, num_candidates, options.keep_duplicates)
    if short == "top-k":
        if options.k is None:
            raise ValueError("--strategy top-k needs the number of actions to choose among, e.g. --k 5")
        return TopK(options.k, num_candidates, temperature)
    if options.p is None:
        what = "the probability that is kept, e.g. --p 0.9" if short == "nucleus" else "its rate, e.g. --p 0.15"
        raise ValueError(f"--strategy {short} needs {what}")
    return (
        Nucleus(options.p, num_candidates, temperature) if short == "nucleus" else DropoutP(options.p, num_candidates)
    )


def _choices(kind: str) -> str:
    return f"for {_IN_WORDS[kind]} choose one of {', '.join(STRATEGIES[kind])}"


def _flags(names: set[str]) -> str:
    return ", ".join(f"--{name.replace('_', '-')}" for name in sorted(names))
