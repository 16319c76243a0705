"""The items that an update harms most: those that lose the most parts that were right."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from bcrlib.comparison.update import Update
from bcrlib.comparison.views import View


@dataclass(frozen=True)
class WorstItem:
    """One item with what the update broke and repaired in it."""

    id: str
    number: int
    """From 1, in the gold file."""
    is_missing: bool
    """Whether the new file lacks it."""
    broken: Mapping[str, int]
    """Level -> negative flips."""
    repaired: Mapping[str, int]
    """Level -> positive flips."""
    view: View


def worst_items(update: Update, most: int) -> list[WorstItem]:
    """At most so many items with a negative flip, the worst first.

    Sorted by broken parts (labelled words; spans), then broken wholes (LCM; EM), then by their order in the gold file.
    Raises ValueError for a negative number.  O(items log items).
    """
    if most < 0:
        raise ValueError(f"{most} worst items cannot be shown")
    by_level = (update.parts, update.wholes[-1])
    broken = [update.levels[level].counts[:, 1] for level in by_level]
    order = np.lexsort([-numbers for numbers in reversed(broken)])
    some = np.any(broken, axis=0)
    return [_worst(update, int(item)) for item in order[some[order]][:most]]


def _worst(update: Update, item: int) -> WorstItem:
    broken, repaired = (
        {name: int(level.counts[item, place]) for name, level in update.levels.items()} for place in (1, 2)
    )
    return WorstItem(update.ids[item], item + 1, bool(update.missing[item]), broken, repaired, update.view(item))
