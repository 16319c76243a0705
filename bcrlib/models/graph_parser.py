"""Parsers that score arcs: decoding and scoring for the deep biaffine parser and for ensembles of it."""

from abc import abstractmethod
from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float32
from torch import Tensor

from bcrlib.candidates import CandidatePool
from bcrlib.data.treebank import Treebank
from bcrlib.data.vectors import WordVectors
from bcrlib.decoding.k_best_trees import k_best_spanning_trees
from bcrlib.decoding.spanning_trees import maximum_spanning_trees
from bcrlib.decoding.strategies import DropoutP, KBest, Strategy
from bcrlib.models.deepbiaf import DeepBiaf, ScoreTables
from bcrlib.models.encoding import Batch, EncodedTreebank, decoding_batches, encode, make_batch
from bcrlib.models.noise import Noise
from bcrlib.models.parser import Parser
from bcrlib.models.runtime import Runtime
from bcrlib.models.vocabulary import Vocabulary
from bcrlib.presets import preset
from bcrlib.randomness import key


class GraphParser(Parser):
    """A parser whose trees follow from tables of arc and label log-probabilities."""

    vocabulary: Vocabulary
    vectors: WordVectors | None
    runtime: Runtime
    single_root: bool

    @abstractmethod
    def tables(self, batch: Batch, noise: Noise | None) -> ScoreTables:
        """The tables of a batch."""

    def candidates(self, treebank: Treebank, strategy: Strategy, seed: int = 0) -> CandidatePool:
        encoded = encode(treebank, self.vocabulary, self.vectors)
        pool = _empty_pool(treebank, strategy.num_candidates, self.vocabulary.relations)
        copies = strategy.num_candidates if isinstance(strategy, DropoutP) else 1
        for sentences in decoding_batches(encoded, self.runtime.max_tokens, copies):
            samples = np.repeat(np.arange(copies), len(sentences))
            batch, samples = _batch(encoded, np.tile(sentences, copies), samples, self.runtime.device)
            noise = _noise(encoded, batch, samples, strategy, seed)
            self._decode(batch, samples, noise, strategy, pool)
        return pool

    @torch.inference_mode()
    def _decode(self, batch: Batch, samples: np.ndarray, noise: Noise | None, strategy: Strategy, pool) -> None:
        tables = self.tables(batch, noise)
        best_labels, labels = tables.labels.max(dim=2)  # (sentence, dep, head)
        scores = (tables.arcs + best_labels).cpu().numpy()
        lengths = batch.packing.lengths.cpu().numpy() - 1
        num_trees = strategy.num_candidates if isinstance(strategy, KBest) else 1
        if num_trees == 1:
            heads = maximum_spanning_trees(scores, lengths, self.single_root)[:, None]
        else:
            heads = k_best_spanning_trees(scores, lengths, num_trees, self.single_root)[0]
        _store(pool, batch, samples, heads, scores, labels.cpu().numpy())

    @torch.inference_mode()
    def log_probs(self, treebank: Treebank, pool: CandidatePool) -> Float32[np.ndarray, "candidate sentence"]:
        if not np.array_equal(pool.offsets, treebank.offsets):
            raise ValueError("the candidates are of other sentences: their lengths are not those of the treebank")
        encoded = encode(treebank, self.vocabulary, self.vectors)
        names = [self.vocabulary.relation_ids.get(name, -1) for name in pool.relation_names]
        heads, relations = torch.tensor(pool.heads), torch.tensor(names)[torch.tensor(pool.relations).long()]
        result = np.empty(pool.log_probs.shape, dtype=np.float32)
        for sentences in decoding_batches(encoded, self.runtime.max_tokens):
            batch = make_batch(encoded, sentences, self.runtime.device)
            words, columns = _words_and_columns(batch, pool.offsets)
            tables = self.tables(batch, None)
            scored = score_trees(tables, batch, words, heads[:, columns].long(), relations[:, columns])
            result[:, batch.sentences] = scored.cpu().numpy()
        return result


class DeepBiafParser(GraphParser):
    """One trained network with its vocabulary and pretrained vectors."""

    def __init__(
        self, network: DeepBiaf, vocabulary: Vocabulary, vectors: WordVectors | None, runtime: Runtime
    ) -> None:
        self.network = network.to(runtime.device).eval()
        self.vocabulary = vocabulary
        self.vectors = vectors
        self.runtime = runtime
        self.single_root = preset(network.config.preset).mst_single_root

    def tables(self, batch: Batch, noise: Noise | None = None) -> ScoreTables:
        return self.network.tables(batch, noise, self.runtime)


