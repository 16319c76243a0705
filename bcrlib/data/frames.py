"""Semantic frames: the bracket trees of TOP, in and out of text, and banks of utterances with one each.

`[IN:GET_EVENT what is [SL:DATE_TIME on tonight ] ]` has two nodes, an intent and a slot, over the words of an
utterance. Brackets and words stand apart by single spaces: "]" alone closes, what begins with "[" opens, all else is
a word, so that ":]" is a word and "on]" one too. The words "]" and "[a" can stand in no frame.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from jaxtyping import Int64

OPEN, CLOSE, WORD = "[", "]", ""  # kinds of tokens
LABEL = re.compile(r"(IN|SL):[A-Z][A-Z0-9_]*")


class FrameError(ValueError):
    """A text or sequence that is no frame; its text is the reason alone."""


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
            builder.open(_label(token))
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

    @property
    def num_utterances(self) -> int:
        """Number of utterances.  O(1)."""
        return len(self.utterances)

    @property
    def lengths(self) -> Int64[np.ndarray, "utterance"]:
        """Words in each utterance.  O(utterances)."""
        return np.array([len(words) for words in self.utterances], dtype=np.int64)

    @cached_property
    def labels(self) -> tuple[str, ...]:
        """All labels of the frames, sorted.  O(tokens) the first time."""
        return tuple(sorted({text for frame in self.frames for kind, text in frame_tokens(frame) if kind == OPEN}))

    def rows(self, indices: Int64[np.ndarray, "chosen"] | Sequence[int]) -> "FrameBank":
        """The bank of these utterances, in this order; repeats are allowed.

        Raises IndexError for a number outside 0..num_utterances-1.  O(chosen).
        """
        chosen = np.asarray(indices, dtype=np.int64).tolist()
        if chosen and not 0 <= min(chosen) <= max(chosen) < self.num_utterances:
            raise IndexError(f"utterance numbers must lie in 0..{self.num_utterances - 1}")
        frames = tuple(self.frames[i] for i in chosen) if self.frames else ()
        return FrameBank(tuple(self.utterances[i] for i in chosen), frames)

    def with_frames(self, frames: Sequence[Node]) -> "FrameBank":
        """The same utterances under other frames, for example a parser's.

        Raises ValueError when there is not exactly one frame an utterance, over its words.  O(tokens).
        """
        if len(frames) != self.num_utterances:
            raise ValueError(f"{len(frames)} frames for {self.num_utterances} utterances")
        for i, (words, frame) in enumerate(zip(self.utterances, frames)):
            if frame_words(frame) != words:
                raise ValueError(f"frame {i} is not one over the words of utterance {i}")
        return replace(self, frames=tuple(frames))


def _label(token: str) -> str:
    label = token[1:]
    if not LABEL.fullmatch(label):
        raise FrameError(f"{token!r} is no opening bracket: a label is IN:NAME or SL:NAME in capitals")
    return label
