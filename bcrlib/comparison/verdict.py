"""What is concluded from an update: rates with intervals at every level, the noise floor, slices, worst items, gate."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float64, Int64

from bcrlib.comparison.gate import Check, Gate, check_gate, check_gate_fits
from bcrlib.comparison.slices import harm_table
from bcrlib.comparison.update import Level, Update
from bcrlib.comparison.worst import WorstItem, worst_items
from bcrlib.metrics.flips import RATES, Flips, as_flips
from bcrlib.metrics.item_bootstrap import estimate, resampled_sums
from bcrlib.metrics.uncertainty import Estimate, mcnemar

NUM_RESAMPLES, BOOTSTRAP_SEED = 1000, 0
NUM_WORST = 5
CHANGE = "acc_change"
"""The accuracy of the new model minus that of the old one, beside the rates of flips."""


@dataclass(frozen=True)
class NoiseFloor:
    """How much retraining alone flips: NFR between seeds of the old model, all ordered pairs of two different ones."""

    num_models: int
    mean: float
    low: float
    """The least of all pairs."""
    high: float
    """The most of all pairs."""
    excess: Estimate
    """The update's NFR minus the mean, with its interval over items; models are not drawn anew."""

    @property
    def num_pairs(self) -> int:
        """Ordered pairs of different models.  O(1)."""
        return self.num_models * (self.num_models - 1)

    @property
    def is_exceeded(self) -> bool:
        """Whether the update flips more than retraining does: the interval of the excess is above 0."""
        return self.excess.low > 0


@dataclass(frozen=True, eq=False)
class LevelVerdict:
    """One level of an update."""

    flips: Flips
    rates: Mapping[str, Estimate]
    """The RATES and `CHANGE`, with 95 % percentile intervals over items."""
    p_value: float
    """McNemar's exact test that the update breaks as many units as it repairs."""
    noise: NoiseFloor | None
    """None without further seeds of the old model."""
    slices: pd.DataFrame
    """`slices.harm_table`."""


@dataclass(frozen=True, eq=False)
class Verdict:
    """An update with all that is concluded from it."""

    update: Update
    levels: Mapping[str, LevelVerdict]
    worst: Sequence[WorstItem]
    checks: Sequence[Check]

    @property
    def passed(self) -> bool:
        """Whether no check failed; so also where there is none.  O(checks)."""
        return all(check.passed for check in self.checks)

    @property
    def num_missing(self) -> int:
        """Items that the new file does not have.  O(items)."""
        return int(self.update.missing.sum())


def judge(update: Update, gate: Gate, num_worst: int = NUM_WORST) -> Verdict:
    """The verdict on an update.

    Intervals draw items with replacement, the same for all levels and both models.  Equal updates give equal verdicts.
    Raises ValueError for a gate that does not fit the update.  O(resamples items levels + units (seeds^2 + slices)).
    """
    check_gate_fits(update, gate)
    levels = update.levels
    columns = [level.counts for level in levels.values()]
    columns += [_noise_of_items(level)[:, None] for level in levels.values()]
    sums = resampled_sums(np.concatenate(columns, axis=1), NUM_RESAMPLES, np.random.default_rng(BOOTSTRAP_SEED))
    verdicts = {
        name: _judge_level(level, sums[:, 4 * i : 4 * i + 4], sums[:, 4 * len(levels) + i])
        for i, (name, level) in enumerate(levels.items())
    }
    flips = {name: verdict.flips for name, verdict in verdicts.items()}
    return Verdict(update, verdicts, worst_items(update, num_worst), check_gate(update, flips, gate))


def _judge_level(
    level: Level, counts: Float64[np.ndarray, "resample 4"], noise: Float64[np.ndarray, "resample"]
) -> LevelVerdict:
    flips, drawn = as_flips(level.counts.sum(axis=0)), as_flips(counts)
    flips = Flips(int(flips.yy), int(flips.yn), int(flips.ny), int(flips.nn))
    with np.errstate(invalid="ignore"):  # a resample may have no unit
        rates = {name: estimate(getattr(flips, name), getattr(drawn, name)) for name in RATES}
        rates[CHANGE] = estimate(flips.acc_new - flips.acc_old, drawn.acc_new - drawn.acc_old)
        floor = _noise_floor(level, flips, (drawn.yn - noise / _num_pairs(level)) / drawn.num_units)
    return LevelVerdict(flips, rates, mcnemar(flips), floor, harm_table(level))


def _num_pairs(level: Level) -> int:
    """Ordered pairs of different old models; 1 where there is only one model."""
    num_models = len(level.seeds_right) + 1
    return max(1, num_models * (num_models - 1))


def _old_models(level: Level) -> Bool[np.ndarray, "model unit"]:
    return np.concatenate([level.old_right[None], level.seeds_right])


def _noise_of_items(level: Level) -> Int64[np.ndarray, "item"]:
    """Negative flips of every item over all ordered pairs of old models: of c that are right with the others wrong."""
    right = _old_models(level)
    num_right = right.sum(axis=0)
    flips = num_right * (len(right) - num_right)
    return np.bincount(level.item_of_unit, flips, level.num_items).astype(np.int64)


def _noise_floor(level: Level, flips: Flips, excess: Float64[np.ndarray, "resample"]) -> NoiseFloor | None:
    right = _old_models(level)
    if len(right) == 1:
        return None
    pairs = permutations(right, 2)
    nfr = [np.count_nonzero(before & ~after) / flips.num_units for before, after in pairs]
    mean = float(np.mean(nfr))
    return NoiseFloor(len(right), mean, min(nfr), max(nfr), estimate(flips.nfr - mean, excess))
