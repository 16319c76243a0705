"""How sure are we: averages over pairs of seeds, their spread, intervals over sentences and seeds, McNemar's test.

Pairs share models and sentences, so they are no independent observations; sentences are drawn anew, models left out,
never pairs.  Tables have the bootstrap, which gives anything that is made of flips an interval (`resample`); files that
are compared have exact bounds (`Ratio`).  Both add the variance of seeds to that of sentences, and both pay for few
seeds with Student's t.
"""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
from jaxtyping import Float64, Int64, Num

from bcrlib.metrics.flips import RATES, Flips, as_flips

Name = TypeVar("Name", bound=Hashable)
COVERAGE = 0.95
"""Of all intervals."""
POWER = 0.8
"""The chance with which something is to be found that is there."""
_Z = 1.959963984540054  # the normal distribution's quantile for COVERAGE
Ends = tuple[float, float]


@dataclass(frozen=True, eq=False)
class PairCounts:
    """The flips of one method over several (old model, new model) pairs, sentence by sentence.

    The names of models decide what goes together, so one model has one name everywhere ("deepbiaf/1") and
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
        """Whether every old model has a new one of its own (distillation): they then go as one."""
        old, new = set(self.old_of_pair), set(self.new_of_pair)
        return len(old) == len(new) == len(self.counts) and old.isdisjoint(new)


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


@dataclass(frozen=True, eq=False)
class Resamples(Generic[Name]):
    """What chance could have given instead: other sentences, drawn, and other models, one left out in turn.

    Whatever is computed from `flips` element by element, for all its methods alike, has an interval.
    """

    flips: Mapping[Name, Flips]
    """Of each method, every count [draw]: sentences drawn anew, and behind these each model of each set left out."""
    num_sentences: int
    num_drawn: int
    """So many draws of sentences."""
    num_models: tuple[int, ...]
    """Of each set of models; a set of which one cannot be left out, since no pair would remain, is not among them."""

    def interval(self, value: float, drawn: Float64[np.ndarray, "draw"], ends: Ends = (-np.inf, np.inf)) -> Estimate:
        """The 95 % interval of a number, within its `ends`; `drawn` is what the draws make of it, nan where nothing.

        Sentences give a percentile interval; its reach to either side and that of the seeds add in squares, for they
        are independent.  Of s models the variance is estimated by leaving out one (jackknife), with s - 1 degrees of
        freedom: too few for 1.96 standard errors.  Student's t takes their place, its degrees of freedom by
        Satterthwaite: the square of the summed variances over the sum of (variance squared / degrees of its own).
        O(draws log draws).
        """
        of_sentences, of_models = drawn[: self.num_drawn], drawn[self.num_drawn :]
        if np.isnan(of_sentences).all():
            return Estimate(float(value), *ends)
        of_models = np.where(np.isnan(of_models), value, of_models)
        parts = np.split(of_models, np.cumsum(self.num_models)[:-1]) if self.num_models else []
        variances = [
            np.nanvar(of_sentences),
            *(jackknife_deviations(part) @ jackknife_deviations(part) for part in parts),
        ]
        stretch = students_t(degrees_of_freedom(variances, [self.num_sentences, *self.num_models])) / _Z
        seeds = _Z**2 * sum(variances[1:])
        tails = np.nanquantile(of_sentences, [(1 - COVERAGE) / 2, (1 + COVERAGE) / 2])
        low, high = stretch * np.sqrt((tails - value) ** 2 * ((tails < value) == [True, False]) + seeds)
        return Estimate(float(value), float(max(value - low, ends[0])), float(min(value + high, ends[1])))


def resample(methods: Mapping[Name, PairCounts], num_resamples: int, rng: np.random.Generator) -> Resamples[Name]:
    """The flips of every method with sentences drawn anew (bootstrap), and with one model left out (jackknife).

    Sentences are drawn with replacement, the same for all methods.  Models are left out in turn, once for each set of
    models: methods with the same old (or new) models stay paired, where old and new are the same set (paper, Table 1:
    ordered pairs of different seeds) a model goes from both sides, and one that has a new one of its own goes with it.

    Raises ValueError for methods on different numbers of sentences.
    O(methods resamples sentences), memory O(resamples sentences).
    """
    num_sentences = {method.counts.shape[1] for method in methods.values()}
    if len(num_sentences) != 1:
        raise ValueError(f"methods on different numbers of sentences: {sorted(num_sentences)}")
    sentences = _draws(min(num_sentences), num_resamples, rng).astype(np.float64)
    sets: dict[tuple[str, ...], dict[Name, np.ndarray]] = {}  # models -> method -> [model, pair]: whether it stays
    for name, method in methods.items():
        for names in (method.old_of_pair, method.new_of_pair)[: 1 if method.nested else 2]:
            models = tuple(sorted(set(names)))
            kept = np.array([[name != model for name in names] for model in models])
            of_method = sets.setdefault(models, {})
            of_method[name] = of_method.get(name, True) & kept
    sets = {models: of for models, of in sets.items() if all(kept.any(axis=1).all() for kept in of.values())}
    flips = {}
    for name, method in methods.items():
        by_pair = method.counts.sum(axis=1)
        left_out = [of.get(name, np.ones((len(models), len(by_pair)), bool)) @ by_pair for models, of in sets.items()]
        flips[name] = as_flips(np.concatenate([sentences @ method.counts.sum(axis=0), *left_out]))
    return Resamples(flips, min(num_sentences), num_resamples, tuple(map(len, sets)))


def rate_intervals(method: PairCounts, num_resamples: int, rng: np.random.Generator) -> dict[str, Estimate]:
    """Every rate of a method, micro-averaged, with its interval.  Cost as `resample`."""
    return all_rate_intervals({"method": method}, num_resamples, rng)["method"]


def all_rate_intervals(
    methods: Mapping[Name, PairCounts], num_resamples: int, rng: np.random.Generator
) -> dict[Name, dict[str, Estimate]]:
    """`rate_intervals` of several methods by the same resamples; drawing these once saves most of the cost.

    Where no unit is counted, or every one, resamples know nothing else: the bounds are then exact, for as many units as
    there are sentences (`worth_of_groups`).
    """
    draws = resample(methods, num_resamples, rng)
    found = {}
    for name, method in methods.items():
        flips, of_sentence = micro_average(method.counts), method.counts.sum(axis=0)
        rates = found[name] = {}
        for rate in RATES:
            value = getattr(flips, rate)
            rates[rate] = draws.interval(value, getattr(draws.flips[name], rate), (0.0, 1.0))
            if value in (0, 1):
                units = of_sentence[:, [1, 3]] if rate == "nfi" else of_sentence
                rates[rate] = Estimate(float(value), *exact_bounds(value, worth_of_groups(units.sum(axis=1))))
    return found


def difference_intervals(
    method: PairCounts,
    baseline: PairCounts,
    num_resamples: int,
    rng: np.random.Generator,
) -> dict[str, Estimate]:
    """Every rate of a method minus that of a baseline, paired as `resample` says; below 0 is a cut."""
    draws = resample({"method": method, "baseline": baseline}, num_resamples, rng)
    (value, drawn), (base_value, base_drawn) = (
        (micro_average(pairs.counts), draws.flips[name]) for name, pairs in (("method", method), ("baseline", baseline))
    )
    return {
        rate: draws.interval(
            getattr(value, rate) - getattr(base_value, rate),
            getattr(drawn, rate) - getattr(base_drawn, rate),
            (-1.0, 1.0),
        )
        for rate in RATES
    }


def share_intervals(shares: Mapping[Name, Share], num_resamples: int, rng: np.random.Generator) -> dict[Name, Estimate]:
    """Each mean with its interval: sentences drawn anew, new models left out in turn, the same for all shares.

    ValueError for shares of different models or sentences.  O(shares resamples sentences + models sentences).
    """
    ((num_models, num_sentences),) = {share.amount.shape for share in shares.values()}
    sentences = _draws(num_sentences, num_resamples, rng).astype(np.float64)
    draws = Resamples({}, num_sentences, num_resamples, (num_models,) if num_models > 1 else ())

    def drawn(part: Float64[np.ndarray, "model sentence"]) -> Float64[np.ndarray, "draw"]:
        of_model = part.sum(axis=1)
        left_out = of_model.sum() - of_model if num_models > 1 else []
        return np.concatenate([sentences @ part.sum(axis=0), left_out])

    return {
        name: draws.interval(share.amount.sum() / share.out_of.sum(), drawn(share.amount) / drawn(share.out_of))
        for name, share in shares.items()
    }


def jackknife_deviations(left_out: Float64[np.ndarray, "model"]) -> Float64[np.ndarray, "model"]:
    """Numbers whose squares add up to the variance over models of what was computed with each one left out.  O(s)."""
    return np.sqrt((len(left_out) - 1) / len(left_out)) * (left_out - left_out.mean())


def degrees_of_freedom(variances: Sequence[float], nums_drawn: Sequence[int]) -> float:
    """Of a sum of independent variances, each estimated from so many (Satterthwaite); infinite where all are 0."""
    shares = sum(variance**2 / (number - 1) for variance, number in zip(variances, nums_drawn) if number > 1)
    return float(sum(variances) ** 2 / shares) if shares else np.inf


def students_t(freedom: float) -> float:
    """The quantile that leaves out (1 - `COVERAGE`) / 2 above; 1.96 for infinitely many degrees of freedom."""
    from scipy.special import stdtrit  # takes long to load, and `bcr evaluate` needs none of it

    return float(stdtrit(freedom, (1 + COVERAGE) / 2)) if np.isfinite(freedom) else _Z


def exact_bounds(rate: float, num_units: float) -> tuple[float, float]:
    """Clopper and Pearson's 95 % bounds of the chance of what is so frequent among so many independent units.

    num_units may be a fraction (an effective number).  Where none or every one has it there is one bound only, with all
    5 % on its side: none of 5 leaves up to 45 %.  Without a unit nothing is known: (0, 1).  O(1).
    """
    from scipy.special import betaincinv

    if num_units <= 0:
        return 0.0, 1.0
    number, tail = rate * num_units, (1 - COVERAGE) / (1 if rate in (0, 1) else 2)
    low = betaincinv(number, num_units - number + 1, tail) if rate > 0 else 0.0
    high = betaincinv(number + 1, num_units - number, 1 - tail) if rate < 1 else 1.0
    return float(low), float(high)


def worth_of_groups(sizes: Num[np.ndarray, "group"]) -> float:
    """How many independent units groups of such sizes are worth at least, as if all units of a group went together.

    Kish: the square of the sum over the sum of squares, the number of groups where all are equally large.  O(groups).
    """
    squares = float(np.square(sizes, dtype=np.float64).sum())
    return float(sizes.sum()) ** 2 / squares if squares else 0.0


@dataclass(frozen=True, eq=False)
class Ratio:
    """The rate of something among units that fall in groups (words of a sentence, items of a document), and its error.

    Of one pair of models, or of all pairs of several old and new ones.  No draws, and exact where units are
    independent: `bcr compare` has files of any size, and gates that hang on few flips.
    """

    value: float
    num_units: float
    least_worth: float
    """`worth_of_groups`."""
    num_groups_hit: int
    """Groups with a unit that has it, or, if they are fewer, with one that has not."""
    deviations: Mapping[str, Float64[np.ndarray, "drawn"]]
    """"items", and sets of models where they vary; all squares add up to the variance."""

    @property
    def worth(self) -> float:
        """How many independent units would tell the rate as well (Korn and Graubard 1998); never more than there are.

        Variance is p (1 - p) / (n - 1) times the design effect of groups and models.  From few flips it cannot be
        told: the largest possible one counts as much as one group that flips.  Few documents or models make t larger
        than for as many units, and the worth smaller.  O(groups).
        """
        largest = self.num_units / self.least_worth if self.least_worth else 1.0
        variances = [float(part @ part) for part in self.deviations.values()]
        if self.value in (0, 1) or sum(variances) == 0:
            return self.least_worth
        effect = sum(variances) * (self.num_units - 1) / (self.value * (1 - self.value))
        effect = max(effect, 1.0)
        effect += max(largest - effect, 0) / (self.num_groups_hit + 1)
        freedom = degrees_of_freedom(variances, [len(part) for part in self.deviations.values()])
        fewer = (students_t(self.num_units - 1) / students_t(freedom)) ** 2
        return self.num_units / effect * min(fewer, 1.0)

    @property
    def estimate(self) -> Estimate:
        """With exact bounds for the number of units that it is worth.  O(groups)."""
        return Estimate(self.value, *exact_bounds(self.value, self.worth))


def ratio_of(
    amount: Num[np.ndarray, "group"],
    out_of: Num[np.ndarray, "group"],
    left_out: Mapping[str, Float64[np.ndarray, "model"]] | None = None,
) -> Ratio:
    """The rate sum(amount) / sum(out_of), 0 of nothing; left_out: the rates without each model of a set.  O(groups)."""
    (told,) = np.nonzero(out_of)
    amount, out_of = amount[told].astype(np.float64), out_of[told].astype(np.float64)
    total = out_of.sum()
    value = float(amount.sum() / total) if total else 0.0
    deviations = {"items": (amount - value * out_of) / max(total, 1) * np.sqrt(len(told) / max(len(told) - 1, 1))}
    deviations |= {name: jackknife_deviations(without) for name, without in (left_out or {}).items()}
    hit = min(np.count_nonzero(amount), np.count_nonzero(out_of - amount))
    return Ratio(value, float(total), worth_of_groups(out_of), hit, deviations)


def difference_of(first: Ratio, second: Ratio) -> tuple[Estimate, float]:
    """One rate minus another of the same groups, with its interval and the p-value that they are equal.

    The interval squares and adds what each rate's own bounds leave open (Newcombe 1998, Zou 2007), so that it is not
    nothing where nothing flips; the p-value is of Student's t.  O(groups).
    """
    from scipy.special import stdtr

    shared = [name for name in first.deviations if name in second.deviations]
    products = sum(float(first.deviations[name] @ second.deviations[name]) for name in shared)
    squares = [sum(float(part @ part) for part in rate.deviations.values()) for rate in (first, second)]
    correlation = products / np.sqrt(squares[0] * squares[1]) if squares[0] * squares[1] else 0.0

    def reach(one: float, other: float) -> float:
        return float(np.sqrt(max(one**2 + other**2 - 2 * correlation * one * other, 0.0)))

    value, (a, b) = first.value - second.value, (first.estimate, second.estimate)
    low, high = reach(a.value - a.low, b.high - b.value), reach(a.high - a.value, b.value - b.low)
    apart = [first.deviations.get(n, 0) - second.deviations.get(n, 0) for n in first.deviations | second.deviations]
    variances = [float(part @ part) for part in apart]
    freedom = degrees_of_freedom(variances, [len(part) for part in apart])
    error = np.sqrt(sum(variances))
    p_value = 2 * float(stdtr(min(freedom, 1e9), -abs(value) / error)) if error else float(value == 0)
    return Estimate(value, max(value - low, -1.0), min(value + high, 1.0)), p_value


def failing_rate(limit: float, num_units: float, surely: bool, power: float = POWER) -> float:
    """The lowest rate at which so many units would show more than `limit` in four of five cases (`POWER`).

    surely: more than the limit beyond chance, their lower exact bound above it; else their own rate.  1 where even that
    would not.  O(log units).
    """
    from scipy.special import betainc, betaincinv

    number = max(int(num_units), 1)
    fewest = int(limit * number + 1e-9) + 1
    if surely:
        chances = (1 - COVERAGE) / 2
        first, last = fewest, number + 1
        while first < last:  # the fewest flips whose lower bound is above the limit
            middle = (first + last) // 2
            if betainc(middle, number - middle + 1, limit) < chances:
                last = middle
            else:
                first = middle + 1
        fewest = first
    return float(betaincinv(fewest, number - fewest + 1, power)) if fewest <= number else 1.0


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
