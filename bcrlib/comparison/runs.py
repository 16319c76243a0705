"""Several runs of a model: an id on several lines of JSON Lines, and a run that is given twice."""

from collections import Counter
from collections.abc import Callable, Sequence
from itertools import combinations
from typing import Any

import numpy as np
from jaxtyping import Int64

from bcrlib.comparison.update import ItemsError, Update


def lines_of_items(name: str, ids: Sequence[str]) -> tuple[list[str], Int64[np.ndarray, "item run"]]:
    """The items in the order in which they come first, and the lines (from 0) of their runs; ids: [line].

    Every item has as many runs; else ItemsError, which names the file and an id that stands too often.  O(lines).
    """
    counts = Counter(ids)
    if len(set(counts.values())) > 1:
        first: dict[str, int] = {}
        at = next(line for line, one in enumerate(ids) if first.setdefault(one, line) != line)
        other = next(one for one in ids if counts[one] != counts[ids[at]])
        told = (
            f"the id {ids[at]!r} a second time; the first is in line {first[ids[at]] + 1}. Lines with one id are runs "
        )
        told += f"of the models, as many for every id, but it stands {counts[ids[at]]} times, {other!r} {counts[other]}"
        raise ItemsError(name, at + 1, told)
    number_of = {one: number for number, one in enumerate(counts)}
    items = np.fromiter(map(number_of.__getitem__, ids), np.int64, len(ids))
    return list(counts), items.argsort(kind="stable").reshape(len(counts), -1)


def has_one_old_run(
    name: str, lines_of: Int64[np.ndarray, "item run"], record: Callable[[int], dict[str, Any]]
) -> bool:
    """Whether all lines of every item have the same old answers: the old model then ran once.

    record: what stands in a line.  ItemsError for another gold answer than in the item's first line.  O(lines).
    """
    one_old = True
    for first, *further in lines_of.tolist() if lines_of.shape[1] > 1 else []:
        expected = record(first)
        for line in further:
            found = record(line)
            if not is_same(found["gold"], expected["gold"]):
                raise ItemsError(name, line + 1, f"another gold answer than the same id has in line {first + 1}")
            one_old &= all(is_same(found.get(key), expected.get(key)) for key in ("old", "old_seeds"))
    return one_old


def is_same(first: Any, second: Any) -> bool:
    """Whether two JSON values have the same type and content: 1 is 1.0 but not true, the order of keys is no matter.

    RecursionError for deep ones.  O(size).
    """
    if isinstance(first, bool) or isinstance(second, bool):
        return first is second
    if isinstance(first, list) and isinstance(second, list):
        return len(first) == len(second) and all(map(is_same, first, second))
    if isinstance(first, dict) and isinstance(second, dict):
        return first.keys() == second.keys() and all(is_same(value, second[key]) for key, value in first.items())
    return first == second


def repeated_runs(update: Update) -> list[str]:
    """Warnings: runs that are right and wrong in the very same places as an earlier one of the same model."""
    found = []
    for side in ("old", "new"):
        levels = update.levels.values()
        runs = np.concatenate([getattr(level, f"{side}_models") for level in levels], axis=1)
        for earlier, later in combinations(range(len(runs)), 2):
            if np.array_equal(runs[later], runs[earlier]) and not runs[later].all():
                found.append(
                    f"runs {earlier + 1} and {later + 1} of the {side} model are right in the very same places; the "
                    "same one given twice makes retraining look safer than it is"
                )
    return found
