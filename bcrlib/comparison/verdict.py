"""An update in columns, whatever the task, and what is concluded from it.

An update says which units of every item the old and the new model get right; a verdict adds intervals, the noise floor,
harmed slices, the worst items, and whether the gate is passed.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import permutations
from typing import TYPE_CHECKING, Literal

import numpy as np
from jaxtyping import Bool, Float64, Int64

from bcrlib.data.files import TOP, FileError
from bcrlib.data.frames import Node
from bcrlib.data.presets import Preset
from bcrlib.metrics.breakdowns import ALL, Slices, flips_by_slice, rates_of_slices, unit_counts
from bcrlib.metrics.flips import RATES, Flips, as_flips, flips_by_sentence
from bcrlib.metrics.uncertainty import Estimate, estimate, mcnemar, resampled_sums

if TYPE_CHECKING:  # `bcr evaluate` does without
    import pandas as pd

JSON_LINES = "JSON Lines"
SIDES = ("gold", "old", "new")
SPAN_DEFINITIONS = {
    "labelled": "a span is right with gold's labels; intents and slots differ",
    "subtree": "a span is right with gold's complete sub-tree; an intent and a slot of the same name are equal",
}
NUM_RESAMPLES, BOOTSTRAP_SEED = 1000, 0
NUM_WORST = 5
CHANGE = "acc_change"
"""The accuracy of the new model minus that of the old one, beside the rates of flips."""
EVERY_LEVEL = ""
LEVEL_OF_Q = 0.05
"""The share of false alarms, among the slices called harmed, that is put up with."""
Rule = Literal["max_nfr", "max_nfi", "must_not_break"]
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
    new_right: Bool[np.ndarray, "unit"]
    num_items: int

    @property
    def old_right(self) -> Bool[np.ndarray, "unit"]:
        """Which units the old model gets right.  O(1)."""
        return self.old_models[0]

    @cached_property
    def counts(self) -> Int64[np.ndarray, "item 4"]:
        """(yy, yn, ny, nn) of every item.  O(units + items) the first time."""
        return flips_by_sentence(self.old_right, self.new_right, self.item_of_unit, self.num_items)

    @property
    def flips(self) -> Flips:
        """The counts of all items.  O(items)."""
        return Flips(*self.counts.sum(axis=0).tolist())


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
    view: Callable[[int], View]
    """What can be shown of an item, by its number from 0."""
    num_invalid: Mapping[str, int]
    """Of frames "num_invalid_old" and "num_invalid_new", the predictions that are no tree; else nothing."""

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

    def rates(self) -> dict[str, dict[str, float]]:
        """What `bcr evaluate --json` prints: accuracies, flip rates (in [0, 1]) and number of units of every level.

        Of frames also how many predictions are no tree.  O(items).
        """
        return {name: rates_of(level.flips) | dict(self.num_invalid) for name, level in self.levels.items()}


def rates_of(flips: Flips) -> dict[str, float]:
    """The rates of an update in [0, 1], by name, and its number of units."""
    return {rate: float(getattr(flips, rate)) for rate in RATES} | {"num_units": flips.num_units}


def make_levels(
    item_of_unit: Mapping[str, Int64[np.ndarray, "_"]], num_items: int, right: Sequence[Right]
) -> dict[str, Level]:
    """The levels from the units of each and what the models get right: old, new, further seeds of old.

    O(units seeds).
    """
    old, new, *seeds = right
    return {
        level: Level(items, np.stack([model[level] for model in (old, *seeds)]), new[level], num_items)
        for level, items in item_of_unit.items()
    }


@dataclass(frozen=True)
class Gate:
    """What an update must keep to; an empty gate lets everything pass."""

    max_nfr: Mapping[str, float] = field(default_factory=dict)
    """Level -> the highest NFR, in [0, 1]; `EVERY_LEVEL` stands for those that are not named."""
    max_nfi: Mapping[str, float] = field(default_factory=dict)
    must_not_break: Mapping[str, str] = field(default_factory=dict)
    """Id of an item -> where it was listed, for errors.  The item is broken, and the gate fails, where at some level of
    wholes (UCM, LCM; EM) the old model got it right and the new one does not.  What was wrong before cannot break."""

    @property
    def bounds(self) -> tuple[tuple[Rule, Mapping[str, float]], ...]:
        """The limits of both rates by the name of their rule."""
        return ("max_nfr", self.max_nfr), ("max_nfi", self.max_nfi)


@dataclass(frozen=True)
class Check:
    """One rule of a gate at one level, kept or not."""

    rule: Rule
    level: str
    item: str | None
    """Of must_not_break."""
    limit: float | None
    """Of the bounds."""
    value: float | None
    passed: bool
    finding: str
    """What was found, in a few words."""


@dataclass(frozen=True)
class NoiseFloor:
    """How much retraining alone flips: NFR between seeds of the old model, all ordered pairs of two different ones."""

    num_models: int
    num_pairs: int
    mean_nfr: float
    """Of all pairs, as the two below."""
    least_nfr: float
    most_nfr: float
    excess: Estimate
    """The update's NFR minus the mean, with its interval over items; models are not drawn anew."""

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
    slices: "pd.DataFrame"
    """`harm_table`."""


