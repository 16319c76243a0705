"""Dependency parsing as store, experiments and notebooks see it: trees of a treebank, from deepbiaf and stackptr."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Bool, Float32

from bcrlib.data.candidates import TreePool, joined, together
from bcrlib.data.corpora import load_treebank as load
from bcrlib.data.presets import Preset
from bcrlib.data.treebank import Treebank, write_conllu
from bcrlib.metrics import attachment
from bcrlib.metrics.attachment import scored_units
from bcrlib.tasks.names import TASKS

if TYPE_CHECKING:  # at run time these would bring torch
    from bcrlib.parsers.batches import Runtime
    from bcrlib.parsers.parser import Parser

NAMES = TASKS["dependency"]
LEVELS, ATOM_OF, CHOICE_LEVEL = NAMES.levels, NAMES.atom_of, NAMES.choice_level
KINDS, LISTED, SUFFIX = NAMES.kinds, NAMES.listed, NAMES.suffix

__all__ = [
    "correctness",
    "joined",
    "load",
    "load_parsers",
    "num_invalid",
    "scored",
    "scored_units",
    "together",
    "write",
]


def correctness(gold: Treebank, pool: TreePool, preset: Preset) -> dict[str, Bool[np.ndarray, "candidate unit"]]:
    """Which units of each level are right in each candidate, in the order of `scored_units`.  O(candidates tokens)."""
    return attachment.correctness(gold, pool.heads, pool.relations, pool.relation_names, preset)


def load_parsers(folders: Sequence[Path], runtime: "Runtime") -> "Parser":
    """The parser trained into one folder, or the ensemble of several. ValueError for one of different kinds."""
    from bcrlib.parsers import checkpoint  # only here: who counts needs no torch

    return checkpoint.load_parsers([*folders], runtime)


def scored(
    parser: "Parser", treebank: Treebank, pool: TreePool
) -> tuple[Float32[np.ndarray, "candidate sentence"], None]:
    """log p of every candidate, for the store. Trees of a sentence are all of one length, which is not kept."""
    return parser.log_probs(treebank, pool), None


def num_invalid(pool: TreePool) -> int:
    """How many candidates are no tree: none, for decoding makes trees."""
    return 0


def write(gold: Treebank, pool: TreePool, path: Path) -> None:
    """Write the first candidate of every sentence as CoNLL-U, words and tags as in gold."""
    write_conllu(pool.taught(gold), path)
