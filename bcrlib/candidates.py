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


def together(pools: Sequence[CandidatePool]) -> CandidatePool:
    """The candidates of several pools of the same sentences as one pool, in this order.

    What scores it scores a tree that several strategies found once. ValueError for different relations.
    """
    if len({pool.relation_names for pool in pools}) != 1:
        raise ValueError("the pools must have the same relations")
    return replace(
        pools[0],
        heads=np.concatenate([pool.heads for pool in pools]),
        relations=np.concatenate([pool.relations for pool in pools]),
        log_probs=np.concatenate([pool.log_probs for pool in pools]),
    )


def single(pool: CandidatePool, choice: Int64[np.ndarray, "sentence"]) -> CandidatePool:
    """The pool of one candidate a sentence that a re-ranker chose: candidate choice[s] of sentence s."""
    token_choice = np.repeat(choice, np.diff(pool.offsets))
    tokens = np.arange(pool.heads.shape[1])
    return CandidatePool(
        heads=pool.heads[token_choice, tokens][None],
        relations=pool.relations[token_choice, tokens][None],
        relation_names=pool.relation_names,
        log_probs=pool.log_probs[choice, np.arange(pool.num_sentences)][None],
        offsets=pool.offsets,
    )
