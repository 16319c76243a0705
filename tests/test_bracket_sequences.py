"""Frames as numbers and back; numbers that are no frame."""

import re

import numpy as np
import pytest
from random_frames import LABELS, random_frame_bank

from bcrlib.data.frames import (
    BROKEN,
    END,
    FrameBank,
    FrameError,
    Node,
    frame_of,
    frame_text,
    sequence_of,
    sequences_of,
    word_code,
)

PAIR = ("IN:A", "SL:B")  # opened by 1 and 2, closed by 3 and 4; words from 5
FRAME = Node("IN:A", ("x", Node("SL:B", ("y", "x"))))


def test_codes_of_a_frame():
    assert sequence_of(FRAME, {"IN:A": 0, "SL:B": 1}) == [1, 5, 2, 6, 7, 4, 3]
    assert word_code(2, num_labels=2) == 7


def test_codes_of_a_bank_are_filled_up_with_end():
    bank = FrameBank((("x", "y", "x"), ("z",)), (FRAME, Node("SL:B", ("z",))))
    expected = np.array([[1, 5, 2, 6, 7, 4, 3], [2, 5, 4, END, END, END, END]], dtype=np.int16)
    np.testing.assert_array_equal(sequences_of(bank, PAIR), expected, strict=True)
    assert sequences_of(FrameBank((), ()), PAIR).shape == (0, 0)


def test_random_frames_come_back():
    bank = random_frame_bank(300, np.random.default_rng(1))
    for sequence, words, frame in zip(sequences_of(bank, LABELS), bank.utterances, bank.frames):
        assert frame_of(sequence, LABELS, words) == frame


def recoded(frame: Node, labels: tuple[str, ...]) -> list[int]:
    """Token by token from the text, as the authors' closing brackets."""
    codes, pending, num_words = [], [], 0
    for token in frame_text(frame).split(" "):
        if token == "]":
            codes.append(1 + len(labels) + labels.index(pending.pop()))
        elif token.startswith("["):
            pending.append(token[1:])
            codes.append(1 + labels.index(token[1:]))
        else:
            codes.append(1 + 2 * len(labels) + num_words)
            num_words += 1
    return codes


def test_codes_are_those_of_the_text_token_by_token():
    for frame in random_frame_bank(200, np.random.default_rng(2)).frames:
        index = {label: i for i, label in enumerate(LABELS)}
        assert sequence_of(frame, index) == recoded(frame, LABELS)


def test_unknown_labels_are_refused():
    with pytest.raises(FrameError, match="unknown label SL:B"):
        sequence_of(FRAME, {"IN:A": 0})
    with pytest.raises(FrameError, match="unknown label IN:A"):
        sequences_of(FrameBank((("x", "y", "x"),), (FRAME,)), ("SL:B",))


@pytest.mark.parametrize(
    "sequence, reason",
    [
        ([], "no bracket"),
        ([END, 1, 5, 3], "no bracket"),
        ([BROKEN], "whole words"),
        ([1, 5, BROKEN, 3], "whole words"),
        ([1, 5, 8, 3], "code 8 stands for nothing"),
        ([1, 5, -2, 3], "code -2 stands for nothing"),
        ([1, 5, 4], r"\[IN:A is closed by SL:B \]"),
        ([1, 2, 5, 3, 4], r"\[SL:B is closed by IN:A \]"),
        ([1, 3], "empty bracket"),
        ([1, 5], "never closed"),
        ([1, 5, END, 3], "never closed"),
        ([1, 5, 3, 3], "without an open one"),
        ([1, 5, 3, 6], "outside"),
        ([1, 5, 3, 2, 5, 4], "several roots"),
    ],
)
def test_what_is_no_tree_says_why(sequence, reason):
    with pytest.raises(FrameError, match=reason):
        frame_of(sequence, PAIR, ("x", "y", "z"))


def test_words_may_come_in_any_order_and_what_follows_the_end_is_not_read():
    sequence = np.array([2, 6, 6, 5, 4, END, 4, BROKEN], dtype=np.int16)
    assert frame_of(sequence, PAIR, ("x", "y", "z")) == Node("SL:B", ("y", "y", "x"))


def is_tree(codes: list[int]) -> bool:
    """Whether codes over PAIR and one word (5) are a tree, by erasing innermost brackets."""
    text, shorter = "", "".join({1: "(", 2: "<", 3: ")", 4: ">", 5: "w"}[code] for code in codes)
    while shorter != text:
        text, shorter = shorter, re.sub(r"\([wn]+\)|<[wn]+>", "n", shorter)
    return text == "n"


def test_every_short_sequence_is_a_tree_exactly_where_erasing_brackets_leaves_a_root():
    num_trees = 0
    for number in range(5**6):
        codes = [number // 5**i % 5 + 1 for i in range(6)]
        try:
            frame_of(codes, PAIR, ("w",))
            found = True
        except FrameError:
            found = False
        assert found == is_tree(codes), codes
        num_trees += found
    assert num_trees > 0
