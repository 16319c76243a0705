"""Trained parsers from their folders, and which task a kind of parser is for."""

import json
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from bcrlib.cli.options import STRATEGIES

if TYPE_CHECKING:  # at run time these would bring torch
    from bcrlib.parsers.deepbiaf import DeepBiafParser
    from bcrlib.parsers.s2s import Seq2SeqParser
    from bcrlib.parsers.stackptr import StackPtrParser

    Model = DeepBiafParser | StackPtrParser | Seq2SeqParser

S2S = "s2s"
KINDS = tuple(STRATEGIES)
"""Of parsers as their folders name them: all sizes of s2s are one kind."""


def kind_of(folder: Path) -> str:
    """The kind of the parser in a folder, one of KINDS. OSError, ValueError: there is none."""
    try:
        kind = json.loads((folder / "config.json").read_bytes())["kind"]
    except (ValueError, KeyError, TypeError) as error:
        raise _not_trained(folder, error) from None
    if kind not in KINDS:
        raise ValueError(f"{folder}: a model of kind {kind!r}, expected one of {', '.join(KINDS)}")
    return kind


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


def task_of(kind: str) -> ModuleType:
    """`bcrlib.cli.frames` for s2s, else `bcrlib.cli.trees`: what the commands do with texts and candidates."""
    from bcrlib.cli import frames, trees

    return frames if kind == S2S else trees


def common_kind(folders: Iterable[Path]) -> str:
    """The kind of the first of some models, which all parse the same thing. ValueError: they do not."""
    kinds = {folder: kind_of(folder) for folder in folders}
    (first, kind), *others = kinds.items()
    for folder, other in others:
        if (other == S2S) != (kind == S2S):
            raise ValueError(
                f"{folder} is a parser of kind {other}, {first} one of kind {kind}: one parses trees, the other frames"
            )
    return kind


def _not_trained(folder: Path, error: Exception) -> ValueError:
    return ValueError(f"{folder}: not a trained parser: {type(error).__name__}: {str(error).partition(chr(10))[0]}")
