"""What candidate files of trees and of frames have in common: their lines, and how they are refused.

JSON Lines in UTF-8. Line n is an object about item n (a sentence, an utterance) of the file that was parsed: its number
from 1, its words, and a list of candidates, each an object with a `log_prob`, a finite number or null.
"""

import json
import math
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

FilePath = str | os.PathLike[str]
Candidate = TypeVar("Candidate")
LARGEST = float(np.finfo(np.float32).max)


@dataclass(frozen=True)
class Layout:
    """What the files of one task call things."""

    item: str
    """Key of an item's number, and what faults call it."""
    words: str
    """Key of its words."""
    text: str
    """What faults call the file that was parsed."""


TREES = Layout("sentence", "forms", "CoNLL-U file")
FRAMES = Layout("utterance", "words", "TOP file")


class CandidateFileError(ValueError):
    """A file that is no candidate file of these sentences; its text is "FILE:LINE: sentence LINE: fault"."""

    def __init__(self, name: str, number: int, fault: str, item: str = TREES.item) -> None:
        """Name the file, the item (from 1), which is also the line, and the fault."""
        super().__init__(name, number, fault, item)
        self.name, self.number, self.fault, self.item = name, number, fault, item

    def __str__(self) -> str:
        """FILE:LINE: sentence LINE: fault."""
        return f"{self.name}:{self.number}: {self.item} {self.number}: {self.fault}"


def write_lines(lines: Iterable[dict[str, Any]], path: FilePath) -> None:
    """Write these objects, at once or not at all.  ValueError for a number that is not finite, OSError."""
    text = "".join(json.dumps(line, ensure_ascii=False, allow_nan=False) + "\n" for line in lines)
    path = Path(path)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.unfinished")
    try:
        unfinished.write_text(text, "utf-8", newline="\n")
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)


def read_lines(
    path: FilePath,
    layout: Layout,
    texts: Sequence[Sequence[str]],
    read_candidate: Callable[[dict[str, Any], Sequence[str]], Candidate],
) -> list[list[Candidate]]:
    """The candidates of every item, equally many of each: [item][candidate].

    texts: the words of every item. An item with fewer candidates than another is filled up with its first one, which
    no re-ranker prefers to the first. `read_candidate` makes something of an object and the words; the text of its
    ValueError is what stands behind "candidate 3". Raises CandidateFileError for whatever is wrong, and OSError.
    """
    found = [
        list(_read_line(line, number, texts[number - 1], layout, read_candidate, str(path)))
        for number, line in _numbered(path, len(texts), layout)
    ]
    most = max(map(len, found))
    return [candidates + candidates[:1] * (most - len(candidates)) for candidates in found]


def require(condition: bool, fault: str) -> None:
    """ValueError with this fault unless the condition holds."""
    if not condition:
        raise ValueError(fault)


def require_keys(candidate: dict[str, Any], keys: Iterable[str]) -> None:
    """ValueError, as `read_candidate` raises it, naming the first key that a candidate lacks."""
    for key in keys:
        require(key in candidate, f": no key {key!r}")


def read_log_prob(candidate: dict[str, Any]) -> float:
    """The candidate's log-probability, nan for null. ValueError, as `read_candidate` raises it, for anything else."""
    log_prob = candidate["log_prob"]
    if log_prob is None:
        return math.nan
    is_finite = type(log_prob) in (int, float) and abs(log_prob) <= LARGEST
    require(is_finite, f": log_prob {log_prob!r} is not a finite number or null")
    return float(log_prob)


def log_prob_cell(log_prob: np.float32) -> float | None:
    """What stands in the file: null for nan, else nine digits, as many as give the same float32 back."""
    return None if np.isnan(log_prob) else float(f"{log_prob:.9g}")


def words_fault(given: Sequence[Any], words: Sequence[str], noun: str, place: str) -> str | None:
    """How these words, called `noun`, differ from those in a place; None where they do not.  O(words)."""
    if len(given) != len(words):
        return f"{len(given)} {noun}, in the {place} {len(words)} words"
    for number, (found, word) in enumerate(zip(given, words), start=1):
        if found != word:
            return f"word {number}: {found!r}, in the {place} {word!r}"
    return None


def _numbered(path: FilePath, num_items: int, layout: Layout) -> Iterator[tuple[int, str]]:
    """Every line with its number, from 1; as many as there are items."""
    content = Path(path).read_bytes()
    try:
        lines = content.decode("utf-8").removesuffix("\n").split("\n")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        fault = f"not UTF-8: byte 0x{content[error.start]:02x}"
        raise CandidateFileError(str(path), line, fault, layout.item) from None
    yield from enumerate(lines[:num_items], start=1)
    if len(lines) != num_items:
        fault = f"the file has {len(lines)} lines for the {num_items} {layout.item}s of the {layout.text}"
        raise CandidateFileError(str(path), min(len(lines), num_items) + 1, fault, layout.item)


def _read_line(
    line: str,
    number: int,
    words: Sequence[str],
    layout: Layout,
    read_candidate: Callable[[dict[str, Any], Sequence[str]], Candidate],
    name: str,
) -> Iterator[Candidate]:
    try:
        record = json.loads(line, parse_constant=_refuse_constant)
        _check_record(record, number, words, layout)
    except (ValueError, RecursionError) as error:
        raise CandidateFileError(name, number, _text(error), layout.item) from None
    for place, candidate in enumerate(record["candidates"], start=1):
        try:
            require(isinstance(candidate, dict), ": not a JSON object")
            yield read_candidate(candidate, words)
        except ValueError as error:
            raise CandidateFileError(name, number, f"candidate {place}{error}", layout.item) from None


def _refuse_constant(constant: str) -> None:
    raise ValueError(f"{constant} is not a JSON value; an unknown log_prob is null")


def _text(error: Exception) -> str:
    return f"not JSON: {error}" if isinstance(error, json.JSONDecodeError | RecursionError) else str(error)


def _check_record(record: Any, number: int, words: Sequence[str], layout: Layout) -> None:
    require(isinstance(record, dict), "the line is not a JSON object")
    other = TREES if layout is FRAMES else FRAMES
    of_other_task = layout.item not in record and other.item in record
    require(not of_other_task, f"candidates of an item called {other.item!r}, expected {layout.item!r}")
    for key in (layout.item, layout.words, "candidates"):
        require(key in record, f"no key {key!r}")
    given = record[layout.words]
    require(record[layout.item] == number, f"{layout.item!r} is {record[layout.item]!r}, expected {number}")
    require(isinstance(given, list), f"{layout.words!r} is not a list")
    fault = words_fault(given, words, layout.words, layout.text)
    require(fault is None, str(fault))
    require(isinstance(record["candidates"], list) and bool(record["candidates"]), "no candidates")
