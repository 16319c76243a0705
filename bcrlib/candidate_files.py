"""Candidate files: the trees a re-ranker chooses from, as text that any tool can write and read.

JSON Lines in UTF-8: line s is a JSON object about sentence s of the CoNLL-U file that was parsed (here on two lines):

    {"sentence": 1, "forms": ["She", "ran"], "candidates":
     [{"heads": [2, 0], "relations": ["nsubj", "root"], "log_prob": -0.1054}, ...]}

`sentence` counts from 1. `forms` are the words, which must be those of the CoNLL-U file. A candidate has one head
(number of a word, 0 for the root) and one relation a word; heads make a tree. Several roots are allowed in the file,
but not by every model that is to choose among the candidates. `log_prob` is log p(tree | sentence) in nats under the
model that proposed the tree, or null where that is not known. There is at least one candidate; sentences may have
different numbers of them; the same tree may come twice. Other keys are left alone.
"""

import json
import math
import os
from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bcrlib.candidates import CandidatePool
from bcrlib.data.treebank import Treebank

FilePath = str | os.PathLike[str]


class CandidateFileError(ValueError):
    """A file that is no candidate file of these sentences; its text is "FILE:LINE: sentence LINE: fault"."""

    def __init__(self, name: str, sentence: int, fault: str) -> None:
        """Name the file, the sentence (from 1), which is also the line, and the fault."""
        super().__init__(name, sentence, fault)
        self.name, self.sentence, self.fault = name, sentence, fault

    def __str__(self) -> str:
        """FILE:LINE: sentence LINE: fault."""
        return f"{self.name}:{self.sentence}: sentence {self.sentence}: {self.fault}"


def write_candidates(treebank: Treebank, pool: CandidatePool, path: FilePath) -> None:
    """Write a pool of the treebank's sentences, at once or not at all.

    A log-probability that is nan is written as null. Raises ValueError for a pool of other sentences and for an
    infinite log-probability, OSError where the folder cannot be written. O(candidates tokens).
    """
    if not np.array_equal(treebank.offsets, pool.offsets):
        raise ValueError("the candidates are of other sentences than the treebank")
    text = "".join(json.dumps(line, ensure_ascii=False, allow_nan=False) + "\n" for line in _lines(treebank, pool))
    path = Path(path)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.unfinished")
    try:
        unfinished.write_text(text, "utf-8", newline="\n")
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)


def read_candidates(path: FilePath, treebank: Treebank) -> CandidatePool:
    """The pool of a file with candidates of the treebank's sentences.

    A sentence with fewer candidates than another is filled up with copies of its first one, which no re-ranker prefers
    to the first; an unknown log-probability becomes nan. Raises CandidateFileError, with the sentence and the fault,
    for anything that the description above does not allow, and OSError. O(candidates tokens).
    """
    trees = [list(_read_sentence(line, number, treebank, str(path))) for number, line in _numbered(path, treebank)]
    num_candidates = max(map(len, trees))
    padded = [sentence + sentence[:1] * (num_candidates - len(sentence)) for sentence in trees]
    ids: dict[str, int] = {}
    heads = [[head for s in padded for head in s[c].heads] for c in range(num_candidates)]
    relations = [
        [ids.setdefault(name, len(ids)) for s in padded for name in s[c].relations] for c in range(num_candidates)
    ]
    return CandidatePool(
        heads=np.array(heads, dtype=np.int16),
        relations=np.array(relations, dtype=np.int16),
        relation_names=tuple(ids),
        log_probs=np.array([[s[c].log_prob for s in padded] for c in range(num_candidates)], dtype=np.float32),
        offsets=treebank.offsets,
    )


def check_relations(pool: CandidatePool, known: AbstractSet[str], name: str) -> None:
    """Raise CandidateFileError at the first word of the file `name` whose relation is not among those known.

    O(candidates tokens).
    """
    unknown = [i for i, relation in enumerate(pool.relation_names) if relation not in known]
    found = np.isin(pool.relations, unknown)
    if not found.any():
        return
    token = int(found.any(axis=0).argmax())
    candidate = int(found[:, token].argmax())
    sentence = int(np.searchsorted(pool.offsets, token, side="right")) - 1
    relation = pool.relation_names[pool.relations[candidate, token]]
    word = token - int(pool.offsets[sentence]) + 1
    fault = f"candidate {candidate + 1}, word {word}: relation {relation!r} is known to none of the models"
    raise CandidateFileError(name, sentence + 1, fault)


def check_single_roots(pool: CandidatePool, name: str) -> None:
    """Raise CandidateFileError at the first candidate of the file `name` that has several roots.

    For models that know no such trees: they never learnt how probable these are. O(candidates tokens).
    """
    num_roots = np.add.reduceat(pool.heads == 0, pool.offsets[:-1], axis=1, dtype=np.int64)
    several = num_roots > 1
    if several.any():
        sentence = int(several.any(axis=0).argmax())
        candidate = int(several[:, sentence].argmax())
        words = np.flatnonzero(pool.heads[candidate, pool.offsets[sentence] : pool.offsets[sentence + 1]] == 0) + 1
        fault = (
            f"candidate {candidate + 1}: {len(words)} roots, words {', '.join(map(str, words))}; the trees of the"
            " models have one"
        )
        raise CandidateFileError(name, sentence + 1, fault)


