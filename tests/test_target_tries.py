"""Tries of targets: every prefix once, and the decoder reads them as it reads the targets themselves."""

import numpy as np
import pytest

from bcrlib.parsers.targets import TargetTries, target_tries


def random_targets(seed: int, num_utterances: int = 5, num_targets: int = 40) -> tuple[np.ndarray, np.ndarray]:
    """Targets of few different tokens, filled up with ends, some of nothing but their end; utterances in no order."""
    rng = np.random.default_rng(seed)
    tokens = rng.integers(1, 4, (num_targets, 8))
    tokens[np.arange(8) >= rng.integers(0, 8, num_targets)[:, None]] = 0
    utterance = rng.permutation(np.concatenate([np.arange(num_utterances), rng.integers(0, 5, num_targets - 5)]))
    return tokens, utterance


def prefix(tries: TargetTries, trie: int, node: int) -> tuple[int, ...]:
    """The tokens from the root to a node."""
    read = []
    while node:
        assert tries.parent[trie, node] < node
        read.append(int(tries.tokens[trie, node]))
        node = int(tries.parent[trie, node])
    return tuple(reversed(read))


@pytest.mark.parametrize("seed", range(5))
def test_nodes_are_the_different_prefixes(seed):
    tokens, utterance = random_targets(seed)
    tries = target_tries(tokens, utterance, 5)
    for trie in range(5):
        mine = [[int(t) for t in row if t] for row in tokens[utterance == trie]]
        expected = {tuple(row[:end]) for row in mine for end in range(len(row) + 1)}
        found = [prefix(tries, trie, node) for node in range(tries.num_nodes[trie])]
        assert len(found) == len(set(found)) and set(found) == expected
        assert [len(p) for p in found] == tries.depth[trie, : len(found)].tolist()
        assert not tries.tokens[trie, len(found) :].any() and not tries.tokens[trie, 0]
    for row, (target, u) in enumerate(zip(tokens.tolist(), utterance)):
        for step in range(target.index(0) + 1):
            assert prefix(tries, u, tries.node_of_step[row, step]) == tuple(target[:step])
        assert not tries.node_of_step[row, target.index(0) + 1 :].any()


def test_a_node_sees_its_ancestors_and_itself():
    tries = target_tries(*random_targets(7), 5)
    rows = np.array([3, 0])
    seen = tries.visible(rows)
    assert seen.shape == (2, *2 * [tries.num_nodes[rows].max()])
    for number, trie in enumerate(rows):
        for node in range(tries.num_nodes[trie]):
            chain, at = {0}, node
            while at:
                chain.add(at)
                at = int(tries.parent[trie, at])
            assert set(np.flatnonzero(seen[number, node]).tolist()) == chain
