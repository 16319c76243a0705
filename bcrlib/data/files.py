"""Files of any kind: what one holds, told from its first row; its cells; faults by line; writing one whole or not."""

import codecs
import gzip
import os
import re
import shutil
import sys
import unicodedata
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path

import numpy as np
from jaxtyping import Int32, Int64, UInt8

PACKAGE = Path(__file__).resolve().parents[1]
CARRIED = PACKAGE / "carried"
"""Where a wheel has notebooks/ and data/; in a checkout there is no such folder."""
ROOT = CARRIED if CARRIED.is_dir() else PACKAGE.parent
"""The folder of notebooks/ and data/: the checkout, or what an installed package carries of it."""

FilePath = str | os.PathLike[str]
CONLLU, TOP = "CoNLL-U", "TOP"
FIRST_ROW = re.compile(rb"[\r\n]*([^\r\n]*)")
"""Blank rows before it are for readers to refuse."""
STANDARD = "-"
"""In place of a path: standard input, or output."""
MTOP_COLUMNS = 8
TOPV2_HEADER = [b"domain", b"utterance", b"semantic_parse"]
MARKS = re.compile(rb"^(?:%b)+" % codecs.BOM_UTF8, re.MULTILINE)
UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
NEWLINE, HASH, TAB, ZERO = 10, 35, 9, 48  # bytes
CELL_MARGIN = WINDOW = 8  # bytes of a cell that are compared at once
LONGEST = 64  # longer cells become strings one by one
PAST_CELL = np.array([(2**64 - 1 << 8 * n) % 2**64 for n in range(WINDOW + 1)], np.uint64)
"""For windows with so many bytes of a cell: the others as 0xff, which UTF-8 does not have."""


class FileError(ValueError):
    """A file that is not what it should be; its text is "FILE:LINE: fault"."""

    def __init__(self, name: str, line: int, fault: str) -> None:
        """Name the file, the line (from 1) and the fault."""
        super().__init__(name, line, fault)
        self.name, self.line, self.fault = name, line, fault

    def __str__(self) -> str:
        """FILE:LINE: fault."""
        return f"{self.name}:{self.line}: {self.fault}"


def plain(content: bytes) -> bytes:
    """The bytes of a text file without byte order marks, lines ended by LF alone.  O(bytes)."""
    # Two marks and CR CR LF, too: some tool wrote what another had marked. So a second call changes nothing.
    if codecs.BOM_UTF8 in content:  # also at the beginning of a line: files that were joined
        content = MARKS.sub(b"", content)
    return re.sub(rb"\r+\n", b"\n", content) if b"\r" in content else content


def decoded(content: bytes, name: str, error: Callable[[str, int, str], FileError]) -> str:
    """The text in the bytes of a file, `plain`; raises the error, with the line, for bad UTF-8.  O(bytes)."""
    content = plain(content)
    if content.startswith(UTF_16) or b"\0" in content[:4]:
        raise error(name, 1, "UTF-16, not UTF-8; save the file as UTF-8")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as fault:
        line = content.count(b"\n", 0, fault.start) + 1
        raise error(name, line, f"not UTF-8: byte 0x{content[fault.start]:02x}") from None


def decoded_rows(content: bytes, name: str, error: Callable[[str, int, str], FileError], what: str) -> str:
    """As `decoded`, of a file in whose rows there is no carriage return; `what` one row holds is for faults."""
    text = decoded(content, name, error)
    if "\r" in text:
        raise error(name, text.count("\n", 0, text.index("\r")) + 1, f"carriage return within a {what}")
    return text


def unlike(found: object, expected: object, place: str) -> str:
    """That one word is not another in a place; where they may look alike, with the code points that differ.

    Composed and decomposed letters, those of other alphabets, what has no width: words that differ in no more than two
    characters in a row, not both in ASCII.  O(characters).
    """
    told = f"{found!r}, in the {place} {expected!r}"
    if not isinstance(found, str) or not isinstance(expected, str) or (found + expected).isascii():
        return told
    words = (found, expected)
    start = num_shared(*words)
    end = num_shared(*(word[start:][::-1] for word in words))
    apart = [word[start : len(word) - end] or word[start : start + 1] for word in words]
    forms = [form for form in ("NFC", "NFKC") if len({unicodedata.normalize(form, word) for word in words}) == 1]
    if not forms and max(map(len, apart)) > 2:
        return told
    points = (" ".join(f"U+{ord(letter):04X}" for letter in letters[:4]) or "nothing" for letters in apart)
    return f"{told} ({' and '.join(points)}{f': the same after {forms[0]}' if forms else ''})"


