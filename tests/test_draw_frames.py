"""Frame drawings: what an update did to each span, nodes that do not touch, lines that are cut, escaping."""

import re
import xml.etree.ElementTree as ET
from itertools import pairwise

import numpy as np
import pytest
from random_frames import random_frame

from bcrlib.data.frames import Node, frame_words, parse_frame
from bcrlib.report import draw_frames
from bcrlib.report.draw_trees import NEGATIVE, POSITIVE, SAME, STILL_WRONG, WORD_SIZE, text_width

GOLD = parse_frame("[IN:FIND open [SL:PLACE [IN:NEAR bakeries here ] ] [SL:TIME today ] ]")
FLAT = parse_frame("[IN:FIND open [SL:PLACE bakeries here ] [SL:DAY today ] ]")
BOTH = parse_frame("[IN:FIND open [SL:PLACE bakeries here ] [SL:TIME today ] ]")
TEXTS = "{http://www.w3.org/2000/svg}text"

FORMS = ("a", "to", "bakeries", "wintergardens", "W", "日本語", "it", "here", "today", "open")


def random_frames(num_frames, seed):
    """Two frames each over the same words, up to ten of them."""
    rng = np.random.default_rng(seed)
    for _ in range(num_frames):
        words = FORMS[: rng.integers(1, len(FORMS) + 1)]
        yield words, random_frame(words, rng), random_frame(words, rng)


def texts(svg):
    return [element.text for element in ET.fromstring(svg).iter(TEXTS)]


def framed(svg, colour):
    """The frames around nodes in a colour: whether each is dashed. Without the sample of the legend."""
    return ["dasharray" in box for box in re.findall(rf'<rect x[^>]*stroke="{colour}" stroke-width="2.4"[^>]*/>', svg)]


def test_brackets_of_a_frame_by_hand():
    assert [(b.label, b.span, b.height, b.above) for b in draw_frames.brackets(GOLD)] == [
        ("IN:FIND", (0, 4), 2, -1),
        ("SL:PLACE", (1, 3), 1, 0),
        ("IN:NEAR", (1, 3), 0, 1),
        ("SL:TIME", (3, 4), 0, 0),
    ]
    assert draw_frames.chains(draw_frames.brackets(GOLD))[1, 3] == ("SL:PLACE", "IN:NEAR")


def contains(outer, inner):
    return outer.begin <= inner.begin and inner.stop <= outer.stop


def test_a_cut_keeps_what_is_over_its_words_and_nests_it_anew():
    """Brute force: the parent is the last bracket before that contains it, the height the longest way down."""
    for number, (words, frame, _) in enumerate(random_frames(200, seed=0)):
        first = number % len(words)
        stop = first + 1 + number // 3 % (len(words) - first)
        kept, part = set(range(first, stop)), draw_frames.cut(draw_frames.brackets(frame), first, stop)
        touching = [b for b in draw_frames.brackets(frame) if set(range(b.begin, b.stop)) & kept]
        assert [(b.label, b.span) for b in part] == [(b.label, b.span) for b in touching]
        for i, bracket in enumerate(part):
            assert set(range(bracket.begin, bracket.stop)) == set(range(*bracket.span)) & kept
            assert bracket.above == max((j for j in range(i) if contains(part[j], bracket)), default=-1)
            assert bracket.height == max((b.height + 1 for b in part if b.above == i), default=0)


def test_neither_words_nor_nodes_nor_the_stems_between_them_touch():
    """Two frames over one line of words: all pairs of a frame's nodes, every stem against all nodes of its frame."""
    for words, frame, other in random_frames(100, seed=1):
        sides = [draw_frames.brackets(frame), draw_frames.brackets(other)]
        line = draw_frames.place_words(words, [*sides[0], *sides[1]], 0, len(words), 40)
        half = [text_width(word, WORD_SIZE) / 2 for word in words]
        assert line.centres[0] - half[0] >= 40
        for (left, right), (before, after) in zip(pairwise(line.centres), pairwise(half)):
            assert right - left >= before + after + draw_frames.WORD_GAP - 1e-6
        for side in sides:
            assert_apart(side, line)


def assert_apart(side, line):
    boxes = [(line.middle(b) - b.width / 2, line.middle(b) + b.width / 2) for b in side]
    for i, (bracket, (left, right)) in enumerate(zip(side, boxes)):
        level = [boxes[j][1] for j in range(i) if side[j].height == bracket.height]
        assert all(left >= end + draw_frames.NODE_GAP - 1e-6 for end in level)
        passing = [line.middle(b) for b in side if not contains(bracket, b) and not contains(b, bracket)]
        passing += [x for word, x in enumerate(line.centres) if not bracket.begin <= word < bracket.stop]
        assert not any(left < x < right for x in passing)


