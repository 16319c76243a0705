"""The stack-pointer parser's probability of given trees, whoever proposed them: teacher forcing, all at once.

The candidates of a sentence share its encoder pass and, while they agree, the decoder's: every prefix of their
derivations is read once (see PrefixTree). What is left a tree is adding up its steps.

Parsers that point: decoding and scoring for the stack-pointer parser and for ensembles of it.
"""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Float32, Int16, Int64
from torch import Tensor

from bcrlib.data.candidates import TreePool
from bcrlib.data.presets import preset
from bcrlib.data.treebank import Treebank
from bcrlib.data.vectors import WordVectors
from bcrlib.parsers.batches import Runtime, grouped
from bcrlib.parsers.encoding import Batch, EncodedTreebank, Vocabulary, decoding_batches, encode, make_batch
from bcrlib.parsers.parser import (
    Parser,
    check_same_sentences,
    copied_batch,
    dropout_noise,
    empty_pool,
    relation_ids,
    sample_keys,
    store,
)
from bcrlib.parsers.stackptr_network import Memory, StackPtr, States
from bcrlib.samplers.derivations import Derivations, PrefixTree, derivations, prefix_tree, word_on_cycle
from bcrlib.samplers.dropout_p import Noise, uniform
from bcrlib.samplers.rules import PartialTrees, Rules, StepScorer, TreeBuilder
from bcrlib.samplers.search import Choose, best, best_actions, sampled_actions, search
from bcrlib.samplers.strategies import Beam, Drawn, DropoutP, KBest, Single


