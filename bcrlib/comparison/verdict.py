"""An update in columns, whatever the task, and what is concluded from it.

An update says which units of every item the old and the new model get right; a verdict adds intervals, the noise floor,
harmed slices, the worst items, and whether the gate is passed.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Bool, Int64, Num

from bcrlib.comparison.gate import Check, Gate, Outcome, check_bounds, check_items, outcome_of
from bcrlib.data.files import TOP, FileError
from bcrlib.data.frames import Node
from bcrlib.data.presets import SPAN_DEFINITIONS, Preset
from bcrlib.metrics.breakdowns import Slices, harm_table, unit_counts
from bcrlib.metrics.flips import RATES, Flips, as_flips, flips_by_sentence
from bcrlib.metrics.uncertainty import Estimate, Ratio, difference_of, exact_bounds, mcnemar, ratio_of

if TYPE_CHECKING:  # `bcr evaluate` does without
    import pandas as pd

JSON_LINES = "JSON Lines"
SIDES = ("gold", "old", "new")
NUM_WORST = 5
CHANGE = "acc_change"
"""The accuracy of the new model minus that of the old one, beside the rates of flips."""
Tree = Sequence[tuple[int, str]]  # [word]: head and relation
Right = Mapping[str, Bool[np.ndarray, "_"]]  # level -> [unit]


class ItemsError(FileError):
    """Items that cannot be compared; its text is "FILE:LINE: fault"."""


@dataclass(frozen=True)
class TreeView:
    """What reports show of a sentence: its words under three dependency trees."""

    forms: Sequence[str]
    upos: Sequence[str]
    gold: Tree
    old: Tree
    new: Tree | None
    """None: the new file does not have the sentence."""


@dataclass(frozen=True)
class TextView:
    """What reports show of a frame or a value: gold, old and new as text, and of frames as trees."""

    texts: Sequence[str | None]
    """None: the new model has no answer."""
    words: Sequence[str] = ()
    frames: Sequence[Node | None] = ()
    """Of gold, old and new, None for what is no tree; values have none."""


View = TreeView | TextView


@dataclass(frozen=True, eq=False)
class Level:
    """The units of one level in the order of gold's items, and which of them each model gets right."""

    item_of_unit: Int64[np.ndarray, "unit"]
    old_models: Bool[np.ndarray, "model unit"]
    """The old model, and behind it its further seeds."""
    new_models: Bool[np.ndarray, "model unit"]
    """The new one, likewise."""
    num_items: int

    @property
    def old_right(self) -> Bool[np.ndarray, "unit"]:
        """Which units the old model gets right.  O(1)."""
        return self.old_models[0]

    @property
    def new_right(self) -> Bool[np.ndarray, "unit"]:
        """Which units the new model gets right, in its first run.  O(1)."""
        return self.new_models[0]

    @property
    def replaced(self) -> Bool[np.ndarray, "model unit"]:
        """The old models that rates are over: where the new model has one run, the old model alone.

        Its further seeds then say what retraining flips.  Where the new one has several, every old model by every new.
        """
        return self.old_models if len(self.new_models) > 1 else self.old_models[:1]

    @property
    def num_pairs(self) -> int:
        """Of an old and a new model.  O(1)."""
        return len(self.replaced) * len(self.new_models)

    @cached_property
    def counts(self) -> Int64[np.ndarray, "item 4"]:
        """(yy, yn, ny, nn) of every item, summed over the pairs.  O(pairs (units + items)) the first time."""
        pairs = product(self.replaced, self.new_models)
        return sum(flips_by_sentence(old, new, self.item_of_unit, self.num_items) for old, new in pairs)

    @property
    def flips(self) -> Flips:
        """The counts of all items.  O(items)."""
        return Flips(*self.counts.sum(axis=0).tolist())

    @cached_property
    def flips_of_pairs(self) -> Flips:
        """Counts [old, new] of every pair.  O(pairs units) the first time."""
        old, new, num_units = self.replaced.sum(axis=1), self.new_models.sum(axis=1), len(self.item_of_unit)
        both = np.array([[np.count_nonzero(o & n) for n in self.new_models] for o in self.replaced])
        return Flips(both, old[:, None] - both, new - both, num_units - old[:, None] - new + both)


