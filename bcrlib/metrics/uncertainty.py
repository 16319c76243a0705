"""How sure are we: averages over pairs of seeds, their spread, the paired bootstrap, McNemar's test.

Pairs share models and sentences, so they are no independent observations; the bootstrap draws sentences and
models anew, never pairs.  It stands here once, for flips of many pairs (`resample`), for means over sentences
(`share_intervals`) and, in bounded memory, for one pair over any number of items (`resampled_sums`).
"""

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from jaxtyping import Float64, Int64

from bcrlib.metrics.flips import RATES, Flips, as_flips

Name = TypeVar("Name", bound=Hashable)
COVERAGE = 0.95
"""Of all intervals."""
CELLS_AT_ONCE = 2**22  # of the table [resample, item]: 32 MB


@dataclass(frozen=True, eq=False)
class PairCounts:
    """The flips of one method over several (old model, new model) pairs, sentence by sentence.

    The names of models decide what is drawn together, so one model has one name everywhere ("deepbiaf/1") and
    different models have different names.  Raises ValueError for shapes that do not fit.
    """

    counts: Int64[np.ndarray, "pair sentence 4"]
    old_of_pair: tuple[str, ...]
    new_of_pair: tuple[str, ...]

    def __post_init__(self) -> None:
        """Check that there is a name for each pair."""
        if not len(self.counts) == len(self.old_of_pair) == len(self.new_of_pair) > 0:
            raise ValueError(
                f"counts of {len(self.counts)} pairs, {len(self.old_of_pair)} old names, "
                f"{len(self.new_of_pair)} new names"
            )

    @property
    def nested(self) -> bool:
        """Whether every old model has a new one of its own (distillation): they are then drawn as one."""
        return len(set(self.old_of_pair)) == len(set(self.new_of_pair)) == len(self.counts)


@dataclass(frozen=True, eq=False)
class Share:
    """A mean over sentences, as parts that the bootstrap can draw anew: its value is sum(amount) / sum(out_of)."""

    amount: Float64[np.ndarray, "model sentence"]
    """Of each new model and sentence."""
    out_of: Float64[np.ndarray, "model sentence"]
    """Sentences (0 or 1), or units."""


@dataclass(frozen=True)
class Estimate:
    """A rate, or a difference of rates, with its 95 % confidence interval."""

    value: float
    low: float
    high: float


def micro_average(counts: Int64[np.ndarray, "*batch 4"]) -> Flips:
    """The flips summed over everything; its rates are the micro-averages of the paper's tables."""
    return Flips(*(int(count) for count in counts.reshape(-1, 4).sum(axis=0)))


def pair_spread(counts: Int64[np.ndarray, "pair sentence 4"]) -> dict[str, tuple[float, float]]:
    """Mean and population standard deviation over pairs of each rate, which each pair has by itself."""
    pairs = as_flips(counts.sum(axis=1))
    return {name: (float(getattr(pairs, name).mean()), float(getattr(pairs, name).std())) for name in RATES}


def resample(methods: Mapping[Name, PairCounts], num_resamples: int, rng: np.random.Generator) -> dict[Name, Flips]:
    """Bootstrap: the flips of every method, each count [resample], over sentences and models drawn anew.

    Each resample draws sentences with replacement, the same for all methods, and models with replacement,
    once for each set of models: methods with the same old (or new) models stay paired, and where old and new
    are the same set (paper, Table 1: ordered pairs of different seeds) one draw serves both sides.  A pair
    counts as often as its old times its new model was drawn, or as its old model if each has a new one of its
    own.  Draws in which some method has no pair are drawn again.  With few seeds s the variance between
    seeds comes out too small, by about (s - 1) / s.

    Raises ValueError for methods on different numbers of sentences.
    O(resamples sentences pairs), memory O(resamples (sentences + pairs)).
    """
    num_sentences = {method.counts.shape[1] for method in methods.values()}
    if len(num_sentences) != 1:
        raise ValueError(f"methods on different numbers of sentences: {sorted(num_sentences)}")
    sentences = _draws(num_sentences.pop(), num_resamples, rng).astype(np.float64)
    pairs = _pair_draws(methods, num_resamples, rng)
    while (empty := np.any([~drawn.any(axis=1) for drawn in pairs.values()], axis=0)).any():
        for name, again in _pair_draws(methods, int(empty.sum()), rng).items():
            pairs[name][empty] = again
    return {name: _resampled(method, sentences, pairs[name]) for name, method in methods.items()}


def rate_intervals(method: PairCounts, num_resamples: int, rng: np.random.Generator) -> dict[str, Estimate]:
    """Every rate of a method, micro-averaged, with its percentile bootstrap interval.  Cost as `resample`."""
    return all_rate_intervals({"method": method}, num_resamples, rng)["method"]


def all_rate_intervals(
    methods: Mapping[Name, PairCounts], num_resamples: int, rng: np.random.Generator
) -> dict[Name, dict[str, Estimate]]:
    """`rate_intervals` of several methods by the same resamples; drawing these once saves most of the cost."""
    draws = resample(methods, num_resamples, rng)
    values = {name: micro_average(method.counts) for name, method in methods.items()}
    return {
        name: {rate: estimate(getattr(values[name], rate), getattr(draws[name], rate)) for rate in RATES}
        for name in methods
    }


