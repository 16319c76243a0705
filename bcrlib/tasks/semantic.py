"""Conversational semantic parsing as store, experiments and notebooks see it: frames of utterances, from s2s parsers.

A "part" kind is trained on a part of the data, with the sizes of the kind that it is named after.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float32, Int64

from bcrlib.data.candidates import joined, together
from bcrlib.data.frame_candidates import FramePool
from bcrlib.data.frame_corpora import load_frames as load
from bcrlib.data.frames import FrameBank, frame_text
from bcrlib.data.top import write_top
from bcrlib.metrics.frames import correctness, num_invalid, scored_units
from bcrlib.tasks.names import TASKS

if TYPE_CHECKING:  # at run time these would bring torch
    from bcrlib.parsers.batches import Runtime
    from bcrlib.parsers.s2s import Seq2SeqParser

NAMES = TASKS["semantic"]
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


def load_parsers(folders: Sequence[Path], runtime: "Runtime") -> "Seq2SeqParser":
    """The parser trained into one folder, or the ensemble of several."""
    from bcrlib.parsers import checkpoint  # only here: who counts needs no torch

    return checkpoint.load_parsers([*folders], runtime)


def scored(
    parser: "Seq2SeqParser", bank: FrameBank, pool: FramePool
) -> tuple[Float32[np.ndarray, "candidate utterance"], Int64[np.ndarray, "candidate utterance"]]:
    """log p of every candidate and the number of tokens that it is a sum over, for the store."""
    return parser.sums(bank, pool)


def write(bank: FrameBank, pool: FramePool, path: Path) -> None:
    """Write the first candidate of every utterance as two columns of TOP; an empty parse where it is no tree."""
    frames = pool.frames(bank)
    write_top(bank.utterances, ["" if frame is None else frame_text(frame) for frame in frames], path)
