"""What re-ranking needs of a model: it proposes structures and scores anybody's. One walk for all kinds of parsers.

A kind of parser says how it reads items (sentences, utterances), cuts them into batches, proposes for a batch, and
scores one; what a training and a checkpoint ask of it stands in `bcrlib.parsers.training`.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from copy import copy
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar

import numpy as np
import torch
from jaxtyping import Float32, Int16, Int64
from torch import nn

from bcrlib.data.candidates import Pool, joined
from bcrlib.data.presets import preset
from bcrlib.parsers.batches import Precision, Runtime
from bcrlib.samplers.strategies import DropoutP, Joined, OneBest, Single, Strategy

if TYPE_CHECKING:
    from bcrlib.parsers.training import Lessons


class Parser(ABC):
    """Trained networks of one kind. Several are an ensemble (the authors' baseline; `ensemble`)."""

    SHARED: str
    """What the members of an ensemble have in common, in words."""
    selection_strategy: Strategy = OneBest()
    """How it parses when a checkpoint is selected on dev."""
    watch: Callable[[int], None] = staticmethod(lambda num_items: None)
    """Told after each batch how many items it had: for whoever waits for `candidates` or `log_probs`."""

    def __init__(self, networks: Sequence[nn.Module], runtime: Runtime) -> None:
        self.networks = tuple(network.to(runtime.device).eval() for network in networks)
        self.runtime, self.config = runtime, networks[0].config
        self.definitions = preset(self.config.preset)

    @property
    def network(self) -> nn.Module:
        """Of a single parser."""
        (network,) = self.networks
        return network

    def candidates(self, bank: Any, strategy: Strategy, seed: int = 0) -> Any:
        """A pool of candidates for every item; only the words (and UPOS) of the bank are looked at.

        `seed` names the random choices of a sampling strategy. A sample depends on the seed, its number and the words
        of its item, on nothing else. All have this parser's own `log_probs`, also what thinned networks found: a pool
        with dropout-p costs one more than `decoded`. Of joined pools equal structures come once.
        ValueError: a strategy that this kind does not have, or no item.
        """
        if isinstance(strategy, Joined):
            pool = joined([self.decoded(bank, part, seed) for part in strategy.parts])
        else:
            pool = self.decoded(bank, strategy, seed)
        is_thinned = isinstance(strategy, DropoutP | Joined)
        return replace(pool, log_probs=self.log_probs(bank, pool)) if is_thinned else pool

    @torch.inference_mode()
    def decoded(self, bank: Any, strategy: Single, seed: int = 0) -> Any:
        """The same candidates, each with the log-probability that it was decoded by: of dropout-p, in its sub-network.

        For who scores them later, with others, or asks what decoding alone costs.
        """
        self.check_strategy(strategy)
        read = self.read(bank)
        proposals = (self.propose(read, items, strategy, seed) for items in self._walk(read, strategy))
        with self.runtime.threads():
            return self.gathered(bank, strategy.num_candidates, proposals)

    @torch.inference_mode()
    def log_probs(self, bank: Any, pool: Any) -> Float32[np.ndarray, "candidate item"]:
        """log p(structure | item) of every candidate, whoever proposed it; -inf where it has a name unknown here.

        ValueError for candidates that cannot be of these items.
        """
        asked, read = self.numbered(bank, pool), self.read(bank)
        result = np.empty(pool.log_probs.shape, dtype=np.float32)
        with self.runtime.threads():
            for items in self._walk(read, None):
                result[:, items] = self.score(read, items, asked)
        return result

    def _walk(self, read: Any, strategy: Single | None) -> Iterator[Int64[np.ndarray, "some"]]:
        for items in self.batches(read, strategy):
            yield items
            self.watch(len(items))

    @abstractmethod
    def read(self, bank: Any) -> Any:
        """The words of a bank in this parser's numbers. ValueError for what it cannot take."""

    @abstractmethod
    def check_strategy(self, strategy: Single) -> None:
        """ValueError for a strategy that this kind of parser does not have."""

    @abstractmethod
    def batches(self, read: Any, strategy: Single | None) -> Iterator[Int64[np.ndarray, "some"]]:
        """Every item once, cut into what fits while candidates are proposed by a strategy, or (None) scored."""

    @abstractmethod
    def propose(self, read: Any, items: Int64[np.ndarray, "some"], strategy: Single, seed: int) -> Any:
        """Candidates of some items, as `gathered` takes them."""

    @abstractmethod
    def gathered(self, bank: Any, num_candidates: int, proposals: Iterable[Any]) -> Pool:
        """The pool of all that was proposed, batch by batch."""

    @abstractmethod
    def numbered(self, bank: Any, pool: Any) -> Any:
        """The pool in this parser's numbers, as `score` takes it. ValueError where it cannot be of these items."""

    @abstractmethod
    def score(self, read: Any, items: Int64[np.ndarray, "some"], asked: Any) -> Float32[np.ndarray, "candidate some"]:
        """log p of all candidates of some items."""

    @abstractmethod
    def dev_score(self, dev: Any) -> float:
        """How good its structures by `selection_strategy` are, from 0 to 1: the criterion of a training."""

    @abstractmethod
    def lessons(self, gold: Any, recipe: Any, precision: Precision) -> "Lessons":
        """What a training of the network does with a batch."""

    @abstractmethod
    def shared(self) -> tuple:
        """What `SHARED` says in words."""

    @classmethod
    @abstractmethod
    def untrained(cls, config: Any, gold: Any, runtime: Runtime) -> Self:
        """A parser with the alphabets of a gold bank, and weights from torch's random numbers."""

    @abstractmethod
    def files(self) -> dict[str, Any]:
        """Name -> text, or value to be written as JSON: its checkpoint but for weights; config.json tells the kind."""

    @classmethod
    @abstractmethod
    def restored(cls, fields: dict[str, Any], folder: Path, runtime: Runtime) -> Self:
        """The parser of a checkpoint, its weights still to be loaded. `fields`: of config.json."""


AnyParser = TypeVar("AnyParser", bound=Parser)


def ensemble(parsers: Sequence[AnyParser]) -> AnyParser:
    """Several parsers as one, whose log-probabilities are means; the kind says of what.

    ValueError for parsers of several kinds, or that differ in what members must share.
    """
    first = parsers[0]
    if any(type(parser) is not type(first) for parser in parsers):
        raise ValueError("an ensemble is of parsers of one kind")
    if any(parser.shared() != first.shared() for parser in parsers):
        raise ValueError(f"the members of an ensemble must share {first.SHARED}")
    whole = copy(first)
    whole.networks = tuple(network for parser in parsers for network in parser.networks)
    return whole


def scored_once(
    first_equal: Int16[np.ndarray, "candidate item"],
    score: Callable[[Int64[np.ndarray, "pair"], Int64[np.ndarray, "pair"]], Float32[np.ndarray, "pair"]],
) -> Float32[np.ndarray, "candidate item"]:
    """Scores of all candidates of a batch, where `score` sees equal ones once, as numbers of item and candidate."""
    item, candidate = np.nonzero((first_equal == np.arange(len(first_equal))[:, None]).T)
    number = np.zeros(first_equal.shape, dtype=np.int64)
    number[candidate, item] = np.arange(len(item))
    return score(item, candidate)[number[first_equal, np.arange(first_equal.shape[1])]]
