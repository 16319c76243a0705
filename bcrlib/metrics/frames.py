"""Which spans and which whole frames a semantic parser gets right: span EM and EM before any averaging.

A *unit* of span EM is a span of words under one or more nodes of the gold frame, one of EM an utterance.

Frames are compared as texts of one character a bracket or word: its code (bcrlib.data.frames) over the labels of gold
and predictions, where a word is numbered by the first place in its utterance that has the same text.  In such a text a
sub-tree is a run of characters, and the nodes over one span of words are opening brackets next to each other.
"""

import re
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from jaxtyping import Bool

from bcrlib.data.frame_candidates import FramePool
from bcrlib.data.frames import BROKEN, CLOSE, END, OPEN, FrameBank, Node, frame_tokens, recoded, word_code
from bcrlib.data.presets import Preset
from bcrlib.metrics.flips import Units

LEVELS = ("spanEM", "EM")
_BROKEN = chr(BROKEN % 2**16)

Span = tuple[int, int]
"""First word and end."""


def scored_units(gold: FrameBank, preset: Preset) -> Units:
    """The units of both levels: distinct spans of words under gold's nodes, from the left, outer first; utterances.

    Several nodes over the same words are one unit.  The presets count the same units and differ in which are right.
    Raises ValueError for a bank without frames and for a frame with an empty node.  O(tokens).
    """
    num_spans = [len(_spans(text, len(gold.labels))) for text in _gold_texts(gold, gold.labels)]
    utterances = np.arange(len(gold), dtype=np.int64)
    return Units({"spanEM": utterances.repeat(num_spans), "EM": utterances}, len(gold))


def correctness(gold: FrameBank, pool: FramePool, preset: Preset) -> dict[str, Bool[np.ndarray, "candidate unit"]]:
    """Which units of each level are right in each candidate, in the order of `scored_units`.

    EM: the whole frame is gold's, words compared as text.  Span EM, of a gold span that nodes of the candidate are over
    as well, the same words at the same place from the left: under "labelled" (the paper's definition) these nodes have
    the labels of gold's nodes, from the outside in; under "subtree" (the authors' code, protocol 5.3) everything from
    the outermost node downwards is the same.  Under "subtree" both levels compare labels by the name behind the
    colon alone.  What is not a tree is wrong everywhere, what the candidate adds to gold's spans is not looked at.

    Raises ValueError for another number of utterances, and as `scored_units`.  O(codes), 8,241 utterances with 10
    candidates in well under a second.
    """
    if pool.num_items != len(gold):
        raise ValueError(f"candidates of {pool.num_items} utterances, {len(gold)} gold frames")
    labels = tuple(dict.fromkeys((*gold.labels, *pool.labels)))
    return _judged(gold, _pool_texts(pool, labels, gold.utterances), labels, preset)


def frame_correctness(
    gold: FrameBank, predicted: Sequence[Node | None], preset: Preset
) -> dict[str, Bool[np.ndarray, "unit"]]:
    """`correctness` of one prediction an utterance, from any parser: [unit] for each level.

    None stands for a prediction that is not a tree.  Labels and words that gold does not have are wrong.
    """
    if len(predicted) != len(gold):
        raise ValueError(f"{len(predicted)} predictions, {len(gold)} gold frames")
    found = (text for frame in predicted if frame for kind, text in frame_tokens(frame) if kind == OPEN)
    labels = tuple(dict.fromkeys((*gold.labels, *found)))
    right = _judged(gold, [list(_frame_texts(predicted, labels, gold.utterances))], labels, preset)
    return {level: candidates[0] for level, candidates in right.items()}


def invalid(pool: FramePool) -> Bool[np.ndarray, "candidate utterance"]:
    """Which candidates are not trees: broken, empty, unclosed, an empty or a wrongly labelled bracket, several roots.

    O(codes).
    """
    texts = _pool_texts(pool, pool.labels, [()] * pool.num_items)  # no word is known: all are the same
    broken = {text for text in set().union(*texts) if not _spans(text, len(pool.labels))}
    return np.array([[text in broken for text in row] for row in texts], bool).reshape(pool.sequences.shape[:2])


def num_invalid(pool: FramePool) -> int:
    """How many candidates of all utterances are not trees.  O(codes)."""
    return int(invalid(pool).sum())


