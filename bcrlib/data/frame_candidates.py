"""Candidate pools of frames: what the new semantic parser proposes and the old one chooses from."""

from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from jaxtyping import Bool, Float32, Int16, Int64

from bcrlib.data.candidates import Bank, Pool
from bcrlib.data.files import words_fault
from bcrlib.data.frames import (
    BROKEN,
    END,
    FrameBank,
    FrameError,
    Node,
    frame_of,
    frame_text,
    frame_words,
    labels_of,
    padded,
    parse_frame,
    recoded,
    sequence_of,
)


@dataclass(frozen=True, eq=False)
class FramePool(Pool):
    """Candidate frames of a bank's utterances."""

    BY_CANDIDATE = ("sequences", "log_probs")
    ITEM, WORDS, FILE, STRUCTURE = "utterance", "words", "TOP file", "frame"
    COLUMNS = ("frame",)

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
        sequences = [
            np.pad(
                recoded(pool.sequences, pool.labels, labels),
                ((0, 0), (0, 0), (0, steps - pool.sequences.shape[2])),
                constant_values=END,
            )
            for pool in pools
        ]
        return FramePool(np.concatenate(sequences), labels, np.concatenate([pool.log_probs for pool in pools]))

    def frames(self, bank: FrameBank, candidate: int = 0) -> list[Node | None]:
        """One candidate of every utterance; None where it is not a tree.  O(codes)."""
        found: list[Node | None] = []
        for sequence, words in zip(self.sequences[candidate], bank.utterances, strict=True):
            try:
                found.append(frame_of(sequence, self.labels, words))
            except FrameError:
                found.append(None)
        return found

    def check(self, bank: Bank) -> None:
        """ValueError where the candidates are of another number of utterances."""
        if self.num_items != len(bank):
            raise ValueError(f"candidates of {self.num_items} utterances for {len(bank)}")

    def taught(self, bank: FrameBank) -> FrameBank:
        """The bank under the first candidates in place of its frames, to learn from (distillation, protocol 4.3).

        Utterances whose candidate is not a tree over their words are left out.  O(codes).
        """
        frames = self.frames_over_words(bank)
        good = [i for i, frame in enumerate(frames) if frame is not None]
        return bank.select(good).with_frames([frames[i] for i in good])

    def frames_over_words(self, bank: FrameBank, candidate: int = 0) -> list[Node | None]:
        """One candidate of every utterance; None where it is not a tree over the words of the utterance.  O(codes)."""
        found = zip(self.frames(bank, candidate), bank.words)
        return [frame if frame is not None and frame_words(frame) == words else None for frame, words in found]

    def first_unknown(self, known: AbstractSet[str]) -> tuple[int, str] | None:
        """The first utterance (from 1) with a label that is not among these, and which one. O(candidates codes)."""
        found = np.isin(self.sequences, [1 + i for i, label in enumerate(self.labels) if label not in known])
        if not found.any():
            return None
        utterance = int(found.any(axis=(0, 2)).argmax())
        candidate = int(found[:, utterance].any(axis=1).argmax())
        code = self.sequences[candidate, utterance, found[candidate, utterance].argmax()]
        fault = f"candidate {candidate + 1}: label {self.labels[code - 1]} is known to none of the models"
        return utterance + 1, fault

    def cells(self, bank: FrameBank) -> Iterator[list[dict[str, Any]]]:
        """The candidates of every utterance as texts; None for one that is not a tree over its words."""
        columns = [self.frames_over_words(bank, candidate) for candidate in range(self.num_candidates)]
        for frames in zip(*columns):
            yield [{"frame": None if frame is None else frame_text(frame)} for frame in frames]

    @staticmethod
    def read_cells(cells: dict[str, Any], words: Sequence[str]) -> Node | None:
        """A frame over these words, or None. ValueError: the text behind "candidate 3"."""
        text = cells["frame"]
        if text is None:
            return None
        if not isinstance(text, str):
            raise ValueError(f": 'frame' is {text!r}, neither a text nor null")
        try:
            frame = parse_frame(text)
        except FrameError as error:
            raise ValueError(f": {error}") from None
        if fault := words_fault(frame_words(frame), words, "words", "utterance"):
            raise ValueError(f": {fault}")
        return frame

    @classmethod
    def from_structures(
        cls,
        bank: FrameBank,
        frames: Sequence[Sequence[Node | None]],
        log_probs: Float32[np.ndarray, "candidate utterance"],
    ) -> Self:
        """The pool of these frames, [candidate][utterance]; None is BROKEN."""
        labels = labels_of(frame for column in frames for frame in column if frame is not None)
        index = {label: i for i, label in enumerate(labels)}
        codes = [[BROKEN] if frame is None else sequence_of(frame, index) for column in frames for frame in column]
        return cls(padded(codes).reshape(*log_probs.shape, -1), labels, log_probs)
