"""What a file holds, told from its first row: dependency trees in CoNLL-U, or semantic frames in rows of TOP."""

import os
import re
from dataclasses import dataclass
from pathlib import Path

CONLLU, TOP = "CoNLL-U", "TOP"
FIRST_ROW = re.compile(
    rb"(?:\xef\xbb\xbf)?[\r\n]*([^\r\n]*)"
)  # blank rows and a byte order mark: for readers to refuse


class FileError(ValueError):
    """A file that is not what it should be; its text is "FILE:LINE: fault"."""

    def __init__(self, name: str, line: int, fault: str) -> None:
        """Name the file, the line (from 1) and the fault."""
        super().__init__(name, line, fault)
        self.name, self.line, self.fault = name, line, fault

    def __str__(self) -> str:
        """FILE:LINE: fault."""
        return f"{self.name}:{self.line}: {self.fault}"


def decoded(content: bytes, name: str, error: type[FileError]) -> str:
    """The text in the bytes of a file; raises the error, with the line, for bad UTF-8.  O(bytes)."""
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as fault:
        line = content.count(b"\n", 0, fault.start) + 1
        raise error(name, line, f"not UTF-8: byte 0x{content[fault.start]:02x}") from None


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

        Rows of TOP have 2 or 3 columns, the last of which begins with "["; those of CoNLL-U have 10, with comments
        before them.
        """
        cells = self.first_cells
        if len(cells) in (2, 3) and cells[-1].startswith(b"["):
            return TOP
        is_comment = len(cells) == 1 and cells[0].startswith(b"#")
        return CONLLU if len(cells) == 10 or is_comment else None


def read_input(path: str | os.PathLike[str]) -> InputFile:
    """The file at a path.  OSError for one that cannot be read.  O(bytes)."""
    return InputFile(str(path), Path(path).read_bytes())
