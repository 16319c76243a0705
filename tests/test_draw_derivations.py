"""The stack of a derivation, step by step, and the picture of shared prefixes."""

import numpy as np
import pytest
from random_trees import random_heads

from bcrlib.report.draw_derivations import (
    by_shared_prefix,
    prefix_figure,
    prefix_rows,
    stack_figure,
    stacks,
    step_rows,
)
from bcrlib.samplers.derivations import derivations, prefix_tree

FORMS = ["She", "ate", "pizza", "with", "friends"]
TREES = np.array([[0, 2, 0, 2, 5, 2], [0, 2, 0, 2, 5, 3], [0, 2, 0, 2, 2, 3], [0, 2, 0, 2, 5, 2]])


def derived(trees):
    return derivations(trees, np.full(len(trees), trees.shape[1]))


def shared(steps, num_positions):
    num_trees = len(steps.word)
    return prefix_tree(steps, np.zeros(num_trees, dtype=np.int64), np.full(num_trees, num_positions))


def test_steps_of_a_sentence_written_out():
    rows = step_rows(FORMS, derived(TREES), tree=1)
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
    for stack, top in zip(stacks(steps), steps.top[0]):
        assert stack[0] == 0 and stack[-1] == top
        assert [heads[0, word] for word in stack[1:]] == stack[:-1]


def test_every_step_has_a_box_for_each_word_on_the_stack_and_for_a_new_one():
    steps = derived(TREES)
    (axes,) = stack_figure(FORMS, steps, "A claim").axes
    num_attached = int((steps.word[0] != steps.top[0]).sum())
    assert num_attached == len(FORMS)
    assert len(axes.patches) == sum(map(len, stacks(steps))) + num_attached
    assert axes.get_xlabel() == "step"


def test_nodes_stand_between_the_trees_that_share_them():
    steps = derived(TREES)
    rows = prefix_rows(steps, shared(steps, 6))
    order = by_shared_prefix(steps).tolist()
    for row in rows.itertuples():
        prefix = {tuple(steps.word[tree, : row.step - 1]) for tree in range(len(TREES))}
        groups = [
            [place for place, tree in enumerate(order) if tuple(steps.word[tree, : row.step - 1]) == own]
            for own in prefix
        ]
        assert (row.trees, row.place) in [(len(group), np.mean(group)) for group in groups]
    assert rows["trees"].groupby(rows["step"]).sum().tolist() == [4] * 11
    assert (rows["step"] - rows["step"][rows["parent"]].to_numpy()).tolist() == [0] + [1] * (len(rows) - 1)


def test_trees_with_a_common_prefix_stand_together():
    words = derived(TREES).word[by_shared_prefix(derived(TREES))].tolist()
    assert words == sorted(words)


def test_the_picture_has_a_dot_a_node_and_a_name_a_tree():
    steps = derived(TREES)
    prefixes = shared(steps, 6)
    axes = prefix_figure(["a", "b", "c", "d"], steps, prefixes, "A claim").axes[0]
    assert len(axes.collections[0].get_offsets()) == len(prefixes.parent)
    order = by_shared_prefix(steps)
    assert [label.get_text() for label in axes.get_yticklabels()] == ["abcd"[tree] for tree in order]
