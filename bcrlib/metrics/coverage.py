"""How often intervals hold the truth: seeds and sentences of a known law, made up again and again.

A model gets a word right where its skill, the luck of its seed, how easy the sentence is and the luck of this word add
up to more than 0 (a probit model).  The rates over all seeds and all sentences are then known.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool

from bcrlib.metrics.flips import Flips, flips_by_sentence
from bcrlib.metrics.uncertainty import Estimate, PairCounts, rate_intervals


@dataclass(frozen=True)
class Law:
    """What made-up models follow; skills and spreads in units of the luck of a single word."""

    old_skill: float = 0.8
    new_skill: float = 0.9
    seed_spread: float = 0.15
    sentence_spread: float = 1.0
    num_sentences: int = 600
    num_words: int = 1
    """Of every sentence; they have its spread in common."""

    @property
    def truth(self) -> Flips:
        """How many of 10^9 words stay right, break, are repaired, stay wrong, over all seeds and sentences."""
        from scipy.special import ndtr

        nodes, weights = np.polynomial.hermite_e.hermegauss(80)
        luck = np.sqrt(1 + self.seed_spread**2)
        old, new = (ndtr((skill + self.sentence_spread * nodes) / luck) for skill in (self.old_skill, self.new_skill))
        shares = (old * new, old * (1 - new), (1 - old) * new, (1 - old) * (1 - new))
        return Flips(*(np.float64(1e9 * (weights @ share) / weights.sum()) for share in shares))

    def models(
        self, num_old: int, num_new: int, rng: np.random.Generator
    ) -> tuple[Bool[np.ndarray, "old unit"], Bool[np.ndarray, "new unit"]]:
        """Which words so many old and new models get right, of new sentences.  O(models words)."""
        sentences = np.repeat(rng.normal(0, self.sentence_spread, self.num_sentences), self.num_words)

        def right(skill: float, number: int) -> Bool[np.ndarray, "model unit"]:
            seeds = rng.normal(skill, self.seed_spread, (number, 1))
            return seeds + sentences + rng.normal(size=(number, len(sentences))) > 0

        return right(self.old_skill, num_old), right(self.new_skill, num_new)

    def pairs(self, num_old: int, num_new: int, rng: np.random.Generator) -> PairCounts:
        """The flips from every one of so many old models to every one of so many new ones."""
        old, new = self.models(num_old, num_new, rng)
        sentence_of_unit = np.repeat(np.arange(self.num_sentences), self.num_words)
        sides = np.repeat(old, num_new, axis=0), np.tile(new, (num_old, 1))
        names = [(f"old/{o}", f"new/{n}") for o in range(num_old) for n in range(num_new)]
        return PairCounts(flips_by_sentence(*sides, sentence_of_unit, self.num_sentences), *zip(*names))


Intervals = Callable[[PairCounts, np.random.Generator], Mapping[str, Estimate]]


def intervals_with_seeds(pairs: PairCounts, rng: np.random.Generator) -> dict[str, Estimate]:
    """Those of the tables."""
    return rate_intervals(pairs, 200, rng)


def intervals_without_seeds(pairs: PairCounts, rng: np.random.Generator) -> dict[str, Estimate]:
    """Over sentences alone, as if these seeds were all there are."""
    return rate_intervals(PairCounts(pairs.counts.sum(axis=0, keepdims=True), ("old",), ("new",)), 200, rng)


def coverage(
    law: Law,
    num_old: int,
    num_new: int,
    intervals: Intervals = intervals_with_seeds,
    rate: str = "nfr",
    num_sets: int = 200,
    seed: int = 0,
) -> float:
    """In what share of so many sets of sentences and seeds the interval of a rate holds the truth; 0.95 is claimed.

    O(sets (models words + resamples sentences)): 200 sets of 600 sentences take about two seconds.
    """
    rng, truth = np.random.default_rng(seed), getattr(law.truth, rate)
    found = (intervals(law.pairs(num_old, num_new, rng), rng)[rate] for _ in range(num_sets))
    return sum(each.low <= truth <= each.high for each in found) / num_sets
