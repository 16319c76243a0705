"""Bracket sequences of predictions against those of gold frames, in compiled loops: which spans and wholes are right.

Codes are those of bcrlib.data.frames. In a sequence a sub-tree is a run of codes, and the nodes over one
span of words are opening brackets next to each other: both are compared as runs, and no tree is built.

Which spans and which whole frames a semantic parser gets right: span EM and EM before any averaging.

A *unit* of span EM is a span of words under one or more nodes of the gold frame, one of EM an utterance.
"""

from collections.abc import Mapping, Sequence
from itertools import chain
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int32, Int64
from numba import njit

from bcrlib.data.frame_candidates import FramePool
from bcrlib.data.frames import BROKEN, END, OPEN, FrameBank, Node, frame_tokens, frame_words, sequence_of, word_code
from bcrlib.data.presets import Preset
from bcrlib.metrics.attachment import Units

BEGIN, STOP, FIRST, LENGTH, ABOVE = range(5)  # columns of a node: its words, its run of codes, the node around it


class Rows(NamedTuple):
    """Sequences one behind the other, each up to its first END or its last code."""

    codes: Int32[np.ndarray, "code"]
    starts: Int64[np.ndarray, "row_plus_one"]
    names: Int64[np.ndarray, "label"]
    """What each label is compared by: equal numbers for equal names."""


@njit(cache=True, nogil=True)
def count_spans(rows):
    """Distinct spans of words under the nodes of each row: int64 [row]; 0 for a row that is no tree. O(codes)."""
    tokens, nodes = _scratch(rows)
    words = np.empty(0, np.int32)
    counts = np.empty(len(rows.starts) - 1, np.int64)
    for row in range(len(counts)):
        _, counts[row] = _read(rows, row, words, True, tokens, nodes)
    return counts


@njit(cache=True, nogil=True)
def judge(gold, predicted, words, word_starts, by_subtree, spans_right, wholes_right):
    """Fills spans_right [candidate, span] and wholes_right [candidate, utterance].

    The rows of `gold`, trees all of them, are [utterance], those of `predicted` [candidate, utterance]. `words` (int32)
    are the utterances one behind the other from word_starts on, each word given by the first place in its utterance
    that has the same text. O(codes + spans of a prediction * spans of gold + depth of gold * codes of gold).
    """
    num_candidates, num_utterances = wholes_right.shape
    gold_tokens, gold_spans = _scratch(gold)
    tokens, spans = _scratch(predicted)
    first = 0
    for utterance in range(num_utterances):
        own = words[word_starts[utterance] : word_starts[utterance + 1]]
        gold_steps, num_gold = _read(gold, utterance, own, by_subtree, gold_tokens, gold_spans)
        for candidate in range(num_candidates):
            row = candidate * num_utterances + utterance
            num_steps, num_spans = _read(predicted, row, own, by_subtree, tokens, spans)
            same_length = num_steps == gold_steps
            wholes_right[candidate, utterance] = same_length and _same_run(gold_tokens, 0, tokens, 0, num_steps)
            for i in range(num_gold):
                right = _has_span(gold_tokens, gold_spans[i], tokens, spans[:num_spans])
                spans_right[candidate, first + i] = right
        first += num_gold


@njit(cache=True, nogil=True)
def _scratch(rows):
    """Room for the tokens and nodes of the longest row."""
    longest = 0
    for row in range(len(rows.starts) - 1):
        longest = max(longest, rows.starts[row + 1] - rows.starts[row])
    return np.empty(longest, np.int64), np.empty((longest, 5), np.int64)


@njit(cache=True, nogil=True)
def _read(rows, row, words, by_subtree, tokens, spans):
    """Fills the tokens [step] of one row and its distinct spans; returns the numbers of both, (0, 0) for no tree."""
    codes = rows.codes[rows.starts[row] : rows.starts[row + 1]]
    num_steps, num_nodes = _read_nodes(codes, rows.names, words, tokens, spans)
    return num_steps, _merge_spans(spans, num_nodes, by_subtree)


@njit(cache=True, nogil=True)
def _read_nodes(codes, names, words, tokens, nodes):
    """The nodes from left to right, outer before inner, and the tokens by which codes are compared.

    Closing brackets, whose label says no more than the opening one's, are 0, opening ones their name and words their
    first place, so that only words of the same text are equal; one beyond the utterance is equal to none of it.
    """
    num_labels, at, num_nodes, num_words, num_steps = len(names), -1, 0, 0, 0
    for code in codes:
        if code == END:
            break
        opens = 0 < code <= num_labels
        if code < 0 or (at < 0 and not (opens and num_steps == 0)):
            return 0, 0  # a broken sequence; something outside the root
        if opens:
            tokens[num_steps] = 1 + names[code - 1]
            nodes[num_nodes, BEGIN], nodes[num_nodes, FIRST], nodes[num_nodes, ABOVE] = num_words, num_steps, at
            at = num_nodes
            num_nodes += 1
        elif code <= 2 * num_labels:
            if codes[nodes[at, FIRST]] != code - num_labels or nodes[at, BEGIN] == num_words:
                return 0, 0  # another label is open; a bracket around nothing
            tokens[num_steps] = 0
            nodes[at, STOP], nodes[at, LENGTH] = num_words, num_steps + 1 - nodes[at, FIRST]
            at = nodes[at, ABOVE]
        else:
            word = code - 1 - 2 * num_labels
            tokens[num_steps] = -1 - (words[word] if word < len(words) else word)
            num_words += 1
        num_steps += 1
    return (num_steps, num_nodes) if at < 0 else (0, 0)


