"""Candidate pools of frames: what the new semantic parser proposes and the old one chooses from."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from jaxtyping import Bool, Float32, Int16, Int64

from bcrlib.data.candidates import Pool
from bcrlib.data.frames import END, FrameBank, FrameError, Node, frame_of, frame_words, recoded


@dataclass(frozen=True, eq=False)
class FramePool(Pool):
    """Candidate frames of a bank's utterances."""

    BY_CANDIDATE = ("sequences", "log_probs")

    sequences: Int16[np.ndarray, "candidate utterance step"]
    """Codes of bcrlib.data.frames, filled up with END. A candidate that never ended, or whose pieces do not
    make up whole words, is BROKEN in step 0 and END behind it."""
    labels: tuple[str, ...]
    """The labels that the codes number."""
    log_probs: Float32[np.ndarray, "candidate utterance"]
    """Of a model with the preset `official` the mean over tokens."""

    def equal_to(self, candidate: int) -> Bool[np.ndarray, "behind utterance"]:
        """Which candidates from this one on are the same sequence; all broken ones are."""
        return (self.sequences[candidate:] == self.sequences[candidate]).all(axis=2)

    def arranged(self, order: Int64[np.ndarray, "place utterance"]) -> Self:
        """The pool with candidate order[p, u] of utterance u in place p. O(places codes)."""
        sequences = self.sequences[order, np.arange(self.num_items)]
        return replace(self, sequences=sequences, log_probs=np.take_along_axis(self.log_probs, order, axis=0))

    def followed_by(self, others: Sequence["FramePool"]) -> "FramePool":
        """See `bcrlib.data.candidates.together`."""
        pools = [self, *others]
        if len({pool.num_items for pool in pools}) != 1:
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

    def frames(self, bank: FrameBank, candidate: int = 0) -> list[Node | None]:
        """One candidate of every utterance; None where it is no tree.  O(codes)."""
        found: list[Node | None] = []
        for sequence, words in zip(self.sequences[candidate], bank.utterances, strict=True):
            try:
                found.append(frame_of(sequence, self.labels, words))
            except FrameError:
                found.append(None)
        return found

    def taught(self, bank: FrameBank) -> FrameBank:
        """The bank under the first candidates in place of its frames, to learn from (distillation, protocol 4.3).

        Utterances whose candidate is no tree over their words are left out.  O(codes).
        """
        frames = self.frames(bank)
        good = [i for i, frame in enumerate(frames) if frame is not None and frame_words(frame) == bank.utterances[i]]
        return bank.select(good).with_frames([frames[i] for i in good])
