"""What backward-congruent re-ranking needs to know about a model: it proposes structures and scores them."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32

from bcrlib.candidates import CandidatePool
from bcrlib.data.treebank import Treebank
from bcrlib.data.vectors import WordVectors
from bcrlib.decoding.strategies import OneBest, Strategy
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

    @abstractmethod
    def candidates(self, treebank: Treebank, strategy: Strategy, seed: int = 0) -> CandidatePool:
        """Candidate trees of every sentence; only the words and UPOS of the treebank are looked at.

        `seed` names the random choices of a sampling strategy. A sample depends on the seed, its number and the words
        of its sentence, on nothing else.
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
