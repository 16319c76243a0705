"""Dependency trees as the commands see them; `bcrlib.cli.frames` has the same names."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bcrlib.data.candidate_files import check_relations, check_single_roots
from bcrlib.data.candidate_files import read_candidates as read_pool
from bcrlib.data.candidate_files import write_candidates as write_pool
from bcrlib.data.candidate_lines import TREES
from bcrlib.data.candidates import TreePool
from bcrlib.data.files import TOP, read_input
from bcrlib.data.treebank import Treebank, parse_conllu
from bcrlib.samplers.strategies import Strategy
from bcrlib.tasks.dependency import SUFFIX, joined, together
from bcrlib.tasks.dependency import write as write_best

if TYPE_CHECKING:  # at run time these would bring torch
    from bcrlib.parsers.deepbiaf import DeepBiafParser
    from bcrlib.parsers.stackptr import StackPtrParser

    Model = DeepBiafParser | StackPtrParser

__all__ = ["SUFFIX", "joined", "read_pool", "together", "write_best", "write_pool"]
ITEM, STRUCTURE = TREES.item, "tree"
DISTINCT = "distinct_a_sentence"


def read_text(path: Path, kind: str, gold: bool = False) -> Treebank:
    """A file for a parser of this kind to parse, or with `gold` to learn from. ConlluError, ValueError, OSError."""
    file = read_input(path)
    if file.format == TOP:
        raise ValueError(f"{path} holds rows of TOP, but a {kind} takes CoNLL-U")
    return parse_conllu(file.content, file.name, gold)


def propose(parser: "Model", treebank: Treebank, strategy: Strategy, seed: int) -> TreePool:
    """Candidates with their log-probabilities under the parser itself."""
    return parser.candidates(treebank, strategy, seed)


def constrained(parser: "Model") -> "Model":
    """ValueError: there is no such switch."""
    raise ValueError("--constrained is of s2s parsers: what others propose always is a tree")


def scorers(models: Sequence["Model"], score: str | None, from_file: bool) -> Sequence["Model"]:
    """The models, which score trees in one way only. ValueError where another one is asked for."""
    if score is not None:
        raise ValueError("--score is of s2s parsers: the score of a tree is its log-probability")
    return models


def check(pool: TreePool, models: Sequence["Model"], name: str) -> None:
    """CandidateFileError where the trees of the file `name` are none that these models know."""
    check_relations(pool, {relation for model in models for relation in model.vocabulary.relations}, name)
    if any(model.single_root for model in models):
        check_single_roots(pool, name)


def failures(treebank: Treebank, pool: TreePool) -> dict[str, int]:
    """What a summary tells of candidates that are no tree over the words: nothing, for all are."""
    return {}
