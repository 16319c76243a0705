"""CoNLL-U in and out.  A file read and written again is the same, byte for byte."""

import os
import sys
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Int32, Int64, UInt8

from bcrlib.data.conllu_faults import NUM_COLUMNS, find_fault, sentence_fault
from bcrlib.data.formats import FileError, decoded
from bcrlib.data.treebank import SourceLines, Treebank

NEWLINE, HASH, TAB = 10, 35, 9  # bytes
FORM, UPOS, HEAD, DEPREL = 1, 3, 6, 7  # columns


class ConlluError(FileError):
    """A file that is not CoNLL-U; its text is "FILE:LINE: fault"."""


def read_conllu(path: str | os.PathLike[str], trees: bool = True) -> Treebank:
    """Read one CoNLL-U file; without `trees` its HEAD and DEPREL are not looked at (see parse_conllu).

    Raises ConlluError for a malformed file, OSError for one that cannot be read.  O(bytes), 30 MB a second.
    """
    return parse_conllu(Path(path).read_bytes(), str(path), trees)


def parse_conllu(content: bytes, name: str, trees: bool = True) -> Treebank:
    """The treebank in the bytes of a CoNLL-U file; `name` stands for the file in errors.

    Several roots in a sentence are accepted, since parsers without the single-root constraint write them, and
    an unspecified UPOS ("_") too.  Raises ConlluError naming the first faulty line otherwise: bad UTF-8,
    CRLF, no sentence, a missing blank line, column or value, wrong numbering, a head out of range, a cycle.

    Without `trees` the file is text to be parsed: HEAD and DEPREL may hold anything, "_" for example, and the
    treebank's heads are 0 and its relations "_" until `with_trees` gives it some.
    O(bytes).
    """
    text = _decode(content, name)
    lines = text.split("\n")
    lines.pop()  # what stands behind the last line end: nothing, or a line that was never ended
    if content.endswith(b"\n\n") and (treebank := _parse_lines(np.frombuffer(content, np.uint8), lines, trees)):
        return treebank
    fault = find_fault(lines if content.endswith(b"\n") else text.split("\n") if text else [], trees)
    assert fault, "refused by the fast reader, yet without a fault"
    raise ConlluError(name, *fault)


def _decode(content: bytes, name: str) -> str:
    text = decoded(content, name, ConlluError)
    if text.startswith("\ufeff"):
        raise ConlluError(name, 1, "byte order mark before the first line")
    if b"\r" in content:
        line = content.count(b"\n", 0, content.index(b"\r")) + 1
        raise ConlluError(name, line, "carriage return (CRLF); lines end in LF alone")
    return text


@dataclass(frozen=True, eq=False)
class _Layout:
    """Which line is what."""

    rows: Int64[np.ndarray, "row"]  # lines with columns: words, ranges, empty nodes
    sentence_of_row: Int64[np.ndarray, "row"]
    line_offsets: Int64[np.ndarray, "sentence_plus_one"]  # in the lines without the blank ones


def _parse_lines(buffer: UInt8[np.ndarray, "byte"], lines: list[str], trees: bool) -> Treebank | None:
    """The treebank, or None where anything is wrong."""
    layout = _find_layout(buffer)
    if layout is None:
        return None
    cells = "\t".join([lines[i] for i in layout.rows]).split("\t")
    if "" in cells:
        return None
    longest = int(np.bincount(layout.sentence_of_row).max())
    number_of = {str(i): i for i in range(longest + 1)}
    words = _find_words(_to_numbers(cells[::NUM_COLUMNS], number_of), layout, lines, trees)
    if words is None:
        return None
    columns = [cells[i::NUM_COLUMNS] for i in (FORM, UPOS, HEAD, DEPREL)]
    if not words.all():
        columns = [[cell for cell, is_word in zip(column, words) if is_word] for column in columns]
    forms, upos, heads, relations = columns
    sentence_of_token = layout.sentence_of_row[words]
    offsets = _offsets(sentence_of_token, len(layout.line_offsets) - 1)
    if not trees:
        heads, relations = ["0"] * len(forms), ["_"] * len(forms)
    new_heads = _to_numbers(heads, number_of)
    if trees and ("_" in relations or not _are_trees(new_heads, offsets)):
        return None
    line_of_token = layout.rows[words] - sentence_of_token  # one blank line fewer a sentence passed
    return Treebank(
        forms=list(map(sys.intern, forms)),
        upos=list(map(sys.intern, upos)),
        heads=new_heads,
        relations=list(map(sys.intern, relations)),
        offsets=offsets,
        source=SourceLines([line for line in lines if line], layout.line_offsets, line_of_token),
    )


