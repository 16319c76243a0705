"""Derivations of trees to look at: the stack before each step, and the prefixes that several trees share."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from bcrlib.report.style import legend, new_figure
from bcrlib.samplers.derivations import Derivations, PrefixTree

_WAITING, _FINISHED = {"facecolor": "#E7E7EA"}, {"facecolor": "#C8501E"}
_ATTACHED = {"facecolor": "white", "edgecolor": "#0072B2"}


def stacks(steps: Derivations, tree: int = 0) -> list[list[int]]:
    """The positions on the stack before each step of a tree, the root first. O(steps * depth)."""
    stack, before = [0], []
    for word, top in zip(steps.word[tree].tolist(), steps.top[tree].tolist()):
        before.append(list(stack))
        if word == top:
            stack.pop()
        else:
            stack.append(word)
    return before


def step_rows(forms: Sequence[str], steps: Derivations, tree: int = 0) -> pd.DataFrame:
    """One row a step: step (from 1), stack, action ("attach" or "finish"), word. `forms` without the root."""
    names, rows = ["root", *forms], []
    for number, (stack, word) in enumerate(zip(stacks(steps, tree), steps.word[tree].tolist()), start=1):
        action = "finish" if word == stack[-1] else "attach"
        rows.append((number, " ".join(names[position] for position in stack), action, names[word]))
    return pd.DataFrame(rows, columns=["step", "stack", "action", "word"])


def stack_figure(forms: Sequence[str], steps: Derivations, title: str) -> Figure:
    """The stack before every step of the first tree as a pile of boxes, and what the step does to it.

    `forms` without the root. O(steps * depth).
    """
    names, piles = ["root", *forms], stacks(steps)
    height = max(map(len, piles))  # before its last word is finished, so nothing stands higher
    figure = new_figure(1.6 + 0.82 * len(piles), 1.9 + 0.42 * height, title)
    axes = figure.subplots()
    for step, (pile, word) in enumerate(zip(piles, steps.word[0].tolist()), start=1):
        looks = [(position, _WAITING, "#111827") for position in pile]
        if word == pile[-1]:
            looks[-1] = word, _FINISHED, "white"
        else:
            looks.append((word, _ATTACHED, _ATTACHED["edgecolor"]))
        for place, (position, look, colour) in enumerate(looks):
            axes.add_patch(Rectangle((step - 0.46, place - 0.42), 0.92, 0.84, linewidth=1.6, **look))
            axes.text(step, place, names[position], ha="center", va="center", fontsize=9.5, color=colour)
    axes.set(xlabel="step", xlim=(0.4, len(piles) + 0.6), xticks=range(1, len(piles) + 1))
    axes.set(ylabel="height on the stack (words)", ylim=(-0.6, height - 0.4), yticks=range(height))
    axes.grid(False)
    looks_of = {"on the stack": _WAITING, "attached by this step, the new top": _ATTACHED}
    legend(figure, looks_of | {"the top, finished by this step": _FINISHED})
    return figure


def prefix_rows(steps: Derivations, prefixes: PrefixTree) -> pd.DataFrame:
    """One row a node: step (from 1), node, parent, trees (how many share it), place (their mean row, see below).

    Trees of one sentence, all of the same length. The first step's parent is its own node. O(trees * steps).
    """
    num_trees, num_steps = prefixes.node_of_step.shape
    rank = np.empty(num_trees, dtype=np.int64)
    rank[by_shared_prefix(steps)] = np.arange(num_trees)
    node = prefixes.node_of_step
    count = np.bincount(node.ravel())
    place = np.bincount(node.ravel(), weights=np.repeat(rank, num_steps)) / count
    step = np.repeat(np.arange(num_steps), np.diff(prefixes.starts))
    parent = np.where(step > 0, prefixes.parent, np.arange(len(step)))
    return pd.DataFrame(
        {"step": step + 1, "node": np.arange(len(step)), "parent": parent, "trees": count, "place": place}
    )


def by_shared_prefix(steps: Derivations) -> np.ndarray:
    """The trees in an order in which those with a common prefix stand together. O(trees log trees * steps)."""
    return np.lexsort(steps.word.T[::-1])


def prefix_figure(names: Sequence[str], steps: Derivations, prefixes: PrefixTree, title: str) -> Figure:
    """The derivations of one sentence's trees as lines that run together while they agree: a dot a state.

    `names`: what to call the trees, one each. Trees, errors and cost as for `prefix_rows`.
    """
    rows = prefix_rows(steps, prefixes)
    order = by_shared_prefix(steps)
    figure = new_figure(7.6, 1.5 + 0.3 * len(order), title)
    axes = figure.subplots()
    before = rows.loc[rows["parent"], ["step", "place"]].to_numpy()
    for (x, y), to_x, to_y in zip(before, rows["step"], rows["place"]):
        axes.plot([x, to_x], [y, to_y], color="#9CA3AF", linewidth=1.4, zorder=1)
    shades = {"c": rows["trees"], "cmap": "viridis_r", "vmin": 1, "vmax": len(order)}
    points = axes.scatter(rows["step"], rows["place"], s=42, zorder=2, **shades)
    figure.colorbar(points, ax=axes, label="trees that share the state")
    axes.set(xlabel="step", ylabel="candidate (heads of its words)", xticks=range(1, len(steps.word[0]) + 1))
    axes.set_yticks(range(len(order)), [names[tree] for tree in order])
    axes.invert_yaxis()
    axes.grid(False)
    return figure
