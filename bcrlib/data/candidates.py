"""Candidate pools: what the new model proposes and the old model chooses from. What all share, and pools of trees.

Pools of frames are in `bcrlib.data.frame_candidates`: a change of how frames are kept leaves trained dependency parsers
as they are.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, ClassVar, Protocol, Self, TypeVar

import numpy as np
from jaxtyping import Bool, Float32, Int16, Int64

from bcrlib.data.files import can_stand
from bcrlib.data.treebank import Treebank, find_cycle


class Bank(Protocol):
    """What treebanks and banks of frames have in common."""

    @property
    def words(self) -> Sequence[Sequence[str]]:
        """The words of every item."""
        ...

    @property
    def lengths(self) -> Int64[np.ndarray, "item"]:
        """How many these are."""
        ...

    def __len__(self) -> int: ...

    def select(self, items: Int64[np.ndarray, "chosen"]) -> Self:
        """The bank of these items, in this order; repeats are allowed."""
        ...

    def part(self, share: float, seed: int) -> Self:
        """A share of the items, in their order."""
        ...


class Pool(ABC):
    """The same number of candidates for every item (sentence, utterance) of a bank, duplicates kept.

    A 1-best prediction is a pool of one candidate. Subclasses are dataclasses with the structures themselves.
    """

    BY_CANDIDATE: ClassVar[tuple[str, ...]]
    """The arrays whose first axis are candidates."""
    ITEM: ClassVar[str]
    """What an item is called: key of its number in candidate files."""
    WORDS: ClassVar[str]
    """Key of its words there."""
    FILE: ClassVar[str]
    """The file that was parsed."""
    STRUCTURE: ClassVar[str]
    """What a candidate is."""
    COLUMNS: ClassVar[tuple[str, ...]]
    """Keys of a candidate in files, beside its log_prob."""
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

    @abstractmethod
    def check(self, bank: Bank) -> None:
        """ValueError where the candidates cannot be parses of these items."""

    @abstractmethod
    def taught(self, bank: Any) -> Any:
        """The bank under the first candidates in place of its own structures, to learn from (distillation)."""

    @abstractmethod
    def first_unknown(self, known: AbstractSet[str]) -> tuple[int, str] | None:
        """The first item (from 1) with a relation or label that is not among these, and what it is, in words."""

    @abstractmethod
    def cells(self, bank: Any) -> Iterator[list[dict[str, Any]]]:
        """COLUMNS of the candidates of every item, as JSON values; None for what is no structure over its words."""

    @staticmethod
    @abstractmethod
    def read_cells(cells: dict[str, Any], words: Sequence[str]) -> Any:
        """The inverse of `cells` for one candidate; None for none. ValueError: as it stands behind "candidate 3"."""

    @classmethod
    @abstractmethod
    def from_structures(
        cls, bank: Any, structures: Sequence[Sequence[Any]], log_probs: Float32[np.ndarray, "candidate item"]
    ) -> Self:
        """The pool of what `read_cells` gave, [candidate][item]."""

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
    ITEM, WORDS, FILE, STRUCTURE = "sentence", "forms", "CoNLL-U file", "tree"
    COLUMNS = ("heads", "relations")

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

    def check(self, bank: Bank) -> None:
        """ValueError where the candidates cannot be parses of these sentences."""
        if not np.array_equal(np.diff(self.offsets), bank.lengths):
            raise ValueError("the candidates are of other sentences: their lengths are not those of the treebank")

    def taught(self, treebank: Treebank) -> Treebank:
        """The treebank under the first candidates in place of its trees: to learn from (distillation), or to write."""
        return treebank.with_trees(self.heads[0].astype(np.int32), self.relation_strings())

    def first_unknown(self, known: AbstractSet[str]) -> tuple[int, str] | None:
        """The first sentence (from 1) with a relation that is not among these, and which one. O(candidates tokens)."""
        found = np.isin(self.relations, [i for i, name in enumerate(self.relation_names) if name not in known])
        if not found.any():
            return None
        token = int(found.any(axis=0).argmax())
        candidate = int(found[:, token].argmax())
        sentence = int(np.searchsorted(self.offsets, token, side="right")) - 1
        place = f"candidate {candidate + 1}, word {token - int(self.offsets[sentence]) + 1}"
        relation = self.relation_names[self.relations[candidate, token]]
        return sentence + 1, f"{place}: relation {relation!r} is known to none of the models"

    def cells(self, treebank: Treebank) -> Iterator[list[dict[str, Any]]]:
        """Heads and relations of the candidates of every sentence."""
        relations = [self.relation_strings(c) for c in range(self.num_candidates)]
        for start, end in pairwise(self.offsets.tolist()):
            heads = self.heads[:, start:end].tolist()
            yield [{"heads": heads[c], "relations": relations[c][start:end]} for c in range(self.num_candidates)]

    @staticmethod
    def read_cells(cells: dict[str, Any], words: Sequence[str]) -> tuple[list[int], list[str]]:
        """Heads and relations that make a tree over the words. ValueError: the text behind "candidate 3"."""
        heads, relations, length = cells["heads"], cells["relations"], len(words)
        for key in ("heads", "relations"):
            if not isinstance(cells[key], list):
                raise ValueError(f": {key!r} is not a list")
            if len(cells[key]) != length:
                raise ValueError(f": {len(cells[key])} {key} for {length} words")
        for word, (head, relation) in enumerate(zip(heads, relations), start=1):
            if type(head) is not int or not 0 <= head <= length:
                raise ValueError(f", word {word}: head {head!r} is not one of 0 .. {length}")
            if not isinstance(relation, str) or not can_stand(relation):
                raise ValueError(f", word {word}: {relation!r} is not a relation")
        if cycle := find_cycle(heads):
            raise ValueError(f", word {cycle[0]}: its heads lead back to itself, a cycle")
        return heads, relations

    @classmethod
    def from_structures(
        cls,
        treebank: Treebank,
        trees: Sequence[Sequence[tuple[list[int], list[str]]]],
        log_probs: Float32[np.ndarray, "candidate sentence"],
    ) -> Self:
        """The pool of these trees, [candidate][sentence]."""
        ids: dict[str, int] = {}
        heads = [[head for of_sentence, _ in column for head in of_sentence] for column in trees]
        relations = [
            [ids.setdefault(name, len(ids)) for _, of_sentence in column for name in of_sentence] for column in trees
        ]
        return cls(np.array(heads, np.int16), np.array(relations, np.int16), tuple(ids), log_probs, treebank.offsets)