class GraphEnsemble(GraphParser):
    """Several parsers as one: the mean of their log-probabilities (the authors' ensemble baseline).

    The members must share vocabulary, vectors and root constraint, as models of one profile do; ValueError otherwise.
    """

    def __init__(self, members: Sequence[GraphParser]) -> None:
        first = members[0]
        if any(_definitions(member) != _definitions(first) for member in members):
            raise ValueError("the members of an ensemble must share one vocabulary, word vectors and root constraint")
        self.members = tuple(members)
        self.vocabulary = first.vocabulary
        self.vectors = first.vectors
        self.runtime = first.runtime
        self.single_root = first.single_root

    def tables(self, batch: Batch, noise: Noise | None = None) -> ScoreTables:
        tables = [member.tables(batch, noise) for member in self.members]
        arcs, labels = (torch.stack(t).mean(dim=0) for t in zip(*((t.arcs, t.labels) for t in tables)))
        return ScoreTables(arcs, labels)


def _definitions(parser: GraphParser) -> tuple[Vocabulary, str | None, bool]:
    return parser.vocabulary, parser.vectors and parser.vectors.name, parser.single_root


def score_trees(tables: ScoreTables, batch: Batch, words: Tensor, heads: Tensor, relations: Tensor) -> Tensor:
    """log p of trees: [candidate, sentence], the sum over words of log p(head) + log p(relation | head).

    words: int64 [word], the rows that are words; heads, relations: int64 [candidate, word]. A relation -1 scores -inf.
    """
    heads, relations = heads.to(words.device), relations.to(words.device)
    sentence, dep = batch.packing.sentence[words], batch.packing.step[words]
    labels = tables.labels[sentence, dep, relations.clamp(min=0), heads].masked_fill(relations < 0, float("-inf"))
    log_probs = tables.arcs[sentence, dep, heads] + labels
    return log_probs.new_zeros(len(heads), batch.packing.num_sentences).index_add_(1, sentence, log_probs)


def _batch(
    encoded: EncodedTreebank, sentences: np.ndarray, samples: np.ndarray, device: str
) -> tuple[Batch, np.ndarray]:
    """The batch, and the sample number of each of its sentences in the batch's own order."""
    order = np.argsort(-encoded.lengths[sentences], kind="stable")
    return make_batch(encoded, sentences[order], device), samples[order]


def _noise(encoded: EncodedTreebank, batch: Batch, samples: np.ndarray, strategy: Strategy, seed: int) -> Noise | None:
    if not isinstance(strategy, DropoutP):
        return None
    sample_keys = np.array([key(seed, "dropout-p", i) for i in range(strategy.num_candidates)])
    keys = torch.from_numpy(encoded.keys[batch.sentences] ^ sample_keys[samples])
    return Noise(keys.to(batch.form.device), batch.packing, strategy.p)


def _words_and_columns(batch: Batch, offsets: np.ndarray) -> tuple[Tensor, np.ndarray]:
    """The packed rows that are words, and the column of each in a candidate pool."""
    words = (batch.packing.step > 0).nonzero().squeeze(1)
    sentence, step = batch.packing.sentence[words].cpu().numpy(), batch.packing.step[words].cpu().numpy()
    return words, offsets[batch.sentences[sentence]] + step - 1


def _empty_pool(treebank: Treebank, num_candidates: int, relation_names: tuple[str, ...]) -> CandidatePool:
    tokens, sentences = (num_candidates, treebank.num_tokens), (num_candidates, treebank.num_sentences)
    return CandidatePool(
        heads=np.zeros(tokens, dtype=np.int16),
        relations=np.zeros(tokens, dtype=np.int16),
        relation_names=relation_names,
        log_probs=np.zeros(sentences, dtype=np.float32),
        offsets=treebank.offsets,
    )


def _store(pool, batch: Batch, samples: np.ndarray, heads: np.ndarray, scores: np.ndarray, labels: np.ndarray) -> None:
    """Write trees [sentence, tree, dep] into the pool: tree t of sample c is candidate c + t."""
    words, columns = _words_and_columns(batch, pool.offsets)
    sentence, step = batch.packing.sentence[words].numpy(force=True), batch.packing.step[words].numpy(force=True)
    for tree in range(heads.shape[1]):
        candidate = samples + tree
        head = heads[sentence, tree, step]
        pool.heads[candidate[sentence], columns] = head
        pool.relations[candidate[sentence], columns] = labels[sentence, step, head]
        log_probs = np.bincount(sentence, scores[sentence, step, head], minlength=len(samples))
        pool.log_probs[candidate, batch.sentences] = log_probs
