"""Files of any kind: what one holds, told from its first row; faults by line; writing one at once or not at all."""

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
from pathlib import Path

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
TOPV2_HEADER = [b"domain", b"utterance", b"semantic_parse"]
UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


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
    """The bytes of a text file without a byte order mark, lines ended by LF alone.  O(bytes)."""
    content = content.removeprefix(codecs.BOM_UTF8)
    # CR CR LF, too: what had CRLF already was written in text mode. So a second call changes nothing.
    return re.sub(rb"\r+\n", b"\n", content) if b"\r" in content else content


def decoded(content: bytes, name: str, error: Callable[[str, int, str], FileError]) -> str:
    """The text in the bytes of a file, `plain`; raises the error, with the line, for bad UTF-8.  O(bytes)."""
    content = plain(content)
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as fault:
        if content.startswith(UTF_16):
            raise error(name, 1, "UTF-16, not UTF-8; save the file as UTF-8") from None
        line = content.count(b"\n", 0, fault.start) + 1
        raise error(name, line, f"not UTF-8: byte 0x{content[fault.start]:02x}") from None


def decoded_rows(content: bytes, name: str, error: Callable[[str, int, str], FileError], what: str) -> str:
    """As `decoded`, of a file in whose rows there is no carriage return; `what` one row holds is for faults."""
    text = decoded(content, name, error)
    if "\r" in text:
        raise error(name, text.count("\n", 0, text.index("\r")) + 1, f"carriage return within a {what}")
    return text


def unlike(found: object, expected: object, place: str) -> str:
    """That one word is not another in a place; where they look alike, with their code points."""
    told = f"{found!r}, in the {place} {expected!r}"
    if not isinstance(found, str) or not isinstance(expected, str):
        return told
    if unicodedata.normalize("NFC", found) != unicodedata.normalize("NFC", expected):
        return told
    points = (" ".join(f"U+{ord(character):04X}" for character in word) for word in (found, expected))
    return f"{told} ({' and '.join(points)}: the same after NFC)"


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


def write_whole(path: FilePath, text: str) -> None:
    """Write a text in UTF-8 with bare line feeds, at once or not at all; "-" is standard output.  OSError."""
    if str(path) == STANDARD:
        sys.stdout.buffer.write(text.encode("utf-8"))
        sys.stdout.flush()
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

        Rows of TOP have 2 or 3 columns, the last of which begins with "["; TOPv2 has a header. Those of CoNLL-U have
        10, with comments before them.
        """
        cells = self.first_cells
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
    if content.startswith(b"\x1f\x8b"):
        try:
            content = gzip.decompress(content)
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise ValueError(f"{name}: a gzip file that is damaged or cut off: {error}") from None
    return InputFile(name, plain(content))
