"""Frames as sequences of numbers, over brackets and words: what decoders write and metrics compare.

With L labels, code 1 + i opens label i, 1 + L + i closes it, and 1 + 2 L + w is word w (from 0) of the utterance.
Closing brackets name their label, as in the authors' targets (protocol, section 1.2), so that a sequence can be wrong
in one. No tokenizer is involved: pieces of words are put together before.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Int16

from bcrlib.data.frames import CLOSE, OPEN, FrameBank, FrameBuilder, FrameError, Node, frame_tokens

END = 0  # behind the last code; fills up to the longest sequence
BROKEN = -1  # in the first step of what is no sequence over whole words


def sequence_of(frame: Node, label_index: Mapping[str, int]) -> list[int]:
    """The codes of a frame, its words numbered from left to right; no END.

    label_index: place of each label in the list of all.  Raises FrameError for a label not in it.  O(tokens).
    """
    codes, num_words = [], 0
    for kind, text in frame_tokens(frame):
        if kind not in (OPEN, CLOSE):
            codes.append(word_code(num_words, len(label_index)))
            num_words += 1
        elif text in label_index:
            codes.append(1 + label_index[text] + (len(label_index) if kind == CLOSE else 0))
        else:
            raise FrameError(f"unknown label {text}")
    return codes


def word_code(word: int, num_labels: int) -> int:
    """The code of a word (from 0).  O(1)."""
    return 1 + 2 * num_labels + word


def frame_of(sequence: Sequence[int], labels: Sequence[str], words: Sequence[str]) -> Node:
    """The frame that a sequence spells, up to the first END or the last step; the inverse of sequence_of.

    Words may come in any order, twice or not at all: it is for the metrics to judge.  Raises FrameError with the
    reason where the sequence is no tree or has a code that stands for nothing.  O(steps).
    """
    builder, num_labels = FrameBuilder(), len(labels)
    for code in map(int, sequence):
        if code == END:
            break
        if not 0 < code < word_code(len(words), num_labels):
            raise FrameError("no sequence over whole words" if code == BROKEN else f"code {code} stands for nothing")
        if code <= num_labels:
            builder.open(labels[code - 1])
        elif code <= 2 * num_labels:
            _close(builder, labels[code - 1 - num_labels])
        else:
            builder.add(words[code - word_code(0, num_labels)])
    return builder.finish()


def recoded(
    sequences: Int16[np.ndarray, "*batch step"], labels: Sequence[str], into: Sequence[str]
) -> Int16[np.ndarray, "*batch step"]:
    """Sequences over some labels as sequences over the labels `into`, which those must be among (else ValueError).

    O(codes).
    """
    place, num_labels, num_into = [into.index(label) for label in labels], len(labels), len(into)
    codes = [END, *(1 + i for i in place), *(1 + num_into + i for i in place), BROKEN]  # the last one also by -1
    brackets = np.array(codes, dtype=np.int16)
    is_word = sequences >= word_code(0, num_labels)
    shifted = sequences + np.int16(2 * (num_into - num_labels))
    return np.where(is_word, shifted, brackets[np.where(is_word, END, sequences)])


def sequences_of(bank: FrameBank, labels: Sequence[str]) -> Int16[np.ndarray, "utterance step"]:
    """The codes of all frames of a bank, filled up with END to the longest.

    Raises FrameError for a label not among `labels`.  O(tokens).
    """
    label_index = {label: i for i, label in enumerate(labels)}
    return _padded([sequence_of(frame, label_index) for frame in bank.frames])


def _close(builder: FrameBuilder, label: str) -> None:
    closed = builder.close()
    if closed != label:
        raise FrameError(f"[{closed} is closed by {label} ]")


def _padded(sequences: list[list[int]]) -> Int16[np.ndarray, "utterance step"]:
    padded = np.full((len(sequences), max(map(len, sequences), default=0)), END, dtype=np.int16)
    for row, sequence in zip(padded, sequences):
        row[: len(sequence)] = sequence
    return padded
