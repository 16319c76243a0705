"""The report on an update as one HTML file: no script, nothing fetched, words escaped, light and dark."""

from typing import Any, NamedTuple

import jinja2

from bcrlib.comparison.verdict import LevelVerdict, Verdict
from bcrlib.comparison.views import FrameView, TreeView, ValueView
from bcrlib.comparison.worst import WorstItem
from bcrlib.report.comparison_drawings import drawings, nfr_chart
from bcrlib.report.comparison_items import LONGEST_TEXT, SIDES, item_lines, item_values
from bcrlib.report.comparison_page import PAGE
from bcrlib.report.comparison_rows import (
    Table,
    accuracy_table,
    clip,
    clip_id,
    failed_first,
    flip_table,
    gate_table,
    headline,
    noise_table,
    setting,
    slice_note,
    slice_table,
    summary,
    what_broke,
)
from bcrlib.report.svg import printable

MOST_SLICES, MOST_CHECKS = 25, 200
DRAWING_NOTES = {
    TreeView: "Gold first, the broken words marked; then the old tree above the words and the new one below. Words "
    "that do not count are drawn as well.",
    FrameView: "Gold first; then the old frame above the words and the new one below.",
    ValueView: "",
}


class ShownItem(NamedTuple):
    """A worst item as the page has it."""

    id: str
    told: str
    drawings: list[str]
    values: list[tuple[str, str]]
    """(gold, old or new; text) of what cannot be drawn."""
    lines: list[str]
    """Of a tree that is too long to be drawn."""


def to_html(verdict: Verdict) -> str:
    """The page.  Equal verdicts give equal bytes.  O(report + words^2 of the items drawn)."""
    checks = failed_first(verdict.checks)
    limits = {check.level: check.limit for check in checks if check.rule == "max_nfr"}
    content: dict[str, Any] = {
        "headline": headline(verdict),
        "state": "none" if not checks else "passed" if verdict.passed else "failed",
        "summary": summary(verdict),
        "setting": setting(verdict),
        "gate": gate_table(checks[:MOST_CHECKS]) if checks else None,
        "more_checks": f"{len(checks) - MOST_CHECKS:,}" if len(checks) > MOST_CHECKS else "",
        "flips": flip_table(verdict),
        "chart": nfr_chart(verdict.levels, limits),
        "has_noise": noise_table(verdict) is not None,
        "has_limits": bool(limits),
        "others": [table for table in (noise_table(verdict), accuracy_table(verdict)) if table is not None],
        "slices": [_slices(name, level) for name, level in verdict.levels.items() if not level.slices.empty],
        "slice_note": slice_note(verdict),
        "worst": [_shown(worst, verdict) for worst in verdict.worst],
        "drawing_note": DRAWING_NOTES[type(verdict.worst[0].view)] if verdict.worst else "",
    }
    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    environment.filters["number"] = _number
    return environment.from_string(PAGE).render(content)


def _number(cell: str) -> str:
    """A cell with control characters replaced and the interval behind a number set smaller."""
    shown = printable(cell)
    value, bracket, interval = shown.partition(" [")
    if bracket and interval.endswith("]") and value.strip("+-0123456789.") == "":
        return jinja2.filters.Markup("{} <small>[{}</small>").format(value, interval)
    return shown


def _slices(name: str, level: LevelVerdict) -> tuple[str, Table, list[int], int, int]:
    """Of one level: the table, and for each row how long its bar is, in per cent of the longest."""
    content = slice_table(name, level, MOST_SLICES, only_harmed=False)
    broken = [int(row[3].replace(",", "")) for row in content.rows]
    meter = [round(100 * number / max(broken)) for number in broken]
    return name, content, meter, int(level.slices["is_harmed"].sum()), len(level.slices)


def _shown(worst: WorstItem, verdict: Verdict) -> ShownItem:
    view, drawn, values = worst.view, drawings(worst.view), []
    if not isinstance(view, TreeView):
        values = [(name, printable(clip(text, LONGEST_TEXT))) for name, text in zip(SIDES, item_values(view))]
        if drawn:  # a frame that is no tree is still shown as text
            values = [value for value, frame in zip(values, (view.gold, view.old, view.new)) if frame is None]
    lines = item_lines(view) if isinstance(view, TreeView) and not drawn else []
    return ShownItem(printable(clip_id(worst.id)), what_broke(worst, verdict.update), drawn, values, lines)
