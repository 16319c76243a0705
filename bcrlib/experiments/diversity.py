"""What a candidate pool offers before anybody picks: how different its trees are, how good, and whether one is safe.

Re-ranking can only be as good as its candidates.  Copies of one tree leave nothing to choose; trees that differ because
they are bad are no choice either.  A sentence is *safe* if some candidate breaks nothing in it: gets every unit right
that the old model gets right.  In every other sentence something breaks, whichever candidate is picked.
"""

import numpy as np
from jaxtyping import Bool, Float64, Int16

from bcrlib.experiments.counting import Update, new_models, old_models, right_of_models
from bcrlib.experiments.store import CorrectnessStore, Pool
from bcrlib.metrics.uncertainty import Share
from bcrlib.reranking import nfr_oracle

MEASURES = ("distinct trees", "same tree", "same verdict", "ACC random", "safe")


def measure(
    store: CorrectnessStore,
    preset: str,
    level: str,
    update: Update,
    strategy: str,
    num_candidates: int | None = None,
) -> dict[str, Share]:
    """What the first `num_candidates` of the new models' pools offer (all by default), by the names in MEASURES.

    distinct trees  different trees a sentence
    same tree       share of pairs of candidates that are one tree (same_tree); not for a single candidate
    same verdict    the same for units and their correctness (same_verdict); not for a single candidate
    ACC random      accuracy of a candidate drawn by lot
    safe            sentences with units of which some candidate breaks nothing; mean over the old models

    KeyError names what is not stored.  O(new models (candidates^2 sentences + old models candidates units)).
    """
    units = store.load_units(preset)
    of_unit, num_sentences = units.sentence_of_unit[level], units.num_sentences
    old_rights = right_of_models(store, preset, level, old_models(store, update.old)).values()
    sentences, num_units = np.ones(num_sentences), np.bincount(of_unit, minlength=num_sentences)
    with_units = np.minimum(num_units, 1)
    of_models: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {}
    for model in new_models(store, update.new):
        pool = Pool(model, strategy)
        first_equal = store.load_first_equal(pool)[:num_candidates]
        right = store.load_pool(pool, preset, level)[:num_candidates]
        safe = [(nfr_oracle(right, old, of_unit, num_sentences) == 0).any(axis=0) for old in old_rights]
        parts = {
            "distinct trees": ((first_equal == np.arange(len(first_equal))[:, None]).sum(axis=0), sentences),
            "ACC random": (np.bincount(of_unit, right.mean(axis=0), num_sentences), num_units),
            "safe": (np.mean(safe, axis=0) * with_units, with_units),
        }
        if len(right) > 1:
            verdicts = np.bincount(of_unit, same_verdict(right), num_sentences)
            parts |= {"same tree": (same_tree(first_equal), sentences), "same verdict": (verdicts, num_units)}
        for name, amount_and_out_of in parts.items():
            of_models.setdefault(name, []).append(amount_and_out_of)
    return {name: Share(*map(np.stack, zip(*parts))) for name, parts in of_models.items()}


def same_tree(first_equal: Int16[np.ndarray, "candidate sentence"]) -> Float64[np.ndarray, "sentence"]:
    """Of all pairs of candidates of a sentence, the share whose trees are the same.

    `first_equal` is the index of the first candidate that is the same tree, as the store has it.  A tree with c copies
    makes c (c - 1) of the n (n - 1) ordered pairs.  O(candidates^2 sentences).
    """
    num_candidates = len(first_equal)
    copies = np.stack([(first_equal == first).sum(axis=0) for first in range(num_candidates)])
    return (copies * (copies - 1)).sum(axis=0) / (num_candidates * (num_candidates - 1))


def same_verdict(right: Bool[np.ndarray, "candidate unit"]) -> Float64[np.ndarray, "unit"]:
    """Of all pairs of candidates, the share of which a unit is right in both or wrong in both.  O(candidates units)."""
    num_candidates, num_right = len(right), right.sum(axis=0)
    num_wrong = num_candidates - num_right
    same = num_right * (num_right - 1) + num_wrong * (num_wrong - 1)
    return same / (num_candidates * (num_candidates - 1))
