"""What a user did wrong comes back as one line on stderr; only faults of the program show a traceback.

Options that several commands share, and checks of what they name before the work begins.

Which candidates a parser is to propose: from the options of `bcr candidates` to a strategy.
"""

import errno
import json
import os
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from bcrlib.samplers import strategies
from bcrlib.samplers.strategies import JOINT, Beam, DropoutP, Joined, KBest, Nucleus, Strategy, TopK, parse_strategy

if TYPE_CHECKING:
    from bcrlib.pipeline.profile import Profile


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
