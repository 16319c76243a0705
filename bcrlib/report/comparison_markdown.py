"""The report on an update in Markdown, for a pull request: the verdict first, words of the files as code."""

import re
from collections.abc import Sequence

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

MOST_SLICES, MOST_CHECKS = 10, 50


def to_markdown(verdict: Verdict) -> str:
    """The report; nothing in the files can end a table cell or a code block, mention anybody, or become HTML.

    O(report).
    """
    blocks = [f"## {headline(verdict)}", summary(verdict), "  \n".join(setting(verdict)), *_gate(verdict)]
    for table in tables(verdict):
        blocks += [f"### {table.title}", _table(table), table.note]
    return "\n\n".join([*blocks, *_slices(verdict), *_worst(verdict)]) + "\n"


def code(text: str) -> str:
    """Any text as inline code: what is no letter or digit is an entity, which is never read as Markdown or HTML."""
    shown = re.sub(r"[^\w :-]|_", lambda match: f"&#{ord(match[0])};", printable(text))
    return f"<code>{shown}</code>" if text else ""


def code_block(lines: Sequence[str]) -> str:
    """The lines as a block of code that none of them can end."""
    longest = max((len(run) for line in lines for run in re.findall("`+", line)), default=0)
    fence = "`" * max(3, longest + 1)
    return "\n".join([f"{fence}text", *map(printable, lines), fence])


def _table(table: Table) -> str:
    aligned = [":--"] * table.num_names + ["--:"] * (len(table.heads) - table.num_names)
    rows = [[code(cell) if place in table.quoted else cell for place, cell in enumerate(row)] for row in table.rows]
    return "\n".join(f"| {' | '.join(row)} |" for row in [table.heads, aligned, *rows])


def _gate(verdict: Verdict) -> list[str]:
    checks = failed_first(verdict.checks)
    if not checks:
        return []
    more = [f"... and {len(checks) - MOST_CHECKS:,} more checks."] if len(checks) > MOST_CHECKS else []
    return ["### Gate", _table(gate_table(checks[:MOST_CHECKS])), *more]


def _slices(verdict: Verdict) -> list[str]:
    blocks = []
    for name, level in verdict.levels.items():
        table = slice_table(name, level, MOST_SLICES)
        if table.rows:
            blocks += [f"**{name}**, {level.slices['is_harmed'].sum()} of {len(level.slices)} slices:", _table(table)]
        elif not level.slices.empty:
            blocks.append(f"**{name}**: none of {len(level.slices)} slices.")
    title = "### Harmed slices: more negative flips than elsewhere, beyond chance"
    return [title, *blocks, slice_note(verdict)] if blocks else []


def _worst(verdict: Verdict) -> list[str]:
    blocks = ["### Worst items"] if verdict.worst else []
    for worst in verdict.worst:
        blocks += [
            f"{code(clip_id(worst.id))}: {what_broke(worst, verdict.update)}",
            code_block(item_lines(worst.view)),
        ]
    return [*blocks, LEGEND] if verdict.worst and verdict.update.parts == "LAS" else blocks
