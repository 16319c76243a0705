"""Targets of an utterance as one trie, so that a decoder reads what they have in common once.

A transformer reads a trie as it reads a sequence: the position of a node is its depth, and what it sees are its
ancestors and itself.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int64
from numba import njit

from bcrlib.data.bracket_sequences import END


@dataclass(frozen=True, eq=False)
class TargetTries:
    """One trie an utterance. Node 0 is the root, every node stands behind its parent, roots fill up.

    A node is a prefix of targets, the root the empty one.
    """

    tokens: Int64[np.ndarray, "utterance node"]
    """The last of the prefix; at the root END, which a decoder reads first."""
    parent: Int64[np.ndarray, "utterance node"]
    """0 at the root too."""
    depth: Int64[np.ndarray, "utterance node"]
    num_nodes: Int64[np.ndarray, "utterance"]
    node_of_step: Int64[np.ndarray, "target step"]
    """The prefix behind which each token of a target stands; 0 behind its end."""

    def visible(self, rows: Int64[np.ndarray, "some"]) -> Bool[np.ndarray, "some node node"]:
        """What the nodes of some tries see. O(tries nodes^2)."""
        every, size = np.arange(len(rows)), int(self.num_nodes[rows].max())
        seen = np.zeros((len(rows), size, size), dtype=bool)
        for node in range(size):
            seen[:, node] = seen[every, self.parent[rows, node]]
            seen[:, node, node] = True
        return seen


def target_tries(
    tokens: Int64[np.ndarray, "target step"], utterance: Int64[np.ndarray, "target"], num_utterances: int
) -> TargetTries:
    """The tries of some targets, each filled up with ENDs, by number of utterance. O(targets steps nodes)."""
    lengths = (tokens != END).sum(axis=1)
    most = 1 + int(np.bincount(utterance, weights=lengths, minlength=num_utterances).max(initial=0))
    read, parent, depth = (np.zeros((num_utterances, most), dtype=np.int64) for _ in range(3))
    num_nodes, node_of_step = np.ones(num_utterances, dtype=np.int64), np.zeros(tokens.shape, dtype=np.int64)
    _grow(tokens, utterance, read, parent, depth, num_nodes, node_of_step)
    size = int(num_nodes.max(initial=1))
    return TargetTries(read[:, :size], parent[:, :size], depth[:, :size], num_nodes, node_of_step)


@njit(cache=True, nogil=True)
def _grow(tokens, utterance, read, parent, depth, num_nodes, node_of_step):
    for target in range(len(tokens)):
        trie, at = utterance[target], 0
        for step in range(tokens.shape[1]):
            node_of_step[target, step] = at
            if tokens[target, step] == END:
                break
            child = at + 1
            while child < num_nodes[trie] and (parent[trie, child] != at or read[trie, child] != tokens[target, step]):
                child += 1
            if child == num_nodes[trie]:
                read[trie, child], parent[trie, child], depth[trie, child] = tokens[target, step], at, step + 1
                num_nodes[trie] += 1
            at = child
