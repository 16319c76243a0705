"""Drawings of semantic frames over their words: one frame, or an update with the old one above and the new one below.

A frame is laid out as a list of brackets, outer before inner and from the left. Brackets of two frames over the same
words share one line of words; a long one is cut into lines, with the brackets that go on beyond the cut in both.
"""

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from bcrlib.data.frames import CLOSE, OPEN, Node, frame_text, frame_tokens, frame_words
from bcrlib.report.draw_trees import (
    BOLD,
    DASH,
    INK,
    LEFT,
    MIDDLE,
    NEGATIVE,
    POSITIVE,
    QUIET,
    SAME,
    STILL_WRONG,
    WORD_SIZE,
    Change,
    box,
    changes,
    page,
    summary,
    text_at,
    text_width,
)

WRONG = Change("differs", "not in the gold frame", "#C8501E", "#FBE3D8")
MISSED = Change("missed", "in the gold frame only", "#0072B2", "#DCEBF5")
NODE_SIZE, NODE_GAP, WORD_GAP = 11, 16, 13
_NODE_PADDING, _CAPITALS, _CUT = 8, 1.1, "…"  # capitals are that much wider than text_width thinks
_MIN_WIDTH, _MAX_WIDTH = 560, 1120
_NODE_HEIGHT, _LEVEL_HEIGHT, _BASE_HEIGHT, _WORD_BAND, _LINE_GAP = 20, 38, 34, 30, 26
_INTENT, _SLOT = ("#4B4A8F", "#4B4A8F", "#FFFFFF"), ("#DDF0EA", "#3B8F7C", "#14463B")  # fill, stroke, text
_STEM, _FAINT_STEM = "#9CA3AF", "#D5D9DF"
Span = tuple[int, int]


@dataclass(frozen=True)
class Bracket:
    """One node over the words begin..stop-1, counted from 0 in the whole utterance."""

    label: str  # "IN:GET_EVENT"
    begin: int
    stop: int
    span: Span
    """Its words before a line was cut: begin and stop of the node itself."""
    height: int = 0
    """0: words alone below it; else one more than the highest bracket inside."""
    above: int = -1
    """The place in the list of the innermost bracket around it; -1: none."""

    @property
    def name(self) -> str:
        """What is written on the node: its label without the kind, dots where the bracket was cut."""
        before = f"{_CUT} " if self.begin > self.span[0] else ""
        after = f" {_CUT}" if self.stop < self.span[1] else ""
        return f"{before}{self.label.partition(':')[2]}{after}"

    @property
    def width(self) -> float:
        """Width in pixels of the node itself."""
        return _CAPITALS * text_width(self.name, NODE_SIZE) + 2 * _NODE_PADDING


@dataclass(frozen=True)
class Line:
    """The words first..stop-1 placed from left to right: `edges` around and `centres` of each, in pixels."""

    first: int
    stop: int
    edges: tuple[float, ...]
    centres: tuple[float, ...]

    def centre(self, word: int) -> float:
        """The x of a word, counted in the whole utterance."""
        return self.centres[word - self.first]

    def middle(self, bracket: Bracket) -> float:
        """The x of a node: the middle of its words, moved as far as its width needs to stay within its own space."""
        middle = (self.centre(bracket.begin) + self.centre(bracket.stop - 1)) / 2
        left, right = self.edges[bracket.begin - self.first], self.edges[bracket.stop - self.first]
        slack = (bracket.width + NODE_GAP) / 2
        return min(max(middle, left + slack), right - slack)


def brackets(frame: Node) -> list[Bracket]:
    """The nodes of a frame, outer before inner, from the left.  O(tokens)."""
    found: list[Bracket] = []
    pending: list[int] = []
    place = 0
    for kind, text in frame_tokens(frame):
        if kind == OPEN:
            pending.append(len(found))
            found.append(Bracket(text, place, place, (place, place)))
        elif kind == CLOSE:
            i = pending.pop()
            found[i] = replace(found[i], stop=place, span=(found[i].begin, place))
        else:
            place += 1
    return _nested(found)


def _nested(found: Sequence[Bracket]) -> list[Bracket]:
    """The same brackets, any of a frame's left out, with the heights and parents that they have among themselves."""
    above = [next((j for j in reversed(range(i)) if found[j].stop >= b.stop), -1) for i, b in enumerate(found)]
    heights = [0] * len(found)
    for i in reversed(range(len(found))):
        if above[i] >= 0:
            heights[above[i]] = max(heights[above[i]], heights[i] + 1)
    return [replace(b, height=height, above=around) for b, height, around in zip(found, heights, above)]


