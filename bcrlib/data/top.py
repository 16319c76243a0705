"""TOP's files in and out: tab-separated rows, either the release's three columns or the two that parsers need.

Release: raw utterance, tokenized utterance, parse. Two columns: tokenized utterance, parse. UTF-8, no header, no
quoting, one row a line; words are separated by single spaces.
"""

import os
from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np

from bcrlib.data.files import FileError, decoded
from bcrlib.data.frames import OPEN, FrameBank, FrameError, Node, frame_tokens, frame_words, parse_frame

FilePath = str | os.PathLike[str]
COLUMN_NAMES = {
    1: ("utterance",),
    2: ("utterance", "parse"),
    3: ("raw utterance", "utterance", "parse"),
}
UNSUPPORTED = "IN:UNSUPPORTED"  # a prefix: IN:UNSUPPORTED, IN:UNSUPPORTED_EVENT, ...


class TopError(FileError):
    """A file that is not TOP's; its text is "FILE:LINE: fault"."""


def read_top(path: FilePath, frames: bool = True, known_labels: Collection[str] | None = None) -> FrameBank:
    """Read one file; see parse_top.  OSError for a file that cannot be read."""
    return parse_top(Path(path).read_bytes(), str(path), frames, known_labels)


def parse_top(content: bytes, name: str, frames: bool = True, known_labels: Collection[str] | None = None) -> FrameBank:
    """The utterances and frames of a file of two or three columns; without `frames` its utterances alone.

    `name` stands for the file in errors.  Without `frames` the file is text to be parsed: the parse column may be
    missing or hold anything.  With `known_labels` every other label is an error.  Raises TopError naming the first
    faulty line: bad UTF-8, no row, a wrong number of columns, an empty one, a parse that is no frame or one over other
    words than the utterance's.  O(bytes), 28,414 rows in about half a second.
    """
    rows = _rows(content, name, (2, 3) if frames else (1, 2, 3), any_parse=not frames)
    utterances = tuple(_utterance(row, name, line) for line, row in enumerate(rows, 1))
    if not frames:
        return FrameBank(utterances, ())
    known = None if known_labels is None else frozenset(known_labels)
    numbered = enumerate(zip(rows, utterances), 1)
    return FrameBank(utterances, tuple(_frame(row[-1], words, known, name, line) for line, (row, words) in numbered))


def read_predicted_top(path: FilePath) -> tuple[tuple[tuple[str, ...], ...], tuple[Node | None, ...]]:
    """Read one file; see parse_predicted_top.  OSError for a file that cannot be read."""
    return parse_predicted_top(Path(path).read_bytes(), str(path))


def parse_predicted_top(content: bytes, name: str) -> tuple[tuple[tuple[str, ...], ...], tuple[Node | None, ...]]:
    """The utterances and predicted frames of a file, None where the parse is no frame, as an empty one.

    A frame over other words than the utterance's is a prediction too.  Raises TopError for all else that parse_top
    refuses.  O(bytes).
    """
    rows = _rows(content, name, (2, 3), any_parse=True)
    utterances = tuple(_utterance(row, name, line) for line, row in enumerate(rows, 1))
    return utterances, tuple(_frame_or_none(row[-1]) for row in rows)


def supported(bank: FrameBank) -> FrameBank:
    """The bank without every utterance that has an IN:UNSUPPORTED... anywhere in its frame.

    As the paper and Einolghozati et al. (2019) do (protocol, section 1.2).  O(tokens).
    """
    kept = [
        not any(kind == OPEN and text.startswith(UNSUPPORTED) for kind, text in frame_tokens(frame))
        for frame in bank.frames
    ]
    return bank.select(np.flatnonzero(kept))


def supported_rows(content: bytes) -> bytes:
    """The two-column file in the bytes of a file of the release: supported rows, tokenized utterance and parse.

    The rows are not read any further.  Raises ValueError for a row without three columns.  O(bytes).
    """
    rows = [line.split(b"\t") for line in content.removesuffix(b"\n").split(b"\n")]
    if any(len(row) != 3 for row in rows):
        raise ValueError("a row of the release has three columns")
    return b"".join(
        words + b"\t" + parse + b"\n" for _, words, parse in rows if b"[" + UNSUPPORTED.encode() not in parse
    )


