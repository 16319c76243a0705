"""Semantic frames as the commands see them; `bcrlib.cli.trees` has the same names."""

from collections.abc import Sequence
from copy import copy
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from bcrlib.data.candidate_lines import FRAMES
from bcrlib.data.files import CONLLU, InputFile, read_input
from bcrlib.data.frame_candidate_files import check_labels, frames_over_words
from bcrlib.data.frame_candidate_files import read_frame_candidates as read_pool
from bcrlib.data.frame_candidate_files import write_frame_candidates as write_pool
from bcrlib.data.frame_candidates import FramePool
from bcrlib.data.frames import FrameBank
from bcrlib.data.top import parse_top
from bcrlib.data.treebank import NUM_COLUMNS
from bcrlib.samplers.strategies import Strategy
from bcrlib.tasks.semantic import SUFFIX, joined, together
from bcrlib.tasks.semantic import write as write_best

if TYPE_CHECKING:  # at run time this would bring torch
    from bcrlib.parsers.s2s import Seq2SeqParser

__all__ = ["SUFFIX", "joined", "read_pool", "together", "write_best", "write_pool"]
ITEM, STRUCTURE = FRAMES.item, "frame"
DISTINCT = "distinct_an_utterance"
SCORES = {"sum": False, "mean": True}
"""Name of a score -> whether it is normalised by the frame's length."""


def read_text(path: Path, kind: str, gold: bool = False) -> FrameBank:
    """A file for a parser of this kind to parse, or with `gold` to learn from. TopError, ValueError, OSError."""
    file = read_input(path)
    if _is_conllu(file):
        raise ValueError(f"{path} holds CoNLL-U, but a parser of kind {kind} takes rows of TOP")
    return parse_top(file.content, file.name, gold)


def propose(parser: "Seq2SeqParser", bank: FrameBank, strategy: Strategy, seed: int) -> FramePool:
    """Candidates with their log-probabilities, sums over symbols, under the parser itself."""
    if not parser.definitions.s2s_length_normalised:
        return parser.candidates(bank, strategy, seed)
    pool = parser.decoded(bank, strategy, seed)
    return replace(pool, log_probs=parser.sums(bank, pool)[0])


def constrained(parser: "Seq2SeqParser") -> "Seq2SeqParser":
    """The parser decoding well-formed frames over all words only."""
    bound = copy(parser)
    bound.config = replace(parser.config, constrained=True)
    return bound


def scorers(models: Sequence["Seq2SeqParser"], score: str | None, from_file: bool) -> list["Seq2SeqParser"]:
    """The models scoring frames by "sum" or "mean", by default as their preset says.

    from_file: log-probabilities of the candidate file, which are sums, are added up with theirs. ValueError for an
    unknown score, presets that differ in it, and means to be added to sums.
    """
    if score not in (None, *SCORES):
        raise ValueError(f"unknown score {score!r}; choose one of {', '.join(SCORES)}")
    defaults = {model.definitions.s2s_length_normalised for model in models}
    if score is None and len(defaults) > 1:
        raise ValueError("by their presets some of the models score by sum, others by mean: give --score")
    mean = any(defaults) if score is None else SCORES[score]
    if mean and from_file:
        raise ValueError("the log_prob of a candidate file is a sum, the models score by mean: name the new with --new")
    return [_scoring(model, mean) for model in models]


def check(pool: FramePool, models: Sequence["Seq2SeqParser"], name: str) -> None:
    """CandidateFileError where the frames of the file `name` have a label that none of these models knows."""
    check_labels(pool, {label for model in models for label in model.labels}, name)


def failures(bank: FrameBank, pool: FramePool) -> dict[str, int]:
    """What a summary tells of candidates that are no frame over the words of their utterance: how many."""
    return {"num_no_frame": sum(column.count(None) for column in frames_over_words(bank, pool))}


def _scoring(parser: "Seq2SeqParser", mean: bool) -> "Seq2SeqParser":
    other = copy(parser)
    other.definitions = replace(parser.definitions, s2s_length_normalised=mean)
    return other


def _is_conllu(file: InputFile) -> bool:
    """What begins with "#" may be an utterance as well as a comment: words decide."""
    return file.format == CONLLU and any(row.count(b"\t") == NUM_COLUMNS - 1 for row in file.content.split(b"\n"))
