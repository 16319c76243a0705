"""What backward-congruent re-ranking needs to know about a model: it proposes structures and scores them."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float32

from bcrlib.candidates import CandidatePool, joined
from bcrlib.data.treebank import Treebank
from bcrlib.data.vectors import WordVectors
from bcrlib.decoding.strategies import Joined, OneBest, Strategy
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


def joined_candidates(parser: Parser, treebank: Treebank, strategy: Joined, seed: int) -> CandidatePool:
    """The candidates of every part, equal trees once, with the parser's own log-probabilities.

    A part's own could not be compared: a sample of dropout-p has that of a thinned network. Costs what the parts cost,
    and scoring them.
    """
    pool = joined([parser.candidates(treebank, part, seed) for part in strategy.parts])
    return replace(pool, log_probs=parser.log_probs(treebank, pool))


@dataclass(frozen=True)
class ModelName:
    """Kind and seed of a model as tables and stores write them, e.g. deepbiaf/123."""

    kind: str
    seed: int

    def __str__(self) -> str:
        return f"{self.kind}/{self.seed}"
