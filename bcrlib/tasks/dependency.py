"""Dependency parsing: trees of a treebank, from deepbiaf and stackptr."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Bool, Float32

from bcrlib.data.candidates import TreePool
from bcrlib.data.download import SPLITS, ewt_path
from bcrlib.data.files import TOP, read_input
from bcrlib.data.generated.trees import DEFAULT_AMBIGUITY, demo_splits
from bcrlib.data.presets import Preset
from bcrlib.data.treebank import Treebank, parse_conllu, read_conllu, write_conllu
from bcrlib.metrics import attachment
from bcrlib.tasks import TASKS, Task

if TYPE_CHECKING:  # at run time this would bring torch
    from bcrlib.parsers.parser import Parser


def load_treebank(corpus: str, split: str, ambiguity: float = DEFAULT_AMBIGUITY) -> Treebank:
    """One split of a corpus: "ewt" (UD English EWT 2.2), "demo" (generated), or a folder with train.conllu and so on.

    `ambiguity` is the dial of the generated corpus and has no effect on others. ValueError for an unknown split.
    """
    path = corpus_file(corpus, split)
    return demo_splits(ambiguity=ambiguity)[split] if path is None else read_conllu(path)


def corpus_file(corpus: str, split: str) -> Path | None:
    """Where the split of a corpus lies, downloaded where it must be; None where it is generated."""
    if split not in SPLITS:
        raise ValueError(f"unknown split {split!r}; choose one of {', '.join(SPLITS)}")
    if corpus == "demo":
        return None
    return ewt_path(split) if corpus == "ewt" else Path(corpus) / f"{split}.conllu"


def _read(path: Path, kind: str, gold: bool = False) -> Treebank:
    file = read_input(path)
    if file.format == TOP:
        raise ValueError(f"{path} holds rows of TOP, but a {kind} takes CoNLL-U")
    return parse_conllu(file.content, file.name, gold)


def _write(treebank: Treebank, pool: TreePool, path: Path) -> None:
    """As CoNLL-U, words and tags as in the treebank."""
    write_conllu(pool.taught(treebank), path)


def _correctness(gold: Treebank, pool: TreePool, preset: Preset) -> dict[str, Bool[np.ndarray, "candidate unit"]]:
    return attachment.correctness(gold, pool.heads, pool.relations, pool.relation_names, preset)


def _scored(
    parser: "Parser", treebank: Treebank, pool: TreePool
) -> tuple[Float32[np.ndarray, "candidate sentence"], None]:
    return parser.log_probs(treebank, pool), None


def _constrained(parser: "Parser") -> "Parser":
    raise ValueError("--constrained is of s2s parsers: what others propose always is a tree")


def _scorers(models: Sequence["Parser"], score: str | None, from_file: bool) -> Sequence["Parser"]:
    if score is not None:
        raise ValueError("--score is of s2s parsers: the score of a tree is its log-probability")
    return models


TASK = Task(
    names=TASKS["dependency"],
    pool=TreePool,
    load=load_treebank,
    corpus_file=corpus_file,
    read=_read,
    write=_write,
    scored_units=attachment.scored_units,
    correctness=_correctness,
    num_invalid=lambda pool: 0,  # decoding makes trees
    failures=lambda treebank, pool: {},
    scored=_scored,
    propose=lambda parser, treebank, strategy, seed: parser.candidates(treebank, strategy, seed),
    constrained=_constrained,
    scorers=_scorers,
    known=lambda parser: parser.vocabulary.relations,
)
