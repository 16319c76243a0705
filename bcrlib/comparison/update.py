"""An update in columns: which units of every item the old and the new model get right, whatever the task."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Int64

from bcrlib.data.files import TOP, FileError
from bcrlib.data.frames import Node
from bcrlib.data.presets import Preset
from bcrlib.metrics.breakdowns import Slices
from bcrlib.metrics.flips import RATES, Flips, flips_by_sentence

JSON_LINES = "JSON Lines"
SPAN_DEFINITIONS = {
    "labelled": "a span is right with gold's labels; intents and slots differ",
    "subtree": "a span is right with gold's complete sub-tree; an intent and a slot of the same name are equal",
}
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
