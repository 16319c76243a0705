"""How candidates come about in pictures: stacks, shared prefixes, and what the animation of dropout-p shows when."""

import re
import xml.etree.ElementTree as ET
from functools import partial

import numpy as np
import pytest
from random_trees import random_heads

from bcrlib.report import decoding
from bcrlib.samplers.derivations import derivations, prefix_tree

FORMS = ["She", "ate", "pizza", "with", "friends"]
TREES = np.array([[0, 2, 0, 2, 5, 2], [0, 2, 0, 2, 5, 3], [0, 2, 0, 2, 2, 3], [0, 2, 0, 2, 5, 2]])


def derived(trees):
    return derivations(trees, np.full(len(trees), trees.shape[1]))


def shared(steps, num_positions):
    num_trees = len(steps.word)
    return prefix_tree(steps, np.zeros(num_trees, dtype=np.int64), np.full(num_trees, num_positions))


def test_steps_of_a_sentence_written_out():
    rows = decoding.step_rows(FORMS, derived(TREES), tree=1)
    told = [" ".join(map(str, row)) for row in rows.itertuples(index=False)]
    assert told == [
        "1 root attach ate",
        "2 root ate attach She",
        "3 root ate She finish She",
        "4 root ate attach pizza",
        "5 root ate pizza attach friends",
        "6 root ate pizza friends attach with",
        "7 root ate pizza friends with finish with",
        "8 root ate pizza friends finish friends",
        "9 root ate pizza finish pizza",
        "10 root ate finish ate",
        "11 root finish root",
    ]


@pytest.mark.parametrize("seed", range(20))
def test_the_stack_is_the_way_from_the_root_to_the_top(seed):
    heads = np.array([[0, *random_heads(9, np.random.default_rng(seed))]])
    steps = derived(heads)
    for stack, top in zip(decoding.stacks(steps), steps.top[0]):
        assert stack[0] == 0 and stack[-1] == top
        assert [heads[0, word] for word in stack[1:]] == stack[:-1]


def test_every_step_has_a_box_for_each_word_on_the_stack_and_for_a_new_one():
    steps = derived(TREES)
    (axes,) = decoding.stack_figure(FORMS, steps, "A claim").axes
    num_attached = int((steps.word[0] != steps.top[0]).sum())
    assert num_attached == len(FORMS)
    assert len(axes.patches) == sum(map(len, decoding.stacks(steps))) + num_attached
    assert axes.get_xlabel() == "step"


def test_nodes_stand_between_the_trees_that_share_them():
    steps = derived(TREES)
    rows = decoding.prefix_rows(steps, shared(steps, 6))
    order = decoding.by_shared_prefix(steps).tolist()
    for row in rows.itertuples():
        prefix = {tuple(steps.word[tree, : row.step - 1]) for tree in range(len(TREES))}
        groups = [
            [place for place, tree in enumerate(order) if tuple(steps.word[tree, : row.step - 1]) == own]
            for own in prefix
        ]
        assert (row.trees, row.place) in [(len(group), np.mean(group)) for group in groups]
    assert rows["trees"].groupby(rows["step"]).sum().tolist() == [4] * 11
    assert (rows["step"] - rows["step"][rows["parent"]].to_numpy()).tolist() == [0] + [1] * (len(rows) - 1)


def test_the_picture_has_a_dot_a_node_and_a_name_a_tree():
    steps = derived(TREES)
    prefixes = shared(steps, 6)
    axes = decoding.prefix_figure(["a", "b", "c", "d"], steps, prefixes, "A claim").axes[0]
    assert len(axes.collections[0].get_offsets()) == len(prefixes.parent)
    order = decoding.by_shared_prefix(steps)
    assert [label.get_text() for label in axes.get_yticklabels()] == ["abcd"[tree] for tree in order]


UTTERANCE = ("open", "bakeries", "<here>")
FLAT = "[IN:FIND open [SL:PLACE bakeries <here> ] ]"
DEEP = "[IN:FIND open [SL:PLACE [IN:NEAR bakeries <here> ] ] ]"
POOL = [(FLAT, -2.5, False), (DEEP, -0.5, True), ("[IN:FIND open", float("-inf"), False), (FLAT, -2.5, False)]
TOTAL = decoding.SECONDS_A_SAMPLE * len(POOL) + decoding.SECONDS_OF_CHOICE
SVG = "{http://www.w3.org/2000/svg}"
animate = partial(decoding.animate_dropout, UTTERANCE, POOL, 1, p=0.4, seed=7)