@dataclass(frozen=True, eq=False)
class Update:
    """Items with what an old and a new model made of them, judged against gold."""

    format: str
    """CONLLU, TOP or JSON_LINES."""
    aligned_by: str
    """How items of the files were brought together, in words."""
    ids: Sequence[str]
    missing: Bool[np.ndarray, "item"]
    """Which items the new file does not have: all their units are wrong under the new model."""
    levels: Mapping[str, Level]
    preset: Preset
    slices: Callable[[], Mapping[str, Mapping[str, Slices]]]
    """Level -> breakdown -> the slice that each unit is in; made when asked for."""
    view: Callable[..., View]
    """What can be shown of an item, by its number and, if there are several, that of the new model's run, from 0."""
    num_invalid: Mapping[str, int]
    """Of frames "num_invalid_old" and "num_invalid_new", the predictions that are no tree; else nothing."""
    clusters: Int64[np.ndarray, "item"] | None = None
    """The document or conversation of every item, from 0; None: every item is one of its own."""

    @property
    def parts(self) -> str:
        """The level of an item's parts: labelled words or spans; EM where items have none."""
        return next(level for level in ("LAS", "spanEM", "EM") if level in self.levels)

    @property
    def wholes(self) -> tuple[str, ...]:
        """The levels whose units are whole items, the strictest last."""
        return tuple(level for level in ("UCM", "LCM", "EM") if level in self.levels)

    @property
    def definitions(self) -> str:
        """What is right, in a line: which words count, and which of them whole trees compare; when a span is right."""
        preset = self.preset
        if self.format == JSON_LINES:
            return "An item is right where its value is gold's."
        if self.format == TOP:
            return f"Definitions: {preset.name}; {SPAN_DEFINITIONS[preset.span_em]}."
        left_out = ", ".join(sorted(preset.punct_exclude))
        trees = "all words" if preset.tree_level_punct else "these words"
        root = "" if preset.lcm_root_label else ", without the relation of the word at the root"
        return f"Definitions: {preset.name}; words except {left_out}; whole trees over {trees}{root}."

    @property
    def invalid_outputs(self) -> str:
        """How many predictions of frames are no tree, in words."""
        old, new = (f"{self.num_invalid[f'num_invalid_{name}']:,}" for name in ("old", "new"))
        return f"No trees: {old} predictions of the old model, {new} of the new"

    def flip_rates(self, level: str) -> dict[str, float]:
        """Id -> the share of an item's units, over all pairs of models, that break; without items in which none counts.

        O(items).
        """
        counts = self.levels[level].counts
        totals = counts.sum(axis=1)
        return {self.ids[item]: float(counts[item, 1] / totals[item]) for item in np.flatnonzero(totals).tolist()}

    def rates(self) -> dict[str, dict[str, float]]:
        """What `bcr evaluate --json` prints: accuracies, flip rates (in [0, 1]) and number of units of every level.

        Of frames also how many predictions are no tree.  O(items).
        """
        return {name: rates_of(level.flips) | dict(self.num_invalid) for name, level in self.levels.items()}


def rates_of(flips: Flips) -> dict[str, float]:
    """The rates of an update in [0, 1], by name, and its number of units."""
    return {rate: float(getattr(flips, rate)) for rate in RATES} | {"num_units": flips.num_units}


def make_levels(
    item_of_unit: Mapping[str, Int64[np.ndarray, "_"]],
    num_items: int,
    right: Sequence[Right],
    new_seeds: Sequence[Right] = (),
) -> dict[str, Level]:
    """The levels from the units of each and what the models get right: old, new, further seeds of old; of new.

    O(units seeds).
    """
    old, new, *old_seeds = right
    sides = (old, *old_seeds), (new, *new_seeds)
    return {
        level: Level(items, *(np.stack([model[level] for model in side]) for side in sides), num_items)
        for level, items in item_of_unit.items()
    }


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
        """Of the gate as a whole.  O(checks)."""
        return outcome_of(self.checks)

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
        missing, run = bool(update.missing[item]), _worst_run(update.levels[update.parts], item)
        worst.append(WorstItem(update.ids[item], missing, broken_of, repaired_of, update.view(item, run)))
    return worst


def _worst_run(level: Level, item: int) -> int:
    """The run of the new model that breaks most of an item."""
    units = slice(*level.item_of_unit.searchsorted([item, item + 1]))
    return int((level.old_right[units] & ~level.new_models[:, units]).sum(axis=1).argmax())