def difference_intervals(
    method: PairCounts,
    baseline: PairCounts,
    num_resamples: int,
    rng: np.random.Generator,
) -> dict[str, Estimate]:
    """Every rate of a method minus that of a baseline, paired as `resample` says; below 0 is a cut."""
    draws = resample({"method": method, "baseline": baseline}, num_resamples, rng)
    value, base_value = micro_average(method.counts), micro_average(baseline.counts)
    return {
        rate: estimate(
            getattr(value, rate) - getattr(base_value, rate),
            getattr(draws["method"], rate) - getattr(draws["baseline"], rate),
        )
        for rate in RATES
    }


def share_intervals(shares: Mapping[Name, Share], num_resamples: int, rng: np.random.Generator) -> dict[Name, Estimate]:
    """Each mean with its percentile bootstrap interval: sentences and new models are drawn anew, once for all shares.

    ValueError for shares of different models or sentences.  O(shares resamples models sentences).
    """
    (shape,) = {share.amount.shape for share in shares.values()}
    models, sentences = (_draws(size, num_resamples, rng).astype(np.float64) for size in shape)

    def drawn(part: Float64[np.ndarray, "model sentence"]) -> Float64[np.ndarray, "resample"]:
        return np.einsum("rm,rm->r", models, sentences @ part.T)

    return {
        name: estimate(share.amount.sum() / share.out_of.sum(), drawn(share.amount) / drawn(share.out_of))
        for name, share in shares.items()
    }


def resampled_sums(
    numbers: Int64[np.ndarray, "item column"], num_resamples: int, rng: np.random.Generator
) -> Float64[np.ndarray, "resample column"]:
    """The bootstrap of one pair of models over hundreds of thousands of items, in bounded memory (`CELLS_AT_ONCE`).

    Every column is summed over as many items as there are, drawn with replacement; all columns by the same draws, so
    that those of an old and of a new model, or of several levels, stay paired.  Exact while sums stay below 2**53.
    Equal generators give equal sums.  O(resamples items columns).
    """
    num_items = len(numbers)
    columns = numbers.astype(np.float64)
    sums = []
    for start in range(0, num_resamples, step := max(1, CELLS_AT_ONCE // num_items)):
        draws = [rng.integers(num_items, size=num_items) for _ in range(min(step, num_resamples - start))]
        times = np.stack([np.bincount(drawn, minlength=num_items) for drawn in draws])
        sums.append(times.astype(np.float64) @ columns)
    return np.concatenate(sums)


def estimate(value: float, draws: Float64[np.ndarray, "resample"]) -> Estimate:
    """A rate with the percentile interval of its resamples; those in which it has no unit (nan) are left out.

    O(resamples log resamples).
    """
    low, high = np.nanquantile(draws, [(1 - COVERAGE) / 2, (1 + COVERAGE) / 2])
    return Estimate(float(value), float(low), float(high))


def mcnemar(update: Flips) -> float:
    """Two-sided p-value of McNemar's exact test that the update breaks as much as it repairs.

    For one pair of models and units that are independent of each other: whole trees (UCM, LCM) more so than
    words.  1 if nothing flips.  O(flips).
    """
    from scipy.special import bdtr  # takes long to load, and most callers test nothing

    num_flips = update.yn + update.ny
    return float(min(1.0, 2 * bdtr(min(update.yn, update.ny), num_flips, 0.5))) if num_flips else 1.0


def _draws(num_items: int, num_resamples: int, rng: np.random.Generator) -> Int64[np.ndarray, "resample item"]:
    """How often each item is drawn when as many as there are are drawn with replacement."""
    return rng.multinomial(num_items, np.full(num_items, 1 / num_items), size=num_resamples)


def _pair_draws(
    methods: Mapping[Name, PairCounts], num_resamples: int, rng: np.random.Generator
) -> dict[Name, Int64[np.ndarray, "resample pair"]]:
    """How often each pair of each method counts."""
    draws_of_set: dict[tuple[str, ...], np.ndarray] = {}

    def model_draws(model_of_pair: tuple[str, ...]) -> Int64[np.ndarray, "resample pair"]:
        models = tuple(sorted(set(model_of_pair)))
        if models not in draws_of_set:
            draws_of_set[models] = _draws(len(models), num_resamples, rng)
        return draws_of_set[models][:, [models.index(name) for name in model_of_pair]]

    return {
        name: model_draws(method.old_of_pair) * (1 if method.nested else model_draws(method.new_of_pair))
        for name, method in methods.items()
    }


def _resampled(method: PairCounts, sentences: Float64[np.ndarray, "resample sentence"], pairs: np.ndarray) -> Flips:
    """Counts under these draws; exact, since integers stay below 2**53."""
    num_pairs, num_sentences, _ = method.counts.shape
    by_sentence = method.counts.transpose(1, 0, 2).reshape(num_sentences, num_pairs * 4).astype(np.float64)
    by_pair = (sentences @ by_sentence).reshape(-1, num_pairs, 4)
    return as_flips(np.einsum("rp,rpc->rc", pairs.astype(np.float64), by_pair))
