"""The report on an update as one HTML file (`page.html` is its template): no script, nothing fetched, words escaped."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from markupsafe import Markup

from bcrlib.comparison import tables
from bcrlib.comparison.tables import clip
from bcrlib.comparison.update import SIDES, TextView, Tree, TreeView, Update
from bcrlib.comparison.verdict import LevelVerdict, Verdict, WorstItem
from bcrlib.data.files import CONLLU, TOP
from bcrlib.data.frames import OPEN, Node, frame_tokens, frame_words
from bcrlib.report.draw_frames import draw_frame, draw_frame_update
from bcrlib.report.draw_trees import NEGATIVE, draw_tree, draw_update, printable, text_at
from bcrlib.report.tables import render

MOST_SLICES, MOST_CHECKS = 25, 200
MOST_WORDS, MOST_NODES = 60, 60  # of what is drawn: more is not a picture
LONGEST_WORD, LONGEST_LABEL = 24, 30
CHART_WIDTH, LABEL_WIDTH, NUMBER_WIDTH, ROW, ABOVE = 720, 90, 75, 44, 34
DRAWING_NOTES = {
    CONLLU: "Gold first, the broken words marked; then the old tree above the words and the new one below. Words that "
    "do not count are drawn as well.",
    TOP: "Gold first; then the old frame above the words and the new one below.",
}


def to_html(verdict: Verdict) -> str:
    """The page, light and dark.  Equal verdicts give equal bytes.  O(report + words^2 of the items drawn)."""
    checks, noise = verdict.checks, tables.noise_tables(verdict)
    limits = {check.level: check.limit for check in checks if check.rule == "max_nfr"}
    gate, more_checks = tables.gate_table(checks, MOST_CHECKS)
    values = {
        "headline": tables.headline(verdict),
        "state": verdict.outcome.replace(" ", "-"),
        "summary": f"{tables.summary(verdict)} {tables.caveat(verdict)}",
        "setting": tables.setting(verdict),
        "gate": gate if checks else None,
        "more_checks": more_checks,
        "flips": tables.flip_table(verdict),
        "chart": nfr_chart(verdict.levels, limits),
        "has_noise": bool(noise),
        "has_limits": bool(limits),
        "others": [*noise, *tables.run_tables(verdict), tables.accuracy_table(verdict)],
        "slices": [_slices(name, level) for name, level in verdict.levels.items() if not level.slices.empty],
        "slice_note": tables.SLICE_NOTE,
        "worst": [_item(worst, verdict.update) for worst in verdict.worst],
        "drawing_note": DRAWING_NOTES.get(verdict.update.format, ""),
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
    table = tables.slice_table(name, level, MOST_SLICES, only_harmed=False)
    broken = [float(row[3].replace(",", "")) for row in table.rows]
    meter = [round(100 * number / max(broken)) for number in broken]
    counts = {"num_harmed": int(level.slices["is_harmed"].sum()), "num_slices": len(level.slices)}
    return {"level": name, "table": table, "meter": meter} | counts


def _item(worst: WorstItem, update: Update) -> dict[str, Any]:
    """SVGs, gold first; as text what cannot be drawn: values, frames that are not trees, what is too long.

    A word is cut where it would take half the page.
    """
    view = worst.view
    named = {"id": printable(tables.clip_id(worst.id)), "told": tables.what_broke(worst, update)}
    told = named | {"sides": [], "lines": []}
    if isinstance(view, TreeView):
        drawings = _tree_drawings(view) if len(view.forms) <= MOST_WORDS else []
        return told | {"drawings": drawings, "lines": [] if drawings else tables.item_lines(view)}
    drawings = _frame_drawings(view) if view.frames and len(view.words) <= MOST_WORDS else []
    drawn = view.frames if drawings else (None,) * len(SIDES)
    texts = [printable(clip(text, tables.LONGEST_TEXT)) for text in tables.item_values(view)]
    sides = [(side, text) for side, text, frame in zip(SIDES, texts, drawn) if frame is None]
    return told | {"drawings": drawings, "sides": sides}


def _tree_drawings(view: TreeView) -> list[str]:
    def columns(tree: Tree) -> tuple[list[int], list[str]]:
        return [head for head, _ in tree], [clip(relation, LONGEST_LABEL) for _, relation in tree]

    forms, upos = ([clip(text, LONGEST_WORD) for text in column] for column in (view.forms, view.upos))
    broken = [word for word, kind in enumerate(tables.tree_changes(view), 1) if kind == NEGATIVE.name]
    gold = draw_tree(forms, upos, *columns(view.gold), marked=broken, title="gold")
    if view.new is None:
        return [gold, draw_tree(forms, upos, *columns(view.old), marked=broken, title="old (there is no new one)")]
    sides = (*columns(view.old), *columns(view.new), *columns(view.gold))
    return [gold, draw_update(forms, upos, *sides, title="old above the words, new below")]


def _frame_drawings(view: TextView) -> list[str]:
    """None without gold; a side is left out that is over other words or has too many nodes."""

    def clipped(node: Node) -> Node:
        children = (clipped(part) if isinstance(part, Node) else clip(part, LONGEST_WORD) for part in node.children)
        return Node(clip(node.label, LONGEST_LABEL), tuple(children))

    def drawable(frame: Node | None) -> Node | None:
        if frame is None or frame_words(frame) != tuple(view.words):
            return None
        return clipped(frame) if sum(kind == OPEN for kind, _ in frame_tokens(frame)) <= MOST_NODES else None

    gold, old, new = map(drawable, view.frames)
    if gold is None:
        return []
    drawn = [draw_frame(gold, title="gold")]
    if old is not None and new is not None:
        return [*drawn, draw_frame_update(old, new, gold)]
    single = {"old": old, "new": new}
    return drawn + [draw_frame(frame, gold=gold, title=name) for name, frame in single.items() if frame is not None]


def nfr_chart(levels: Mapping[str, LevelVerdict], limits: Mapping[str, float]) -> str:
    """NFR of every level as a dot with its interval, beside what retraining flips and the gate's limit: an SVG.

    Colours are classes (dot, floor, limit, axis, ink, soft), for the page to choose.  `limits`: level -> max_nfr.
    """
    shown = [level.rates["nfr"].high for level in levels.values()] + [*limits.values(), 1e-4]
    ticks = _ticks(max(shown + [floor.most_nfr for level in levels.values() for floor in level.floors.values()]))

    def x(rate: float) -> float:
        return LABEL_WIDTH + 20 + (CHART_WIDTH - 20 - NUMBER_WIDTH) * rate / ticks[-1]

    bottom = ABOVE + ROW * len(levels)
    parts = [f'<svg class="chart" xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {LABEL_WIDTH + CHART_WIDTH} ']
    parts.append(f'{bottom + 6}" role="img"><title>NFR by level</title>')
    for tick in ticks:
        parts.append(f'<path class="axis" d="M{x(tick):.1f} {ABOVE - 8}V{bottom}"/>')
        parts.append(text_at(x(tick), ABOVE - 14, 11, f"{100 * tick:g} %", 'class="soft" text-anchor="middle"'))
    for row, (name, level) in enumerate(levels.items()):
        y, nfr = ABOVE + ROW * (row + 0.5), level.rates["nfr"]
        for place, floor in enumerate(level.floors.values()):
            left, high = x(floor.least_nfr), 28 / len(level.floors)
            width = max(x(floor.most_nfr) - left, 3)
            place = f'x="{left:.1f}" y="{y - 14 + place * high:.1f}" width="{width:.1f}" height="{high:g}" rx="3"'
            parts.append(f'<rect class="floor" {place}/>')
        if (limit := limits.get(name)) is not None:
            parts.append(f'<path class="limit" d="M{x(limit):.1f} {y - 16:.1f}v32"/>')
        parts.append(f'<path class="bar" d="M{x(nfr.low):.1f} {y:.1f}H{x(nfr.high):.1f}"/>')
        parts.append(f'<circle class="dot" cx="{x(nfr.value):.1f}" cy="{y:.1f}" r="6"/>')
        parts.append(text_at(LABEL_WIDTH - 10, y + 5, 14, name, 'class="ink" text-anchor="end" font-weight="bold"'))
        parts.append(text_at(x(nfr.high) + 10, y + 5, 12.5, f"{tables.per_cent(nfr.value)} %", 'class="ink"'))
    return "".join([*parts, "</svg>"])


def _ticks(highest: float) -> list[float]:
    """From 0 in round steps to a value that is not below the highest."""
    step = 10.0**-5
    for factor in (2, 2.5, 2) * 6:
        if highest / step <= 5:
            break
        step *= factor
    return [round(step * i, 8) for i in range(int(-(-highest // step)) + 1)]
