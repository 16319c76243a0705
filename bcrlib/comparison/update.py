"""An update in columns, whatever the task: which units of every item the old and the new model get right."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations, product

import numpy as np
from jaxtyping import Bool, Int64

from bcrlib.data.files import TOP, FileError
from bcrlib.data.frames import Node
from bcrlib.data.presets import SPAN_DEFINITIONS, Preset
from bcrlib.metrics.breakdowns import Slices
from bcrlib.metrics.flips import RATES, Flips, flips_by_sentence

JSON_LINES = "JSON Lines"
SIDES = ("gold", "old", "new")
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
    """Of gold, old and new, None for what is not a tree; values have none."""


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
    """Of frames "num_invalid_old" and "num_invalid_new", the predictions that are not trees; else nothing."""
    clusters: Int64[np.ndarray, "item"] | None = None
    """The document or conversation of every item, from 0; None: every item is one of its own."""
    notes: Sequence[str] = ()
    """What was met in the files and a reader should know."""
    subtypes: bool = True
    """Of trees: whether sub-types make different relations."""

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
        words = f"words except {left_out}" if left_out else "all words"
        trees = "all words" if preset.tree_level_punct else "these words"
        root = "" if preset.lcm_root_label else ", without the relation of the word at the root"
        relations = f"relations {'with' if self.subtypes else 'without'} sub-types"
        return f"Definitions: {preset.name}; {words}; {relations}; whole trees over {trees}{root}."

    @property
    def invalid_outputs(self) -> str:
        """How many predictions of frames are not trees, in words."""
        old, new = (f"{self.num_invalid[f'num_invalid_{name}']:,}" for name in ("old", "new"))
        return f"No trees: {old} predictions of the old model, {new} of the new"

    @property
    def warnings(self) -> list[str]:
        """Runs that are right and wrong in the very same places as an earlier one of the model.  O(runs^2 units)."""
        found = []
        for side in ("old", "new"):
            runs = np.concatenate([getattr(level, f"{side}_models") for level in self.levels.values()], axis=1)
            for earlier, later in combinations(range(len(runs)), 2):
                if np.array_equal(runs[later], runs[earlier]) and not runs[later].all():
                    found.append(
                        f"runs {earlier + 1} and {later + 1} of the {side} model are right in the very same places; "
                        "the same one given twice makes retraining look safer than it is"
                    )
        return found

    def flip_rates(self, level: str) -> dict[str, float]:
        """Id -> the share of an item's units, over all pairs of models, that break; without items in which none counts.

        O(items).
        """
        counts = self.levels[level].counts
        totals = counts.sum(axis=1)
        return {self.ids[item]: float(counts[item, 1] / totals[item]) for item in np.flatnonzero(totals).tolist()}

    def rates(self) -> dict[str, dict[str, float]]:
        """What `bcr evaluate --json` prints: accuracies, flip rates (in [0, 1]) and number of units of every level.

        Of frames also how many predictions are not trees.  O(items).
        """
        return {name: rates_of(level.flips) | dict(self.num_invalid) for name, level in self.levels.items()}


def rates_of(flips: Flips) -> dict[str, float]:
    """The rates of an update in [0, 1], by name, and its number of units."""
    return {rate: float(getattr(flips, rate)) for rate in RATES} | {"num_units": flips.num_units}


def make_levels(
    item_of_unit: Mapping[str, Int64[np.ndarray, "_"]],
    num_items: int,
    old_models: Sequence[Right],
    new_models: Sequence[Right],
) -> dict[str, Level]:
    """The levels from the units of each and what the models get right.  O(units models)."""
    sides = old_models, new_models
    return {
        level: Level(items, *(np.stack([model[level] for model in side]) for side in sides), num_items)
        for level, items in item_of_unit.items()
    }