@dataclass(frozen=True)
class WorstItem:
    """One item with what the update broke and repaired in it."""

    id: str
    is_missing: bool
    """Whether the new file lacks it."""
    broken: Mapping[str, int]
    """Level -> negative flips."""
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
    def passed(self) -> bool:
        """Whether no check failed; so also where there is none.  O(checks)."""
        return all(check.passed for check in self.checks)

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

    Intervals draw items with replacement, the same for all levels and both models.  Equal updates give equal verdicts.
    Raises ValueError for a gate that does not fit the update: a bound outside [0, 1], a level or an item that it does
    not have, an item in which nothing counts.  O(resamples items levels + units (seeds^2 + slices)).
    """
    item_checks = _check_items(gate, update)
    levels, slices = update.levels, update.slices()
    columns = [np.column_stack([level.counts, _noise_of_items(level)]) for level in levels.values()]
    sums = resampled_sums(np.concatenate(columns, axis=1), NUM_RESAMPLES, np.random.default_rng(BOOTSTRAP_SEED))
    drawn = dict(zip(levels, np.split(sums, len(levels), axis=1)))
    verdicts = {name: _judge_level(level, drawn[name], slices[name]) for name, level in levels.items()}
    return Verdict(update, verdicts, worst_items(update, num_worst), _check_bounds(gate, verdicts) + item_checks)


def _judge_level(level: Level, sums: Float64[np.ndarray, "resample 5"], slices: Mapping[str, Slices]) -> LevelVerdict:
    flips, drawn = level.flips, as_flips(sums[:, :4])
    num_models = len(level.old_models)
    num_pairs = num_models * (num_models - 1)
    with np.errstate(invalid="ignore"):  # a resample may have no unit
        rates = {name: estimate(getattr(flips, name), getattr(drawn, name)) for name in RATES}
        rates[CHANGE] = estimate(flips.acc_new - flips.acc_old, drawn.acc_new - drawn.acc_old)
        floor = None
        if num_pairs:
            pairs = permutations(level.old_models, 2)
            nfr = [np.count_nonzero(before & ~after) / flips.num_units for before, after in pairs]
            mean = float(np.mean(nfr))
            excess = estimate(flips.nfr - mean, (drawn.yn - sums[:, 4] / num_pairs) / drawn.num_units)
            floor = NoiseFloor(num_models, num_pairs, mean, min(nfr), max(nfr), excess)
    return LevelVerdict(flips, rates, mcnemar(flips), floor, harm_table(level, slices))


def _noise_of_items(level: Level) -> Int64[np.ndarray, "item"]:
    """Negative flips of every item over all ordered pairs of old models: of c that are right with the others wrong."""
    num_right = level.old_models.sum(axis=0)
    flips = num_right * (len(level.old_models) - num_right)
    return np.bincount(level.item_of_unit, flips, level.num_items).astype(np.int64)


def harm_table(level: Level, slices: Mapping[str, Slices]) -> "pd.DataFrame":
    """Every slice of a level, the most harmed first: `rates_of_slices` with what is told of harm.

    extra: negative flips beyond what the slice would have at the rate of all other units, num_units * excess; by it
    rows are sorted, and then by their names.  is_harmed: whether it has more, at a q-value of `LEVEL_OF_Q` over all
    slices of the level.  broken: its negative flips.  O(units breakdowns).
    """
    import pandas as pd

    counts = unit_counts(level.old_models[:1], level.new_right[None])
    everything = {ALL: Slices(np.zeros(len(counts), dtype=np.int64), (ALL,))}
    rows = [
        flips_by_slice(counts, level.item_of_unit, of_units).assign(breakdown=breakdown)
        for breakdown, of_units in {**everything, **slices}.items()
    ]
    table = pd.concat(rows, ignore_index=True)
    rates = rates_of_slices(table).assign(broken=table["yn"])
    rates["extra"] = (rates["excess"] * rates["num_units"]).fillna(0.0)
    rates["is_harmed"] = (rates["q_value"] <= LEVEL_OF_Q) & (rates["excess"] > 0)
    rates = rates[rates["breakdown"] != ALL]
    return rates.sort_values("extra", ascending=False, kind="stable").reset_index(drop=True)


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
        missing = bool(update.missing[item])
        worst.append(WorstItem(update.ids[item], missing, broken_of, repaired_of, update.view(item)))
    return worst


def _check_bounds(gate: Gate, verdicts: Mapping[str, LevelVerdict]) -> list[Check]:
    checks = []
    for rule, limits in gate.bounds:
        rate = rule.removeprefix("max_")
        for level, verdict in verdicts.items():
            limit = limits.get(level, limits.get(EVERY_LEVEL))
            if limit is not None:
                value = float(getattr(verdict.flips, rate))
                passed = value <= limit
                finding = f"{rate.upper()} {100 * value:.2f} %, {'at most' if passed else 'above'} {100 * limit:g} %"
                checks.append(Check(rule, level, None, limit, value, passed, finding))
    return checks


def _check_items(gate: Gate, update: Update) -> list[Check]:
    """Those of items that must not break; a gate that does not fit the update is refused."""
    for rule, limits in gate.bounds:
        for level, limit in limits.items():
            if level != EVERY_LEVEL and level not in update.levels:
                raise ValueError(f"{rule}: no level {level!r} here; choose one of {', '.join(update.levels)}")
            if not 0 <= limit <= 1:  # neither is nan
                raise ValueError(f"{rule}: {limit} is no rate in [0, 1]")
    numbers = {name: number for number, name in enumerate(update.ids) if name in gate.must_not_break}
    checks = []
    for name, place in gate.must_not_break.items():
        if name not in numbers:
            raise ValueError(f"{place}: gold has no item {name!r}")
        for level in update.wholes:
            units = update.levels[level]
            at = units.item_of_unit.searchsorted(numbers[name])
            if numbers[name] not in units.item_of_unit[at : at + 1]:
                raise ValueError(f"{place}: nothing in item {name!r} counts under preset {update.preset.name!r}")
            was_right, is_right = units.old_right[at], units.new_right[at]
            if was_right and not is_right:
                finding = "broken: missing from the new predictions" if update.missing[numbers[name]] else "broken"
            else:
                finding = "right" if is_right else "not broken, for it was wrong before"
            checks.append(Check("must_not_break", level, name, None, None, bool(is_right or not was_right), finding))
    return checks