@njit(cache=True, nogil=True)
def _merge_spans(nodes, num_nodes, by_subtree):
    """Keeps the outermost node of every span, with the run of codes to compare: its sub-tree, or its chain of labels.

    A node over the same span as the one around it follows it directly, since no bracket is empty.
    """
    num_spans = 0
    for node in range(num_nodes):
        last = num_spans - 1
        if node > 0 and nodes[node, BEGIN] == nodes[last, BEGIN] and nodes[node, STOP] == nodes[last, STOP]:
            nodes[last, LENGTH] += 0 if by_subtree else 1
            continue
        nodes[num_spans] = nodes[node]
        if not by_subtree:
            nodes[num_spans, LENGTH] = 1
        num_spans += 1
    return num_spans


@njit(cache=True, nogil=True)
def _has_span(gold_tokens, gold_span, tokens, spans):
    """Whether one of the spans has the gold one's place and words, with the same run of tokens."""
    for i in range(len(spans)):
        if spans[i, BEGIN] == gold_span[BEGIN] and spans[i, STOP] == gold_span[STOP]:
            first, gold_first = spans[i, FIRST], gold_span[FIRST]
            if spans[i, LENGTH] != gold_span[LENGTH]:
                return False
            num_words = gold_span[STOP] - gold_span[BEGIN]
            same_run = _same_run(gold_tokens, gold_first, tokens, first, gold_span[LENGTH])
            return same_run and _same_words(gold_tokens, gold_first, tokens, first, num_words)
    return False


@njit(cache=True, nogil=True)
def _same_words(tokens, at, other_tokens, other_at, num_words):
    """Whether the next so many words behind two places are the same."""
    for _ in range(num_words):
        while tokens[at] >= 0:
            at += 1
        while other_tokens[other_at] >= 0:
            other_at += 1
        if tokens[at] != other_tokens[other_at]:
            return False
        at, other_at = at + 1, other_at + 1
    return True


@njit(cache=True, nogil=True)
def _same_run(tokens, first, other_tokens, other_first, length):
    """Whether two runs of tokens of the same length are equal."""
    num_equal = 0
    while num_equal < length and tokens[first + num_equal] == other_tokens[other_first + num_equal]:
        num_equal += 1
    return num_equal == length


LEVELS = ("spanEM", "EM")


def scored_units(gold: FrameBank, preset: Preset) -> Units:
    """The units of both levels: distinct spans of words under gold's nodes, from the left, outer first; utterances.

    Several nodes over the same words are one unit.  The presets count the same units and differ in which are right.
    Raises ValueError for a bank without frames and for a frame with an empty node.  O(tokens).
    """
    utterances = np.arange(len(gold), dtype=np.int64)
    num_spans = _num_spans(_gold_rows(gold, np.arange(len(gold.labels))))
    return Units({"spanEM": np.repeat(utterances, num_spans), "EM": utterances}, len(gold))


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
    if pool.num_items != len(gold):
        raise ValueError(f"candidates of {pool.num_items} utterances, {len(gold)} gold frames")
    gold_names, names = _name_numbers(gold.labels, pool.labels, preset)
    return _judged(gold, gold_names, _pool_rows(pool, names), pool.num_candidates, preset)


def frame_correctness(
    gold: FrameBank, predicted: Sequence[Node | None], preset: Preset
) -> dict[str, Bool[np.ndarray, "unit"]]:
    """`correctness` of one prediction an utterance, from any parser: [unit] for each level.

    None stands for a prediction that is no tree.  Labels and words that gold does not have are wrong.
    """
    if len(predicted) != len(gold):
        raise ValueError(f"{len(predicted)} predictions, {len(gold)} gold frames")
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
    return (num_spans == 0).reshape(pool.num_candidates, pool.num_items)


def num_invalid(pool: FramePool) -> int:
    """How many candidates of all utterances are no tree.  O(codes)."""
    return int(invalid(pool).sum())


def _judged(
    gold: FrameBank, gold_names: Int64[np.ndarray, "gold_label"], predicted: Rows, num_candidates: int, preset: Preset
) -> dict[str, Bool[np.ndarray, "candidate unit"]]:
    gold_rows = _gold_rows(gold, gold_names)
    spans_right = np.empty((num_candidates, _num_spans(gold_rows).sum()), dtype=np.bool_)
    wholes_right = np.empty((num_candidates, len(gold)), dtype=np.bool_)
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
    if len(gold.frames) != len(gold):
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
