"""Candidate files of frames: what a re-ranker of semantic parses chooses from, as text that any tool can write or read.

JSON Lines in UTF-8: line u is a JSON object about utterance u of the file that was parsed (here on two lines):

    {"utterance": 1, "words": ["call", "mum"], "candidates":
     [{"frame": "[IN:CALL call [SL:WHO mum ] ]", "log_prob": -0.1054}, ...]}

`utterance` counts from 1. `words` are those of the tokenized utterance, which must be the ones in the file. `frame` is
a parse over these words, in their order, with single spaces between brackets and words, as in TOP. A candidate that is
no such tree is null, and so is its log-probability: it keeps its place, and no re-ranker prefers it to a frame.
`log_prob` is log p(frame | utterance) in nats under the model that proposed the frame, the sum over its symbols, or
null where that is not known. There is at least one candidate; utterances may have different numbers of them; the same
frame may come twice. Other keys are left alone.
"""

import math
from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any

import numpy as np

from bcrlib.data.candidate_lines import (
    FRAMES,
    CandidateFileError,
    FilePath,
    log_prob_cell,
    read_lines,
    read_log_prob,
    require,
    require_keys,
    words_fault,
    write_lines,
)
from bcrlib.data.frame_candidates import FramePool
from bcrlib.data.frames import (
    BROKEN,
    END,
    OPEN,
    FrameBank,
    FrameError,
    Node,
    frame_text,
    frame_tokens,
    frame_words,
    parse_frame,
    sequence_of,
)


def write_frame_candidates(bank: FrameBank, pool: FramePool, path: FilePath) -> None:
    """Write a pool of the bank's utterances, at once or not at all.

    A log-probability that is nan is written as null. Raises ValueError for a pool of other utterances and for an
    infinite log-probability of a frame, OSError where the folder cannot be written. O(candidates codes).
    """
    if pool.num_items != len(bank):
        raise ValueError(f"candidates of {pool.num_items} utterances for {len(bank)}")
    write_lines(_lines(bank, pool), path)


def read_frame_candidates(path: FilePath, bank: FrameBank) -> FramePool:
    """The pool of a file with candidates of the bank's utterances.

    A null frame becomes BROKEN with log-probability -inf, whatever the file says of it, an unknown log-probability nan.
    An utterance with fewer candidates than another is filled up with copies of its first one. Raises
    CandidateFileError, with the utterance and the fault, for anything that the description above does not allow, and
    OSError. O(candidates tokens).
    """
    found = read_lines(path, FRAMES, bank.utterances, _read_frame)
    frames = [candidate.frame for candidates in found for candidate in candidates if candidate.frame is not None]
    labels = tuple(sorted({label for frame in frames for label in _labels(frame)}))
    index = {label: i for i, label in enumerate(labels)}
    codes = [[_codes(candidate.frame, index) for candidate in column] for column in zip(*found)]
    longest = max(len(sequence) for column in codes for sequence in column)
    sequences = np.full((len(codes), len(bank), longest), END, dtype=np.int16)
    for rows, column in zip(sequences, codes):
        for row, sequence in zip(rows, column):
            row[: len(sequence)] = sequence
    log_probs = [[candidate.log_prob for candidate in column] for column in zip(*found)]
    return FramePool(sequences, labels, np.array(log_probs, dtype=np.float32))


def check_labels(pool: FramePool, known: AbstractSet[str], name: str) -> None:
    """Raise CandidateFileError at the first candidate of the file `name` with a label that is not among those known.

    O(candidates codes).
    """
    unknown = [1 + i for i, label in enumerate(pool.labels) if label not in known]
    found = np.isin(pool.sequences, unknown)
    if not found.any():
        return
    utterance = int(found.any(axis=(0, 2)).argmax())
    candidate = int(found[:, utterance].any(axis=1).argmax())
    code = pool.sequences[candidate, utterance, found[candidate, utterance].argmax()]
    fault = f"candidate {candidate + 1}: label {pool.labels[code - 1]} is known to none of the models"
    raise CandidateFileError(name, utterance + 1, fault, FRAMES.item)


def frames_over_words(bank: FrameBank, pool: FramePool) -> list[list[Node | None]]:
    """Every candidate, [candidate][utterance]; None where it is no tree over the words of its utterance.  O(codes)."""
    columns = [pool.frames(bank, candidate) for candidate in range(pool.num_candidates)]
    return [
        [
            None if frame is None or frame_words(frame) != words else frame
            for frame, words in zip(column, bank.utterances)
        ]
        for column in columns
    ]


def _lines(bank: FrameBank, pool: FramePool) -> Iterator[dict[str, Any]]:
    for u, (words, frames) in enumerate(zip(bank.utterances, zip(*frames_over_words(bank, pool)))):
        candidates = [_cells(frame, log_prob) for frame, log_prob in zip(frames, pool.log_probs[:, u])]
        yield {"utterance": u + 1, "words": [*words], "candidates": candidates}


def _cells(frame: Node | None, log_prob: np.float32) -> dict[str, Any]:
    if frame is None:
        return {"frame": None, "log_prob": None}
    return {"frame": frame_text(frame), "log_prob": log_prob_cell(log_prob)}


@dataclass(frozen=True)
class _Candidate:
    frame: Node | None
    log_prob: float


def _read_frame(candidate: dict[str, Any], words: Sequence[str]) -> _Candidate:
    require_keys(candidate, ("frame", "log_prob"))
    text, log_prob = candidate["frame"], read_log_prob(candidate)
    if text is None:
        return _Candidate(None, -math.inf)
    require(isinstance(text, str), f": 'frame' is {text!r}, neither a text nor null")
    try:
        frame = parse_frame(text)
    except FrameError as error:
        raise ValueError(f": {error}") from None
    fault = words_fault(frame_words(frame), words, "words", "utterance")
    require(fault is None, f": {fault}")
    return _Candidate(frame, log_prob)


def _labels(frame: Node) -> Iterator[str]:
    return (text for kind, text in frame_tokens(frame) if kind == OPEN)


def _codes(frame: Node | None, label_index: dict[str, int]) -> list[int]:
    return [BROKEN] if frame is None else sequence_of(frame, label_index)
