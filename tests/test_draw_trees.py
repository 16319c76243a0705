"""Tree drawings: colours by flip, arcs that do not collide, escaping, determinism."""

import re
import xml.etree.ElementTree as ET
from html import escape

import numpy as np
import pytest
from random_trees import random_heads

from bcrlib.report import draw_trees

FORMS = ["She", "saw", "stars", "with", "glass"]
UPOS = ["PRON", "VERB", "NOUN", "ADP", "NOUN"]
RELATIONS = ["nsubj", "root", "obj", "case", "obl"]
GOLD = [2, 0, 2, 5, 2]
NEW = [2, 0, 2, 5, 3]


def draw(old=GOLD, new=NEW, gold=GOLD, forms=FORMS, new_relations=RELATIONS, **options):
    return draw_trees.draw_update(forms, UPOS, old, RELATIONS, new, new_relations, gold, RELATIONS, **options)


def test_the_four_kinds_of_change():
    gold, old, new = [1, 1, 1, 1, 1], [1, 2, 2, 2, 1], [2, 1, 3, 2, 1]
    kinds, old_right, new_right = draw_trees.changes(old, new, gold)
    assert kinds == [draw_trees.NEGATIVE, draw_trees.POSITIVE, draw_trees.STILL_WRONG, draw_trees.SAME, draw_trees.SAME]
    assert old_right == [True, False, False, False, True]
    assert new_right == [False, True, False, False, True]
    assert draw_trees.summary(kinds) == "1 negative flip; 1 positive flip; 1 changed, both wrong"
    assert draw_trees.summary([draw_trees.SAME]) == "nothing changed"


def arcs_by_colour(svg, colour):
    return re.findall(rf'<path d="M[^"]*" fill="none" stroke="{colour}"[^>]*>', svg)


def test_a_negative_flip_is_coloured_in_both_trees_and_dashed_in_the_new():
    lines = [line for line in arcs_by_colour(draw(), draw_trees.NEGATIVE.colour) if 'stroke-width="2"' in line]
    assert ["dasharray" in line for line in lines] == [False, True]
    assert "1 negative flip" in draw() and not arcs_by_colour(draw(), draw_trees.POSITIVE.colour)
    back = draw(old=NEW, new=GOLD)
    assert "1 positive flip" in back and "negative flip" not in back


def test_relations_count_only_when_labelled():
    other = [*RELATIONS[:4], "nmod"]
    assert "1 negative flip" in draw(new=GOLD, new_relations=other)
    assert "Nothing changed" in draw(new=GOLD, new_relations=other, labelled=False)


def test_drawing_is_well_formed_whatever_the_words():
    forms = ["<b>", "&amp;", "\"q'", "\x07bell", "日本語"]
    svg = draw(forms=forms, old_name="<old>", title="a < b & c")
    root = ET.fromstring(svg)
    texts = [element.text for element in root.iter("{http://www.w3.org/2000/svg}text")]
    assert {"<b>", "&amp;", "\"q'", "\ufffdbell", "日本語", "<old>", "a < b & c"} <= set(texts)
    assert escape("<b>") in svg and "<b>" not in svg


@pytest.mark.parametrize(
    ("changed", "fault"),
    [
        ({"new": [2, 0, 2, 5, 6]}, "word 5 cannot have head 6"),
        ({"old": [1, 0, 2, 5, 2]}, "word 1 cannot have head 1"),
        ({"gold": [2, 0]}, "one item a word"),
    ],
)
def test_impossible_trees_are_refused(changed, fault):
    with pytest.raises(ValueError, match=fault):
        draw(**changed)


def test_arcs_never_lie_on_each_other():
    """Brute force over all pairs: overlapping arcs differ in level, and the outer one is higher."""
    rng = np.random.default_rng(0)
    for _ in range(200):
        heads = random_heads(int(rng.integers(1, 12)), rng).tolist()
        arcs = draw_trees.place_arcs(heads, ["x"] * len(heads))
        assert sorted(a.dependent for a in arcs) == list(range(1, len(heads) + 1))
        spans = [(min(a.dependent, a.head), max(a.dependent, a.head), a.level) for a in arcs if a.head]
        for i, (l1, r1, level1) in enumerate(spans):
            for l2, r2, level2 in spans[i + 1 :]:
                if l1 < r2 and l2 < r1:
                    assert level1 != level2
                    if l1 <= l2 and r2 <= r1 and (l1, r1) != (l2, r2):
                        assert level1 > level2
        assert all(arc.level > max((s[2] for s in spans), default=0) for arc in arcs if not arc.head)


def test_no_leg_crosses_an_arc_of_its_own_word():
    rng = np.random.default_rng(1)
    for _ in range(100):
        heads = random_heads(int(rng.integers(2, 12)), rng).tolist()
        arcs = draw_trees.place_arcs(heads, ["x"] * len(heads))
        centres = draw_trees.place_words(["w"] * len(heads), ["X"] * len(heads), arcs, 50)
        port = draw_trees.ports(arcs, centres)
        spans = {a.dependent: sorted((port[a.dependent, a.dependent], port[a.dependent, a.head]))
                 for a in arcs if a.head}  # fmt: skip
        for (dependent, word), x in port.items():
            level = next(a.level for a in arcs if a.dependent == dependent)
            for other in arcs:
                if other.head and word in (other.dependent, other.head) and other.level < level:
                    left, right = spans[other.dependent]
                    assert not left < x < right


def test_words_and_labels_have_room():
    arcs = draw_trees.place_arcs([2, 0], ["a-very-long-relation:name", "root"])
    centres = draw_trees.place_words(["a", "b"], ["X", "X"], arcs, 50)
    assert centres[2] - centres[1] > 0.5 * 11 * len("a-very-long-relation:name")


def test_one_tree_has_an_arc_a_word_and_colours_those_marked():
    svg = draw_trees.draw_tree(FORMS, UPOS, GOLD, RELATIONS, marked=[4, 5], title="A & B")
    ET.fromstring(svg)
    assert "A &amp; B" in svg and all(f">{form}</text>" in svg for form in FORMS)
    assert (
        len(arcs_by_colour(svg, draw_trees.MARKED.colour)) == 2
        and len(arcs_by_colour(svg, draw_trees.SAME.colour)) == 3
    )
    assert "dasharray" not in svg
    assert not arcs_by_colour(draw_trees.draw_tree(FORMS, UPOS, GOLD, RELATIONS), draw_trees.MARKED.colour)
    with pytest.raises(ValueError, match="head 9"):
        draw_trees.draw_tree(FORMS, UPOS, [2, 0, 2, 9, 2], RELATIONS)
