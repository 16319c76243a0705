"""Which spans and which whole frames a semantic parser gets right: span EM and EM before any averaging.

A *unit* of span EM is a span of words under one or more nodes of the gold frame, one of EM an utterance.
"""

from collections.abc import Mapping, Sequence
from itertools import chain

import numpy as np
from jaxtyping import Bool, Int32, Int64

from bcrlib.data.bracket_sequences import BROKEN, sequence_of, word_code
from bcrlib.data.frames import OPEN, FrameBank, Node, frame_tokens, frame_words
from bcrlib.frame_candidates import FramePool
from bcrlib.metrics.bracket_matching import Rows, count_spans, judge
from bcrlib.metrics.units import Units
from bcrlib.presets import Preset

LEVELS = ("spanEM", "EM")


def scored_units(gold: FrameBank, preset: Preset) -> Units:
    """The units of both levels: distinct spans of words under gold's nodes, from the left, outer first; utterances.

    Several nodes over the same words are one unit.  The presets count the same units and differ in which are right.
    Raises ValueError for a bank without frames and for a frame with an empty node.  O(tokens).
    """
    utterances = np.arange(gold.num_utterances, dtype=np.int64)
    num_spans = _num_spans(_gold_rows(gold, np.arange(len(gold.labels))))
    return Units({"spanEM": np.repeat(utterances, num_spans), "EM": utterances}, gold.num_utterances)


def correctness(gold: FrameBank, pool: FramePool, preset: Preset) -> dict[str, Bool[np.ndarray, "candidate unit"]]:
    """Which units of each level are right in each candidate, in the order of `scored_units`.

    EM: the whole frame is gold's, words compared as text.  Span EM, of a gold span that nodes of the candidate are over
    as well, the same words at the same place from the left: under "labelled" (the paper's definition) these nodes have
    the labels of gold's nodes, from the outside in; under "subtree" (the authors' code, protocol 5.3) everything from
    the outermost node downwards is the same.  Under "subtree" both levels compare labels by the name behind the
    colon alone.  What is no tree is wrong everywhere, what the candidate adds to gold's spans is not looked at.

    Raises ValueError for another number of utterances, and as `scored_units`.  O(candidates codes depth), 8,241
    utterances with 10 candidates in well under a second.
    """
    if pool.num_utterances != gold.num_utterances:
        raise ValueError(f"candidates of {pool.num_utterances} utterances, {gold.num_utterances} gold frames")
    gold_names, names = _name_numbers(gold.labels, pool.labels, preset)
    return _judged(gold, gold_names, _pool_rows(pool, names), pool.num_candidates, preset)


def frame_correctness(
    gold: FrameBank, predicted: Sequence[Node | None], preset: Preset
) -> dict[str, Bool[np.ndarray, "unit"]]:
    """`correctness` of one prediction an utterance, from any parser: [unit] for each level.

    None stands for a prediction that is no tree.  Labels and words that gold does not have are wrong.
    """
    if len(predicted) != gold.num_utterances:
        raise ValueError(f"{len(predicted)} predictions, {gold.num_utterances} gold frames")
    frames = [frame for frame in predicted if frame is not None]
    labels = sorted({text for frame in frames for kind, text in frame_tokens(frame) if kind == OPEN})
    index = {label: i for i, label in enumerate(labels)}
    gold_names, names = _name_numbers(gold.labels, labels, preset)
    rows = _rows([_codes_over(words, frame, index) for words, frame in zip(gold.utterances, predicted)], names)
    right = _judged(gold, gold_names, rows, 1, preset)
    return {level: candidates[0] for level, candidates in right.items()}


def invalid(pool: FramePool) -> Bool[np.ndarray, "candidate utterance"]:
    """Which candidates are no tree: broken, empty, unclosed, an empty or a wrongly labelled bracket, several roots.

    O(codes).
    """
    num_spans = count_spans(_pool_rows(pool, np.arange(len(pool.labels))))
    return (num_spans == 0).reshape(pool.num_candidates, pool.num_utterances)