def _judged(
    gold: FrameBank, texts: Sequence[Sequence[str]], labels: Sequence[str], preset: Preset
) -> dict[str, Bool[np.ndarray, "candidate unit"]]:
    """`correctness` of candidates with these texts [candidate][utterance]; equal ones are judged once."""
    by_subtree, names = preset.span_em == "subtree", [label.partition(":")[2] for label in labels]
    of_one_name = [(1 + i, 1 + names.index(name)) for i, name in enumerate(names) if by_subtree]
    renamed = [(chr(of + shift), chr(to + shift)) for of, to in of_one_name if to < of for shift in (0, len(labels))]
    brackets = re.compile(f"[\0-{chr(2 * len(labels))}]")

    def compared(text: str) -> tuple[str, dict[Span, str]]:
        """The whole and its spans by what must be equal; "" and no span of what is not a tree."""
        spans = _spans(text, len(labels))
        for of, to in renamed:  # only now, since a bracket is closed by its own label alone
            text = text.replace(of, to)
        if by_subtree:
            return text if spans else "", {span: text[begin:end] for span, (begin, end, _) in spans.items()}
        words = brackets.sub("", text)
        return text if spans else "", {
            (first, last): text[begin : begin + num_nodes] + words[first:last]
            for (first, last), (begin, _, num_nodes) in spans.items()
        }

    spans_right: list[list[bool]] = [[] for _ in texts]
    wholes_right: list[list[bool]] = [[] for _ in texts]
    for utterance, gold_text in enumerate(_gold_texts(gold, labels)):
        gold_whole, gold_spans = compared(gold_text)
        judged = {gold_text: ([True] * len(gold_spans), True)}
        for candidate, of_utterance in enumerate(texts):
            text = of_utterance[utterance]
            if text not in judged:
                whole, spans = compared(text)
                judged[text] = [spans.get(span) == part for span, part in gold_spans.items()], whole == gold_whole
            spans_right[candidate] += judged[text][0]
            wholes_right[candidate].append(judged[text][1])
    return {"spanEM": np.array(spans_right, dtype=bool), "EM": np.array(wholes_right, dtype=bool)}


def _spans(text: str, num_labels: int) -> dict[Span, tuple[int, int, int]]:
    """The spans of words under nodes, from the left, outer first; none of a text that is not a tree.

    Of each: where its outermost node begins and ends in the text, and how many nodes are over it.
    """
    last_opening, last_bracket = chr(num_labels), chr(2 * num_labels)
    spans: dict[Span, tuple[int, int, int]] = {}
    pending: list[tuple[int, int, str]] = []  # place, words before it, and closing bracket of every open one
    num_words = end = 0
    for place, code in enumerate(text):
        if code > last_bracket:
            num_words += 1
        elif code <= last_opening:
            if place and not pending:
                return {}  # something outside the root
            pending.append((place, num_words, chr(ord(code) + num_labels)))
        else:
            begin, first, closing = pending.pop() if pending else (0, 0, "")
            if code != closing or first == num_words:
                return {}  # another label is open, or none; a bracket around nothing
            span, end = (first, num_words), place + 1
            spans[span] = begin, end, spans[span][2] + 1 if span in spans else 1
    is_tree = end == len(text) and not pending and _BROKEN not in text
    return dict(sorted(spans.items(), key=lambda item: item[1])) if is_tree else {}


def _gold_texts(gold: FrameBank, labels: Sequence[str]) -> Iterator[str]:
    if len(gold.frames) != len(gold):
        raise ValueError("utterances without gold frames")
    for utterance, text in enumerate(_frame_texts(gold.frames, labels, gold.utterances)):
        if not _spans(text, len(labels)):
            raise ValueError(f"gold frame {utterance} has a node without words")
        yield text


def _frame_texts(
    frames: Iterable[Node | None], labels: Sequence[str], utterances: Sequence[tuple[str, ...]]
) -> Iterator[str]:
    """The text of one frame an utterance; a word that the utterance does not have is one behind its last."""
    first_word = word_code(0, len(labels))
    brackets = {(OPEN, label): chr(1 + i) for i, label in enumerate(labels)}
    brackets |= {(CLOSE, label): chr(1 + len(labels) + i) for i, label in enumerate(labels)}
    for frame, words in zip(frames, utterances):
        places = {word: chr(first_word + words.index(word)) for word in words}
        unknown = chr(first_word + len(words))
        tokens = () if frame is None else frame_tokens(frame)
        yield "".join([brackets.get(token) or places.get(token[1], unknown) for token in tokens])


def _pool_texts(pool: FramePool, labels: Sequence[str], utterances: Sequence[tuple[str, ...]]) -> list[list[str]]:
    """The texts of all candidates [candidate][utterance], of the same characters as `_frame_texts`."""
    first_word, longest = word_code(0, len(labels)), max(map(len, utterances), default=0)
    word_codes = np.full((len(utterances), longest + 1), first_word + longest, dtype=np.int16)
    for row, words in zip(word_codes, utterances):
        row[: len(words)] = [first_word + words.index(word) for word in words]
    codes = recoded(pool.sequences, pool.labels, labels)
    places = np.clip(codes - np.int16(first_word), 0, longest)
    codes = np.where(codes < first_word, codes, np.take_along_axis(word_codes[None], places, axis=2))
    codes = np.pad(codes, ((0, 0), (0, 0), (0, 1)), constant_values=END)  # numpy's texts end before it
    return codes.astype("u2").astype("u4").view(f"U{codes.shape[2]}")[..., 0].tolist()
