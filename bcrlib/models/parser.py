"""What backward-congruent re-ranking needs to know about a model: it proposes structures and scores them."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float32

from bcrlib.candidates import CandidatePool, joined
from bcrlib.data.treebank import Treebank
from bcrlib.data.vectors import WordVectors
from bcrlib.decoding.strategies import DropoutP, Joined, OneBest, Single, Strategy
from bcrlib.models.runtime import Runtime
from bcrlib.models.vocabulary import Vocabulary


class Parser(ABC):
    """A trained model. Implementations: DeepBiafParser, StackPtrParser and the ensembles of each."""

    vocabulary: Vocabulary
    vectors: WordVectors | None
    runtime: Runtime
    single_root: bool
    """Whether its trees have exactly one child of the root."""
    selection_strategy: Strategy = OneBest()
    """How it parses when a checkpoint is selected on dev."""

    def candidates(self, treebank: Treebank, strategy: Strategy, seed: int = 0) -> CandidatePool:
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
    def decoded(self, treebank: Treebank, strategy: Single, seed: int = 0) -> CandidatePool:
        """The same candidates, each with the log-probability that it was decoded by: of dropout-p, in its sub-network.

        For who scores them later, with others, or asks what decoding alone costs.
        """

    @abstractmethod
    def log_probs(self, treebank: Treebank, pool: CandidatePool) -> Float32[np.ndarray, "candidate sentence"]:
        """log p(tree | sentence) of every candidate, whoever proposed it; -inf for a relation this parser lacks."""


@dataclass(frozen=True)
class ModelName:
    """Kind and seed of a model as tables and stores write them, e.g. deepbiaf/123."""

    kind: str
    seed: int

    def __str__(self) -> str:
        return f"{self.kind}/{self.seed}"
