"""Frames in and out of text and of numbers, what is not a frame and why, and banks of them."""

import pickle
import re

import numpy as np
import pytest
from random_frames import LABELS, random_frame_bank
from random_trees import random_treebank

from bcrlib.data.frames import (
    BROKEN,
    END,
    FrameBank,
    FrameError,
    Node,
    frame_of,
    frame_text,
    frame_words,
    parse_frame,
    sequence_of,
    sequences_of,
    word_code,
)

TEXT = "[IN:GET_EVENT what is [SL:DATE_TIME on [SL:DATE tonight ] ] ]"
FRAME = Node("IN:GET_EVENT", ("what", "is", Node("SL:DATE_TIME", ("on", Node("SL:DATE", ("tonight",))))))


def test_a_text_and_its_frame():
    assert parse_frame(TEXT) == FRAME
    assert frame_text(FRAME) == TEXT
    assert frame_words(FRAME) == ("what", "is", "on", "tonight")


def recursive_text(node: Node | str) -> str:
    if isinstance(node, str):
        return node
    return f"[{node.label} {' '.join(map(recursive_text, node.children))} ]"


def test_random_frames_come_back_and_read_as_a_recursive_writer_writes_them():
    bank = random_frame_bank(300, np.random.default_rng(1))
    for words, frame in zip(bank.utterances, bank.frames):
        assert frame_text(frame) == recursive_text(frame)
        assert parse_frame(frame_text(frame)) == frame
        assert frame_words(frame) == words


def test_a_frame_deeper_than_any_recursion_comes_back():
    text = "[SL:A " * 50_000 + "x" + " ]" * 50_000
    frame = parse_frame(text)
    assert frame_text(frame) == text
    assert frame_words(frame) == ("x",)
    while frame.children != ("x",):  # freed from the outside in: freeing at once would recurse
        frame = frame.children[0]


@pytest.mark.parametrize(
    "text, reason",
    [
        ("", "single spaces"),
        ("[IN:A  x ]", "single spaces"),
        (" [IN:A x ]", "single spaces"),
        ("[IN:A x ] ", "single spaces"),
        ("x", "'x' stands outside"),
        ("x [IN:A y ]", "'x' stands outside"),
        ("[IN:A y ] x", "'x' stands outside"),
        ("]", "without an open one"),
        ("[IN:A x ] ]", "without an open one"),
        ("[IN:A x ] [IN:B y ]", r"several roots: \[IN:B"),
        ("[IN:A ]", r"empty bracket \[IN:A \]"),
        ("[IN:A x [SL:B ] ]", r"empty bracket \[SL:B \]"),
        ("[IN:A x [SL:B y ]", r"\[IN:A is never closed"),
        ("[IN:A x [SL:B y", r"\[SL:B is never closed"),
        ("[IN:A x]", r"\[IN:A is never closed .*space on either side"),
        ("[IN:A", r"\[IN:A is never closed"),
        ("[A x ]", r"'\[A' is not an opening bracket"),
        ("[IN:A [x ] ]", r"'\[x' is not an opening bracket"),
        ("[IN: x ]", "is not an opening bracket"),
        ("[in:a x ]", "is not an opening bracket"),
        ("[IN:A-B x ]", "is not an opening bracket"),
        ("[XIN:A x ]", "is not an opening bracket"),
        ("[ IN:A x ]", "is not an opening bracket"),
        ("[IN:A\tx ]", "is not an opening bracket"),
    ],
)
def test_what_is_no_frame_says_why(text, reason):
    with pytest.raises(FrameError, match=reason):
        parse_frame(text)


@pytest.mark.parametrize("label", ["IN:A", "SL:A_B2"])
@pytest.mark.parametrize("word", ["a]", ":]", "]]", "a[b", "x[", "IN:A", "\xa0"])
def test_all_but_brackets_are_words(label, word):
    assert parse_frame(f"[{label} {word} ]") == Node(label, (word,))


BANK = FrameBank(
    (("a", "b"), ("c",), ("d",)),
    (Node("SL:X", ("a", Node("IN:B", ("b",)))), Node("IN:A", ("c",)), Node("IN:A", ("d",))),
)


def test_labels_of_a_bank_are_sorted_and_there_once():
    assert BANK.labels == ("IN:A", "IN:B", "SL:X")
    assert BANK.select([1, 2]).labels == ("IN:A",)
    assert FrameBank(BANK.utterances, ()).labels == ()


def test_rows_are_those_asked_for_in_that_order():
    chosen = BANK.select(np.array([2, 0, 2]))
    assert chosen.utterances == (("d",), ("a", "b"), ("d",))
    assert chosen.frames == (BANK.frames[2], BANK.frames[0], BANK.frames[2])
    assert len(BANK.select([])) == 0
    text = FrameBank(BANK.utterances, ()).select([1])
    assert (text.utterances, text.frames) == ((("c",),), ())