def tree_log_probs(
    network: StackPtr,
    memory: Memory,
    batch: Batch,
    pool: TreePool,
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


def check_trees(pool: TreePool) -> None:
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


AUTHORS_BATCH = 32


class PointerParser(Parser):
    """A parser whose trees come about step by step."""

    selection_strategy = Beam(width=1, num_candidates=1)
    beam_width: int
    rules: Rules

    @abstractmethod
    def scorer(self, batch: Batch, noise: Noise | None) -> StepScorer:
        """What reads the hypotheses about a batch."""

    @torch.inference_mode()
    def decoded(self, treebank: Treebank, strategy: Single, seed: int = 0) -> TreePool:
        if isinstance(strategy, KBest):
            raise ValueError("k-best trees are for graph-based parsers; a sequential parser has beam(b=WIDTH)")
        if isinstance(strategy, Beam) and strategy.ended:
            raise ValueError(f"{strategy} is of an s2s: all hypotheses of a stackptr end with the last step")
        encoded = encode(treebank, self.vocabulary, self.vectors)
        pool = empty_pool(treebank, strategy.num_candidates, self.vocabulary.relations)
        copies = strategy.num_candidates if isinstance(strategy, DropoutP) else 1
        # A position costs memory for itself and for each hypothesis about its sentence, four of which weigh as much.
        weight = copies * -(-self._num_hypotheses(strategy) // 4)
        for sentences in decoding_batches(encoded, self.runtime, weight):
            batch, samples = copied_batch(encoded, sentences, copies, self.runtime.device)
            noise = dropout_noise(encoded, batch, samples, strategy, seed)
            choose = self._choose(encoded, batch, strategy, seed)
            hyps = search(TreeBuilder(self.scorer(batch, noise), batch.packing.lengths, self.rules), choose)
            if not isinstance(strategy, Drawn):
                num_trees = 1 if copies > 1 else strategy.num_candidates
                hyps = best_trees(hyps, num_trees, isinstance(strategy, Beam) and strategy.keep_duplicates)
            trees = (hyps.heads.cpu().numpy(), hyps.relations.cpu().numpy(), hyps.score.cpu().numpy())
            store(pool, batch, samples, *trees)
        return pool

    def _num_hypotheses(self, strategy: Single) -> int:
        if isinstance(strategy, Beam):
            return strategy.width
        return strategy.num_candidates if isinstance(strategy, Drawn) else self.beam_width

    def _choose(self, encoded: EncodedTreebank, batch: Batch, strategy: Single, seed: int) -> Choose:
        if not isinstance(strategy, Drawn):
            return best_actions(self._num_hypotheses(strategy))
        keys = torch.from_numpy(sample_keys(encoded, batch, strategy, seed)).to(batch.form.device)
        return sampled_actions(strategy, lambda step, rows: uniform(keys[rows], step))


class StackPtrParser(PointerParser):
    """One trained network with its vocabulary and pretrained vectors."""

    def __init__(
        self, network: StackPtr, vocabulary: Vocabulary, vectors: WordVectors | None, runtime: Runtime
    ) -> None:
        self.network = network.to(runtime.device).eval()
        self.vocabulary = vocabulary
        self.vectors = vectors
        self.runtime = runtime
        definitions = preset(network.config.preset)
        self.beam_width = network.config.beam_width
        self.single_root = definitions.mst_single_root
        self.rules = Rules(definitions.stackptr_any_order, self.single_root)

    def scorer(self, batch: Batch, noise: Noise | None) -> "NetworkScorer":
        return NetworkScorer(self.network, self.network.memory(batch, noise, self.runtime), self.runtime)

    @torch.inference_mode()
    def log_probs(self, treebank: Treebank, pool: TreePool) -> Float32[np.ndarray, "candidate sentence"]:
        check_same_sentences(treebank, pool)
        check_trees(pool)
        encoded = encode(treebank, self.vocabulary, self.vectors)
        relations, first_equal = relation_ids(pool, self.vocabulary.relation_ids), pool.first_equal()
        result = np.empty(pool.log_probs.shape, dtype=np.float32)
        for sentences in self._scoring_batches(encoded):
            batch = make_batch(encoded, sentences, self.runtime.device)
            padding_scored = self.network.definitions.stackptr_padding_scored
            memory = self.network.memory(batch, None, self.runtime, padding_scored)
            result[:, batch.sentences] = tree_log_probs(
                self.network, memory, batch, pool, relations, first_equal, self.runtime
            )
        return result

    def _scoring_batches(self, encoded: EncodedTreebank):
        if not self.network.definitions.stackptr_padding_scored:
            return decoding_batches(encoded, self.runtime, copies=4)
        # Scores depend on the batch: the authors' are of consecutive sentences.
        return np.array_split(
            np.arange(len(encoded.lengths)), range(AUTHORS_BATCH, len(encoded.lengths), AUTHORS_BATCH)
        )


class PointerEnsemble(PointerParser):
    """Several parsers as one: the mean of their log-probabilities at each step (the authors' ensemble baseline).

    The members must be of this kind and share vocabulary, vectors, rules and beam width, as models of one profile do;
    ValueError otherwise.
    """

    def __init__(self, members: Sequence[StackPtrParser]) -> None:
        first = members[0]
        if not all(isinstance(member, StackPtrParser) for member in members):
            raise ValueError("an ensemble is of parsers of one kind")
        if any(_definitions(member) != _definitions(first) for member in members):
            raise ValueError("the members of an ensemble must share one vocabulary, word vectors, rules and beam width")
        self.members = tuple(members)
        self.vocabulary, self.vectors, self.runtime = first.vocabulary, first.vectors, first.runtime
        self.beam_width, self.rules, self.single_root = first.beam_width, first.rules, first.single_root

    def scorer(self, batch: Batch, noise: Noise | None) -> "MeanScorer":
        return MeanScorer([member.scorer(batch, noise) for member in self.members])

    def log_probs(self, treebank: Treebank, pool: TreePool) -> Float32[np.ndarray, "candidate sentence"]:
        """The mean of the members' log-probabilities, which is the sum of the steps' means."""
        return np.mean([member.log_probs(treebank, pool) for member in self.members], axis=0)


class NetworkScorer:
    """One network reading hypotheses (`bcrlib.samplers.rules.StepScorer`)."""

    def __init__(self, network: StackPtr, memory: Memory, runtime: Runtime) -> None:
        self.network, self.memory, self.runtime = network, memory, runtime
        self.masked, self.cell = memory.hidden, memory.cell
        self.states: States | None = None
        self.num_before = 1

    def advance(self, hyps: PartialTrees, parent: Tensor) -> Tensor:
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

    def label(self, parent: Tensor, word: Tensor, is_pop: Tensor) -> tuple[Tensor, Tensor]:
        return best_labels([self], parent, word, is_pop)


class MeanScorer:
    """Several networks reading the same hypotheses; the mean of their log-probabilities."""

    def __init__(self, members: list[NetworkScorer]) -> None:
        self.members = members

    def advance(self, hyps: PartialTrees, parent: Tensor) -> Tensor:
        return torch.stack([member.advance(hyps, parent) for member in self.members]).mean(dim=0)

    def label(self, parent: Tensor, word: Tensor, is_pop: Tensor) -> tuple[Tensor, Tensor]:
        return best_labels(self.members, parent, word, is_pop)


def best_labels(members: list[NetworkScorer], parent: Tensor, word: Tensor, is_pop: Tensor) -> tuple[Tensor, Tensor]:
    """The best relation of each step by the members' mean, [sentence, child] its log p and number.

    Where finishing a word has a label, the best one there adds its log p too (authors' code); a word that is attached
    never gets that label.
    """
    pop_label = members[0].network.pop_label
    rows = ~is_pop if pop_label is None else torch.ones_like(is_pop)
    log_probs = torch.stack([member.label_log_probs(parent, word, rows) for member in members]).mean(dim=0)
    if pop_label is not None:
        log_probs[~is_pop[rows], pop_label] = float("-inf")
    best, relation = log_probs.max(dim=1)
    score, number = torch.zeros(word.shape, device=word.device), torch.zeros_like(word)
    score[rows], number[rows] = best, relation
    return score, number


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


def _definitions(parser: StackPtrParser) -> tuple:
    return parser.vocabulary, parser.vectors and parser.vectors.name, parser.rules, parser.beam_width
