"""Bracket sequences of predictions against those of gold frames, in compiled loops: which spans and wholes are right.

Codes are those of bcrlib.data.bracket_sequences. In a sequence a sub-tree is a run of codes, and the nodes over one
span of words are opening brackets next to each other: both are compared as runs, and no tree is built.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Int32, Int64
from numba import njit

from bcrlib.data.bracket_sequences import END

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
