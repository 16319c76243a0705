"""Candidate files: what a re-ranker chooses from, as text that any tool can write and read.

JSON Lines in UTF-8. Line n is an object about item n, a sentence of CoNLL-U or an utterance of TOP, of the file that
was parsed (here on two lines each):

    {"sentence": 1, "forms": ["She", "ran"], "candidates":
     [{"heads": [2, 0], "relations": ["nsubj", "root"], "log_prob": -0.1054}, ...]}

    {"utterance": 1, "words": ["call", "mum"], "candidates":
     [{"frame": "[IN:CALL call [SL:WHO mum ] ]", "log_prob": -0.1054}, ...]}

Items count from 1, and their words must be those of the file that was parsed. A tree has one head (number of a word, 0
for the root) and one relation a word; several roots are allowed in the file, but not by every model that is to choose
among the candidates. A frame is a parse over these words, in their order, with single spaces between brackets and
words, as in TOP. A candidate that is no such tree is null, and so is its log-probability: it keeps its place, and no
re-ranker prefers it to a frame.
`log_prob` is log p(structure | item) in nats under the model that proposed it, of a frame the sum over its symbols, or
null or left out where that is not known. There is at least one candidate; items may have different numbers of them;
the same structure may come twice. Other keys are left alone.

What a pool tells of its kind of files is in `bcrlib.data.candidates.Pool`.
"""

import json
import math
from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from functools import partial
from typing import Any

import numpy as np

from bcrlib.data.candidates import AnyPool, Bank, Pool, TreePool
from bcrlib.data.files import FileError, FilePath, decoded, read_input, words_fault, write_whole

LARGEST = float(np.finfo(np.float32).max)


class CandidateFileError(FileError):
    """A file that is not a candidate file of these items; its text is "FILE:LINE: sentence LINE: fault"."""


def fault_in(kind: type[Pool], name: str, number: int, fault: str) -> CandidateFileError:
    """The error of a file of this kind, at an item (from 1), which is also the line."""
    return CandidateFileError(name, number, f"{kind.ITEM} {number}: {fault}")


def write_candidates(bank: Bank, pool: Pool, path: FilePath) -> None:
    """Write a pool of the bank's items, at once or not at all.

    A log-probability that is nan is written as null. Raises ValueError for a pool of other items and for an infinite
    log-probability of a structure, OSError where the folder cannot be written. O(candidates sizes).
    """
    pool.check(bank)
    lines = [json.dumps(line, ensure_ascii=False, allow_nan=False) + "\n" for line in _lines(bank, pool)]
    write_whole(path, "".join(lines))


def _lines(bank: Bank, pool: Pool) -> Iterator[dict[str, Any]]:
    for number, (words, structures) in enumerate(zip(bank.words, pool.cells(bank)), start=1):
        candidates = []
        for cells, log_prob in zip(structures, pool.log_probs[:, number - 1]):
            unknown = np.isnan(log_prob) or None in cells.values()
            # nine digits: as many as give the same float32 back
            candidates.append({**cells, "log_prob": None if unknown else float(f"{log_prob:.9g}")})
        yield {pool.ITEM: number, pool.WORDS: [*words], "candidates": candidates}


def read_candidates(path: FilePath, bank: Bank, kind: type[AnyPool]) -> AnyPool:
    """The pool of a file with candidates of the bank's items; `kind` is the class of pools of such structures.

    An item with fewer candidates than another is filled up with copies of its first one, which no re-ranker prefers
    to the first; an unknown log-probability becomes nan, that of a null structure -inf, whatever the file says of it.
    Raises CandidateFileError, with the item and the fault, for anything that the description above does not allow, and
    OSError. O(candidates sizes).
    """
    fault, items = partial(fault_in, kind, str(path)), bank.words
    lines = decoded(read_input(path).content, "", lambda _, *place: fault(*place)).rstrip("\n").split("\n")
    found = [_read_line(line, number, words, kind, fault) for number, (line, words) in enumerate(zip(lines, items), 1)]
    if len(lines) != len(items):
        text = f"the file has {len(lines)} lines for the {len(items)} {kind.ITEM}s of the {kind.FILE}"
        raise fault(min(len(lines), len(items)) + 1, text)
    most = max(map(len, found))
    columns = [*zip(*(of_item + of_item[:1] * (most - len(of_item)) for of_item in found))]
    log_probs = np.array([[log_prob for _, log_prob in column] for column in columns], dtype=np.float32)
    return kind.from_structures(bank, [[structure for structure, _ in column] for column in columns], log_probs)