def chains(found: Sequence[Bracket]) -> dict[Span, tuple[str, ...]]:
    """The labels of the brackets over each span of words, from the outside in.  O(brackets)."""
    of_span: dict[Span, tuple[str, ...]] = {}
    for bracket in found:
        of_span[bracket.span] = (*of_span.get(bracket.span, ()), bracket.label)
    return of_span


def cut(found: Sequence[Bracket], first: int, stop: int) -> list[Bracket]:
    """What of the brackets is over the words first..stop-1.  O(brackets depth)."""
    touched = [b for b in found if b.begin < stop and b.stop > first]
    return _nested([replace(b, begin=max(b.begin, first), stop=min(b.stop, stop)) for b in touched])


def place_words(words: Sequence[str], found: Sequence[Bracket], first: int, stop: int, left_margin: float) -> Line:
    """Where the words first..stop-1 go so that neither they nor the nodes over them touch.

    `found`: the brackets of all frames drawn. A node wider than its words gets room on either side of them, the
    innermost first.  O(words brackets).
    """
    widths = [text_width(word, WORD_SIZE) + WORD_GAP for word in words[first:stop]]
    before, after = [0.0] * len(widths), [0.0] * len(widths)
    for bracket in sorted(cut(found, first, stop), key=lambda b: b.stop - b.begin):
        begin, end = bracket.begin - first, bracket.stop - first
        missing = bracket.width + NODE_GAP - sum(sum(side[begin:end]) for side in (widths, before, after))
        if missing > 0:
            before[begin] += missing / 2
            after[end - 1] += missing / 2
    edges, centres = [left_margin], []
    for ahead, width, behind in zip(before, widths, after):
        centres.append(edges[-1] + ahead + width / 2)
        edges.append(edges[-1] + ahead + width + behind)
    return Line(first, stop, tuple(edges), tuple(centres))