def write_top(utterances: Sequence[Sequence[str]], parses: Sequence[str], path: FilePath) -> None:
    """Write a two-column file at once or not at all; a parse may be empty, for a prediction that is no frame.

    Raises ValueError for unequal numbers or a row that would break the format, OSError where the folder cannot be
    written.  O(bytes).
    """
    if len(utterances) != len(parses):
        raise ValueError(f"{len(parses)} parses for {len(utterances)} utterances")
    path = Path(path)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.unfinished")
    content = "".join(_format_row(words, parse) for words, parse in zip(utterances, parses))
    try:
        unfinished.write_text(content, "utf-8", newline="\n")
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)


def _format_row(words: Sequence[str], parse: str) -> str:
    text = " ".join(words)
    if not {"\t", "\n", "\r"}.isdisjoint(text + parse) or _words_fault(text.split(" ")):
        raise ValueError(f"{text!r} with parse {parse!r} cannot stand in a row of TOP")
    return f"{text}\t{parse}\n"


def _rows(content: bytes, name: str, num_columns: tuple[int, ...], any_parse: bool = False) -> list[list[str]]:
    """The columns of every row, as many in each as in the first."""
    text = _decode(content, name)
    if not text:
        raise TopError(name, 1, "the file is empty; it must hold at least one row")
    rows = [line.split("\t") for line in text.removesuffix("\n").split("\n")]
    expected = len(rows[0]) if len(rows[0]) in num_columns else max(num_columns)
    for line, row in enumerate(rows, 1):
        if (len(row) != expected or "" in row) and (fault := _columns_fault(row, num_columns, expected, any_parse)):
            raise TopError(name, line, fault)
    return rows


def _decode(content: bytes, name: str) -> str:
    text = decoded(content, name, TopError)
    if text.startswith("\ufeff"):
        raise TopError(name, 1, "byte order mark before the first row")
    if "\r" in text:
        line = text.count("\n", 0, text.index("\r")) + 1
        raise TopError(name, line, "carriage return (CRLF); rows end in LF alone")
    return text


def _columns_fault(row: list[str], num_columns: tuple[int, ...], expected: int, any_parse: bool) -> str | None:
    if row == [""]:
        return "empty row"
    if len(row) not in num_columns:
        return f"{len(row)} tab-separated columns, expected {' or '.join(map(str, num_columns))}"
    if len(row) != expected:
        return f"{len(row)} tab-separated columns, but {expected} in the first row"
    empty = [name for name, cell in zip(COLUMN_NAMES[len(row)], row) if not cell]
    if empty == ["parse"] and any_parse:
        return None
    return f"empty {empty[0]} column"


def _utterance(row: list[str], name: str, line: int) -> tuple[str, ...]:
    words = row[-2 if len(row) > 1 else 0].split(" ")
    if fault := _words_fault(words):
        raise TopError(name, line, fault)
    return tuple(words)


def _words_fault(words: list[str]) -> str | None:
    if "" in words:
        return "words must be separated by single spaces, with none at either end"
    if bracket := next((word for word in words if word == "]" or word.startswith(OPEN)), None):
        return f"the word {bracket!r} would be a bracket in a parse"
    return None


def _frame(parse: str, words: tuple[str, ...], known: frozenset[str] | None, name: str, line: int) -> Node:
    try:
        frame = parse_frame(parse)
    except FrameError as error:
        raise TopError(name, line, str(error)) from None
    if frame_words(frame) != words:
        raise TopError(name, line, _first_difference(frame_words(frame), words))
    if known is not None:
        for kind, text in frame_tokens(frame):
            if kind == OPEN and text not in known:
                raise TopError(name, line, f"unknown label {text}")
    return frame


def _first_difference(found: tuple[str, ...], expected: tuple[str, ...]) -> str:
    for number, pair in enumerate(zip(found, expected), 1):
        if pair[0] != pair[1]:
            return f"word {number} of the parse is {pair[0]!r}, of the utterance {pair[1]!r}"
    return f"{len(found)} words in the parse, {len(expected)} in the utterance"


def _frame_or_none(parse: str) -> Node | None:
    try:
        return parse_frame(parse)
    except FrameError:
        return None
