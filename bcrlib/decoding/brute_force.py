"""What the fast tree searches are tried on: every tree of a short sentence, one by one, with which they must agree.

And score tables like a trained parser's, for sentences of any length.
"""

from collections.abc import Iterator
from itertools import product

import numpy as np
from jaxtyping import Float, Float32, Integer


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


def simulated_arc_scores(
    lengths: Integer[np.ndarray, "batch"], seed: int, mean_margin: float = 24.0
) -> Float32[np.ndarray, "batch dep head"]:
    """Arc log-probabilities (a log-softmax over heads) like a trained parser's, padding -inf.

    Each word's logits are noise (standard deviation 2); its head in a random single-root tree has a margin
    more, drawn for each word from a gamma distribution of shape 3: most words are sure, a few are not. At the
    default margin one greedy choice in twenty is no single-root tree.
    """
    rng = np.random.default_rng(seed)
    size = int(lengths.max()) + 1
    scores = np.full((len(lengths), size, size), -np.inf, dtype=np.float32)
    for b, length in enumerate(lengths):
        logits = rng.normal(scale=2.0, size=(length + 1, length + 1))
        words = np.arange(1, length + 1)
        logits[words, _random_heads(int(length), rng)] += rng.gamma(3.0, mean_margin / 3.0, size=length)
        logits[words, words] = -np.inf
        logits -= np.logaddexp.reduce(logits, axis=1, keepdims=True)
        scores[b, : length + 1, : length + 1] = logits
    return scores


def _random_heads(length: int, rng: np.random.Generator) -> np.ndarray:
    """Heads of a random single-root tree: in random order, each word picks a near one of those before it."""
    order = rng.permutation(length) + 1
    heads = np.zeros(length, dtype=np.int64)
    for i in range(1, length):
        nearness = np.exp(-np.abs(order[:i] - order[i]) / 2.0)
        heads[order[i] - 1] = order[np.searchsorted(np.cumsum(nearness), rng.random() * nearness.sum())]
    return heads
