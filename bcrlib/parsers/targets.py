"""What a seq2seq-pointer parser writes: brackets, and pointers at word pieces.

A *sequence* is a frame in codes over brackets and words (`bcrlib.data.frames`), the same for every model.
A *target* is what one model emits: 0 for the end, 1 .. 2 L for the brackets of its L labels in the same order as the
codes, and 1 + 2 L + k for its k-th word piece of the utterance. A word is all its pieces, in order (paper, section 5).

Given targets, whoever proposed them, are scored by teacher forcing, all of an utterance at once: as one trie, so that a
decoder reads every prefix once. A transformer reads a trie as it reads a sequence: the position of a node is its depth,
and what it sees are its ancestors and itself.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, Int16, Int64
from numba import njit
from torch import Tensor

from bcrlib.data.frames import BROKEN, END
from bcrlib.parsers.batches import Runtime, batches
from bcrlib.parsers.pieces import Pieces
from bcrlib.parsers.s2s_network import Memory, Seq2Seq, Tries, inside


@dataclass(frozen=True, eq=False)
class Targets:
    """Targets of several rows, each with its end: row r is tokens[offsets[r] : offsets[r + 1]]."""

    tokens: Int64[np.ndarray, "token"]
    offsets: Int64[np.ndarray, "row_plus_one"]
    expressible: Bool[np.ndarray, "row"]
    """Whether the model has brackets for all labels; a row that it has not ends at once."""

    def padded(self, rows: Int64[np.ndarray, "some"]) -> Int64[np.ndarray, "some step"]:
        """Some rows, filled up with ends."""
        lengths = np.diff(self.offsets)[rows]
        steps = np.arange(lengths.max())
        inside = steps < lengths[:, None]
        return np.where(inside, self.tokens[np.minimum(self.offsets[rows][:, None] + steps, len(self.tokens) - 1)], END)


def targets_of(
    sequences: Int16[np.ndarray, "row step"],
    utterance: Int64[np.ndarray, "row"],
    labels: Sequence[str],
    pieces: Pieces,
    own_labels: Sequence[str],
) -> Targets:
    """Sequences of these utterances, whose codes name `labels`, as targets of a model that has `own_labels`.

    A sequence that is broken, or has a label that the model lacks, is not expressible. O(rows steps).
    """
    bracket = _translated_brackets(labels, own_labels)
    row, step = np.nonzero(sequences != END)
    code = sequences[row, step].astype(np.int64)
    is_word = code > 2 * len(labels)
    word = pieces.word_offsets[utterance[row]] + np.where(is_word, code - 1 - 2 * len(labels), 0)
    first = np.where(is_word, 1 + 2 * len(own_labels) + pieces.first_piece[word], bracket[np.where(is_word, 0, code)])
    wrong = np.zeros(len(sequences), dtype=bool)
    wrong[row[(first < 0) | (code == BROKEN)]] = True
    count = np.where(is_word, pieces.num_pieces[word], 1) * ~wrong[row]
    token = np.repeat(first, count) + _within(count)
    return _with_ends(token, np.bincount(row, weights=count, minlength=len(sequences)).astype(np.int64), ~wrong)


def _translated_brackets(labels: Sequence[str], own: Sequence[str]) -> Int64[np.ndarray, "code"]:
    """Own token of each bracket's code, -1 where there is none (the code BROKEN is not among them)."""
    index = {label: i for i, label in enumerate(own)}
    open_ = np.array([1 + index[label] if label in index else -1 for label in labels], dtype=np.int64)
    close = np.where(open_ < 0, -1, open_ + len(own))
    return np.concatenate([[END], open_, close])


def _within(counts: Int64[np.ndarray, "n"]) -> Int64[np.ndarray, "sum"]:
    """0 .. c - 1 for every count c."""
    return np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)


def _with_ends(tokens: Int64[np.ndarray, "n"], counts: Int64[np.ndarray, "row"], good: np.ndarray) -> Targets:
    return Targets(np.insert(tokens, np.cumsum(counts), END), np.cumsum(np.insert(counts + 1, 0, 0)), good)


def sequences_of_targets(
    tokens: Int64[np.ndarray, "row step"], utterance: Int64[np.ndarray, "row"], pieces: Pieces, num_labels: int
) -> Int16[np.ndarray, "row step"]:
    """Targets, filled up with ends, as sequences; BROKEN where a word's pieces do not stand together in order, or the
    target has no end. O(rows steps)."""
    first_pointer = 1 + 2 * num_labels
    is_piece = tokens >= first_pointer
    number = pieces.offsets[utterance][:, None] + np.where(is_piece, tokens - first_pointer, 0)
    inside = number < pieces.offsets[utterance + 1][:, None]
    number = np.where(inside, number, pieces.offsets[utterance][:, None])
    part, starts = pieces.part[number], is_piece & (pieces.part[number] == 0)
    follows = np.zeros_like(is_piece)
    follows[:, 1:] = is_piece[:, 1:] & is_piece[:, :-1] & (tokens[:, 1:] == tokens[:, :-1] + 1)
    size = pieces.num_pieces[pieces.word_offsets[utterance][:, None] + pieces.word[number]]
    goes_on = np.zeros_like(is_piece)
    goes_on[:, :-1] = follows[:, 1:]
    wrong = is_piece & (~inside | ((part > 0) & ~follows) | ((part < size - 1) & ~goes_on))
    broken = wrong.any(axis=1) | (tokens[:, -1] != END)
    codes = np.where(is_piece, first_pointer + pieces.word[number], tokens)
    return _compressed(codes, starts | ~is_piece, broken)


def _compressed(
    codes: Int64[np.ndarray, "row step"], keep: Bool[np.ndarray, "row step"], broken: Bool[np.ndarray, "row"]
) -> Int16[np.ndarray, "row step"]:
    """The kept codes of every row moved to its front."""
    result = np.full(codes.shape, END, dtype=np.int16)
    keep = keep & (codes != END) & ~broken[:, None]
    row, _ = np.nonzero(keep)
    result[row, _within(keep.sum(axis=1))] = codes[keep]
    result[broken, 0] = BROKEN
    return result


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
