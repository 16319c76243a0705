"""TOP's files: tab-separated rows of the release's columns (raw utterance, tokenized utterance, parse) or the last two.

TOPv2's are read too (a header; domain, utterance, parse).

UTF-8, no quoting, one row a line; words are separated by spaces. What white space decides nothing is forgiven: around a
cell, two spaces for one, none before a closing bracket.
"""

import re
from collections.abc import Sequence

from bcrlib.data.files import (
    MTOP_COLUMNS,
    TOPV2_HEADER,
    FileError,
    FilePath,
    can_stand,
    decoded_rows,
    read_input,
    unlike,
    write_whole,
)
from bcrlib.data.frames import CLOSE, OPEN, FrameBank, FrameError, Node, frame_words, parse_frame

COLUMN_NAMES = ("raw utterance", "utterance", "parse")
GLUED = re.compile(r"(?<=[^ ])(\]+)(?= |$)")
DECODED_HEADER = [cell.decode() for cell in TOPV2_HEADER]


class TopError(FileError):
    """A file that is not TOP's; its text is "FILE:LINE: fault"."""


def read_top(path: FilePath, frames: bool = True) -> FrameBank:
    """Read one file; see parse_top.  OSError for a file that cannot be read."""
    file = read_input(path)
    return parse_top(file.content, file.name, frames)


def parse_top(content: bytes, name: str, frames: bool = True) -> FrameBank:
    """The utterances and frames of a file of two or three columns; without `frames` its utterances alone.

    `name` stands for the file in errors.  Without `frames` the file is text to be parsed: the parse column may be
    missing or hold anything.  Raises TopError naming the first faulty line: bad UTF-8, no row, a wrong number of
    columns, an empty one, a parse that is not a frame or one over other words than the utterance's.  O(bytes),
    28,414 rows in about half a second.
    """
    first, rows, utterances = _rows(content, name, (2, 3) if frames else (1, 2, 3), any_parse=not frames)
    if not frames:
        return FrameBank(utterances, ())
    found = []
    for line, (row, words) in enumerate(zip(rows, utterances), first):
        try:
            found.append(_gold_frame(row[-1], words))
        except FrameError as error:
            raise TopError(name, line, str(error)) from None
    return FrameBank(utterances, tuple(found))


def read_predicted_top(path: FilePath) -> tuple[tuple[tuple[str, ...], ...], tuple[Node | None, ...]]:
    """Read one file; see parse_predicted_top.  OSError for a file that cannot be read."""
    file = read_input(path)
    return parse_predicted_top(file.content, file.name)


def parse_predicted_top(content: bytes, name: str) -> tuple[tuple[tuple[str, ...], ...], tuple[Node | None, ...]]:
    """The utterances and predicted frames of a file, None where the parse is not a frame, as an empty one.

    A frame over other words than the utterance's is a prediction too.  Raises TopError for all else that parse_top
    refuses.  O(bytes).
    """
    _, rows, utterances = _rows(content, name, (2, 3), any_parse=True)
    frames: list[Node | None] = []
    for row, words in zip(rows, utterances):
        try:
            frames.append(predicted_frame(row[-1], words))
        except FrameError:
            frames.append(None)
    return utterances, tuple(frames)


def predicted_frame(parse: str, words: Sequence[str]) -> Node:
    """A prediction as it stands; or, where it is only malformed by white space and has these words, as it was meant.

    FrameError with the reason for any other text.  O(characters).
    """
    try:
        return parse_frame(parse)
    except FrameError as error:
        try:
            frame = parse_frame(_spaced(parse))
        except FrameError:
            raise error from None
        if frame_words(frame) != tuple(words):
            raise
        return frame


def _spaced(parse: str) -> str:
    """With single spaces, also between brackets and what is before them."""
    apart = GLUED.sub(lambda found: " " + " ".join(found[1]), parse)
    return " ".join(token for token in apart.split(" ") if token)


