"""The seq2seq-pointer parser's probability of given targets, whoever proposed them: teacher forcing, all at once.

The candidates of an utterance share its encoder pass and, while they agree, the decoder's: every prefix of their
targets is read once (see TargetTries).
"""

import math
from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, Float32, Int64
from torch import Tensor

from bcrlib.models.batching import batches
from bcrlib.models.pointer_decoder import Memory, Tries
from bcrlib.models.runtime import Runtime
from bcrlib.models.s2s import Seq2Seq, inside
from bcrlib.models.target_tries import TargetTries, target_tries


def target_log_probs(
    networks: Sequence[Seq2Seq],
    memories: Sequence[Memory],
    utterance: Int64[np.ndarray, "row"],
    tokens: Int64[np.ndarray, "row step"],
    runtime: Runtime,
) -> Float32[np.ndarray, "row"]:
    """log p of targets, filled up with ENDs, each of one of the utterances in memory, under the mean of the networks.

    O(different prefixes * size * (size + inner size)).
    """
    tries, scores = target_tries(tokens, utterance, int(utterance.max()) + 1), np.empty(len(tokens), dtype=np.float32)
    place = np.empty(len(tries.num_nodes), dtype=np.int64)
    for some in batches(tries.num_nodes, 2 * runtime.max_tokens, batch_size=runtime.batch_size):
        place[some] = np.arange(len(some))
        rows = np.flatnonzero(np.isin(utterance, some))
        index = (place[utterance[rows]][:, None], tries.node_of_step[rows], tokens[rows])
        scores[rows] = _sums(networks, memories, tries, some, index, runtime)
    return scores


def _sums(
    networks: Sequence[Seq2Seq],
    memories: Sequence[Memory],
    tries: TargetTries,
    some: Int64[np.ndarray, "trie"],
    index: tuple[np.ndarray, np.ndarray, np.ndarray],
    runtime: Runtime,
) -> Float32[np.ndarray, "row"]:
    """Of targets over these tries; `index` says trie, node and token of every step."""
    size = int(tries.num_nodes[some].max())
    read, depth, visible, kept, trie, node, token = (
        torch.from_numpy(array).to(runtime.device)
        for array in (tries.tokens[some, :size], tries.depth[some, :size], tries.visible(some), some, *index)
    )
    at = Tries(depth, visible[:, None])
    with runtime.autocast():
        every = [
            network.decoder(read, memory.rows(kept), tries=at)[trie, node, token]
            for network, memory in zip(networks, memories)
        ]
    return mean_probability(every).masked_fill(~inside(token), 0.0).sum(dim=1).cpu().numpy()


def mean_probability(log_probs: list[Float[Tensor, "*shape"]]) -> Float[Tensor, "*shape"]:
    """The log of the mean of probabilities."""
    if len(log_probs) == 1:
        return log_probs[0]
    return torch.stack(log_probs).logsumexp(dim=0) - math.log(len(log_probs))
