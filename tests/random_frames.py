"""Banks of frames: random ones, and those of texts."""

import numpy as np

from bcrlib.data.frames import FrameBank, Node, frame_words, parse_frame

LABELS = ("IN:CALL", "IN:COMBINE", "SL:COMBINE", "SL:PLACE")
WORDS = ("a", "b", ":]", "]]", "x[", "ü\u2028", "IN:CALL")


def bank_of(*texts: str) -> FrameBank:
    """The frames of these texts with their utterances."""
    frames = tuple(map(parse_frame, texts))
    return FrameBank(tuple(map(frame_words, frames)), frames)


def random_frame(words: tuple[str, ...], rng: np.random.Generator, depth: int = 0) -> Node:
    """A frame over these words, at least one; nodes over the same words occur."""
    children, start = [], 0
    while start < len(words):
        end = int(rng.integers(start, len(words))) + 1
        nested = depth < 4 and rng.random() < 0.5
        children += [random_frame(words[start:end], rng, depth + 1)] if nested else words[start:end]
        start = end
    return Node(LABELS[rng.integers(len(LABELS))], tuple(children))


def random_frame_bank(num_utterances: int, rng: np.random.Generator, longest: int = 8) -> FrameBank:
    lengths = rng.integers(1, longest + 1, num_utterances)
    utterances = tuple(tuple(WORDS[i] for i in rng.integers(len(WORDS), size=length)) for length in lengths)
    return FrameBank(utterances, tuple(random_frame(words, rng) for words in utterances))
