"""The gate: bounds on NFR and NFI, and items that the update must not break."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from bcrlib.comparison.update import ItemsError, Update
from bcrlib.data.formats import InputFile
from bcrlib.metrics.flips import Flips

EVERY_LEVEL = ""
Rule = Literal["max_nfr", "max_nfi", "must_not_break"]


@dataclass(frozen=True)
class Gate:
    """What an update must keep to; an empty gate lets everything pass."""

    max_nfr: Mapping[str, float] = field(default_factory=dict)
    """Level -> the highest NFR, in [0, 1]; `EVERY_LEVEL` stands for those that are not named."""
    max_nfi: Mapping[str, float] = field(default_factory=dict)
    must_not_break: Mapping[str, str] = field(default_factory=dict)
    """Id of an item -> where it was listed, for errors.  The item is broken, and the gate fails, where at some level of
    wholes (UCM, LCM; EM) the old model got it right and the new one does not.  What was wrong before cannot break."""


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


def read_must_not_break(file: InputFile) -> dict[str, str]:
    """The ids in a file, one a line, with their places; blank lines and lines that begin with "#" are none.

    Raises ItemsError, with the line, for bad UTF-8 and for an id that stands twice.  O(bytes).
    """
    found: dict[str, str] = {}
    for number, line in enumerate(file.content.split(b"\n"), 1):
        try:
            name = line.decode("utf-8").strip()
        except UnicodeDecodeError as error:
            raise ItemsError(file.name, number, f"not UTF-8: byte 0x{line[error.start]:02x}") from None
        if not name or name.startswith("#"):
            continue
        if name in found:
            raise ItemsError(file.name, number, f"the id {name!r} a second time; the first is {found[name]}")
        found[name] = f"{file.name}:{number}"
    return found


def check_gate_fits(update: Update, gate: Gate) -> None:
    """ValueError for a bound outside [0, 1], a level or an item that the update does not have.  O(rules + items)."""
    for name, limits in (("max_nfr", gate.max_nfr), ("max_nfi", gate.max_nfi)):
        for level, limit in limits.items():
            if level != EVERY_LEVEL and level not in update.levels:
                raise ValueError(f"{name}: no level {level!r} here; choose one of {', '.join(update.levels)}")
            if not (math.isfinite(limit) and 0 <= limit <= 1):
                raise ValueError(f"{name}: {limit} is no rate in [0, 1]")
    numbers = _numbers(update, gate)
    for name, place in gate.must_not_break.items():
        if name not in numbers:
            raise ValueError(f"{place}: gold has no item {name!r}")
        if any(_unit(update, level, numbers[name]) is None for level in update.wholes):
            raise ValueError(f"{place}: nothing in item {name!r} counts under preset {update.preset.name!r}")


def check_gate(update: Update, flips: Mapping[str, Flips], gate: Gate) -> list[Check]:
    """Every rule at every level that it holds for, the bounds first.  O(rules levels + items)."""
    checks = []
    for rule, limits in (("max_nfr", gate.max_nfr), ("max_nfi", gate.max_nfi)):
        for level, counted in flips.items():
            limit = limits.get(level, limits.get(EVERY_LEVEL))
            if limit is not None:
                checks.append(_bound(rule, level, limit, counted))
    numbers = _numbers(update, gate)
    items = [(name, numbers[name], level) for name in gate.must_not_break for level in update.wholes]
    return checks + [_item(update, name, number, level) for name, number, level in items]


def _bound(rule: Rule, level: str, limit: float, flips: Flips) -> Check:
    rate = rule.removeprefix("max_")
    value = float(getattr(flips, rate))
    passed = value <= limit
    finding = f"{rate.upper()} {100 * value:.2f} %, {'at most' if passed else 'above'} {100 * limit:g} %"
    return Check(rule, level, None, limit, value, passed, finding)


def _item(update: Update, name: str, number: int, level: str) -> Check:
    units, at = update.levels[level], _unit(update, level, number)
    was_right, is_right = bool(units.old_right[at]), bool(units.new_right[at])
    if was_right and not is_right:
        finding = "broken: missing from the new predictions" if update.missing[number] else "broken"
    else:
        finding = "right" if is_right else "not broken, for it was wrong before"
    return Check("must_not_break", level, name, None, None, is_right or not was_right, finding)


def _numbers(update: Update, gate: Gate) -> dict[str, int]:
    """The numbers of the listed items that gold has."""
    return {name: i for i, name in enumerate(update.ids) if name in gate.must_not_break}


def _unit(update: Update, level: str, item: int) -> int | None:
    """The unit that an item is at a level of wholes."""
    items = update.levels[level].item_of_unit
    at = int(np.searchsorted(items, item))
    return at if at < len(items) and items[at] == item else None