def num_shared(first: Sequence[object], second: Sequence[object]) -> int:
    """In how many places from the beginning two sequences are equal.  O(places)."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(first, second)))


def words_fault(given: Sequence[object], words: Sequence[str], noun: str, place: str) -> str | None:
    """How these words, called `noun`, differ from those in a place; None where they do not.  O(words)."""
    if len(given) != len(words):
        return f"{len(given)} {noun}, in the {place} {len(words)} words"
    for number, (found, word) in enumerate(zip(given, words), start=1):
        if found != word:
            return f"word {number}: {unlike(found, word, place)}"
    return None


def can_stand(cell: str) -> bool:
    """Whether a text can stand in a column of tab-separated rows."""
    return bool(cell) and {"\t", "\n", "\r"}.isdisjoint(cell)


def find_rows(buffer: UInt8[np.ndarray, "byte"], num_columns: int) -> tuple[np.ndarray, ...] | None:
    """The rows of tab-separated cells in a text of groups: comments ("#"), rows, a blank line behind the last.

    Of rows the line, the byte at which it begins, its tabs [row, tab], the number of its group; at which line, and at
    which byte, each group begins (and the text ends).  None for a row without so many filled columns, or a line out of
    place.  O(bytes).
    """
    ends = np.flatnonzero(buffer == NEWLINE)
    starts = np.concatenate([[0], ends[:-1] + 1])
    first = buffer[starts]
    blank, comment = first == NEWLINE, first == HASH
    row = ~(blank | comment)
    after_row = np.concatenate([[False], row[:-1]])
    if not np.array_equal(blank, after_row & ~row):  # a comment behind a row, or a blank line behind no row
        return None
    is_tab = buffer == TAB
    rows, tabs = np.flatnonzero(row), np.flatnonzero(is_tab)
    line_offsets = np.concatenate([[0], np.flatnonzero(blank) + 1])
    byte_offsets = np.append(starts, len(buffer))[line_offsets]
    if len(tabs) != len(rows) * (num_columns - 1):
        tabs = tabs[~comment[np.searchsorted(ends, tabs)]]
    if len(tabs) != len(rows) * (num_columns - 1):
        return None
    starts, ends, tabs = starts[rows], ends[rows], tabs.reshape(-1, num_columns - 1)
    if (tabs[:, 0] <= starts).any() or (tabs[:, -1] + 1 >= ends).any():
        return None  # tabs of another line, or an empty cell
    if (is_tab[1:] & is_tab[:-1]).any() and (np.diff(tabs) == 1).any():  # the first sees those of comments, too
        return None
    return rows, starts, tabs, np.cumsum(blank)[rows], line_offsets, byte_offsets


def cell_numbers(
    buffer: UInt8[np.ndarray, "byte"], starts: Int64[np.ndarray, "cell"], ends: Int64[np.ndarray, "cell"]
) -> Int32[np.ndarray, "cell"]:
    """Cells as numbers of at most 9 digits, -1 for any other cell: "+1", "01", "1_0".  O(bytes of the cells)."""
    lengths, numbers = ends - starts, np.zeros(len(starts), np.int32)
    good = (lengths == 1) | ((lengths < 10) & (buffer[starts] != ZERO))
    for place in range(min(int(lengths.max()), 9)):
        cells = np.flatnonzero(lengths > place)
        digits = buffer[starts[cells] + place] - np.uint8(ZERO)  # what is below 0 wraps around
        numbers[cells] = 10 * numbers[cells] + digits
        good[cells] &= digits <= 9
    return np.where(good, numbers, np.int32(-1))


def cells(padded: bytes, starts: Int64[np.ndarray, "cell"], ends: Int64[np.ndarray, "cell"]) -> list[str]:
    """Cells of a text in UTF-8 as strings, equal ones one object.  O(bytes of the cells)."""
    return [sys.intern(padded[start:end].decode()) for start, end in zip(starts.tolist(), ends.tolist())]


def distinct_cells(padded: bytes, starts: Int64[np.ndarray, "cell"], ends: Int64[np.ndarray, "cell"]) -> list[str]:
    """As `cells`, in half the time or less: equal ones are decoded once.

    padded: the bytes of the text, with at least `CELL_MARGIN` more behind the last cell.  O(bytes of the cells).
    """
    from pandas import factorize  # takes a third of a second to load

    windows = np.ndarray(len(padded) - WINDOW + 1, "<u8", padded, strides=(1,))
    num_cells, lengths, seen = len(starts), ends - starts, WINDOW
    codes = factorize(windows[starts] | PAST_CELL[np.minimum(lengths, WINDOW)])[0]
    rest = np.flatnonzero(lengths >= seen)
    while len(rest) and seen < LONGEST:
        further = factorize(windows[starts[rest] + seen] | PAST_CELL[np.minimum(lengths[rest] - seen, WINDOW)])[0]
        # Above all codes of shorter cells, which have fewer windows.
        codes[rest] = num_cells * seen + factorize(codes[rest] * num_cells + further)[0]
        seen += WINDOW
        rest = rest[lengths[rest] >= seen]
    codes[rest] = num_cells * seen + np.arange(len(rest))
    codes, distinct = factorize(codes)
    place = np.empty(len(distinct), np.int64)
    place[codes] = np.arange(num_cells)
    return np.array(cells(padded, starts[place], ends[place]), dtype=object)[codes].tolist()


@contextmanager
def whole(path: FilePath) -> Iterator[Path]:
    """Where to write a file or folder that is to appear at once, when the block ends, or not at all.  OSError."""
    path = Path(path)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.unfinished")
    try:
        yield unfinished
        os.replace(unfinished, path)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.unlink(missing_ok=True)


def is_special(path: FilePath) -> bool:
    """Whether there is a device, a pipe or a link, which is written to, not replaced: /dev/stdout, /dev/null."""
    return Path(path).is_symlink() or (Path(path).exists() and not Path(path).is_file() and not Path(path).is_dir())


def squeezed(text: str) -> str:
    """Equal for texts that differ in white space, case or Unicode normalisation."""
    return "".join(unicodedata.normalize("NFKC", text).casefold().split())


def write_whole(path: FilePath, text: str) -> None:
    """Write a text in UTF-8 with bare line feeds, at once or not at all; "-" is standard output.  OSError."""
    if str(path) == STANDARD:
        sys.stdout.buffer.write(text.encode("utf-8"))
        sys.stdout.flush()
        return
    if is_special(path):
        with open(path, "w", encoding="utf-8", newline="\n") as file:
            file.write(text)
        return
    with whole(path) as unfinished:
        unfinished.write_text(text, "utf-8", newline="\n")


@dataclass(frozen=True)
class InputFile:
    """A file read once, so that a pipe will do."""

    name: str
    content: bytes

    @property
    def first_cells(self) -> list[bytes]:
        """The tab-separated cells of the first row that is not blank.  O(bytes of that row)."""
        first_row = FIRST_ROW.match(self.content)
        assert first_row is not None  # it matches nothing at all, too
        return first_row[1].split(b"\t")

    @property
    def format(self) -> str | None:
        """CONLLU, TOP, or None where the first row decides neither.  O(bytes of that row).

        Rows of TOP have 2 or 3 columns, the last of which begins with "["; TOPv2 has a header, MTOP 8 columns. Those of
        CoNLL-U have 10, with comments before them.
        """
        cells = self.first_cells
        if len(cells) == MTOP_COLUMNS and cells[1].startswith(b"IN:"):
            return TOP
        if (len(cells) in (2, 3) and cells[-1].lstrip().startswith(b"[")) or cells == TOPV2_HEADER:
            return TOP
        is_comment = len(cells) == 1 and cells[0].startswith(b"#")
        return CONLLU if len(cells) == 10 or is_comment else None


def read_input(path: FilePath) -> InputFile:
    """The file at a path, "-" for standard input, unpacked where gzip packed it.

    OSError for what cannot be read, ValueError for a damaged gzip.  O(bytes).
    """
    content = sys.stdin.buffer.read() if str(path) == STANDARD else Path(path).read_bytes()
    name = "standard input" if str(path) == STANDARD else str(path)
    name = name.encode("utf-8", "backslashreplace").decode("utf-8")  # names of files need not be UTF-8
    if content.startswith(b"\x1f\x8b"):
        try:
            content = gzip.decompress(content)
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise ValueError(f"{name}: a gzip file that is damaged or cut off: {error}") from None
    return InputFile(name, plain(content))
