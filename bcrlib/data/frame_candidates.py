"""Candidate pools of frames: what the new semantic parser proposes and the old one chooses from.

From a pool of candidates back to frames: what is written to files, and what a student learns from.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float32, Int16, Int64

from bcrlib.data.candidates import distinct_first
from bcrlib.data.frames import END, FrameBank, FrameError, Node, frame_of, frame_words, recoded


@dataclass(frozen=True, eq=False)
class FramePool:
    """The same number of candidate frames for every utterance of a bank, duplicates kept.

    A 1-best prediction is a pool of one candidate.
    """

    sequences: Int16[np.ndarray, "candidate utterance step"]
    """Codes of bcrlib.data.frames, filled up with END. A candidate that never ended, or whose pieces do not
    make up whole words, is BROKEN in step 0 and END behind it."""
    labels: tuple[str, ...]
    """The labels that the codes number."""
    log_probs: Float32[np.ndarray, "candidate utterance"]
    """log p(sequence | utterance) under the model that proposed it; of dropout-p under the whole network, not its
    sub-networks. Of a model with the preset `official` the mean over tokens."""

    @property
    def num_candidates(self) -> int:
        return self.sequences.shape[0]

    @property
    def num_utterances(self) -> int:
        return self.sequences.shape[1]

    def first_equal(self) -> Int16[np.ndarray, "candidate utterance"]:
        """Index of the first candidate of the utterance with the same sequence. O(candidates^2 utterances steps)."""
        first = np.empty(self.sequences.shape[:2], dtype=np.int16)
        for candidate in reversed(range(self.num_candidates)):
            same = (self.sequences[candidate:] == self.sequences[candidate]).all(axis=2)
            first[candidate:][same] = candidate
        return first

    def num_distinct(self) -> Int64[np.ndarray, "utterance"]:
        """Distinct sequences among the candidates of each utterance; all broken ones count as one."""
        return (self.first_equal() == np.arange(self.num_candidates)[:, None]).sum(axis=0)

    def take(self, candidates: slice | Int64[np.ndarray, "taken"]) -> "FramePool":
        """These candidates of every utterance, by number; repeats are allowed. O(taken codes), of a slice O(1)."""
        return replace(self, sequences=self.sequences[candidates], log_probs=self.log_probs[candidates])


def together(pools: Sequence[FramePool]) -> FramePool:
    """The candidates of several pools as one pool, in this order.

    What scores it scores a candidate that several strategies found once. Pools may number their labels differently.
    ValueError for pools of other utterances. O(candidates codes).
    """
    if len({pool.num_utterances for pool in pools}) != 1:
        raise ValueError("the pools must be of the same utterances")
    labels = tuple(dict.fromkeys(label for pool in pools for label in pool.labels))
    steps = max(pool.sequences.shape[2] for pool in pools)
    padded = [
        np.pad(
            recoded(pool.sequences, pool.labels, labels),
            ((0, 0), (0, 0), (0, steps - pool.sequences.shape[2])),
            constant_values=END,
        )
        for pool in pools
    ]
    return FramePool(np.concatenate(padded), labels, np.concatenate([pool.log_probs for pool in pools]))


def joined(pools: Sequence[FramePool]) -> FramePool:
    """The candidates of several pools as one pool, equal frames of an utterance once, as far as its width allows.

    As `together` otherwise; `bcrlib.data.candidates.distinct_first` says which are left. O(candidates^2 codes).
    """
    pool = together(pools)
    return arranged(pool, distinct_first(pool.first_equal()))


def arranged(pool: FramePool, order: Int64[np.ndarray, "place utterance"]) -> FramePool:
    """The pool with candidate order[p, u] of utterance u in place p. O(places codes)."""
    sequences = pool.sequences[order, np.arange(pool.num_utterances)]
    return replace(pool, sequences=sequences, log_probs=np.take_along_axis(pool.log_probs, order, axis=0))


def single(pool: FramePool, choice: Int64[np.ndarray, "utterance"]) -> FramePool:
    """The pool of one candidate an utterance that a re-ranker chose: candidate choice[u] of utterance u."""
    return arranged(pool, choice[None])


def predicted_frames(bank: FrameBank, pool: FramePool) -> list[Node | None]:
    """The first candidate of every utterance; None where it is no tree.  O(codes)."""
    rows = zip(pool.sequences[0], bank.utterances, strict=True)
    return [_frame_or_none(sequence, pool.labels, words) for sequence, words in rows]


def taught(bank: FrameBank, pool: FramePool) -> FrameBank:
    """The bank under the first candidates in place of its frames, to learn from (distillation, protocol 4.3).

    Utterances whose candidate is no tree over their words are left out.  O(codes).
    """
    frames = predicted_frames(bank, pool)
    good = [i for i, frame in enumerate(frames) if frame is not None and frame_words(frame) == bank.utterances[i]]
    return bank.rows(good).with_frames([frames[i] for i in good])


def _frame_or_none(sequence: Sequence[int], labels: Sequence[str], words: Sequence[str]) -> Node | None:
    try:
        return frame_of(sequence, labels, words)
    except FrameError:
        return None
