"""What is concluded from an update, whatever the task; in Python `compare`, and the gate as an assertion of a test.

An update says which units of every item the old and the new model get right; a verdict adds intervals, the noise floor,
harmed slices, the worst items, and whether the gate is passed.


    def test_the_update_may_ship():
        assert_no_regression("gold.conllu", "old.conllu", "new.conllu", max_nfr=0.01, must_not_break=["demo-1"])

needs no model, and imports neither torch nor pytest.
"""

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Num

from bcrlib.comparison.gate import EVERY_LEVEL, Check, Gate, Outcome, check_bounds, check_items, read_must_not_break
from bcrlib.comparison.items import read_items
from bcrlib.comparison.read import read_update
from bcrlib.comparison.update import Level, Update, View
from bcrlib.data.files import FilePath
from bcrlib.data.presets import preset as preset_named
from bcrlib.metrics.breakdowns import Slices, harm_table, unit_counts
from bcrlib.metrics.flips import Flips, as_flips
from bcrlib.metrics.uncertainty import Estimate, Ratio, difference_of, exact_bounds, mcnemar, ratio_of

if TYPE_CHECKING:  # `bcr evaluate` does without
    import pandas as pd

Limit = float | Mapping[str, float] | None
NUM_WORST = 5
CHANGE = "acc_change"
"""The accuracy of the new model minus that of the old one, beside the rates of flips."""


class CannotTell(AssertionError):
    """A confident gate for which there are too few items: it neither passes nor fails."""


@dataclass(frozen=True)
class NoiseFloor:
    """How much retraining alone flips: NFR between seeds of one model, all ordered pairs of two different ones."""

    num_models: int
    num_pairs: int
    mean_nfr: float
    """Of all pairs, as the two below."""
    least_nfr: float
    most_nfr: float
    excess: Estimate
    """The update's NFR minus the mean, with its interval over items; over models too where the new one has several."""

    @property
    def is_exceeded(self) -> bool:
        """Whether the update flips more than retraining does: the interval of the excess is above 0."""
        return self.excess.low > 0


@dataclass(frozen=True, eq=False)
class LevelVerdict:
    """One level of an update."""

    flips: Flips
    """Summed over all pairs of an old and a new model."""
    num_pairs: int
    rates: Mapping[str, Estimate]
    """The RATES and `CHANGE`, with 95 % intervals over items, and over seeds where the new model has several."""
    worth: Mapping[str, float]
    """Of the RATES: as how many independent units (`Ratio.worth`)."""
    least_told: float
    """The smallest NFR that so many items tell from 0: below it there is often no flip at all to be seen."""
    p_value: float
    """That the update breaks as many units as it repairs: by McNemar's exact test of one pair of models; by Student's t
    where there are several pairs, or documents."""
    floors: Mapping[str, NoiseFloor]
    """"old" and "new": of each side that has further seeds."""
    slices: "pd.DataFrame"
    """`harm_table`."""

    @property
    def least_drop(self) -> float:
        """The smallest loss of accuracy that a test at 5 % finds among so many items in four of five cases."""
        change = self.rates[CHANGE]
        return (change.value - change.low) * (1 + 0.8416 / 1.96)


@dataclass(frozen=True)
class WorstItem:
    """One item with what the update broke and repaired in it."""

    id: str
    is_missing: bool
    """Whether the new file lacks it."""
    broken: Mapping[str, int]
    """Level -> negative flips, summed over all pairs of models."""
    repaired: Mapping[str, int]
    """Level -> positive flips."""
    view: View


@dataclass(frozen=True, eq=False)
class Verdict:
    """An update with all that is concluded from it."""

    update: Update
    levels: Mapping[str, LevelVerdict]
    worst: Sequence[WorstItem]
    checks: Sequence[Check]

    @property
    def outcome(self) -> Outcome:
        """Of the gate as a whole: it fails where a check does, and passes where all do.  O(checks)."""
        found = {check.outcome for check in self.checks}
        return next((outcome for outcome in ("failed", "cannot tell", "passed") if outcome in found), "no gate")

    @property
    def passed(self) -> bool:
        """Whether every check is, so also where there is none.  O(checks)."""
        return self.outcome in ("passed", "no gate")

    @property
    def num_models(self) -> tuple[int, int]:
        """How many old and new models the rates are over."""
        level = self.update.levels[self.update.parts]
        return len(level.replaced), len(level.new_models)

    def __str__(self) -> str:
        """What `bcr compare` prints."""
        from bcrlib.comparison.reports import to_text  # which reads verdicts

        return to_text(self)

    @property
    def num_missing(self) -> int:
        """Items that the new file does not have.  O(items)."""
        return int(self.update.missing.sum())


