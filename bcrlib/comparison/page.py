"""The report on an update as one HTML file (`page.html` is its template): no script, nothing fetched, words escaped."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup

from bcrlib.comparison.tables import (
    LONGEST_TEXT,
    SIDES,
    SLICE_NOTE,
    accuracy_table,
    clip,
    clip_id,
    flip_table,
    gate_table,
    headline,
    item_lines,
    item_values,
    noise_table,
    per_cent,
    setting,
    slice_table,
    summary,
    tree_changes,
    what_broke,
)
from bcrlib.comparison.update import TextView, Tree, TreeView, View
from bcrlib.comparison.verdict import LevelVerdict, Update, Verdict, WorstItem
from bcrlib.data.frames import CLOSE, OPEN, FrameBuilder, Node, frame_tokens, frame_words
from bcrlib.report.draw_frames import draw_frame, draw_frame_update
from bcrlib.report.draw_trees import NEGATIVE, draw_tree, draw_update, printable, text_at
from bcrlib.report.tables import render

MOST_SLICES, MOST_CHECKS = 25, 200
MOST_WORDS, MOST_NODES = 60, 60  # of what is drawn: more is no picture
LONGEST_WORD, LONGEST_LABEL = 24, 30
CHART_WIDTH, LABEL_WIDTH, NUMBER_WIDTH, ROW, TOP = 720, 90, 75, 44, 34
TREE_NOTE = (
    "Gold first, the broken words marked; then the old tree above the words and the new one below. Words that do not "
    "count are drawn as well."
)
FRAME_NOTE = "Gold first; then the old frame above the words and the new one below."


def to_html(verdict: Verdict) -> str:
    """The page, light and dark.  Equal verdicts give equal bytes.  O(report + words^2 of the items drawn)."""
    checks, noise = verdict.checks, noise_table(verdict)
    limits = {check.level: check.limit for check in checks if check.rule == "max_nfr"}
    gate, more_checks = gate_table(checks, MOST_CHECKS)
    values = {
        "headline": headline(verdict),
        "state": "none" if not checks else "passed" if verdict.passed else "failed",
        "summary": summary(verdict),
        "setting": setting(verdict),
        "gate": gate if checks else None,
        "more_checks": more_checks,
        "flips": flip_table(verdict),
        "chart": nfr_chart(verdict.levels, limits),
        "has_noise": noise is not None,
        "has_limits": bool(limits),
        "others": [*([noise] if noise else []), accuracy_table(verdict)],
        "slices": [_slices(name, level) for name, level in verdict.levels.items() if not level.slices.empty],
        "slice_note": SLICE_NOTE,
        "worst": [_item(worst, verdict.update) for worst in verdict.worst],
        "drawing_note": _drawing_note(verdict.worst[0].view) if verdict.worst else "",
        "number": _number,
    }
    return render(Path(__file__).with_name("page.html"), values)


def _number(cell: str) -> str:
    """A cell with control characters replaced and the interval behind a number set smaller."""
    shown = printable(cell)
    value, bracket, interval = shown.partition(" [")
    if bracket and interval.endswith("]") and value.strip("+-0123456789.") == "":
        return Markup("{} <small>[{}</small>").format(value, interval)
    return shown


def _slices(name: str, level: LevelVerdict) -> dict[str, Any]:
    """Of one level: the table, and for each row how long its bar is, in per cent of the longest."""
    table = slice_table(name, level, MOST_SLICES, only_harmed=False)
    broken = [int(row[3].replace(",", "")) for row in table.rows]
    meter = [round(100 * number / max(broken)) for number in broken]
    counts = {"num_harmed": int(level.slices["is_harmed"].sum()), "num_slices": len(level.slices)}
    return {"level": name, "table": table, "meter": meter} | counts


def _item(worst: WorstItem, update: Update) -> dict[str, Any]:
    """Drawings; as text what cannot be drawn: values, frames that are no tree, a tree that is too long."""
    view, drawn = worst.view, drawings(worst.view)
    shown = {"id": printable(clip_id(worst.id)), "told": what_broke(worst, update), "drawings": drawn}
    if isinstance(view, TreeView):
        return shown | {"sides": [], "lines": [] if drawn else item_lines(view)}
    frames = view.frames if drawn else (None,) * len(SIDES)
    values = [
        (side, printable(clip(text, LONGEST_TEXT)))
        for side, text, frame in zip(SIDES, item_values(view), frames)
        if frame is None
    ]
    return shown | {"sides": values, "lines": []}


def _drawing_note(view: View) -> str:
    return TREE_NOTE if isinstance(view, TreeView) else FRAME_NOTE if view.frames else ""


def drawings(view: View) -> list[str]:
    """The item as SVGs, gold first; none where it is a value, too long, or over other words in one of the frames.

    A word is cut where it would take half the page.  O(words^2).
    """
    if isinstance(view, TreeView):
        return _tree_drawings(view) if len(view.forms) <= MOST_WORDS else []
    return _frame_drawings(view) if view.frames and len(view.words) <= MOST_WORDS else []


def _tree_drawings(view: TreeView) -> list[str]:
    forms, upos = ([clip(text, LONGEST_WORD) for text in column] for column in (view.forms, view.upos))
    broken = [word for word, kind in enumerate(tree_changes(view), 1) if kind == NEGATIVE.name]
    gold = draw_tree(forms, upos, *_columns(view.gold), marked=broken, title="gold")
    if view.new is None:
        return [gold, draw_tree(forms, upos, *_columns(view.old), marked=broken, title="old (there is no new one)")]
    sides = (*_columns(view.old), *_columns(view.new), *_columns(view.gold))
    return [gold, draw_update(forms, upos, *sides, title="old above the words, new below")]


def _columns(tree: Tree) -> tuple[list[int], list[str]]:
    return [head for head, _ in tree], [clip(relation, LONGEST_LABEL) for _, relation in tree]


def _frame_drawings(view: TextView) -> list[str]:
    gold, old, new = (_clipped(frame) if _is_drawable(frame, view.words) else None for frame in view.frames)
    if gold is None:
        return []
    drawn = [draw_frame(gold, title="gold")]
    if old is not None and new is not None:
        return [*drawn, draw_frame_update(old, new, gold)]
    single = [(name, frame) for name, frame in (("old", old), ("new", new)) if frame is not None]
    return drawn + [draw_frame(frame, gold=gold, title=name) for name, frame in single]


def _is_drawable(frame: Node | None, words: Sequence[str]) -> bool:
    if frame is None or frame_words(frame) != tuple(words):
        return False
    return sum(kind == OPEN for kind, _ in frame_tokens(frame)) <= MOST_NODES


def _clipped(frame: Node) -> Node:
    """The frame with its words and labels cut."""
    builder = FrameBuilder()
    for kind, text in frame_tokens(frame):
        if kind == OPEN:
            builder.open(clip(text, LONGEST_LABEL))
        elif kind == CLOSE:
            builder.close()
        else:
            builder.add(clip(text, LONGEST_WORD))
    return builder.finish()


def nfr_chart(levels: Mapping[str, LevelVerdict], limits: Mapping[str, float]) -> str:
    """NFR of every level as a dot with its interval, beside what retraining flips and the gate's limit: an SVG.

    Colours are classes (dot, floor, limit, axis, ink, soft), for the page to choose.  `limits`: level -> max_nfr.
    """
    shown = [level.rates["nfr"].high for level in levels.values()] + [*limits.values(), 1e-4]
    ticks = _ticks(max(shown + [level.noise.most_nfr for level in levels.values() if level.noise]))

    def x(rate: float) -> float:
        return LABEL_WIDTH + 20 + (CHART_WIDTH - 20 - NUMBER_WIDTH) * rate / ticks[-1]

    bottom = TOP + ROW * len(levels)
    parts = [f'<svg class="chart" xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {LABEL_WIDTH + CHART_WIDTH} ']
    parts.append(f'{bottom + 6}" role="img"><title>NFR by level</title>')
    for tick in ticks:
        parts.append(f'<path class="axis" d="M{x(tick):.1f} {TOP - 8}V{bottom}"/>')
        parts.append(text_at(x(tick), TOP - 14, 11, f"{100 * tick:g} %", 'class="soft" text-anchor="middle"'))
    for row, (name, level) in enumerate(levels.items()):
        y, nfr = TOP + ROW * (row + 0.5), level.rates["nfr"]
        if level.noise:
            left, width = x(level.noise.least_nfr), max(x(level.noise.most_nfr) - x(level.noise.least_nfr), 3)
            place = f'x="{left:.1f}" y="{y - 14:.1f}" width="{width:.1f}" height="28" rx="3"'
            parts.append(f'<rect class="floor" {place}/>')
        if (limit := limits.get(name)) is not None:
            parts.append(f'<path class="limit" d="M{x(limit):.1f} {y - 16:.1f}v32"/>')
        parts.append(f'<path class="bar" d="M{x(nfr.low):.1f} {y:.1f}H{x(nfr.high):.1f}"/>')
        parts.append(f'<circle class="dot" cx="{x(nfr.value):.1f}" cy="{y:.1f}" r="6"/>')
        parts.append(text_at(LABEL_WIDTH - 10, y + 5, 14, name, 'class="ink" text-anchor="end" font-weight="bold"'))
        parts.append(text_at(x(nfr.high) + 10, y + 5, 12.5, f"{per_cent(nfr.value)} %", 'class="ink"'))
    return "".join([*parts, "</svg>"])


def _ticks(highest: float) -> list[float]:
    """From 0 in round steps to a value that is not below the highest."""
    step = 10.0**-5
    for factor in (2, 2.5, 2) * 6:
        if highest / step <= 5:
            break
        step *= factor
    return [round(step * i, 8) for i in range(int(-(-highest // step)) + 1)]
