"""Semantic frames: the bracket trees of TOP, banks of utterances with one each, frames as numbers.

`[IN:GET_EVENT what is [SL:DATE_TIME on tonight ] ]` has two nodes, an intent and a slot, over the words of an
utterance. Brackets and words stand apart by single spaces: "]" alone closes, what begins with "[" opens, all else is
a word, so that ":]" is a word and "on]" one too. The words "]" and "[a" can stand in no frame.

As a sequence of numbers a frame is what decoders write and metrics compare. With L labels, code 1 + i opens label i,
1 + L + i closes it, and 1 + 2 L + w is word w (from 0) of the utterance. Closing brackets name their label, as in the
authors' targets (protocol, section 1.2), so that a sequence can be wrong in one. No tokenizer is involved: pieces of
words are put together before.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from jaxtyping import Int16, Int64

from bcrlib.data.randomness import rows_of_part

OPEN, CLOSE, WORD = "[", "]", ""  # kinds of tokens
LABEL = re.compile(r"(IN|SL):[A-Z][A-Z0-9_]*")


class FrameError(ValueError):
    """A text or sequence that is not a frame; its text is the reason alone."""


@dataclass(frozen=True)
class Node:
    """A labelled bracket: an intent or a slot over words (str) and further nodes."""

    label: str  # "IN:GET_EVENT"
    children: tuple["Node | str", ...]


class FrameBuilder:
    """A frame put together from left to right; each step raises FrameError where the result can be no tree.

    O(1) a step.
    """

    def __init__(self) -> None:
        """Before the first bracket."""
        self.root: Node | None = None
        self.pending: list[tuple[str, list[Node | str]]] = []  # open brackets, from the outside in

    def open(self, label: str) -> None:
        """Begin a node; a frame has one root."""
        if self.root is not None:
            raise FrameError(f"several roots: [{label} begins a second one")
        self.pending.append((label, []))

    def add(self, word: str) -> None:
        """Put a word into the innermost open node."""
        if not self.pending:
            raise FrameError(f"the word {word!r} stands outside the brackets")
        self.pending[-1][1].append(word)

    def close(self) -> str:
        """End the innermost open node, which must hold something; its label."""
        if not self.pending:
            raise FrameError("a closing bracket without an open one")
        label, children = self.pending.pop()
        if not children:
            raise FrameError(f"empty bracket [{label} ]")
        node = Node(label, tuple(children))
        if self.pending:
            self.pending[-1][1].append(node)
        else:
            self.root = node
        return label

    def finish(self) -> Node:
        """The frame, all brackets closed."""
        if self.pending:
            raise FrameError(f"[{self.pending[-1][0]} is never closed (a bracket has a space on either side)")
        if self.root is None:
            raise FrameError("no bracket at all")
        return self.root


def parse_frame(text: str) -> Node:
    """The frame in a text such as "[IN:GET_EVENT what is [SL:DATE_TIME on tonight ] ]", of any depth.

    Raises FrameError with the reason for any other text.  O(characters).
    """
    builder = FrameBuilder()
    for token in text.split(" "):
        if token == CLOSE:
            builder.close()
        elif token.startswith(OPEN):
            if not LABEL.fullmatch(token[1:]):
                raise FrameError(f"{token!r} is not an opening bracket: a label is IN:NAME or SL:NAME in capitals")
            builder.open(token[1:])
        elif token:
            builder.add(token)
        else:
            raise FrameError("tokens must be separated by single spaces, with none at either end")
    return builder.finish()


def frame_text(frame: Node) -> str:
    """The text of a frame, the inverse of parse_frame.  O(characters)."""
    return " ".join(CLOSE if kind == CLOSE else kind + text for kind, text in frame_tokens(frame))


def frame_words(frame: Node) -> tuple[str, ...]:
    """The words of a frame from left to right.  O(tokens)."""
    return tuple(text for kind, text in frame_tokens(frame) if kind == WORD)


def frame_tokens(frame: Node) -> Iterator[tuple[str, str]]:
    """A frame from left to right: (OPEN, label), (WORD, word), (CLOSE, label).  O(tokens)."""
    pending: list[Node | str | tuple[str, str]] = [frame]
    while pending:
        item = pending.pop()
        if isinstance(item, str):
            yield WORD, item
        elif isinstance(item, Node):
            yield OPEN, item.label
            pending.append((CLOSE, item.label))
            pending.extend(reversed(item.children))
        else:
            yield item


def labels_of(frames: Iterable[Node]) -> tuple[str, ...]:
    """All labels of some frames, sorted.  O(tokens)."""
    return tuple(sorted({text for frame in frames for kind, text in frame_tokens(frame) if kind == OPEN}))


@dataclass(frozen=True, eq=False)
class FrameBank:
    """Utterances with one frame each, gold or predicted; or without frames, as text to be parsed.

    Raises ValueError when there are frames, but not one an utterance.
    """

    utterances: tuple[tuple[str, ...], ...]  # the words of each
    frames: tuple[Node, ...]  # empty: no frames

    def __post_init__(self) -> None:
        """Refuse a wrong number of frames."""
        if self.frames and len(self.frames) != len(self.utterances):
            raise ValueError(f"{len(self.frames)} frames for {len(self.utterances)} utterances")

    def __len__(self) -> int:
        """Number of utterances."""
        return len(self.utterances)

    @property
    def words(self) -> tuple[tuple[str, ...], ...]:
        """The words of each utterance."""
        return self.utterances

    @property
    def lengths(self) -> Int64[np.ndarray, "utterance"]:
        """Words in each utterance.  O(utterances)."""
        return np.array([len(words) for words in self.utterances], dtype=np.int64)

    @cached_property
    def labels(self) -> tuple[str, ...]:
        """All labels of the frames, sorted.  O(tokens) the first time."""
        return labels_of(self.frames)

    def select(self, indices: Int64[np.ndarray, "chosen"] | Sequence[int]) -> "FrameBank":
        """The bank of these utterances, in this order; repeats are allowed.

        Raises IndexError for a number outside 0..len-1.  O(chosen).
        """
        chosen = np.asarray(indices, dtype=np.int64).tolist()
        if chosen and not 0 <= min(chosen) <= max(chosen) < len(self):
            raise IndexError(f"utterance numbers must lie in 0..{len(self) - 1}")
        frames = tuple(self.frames[i] for i in chosen) if self.frames else ()
        return FrameBank(tuple(self.utterances[i] for i in chosen), frames)

    def part(self, share: float, seed: int) -> "FrameBank":
        """A share of the utterances, in their order (`rows_of_part`; protocol 1.2 leaves open which four fifths)."""
        return self.select(rows_of_part(len(self), share, seed))

    def with_frames(self, frames: Sequence[Node]) -> "FrameBank":
        """The same utterances under other frames, for example a parser's.

        Raises ValueError when there is not exactly one frame an utterance, over its words.  O(tokens).
        """
        if len(frames) != len(self):
            raise ValueError(f"{len(frames)} frames for {len(self)} utterances")
        for i, (words, frame) in enumerate(zip(self.utterances, frames)):
            if frame_words(frame) != words:
                raise ValueError(f"frame {i} is not one over the words of utterance {i}")
        return replace(self, frames=tuple(frames))


END = 0  # behind the last code; fills up to the longest sequence
BROKEN = -1  # in the first step of what is not a sequence over whole words


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
    reason where the sequence is not a tree or has a code that stands for nothing.  O(steps).
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
            label = labels[code - 1 - num_labels]
            if (closed := builder.close()) != label:
                raise FrameError(f"[{closed} is closed by {label} ]")
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
    return padded([sequence_of(frame, label_index) for frame in bank.frames])


def padded(sequences: Sequence[Sequence[int]]) -> Int16[np.ndarray, "sequence step"]:
    """Sequences filled up with END to the longest.  O(codes)."""
    filled = np.full((len(sequences), max(map(len, sequences), default=0)), END, dtype=np.int16)
    for row, sequence in zip(filled, sequences):
        row[: len(sequence)] = sequence
    return filled
