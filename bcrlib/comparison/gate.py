"""What an update must keep to, and whether it does: passed, failed, or more than so few items can tell."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from bcrlib.comparison.update import ItemsError, Update
from bcrlib.data.files import FilePath, decoded, read_input
from bcrlib.metrics.uncertainty import failing_rate

if TYPE_CHECKING:
    from bcrlib.comparison.verdict import LevelVerdict

EVERY_LEVEL = ""
Rule = Literal["max_nfr", "max_nfi", "must_not_break"]
Outcome = Literal["passed", "failed", "cannot tell", "no gate"]
EXIT_CODES: Mapping[Outcome, int] = {"passed": 0, "no gate": 0, "failed": 1, "cannot tell": 3}
"""Of `bcr compare`; 2 is for bad input."""


@dataclass(frozen=True)
class Gate:
    """What an update must keep to; an empty gate lets everything pass."""

    max_nfr: Mapping[str, float] = field(default_factory=dict)
    """Level -> the highest NFR, in [0, 1]; `EVERY_LEVEL` stands for those that are not named."""
    max_nfi: Mapping[str, float] = field(default_factory=dict)
    must_not_break: Mapping[str, str] = field(default_factory=dict)
    """Id of an item -> where it was listed, for errors.  The item is broken, and the gate fails, where at some level of
    wholes (UCM, LCM; EM) the old model got it right and some run of the new one does not.  What was wrong before cannot
    break."""
    confident: bool = False
    """Bounds are kept where the whole 95 % interval keeps to them, and broken where all of it is above.  In between the
    items cannot tell."""

    @property
    def bounds(self) -> tuple[tuple[Rule, Mapping[str, float]], ...]:
        """The limits of both rates by the name of their rule."""
        return ("max_nfr", self.max_nfr), ("max_nfi", self.max_nfi)


@dataclass(frozen=True)
class Check:
    """One rule of a gate at one level."""

    rule: Rule
    level: str
    item: str | None
    """Of must_not_break, as `limit` to `fails_from` are of the bounds."""
    limit: float | None
    value: float | None
    low: float | None
    high: float | None
    fails_from: float | None
    """The true rate from which on so many items make this check fail in four of five cases."""
    outcome: Outcome
    finding: str
    """What was found, in a few words."""

    @property
    def passed(self) -> bool:
        """Whether the rule is kept, beyond doubt if that is asked for."""
        return self.outcome == "passed"


def read_must_not_break(path: FilePath) -> dict[str, str]:
    """The ids in a file, one a line, with their places; blank lines and lines that begin with "#" are none.

    Raises ItemsError, with the line, for bad UTF-8 and for an id that stands twice; OSError.  O(bytes).
    """
    file, found = read_input(path), {}
    for number, line in enumerate(decoded(file.content, file.name, ItemsError).split("\n"), 1):
        name = line.strip()
        if name in found:
            raise ItemsError(file.name, number, f"the id {name!r} a second time; the first is {found[name]}")
        if name and not name.startswith("#"):
            found[name] = f"{file.name}:{number}"
    return found


def check_bounds(gate: Gate, levels: "Mapping[str, LevelVerdict]") -> list[Check]:
    """Of every bound and level with a limit: whether the rate keeps to it, or its interval.  O(levels log units)."""
    checks = []
    for rule, limits in gate.bounds:
        name = rule.removeprefix("max_")
        for level, verdict in levels.items():
            limit = limits.get(level, limits.get(EVERY_LEVEL))
            if limit is None:
                continue
            rate, outcome = verdict.rates[name], "passed"
            if (rate.low if gate.confident else rate.value) > limit:
                outcome = "failed"
            elif gate.confident and rate.high > limit:
                outcome = "cannot tell"
            fails_from = failing_rate(limit, verdict.worth[name], gate.confident)
            found = f"{name.upper()} {100 * rate.value:.2f} % [{100 * rate.low:.2f}, {100 * rate.high:.2f}]"
            if outcome == "cannot tell":
                found += f": {100 * limit:g} % lies within the interval"
            else:
                found += f", {'at most' if outcome == 'passed' else 'above'} {100 * limit:g} %"
            numbers = (rate.value, rate.low, rate.high, fails_from)
            checks.append(Check(rule, level, None, limit, *numbers, outcome, found))
    return checks


def check_items(gate: Gate, update: Update) -> list[Check]:
    """Those of items that must not break.

    ValueError for a gate that does not fit the update: a bound outside [0, 1], a level or an item that it does not
    have, an item in which nothing counts.  O(items).
    """
    for rule, limits in gate.bounds:
        for level, limit in limits.items():
            if level != EVERY_LEVEL and level not in update.levels:
                raise ValueError(f"{rule}: no level {level!r} here; choose one of {', '.join(update.levels)}")
            if not 0 <= limit <= 1:  # neither is nan
                raise ValueError(f"{rule}: {limit} is not a rate in [0, 1]")
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
            is_right = units.new_models[:, at]
            if was_right_now_wrong := bool(units.old_right[at] and not is_right.all()):
                finding = "broken: missing from the new predictions" if update.missing[numbers[name]] else "broken"
                if is_right.any():
                    finding = f"broken in {len(is_right) - is_right.sum()} of {len(is_right)} runs"
            else:
                finding = "right" if is_right.all() else "not broken, for it was wrong before"
            outcome = "failed" if was_right_now_wrong else "passed"
            checks.append(Check("must_not_break", level, name, None, None, None, None, None, outcome, finding))
    return checks