def judge(update: Update, gate: Gate, num_worst: int = NUM_WORST) -> Verdict:
    """The verdict on an update.

    Intervals take items, or the documents that they come from, for the sample; where the new model has several runs,
    models too.  Raises ValueError for a gate that does not fit the update (`check_items`).
    O(levels units (seeds^2 + slices)).
    """
    item_checks = check_items(gate, update)
    slices = update.slices()
    verdicts = {name: _judge_level(level, update.clusters, slices[name]) for name, level in update.levels.items()}
    return Verdict(update, verdicts, worst_items(update, num_worst), check_bounds(gate, verdicts) + item_checks)


def _judge_level(level: Level, clusters: np.ndarray | None, slices: Mapping[str, Slices]) -> LevelVerdict:
    counts = _by_cluster(level.counts, clusters)
    without = {"old": _left_out(level.flips_of_pairs, 0), "new": _left_out(level.flips_of_pairs, 1)}
    without = {side: flips for side, flips in without.items() if flips is not None}

    def ratio(rate: str, counted: Sequence[int], out_of: Sequence[int] = (0, 1, 2, 3)) -> Ratio:
        left_out = {side: getattr(flips, rate) for side, flips in without.items()}
        return ratio_of(counts[:, counted].sum(axis=1), counts[:, out_of].sum(axis=1), left_out)

    ratios = {"acc_old": ratio("acc_old", (0, 1)), "acc_new": ratio("acc_new", (0, 2)), "nfr": ratio("nfr", (1,))}
    ratios |= {"pfr": ratio("pfr", (2,)), "nfi": ratio("nfi", (1,), (1, 3))}
    rates, worth = ({name: getattr(each, of) for name, each in ratios.items()} for of in ("estimate", "worth"))
    rates[CHANGE], p_value = difference_of(ratios["pfr"], ratios["nfr"])
    if level.num_pairs == 1 and clusters is None:
        p_value = mcnemar(level.flips)
    least_told = exact_bounds(0, ratios["nfr"].least_worth)[1]
    sides = {"old": level.old_models, "new": level.new_models}
    floors = {side: _floor(level, side, ratios["nfr"], clusters) for side, models in sides.items() if len(models) > 1}
    observed = level.item_of_unit if clusters is None else clusters[level.item_of_unit]
    of_units = sum(unit_counts(old[None], new[None]) for old, new in product(level.replaced, level.new_models))
    table = harm_table(of_units, observed, slices)
    return LevelVerdict(level.flips, level.num_pairs, rates, worth, least_told, p_value, floors, table)


def _by_cluster(of_item: Num[np.ndarray, "item column"], clusters: np.ndarray | None) -> np.ndarray:
    """Sums over the items of every document; as they are where every item is one of its own."""
    if clusters is None:
        return of_item
    return np.stack([np.bincount(clusters, column) for column in of_item.T], axis=1)


def _left_out(pairs: Flips, side: int) -> Flips | None:
    """The counts over all pairs [old, new] without each model of a side; None where it has only one."""
    counts = np.stack([pairs.yy, pairs.yn, pairs.ny, pairs.nn], axis=-1)
    if counts.shape[side] == 1:
        return None
    return as_flips(counts.sum(axis=(0, 1)) - counts.sum(axis=1 - side))


def _floor(level: Level, side: str, nfr: Ratio, clusters: np.ndarray | None) -> NoiseFloor:
    """Of one side.  A unit that c models get right flips c (models - c) times among all ordered pairs."""
    models = level.old_models if side == "old" else level.new_models
    num_models, num_units = models.shape
    num_pairs, num_right = num_models * (num_models - 1), models.sum(axis=0)
    between = np.array([[np.count_nonzero(before & ~after) for after in models] for before in models])
    pairs = between[~np.eye(num_models, dtype=bool)] / num_units
    flips = np.bincount(level.item_of_unit, num_right * (num_models - num_right), level.num_items)
    units = np.bincount(level.item_of_unit, minlength=level.num_items) * num_pairs
    left_out = {}
    if side in nfr.deviations and num_models > 2:
        rest = between.sum() - between.sum(axis=0) - between.sum(axis=1)
        left_out[side] = rest / ((num_models - 1) * (num_models - 2) * num_units)
    excess, _ = difference_of(nfr, ratio_of(*_by_cluster(np.column_stack([flips, units]), clusters).T, left_out))
    return NoiseFloor(num_models, num_pairs, float(pairs.mean()), float(pairs.min()), float(pairs.max()), excess)


