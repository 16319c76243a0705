"""What a candidate pool offers before anybody picks: how different its trees are, how good, and whether one is safe.

Re-ranking can only be as good as its candidates.  Copies of one tree leave nothing to choose; trees that differ because
they are bad are no choice either.  A sentence is *safe* if some candidate breaks nothing in it: gets every unit right
that the old model gets right.  In every other sentence something breaks, whichever candidate is picked.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Int16, Int64

from bcrlib.experiments.counting import Update, new_models, old_models
from bcrlib.experiments.store import CorrectnessStore, Pool, System
from bcrlib.metrics.attachment import Units
from bcrlib.metrics.uncertainty import Estimate, Name
from bcrlib.reranking import nfr_oracle

MEASURES = ("distinct trees", "same tree", "same verdict", "ACC random", "safe")


@dataclass(frozen=True, eq=False)
class Share:
    """A mean over sentences, as parts that the bootstrap can draw anew: its value is sum(amount) / sum(out_of)."""

    amount: Float64[np.ndarray, "model sentence"]
    """Of each new model and sentence."""
    out_of: Float64[np.ndarray, "model sentence"]
    """Sentences (0 or 1), or units."""


def num_distinct(first_equal: Int16[np.ndarray, "candidate sentence"]) -> Int64[np.ndarray, "sentence"]:
    """Different trees among the candidates of each sentence, relations counting.

    `first_equal` is the index of the first candidate that is the same tree, as the store has it; the first n rows of
    it belong to the first n candidates.  O(candidates sentences).
    """
    return (first_equal == np.arange(len(first_equal))[:, None]).sum(axis=0)


def same_tree(first_equal: Int16[np.ndarray, "candidate sentence"]) -> Float64[np.ndarray, "sentence"]:
    """Of all pairs of candidates of a sentence, the share whose trees are the same.

    A tree with c copies makes c (c - 1) of the n (n - 1) ordered pairs.  ValueError for fewer than two candidates.
    O(candidates^2 sentences).
    """
    num_pairs = _num_ordered_pairs(len(first_equal))
    copies = np.stack([(first_equal == first).sum(axis=0) for first in range(len(first_equal))])
    return (copies * (copies - 1)).sum(axis=0) / num_pairs


def same_verdict(right: Bool[np.ndarray, "candidate unit"]) -> Float64[np.ndarray, "unit"]:
    """Of all pairs of candidates, the share of which a unit is right in both or wrong in both.

    ValueError for fewer than two candidates.  O(candidates units).
    """
    num_pairs, num_right = _num_ordered_pairs(len(right)), right.sum(axis=0)
    num_wrong = len(right) - num_right
    return (num_right * (num_right - 1) + num_wrong * (num_wrong - 1)) / num_pairs


def breaks_nothing(
    right: Bool[np.ndarray, "candidate unit"],
    old_right: Bool[np.ndarray, "unit"],
    sentence_of_unit: Int64[np.ndarray, "unit"],
    num_sentences: int,
) -> Bool[np.ndarray, "candidate sentence"]:
    """Whether a candidate gets every unit of its sentence right that the old model gets right.  O(candidates units)."""
    return nfr_oracle(right, old_right, sentence_of_unit, num_sentences) == 0


def measure(
    store: CorrectnessStore,
    preset: str,
    level: str,
    update: Update,
    strategy: str,
    num_candidates: int | None = None,
) -> dict[str, Share]:
    """What the first `num_candidates` of the new models' pools offer (all by default), by the names in MEASURES.

    distinct trees  different trees a sentence (num_distinct)
    same tree       share of pairs of candidates that are one tree (same_tree); not for a single candidate
    same verdict    the same for units and their correctness (same_verdict); not for a single candidate
    ACC random      accuracy of a candidate drawn by lot
    safe            sentences with units of which some candidate breaks nothing; mean over the old models

    KeyError names what is not stored.  O(new models (candidates^2 sentences + old models candidates units)).
    """
    units = store.load_units(preset)
    old_rights = [store.load_system(system, preset, level) for system in _old_systems(store, update)]
    of_model = [
        _of_pool(store, Pool(name, strategy), preset, level, units, old_rights, num_candidates)
        for name in new_models(store, update.new)
    ]
    return {
        name: Share(*(np.stack([parts[name][side] for parts in of_model]) for side in (0, 1))) for name in of_model[0]
    }


def share_intervals(
    shares: Mapping[Name, Share], num_resamples: int, rng: np.random.Generator, coverage: float = 0.95
) -> dict[Name, Estimate]:
    """Each mean with its percentile bootstrap interval: sentences and new models are drawn anew, once for all shares.

    ValueError for shares of different models or sentences.  O(shares resamples models sentences).
    """
    (shape,) = {share.amount.shape for share in shares.values()}
    models, sentences = (
        rng.multinomial(size, np.full(size, 1 / size), num_resamples).astype(np.float64) for size in shape
    )
    intervals = {}
    for name, share in shares.items():
        amount, out_of = (np.einsum("rm,rm->r", models, sentences @ side.T) for side in (share.amount, share.out_of))
        low, high = np.quantile(amount / out_of, [(1 - coverage) / 2, (1 + coverage) / 2])
        intervals[name] = Estimate(float(share.amount.sum() / share.out_of.sum()), float(low), float(high))
    return intervals


def _num_ordered_pairs(num_candidates: int) -> int:
    if num_candidates < 2:
        raise ValueError(f"{num_candidates} candidate makes no pair")
    return num_candidates * (num_candidates - 1)


def _old_systems(store: CorrectnessStore, update: Update) -> list[System]:
    names = old_models(store, update.old)
    return [system for system in store.systems() if system.method == "old" and system.name in names]


def _of_pool(
    store: CorrectnessStore,
    pool: Pool,
    preset: str,
    level: str,
    units: Units,
    old_rights: list[Bool[np.ndarray, "unit"]],
    num_candidates: int | None,
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Of each measure the amount and what it is out of, both [sentence]."""
    of_unit, num_sentences = units.sentence_of_unit[level], units.num_sentences
    first_equal = store.load_first_equal(pool)[:num_candidates]
    right = store.load_pool(pool, preset, level)[:num_candidates]
    num_units, sentences = np.bincount(of_unit, minlength=num_sentences), np.ones(num_sentences)
    with_units = np.minimum(num_units, 1)
    safe = [breaks_nothing(right, old, of_unit, num_sentences).any(axis=0) for old in old_rights]
    parts = {
        "distinct trees": (num_distinct(first_equal), sentences),
        "ACC random": (np.bincount(of_unit, right.mean(axis=0), num_sentences), num_units),
        "safe": (np.mean(safe, axis=0) * with_units, with_units),
    }
    if len(right) > 1:
        verdicts = np.bincount(of_unit, same_verdict(right), num_sentences)
        parts |= {"same tree": (same_tree(first_equal), sentences), "same verdict": (verdicts, num_units)}
    return parts
