"""The stack-pointer parser: trees come about step by step, and trees of anybody are scored by teacher forcing.

The candidates of a sentence share its encoder pass and, while they agree, the decoder's: every prefix of their
derivations is read once (see PrefixTree). What is left a tree is adding up its steps.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float32, Int16, Int64
from torch import Tensor

from bcrlib.data.candidates import TreePool
from bcrlib.data.treebank import Treebank
from bcrlib.data.vectors import WordVectors
from bcrlib.parsers.batches import Runtime, grouped
from bcrlib.parsers.encoding import Batch, EncodedTreebank, Vocabulary, make_batch
from bcrlib.parsers.parser import scored_once
from bcrlib.parsers.pieces import ContextualVectors
from bcrlib.parsers.stackptr_network import Memory, StackPtr, States
from bcrlib.parsers.tree_parser import TreeParser, sample_keys
from bcrlib.samplers.derivations import Derivations, PrefixTree, derivations, prefix_tree, word_on_cycle
from bcrlib.samplers.dropout_p import Noise, uniform
from bcrlib.samplers.rules import PartialTrees, Rules, TreeBuilder
from bcrlib.samplers.search import best, best_actions, sampled_actions, search
from bcrlib.samplers.strategies import Beam, Drawn, DropoutP, KBest, Single

AUTHORS_BATCH = 32


class Asked(NamedTuple):
    """Trees to be scored."""

    pool: TreePool
    relations: Int64[np.ndarray, "candidate token"]
    """In the parser's numbers."""
    first_equal: Int16[np.ndarray, "candidate sentence"]


