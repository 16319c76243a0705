"""Frames in and out of text, what is no frame and why, and banks of them."""

import pickle

import numpy as np
import pytest
from random_frames import random_frame_bank

from bcrlib.data.frames import FrameBank, FrameError, Node, frame_text, frame_words, parse_frame

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
        ("[A x ]", r"'\[A' is no opening bracket"),
        ("[IN:A [x ] ]", r"'\[x' is no opening bracket"),
        ("[IN: x ]", "is no opening bracket"),
        ("[in:a x ]", "is no opening bracket"),
        ("[IN:A-B x ]", "is no opening bracket"),
        ("[XIN:A x ]", "is no opening bracket"),
        ("[ IN:A x ]", "is no opening bracket"),
        ("[IN:A\tx ]", "is no opening bracket"),
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
