"""What pools of trees, frames and texts have in common in tests: their structures; and treebanks as a pool."""

from typing import Any

import numpy as np

from bcrlib.data.candidates import TreePool
from bcrlib.data.frame_candidates import FramePool
from bcrlib.data.treebank import Treebank


def structures(pool: Any) -> list[list[tuple]]:
    """[item][candidate]: heads with the relations' names, the codes of a frame, or a text."""
    if isinstance(pool, FramePool):
        columns = pool.sequences.swapaxes(0, 1).tolist()
        return [[tuple(code for code in row if code) for row in column] for column in columns]
    if isinstance(pool, TreePool):
        names = [pool.relation_strings(candidate) for candidate in range(pool.num_candidates)]
        spans = [slice(*pool.offsets[s : s + 2]) for s in range(pool.num_items)]
        return [[(*heads[span].tolist(), *own[span]) for heads, own in zip(pool.heads, names)] for span in spans]
    return [[(text,) for text in column] for column in zip(*pool.texts)]


def assert_same(pool: TreePool | FramePool, other: TreePool | FramePool) -> None:
    """Equal in all but the last digits of the log-probabilities."""
    assert structures(pool) == structures(other)
    np.testing.assert_allclose(pool.log_probs, other.log_probs, atol=1e-4)


def pool_of(*treebanks: Treebank) -> TreePool:
    """The trees of each of these as a candidate; of log-probability 0."""
    names = tuple(dict.fromkeys(name for treebank in treebanks for name in treebank.relations))
    relations = [[names.index(name) for name in treebank.relations] for treebank in treebanks]
    return TreePool(
        heads=np.stack([treebank.heads for treebank in treebanks]).astype(np.int16),
        relations=np.array(relations, dtype=np.int16),
        relation_names=names,
        log_probs=np.zeros((len(treebanks), len(treebanks[0])), dtype=np.float32),
        offsets=treebanks[0].offsets,
    )