def opacity_at(style, names, seconds):
    """A class attribute's opacity that long after the start, or as drawn without animations (None)."""
    opacity = 0.0 if any(f".{name}{{opacity:0}}" in style for name in names) else 1.0
    for name in names:
        played = re.search(
            rf"\.{name}{{animation:(\w+) ([\d.]+)s step-end infinite(?:;animation-delay:(-[\d.]+)s)?", style
        )
        if played and seconds is not None:
            frames, total, delay = played[1], float(played[2]), float(played[3] or 0)
            per_cent = (seconds - delay) % total / total * 100
            start = re.search(rf"@keyframes {frames}{{0%{{opacity:(\d)}}([\d.]+)%,100%{{opacity:(\d)}}}}", style)
            opacity = float(start[1] if per_cent < float(start[2]) else start[3])
    return opacity


def shown(svg, seconds):
    """The texts that can be seen then."""
    root = ET.fromstring(svg)
    style, texts = root.find(f"{SVG}style").text, []

    def walk(element):
        if opacity_at(style, element.get("class", "").split(), seconds):
            texts.extend([element.text] if element.tag in (f"{SVG}text",) else [])
            texts.extend(["✓" if element.text == "right" else "✗"] if element.text in ("right", "wrong") else [])
            for inner in element:
                walk(inner)

    walk(root)
    return texts


def rows_in(texts):
    return [text for text in texts if text in {"1", "2", "3", "4"}]


@pytest.mark.parametrize("sample", range(4))
def test_each_sample_has_its_time_and_its_row_stays(sample):
    for seconds in (sample * decoding.SECONDS_A_SAMPLE + 0.05, (sample + 1) * decoding.SECONDS_A_SAMPLE - 0.05):
        texts = shown(animate(), seconds)
        assert [text for text in texts if text.startswith("candidate ")] == [f"candidate {sample + 1}"]
        assert next(text for text in texts if text.startswith("sample ")).startswith(f"sample {sample + 1} of 4")
        assert rows_in(texts) == ["1", "2", "3", "4"][: sample + 1]
        assert "NEAR" in texts if sample == 1 else "NEAR" not in texts
        assert not {"✓", "✗"} & set(texts)
        assert shown(animate(), seconds + TOTAL) == texts  # it loops


def test_at_the_end_and_without_animation_the_choice_is_shown():
    end = shown(animate(), TOTAL - 0.05)
    assert "the old model picks candidate 2" in end and not any(text.startswith("candidate 1") for text in end)
    assert rows_in(end) == ["1", "2", "3", "4"]
    assert [text for text in end if text in "✓✗"] == ["✗", "✓", "✗", "✗"]
    assert shown(animate(), None) == end


def test_repeats_and_what_is_no_tree_are_said_so():
    texts = shown(animate(), None)
    assert texts.count("the same as 1") == 1 and "no tree" in texts
    assert {"−2.50", "−0.50", "−∞"} <= set(texts)
    assert "no tree" in shown(animate(), 2.5 * decoding.SECONDS_A_SAMPLE)


def test_units_off_are_those_counted_and_all_are_on_without_dropout():
    svg = animate()
    groups = [g for g in ET.fromstring(svg).iter(f"{SVG}g") if re.search(r"now\d$", g.get("class", ""))]
    networks = [g for g in groups if g.find(f"{SVG}circle") is not None]
    assert len(networks) == len(POOL)
    for number, group in enumerate(networks, start=1):
        off = sum("stroke-dasharray" in circle.attrib for circle in group.iter(f"{SVG}circle"))
        assert group.find(f"{SVG}text").text == f"sample {number} of 4: {off} of 25 units off"
    all_on = decoding.animate_dropout(UTTERANCE, POOL, 1, p=0.0)
    assert "sample 3 of 4: 0 of 25 units off" in all_on


def test_equal_input_gives_equal_bytes_and_two_on_a_page_do_not_meet():
    assert animate() == animate() and animate() != animate(seed=8)
    keyframes = [set(re.findall(r"@keyframes (\w+)", svg)) for svg in (animate(), animate(seed=8))]
    assert keyframes[0] and not keyframes[0] & keyframes[1]


@pytest.mark.parametrize(
    ("changed", "fault"),
    [
        ({"pick": 0}, "more probable than number 0"),
        ({"pick": 4}, "pick 4 of 4"),
        ({"p": 1.0}, "dropout rate 1.0"),
        ({"samples": []}, "of 0 samples"),
        ({"samples": [("[IN:FIND closed ]", -1.0, False)], "pick": 0}, "other words"),
    ],
)
def test_what_cannot_be_is_refused(changed, fault):
    given = {"utterance": UTTERANCE, "samples": POOL, "pick": 1, "p": 0.4} | changed
    with pytest.raises(ValueError, match=fault):
        decoding.animate_dropout(**given)
