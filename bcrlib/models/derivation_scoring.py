"""The stack-pointer parser's probability of given trees, whoever proposed them: teacher forcing, all at once.

The candidates of a sentence share its encoder pass and, while they agree, the decoder's: every prefix of their
derivations is read once (see PrefixTree). What is left a tree is adding up its steps.
"""

import numpy as np
import torch
from jaxtyping import Float32, Int16, Int64
from torch import Tensor

from bcrlib.candidates import CandidatePool
from bcrlib.decoding.derivations import Derivations, PrefixTree, derivations, prefix_tree, word_on_cycle
from bcrlib.models.encoding import Batch
from bcrlib.models.grouping import grouped
from bcrlib.models.runtime import Runtime
from bcrlib.models.stackptr import Memory, StackPtr, States


def tree_log_probs(
    network: StackPtr,
    memory: Memory,
    batch: Batch,
    pool: CandidatePool,
    relations: Int64[np.ndarray, "candidate token"],
    first_equal: Int16[np.ndarray, "candidate sentence"],
    runtime: Runtime,
) -> Float32[np.ndarray, "candidate sentence"]:
    """log p of all candidates of the batch's sentences; -inf with a relation of number -1.

    Equal candidates are scored once. O(different prefixes * hidden * (input + hidden)).
    """
    mine = first_equal[:, batch.sentences]
    sentence, candidate = np.nonzero((mine == np.arange(len(mine))[:, None]).T)
    lengths = batch.packing.lengths.cpu().numpy()
    heads = _padded(pool.heads, candidate, batch.sentences[sentence], pool.offsets, lengths[0])
    labels = _padded(relations, candidate, batch.sentences[sentence], pool.offsets, lengths[0])
    steps = derivations(heads, lengths[sentence])
    prefixes = prefix_tree(steps, sentence, lengths[sentence])
    with runtime.autocast():  # the recurrence only: scores are float32
        states = _read(network, memory, prefixes)
    scores = _sums(network, memory, steps, prefixes, states, labels)
    number = np.zeros(mine.shape, dtype=np.int64)
    number[candidate, sentence] = np.arange(len(sentence))
    return scores[number[mine, np.arange(mine.shape[1])]]


def check_trees(pool: CandidatePool) -> None:
    """ValueError that names sentence and candidate of the first one that is no tree. O(candidates tokens)."""
    for candidate, heads in enumerate(pool.heads):
        fault = word_on_cycle(heads.astype(np.int64), pool.offsets)
        if fault >= 0:
            sentence = int(np.searchsorted(pool.offsets, fault, side="right")) - 1
            word = fault - pool.offsets[sentence] + 1
            raise ValueError(
                f"sentence {sentence + 1}, candidate {candidate + 1}: no tree, the heads of word {word} do not lead to"
                " the root"
            )


def _padded(
    values: np.ndarray, candidate: np.ndarray, sentence: np.ndarray, offsets: np.ndarray, size: int
) -> Int64[np.ndarray, "tree position"]:
    """Columns of a pool as positions of trees, 0 for the root and behind the end."""
    padded = np.zeros((len(candidate), size), dtype=np.int64)
    lengths = offsets[sentence + 1] - offsets[sentence]
    tree = np.repeat(np.arange(len(candidate)), lengths)
    position = np.arange(len(tree)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    padded[tree, position + 1] = values[candidate[tree], offsets[sentence[tree]] + position]
    return padded


def _read(network: StackPtr, memory: Memory, prefixes: PrefixTree) -> States:
    """The decoder's state after every prefix, step by step: [node, feature]."""
    device = memory.keys.device
    names = ("parent", "sentence", "top", "sibling", "grandparent")
    columns = torch.from_numpy(np.stack([getattr(prefixes, name) for name in names])).to(device)
    masked, cell, before, read = memory.hidden, memory.cell, 0, []
    for begin, end in zip(prefixes.starts, prefixes.starts[1:]):
        parent, *others = columns[:, begin:end]
        states = network.step(memory, masked, cell, parent - before, *others)
        masked, cell, before = states.masked, states.cell, int(begin)
        read.append(states)
    return States(*(torch.cat([getattr(s, name) for s in read]).float() for name in States.__dataclass_fields__))


def _sums(
    network: StackPtr,
    memory: Memory,
    steps: Derivations,
    prefixes: PrefixTree,
    states: States,
    labels: Int64[np.ndarray, "tree position"],
) -> Float32[np.ndarray, "tree"]:
    tree, step = np.nonzero(prefixes.node_of_step >= 0)
    node, word = prefixes.node_of_step[tree, step], steps.word[tree, step]
    is_pop = word == steps.top[tree, step]
    relation = np.where(is_pop, -1 if network.pop_label is None else network.pop_label, labels[tree, word])
    device = memory.keys.device
    tree, node, word, is_pop, relation, sentence = (
        torch.from_numpy(a).to(device) for a in (tree, node, word, is_pop, relation, prefixes.sentence)
    )
    log_probs = _pointer_log_probs(memory, states.arc_query, sentence, node, word)
    labelled = torch.ones_like(is_pop) if network.pop_label is not None else ~is_pop
    log_probs[labelled] += _label_log_probs(
        network, memory, states.label_query, sentence, node[labelled], word[labelled], relation[labelled]
    )
    return log_probs.new_zeros(len(labels)).index_add_(0, tree, log_probs).cpu().numpy()


def _pointer_log_probs(memory: Memory, query: Tensor, sentence: Tensor, node: Tensor, word: Tensor) -> Tensor:
    """log p of pointing from nodes to words."""
    rows, place = grouped(sentence, len(memory.keys))
    queries = torch.cat([query, query.new_zeros(1, query.shape[1])])[rows]  # (sentence, node of sentence, arc)
    scores = torch.baddbmm(memory.key_bias[:, None], queries, memory.keys.transpose(1, 2)).log_softmax(dim=2)
    return scores[sentence[node], place[node], word]


def _label_log_probs(
    network: StackPtr,
    memory: Memory,
    query: Tensor,
    sentence: Tensor,
    node: Tensor,
    word: Tensor,
    relation: Tensor,
) -> Tensor:
    """log p of relations of words attached at nodes; the labels of a word at a node are scored once."""
    size = memory.keys.shape[1]
    pairs, which = (node * size + word).unique(return_inverse=True)
    of, words = pairs // size, pairs % size
    scores = network.label_log_probs(memory, sentence[of], words, query[of])
    return scores[which, relation.clamp(min=0)].masked_fill(relation < 0, float("-inf"))
