"""What a parser of either task is given, seen alike: sentences of a treebank, utterances of a bank of frames."""

from dataclasses import replace

import numpy as np
from jaxtyping import Int64

from bcrlib.candidates import CandidatePool
from bcrlib.data.frames import FrameBank
from bcrlib.data.treebank import Treebank
from bcrlib.frame_candidates import FramePool

Items = Treebank | FrameBank
Pool = CandidatePool | FramePool


def num_words(items: Items) -> Int64[np.ndarray, "item"]:
    """Of every item."""
    if isinstance(items, Treebank):
        return items.lengths
    return np.array([len(words) for words in items.utterances], dtype=np.int64)


def selected(items: Items, index: Int64[np.ndarray, "chosen"]) -> Items:
    """These items, in this order."""
    return items.select(index) if isinstance(items, Treebank) else items.rows(index)


def evenly_drawn(items: Items, number: int) -> Items:
    """So many items evenly drawn, for files are not in random order; all of them where `number` is 0 or too large."""
    most = len(num_words(items))
    return selected(items, np.linspace(0, most - 1, min(number or most, most)).astype(np.int64))


def nearest_in_length(items: Items, words: int, number: int) -> Items:
    """The `number` items whose length is nearest to so many words, the first ones of the equally near."""
    return selected(items, np.argsort(np.abs(num_words(items) - words), kind="stable")[:number])


def first_candidates(pool: Pool, number: int) -> Pool:
    """The pool of the first candidates alone."""
    columns = ("heads", "relations") if isinstance(pool, CandidatePool) else ("sequences",)
    return replace(pool, **{name: getattr(pool, name)[:number] for name in (*columns, "log_probs")})
