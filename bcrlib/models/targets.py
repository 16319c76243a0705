"""What a seq2seq-pointer parser writes: brackets, and pointers at word pieces.

A *sequence* is a frame in codes over brackets and words (`bcrlib.data.bracket_sequences`), the same for every model.
A *target* is what one model emits: 0 for the end, 1 .. 2 L for the brackets of its L labels in the same order as the
codes, and 1 + 2 L + k for its k-th word piece of the utterance. A word is all its pieces, in order (paper, section 5).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int16, Int64

from bcrlib.data.bracket_sequences import BROKEN, END
from bcrlib.models.pieces import Pieces


@dataclass(frozen=True, eq=False)
class Targets:
    """Targets of several rows, each with its end: row r is tokens[offsets[r] : offsets[r + 1]]."""

    tokens: Int64[np.ndarray, "token"]
    offsets: Int64[np.ndarray, "row_plus_one"]
    expressible: Bool[np.ndarray, "row"]
    """Whether the model has brackets for all labels; a row that it has not ends at once."""

    def padded(self, rows: Int64[np.ndarray, "some"]) -> Int64[np.ndarray, "some step"]:
        """Some rows, filled up with ends."""
        lengths = np.diff(self.offsets)[rows]
        steps = np.arange(lengths.max())
        inside = steps < lengths[:, None]
        return np.where(inside, self.tokens[np.minimum(self.offsets[rows][:, None] + steps, len(self.tokens) - 1)], END)


def targets_of(
    sequences: Int16[np.ndarray, "row step"],
    utterance: Int64[np.ndarray, "row"],
    labels: Sequence[str],
    pieces: Pieces,
    own_labels: Sequence[str],
) -> Targets:
    """Sequences of these utterances, whose codes name `labels`, as targets of a model that has `own_labels`.

    A sequence that is broken, or has a label that the model lacks, is not expressible. O(rows steps).
    """
    bracket = _translated_brackets(labels, own_labels)
    row, step = np.nonzero(sequences != END)
    code = sequences[row, step].astype(np.int64)
    is_word = code > 2 * len(labels)
    word = pieces.word_offsets[utterance[row]] + np.where(is_word, code - 1 - 2 * len(labels), 0)
    first = np.where(is_word, 1 + 2 * len(own_labels) + pieces.first_piece[word], bracket[np.where(is_word, 0, code)])
    wrong = np.zeros(len(sequences), dtype=bool)
    wrong[row[(first < 0) | (code == BROKEN)]] = True
    count = np.where(is_word, pieces.num_pieces[word], 1) * ~wrong[row]
    token = np.repeat(first, count) + _within(count)
    return _with_ends(token, np.bincount(row, weights=count, minlength=len(sequences)).astype(np.int64), ~wrong)


def _translated_brackets(labels: Sequence[str], own: Sequence[str]) -> Int64[np.ndarray, "code"]:
    """Own token of each bracket's code, -1 where there is none (the code BROKEN is not among them)."""
    index = {label: i for i, label in enumerate(own)}
    open_ = np.array([1 + index[label] if label in index else -1 for label in labels], dtype=np.int64)
    close = np.where(open_ < 0, -1, open_ + len(own))
    return np.concatenate([[END], open_, close])


def _within(counts: Int64[np.ndarray, "n"]) -> Int64[np.ndarray, "sum"]:
    """0 .. c - 1 for every count c."""
    return np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)


def _with_ends(tokens: Int64[np.ndarray, "n"], counts: Int64[np.ndarray, "row"], good: np.ndarray) -> Targets:
    return Targets(np.insert(tokens, np.cumsum(counts), END), np.cumsum(np.insert(counts + 1, 0, 0)), good)


def sequences_of_targets(
    tokens: Int64[np.ndarray, "row step"], utterance: Int64[np.ndarray, "row"], pieces: Pieces, num_labels: int
) -> Int16[np.ndarray, "row step"]:
    """Targets, filled up with ends, as sequences; BROKEN where a word's pieces do not stand together in order, or the
    target has no end. O(rows steps)."""
    first_pointer = 1 + 2 * num_labels
    is_piece = tokens >= first_pointer
    number = pieces.offsets[utterance][:, None] + np.where(is_piece, tokens - first_pointer, 0)
    inside = number < pieces.offsets[utterance + 1][:, None]
    number = np.where(inside, number, pieces.offsets[utterance][:, None])
    part, starts = pieces.part[number], is_piece & (pieces.part[number] == 0)
    follows = np.zeros_like(is_piece)
    follows[:, 1:] = is_piece[:, 1:] & is_piece[:, :-1] & (tokens[:, 1:] == tokens[:, :-1] + 1)
    size = pieces.num_pieces[pieces.word_offsets[utterance][:, None] + pieces.word[number]]
    goes_on = np.zeros_like(is_piece)
    goes_on[:, :-1] = follows[:, 1:]
    wrong = is_piece & (~inside | ((part > 0) & ~follows) | ((part < size - 1) & ~goes_on))
    broken = wrong.any(axis=1) | (tokens[:, -1] != END)
    codes = np.where(is_piece, first_pointer + pieces.word[number], tokens)
    return _compressed(codes, starts | ~is_piece, broken)


def _compressed(
    codes: Int64[np.ndarray, "row step"], keep: Bool[np.ndarray, "row step"], broken: Bool[np.ndarray, "row"]
) -> Int16[np.ndarray, "row step"]:
    """The kept codes of every row moved to its front."""
    result = np.full(codes.shape, END, dtype=np.int16)
    keep = keep & (codes != END) & ~broken[:, None]
    row, _ = np.nonzero(keep)
    result[row, _within(keep.sum(axis=1))] = codes[keep]
    result[broken, 0] = BROKEN
    return result
