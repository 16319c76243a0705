"""From trees to the actions that build them: the stack-pointer parser's oracle (Ma et al. 2018; paper, section 5).

A stack starts with the root. Every step points to a position: to an unattached word, which becomes a child of the word
on top of the stack and is pushed; or to the top itself, which is then finished and popped. A sentence of n positions,
root included, takes 2 n - 1 steps. Children come from the inside out: the left ones from the nearest to the farthest,
then the right ones likewise, so that every tree has exactly one derivation.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Int64, Integer
from numba import njit


@dataclass(frozen=True, eq=False)
class Derivations:
    """The steps of several trees; sentence of L positions uses the first 2 L - 1 of them, the others are 0."""

    word: Int64[np.ndarray, "tree step"]
    """Where the step points to: `top` itself to pop it."""
    top: Int64[np.ndarray, "tree step"]
    """The top of the stack before the step."""
    sibling: Int64[np.ndarray, "tree step"]
    """The child that the top was given last, 0 if none yet."""
    grandparent: Int64[np.ndarray, "tree step"]
    """The head of the top; the root's is the root."""


def derivations(heads: Integer[np.ndarray, "tree position"], lengths: Integer[np.ndarray, "tree"]) -> Derivations:
    """The derivation of every tree, given by the heads of its positions (position 0 is the root, its entry ignored).

    `lengths` count the root. ValueError names the first tree with a cycle or a head outside 0 .. length - 1.
    O(tree length^2).
    """
    num_steps = max(2 * int(lengths.max()) - 1, 0) if len(lengths) else 0
    steps = np.zeros((4, len(heads), num_steps), dtype=np.int64)
    fault = _derive(np.ascontiguousarray(heads, dtype=np.int64), np.asarray(lengths, dtype=np.int64), *steps)
    if fault >= 0:
        raise ValueError(f"tree {fault + 1} is not a tree: a cycle, or a head outside the sentence")
    return Derivations(*steps)


@njit(cache=True, nogil=True)
def _derive(heads, lengths, word, top, sibling, grandparent):
    """Fills the steps; returns the number of the first tree that is none, or -1."""
    last_child = np.zeros(heads.shape[1], np.int64)
    for tree in range(heads.shape[0]):
        length = lengths[tree]
        for position in range(1, length):
            if not 0 <= heads[tree, position] < length:
                return tree
        last_child[:length] = 0
        at = 0
        for step in range(2 * length - 1):
            head_of_top = heads[tree, at] if at > 0 else 0
            child = _next_child(heads[tree], at, last_child[at], length)
            top[tree, step], sibling[tree, step], grandparent[tree, step] = at, last_child[at], head_of_top
            word[tree, step] = child if child > 0 else at
            if child > 0:
                last_child[at] = child
                at = child
            elif at == 0 and step < 2 * length - 2:
                return tree  # the root is finished, but words on a cycle were never reached
            else:
                at = head_of_top
    return -1


@njit(cache=True, nogil=True)
def _next_child(heads, head, last, length):
    """The child that comes after `last` from the inside out; 0 if there is none."""
    if last < head or last == 0:
        for word in range((last if last > 0 else head) - 1, 0, -1):
            if heads[word] == head:
                return word
    for word in range(max(last, head) + 1, length):
        if heads[word] == head:
            return word
    return 0


@njit(cache=True, nogil=True)
def word_on_cycle(heads, offsets):
    """The first token whose heads (int64 [token], 0 = root) do not lead to the root; -1 if all do. O(tokens depth)."""
    for sentence in range(len(offsets) - 1):
        begin, length = offsets[sentence], offsets[sentence + 1] - offsets[sentence]
        for word in range(1, length + 1):
            at, steps = word, 0
            while at != 0 and steps <= length:
                at = heads[begin + at - 1]
                steps += 1
                if not 0 <= at <= length:
                    return begin + word - 1
            if at != 0:
                return begin + word - 1
    return -1


@dataclass(frozen=True, eq=False)
class PrefixTree:
    """What several derivations of the same sentence have in common: every prefix once.

    A node is the state after a prefix. Nodes stand step by step, so the nodes of step k are
    starts[k] .. starts[k + 1] - 1, in the order of their sentences.
    """

    starts: Int64[np.ndarray, "step_plus_one"]
    parent: Int64[np.ndarray, "node"]
    """The node one step before; of the first step: the number of the sentence."""
    sentence: Int64[np.ndarray, "node"]
    top: Int64[np.ndarray, "node"]
    sibling: Int64[np.ndarray, "node"]
    grandparent: Int64[np.ndarray, "node"]
    node_of_step: Int64[np.ndarray, "tree step"]
    """The node a tree's step starts from, -1 behind its end."""


def prefix_tree(
    steps: Derivations, sentence_of_tree: Int64[np.ndarray, "tree"], lengths: Int64[np.ndarray, "tree"]
) -> PrefixTree:
    """The prefixes of derivations; the trees of a sentence stand together. O(trees of a sentence * steps)."""
    num_trees, num_steps = steps.word.shape
    node = np.full((num_trees, num_steps), -1, dtype=np.int64)
    first_tree = np.searchsorted(sentence_of_tree, sentence_of_tree)
    _share_prefixes(steps.word, first_tree, np.asarray(lengths), node)
    own = node == np.arange(num_trees)[:, None]  # so far, nodes are named by the first tree that has them
    step, tree = np.nonzero(own.T)
    number = np.full((num_trees, num_steps), -1, dtype=np.int64)
    number[tree, step] = np.arange(len(tree))
    node_of_step = np.where(node >= 0, number[np.maximum(node, 0), np.arange(num_steps)], -1)
    before = np.where(step > 0, node_of_step[tree, np.maximum(step - 1, 0)], sentence_of_tree[tree])
    return PrefixTree(
        starts=np.searchsorted(step, np.arange(num_steps + 1)),
        parent=before,
        sentence=sentence_of_tree[tree],
        top=steps.top[tree, step],
        sibling=steps.sibling[tree, step],
        grandparent=steps.grandparent[tree, step],
        node_of_step=node_of_step,
    )


@njit(cache=True, nogil=True)
def _share_prefixes(word, first_tree, lengths, node):
    """node[tree, step]: the first tree of the sentence with the same actions before this step."""
    for tree in range(word.shape[0]):
        twin = first_tree[tree]
        for step in range(2 * lengths[tree] - 1):
            if step > 0 and twin < tree:
                # Does the twin still agree, or does a later tree share one step more?
                while twin < tree and not (
                    node[twin, step - 1] == node[tree, step - 1] and word[twin, step - 1] == word[tree, step - 1]
                ):
                    twin += 1
            node[tree, step] = node[twin, step] if twin < tree else tree
