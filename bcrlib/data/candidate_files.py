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

from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any

import numpy as np

from bcrlib.data.candidate_lines import (
    TREES,
    CandidateFileError,
    FilePath,
    log_prob_cell,
    read_lines,
    read_log_prob,
    require,
    require_keys,
    write_lines,
)
from bcrlib.data.candidates import TreePool
from bcrlib.data.treebank import Treebank


def write_candidates(treebank: Treebank, pool: TreePool, path: FilePath) -> None:
    """Write a pool of the treebank's sentences, at once or not at all.

    A log-probability that is nan is written as null. Raises ValueError for a pool of other sentences and for an
    infinite log-probability, OSError where the folder cannot be written. O(candidates tokens).
    """
    if not np.array_equal(treebank.offsets, pool.offsets):
        raise ValueError("the candidates are of other sentences than the treebank")
    write_lines(_lines(treebank, pool), path)


def read_candidates(path: FilePath, treebank: Treebank) -> TreePool:
    """The pool of a file with candidates of the treebank's sentences.

    A sentence with fewer candidates than another is filled up with copies of its first one, which no re-ranker prefers
    to the first; an unknown log-probability becomes nan. Raises CandidateFileError, with the sentence and the fault,
    for anything that the description above does not allow, and OSError. O(candidates tokens).
    """
    spans = zip(treebank.offsets.tolist(), treebank.offsets[1:].tolist())
    trees = read_lines(path, TREES, [treebank.forms[start:end] for start, end in spans], _read_tree)
    by_candidate = [*zip(*trees)]  # [candidate][sentence]
    ids: dict[str, int] = {}
    heads = [[head for tree in column for head in tree.heads] for column in by_candidate]
    relations = [
        [ids.setdefault(name, len(ids)) for tree in column for name in tree.relations] for column in by_candidate
    ]
    return TreePool(
        heads=np.array(heads, dtype=np.int16),
        relations=np.array(relations, dtype=np.int16),
        relation_names=tuple(ids),
        log_probs=np.array([[tree.log_prob for tree in column] for column in by_candidate], dtype=np.float32),
        offsets=treebank.offsets,
    )


def check_relations(pool: TreePool, known: AbstractSet[str], name: str) -> None:
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


def check_single_roots(pool: TreePool, name: str) -> None:
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


def _lines(treebank: Treebank, pool: TreePool) -> Iterator[dict[str, Any]]:
    relations = [pool.relation_strings(c) for c in range(pool.num_candidates)]
    for s, (start, end) in enumerate(zip(treebank.offsets.tolist(), treebank.offsets[1:].tolist())):
        candidates = [
            {
                "heads": pool.heads[c, start:end].tolist(),
                "relations": relations[c][start:end],
                "log_prob": log_prob_cell(pool.log_probs[c, s]),
            }
            for c in range(pool.num_candidates)
        ]
        yield {"sentence": s + 1, "forms": treebank.forms[start:end], "candidates": candidates}


@dataclass(frozen=True)
class _Tree:
    heads: list[int]
    relations: list[str]
    log_prob: float


def _read_tree(candidate: dict[str, Any], words: Sequence[str]) -> _Tree:
    require_keys(candidate, ("heads", "relations", "log_prob"))
    heads, relations, length = candidate["heads"], candidate["relations"], len(words)
    for key in ("heads", "relations"):
        require(isinstance(candidate[key], list), f": {key!r} is not a list")
        require(len(candidate[key]) == length, f": {len(candidate[key])} {key} for {length} words")
    for word, (head, relation) in enumerate(zip(heads, relations), start=1):
        require(type(head) is int and 0 <= head <= length, f", word {word}: head {head!r} is not one of 0 .. {length}")
        require(_is_relation(relation), f", word {word}: {relation!r} is no relation")
    word = _word_on_cycle(heads)
    require(word is None, f", word {word}: its heads lead back to itself, a cycle")
    return _Tree(heads, relations, read_log_prob(candidate))


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
