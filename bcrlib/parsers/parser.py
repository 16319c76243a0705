"""What backward-congruent re-ranking needs to know about a model: it proposes structures and scores them.

Between a treebank's columns and a parser's batches: making batches, their dropout, and writing what was decoded.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float32
from torch import Tensor

from bcrlib.data.candidates import TreePool, joined
from bcrlib.data.randomness import key
from bcrlib.data.treebank import Treebank
from bcrlib.data.vectors import WordVectors
from bcrlib.parsers.batches import Runtime
from bcrlib.parsers.encoding import Batch, EncodedTreebank, Vocabulary, make_batch
from bcrlib.samplers.dropout_p import Noise
from bcrlib.samplers.strategies import DropoutP, Joined, OneBest, Single, Strategy


class Parser(ABC):
    """A trained model. Implementations: DeepBiafParser, StackPtrParser and the ensembles of each."""

    vocabulary: Vocabulary
    vectors: WordVectors | None
    runtime: Runtime
    single_root: bool
    """Whether its trees have exactly one child of the root."""
    selection_strategy: Strategy = OneBest()
    """How it parses when a checkpoint is selected on dev."""

    def candidates(self, treebank: Treebank, strategy: Strategy, seed: int = 0) -> TreePool:
        """Candidate trees of every sentence; only the words and UPOS of the treebank are looked at.

        `seed` names the random choices of a sampling strategy. A sample depends on the seed, its number and the words
        of its sentence, on nothing else. All have this parser's own `log_probs`, also what thinned networks found: a
        pool with dropout-p costs one more than `decoded`. Of joined pools equal trees come once.
        """
        if isinstance(strategy, Joined):
            pool = joined([self.decoded(treebank, part, seed) for part in strategy.parts])
        else:
            pool = self.decoded(treebank, strategy, seed)
        is_thinned = isinstance(strategy, DropoutP | Joined)
        return replace(pool, log_probs=self.log_probs(treebank, pool)) if is_thinned else pool

    @abstractmethod
    def decoded(self, treebank: Treebank, strategy: Single, seed: int = 0) -> TreePool:
        """The same candidates, each with the log-probability that it was decoded by: of dropout-p, in its sub-network.

        For who scores them later, with others, or asks what decoding alone costs.
        """

    @abstractmethod
    def log_probs(self, treebank: Treebank, pool: TreePool) -> Float32[np.ndarray, "candidate sentence"]:
        """log p(tree | sentence) of every candidate, whoever proposed it; -inf for a relation this parser lacks."""


@dataclass(frozen=True)
class ModelName:
    """Kind and seed of a model as tables and stores write them, e.g. deepbiaf/123."""

    kind: str
    seed: int

    def __str__(self) -> str:
        return f"{self.kind}/{self.seed}"


def copied_batch(encoded: EncodedTreebank, sentences: np.ndarray, copies: int, device: str) -> tuple[Batch, np.ndarray]:
    """`copies` of some sentences as one batch, and the number of the copy of each of its sentences, in its order."""
    numbers = np.repeat(np.arange(copies), len(sentences))
    sentences = np.tile(sentences, copies)
    order = np.argsort(-encoded.lengths[sentences], kind="stable")
    return make_batch(encoded, sentences[order], device), numbers[order]


def dropout_noise(
    encoded: EncodedTreebank, batch: Batch, samples: np.ndarray, strategy: Strategy, seed: int
) -> Noise | None:
    """The masks of dropout-p, fixed for each sentence and sample; None for other strategies."""
    if not isinstance(strategy, DropoutP):
        return None
    keys = sample_keys(encoded, batch, strategy, seed)[np.arange(len(samples)), samples]
    return Noise(torch.from_numpy(keys).to(batch.form.device), batch.packing, strategy.p)


def sample_keys(encoded: EncodedTreebank, batch: Batch, strategy: Strategy, seed: int) -> np.ndarray:
    """int64 [sentence, sample]: a key for every sample of every sentence of a batch."""
    name = "dropout-p" if isinstance(strategy, DropoutP) else "actions"
    of_sample = np.array([key(seed, name, i) for i in range(strategy.num_candidates)])
    return encoded.keys[batch.sentences][:, None] ^ of_sample


def words_and_columns(batch: Batch, offsets: np.ndarray) -> tuple[Tensor, np.ndarray]:
    """The packed rows that are words, and the column of each in a candidate pool."""
    words = (batch.packing.step > 0).nonzero().squeeze(1)
    sentence, step = batch.packing.sentence[words].cpu().numpy(), batch.packing.step[words].cpu().numpy()
    return words, offsets[batch.sentences[sentence]] + step - 1


def empty_pool(treebank: Treebank, num_candidates: int, relation_names: tuple[str, ...]) -> TreePool:
    """A pool to be filled by `store`."""
    tokens, sentences = (num_candidates, treebank.num_tokens), (num_candidates, treebank.num_sentences)
    return TreePool(
        heads=np.zeros(tokens, dtype=np.int16),
        relations=np.zeros(tokens, dtype=np.int16),
        relation_names=relation_names,
        log_probs=np.zeros(sentences, dtype=np.float32),
        offsets=treebank.offsets,
    )


def store(
    pool: TreePool,
    batch: Batch,
    samples: np.ndarray,
    heads: np.ndarray,
    relations: np.ndarray,
    log_probs: np.ndarray,
) -> None:
    """Write trees [sentence, tree, position] and their log-probabilities [sentence, tree] into the pool.

    Tree t of sample c is candidate c + t: several samples of one tree each, or one of several.
    """
    words, columns = words_and_columns(batch, pool.offsets)
    sentence, step = batch.packing.sentence[words].cpu().numpy(), batch.packing.step[words].cpu().numpy()
    for tree in range(heads.shape[1]):
        candidate = samples + tree
        pool.heads[candidate[sentence], columns] = heads[sentence, tree, step]
        pool.relations[candidate[sentence], columns] = relations[sentence, tree, step]
        pool.log_probs[candidate, batch.sentences] = log_probs[:, tree]


def check_same_sentences(treebank: Treebank, pool: TreePool) -> None:
    """ValueError where the candidates cannot be parses of these sentences."""
    if not np.array_equal(pool.offsets, treebank.offsets):
        raise ValueError("the candidates are of other sentences: their lengths are not those of the treebank")


def relation_ids(pool: TreePool, ids: dict[str, int]) -> np.ndarray:
    """The pool's relations in a parser's numbers, [candidate, token]; -1 for one that it does not know."""
    return np.array([ids.get(name, -1) for name in pool.relation_names])[pool.relations]