class StackPtrParser(TreeParser):
    """A parser whose trees come about step by step; of an ensemble each step by the networks' mean log-probability."""

    Network = StackPtr
    SHARED = "one vocabulary, word vectors, rules and beam width"
    selection_strategy = Beam(width=1, num_candidates=1)

    def __init__(
        self,
        networks: Sequence[StackPtr],
        vocabulary: Vocabulary,
        vectors: WordVectors | ContextualVectors | None,
        runtime: Runtime,
    ) -> None:
        super().__init__(networks, vocabulary, vectors, runtime)
        self.beam_width = self.config.beam_width
        self.rules = Rules(self.definitions.stackptr_any_order, self.single_root)

    def shared(self) -> tuple:
        return *super().shared(), self.rules, self.beam_width

    def check_strategy(self, strategy: Single) -> None:
        if isinstance(strategy, KBest):
            raise ValueError("k-best trees are for graph-based parsers; a sequential parser has beam(b=WIDTH)")
        if isinstance(strategy, Beam) and strategy.ended:
            raise ValueError(f"{strategy} is of an s2s: all hypotheses of a stackptr end with the last step")

    def weight(self, strategy: Single | None) -> int:
        """A position costs memory for itself and for each hypothesis about it, four of which weigh as much."""
        if strategy is None:
            return 4
        copies = strategy.num_candidates if isinstance(strategy, DropoutP) else 1
        return copies * -(-self._num_hypotheses(strategy) // 4)

    def batches(self, read: EncodedTreebank, strategy: Single | None) -> Iterator[np.ndarray]:
        if strategy is not None or not self.definitions.stackptr_padding_scored:
            yield from super().batches(read, strategy)
            return
        number = len(read.lengths)  # scores depend on the batch: the authors' are of consecutive sentences
        for some in np.array_split(np.arange(number), range(AUTHORS_BATCH, number, AUTHORS_BATCH)):
            yield some[np.argsort(-read.lengths[some], kind="stable")]

    def trees(
        self, read: EncodedTreebank, batch: Batch, noise: Noise | None, strategy: Single, seed: int
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        sampled = isinstance(strategy, Drawn)
        if sampled:
            keys = sample_keys(read, batch, "actions", strategy.num_candidates, seed)
            keys = torch.from_numpy(keys).to(self.runtime.device)
            choose = sampled_actions(strategy, lambda step, rows: uniform(keys[rows], step))
        else:
            choose = best_actions(self._num_hypotheses(strategy))
        readers = [
            Reader(network, network.memory(batch, noise, self.runtime), self.runtime) for network in self.networks
        ]
        scorer = Scorer(readers, self.root_relation)
        hyps = search(TreeBuilder(scorer, batch.packing.lengths, self.rules), choose)
        if not sampled:
            num_trees = 1 if isinstance(strategy, DropoutP) else strategy.num_candidates
            hyps = best_trees(hyps, num_trees, isinstance(strategy, Beam) and strategy.keep_duplicates)
        return hyps.heads.cpu().numpy(), hyps.relations.cpu().numpy(), hyps.score.cpu().numpy()

    def numbered(self, bank: Treebank, pool: TreePool) -> Asked:
        relations = self.relation_ids(bank, pool)
        check_trees(pool)
        return Asked(pool, relations, pool.first_equal())

    def score(self, read: EncodedTreebank, items: np.ndarray, asked: Asked) -> Float32[np.ndarray, "candidate some"]:
        """The mean of the networks' log-probabilities, which is the sum of the steps' means.

        O(different prefixes * hidden * (input + hidden)).
        """
        batch, padding_scored = make_batch(read, items, self.runtime.device), self.definitions.stackptr_padding_scored
        lengths = batch.packing.lengths.cpu().numpy()

        def score(sentence: np.ndarray, candidate: np.ndarray) -> Float32[np.ndarray, "tree"]:
            place, of_trees = (candidate, items[sentence], asked.pool.offsets, lengths[0]), []
            steps = derivations(_padded(asked.pool.heads, *place), lengths[sentence])
            prefixes, labels = prefix_tree(steps, sentence, lengths[sentence]), _padded(asked.relations, *place)
            for network in self.networks:
                memory = network.memory(batch, None, self.runtime, padding_scored)
                with self.runtime.autocast():  # the recurrence only: scores are float32
                    states = _read(network, memory, prefixes)
                of_trees.append(_sums(network, memory, steps, prefixes, states, labels))
            return np.mean(of_trees, axis=0)

        return scored_once(asked.first_equal[:, items], score)

    def _num_hypotheses(self, strategy: Single) -> int:
        if isinstance(strategy, Beam):
            return strategy.width
        return strategy.num_candidates if isinstance(strategy, Drawn) else self.beam_width


class Reader:
    """One network reading hypotheses."""

    def __init__(self, network: StackPtr, memory: Memory, runtime: Runtime) -> None:
        self.network, self.memory, self.runtime = network, memory, runtime
        self.masked, self.cell = memory.hidden, memory.cell
        self.states: States | None = None
        self.num_before = 1

    def advance(self, hyps: PartialTrees, parent: Tensor) -> Tensor:
        """log p [sentence, hypothesis, position] of pointing to every position."""
        count, num = hyps.top.shape
        sentence = torch.arange(count, device=parent.device)[:, None].expand(count, num)
        triples = (hyps.top, hyps.sibling, hyps.grandparent)
        rows = [values.flatten() for values in (sentence * self.num_before + parent, sentence, *triples)]
        with self.runtime.autocast():
            states = self.network.step(self.memory, self.masked, self.cell, *rows)
        self.states, self.num_before = states, num
        self.masked, self.cell = states.masked, states.cell
        queries = states.arc_query.float().view(count, num, -1)
        bias = self.memory.key_bias[:count, None]
        return torch.baddbmm(bias, queries, self.memory.keys[:count].transpose(1, 2)).log_softmax(dim=2)

    def label_log_probs(self, parent: Tensor, word: Tensor, rows: Tensor) -> Tensor:
        """log p [row, relation] of the steps that `rows` selects from [sentence, child]."""
        sentence = torch.arange(len(parent), device=parent.device)[:, None].expand_as(parent)
        query = self.states.label_query.float()[(sentence * self.num_before + parent)[rows]]
        return self.network.label_log_probs(self.memory, sentence[rows], word[rows], query)


class Scorer:
    """The mean of one or several networks that read the same hypotheses (`bcrlib.samplers.rules.StepScorer`).

    root_relation: of the words attached to the root, and of no others (`TreeParser.root_relation`).
    """

    def __init__(self, readers: list[Reader], root_relation: int | None) -> None:
        self.readers, self.root_relation = readers, root_relation

    def advance(self, hyps: PartialTrees, parent: Tensor) -> Tensor:
        return mean([reader.advance(hyps, parent) for reader in self.readers])

    def label(self, parent: Tensor, word: Tensor, top: Tensor) -> tuple[Tensor, Tensor]:
        """Where finishing a word has a label, the best one there adds its log p too (authors' code).

        A word that is attached never gets that label.
        """
        is_pop, pop_label = word == top, self.readers[0].network.pop_label
        rows = ~is_pop if pop_label is None else torch.ones_like(is_pop)
        log_probs = mean([reader.label_log_probs(parent, word, rows) for reader in self.readers])
        if pop_label is not None:
            log_probs[~is_pop[rows], pop_label] = float("-inf")
        if self.root_relation is not None:
            is_root = torch.arange(log_probs.shape[1], device=top.device) == self.root_relation
            log_probs = log_probs.masked_fill((top == 0)[rows][:, None] != is_root, float("-inf"))
        best, relation = log_probs.max(dim=1)
        score, number = torch.zeros(word.shape, device=word.device), torch.zeros_like(word)
        score[rows], number[rows] = best, relation
        return score, number


def mean(values: list[Tensor]) -> Tensor:
    """Of tensors of one shape."""
    return values[0] if len(values) == 1 else torch.stack(values).mean(dim=0)


def best_trees(hyps: PartialTrees, num_trees: int, keep_duplicates: bool) -> PartialTrees:
    """The best `num_trees` of each sentence, best first; where there are fewer, the best one again.

    Of hypotheses that are the same labelled tree the best one stays, unless duplicates are kept. Under `official` too:
    the authors' lists are not sorted again after the labels of the last step.
    """
    if not keep_duplicates:
        hyps = best(hyps, hyps.score.shape[1])
        trees = torch.cat([hyps.heads, hyps.relations], dim=2)
        same = (trees[:, :, None] == trees[:, None]).all(dim=3).tril(-1)
        hyps = replace(hyps, score=hyps.score.masked_fill(same.any(dim=2), float("-inf")))
    return best(hyps, num_trees)


def check_trees(pool: TreePool) -> None:
    """ValueError that names sentence and candidate of the first one that is not a tree. O(candidates tokens)."""
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