def _lines(treebank: Treebank, pool: CandidatePool) -> Iterator[dict[str, Any]]:
    relations = [pool.relation_strings(c) for c in range(pool.num_candidates)]
    for s, (start, end) in enumerate(zip(treebank.offsets.tolist(), treebank.offsets[1:].tolist())):
        candidates = [
            {
                "heads": pool.heads[c, start:end].tolist(),
                "relations": relations[c][start:end],
                "log_prob": _short(pool.log_probs[c, s]),
            }
            for c in range(pool.num_candidates)
        ]
        yield {"sentence": s + 1, "forms": treebank.forms[start:end], "candidates": candidates}


def _short(log_prob: np.float32) -> float | None:
    """The number in nine digits, as many as give the same float32 back."""
    return None if np.isnan(log_prob) else float(f"{log_prob:.9g}")


@dataclass(frozen=True)
class _Tree:
    heads: list[int]
    relations: list[str]
    log_prob: float


def _numbered(path: FilePath, treebank: Treebank) -> Iterator[tuple[int, str]]:
    """Every line with its number, from 1; as many as there are sentences."""
    content = Path(path).read_bytes()
    try:
        lines = content.decode("utf-8").removesuffix("\n").split("\n")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise CandidateFileError(str(path), line, f"not UTF-8: byte 0x{content[error.start]:02x}") from None
    yield from enumerate(lines[: treebank.num_sentences], start=1)
    if len(lines) != treebank.num_sentences:
        fault = f"the file has {len(lines)} lines for the {treebank.num_sentences} sentences of the CoNLL-U file"
        raise CandidateFileError(str(path), min(len(lines), treebank.num_sentences) + 1, fault)


def _read_sentence(line: str, number: int, treebank: Treebank, name: str) -> Iterator[_Tree]:
    try:
        record = json.loads(line, parse_constant=_refuse_constant)
        _require(isinstance(record, dict), "the line is not a JSON object")
        forms = treebank.forms[treebank.offsets[number - 1] : treebank.offsets[number]]
        _check_sentence(record, number, forms)
    except (ValueError, RecursionError) as error:
        raise CandidateFileError(name, number, _text(error)) from None
    for place, candidate in enumerate(record["candidates"], start=1):
        try:
            yield _read_tree(candidate, len(forms))
        except ValueError as error:
            raise CandidateFileError(name, number, f"candidate {place}{error}") from None


def _refuse_constant(constant: str) -> None:
    raise ValueError(f"{constant} is not a JSON value; an unknown log_prob is null")


def _text(error: Exception) -> str:
    return f"not JSON: {error}" if isinstance(error, json.JSONDecodeError | RecursionError) else str(error)


def _require(condition: bool, fault: str) -> None:
    if not condition:
        raise ValueError(fault)


def _check_sentence(record: dict[str, Any], number: int, forms: list[str]) -> None:
    for key in ("sentence", "forms", "candidates"):
        _require(key in record, f"no key {key!r}")
    given = record["forms"]
    _require(record["sentence"] == number, f"'sentence' is {record['sentence']!r}, expected {number}")
    _require(isinstance(given, list), "'forms' is not a list")
    _require(len(given) == len(forms), f"{len(given)} forms, in the CoNLL-U file {len(forms)} words")
    for word, (found, form) in enumerate(zip(given, forms), start=1):
        _require(found == form, f"word {word}: {found!r}, in the CoNLL-U file {form!r}")
    _require(isinstance(record["candidates"], list) and bool(record["candidates"]), "no candidates")


def _read_tree(candidate: Any, length: int) -> _Tree:
    """Faults begin with what stands behind "candidate 3"."""
    _require(isinstance(candidate, dict), ": not a JSON object")
    for key in ("heads", "relations", "log_prob"):
        _require(key in candidate, f": no key {key!r}")
    heads, relations, log_prob = (candidate[key] for key in ("heads", "relations", "log_prob"))
    for key in ("heads", "relations"):
        _require(isinstance(candidate[key], list), f": {key!r} is not a list")
        _require(len(candidate[key]) == length, f": {len(candidate[key])} {key} for {length} words")
    for word, (head, relation) in enumerate(zip(heads, relations), start=1):
        _require(type(head) is int and 0 <= head <= length, f", word {word}: head {head!r} is not one of 0 .. {length}")
        _require(_is_relation(relation), f", word {word}: {relation!r} is no relation")
    word = _word_on_cycle(heads)
    _require(word is None, f", word {word}: its heads lead back to itself, a cycle")
    known = log_prob is not None
    _require(
        not known or (type(log_prob) in (int, float) and math.isfinite(log_prob)),
        f": log_prob {log_prob!r} is not a finite number or null",
    )
    return _Tree(heads, relations, float(log_prob) if known else math.nan)


def _is_relation(relation: Any) -> bool:
    """Whether it can stand in a column of CoNLL-U."""
    return isinstance(relation, str) and bool(relation) and {"\t", "\n", "\r"}.isdisjoint(relation)


def _word_on_cycle(heads: list[int]) -> int | None:
    """The first word found to be its own ancestor, if any. O(words)."""
    reaches_root = {0}
    for start in range(1, len(heads) + 1):
        word, path = start, set()
        while word not in reaches_root:
            if word in path:
                return word
            path.add(word)
            word = heads[word - 1]
        reaches_root |= path
    return None