def place_lines(words: Sequence[str], found: Sequence[Bracket], left_margin: float, max_width: float) -> list[Line]:
    """The utterance in lines of at most about `max_width` pixels (a single word may be wider).

    A line that would be longer ends, in its second half, where it cuts the fewest brackets.  O(lines words brackets).
    """
    lines, first = [], 0
    while first < len(words):
        line = place_words(words, found, first, len(words), left_margin)
        stop = first + max(1, sum(edge <= max_width for edge in line.edges[1:]))
        if stop < len(words):
            places = range(stop, first + (stop - first - 1) // 2, -1)  # of fewest cuts the last
            stop = min(places, key=lambda place: sum(b.begin < place < b.stop for b in found))
        lines.append(place_words(words, found, first, stop, left_margin))
        first = stop
    return lines


@dataclass(frozen=True)
class _Mark:
    """How the nodes over one span of words are drawn: framed where changed, dashed where wrong."""

    change: Change = SAME
    right: bool = True


@dataclass(frozen=True)
class _Side:
    """One frame of a drawing, above the words or (mirrored) below them."""

    brackets: list[Bracket]
    marks: Mapping[Span, _Mark]
    name: str = ""
    right: bool | None = None
    """Whether the whole frame is; None: not said."""


def span_changes(old: Node, new: Node, gold: Node) -> dict[Span, tuple[Change, bool, bool]]:
    """What an update did to every span under a node of one of the frames: the change, old right, new right.

    A span is right where its nodes have the labels of gold's nodes over it, from the outside in (the paper's span EM,
    preset "clean"); or where neither has one.  {(first word, word behind): ...}, from the left, outer first.
    O(spans log spans).
    """
    sides = [chains(brackets(frame)) for frame in (old, new, gold)]
    spans = sorted({span for side in sides for span in side}, key=lambda span: (span[0], -span[1]))
    labels = [[side.get(span, ()) for span in spans] for side in sides]
    return dict(zip(spans, zip(*changes(*labels))))


def draw_frame(frame: Node, *, gold: Node | None = None, title: str = "") -> str:
    """One frame above its words.

    Beside a gold frame, the nodes that it does not have over the same words are framed and dashed, and those it has
    instead stand mirrored below the words.  Long utterances are cut into lines.  ValueError for frames over unequal
    words or with an empty node.  O(words nodes).
    """
    words = _common_words([frame] if gold is None else [frame, gold])
    sides = [_Side(brackets(frame), {})]
    if gold is not None:
        own, golden = chains(brackets(frame)), chains(brackets(gold))
        sides = [_Side(brackets(frame), {s: _Mark(WRONG, False) for s in own if golden.get(s) != own[s]})]
        missed = [b for b in brackets(gold) if own.get(b.span) != golden[b.span]]
        sides.append(_Side(missed, {b.span: _Mark(MISSED) for b in missed}, "gold has" if missed else ""))
    return _draw(words, sides, [title] if title else [])


def draw_frame_update(
    old: Node, new: Node, gold: Node, *, title: str = "", old_name: str = "old", new_name: str = "new"
) -> str:
    """An update drawn (paper, Figure 1): the old model's frame above the words, the new model's mirrored below them.

    Nodes are framed where the update changed the labels over their words: negative flip, positive flip, or changed from
    wrong to wrong (`span_changes`); nodes that gold does not have are dashed.  Where neither frame is gold's, gold's is
    written below.  Lines, errors and cost as for `draw_frame`.
    """
    words, of_span = _common_words([old, new, gold]), span_changes(old, new, gold)
    sides = [
        _Side(brackets(frame), {s: _Mark(c[0], c[place]) for s, c in of_span.items()}, name, frame == gold)
        for place, (name, frame) in enumerate([(old_name, old), (new_name, new)], start=1)
    ]
    golden = chains(brackets(gold))
    spans = summary([change for span, (change, _, _) in of_span.items() if span in golden])
    verdict = {
        (True, False): "Negative flip: the old model's frame is right, the new model's is wrong",
        (False, True): "Positive flip: the old model's frame is wrong, the new model's is right",
        (True, True): "Both models' frames are right",
        (False, False): "Both models' frames are wrong",
    }[old == gold, new == gold]
    note = "" if gold in (old, new) else f"Gold: {frame_text(gold)}"
    return _draw(words, sides, [title or verdict, f"Spans: {spans}."], note)


def _common_words(frames: Sequence[Node]) -> tuple[str, ...]:
    words = frame_words(frames[0])
    if any(frame_words(frame) != words for frame in frames):
        raise ValueError(f"frames over other words than {' '.join(words)!r}")
    if any(b.begin == b.stop for frame in frames for b in brackets(frame)):
        raise ValueError("a node without words cannot be drawn")
    return words


def _verdict(side: _Side) -> str:
    return "" if side.right is None else "frame right" if side.right else "frame wrong"


def _draw(words: Sequence[str], sides: Sequence[_Side], headings: Sequence[str], note: str = "") -> str:
    margin = LEFT + 12 + max(text_width(text, 12) for side in sides for text in (side.name, _verdict(side)))
    lines = place_lines(words, [b for side in sides for b in side.brackets], margin, _MAX_WIDTH)
    sizes, styles = (14, 12), (BOLD, 'font-weight="normal" fill="#4B5563"')
    body = [text_at(LEFT, 24 + 20 * i, *told) for i, told in enumerate(zip(sizes, headings, styles))]
    y: float = 16 + 20 * len(headings)
    for line in lines:
        drawn, height = _draw_line(words, sides, line, y)
        body.append(drawn)
        y += height + _LINE_GAP
    ends = [line.edges[-1] + LEFT for line in lines]
    width = max([_MIN_WIDTH, *ends, *(text_width(heading, 16) + 2 * LEFT for heading in headings)])
    legend, y = _legend(sides, width, y)
    rows = textwrap.wrap(note, int((width - 2 * LEFT) / 6.3))
    notes = [text_at(LEFT, y + 8 + 17 * i, 11.5, row, 'fill="#4B5563"') for i, row in enumerate(rows)]
    alt = f"{headings[0]}: {' '.join(words)}" if headings else " ".join(words)
    return page(width, y + (17 * len(notes) + 6 if notes else 0), alt, [*body, legend, *notes])


def _draw_line(words: Sequence[str], sides: Sequence[_Side], line: Line, y: float) -> tuple[str, float]:
    """One line of words with what stands above and below, from y on, and its height."""
    cuts = [cut(side.brackets, line.first, line.stop) for side in sides]
    depths = [depth(found) for found in cuts]
    top = y + depths[0]
    parts = [_draw_words(words, sides, line, top)]
    for side, found, base, sign in zip(sides, cuts, (top, top + _WORD_BAND), (-1, 1)):
        parts.append(draw_nodes(found, side.marks, line, base, sign))
        baseline = base + 22 if sign > 0 else base - 28
        if side.name:
            parts.append(text_at(LEFT, baseline, 12, side.name, f'font-weight="bold" {QUIET}'))
        if side.right is not None:
            style = f'font-weight="bold" fill="{(POSITIVE if side.right else NEGATIVE).colour}"'
            parts.append(text_at(LEFT, baseline + 15, 11, _verdict(side), style))
    return "\n".join(parts), sum(depths) + _WORD_BAND


def _draw_words(words: Sequence[str], sides: Sequence[_Side], line: Line, top: float) -> str:
    """The words, on a tint where the labels of the smallest changed span around them changed."""
    changed = {
        span: mark.change
        for side in reversed(sides)
        for span, mark in side.marks.items()
        if mark.change is not SAME and span != (0, len(words))
    }
    parts = []
    for word in range(line.first, line.stop):
        x, around = line.centre(word), [span for span in changed if span[0] <= word < span[1]]
        if around:
            tint = changed[min(around, key=lambda span: span[1] - span[0])].tint
            width = text_width(words[word], WORD_SIZE) + 8
            parts.append(box(x, top + 3, width, _WORD_BAND - 6, 6, f'fill="{tint}"'))
        parts.append(text_at(x, top + 20, WORD_SIZE, words[word], f"{MIDDLE} {INK}"))
    return "\n".join(parts)


def depth(found: Sequence[Bracket]) -> float:
    """The height in pixels that the nodes of a frame take above (or below) the words."""
    if not found:
        return 0
    return _BASE_HEIGHT + _LEVEL_HEIGHT * max(b.height for b in found) + _NODE_HEIGHT / 2 + 6


def draw_nodes(found: Sequence[Bracket], marks: Mapping[Span, _Mark], line: Line, base: float, sign: int) -> str:
    """The nodes of one frame over a line of words, with the stems to what is inside them.

    The stems end at y = `base`; sign -1 draws upwards, 1 downwards.  O(words nodes).
    """
    place = [(line.middle(b), base + sign * (_BASE_HEIGHT + _LEVEL_HEIGHT * b.height)) for b in found]

    def stem(node: int, to_x: float, to_y: float, colour: str) -> str:
        """From a node towards the words, over to what is inside it, and there."""
        x, y = place[node]
        turn = y - sign * (_NODE_HEIGHT / 2 + 6)
        return f'<path d="M{x:.1f} {y:.1f}V{turn:.1f}H{to_x:.1f}V{to_y:.1f}" fill="none" stroke="{colour}"/>'

    around = {word: i for i, b in enumerate(found) for word in range(b.begin, b.stop)}  # the innermost
    faint = [stem(around[word], line.centre(word), base, _FAINT_STEM) for word in sorted(around)]
    stems = [stem(b.above, *place[i], _STEM) for i, b in enumerate(found) if b.above >= 0]
    nodes = [_node(b, *place[i], marks.get(b.span, _Mark())) for i, b in enumerate(found)]
    return "\n".join([*faint, *stems, *nodes])


def _node(bracket: Bracket, x: float, y: float, mark: _Mark) -> str:
    is_intent, width, parts = bracket.label.startswith("IN:"), bracket.width, ""
    (fill, stroke, ink), corner = (_INTENT, 4) if is_intent else (_SLOT, _NODE_HEIGHT / 2)
    if mark != _Mark():
        thick, tint = (1.4, "#fff") if mark.change is SAME else (2.4, mark.change.tint)
        dash = "" if mark.right else DASH
        look = f'fill="{tint}" stroke="{mark.change.colour}" stroke-width="{thick}"{dash}'
        parts = box(x, y - (_NODE_HEIGHT + 10) / 2, width + 10, _NODE_HEIGHT + 10, corner + 5, look)
    parts += box(x, y - _NODE_HEIGHT / 2, width, _NODE_HEIGHT, corner, f'fill="{fill}" stroke="{stroke}"')
    return parts + text_at(x, y + 4, NODE_SIZE, bracket.name, f'{MIDDLE} fill="{ink}"')


def _legend(sides: Sequence[_Side], width: float, y: float) -> tuple[str, float]:
    """Rows of samples with what they mean, of what occurs in the drawing, and where they end."""
    marks = [side.marks.get(b.span, _Mark()) for side in sides for b in side.brackets]
    samples = [
        (f'<rect y="-7" width="26" height="14" rx="{corner}" fill="{fill}" stroke="{stroke}"/>', name)
        for name, corner, (fill, stroke, _) in (("intent", 3, _INTENT), ("slot", 7, _SLOT))
    ]
    for change in (NEGATIVE, POSITIVE, STILL_WRONG, WRONG, MISSED):
        if any(mark.change is change for mark in marks):
            line = f'stroke="{change.colour}" stroke-width="2.4"{DASH if change is WRONG else ""}'
            sample = f'<rect y="-8" width="26" height="16" rx="6" fill="{change.tint}" {line}/>'
            samples.append((sample, f"{change.name}: {change.meaning}"))
    if any(not mark.right and mark.change is not WRONG for mark in marks):
        dashed = f'<path d="M0 0h26" stroke="#6B7280" stroke-width="2"{DASH}/>'
        samples.append((dashed, "dashed: not in the gold frame"))
    x, parts = float(LEFT), []
    for sample, words in samples:
        step = 34 + text_width(words, 11) + 22
        if x > LEFT and x + step > width:
            x, y = float(LEFT), y + 22
        parts += [f'<g transform="translate({x:.1f} {y:.1f})">{sample}</g>', text_at(x + 34, y + 4, 11, words, QUIET)]
        x += step
    return "\n".join(parts), y + 24