def num_invalid(pool: FramePool) -> int:
    """How many candidates of all utterances are no tree.  O(codes)."""
    return int(invalid(pool).sum())


def _judged(
    gold: FrameBank, gold_names: Int64[np.ndarray, "gold_label"], predicted: Rows, num_candidates: int, preset: Preset
) -> dict[str, Bool[np.ndarray, "candidate unit"]]:
    gold_rows = _gold_rows(gold, gold_names)
    spans_right = np.empty((num_candidates, _num_spans(gold_rows).sum()), dtype=np.bool_)
    wholes_right = np.empty((num_candidates, gold.num_utterances), dtype=np.bool_)
    places = [[first[word] for word in words] for words, first in zip(gold.utterances, map(_places, gold.utterances))]
    words, starts = _end_to_end(places)
    judge(gold_rows, predicted, words, starts, preset.span_em == "subtree", spans_right, wholes_right)
    return {"spanEM": spans_right, "EM": wholes_right}


def _num_spans(gold: Rows) -> Int64[np.ndarray, "utterance"]:
    num_spans = count_spans(gold)
    if not num_spans.all():
        raise ValueError(f"gold frame {int(np.argmin(num_spans))} has a node without words")
    return num_spans


def _name_numbers(
    gold_labels: Sequence[str], labels: Sequence[str], preset: Preset
) -> tuple[Int64[np.ndarray, "gold_label"], Int64[np.ndarray, "label"]]:
    """A number for each label, equal for those that the preset does not tell apart."""
    both = [*gold_labels, *labels]
    names = [label.partition(":")[2] for label in both] if preset.span_em == "subtree" else both
    _, numbers = np.unique(names, return_inverse=True)
    return numbers[: len(gold_labels)], numbers[len(gold_labels) :]


def _gold_rows(gold: FrameBank, names: Int64[np.ndarray, "gold_label"]) -> Rows:
    if len(gold.frames) != gold.num_utterances:
        raise ValueError("utterances without gold frames")
    index = {label: i for i, label in enumerate(gold.labels)}
    return _rows([sequence_of(frame, index) for frame in gold.frames], names)


def _pool_rows(pool: FramePool, names: Int64[np.ndarray, "label"]) -> Rows:
    num_candidates, num_utterances, num_steps = pool.sequences.shape
    starts = np.arange(num_candidates * num_utterances + 1, dtype=np.int64) * num_steps
    return Rows(pool.sequences.astype(np.int32).ravel(), starts, names)


def _codes_over(words: Sequence[str], frame: Node | None, label_index: Mapping[str, int]) -> list[int]:
    """The sequence of a predicted frame, its words numbered by their first place in the utterance.

    A word that the utterance does not have gets the number behind its last one.
    """
    if frame is None:
        return [BROKEN]
    first = _places(words)
    numbers = [first.get(word, len(words)) for word in frame_words(frame)]
    first_word = word_code(0, len(label_index))
    codes = sequence_of(frame, label_index)
    return [code if code < first_word else first_word + numbers[code - first_word] for code in codes]


def _places(words: Sequence[str]) -> dict[str, int]:
    """The first place of each word of an utterance."""
    return {word: place for place, word in reversed(list(enumerate(words)))}


def _rows(sequences: Sequence[Sequence[int]], names: Int64[np.ndarray, "label"]) -> Rows:
    return Rows(*_end_to_end(sequences), names)


def _end_to_end(
    rows: Sequence[Sequence[int]],
) -> tuple[Int32[np.ndarray, "item"], Int64[np.ndarray, "row_plus_one"]]:
    """The items of all rows, and where each row starts; the last start is the end."""
    starts = np.concatenate([[0], np.cumsum([len(row) for row in rows], dtype=np.int64)])
    return np.fromiter(chain.from_iterable(rows), np.int32, starts[-1]), starts
