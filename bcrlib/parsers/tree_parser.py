"""What dependency parsers share: how they read a treebank, write trees into a pool, learn from gold, and are kept."""

from abc import abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from json import loads
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import torch
from jaxtyping import Int64
from torch import Tensor, nn

from bcrlib.data.candidates import TreePool
from bcrlib.data.randomness import key
from bcrlib.data.treebank import Treebank
from bcrlib.data.vectors import CONTEXTUAL, WordVectors, load_vectors
from bcrlib.parsers.batches import Precision, Runtime, bucket_batches, training_batches
from bcrlib.parsers.configuration import NetworkConfig, TrainingConfig
from bcrlib.parsers.encoding import (
    Batch,
    EncodedTreebank,
    Vocabulary,
    build_vocabulary,
    decoding_batches,
    encode,
    make_batch,
)
from bcrlib.parsers.parser import Parser
from bcrlib.parsers.pieces import ContextualVectors
from bcrlib.samplers.dropout_p import Noise
from bcrlib.samplers.strategies import DropoutP, Single

ROOT_RELATION = "root"
"""Universal Dependencies' name; where a treebank has another, decoding knows no such rule."""


class TreeParser(Parser):
    """Networks with their vocabulary and pretrained vectors. A kind finds the trees of a batch, and scores trees."""

    Network: ClassVar[type[nn.Module]]
    """Built from configuration, vocabulary and width of vectors; it has a `config` and `loss(batch, noise)`."""
    SHARED = "one vocabulary, word vectors and root constraint"

    def __init__(
        self,
        networks: Sequence[nn.Module],
        vocabulary: Vocabulary,
        vectors: WordVectors | ContextualVectors | None,
        runtime: Runtime,
    ) -> None:
        super().__init__(networks, runtime)
        self.vocabulary, self.vectors = vocabulary, vectors
        self.single_root = self.definitions.mst_single_root
        """Whether its trees have exactly one child of the root."""
        ids = vocabulary.relation_ids
        self.root_relation = ids.get(ROOT_RELATION) if self.single_root and len(ids) > 1 else None
        """The relation of that child, and of no other word, in decoding; None: any word may have any.

        As the other rules it forbids steps, and what is left keeps its log p: that by which trees are scored.
        """

    @abstractmethod
    def weight(self, strategy: Single | None) -> int:
        """How many times what a sentence takes by itself it takes under a strategy, or (None) while it is scored."""

    @abstractmethod
    def trees(
        self, read: EncodedTreebank, batch: Batch, noise: Noise | None, strategy: Single, seed: int
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Heads and relations [sentence, tree, position], and log-probabilities [sentence, tree]."""

    def read(self, bank: Treebank) -> EncodedTreebank:
        return encode(bank, self.vocabulary, self.vectors)

    def batches(self, read: EncodedTreebank, strategy: Single | None) -> Iterator[np.ndarray]:
        return decoding_batches(read, self.runtime, self.weight(strategy))

    def propose(self, read: EncodedTreebank, items: np.ndarray, strategy: Single, seed: int) -> tuple:
        """Of every sentence one copy, or one a sample of dropout-p; with the number of the copy."""
        copies = strategy.num_candidates if isinstance(strategy, DropoutP) else 1
        samples, items = np.repeat(np.arange(copies), len(items)), np.tile(items, copies)
        order = np.argsort(-read.lengths[items], kind="stable")
        samples, batch = samples[order], make_batch(read, items[order], self.runtime.device)
        noise = None
        if isinstance(strategy, DropoutP):
            keys = sample_keys(read, batch, "dropout-p", copies, seed)[np.arange(len(samples)), samples]
            noise = Noise(torch.from_numpy(keys).to(self.runtime.device), batch.packing, strategy.p)
        return batch, samples, *self.trees(read, batch, noise, strategy, seed)

    def gathered(self, bank: Treebank, num_candidates: int, proposals: Iterable[tuple]) -> TreePool:
        """Tree t of sample c is candidate c + t: several samples of one tree each, or one of several."""
        heads, relations = np.zeros((2, num_candidates, bank.num_tokens), dtype=np.int16)
        scores = np.zeros((num_candidates, len(bank)), dtype=np.float32)
        for batch, samples, found, found_relations, log_probs in proposals:
            words, columns = words_and_columns(batch, bank.offsets)
            sentence, step = batch.packing.sentence[words].cpu().numpy(), batch.packing.step[words].cpu().numpy()
            for tree in range(found.shape[1]):
                candidate = samples + tree
                heads[candidate[sentence], columns] = found[sentence, tree, step]
                relations[candidate[sentence], columns] = found_relations[sentence, tree, step]
                scores[candidate, batch.sentences] = log_probs[:, tree]
        return TreePool(heads, relations, self.vocabulary.relations, scores, bank.offsets)

    def relation_ids(self, bank: Treebank, pool: TreePool) -> Int64[np.ndarray, "candidate token"]:
        """The pool's relations in this parser's numbers; -1 for unknown ones. ValueError: other sentences' lengths."""
        pool.check(bank)
        ids = self.vocabulary.relation_ids
        return np.array([ids.get(name, -1) for name in pool.relation_names])[pool.relations]

    def dev_score(self, dev: Treebank) -> float:
        """Mean of UAS and LAS; the preset says whether punctuation counts."""
        scored = np.ones(dev.num_tokens, dtype=bool)
        if not self.definitions.select_with_punct:
            scored = np.array([tag not in self.definitions.punct_exclude for tag in dev.upos])
        pool = self.candidates(dev, self.selection_strategy)
        right_head = pool.heads[0] == dev.heads
        right_both = right_head & (np.array(pool.relation_strings()) == np.array(dev.relations))
        return float((right_head[scored].mean() + right_both[scored].mean()) / 2)

    def lessons(self, gold: Treebank, recipe: TrainingConfig, precision: Precision) -> "TreeLessons":
        return TreeLessons(self, gold, recipe, precision)

    def shared(self) -> tuple:
        return self.vocabulary, self.vectors and self.vectors.name, self.single_root

    @classmethod
    def of_vocabulary(cls, config: NetworkConfig, vocabulary: Vocabulary, runtime: Runtime) -> Self:
        """A parser with these alphabets, untrained."""
        contextual = config.vectors in CONTEXTUAL
        vectors = ContextualVectors(config.vectors, runtime.device) if contextual else load_vectors(config.vectors)
        network = cls.Network(config, vocabulary, None if vectors is None else vectors.dim)
        return cls([network], vocabulary, vectors, runtime)

    @classmethod
    def untrained(cls, config: NetworkConfig, gold: Treebank, runtime: Runtime) -> Self:
        return cls.of_vocabulary(config, build_vocabulary(gold), runtime)

    def files(self) -> dict[str, Any]:
        return {"config.json": asdict(self.config), "vocabulary.json": self.vocabulary.to_json()}

    @classmethod
    def restored(cls, fields: dict[str, Any], folder: Path, runtime: Runtime) -> Self:
        vocabulary = Vocabulary.from_json(loads((folder / "vocabulary.json").read_text("utf-8")))
        return cls.of_vocabulary(NetworkConfig(**fields), vocabulary, runtime)


class TreeLessons:
    """Gold trees, batch by batch (`bcrlib.parsers.training.Lessons`); masks of dropout by the sentence."""

    def __init__(self, parser: TreeParser, gold: Treebank, recipe: TrainingConfig, precision: Precision) -> None:
        self.network, self.recipe, self.read = parser.network, recipe, parser.read(gold)
        self.runtime = Runtime(parser.runtime.device, precision)
        self.groups = [{"params": [*self.network.parameters()], "lr": recipe.learning_rate}]

    def batches(self, rng: np.random.Generator) -> list[np.ndarray]:
        """Of one epoch."""
        if self.recipe.batch_tokens:
            return training_batches(self.read.lengths, self.recipe.batch_tokens, rng)
        return bucket_batches(self.read.lengths, rng)

    def loss(self, items: np.ndarray, rng: np.random.Generator) -> tuple[Tensor, Tensor, int]:
        """-log p of the gold trees, which is told as it is; over so many words."""
        batch = make_batch(self.read, items, self.runtime.device)
        keys = torch.from_numpy(rng.integers(2**63, size=len(items))).to(self.runtime.device)
        with self.runtime.autocast():
            loss = self.network.loss(batch, Noise(keys, batch.packing, self.recipe.dropout))
        return loss, loss.detach(), batch.packing.num_rows - len(items)


def sample_keys(
    read: EncodedTreebank, batch: Batch, name: str, number: int, seed: int
) -> Int64[np.ndarray, "sentence sample"]:
    """A key for each of so many samples of every sentence of a batch; `name` says of what."""
    return read.keys[batch.sentences][:, None] ^ np.array([key(seed, name, i) for i in range(number)])


def words_and_columns(batch: Batch, offsets: np.ndarray) -> tuple[Tensor, np.ndarray]:
    """The packed rows that are words, and the column of each in a candidate pool."""
    words = (batch.packing.step > 0).nonzero().squeeze(1)
    sentence, step = batch.packing.sentence[words].cpu().numpy(), batch.packing.step[words].cpu().numpy()
    return words, offsets[batch.sentences[sentence]] + step - 1