def test_a_long_utterance_is_cut_between_its_brackets():
    names = [f"[SL:SLOT_NUMBER_{'ABCDEFGH'[i]} some four words here ]" for i in range(8)]
    frame = parse_frame(f"[IN:LIST {' and '.join(names)} ]")
    forms = frame_words(frame)
    lines = draw_frames.place_lines(forms, draw_frames.brackets(frame), 50, 800)
    assert len(lines) > 1 and [line.first for line in lines[1:]] == [line.stop for line in lines[:-1]]
    assert lines[0].first == 0 and lines[-1].stop == len(forms)
    assert all(line.edges[-1] < 900 for line in lines)
    slots = draw_frames.brackets(frame)[1:]
    assert all(not slot.begin < line.stop < slot.stop for line in lines[:-1] for slot in slots)
    assert [text for text in texts(draw_frames.draw_frame(frame)) if text in forms] == list(forms)


def test_a_word_longer_than_a_line_has_one_of_its_own():
    lines = draw_frames.place_lines(["a", "W" * 100, "b"], [draw_frames.Bracket("IN:A", 0, 3, (0, 3))], 10, 300)
    assert [(line.first, line.stop) for line in lines] == [(0, 1), (1, 2), (2, 3)]


def test_what_an_update_did_to_every_span():
    assert draw_frames.span_changes(GOLD, FLAT, GOLD) == {
        (0, 4): (SAME, True, True),
        (1, 3): (NEGATIVE, True, False),
        (3, 4): (NEGATIVE, True, False),
    }
    assert draw_frames.span_changes(FLAT, BOTH, GOLD)[1, 3] == (SAME, False, False)
    assert draw_frames.span_changes(FLAT, BOTH, GOLD)[3, 4] == (POSITIVE, False, True)
    longer = parse_frame("[IN:FIND open [SL:PLACE bakeries [SL:TIME here today ] ] ]")
    of_span = draw_frames.span_changes(longer, FLAT, GOLD)
    assert of_span[2, 4] == (POSITIVE, False, True)  # gone, and gold has none
    assert of_span[3, 4] == (STILL_WRONG, False, False)  # none before, another label than gold's now
    assert list(of_span) == [(0, 4), (1, 4), (1, 3), (2, 4), (3, 4)]


def test_a_negative_flip_is_framed_in_both_frames_and_dashed_in_the_new():
    svg = draw_frames.draw_frame_update(GOLD, FLAT, GOLD, old_name="old one", new_name="new one")
    assert framed(svg, NEGATIVE.colour) == [False] * 3 + [True] * 2
    assert framed(svg, POSITIVE.colour) == []
    shown = texts(svg)
    assert shown[0].startswith("Negative flip: ") and shown[1] == "Spans: 2 negative flips."
    assert shown[shown.index("old one") + 1] == "frame right" and shown[shown.index("new one") + 1] == "frame wrong"
    assert not any(text.startswith("Gold") for text in shown)


def test_the_other_verdicts():
    assert texts(draw_frames.draw_frame_update(FLAT, GOLD, GOLD))[:2] == [
        "Positive flip: the old model's frame is wrong, the new model's is right",
        "Spans: 2 positive flips.",
    ]
    assert texts(draw_frames.draw_frame_update(GOLD, GOLD, GOLD))[:2] == [
        "Both models' frames are right",
        "Spans: nothing changed.",
    ]
    both_wrong = texts(draw_frames.draw_frame_update(FLAT, BOTH, GOLD))
    assert both_wrong[:2] == ["Both models' frames are wrong", "Spans: 1 positive flip."]
    assert any(text.startswith("Gold: [IN:FIND open") for text in both_wrong)


def test_one_frame_beside_gold_shows_what_gold_has_instead():
    assert framed(draw_frames.draw_frame(FLAT), draw_frames.WRONG.colour) == []
    svg = draw_frames.draw_frame(FLAT, gold=GOLD)
    assert (
        framed(svg, draw_frames.WRONG.colour) == [True, True] and framed(svg, draw_frames.MISSED.colour) == [False] * 3
    )
    assert texts(svg).count("FIND") == 1 and texts(svg).count("NEAR") == 1
    assert texts(draw_frames.draw_frame(GOLD, gold=GOLD)) == texts(draw_frames.draw_frame(GOLD))


def test_drawing_is_well_formed_whatever_the_words_and_labels():
    frame = Node("SL:<B>", ("<i>", "&amp;", "\"q'", "\x07bell", "日本語"))
    svg = draw_frames.draw_frame_update(frame, frame, frame, old_name="<old>", title="a < b & c")
    assert {"<B>", "<i>", "&amp;", "\"q'", "\ufffdbell", "日本語", "<old>", "a < b & c"} <= set(texts(svg))


def test_frames_over_other_words_are_refused():
    with pytest.raises(ValueError, match="other words than 'open bakeries here today'"):
        draw_frames.draw_frame(GOLD, gold=Node("IN:FIND", ("open",)))
    with pytest.raises(ValueError, match="without words"):
        draw_frames.draw_frame(Node("IN:FIND", ("open", Node("SL:TIME", ()))))
