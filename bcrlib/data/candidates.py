"""Candidate pools: what the new model proposes and the old model chooses from."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float32, Int16, Int64


@dataclass(frozen=True, eq=False)
class CandidatePool:
    """The same number of candidate trees for every sentence of a treebank, duplicates kept.

    Columnar like the treebank: token t (1-based) of sentence s is column offsets[s] + t - 1.
    A 1-best prediction is a pool of one candidate.
    """

    heads: Int16[np.ndarray, "candidate token"]
    """Head of every token; 0 = root."""
    relations: Int16[np.ndarray, "candidate token"]
    """Index into `relation_names`."""
    relation_names: tuple[str, ...]
    log_probs: Float32[np.ndarray, "candidate sentence"]
    """log p(tree | sentence) under the model that proposed it; of dropout-p under the whole network, not its
    sub-networks."""
    offsets: Int64[np.ndarray, "sentence_plus_one"]

    @property
    def num_candidates(self) -> int:
        return self.heads.shape[0]

    @property
    def num_sentences(self) -> int:
        return len(self.offsets) - 1

    def relation_strings(self, candidate: int = 0) -> list[str]:
        """The relations of one candidate of every sentence, by name: [token]."""
        return [self.relation_names[i] for i in self.relations[candidate]]

    def first_equal(self) -> Int16[np.ndarray, "candidate sentence"]:
        """Index of the first candidate of the sentence that is the same labelled tree. O(candidates^2 tokens)."""
        first = np.empty((self.num_candidates, self.num_sentences), dtype=np.int16)
        for candidate in reversed(range(self.num_candidates)):
            same = (self.heads == self.heads[candidate]) & (self.relations == self.relations[candidate])
            first[np.logical_and.reduceat(same, self.offsets[:-1], axis=1)] = candidate
        return first

    def num_distinct(self) -> Int64[np.ndarray, "sentence"]:
        """Distinct labelled trees among the candidates of each sentence."""
        return (self.first_equal() == np.arange(self.num_candidates)[:, None]).sum(axis=0)

    def take(self, candidates: slice | Int64[np.ndarray, "taken"]) -> "CandidatePool":
        """These candidates of every sentence, by number; repeats are allowed. O(taken tokens), of a slice O(1)."""
        heads, relations, log_probs = (part[candidates] for part in (self.heads, self.relations, self.log_probs))
        return replace(self, heads=heads, relations=relations, log_probs=log_probs)


def together(pools: Sequence[CandidatePool]) -> CandidatePool:
    """The candidates of several pools as one pool, in this order.

    What scores it scores a tree that several strategies found once. Pools may number their relations differently.
    ValueError for pools of other sentences. O(candidates tokens).
    """
    if not all(np.array_equal(pool.offsets, pools[0].offsets) for pool in pools):
        raise ValueError("the pools must be of the same sentences")
    names = tuple(dict.fromkeys(name for pool in pools for name in pool.relation_names))
    number = {name: np.int16(i) for i, name in enumerate(names)}
    renumbered = [np.array([number[name] for name in pool.relation_names])[pool.relations] for pool in pools]
    return CandidatePool(
        heads=np.concatenate([pool.heads for pool in pools]),
        relations=np.concatenate(renumbered),
        relation_names=names,
        log_probs=np.concatenate([pool.log_probs for pool in pools]),
        offsets=pools[0].offsets,
    )


def joined(pools: Sequence[CandidatePool]) -> CandidatePool:
    """The candidates of several pools as one pool, equal trees of a sentence once, as far as its width allows.

    As `together` otherwise; `distinct_first` says which are left. O(candidates^2 tokens).
    """
    pool = together(pools)
    return arranged(pool, distinct_first(pool.first_equal()))


def distinct_first(first_equal: Int16[np.ndarray, "candidate item"]) -> Int64[np.ndarray, "place item"]:
    """Which candidate goes where in a pool without superfluous copies: the distinct ones in their order.

    There are as many places as some item (sentence, utterance) has distinct candidates; with fewer, its first candidate
    fills the places left, as with k-best, and no re-ranker prefers that copy to the first. O(candidates items).
    """
    candidate = np.arange(len(first_equal))[:, None]
    is_copy = first_equal != candidate
    num_distinct = (~is_copy).sum(axis=0)
    order = is_copy.argsort(axis=0, kind="stable")
    return np.where(candidate < num_distinct, order, 0)[: num_distinct.max(initial=1)]


def arranged(pool: CandidatePool, order: Int64[np.ndarray, "place sentence"]) -> CandidatePool:
    """The pool with candidate order[p, s] of sentence s in place p. O(places tokens)."""
    of_token = np.repeat(order, np.diff(pool.offsets), axis=1)
    return replace(
        pool,
        heads=np.take_along_axis(pool.heads, of_token, axis=0),
        relations=np.take_along_axis(pool.relations, of_token, axis=0),
        log_probs=np.take_along_axis(pool.log_probs, order, axis=0),
    )


def single(pool: CandidatePool, choice: Int64[np.ndarray, "sentence"]) -> CandidatePool:
    """The pool of one candidate a sentence that a re-ranker chose: candidate choice[s] of sentence s."""
    return arranged(pool, choice[None])
