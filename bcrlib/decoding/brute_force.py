"""Every dependency tree of a short sentence, labelled or not, one by one: what the fast searches must agree with."""

from collections.abc import Iterator
from itertools import product

import numpy as np
from jaxtyping import Float


def is_tree(heads: tuple[int, ...], single_root: bool = True) -> bool:
    """Whether `heads` (of the words 1..n, 0 = root) form a tree: from every word one gets to the root.

    `single_root`: exactly one word may hang on the root. Cost O(n^2).
    """
    if single_root and heads.count(0) != 1:
        return False
    return all(_reaches_root(word, heads) for word in range(1, len(heads) + 1))


def _reaches_root(word: int, heads: tuple[int, ...]) -> bool:
    for _ in heads:
        word = heads[word - 1]
        if word == 0:
            return True
    return False


def all_trees(length: int, single_root: bool = True) -> Iterator[tuple[int, ...]]:
    """Heads of all trees over `length` words: n^(n-1) single-root trees, (n+1)^(n-1) without the constraint.

    Cost O((n+1)^n n^2): meant for n <= 5.
    """
    for heads in product(range(length + 1), repeat=length):
        if is_tree(heads, single_root):
            yield heads


def all_scored_trees(
    arc_scores: Float[np.ndarray, "dep head"], single_root: bool = True
) -> list[tuple[float, tuple[int, ...]]]:
    """(score, heads) of all trees with a finite score, best first; equal scores in order of their heads.

    `arc_scores[dep, head]` is the score of one arc (row 0 is ignored, -inf forbids an arc); the score of a
    tree is the sum over its arcs, here the arc log-probabilities of paper, section 5. Cost O((n+1)^n n^2).
    """
    scored = []
    for heads in all_trees(len(arc_scores) - 1, single_root):
        score = sum(float(arc_scores[dep, head]) for dep, head in enumerate(heads, start=1))
        if score > -np.inf:
            scored.append((score, heads))
    return sorted(scored, key=lambda scored_tree: (-scored_tree[0], scored_tree[1]))


def all_scored_labelled_trees(
    arc_scores: Float[np.ndarray, "dep head"],
    label_scores: Float[np.ndarray, "dep label head"],
    single_root: bool = True,
) -> list[tuple[float, tuple[int, ...], tuple[int, ...]]]:
    """(score, heads, relations) of all labelled trees with a finite score, best first; ties as they sort.

    The score of a labelled tree is the sum over its words of the scores of the arc and of its relation, each -inf where
    it is forbidden. Cost O((n+1)^n labels^n n): meant for n <= 4 and few labels.
    """
    num_labels = label_scores.shape[1]
    scored = []
    for score, heads in all_scored_trees(arc_scores, single_root):
        for labels in product(range(num_labels), repeat=len(heads)):
            of_labels = (
                label_scores[dep, label, head] for dep, (label, head) in enumerate(zip(labels, heads), start=1)
            )
            total = score + sum(map(float, of_labels))
            if total > -np.inf:
                scored.append((total, heads, labels))
    return sorted(scored, key=lambda scored_tree: (-scored_tree[0], *scored_tree[1:]))