def worst_items(update: Update, most: int) -> list[WorstItem]:
    """At most so many items with a negative flip, the worst first.

    Sorted by broken parts (labelled words; spans), then broken wholes (LCM; EM), then by their order in the gold file.
    Raises ValueError for a negative number.  O(items log items).
    """
    if most < 0:
        raise ValueError(f"{most} worst items cannot be shown")
    broken = [update.levels[level].counts[:, 1] for level in (update.parts, update.wholes[-1])]
    order = np.lexsort([-numbers for numbers in reversed(broken)])
    worst = []
    for item in order[np.any(broken, axis=0)[order]][:most].tolist():
        broken_of, repaired_of = (
            {name: int(level.counts[item, place]) for name, level in update.levels.items()} for place in (1, 2)
        )
        parts = update.levels[update.parts]
        units = slice(*parts.item_of_unit.searchsorted([item, item + 1]))
        in_runs = (parts.old_right[units] & ~parts.new_models[:, units]).sum(axis=1)
        view = update.view(item, int(in_runs.argmax()))  # of the run that breaks most
        worst.append(WorstItem(update.ids[item], bool(update.missing[item]), broken_of, repaired_of, view))
    return worst


def compare(gold: FilePath, old: FilePath, new: FilePath, preset: str = "clean") -> Verdict:
    """The verdict on two prediction files of the same items, CoNLL-U or rows of TOP. Errors as of `read_update`."""
    return judge(read_update(gold, old, new, [], preset_named(preset)), Gate())


def assert_no_regression(
    gold: FilePath,
    old: FilePath | None = None,
    new: FilePath | None = None,
    *,
    max_nfr: Limit = None,
    max_nfi: Limit = None,
    must_not_break: Iterable[str] | os.PathLike[str] = (),
    confident: bool = False,
    old_seeds: Iterable[FilePath] = (),
    new_seeds: Iterable[FilePath] = (),
    preset: str = "clean",
) -> None:
    """AssertionError unless the update keeps to all that is asked; its text has the failed checks and the worst items.

    Files as in `bcr compare`: CoNLL-U or rows of TOP, or as `gold` alone one file of JSON Lines.  max_nfr, max_nfi: a
    rate in [0, 1] for every level, or {level: rate}.  must_not_break: ids, or the path of a file with one a line, as an
    `os.PathLike`.  Where neither of the three is given, nothing at all may break: max_nfr = 0.  confident: bounds are
    kept where the whole 95 % interval keeps to them; `CannotTell`, an AssertionError, where the limit lies within it.
    Bad input is no failed assertion but a ValueError with file, line and fault, or an OSError.  Cost as `bcr compare`.
    """
    __tracebackhide__ = True  # pytest then points to the caller's line
    listed = _listed(must_not_break)
    if max_nfr is None and max_nfi is None and not listed:
        max_nfr = 0.0
    definitions = preset_named(preset)
    if old is None and new is None:
        update = read_items(gold, definitions)
    elif old is None or new is None:
        raise ValueError("give gold, old and new, or one file of JSON Lines alone")
    else:
        update = read_update(gold, old, new, list(old_seeds), definitions, new_seeds=list(new_seeds))
    verdict = judge(update, Gate(_limits(max_nfr), _limits(max_nfi), listed, confident))
    if not verdict.passed:
        from bcrlib.comparison.reports import failure_text  # which reads verdicts

        raise (AssertionError if verdict.outcome == "failed" else CannotTell)(failure_text(verdict))


def _limits(limit: Limit) -> Mapping[str, float]:
    if limit is None:
        return {}
    return limit if isinstance(limit, Mapping) else {EVERY_LEVEL: limit}


def _listed(must_not_break: Iterable[str] | os.PathLike[str]) -> dict[str, str]:
    if isinstance(must_not_break, str):
        raise ValueError(f"must_not_break={must_not_break!r}: give a list of ids, or a pathlib.Path")
    if isinstance(must_not_break, os.PathLike):
        return read_must_not_break(must_not_break)
    return {name: f"must_not_break[{place}]" for place, name in enumerate(must_not_break)}
