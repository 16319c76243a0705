"""An update in columns: which units of every item the old and the new model get right, whatever the task."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Int64

from bcrlib.comparison.views import View
from bcrlib.metrics.breakdowns import Slices
from bcrlib.metrics.flips import flips_by_sentence
from bcrlib.presets import Preset

JSON_LINES = "JSON Lines"
Right = Mapping[str, Bool[np.ndarray, "_"]]


class ItemsError(ValueError):
    """Items that cannot be compared; its text is "FILE:LINE: fault"."""

    def __init__(self, name: str, line: int, fault: str) -> None:
        """Name the file, the line (from 1) and the fault."""
        super().__init__(name, line, fault)
        self.name, self.line, self.fault = name, line, fault

    def __str__(self) -> str:
        """FILE:LINE: fault."""
        return f"{self.name}:{self.line}: {self.fault}"


@dataclass(frozen=True, eq=False)
class Level:
    """The units of one level in the order of gold's items, and which of them each model gets right."""

    item_of_unit: Int64[np.ndarray, "unit"]
    old_right: Bool[np.ndarray, "unit"]
    new_right: Bool[np.ndarray, "unit"]
    seeds_right: Bool[np.ndarray, "seed unit"]
    """Of further seeds of the old model; none is fine."""
    slices: Mapping[str, Slices]
    """Breakdown -> the slice that each unit is in."""
    num_items: int

    @cached_property
    def counts(self) -> Int64[np.ndarray, "item 4"]:
        """(yy, yn, ny, nn) of every item.  O(units + items) the first time."""
        return flips_by_sentence(self.old_right, self.new_right, self.item_of_unit, self.num_items)


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
    view: Callable[[int], View]
    """What can be shown of an item, by its number from 0."""
    num_invalid: Mapping[str, int]
    """Of frames: the predictions that are no tree, as in `evaluation.Evaluation`."""

    @property
    def num_items(self) -> int:
        """Number of items, which are those of gold.  O(1)."""
        return len(self.ids)

    @property
    def num_seeds(self) -> int:
        """Number of further seeds of the old model.  O(1)."""
        return len(next(iter(self.levels.values())).seeds_right)

    @property
    def parts(self) -> str:
        """The level of an item's parts: labelled words or spans; EM where items have none."""
        return next(level for level in ("LAS", "spanEM", "EM") if level in self.levels)

    @property
    def wholes(self) -> tuple[str, ...]:
        """The levels whose units are whole items, the strictest last."""
        return tuple(level for level in ("UCM", "LCM", "EM") if level in self.levels)


def make_levels(
    item_of_unit: Mapping[str, Int64[np.ndarray, "_"]],
    num_items: int,
    old: Right,
    new: Right,
    seeds: Sequence[Right],
    slices: Mapping[str, Mapping[str, Slices]],
) -> dict[str, Level]:
    """The levels from the units of each and what each model gets right.  O(units seeds)."""
    return {
        level: Level(
            items,
            old[level],
            new[level],
            np.stack([right[level] for right in seeds]) if seeds else np.zeros((0, len(items)), dtype=bool),
            slices[level],
            num_items,
        )
        for level, items in item_of_unit.items()
    }