def write_top(utterances: Sequence[Sequence[str]], parses: Sequence[str], path: FilePath) -> None:
    """Write a two-column file at once or not at all; a parse may be empty, for a prediction that is not a frame.

    ValueError for unequal numbers or a row that would break the format, OSError.  O(bytes).
    """
    if len(utterances) != len(parses):
        raise ValueError(f"{len(parses)} parses for {len(utterances)} utterances")
    rows = []
    for text, parse in zip(map(" ".join, utterances), parses):
        if not can_stand(text) or not can_stand(parse or "-") or "" in text.split(" ") or _words_fault(text.split(" ")):
            raise ValueError(f"{text!r} with parse {parse!r} cannot stand in a row of TOP")
        rows.append(f"{text}\t{parse}\n")
    write_whole(path, "".join(rows))


def _rows(
    content: bytes, name: str, num_columns: tuple[int, ...], any_parse: bool
) -> tuple[int, list[list[str]], tuple[tuple[str, ...], ...]]:
    """The line of the first row, the columns of every row, as many as in the first, and every utterance's words."""
    text = decoded_rows(content, name, TopError, "row").rstrip("\n")
    rows = [line.split("\t") for line in text.split("\n")]
    first = 2 if rows[0] == DECODED_HEADER else 1
    rows = rows[first - 1 :]
    if rows in ([], [[""]]):
        raise TopError(name, 1, "the file is empty; it must hold at least one row")
    expected = len(rows[0]) if len(rows[0]) in num_columns else max(num_columns)
    for line, row in enumerate(rows, first):
        if (len(row) != expected or "" in row) and (fault := _columns_fault(row, num_columns, expected, any_parse)):
            raise TopError(name, line, fault)
    utterances = []
    for line, row in enumerate(rows, first):
        words = [word for word in row[-2 if len(row) > 1 else 0].split(" ") if word]
        if fault := _words_fault(words):
            raise TopError(name, line, fault)
        utterances.append(tuple(words))
    return first, rows, tuple(utterances)


def _columns_fault(row: list[str], num_columns: tuple[int, ...], expected: int, any_parse: bool) -> str | None:
    if row == [""]:
        return "empty row"
    if len(row) == MTOP_COLUMNS:
        return (
            "8 tab-separated columns, as MTOP has them. Its frames are decoupled, without the words outside slots, so "
            "that spans cannot be counted; bcr compare counts them as wholes, in JSON Lines: "
            '{"id": .., "gold": .., "old": .., "new": ..}'
        )
    if len(row) not in num_columns:
        spaced = "; a tab stands between utterance and parse" if len(row) == 1 and f"{OPEN}IN:" in row[0] else ""
        return f"{len(row)} tab-separated columns, expected {' or '.join(map(str, num_columns))}{spaced}"
    if len(row) != expected:
        return f"{len(row)} tab-separated columns, but {expected} in the first row"
    empty = [name for name, cell in zip(COLUMN_NAMES[-len(row) :], row) if not cell]
    return None if empty == ["parse"] and any_parse else f"empty {empty[0]} column"


def _words_fault(words: list[str]) -> str | None:
    if not words:
        return "an utterance without words"
    if bracket := next((word for word in words if word == CLOSE or word.startswith(OPEN)), None):
        other = "; is the parse in another column than the last?" if bracket.startswith(f"{OPEN}IN:") else ""
        return f"the word {bracket!r} would be a bracket in a parse{other}"
    return None


def _gold_frame(parse: str, words: tuple[str, ...]) -> Node:
    """FrameError for a parse that is not a frame over these words."""
    frame = predicted_frame(parse, words)
    found = frame_words(frame)
    rest = iter(words)
    if len(found) < len(words) and all(word in rest for word in found):
        raise FrameError(
            f"{len(found)} of the utterance's {len(words)} words are in the parse. Decoupled frames leave words out; "
            f"bcr compare counts them as wholes, in JSON Lines"
        )
    for number, (word, expected) in enumerate(zip(found, words), 1):
        if word != expected:
            raise FrameError(f"word {number} of the parse is {unlike(word, expected, 'utterance')}")
    if len(found) != len(words):
        raise FrameError(f"{len(found)} words in the parse, {len(words)} in the utterance")
    return frame
