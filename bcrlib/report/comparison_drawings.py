"""One item of an update as drawings: gold, old and new of a tree or a frame; and the chart of NFR by level."""

from collections.abc import Mapping, Sequence

from bcrlib.comparison.verdict import LevelVerdict
from bcrlib.comparison.views import FrameView, Tree, TreeView, View
from bcrlib.data.frames import CLOSE, OPEN, FrameBuilder, Node, frame_tokens, frame_words
from bcrlib.report.comparison_items import tree_changes
from bcrlib.report.comparison_rows import clip, per_cent
from bcrlib.report.draw_frames import draw_frame, draw_frame_update
from bcrlib.report.draw_trees import NEGATIVE, draw_tree, draw_update
from bcrlib.report.svg import text_at

MOST_WORDS, MOST_NODES = 60, 60  # of what is drawn: more is no picture
LONGEST_WORD, LONGEST_LABEL = 24, 30
CHART_WIDTH, LABEL_WIDTH, NUMBER_WIDTH, ROW, TOP = 720, 90, 75, 44, 34


def drawings(view: View) -> list[str]:
    """The item as SVGs, gold first; none where it is a value, too long, or over other words in one of the frames.

    A word is cut where it would take half the page.  O(words^2).
    """
    if isinstance(view, TreeView) and len(view.forms) <= MOST_WORDS:
        return _tree_drawings(view)
    if isinstance(view, FrameView) and len(view.words) <= MOST_WORDS:
        return _frame_drawings(view)
    return []


def nfr_chart(levels: Mapping[str, LevelVerdict], limits: Mapping[str, float]) -> str:
    """NFR of every level as a dot with its interval, beside what retraining flips and the gate's limit: an SVG.

    Colours are classes (dot, floor, limit, axis, ink, soft), for the page to choose.  `limits`: level -> max_nfr.
    """
    highest = max([level.rates["nfr"].high for level in levels.values()] + [*limits.values(), 1e-4])
    highest = max([highest] + [level.noise.high for level in levels.values() if level.noise])
    ticks = _ticks(highest)
    right = LABEL_WIDTH + CHART_WIDTH

    def x(rate: float) -> float:
        return LABEL_WIDTH + 20 + (CHART_WIDTH - 20 - NUMBER_WIDTH) * rate / ticks[-1]

    bottom = TOP + ROW * len(levels)
    parts = [
        f'<path class="axis" d="M{x(tick):.1f} {TOP - 8}V{bottom}"/>'
        + text_at(x(tick), TOP - 14, 11, f"{100 * tick:g} %", 'class="soft" text-anchor="middle"')
        for tick in ticks
    ]
    for row, (name, level) in enumerate(levels.items()):
        parts += _chart_row(name, level, limits.get(name), x, TOP + ROW * (row + 0.5))
    head = f'<svg class="chart" xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {right} {bottom + 6}" role="img">'
    return "".join([head, "<title>NFR by level</title>", *parts, "</svg>"])


def _chart_row(name: str, level: LevelVerdict, limit: float | None, x, y: float) -> list[str]:
    nfr, parts = level.rates["nfr"], []
    if level.noise:
        left, right = x(level.noise.low), x(level.noise.high)
        width = max(right - left, 3)
        parts.append(f'<rect class="floor" x="{left:.1f}" y="{y - 14:.1f}" width="{width:.1f}" height="28" rx="3"/>')
    if limit is not None:
        parts.append(f'<path class="limit" d="M{x(limit):.1f} {y - 16:.1f}v32"/>')
    parts.append(f'<path class="bar" d="M{x(nfr.low):.1f} {y:.1f}H{x(nfr.high):.1f}"/>')
    parts.append(f'<circle class="dot" cx="{x(nfr.value):.1f}" cy="{y:.1f}" r="6"/>')
    parts.append(text_at(LABEL_WIDTH - 10, y + 5, 14, name, 'class="ink" text-anchor="end" font-weight="bold"'))
    parts.append(text_at(x(nfr.high) + 10, y + 5, 12.5, f"{per_cent(nfr.value)} %", 'class="ink"'))
    return parts


def _ticks(highest: float) -> list[float]:
    """From 0 in round steps to a value that is not below the highest."""
    step = 10.0**-5
    for factor in (2, 2.5, 2) * 6:
        if highest / step <= 5:
            break
        step *= factor
    return [round(step * i, 8) for i in range(int(-(-highest // step)) + 1)]


def _tree_drawings(view: TreeView) -> list[str]:
    forms, upos = ([clip(text, LONGEST_WORD) for text in column] for column in (view.forms, view.upos))
    broken = [word for word, kind in enumerate(tree_changes(view), 1) if kind == NEGATIVE.name]
    gold = draw_tree(forms, upos, *_arcs(view.gold), marked=broken, title="gold")
    if view.new is None:
        return [gold, draw_tree(forms, upos, *_arcs(view.old), marked=broken, title="old (there is no new one)")]
    sides = (*_arcs(view.old), *_arcs(view.new), *_arcs(view.gold))
    return [gold, draw_update(forms, upos, *sides, title="old above the words, new below")]


def _arcs(tree: Tree) -> tuple[Sequence[int], list[str]]:
    return tree.heads, [clip(relation, LONGEST_LABEL) for relation in tree.relations]


def _frame_drawings(view: FrameView) -> list[str]:
    frames = [view.gold, view.old, view.new]
    drawable = [frame is not None and _is_drawable(frame, view.words) for frame in frames]
    gold, old, new = (_clipped(frame) if is_drawable else None for frame, is_drawable in zip(frames, drawable))
    if gold is None:
        return []
    drawn = [draw_frame(gold, title="gold")]
    if old is not None and new is not None:
        return [*drawn, draw_frame_update(old, new, gold)]
    single = [(name, frame) for name, frame in (("old", old), ("new", new)) if frame is not None]
    return drawn + [draw_frame(frame, gold=gold, title=name) for name, frame in single]


def _is_drawable(frame: Node, words: Sequence[str]) -> bool:
    return frame_words(frame) == tuple(words) and sum(kind == OPEN for kind, _ in frame_tokens(frame)) <= MOST_NODES


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
