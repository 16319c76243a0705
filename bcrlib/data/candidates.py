"""Candidate pools: what the new model proposes and the old model chooses from. What all share, and pools of trees.

Pools of frames are in `bcrlib.data.frame_candidates`: a change of how frames are kept leaves trained dependency parsers
as they are.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Self, TypeVar

import numpy as np
from jaxtyping import Bool, Float32, Int16, Int64

from bcrlib.data.treebank import Treebank


class Pool(ABC):
    """The same number of candidates for every item (sentence, utterance) of a bank, duplicates kept.

    A 1-best prediction is a pool of one candidate. Subclasses are dataclasses with the structures themselves.
    """

    BY_CANDIDATE: ClassVar[tuple[str, ...]]
    """The arrays whose first axis are candidates."""
    log_probs: Float32[np.ndarray, "candidate item"]
    """log p(structure | item) under the model that proposed it; of dropout-p under the whole network, not its
    sub-networks."""

    @property
    def num_candidates(self) -> int:
        return self.log_probs.shape[0]

    @property
    def num_items(self) -> int:
        return self.log_probs.shape[1]

    @abstractmethod
    def equal_to(self, candidate: int) -> Bool[np.ndarray, "behind item"]:
        """Which candidates from this one on are the same structure as it."""

    @abstractmethod
    def arranged(self, order: Int64[np.ndarray, "place item"]) -> Self:
        """The pool with candidate order[p, i] of item i in place p. O(places sizes)."""

    @abstractmethod
    def followed_by(self, others: Sequence[Self]) -> Self:
        """See `together`."""

    def first_equal(self) -> Int16[np.ndarray, "candidate item"]:
        """Index of the first candidate of the item that is the same structure. O(candidates^2 sizes)."""
        first = np.empty(self.log_probs.shape, dtype=np.int16)
        for candidate in reversed(range(self.num_candidates)):
            first[candidate:][self.equal_to(candidate)] = candidate
        return first

    def num_distinct(self) -> Int64[np.ndarray, "item"]:
        """Distinct structures among the candidates of each item."""
        return (self.first_equal() == np.arange(self.num_candidates)[:, None]).sum(axis=0)

    def take(self, candidates: slice | Int64[np.ndarray, "taken"]) -> Self:
        """These candidates of every item, by number; repeats are allowed. O(taken sizes), of a slice O(1)."""
        return replace(self, **{name: getattr(self, name)[candidates] for name in self.BY_CANDIDATE})

    def single(self, choice: Int64[np.ndarray, "item"]) -> Self:
        """The pool of one candidate an item that a re-ranker chose: candidate choice[i] of item i."""
        return self.arranged(choice[None])


AnyPool = TypeVar("AnyPool", bound=Pool)


def together(pools: Sequence[AnyPool]) -> AnyPool:
    """The candidates of several pools as one pool, in this order.

    What scores it scores a structure that several strategies found once. Pools may number their relations or labels
    differently. ValueError for pools of other items. O(candidates sizes).
    """
    return pools[0].followed_by(pools[1:])


def joined(pools: Sequence[AnyPool]) -> AnyPool:
    """The candidates of several pools as one pool, equal ones of an item once, as far as its width allows.

    As `together` otherwise; `distinct_first` says which are left. O(candidates^2 sizes).
    """
    pool = together(pools)
    return pool.arranged(distinct_first(pool.first_equal()))


def distinct_first(first_equal: Int16[np.ndarray, "candidate item"]) -> Int64[np.ndarray, "place item"]:
    """Which candidate goes where in a pool without superfluous copies: the distinct ones in their order.

    There are as many places as some item has distinct candidates; with fewer, its first candidate fills the places
    left, as with k-best, and no re-ranker prefers that copy to the first. O(candidates items).
    """
    candidate = np.arange(len(first_equal))[:, None]
    is_copy = first_equal != candidate
    num_distinct = (~is_copy).sum(axis=0)
    order = is_copy.argsort(axis=0, kind="stable")
    return np.where(candidate < num_distinct, order, 0)[: num_distinct.max(initial=1)]


@dataclass(frozen=True, eq=False)
class TreePool(Pool):
    """Candidate trees of a treebank, columnar too: token t (from 1) of sentence s is column offsets[s] + t - 1."""

    BY_CANDIDATE = ("heads", "relations", "log_probs")

    heads: Int16[np.ndarray, "candidate token"]
    """Head of every token; 0 = root."""
    relations: Int16[np.ndarray, "candidate token"]
    """Index into `relation_names`."""
    relation_names: tuple[str, ...]
    log_probs: Float32[np.ndarray, "candidate sentence"]
    offsets: Int64[np.ndarray, "sentence_plus_one"]

    def relation_strings(self, candidate: int = 0) -> list[str]:
        """The relations of one candidate of every sentence, by name: [token]."""
        return [self.relation_names[i] for i in self.relations[candidate]]

    def equal_to(self, candidate: int) -> Bool[np.ndarray, "behind sentence"]:
        """Which candidates from this one on are the same labelled tree."""
        heads, relations = self.heads[candidate:], self.relations[candidate:]
        same = (heads == heads[0]) & (relations == relations[0])
        return np.logical_and.reduceat(same, self.offsets[:-1], axis=1)

    def arranged(self, order: Int64[np.ndarray, "place sentence"]) -> Self:
        """The pool with candidate order[p, s] of sentence s in place p. O(places tokens)."""
        of_token = np.repeat(order, np.diff(self.offsets), axis=1)
        return replace(
            self,
            heads=np.take_along_axis(self.heads, of_token, axis=0),
            relations=np.take_along_axis(self.relations, of_token, axis=0),
            log_probs=np.take_along_axis(self.log_probs, order, axis=0),
        )

    def followed_by(self, others: Sequence["TreePool"]) -> "TreePool":
        """See `together`."""
        pools = [self, *others]
        if not all(np.array_equal(pool.offsets, self.offsets) for pool in others):
            raise ValueError("the pools must be of the same sentences")
        names = tuple(dict.fromkeys(name for pool in pools for name in pool.relation_names))
        number = {name: np.int16(i) for i, name in enumerate(names)}
        renumbered = [np.array([number[name] for name in pool.relation_names])[pool.relations] for pool in pools]
        return TreePool(
            heads=np.concatenate([pool.heads for pool in pools]),
            relations=np.concatenate(renumbered),
            relation_names=names,
            log_probs=np.concatenate([pool.log_probs for pool in pools]),
            offsets=self.offsets,
        )

    def taught(self, treebank: Treebank) -> Treebank:
        """The treebank under the first candidates in place of its trees: to learn from (distillation), or to write."""
        return treebank.with_trees(self.heads[0].astype(np.int32), self.relation_strings())