def _read_line(
    line: str, number: int, words: Sequence[str], kind: type[Pool], fault: partial[CandidateFileError]
) -> list[tuple[Any, float]]:
    """Structure and log-probability of every candidate."""
    try:
        record = json.loads(line, parse_constant=_refuse_constant)
        _check_record(record, number, words, kind)
    except (json.JSONDecodeError, RecursionError) as error:
        raise fault(number, f"not JSON: {error}") from None
    except ValueError as error:
        raise fault(number, str(error)) from None
    found = []
    for place, candidate in enumerate(record["candidates"], start=1):
        try:
            found.append(_read_candidate(candidate, words, kind))
        except ValueError as error:
            raise fault(number, f"candidate {place}{error}") from None
    return found


def _refuse_constant(constant: str) -> None:
    raise ValueError(f"{constant} is not a JSON value; an unknown log_prob is null")


def _check_record(record: Any, number: int, words: Sequence[str], kind: type[Pool]) -> None:
    if not isinstance(record, dict):
        raise ValueError("the line is not a JSON object")
    other = next((other.ITEM for other in Pool.__subclasses__() if other.ITEM in record), None)
    if kind.ITEM not in record and other:
        raise ValueError(f"candidates of an item called {other!r}, expected {kind.ITEM!r}")
    for key in (kind.ITEM, kind.WORDS, "candidates"):
        if key not in record:
            raise ValueError(f"no key {key!r}")
    if record[kind.ITEM] != number:
        raise ValueError(f"{kind.ITEM!r} is {record[kind.ITEM]!r}, expected {number}")
    if not isinstance(record[kind.WORDS], list):
        raise ValueError(f"{kind.WORDS!r} is not a list")
    if fault := words_fault(record[kind.WORDS], words, kind.WORDS, kind.FILE):
        raise ValueError(fault)
    if not isinstance(record["candidates"], list) or not record["candidates"]:
        raise ValueError("no candidates")


def _read_candidate(candidate: Any, words: Sequence[str], kind: type[Pool]) -> tuple[Any, float]:
    """ValueError: the text of the fault, as it stands behind "candidate 3"."""
    if not isinstance(candidate, dict):
        raise ValueError(": not a JSON object")
    for key in kind.COLUMNS:
        if key not in candidate:
            raise ValueError(f": no key {key!r}")
    log_prob = candidate.get("log_prob")
    if log_prob is not None and not (type(log_prob) in (int, float) and abs(log_prob) <= LARGEST):
        raise ValueError(f": log_prob {log_prob!r} is not a finite number or null")
    structure = kind.read_cells(candidate, words)
    if structure is None:
        return None, -math.inf
    return structure, math.nan if log_prob is None else float(log_prob)


def check_known(pool: Pool, known: AbstractSet[str], name: str) -> None:
    """Raise CandidateFileError at the first relation or label in the file `name` that is not among those known.

    O(candidates sizes).
    """
    if found := pool.first_unknown(known):
        raise fault_in(type(pool), name, *found)


def check_single_roots(pool: TreePool, name: str) -> None:
    """Raise CandidateFileError at the first candidate of the file `name` that has several roots.

    For models that know no such trees: they never learnt how probable these are. O(candidates tokens).
    """
    several = np.add.reduceat(pool.heads == 0, pool.offsets[:-1], axis=1, dtype=np.int64) > 1
    if several.any():
        sentence = int(several.any(axis=0).argmax())
        candidate = int(several[:, sentence].argmax())
        words = np.flatnonzero(pool.heads[candidate, pool.offsets[sentence] : pool.offsets[sentence + 1]] == 0) + 1
        roots = f"{len(words)} roots, words {', '.join(map(str, words))}"
        fault = f"candidate {candidate + 1}: {roots}; the trees of the models have one"
        raise fault_in(TreePool, name, sentence + 1, fault)