def _find_layout(buffer: UInt8[np.ndarray, "byte"]) -> _Layout | None:
    """Kinds of lines by their first byte; None for a row without 10 columns, or a line out of place."""
    ends = np.flatnonzero(buffer == NEWLINE)
    starts = np.concatenate([[0], ends[:-1] + 1])
    first = buffer[starts]
    blank, comment = first == NEWLINE, first == HASH
    row = ~(blank | comment)
    after_row = np.concatenate([[False], row[:-1]])
    if not np.array_equal(blank, after_row & ~row):  # a comment behind a row, or a blank line behind no row
        return None
    num_tabs = np.diff(np.searchsorted(np.flatnonzero(buffer == TAB), ends), prepend=0)
    if (num_tabs[row] != NUM_COLUMNS - 1).any():
        return None
    sentence = np.cumsum(blank)
    rows = np.flatnonzero(row)
    return _Layout(rows, sentence[rows], _offsets(sentence[~blank], int(sentence[-1])))


def _offsets(sentence_of_item: Int64[np.ndarray, "item"], num_sentences: int) -> Int64[np.ndarray, "sentence_plus_one"]:
    return np.concatenate([[0], np.cumsum(np.bincount(sentence_of_item, minlength=num_sentences))])


def _to_numbers(cells: list[str], number_of: dict[str, int]) -> Int32[np.ndarray, "cell"]:
    """Cells as numbers, -1 for any other cell; faster than int(), and "+1" and "1_0" are refused."""
    return np.fromiter((number_of.get(cell, -1) for cell in cells), np.int32, len(cells))


def _find_words(
    numbers: Int32[np.ndarray, "row"], layout: _Layout, lines: list[str], trees: bool
) -> Bool[np.ndarray, "row"] | None:
    """Which rows are words; None where the numbering is wrong."""
    words = numbers > 0
    for sentence in np.unique(layout.sentence_of_row[~words]):  # those with ranges or empty nodes: few
        start, end = layout.line_offsets[sentence : sentence + 2] + sentence
        if sentence_fault(lines[start:end], 1, trees):
            return None
    offsets = _offsets(layout.sentence_of_row[words], len(layout.line_offsets) - 1)
    expected = np.arange(offsets[-1]) - np.repeat(offsets[:-1], np.diff(offsets)) + 1
    return words if np.array_equal(numbers[words], expected) else None


def _are_trees(heads: Int32[np.ndarray, "token"], offsets: Int64[np.ndarray, "sentence_plus_one"]) -> bool:
    """Whether all heads are within their sentence and lead to a root.  O(tokens log(longest sentence))."""
    lengths = np.diff(offsets)
    if (heads < 0).any() or (heads > np.repeat(lengths, lengths)).any():
        return False
    top = len(heads)  # stands for every root's head and is its own head
    ancestor = np.append(np.where(heads > 0, heads + np.repeat(offsets[:-1], lengths) - 1, top), top)
    for _ in range(int(lengths.max()).bit_length()):  # doubles the height climbed: 2, 4, ... > longest
        ancestor = ancestor[ancestor]
    return bool((ancestor == top).all())


def write_conllu(treebank: Treebank, path: str | os.PathLike[str]) -> None:
    """Write a CoNLL-U file at once or not at all: a killed run leaves no half file under this name.

    Raises ValueError as format_conllu does, OSError where the folder cannot be written.  O(bytes).
    """
    path = Path(path)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.unfinished")
    content = format_conllu(treebank).encode("utf-8")
    try:
        unfinished.write_bytes(content)
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)


def format_conllu(treebank: Treebank) -> str:
    """The text of a treebank's CoNLL-U file.

    Forms, UPOS, heads and relations are the treebank's; all else is as it was read, or "_" for a treebank not
    read from a file.  Raises ValueError for a cell that would break the format.  O(bytes).
    """
    for column in (treebank.forms, treebank.upos, treebank.relations):
        for cell in set(column):
            if not cell or not {"\t", "\n", "\r"}.isdisjoint(cell):
                raise ValueError(f"{cell!r} cannot stand in a column of CoNLL-U")
    if treebank.source is None:
        return _format_bare(treebank)
    lines = list(treebank.source.lines)
    for token, line in enumerate(treebank.source.line_of_token):
        lines[line] = "\t".join(_with_columns(lines[line].split("\t"), treebank, token))
    return _join_sentences(lines, treebank.source.line_offsets)


def _with_columns(cells: list[str], treebank: Treebank, token: int) -> list[str]:
    cells[FORM], cells[UPOS] = treebank.forms[token], treebank.upos[token]
    cells[HEAD], cells[DEPREL] = str(treebank.heads[token]), treebank.relations[token]
    return cells


def _format_bare(treebank: Treebank) -> str:
    numbers = np.arange(treebank.num_tokens) - np.repeat(treebank.offsets[:-1], treebank.lengths) + 1
    lines = [
        "\t".join(_with_columns([str(number), *"_________"], treebank, token)) for token, number in enumerate(numbers)
    ]
    return _join_sentences(lines, treebank.offsets)


def _join_sentences(lines: list[str], line_offsets: Int64[np.ndarray, "sentence_plus_one"]) -> str:
    bounds = line_offsets.tolist()
    return "".join("\n".join(lines[start:end]) + "\n\n" for start, end in pairwise(bounds))
