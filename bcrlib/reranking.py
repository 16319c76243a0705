"""Backward-congruent re-ranking, the paper's method (BCR): the new model proposes, the old model picks.

    score(y) = new_weight * log p_new(y | x)  +  sum_j old_weight_j * log p_old_j(y | x)

One old model and new_weight 0 is the paper's method; several old models are its multi-round extension.  An
oracle is a score too, one that looks at the gold trees.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float, Float64, Int64, Shaped


def bcr_scores(
    new_log_probs: Float[np.ndarray, "candidate sentence"],
    old_log_probs: Sequence[Float[np.ndarray, "candidate sentence"]],
    new_weight: float = 0.0,
    old_weights: Sequence[float] = (1.0,),
) -> Float64[np.ndarray, "candidate sentence"]:
    """The score above, in nats.  A model of weight 0 is not looked at.

    Raises ValueError unless there is one weight for each old model.  O(models candidates sentences).
    """
    scores = np.zeros(new_log_probs.shape)
    models = [(new_weight, new_log_probs), *zip(old_weights, old_log_probs, strict=True)]
    for weight, log_probs in models:
        if weight:  # 0 times minus infinity would be nan
            scores += weight * log_probs.astype(np.float64)
    return scores


def choose(scores: Float[np.ndarray, "candidate sentence"]) -> Int64[np.ndarray, "sentence"]:
    """The best candidate of each sentence; of equal ones the first (authors' code).  ValueError for nan."""
    if np.isnan(scores).any():
        raise ValueError("a candidate's score is nan")
    return scores.argmax(axis=0)


def take(
    of_candidates: Shaped[np.ndarray, "candidate unit"],
    choice: Int64[np.ndarray, "sentence"],
    sentence_of_unit: Int64[np.ndarray, "unit"],
) -> Shaped[np.ndarray, "unit"]:
    """What is known of the candidates' units (right or not, say), for the chosen candidates.  O(units)."""
    return of_candidates[choice[sentence_of_unit], np.arange(len(sentence_of_unit))]


def accuracy_oracle(
    right: Bool[np.ndarray, "candidate unit"], sentence_of_unit: Int64[np.ndarray, "unit"], num_sentences: int
) -> Float64[np.ndarray, "candidate sentence"]:
    """Score = units that are right: the best a re-ranker can do for accuracy (paper, Tables 6 and 9).

    O(candidates units).
    """
    return np.stack([np.bincount(sentence_of_unit, row, num_sentences) for row in right])


def nfr_oracle(
    right: Bool[np.ndarray, "candidate unit"],
    old_right: Bool[np.ndarray, "unit"],
    sentence_of_unit: Int64[np.ndarray, "unit"],
    num_sentences: int,
) -> Float64[np.ndarray, "candidate sentence"]:
    """Score = minus the negative flips: the fewest the pool allows (paper, Tables 6 and 9).

    O(candidates units).
    """
    return -accuracy_oracle(old_right & ~right, sentence_of_unit, num_sentences)
