"""The report on an update for a terminal: regressions first, the gate's verdict last, lines of some 100 characters."""

import textwrap
from collections.abc import Sequence

from bcrlib.comparison.gate import Check
from bcrlib.comparison.verdict import Verdict
from bcrlib.report.comparison_items import LEGEND, item_lines
from bcrlib.report.comparison_rows import (
    Table,
    clip_id,
    failed_first,
    gate_table,
    headline,
    setting,
    slice_note,
    slice_table,
    summary,
    tables,
    what_broke,
)
from bcrlib.report.svg import printable

WIDTH = 98
MOST_SLICES = 5
MOST_CHECKS = 20


def to_text(verdict: Verdict) -> str:
    """The report as text; control characters of the files are replaced.  O(report)."""
    blocks = [_wrapped(summary(verdict)), [line for text in setting(verdict) for line in _wrapped(text)]]
    blocks += [_table(table) for table in tables(verdict)]
    blocks += [_slices(verdict), _worst(verdict), _gate(verdict)]
    return "\n\n".join("\n".join(block) for block in blocks if block) + "\n"


def failure_text(verdict: Verdict) -> str:
    """Why the gate failed, for the message of a failed test: the verdict, the failed checks, the worst items."""
    failed = [check for check in verdict.checks if not check.passed]
    blocks = [[f"{headline(verdict)}.", *_checks(failed)], _wrapped(summary(verdict)), _worst(verdict)]
    return "\n\n".join("\n".join(block) for block in blocks if block)


def _gate(verdict: Verdict) -> list[str]:
    return ["Gate", *_checks(failed_first(verdict.checks)), f"{headline(verdict)}."] if verdict.checks else []


def _checks(checks: Sequence[Check]) -> list[str]:
    """No more than a screen of them."""
    more = [f"... and {len(checks) - MOST_CHECKS:,} more checks"] if len(checks) > MOST_CHECKS else []
    return [*_grid(gate_table(checks[:MOST_CHECKS]), heads=False), *more]


def _table(table: Table) -> list[str]:
    return [table.title, *_grid(table), *_wrapped(table.note)]


def _grid(table: Table, heads: bool = True) -> list[str]:
    rows = [[printable(cell) for cell in row] for row in ([table.heads] if heads else []) + list(table.rows)]
    widths = [max(map(len, column)) for column in zip(*rows)]
    return [_line(row, widths, table.num_names) for row in rows]


def _line(row: Sequence[str], widths: Sequence[int], num_names: int) -> str:
    cells = [
        cell.ljust(width) if place < num_names else cell.rjust(width)
        for place, (cell, width) in enumerate(zip(row, widths))
    ]
    return "  ".join(cells).rstrip()


def _slices(verdict: Verdict) -> list[str]:
    """The slices called harmed, of every level that has slices."""
    if all(level.slices.empty for level in verdict.levels.values()):
        return []
    lines = ["Harmed slices: more negative flips than elsewhere, beyond chance"]
    for name, level in verdict.levels.items():
        table = slice_table(name, level, MOST_SLICES)
        if table.rows:
            lines += [f"{name}, {level.slices['is_harmed'].sum()} of {len(level.slices)} slices:", *_grid(table)]
        else:
            lines.append(f"{name}: none of {len(level.slices)} slices.")
    return lines + _wrapped(slice_note(verdict))


def _worst(verdict: Verdict) -> list[str]:
    if not verdict.worst:
        return []
    lines = [f"Worst items, by broken parts ({verdict.update.parts})"]
    for number, worst in enumerate(verdict.worst, 1):
        title = f"{number}. {printable(clip_id(worst.id))}: {what_broke(worst, verdict.update)}"
        lines += [title, *(f"   {line}" for line in item_lines(worst.view))]
    return [*lines, LEGEND] if verdict.update.parts == "LAS" else lines


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(printable(text), WIDTH)