@pytest.mark.parametrize("row", [-1, 3])
def test_rows_outside_the_bank_are_refused(row):
    with pytest.raises(IndexError, match=r"0\.\.2"):
        BANK.select([0, row])


def test_other_frames_over_the_same_words():
    new = [Node("IN:Z", ("a", "b")), *BANK.frames[1:]]
    assert BANK.with_frames(new).frames == tuple(new)
    assert BANK.with_frames(new).labels == ("IN:A", "IN:Z")
    assert FrameBank(BANK.utterances, ()).with_frames(BANK.frames).frames == BANK.frames


def test_frames_of_other_utterances_are_refused():
    with pytest.raises(ValueError, match="2 frames for 3 utterances"):
        BANK.with_frames(BANK.frames[:2])
    with pytest.raises(ValueError, match="frame 1 is not"):
        BANK.with_frames([BANK.frames[0], BANK.frames[2], BANK.frames[1]])
    with pytest.raises(ValueError, match="1 frames for 3 utterances"):
        FrameBank(BANK.utterances, BANK.frames[:1])


def test_a_bank_can_be_sent_to_another_process():
    copy = pickle.loads(pickle.dumps(BANK))
    assert (copy.utterances, copy.frames, copy.labels) == (BANK.utterances, BANK.frames, BANK.labels)


PAIR = ("IN:A", "SL:B")  # opened by 1 and 2, closed by 3 and 4; words from 5
CODED = Node("IN:A", ("x", Node("SL:B", ("y", "x"))))


def test_codes_of_a_frame():
    assert sequence_of(CODED, {"IN:A": 0, "SL:B": 1}) == [1, 5, 2, 6, 7, 4, 3]
    assert word_code(2, num_labels=2) == 7


def test_codes_of_a_bank_are_filled_up_with_end():
    bank = FrameBank((("x", "y", "x"), ("z",)), (CODED, Node("SL:B", ("z",))))
    expected = np.array([[1, 5, 2, 6, 7, 4, 3], [2, 5, 4, END, END, END, END]], dtype=np.int16)
    np.testing.assert_array_equal(sequences_of(bank, PAIR), expected, strict=True)
    assert sequences_of(FrameBank((), ()), PAIR).shape == (0, 0)


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


def test_codes_are_those_of_the_text_token_by_token_and_random_frames_come_back_from_them():
    bank = random_frame_bank(300, np.random.default_rng(1))
    for sequence, words, frame in zip(sequences_of(bank, LABELS), bank.utterances, bank.frames):
        assert [code for code in sequence.tolist() if code != END] == recoded(frame, LABELS)
        assert frame_of(sequence, LABELS, words) == frame


def test_unknown_labels_are_refused():
    with pytest.raises(FrameError, match="unknown label SL:B"):
        sequence_of(CODED, {"IN:A": 0})
    with pytest.raises(FrameError, match="unknown label IN:A"):
        sequences_of(FrameBank((("x", "y", "x"),), (CODED,)), ("SL:B",))


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
def test_what_spells_no_tree_says_why(sequence, reason):
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


NUMBERED = FrameBank(tuple((f"w{i}",) for i in range(50)), tuple(Node("IN:A", (f"w{i}",)) for i in range(50)))


def rows_of(share: float, seed: int) -> list[int]:
    part = NUMBERED.part(share, seed)
    assert [node.children for node in part.frames] == list(part.utterances)  # frames go with their words
    return [int(words[0][1:]) for words in part.utterances]


@pytest.mark.parametrize("seed", range(5))
def test_a_part_has_its_share_of_rows_in_their_order_and_holds_every_smaller_one(seed):
    smaller: set[int] = set()
    for share in (0.02, 0.3, 0.5, 0.79, 0.8, 1.0):
        rows = rows_of(share, seed)
        assert len(rows) == round(50 * share)
        assert rows == sorted(set(rows))
        assert smaller <= set(rows)
        smaller = set(rows)


def test_the_whole_is_the_bank_and_seeds_choose_differently():
    assert rows_of(1.0, 3) == list(range(50))
    parts = {tuple(rows_of(0.8, seed)) for seed in range(20)}
    assert len(parts) == 20
    left_out = [set(range(50)) - set(part) for part in parts]
    assert set.union(*left_out) == set(range(50))  # no row is always seen


def test_the_same_rows_of_a_treebank():
    treebank = random_treebank(50, np.random.default_rng(1))
    part = treebank.part(0.3, 2)
    assert part.lengths.tolist() == treebank.lengths[rows_of(0.3, 2)].tolist()
    assert treebank.part(1.0, 2).forms == treebank.forms


@pytest.mark.parametrize("share", [0, -0.5, 1.01])
def test_a_share_is_a_share(share):
    with pytest.raises(ValueError, match=r"\(0, 1\]"):
        NUMBERED.part(share, 1)
