"""Where words and nodes of a frame drawing go; numbers only, no drawing.

A frame is laid out as a list of brackets, outer before inner and from the left. Brackets of two frames over the same
words share one line of words; a long one is cut into lines, with the brackets that go on beyond the cut in both.

Semantic frames as trees over their words: one frame, or an update with the old frame above and the new one below.
"""

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from bcrlib.data.frames import CLOSE, OPEN, Node, frame_text, frame_tokens, frame_words
from bcrlib.report.draw_trees import (
    DASH,
    NEGATIVE,
    POSITIVE,
    SAME,
    STILL_WRONG,
    WORD_SIZE,
    Change,
    changes,
    page,
    summary,
    text_at,
    text_width,
)

NODE_SIZE, NODE_PADDING = 11, 8
CAPITALS = 1.1  # how much wider they are than text_width thinks
WORD_GAP, NODE_GAP = 13, 16
CUT = "…"


@dataclass(frozen=True)
class Bracket:
    """One node over the words begin..stop-1, counted from 0 in the whole utterance."""

    label: str  # "IN:GET_EVENT"
    begin: int
    stop: int
    span: tuple[int, int]
    """Its words before a line was cut: begin and stop of the node itself."""
    height: int = 0
    """0: words alone below it; else one more than the highest bracket inside."""
    above: int = -1
    """The place in the list of the innermost bracket around it; -1: none."""

    @property
    def name(self) -> str:
        """What is written on the node: its label without the kind, dots where the bracket was cut."""
        before = f"{CUT} " if self.begin > self.span[0] else ""
        after = f" {CUT}" if self.stop < self.span[1] else ""
        return f"{before}{self.label.partition(':')[2]}{after}"

    @property
    def width(self) -> float:
        """Width in pixels of the node itself."""
        return CAPITALS * text_width(self.name, NODE_SIZE) + 2 * NODE_PADDING


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
    return nested(found)


def nested(found: Sequence[Bracket]) -> list[Bracket]:
    """The same brackets with the heights and parents that they have among themselves.

    In the order of `brackets`, any of them left out.  O(brackets depth).
    """
    above: list[int] = []
    for i, bracket in enumerate(found):
        around = i - 1
        while around >= 0 and found[around].stop < bracket.stop:
            around = above[around]
        above.append(around)
    heights = [0] * len(found)
    for i in reversed(range(len(found))):
        if above[i] >= 0:
            heights[above[i]] = max(heights[above[i]], heights[i] + 1)
    return [replace(bracket, height=h, above=a) for bracket, h, a in zip(found, heights, above)]


def chains(found: Sequence[Bracket]) -> dict[tuple[int, int], tuple[str, ...]]:
    """The labels of the brackets over each span of words, from the outside in.  O(brackets)."""
    of_span: dict[tuple[int, int], tuple[str, ...]] = {}
    for bracket in found:
        of_span[bracket.span] = (*of_span.get(bracket.span, ()), bracket.label)
    return of_span


def cut(found: Sequence[Bracket], first: int, stop: int) -> list[Bracket]:
    """What of the brackets is over the words first..stop-1.  O(brackets depth)."""
    touched = [b for b in found if b.begin < stop and b.stop > first]
    return nested([replace(b, begin=max(b.begin, first), stop=min(b.stop, stop)) for b in touched])


def place_words(words: Sequence[str], found: Sequence[Bracket], first: int, stop: int, left_margin: float) -> Line:
    """Where the words first..stop-1 go so that neither they nor the nodes over them touch.

    `found`: the brackets of all frames drawn, cut to these words. A node wider than its words gets room on either side
    of them, the innermost first.  O(words brackets).
    """
    widths = [text_width(word, WORD_SIZE) + WORD_GAP for word in words[first:stop]]
    before, after = [0.0] * len(widths), [0.0] * len(widths)
    for bracket in sorted(found, key=lambda b: b.stop - b.begin):
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
        line = place_words(words, cut(found, first, len(words)), first, len(words), left_margin)
        fitting = sum(edge <= max_width for edge in line.edges[1:])
        stop = first + max(1, fitting)
        if stop < len(words):
            stop = _best_cut(found, first, stop)
        lines.append(place_words(words, cut(found, first, stop), first, stop, left_margin))
        first = stop
    return lines


def _best_cut(found: Sequence[Bracket], first: int, last: int) -> int:
    """Of the second half of first+1..last, where the fewest brackets go on; the last such place."""
    places = range(first + 1 + (last - first - 1) // 2, last + 1)
    return min(reversed(places), key=lambda place: sum(b.begin < place < b.stop for b in found))


MIN_WIDTH, MAX_WIDTH = 560, 1120
LEFT, NODE_HEIGHT, LEVEL_HEIGHT, BASE_HEIGHT = 16, 20, 38, 34
WORD_BAND, LINE_GAP = 30, 26
INTENT, SLOT = ("#4B4A8F", "#4B4A8F", "#FFFFFF"), ("#DDF0EA", "#3B8F7C", "#14463B")  # fill, stroke, text
STEM, FAINT_STEM = "#9CA3AF", "#D5D9DF"
QUIET = 'fill="#374151"'
WRONG = Change("differs", "not in the gold frame", "#C8501E", "#FBE3D8")
MISSED = Change("missed", "in the gold frame only", "#0072B2", "#DCEBF5")
Span = tuple[int, int]


@dataclass(frozen=True)
class Mark:
    """How the nodes over one span of words are drawn: framed where changed, dashed where wrong."""

    change: Change
    right: bool


@dataclass(frozen=True)
class Side:
    """One frame of a drawing, above the words or (mirrored) below them."""

    name: str
    verdict: str
    colour: str  # of the verdict
    brackets: list[Bracket]
    marks: Mapping[Span, Mark]


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


def draw_frame(frame: Node, *, gold: Node | None = None, title: str = "", caption: str = "") -> str:
    """One frame above its words as a self-contained SVG.

    Beside a gold frame, the nodes that it does not have over the same words are framed and dashed, and those it has
    instead stand mirrored below the words.  Long utterances are cut into lines.  Equal input gives equal bytes.
    ValueError for frames over unequal words or with an empty node.  O(words nodes).
    """
    words = _common_words([frame] if gold is None else [frame, gold])
    marks: dict[Span, Mark] = {}
    sides = [Side("", "", "", brackets(frame), marks)]
    if gold is not None:
        own, golden = chains(brackets(frame)), chains(brackets(gold))
        marks |= {span: Mark(WRONG, False) for span, labels in own.items() if golden.get(span) != labels}
        missed = [b for b in brackets(gold) if own.get(b.span) != golden[b.span]]
        sides.append(Side("gold has" if missed else "", "", "", missed, {b.span: Mark(MISSED, True) for b in missed}))
    return _draw(words, sides, [title] if title else [], caption)


def draw_frame_update(
    old: Node,
    new: Node,
    gold: Node,
    *,
    title: str = "",
    caption: str = "",
    old_name: str = "old",
    new_name: str = "new",
) -> str:
    """An update drawn (paper, Figure 1): the old model's frame above the words, the new model's mirrored below them.

    Nodes are framed where the update changed the labels over their words: negative flip, positive flip, or changed from
    wrong to wrong (`span_changes`); nodes that gold does not have are dashed.  Where neither frame is gold's, gold's is
    written below.  Lines, errors and cost as for `draw_frame`; equal input gives equal bytes.
    """
    words = _common_words([old, new, gold])
    of_span = span_changes(old, new, gold)
    sides = [
        _side(name, frame, gold, {span: Mark(change[0], change[place]) for span, change in of_span.items()})
        for place, (name, frame) in enumerate([(old_name, old), (new_name, new)], start=1)
    ]
    golden = chains(brackets(gold))
    spans = summary([change for span, (change, _, _) in of_span.items() if span in golden])
    below = "" if gold in (old, new) else f"Gold: {frame_text(gold)}\n"
    return _draw(words, sides, [title or _verdict(old == gold, new == gold), f"Spans: {spans}."], below + caption)


def _verdict(old_right: bool, new_right: bool) -> str:
    if old_right and not new_right:
        return "Negative flip: the old model's frame is right, the new model's is wrong"
    if new_right and not old_right:
        return "Positive flip: the old model's frame is wrong, the new model's is right"
    return "Both models' frames are right" if old_right else "Both models' frames are wrong"


def _side(name: str, frame: Node, gold: Node, marks: Mapping[Span, Mark]) -> Side:
    if frame == gold:
        return Side(name, "frame right", POSITIVE.colour, brackets(frame), marks)
    return Side(name, "frame wrong", NEGATIVE.colour, brackets(frame), marks)


def _common_words(frames: Sequence[Node]) -> tuple[str, ...]:
    words = frame_words(frames[0])
    if any(frame_words(frame) != words for frame in frames):
        raise ValueError(f"frames over other words than {' '.join(words)!r}")
    if any(b.begin == b.stop for frame in frames for b in brackets(frame)):
        raise ValueError("a node without words cannot be drawn")
    return words


def _draw(words: Sequence[str], sides: Sequence[Side], headings: Sequence[str], caption: str) -> str:
    margin = LEFT + 12 + max(text_width(text, 12) for side in sides for text in (side.name, side.verdict))
    lines = place_lines(words, [b for side in sides for b in side.brackets], margin, MAX_WIDTH)
    sized = [(14, "bold", "#111827"), (12, "normal", "#4B5563")]
    body = [
        text_at(LEFT, 24 + 20 * i, size, heading, f'font-weight="{weight}" fill="{colour}"')
        for i, (heading, (size, weight, colour)) in enumerate(zip(headings, sized))
    ]
    y = 16 + 20 * len(headings)
    for line in lines:
        drawn, height = _draw_line(words, sides, line, y)
        body.append(drawn)
        y += height + LINE_GAP
    ends = [line.edges[-1] + LEFT for line in lines]
    width = max([MIN_WIDTH, *ends, *(text_width(heading, 16) + 2 * LEFT for heading in headings)])
    legend, y = _legend(sides, width, y)
    notes, y = _notes(caption, width, y)
    alt = f"{headings[0]}: {' '.join(words)}" if headings else " ".join(words)
    return page(width, y, alt, [*body, legend, *notes])


def _draw_line(words: Sequence[str], sides: Sequence[Side], line: Line, y: float) -> tuple[str, float]:
    """One line of words with what stands above and below, from y on, and its height."""
    cuts = [cut(side.brackets, line.first, line.stop) for side in sides]
    depths = [depth(found) for found in cuts]
    top = y + depths[0]
    bases = [top, top + WORD_BAND]
    parts = [_draw_words(words, sides, line, top)]
    for side, found, base, sign in zip(sides, cuts, bases, (-1, 1)):
        parts.append(draw_nodes(found, side.marks, line, base, sign))
        if side.name:
            baseline = base + 22 if sign > 0 else base - 28
            parts.append(text_at(LEFT, baseline, 12, side.name, 'font-weight="bold" fill="#374151"'))
            if side.verdict:
                style = f'font-weight="bold" fill="{side.colour}"'
                parts.append(text_at(LEFT, baseline + 15, 11, side.verdict, style))
    return "\n".join(parts), sum(depths) + WORD_BAND


def depth(found: Sequence[Bracket]) -> float:
    """The height in pixels that the nodes of a frame take above (or below) the words."""
    if not found:
        return 0
    return BASE_HEIGHT + LEVEL_HEIGHT * max(b.height for b in found) + NODE_HEIGHT / 2 + 6


def draw_nodes(found: Sequence[Bracket], marks: Mapping[Span, Mark], line: Line, base: float, sign: int) -> str:
    """The nodes of one frame over a line of words, with the stems to what is inside them.

    The stems end at y = `base`; sign -1 draws upwards, 1 downwards.  O(words nodes).
    """
    place = [(line.middle(b), base + sign * (BASE_HEIGHT + LEVEL_HEIGHT * b.height)) for b in found]
    inside = [(b.above, place[i]) for i, b in enumerate(found)]
    stems = [_stem(place[above], end, sign, STEM) for above, end in inside if above >= 0]
    faint = [
        _stem(place[around], (line.centre(word), base), sign, FAINT_STEM)
        for word in range(line.first, line.stop)
        if (around := max((i for i, b in enumerate(found) if b.begin <= word < b.stop), default=-1)) >= 0
    ]
    nodes = [_node(b, place[i], marks.get(b.span, Mark(SAME, True))) for i, b in enumerate(found)]
    return "\n".join([*faint, *stems, *nodes])


def _stem(start: tuple[float, float], end: tuple[float, float], sign: int, colour: str) -> str:
    """From a node towards the words, over to what is inside it, and there."""
    (x, y), (to_x, to_y) = start, end
    turn = y - sign * (NODE_HEIGHT / 2 + 6)
    return f'<path d="M{x:.1f} {y:.1f}V{turn:.1f}H{to_x:.1f}V{to_y:.1f}" fill="none" stroke="{colour}"/>'


def _node(bracket: Bracket, at: tuple[float, float], mark: Mark) -> str:
    (x, y), width = at, bracket.width
    fill, stroke, ink = INTENT if bracket.label.startswith("IN:") else SLOT
    corner = 4 if bracket.label.startswith("IN:") else NODE_HEIGHT / 2
    parts = [_frame_around(x, y, width, corner, mark)] if mark.change is not SAME or not mark.right else []
    box = f'x="{x - width / 2:.1f}" y="{y - NODE_HEIGHT / 2:.1f}" width="{width:.1f}" height="{NODE_HEIGHT}"'
    parts.append(f'<rect {box} rx="{corner}" fill="{fill}" stroke="{stroke}"/>')
    parts.append(text_at(x, y + 4, NODE_SIZE, bracket.name, f'text-anchor="middle" fill="{ink}"'))
    return "".join(parts)


def _frame_around(x: float, y: float, width: float, corner: float, mark: Mark) -> str:
    grown = NODE_HEIGHT + 10
    box = f'x="{x - width / 2 - 5:.1f}" y="{y - grown / 2:.1f}" width="{width + 10:.1f}" height="{grown}"'
    line = f'stroke="{mark.change.colour}" stroke-width="{1.4 if mark.change is SAME else 2.4}"'
    tint = "#fff" if mark.change is SAME else mark.change.tint
    return f'<rect {box} rx="{corner + 5}" fill="{tint}" {line}{"" if mark.right else DASH}/>'


def _draw_words(words: Sequence[str], sides: Sequence[Side], line: Line, top: float) -> str:
    """The words, on a tint where the labels of the smallest changed span around them changed."""
    changed = {
        span: mark.change for side in reversed(sides) for span, mark in side.marks.items() if mark.change is not SAME
    }
    inner = {span: change for span, change in changed.items() if span != (0, len(words))}
    parts = []
    for word in range(line.first, line.stop):
        x, width = line.centre(word), text_width(words[word], WORD_SIZE) + 8
        around = [span for span in inner if span[0] <= word < span[1]]
        if around:
            box = f'x="{x - width / 2:.1f}" y="{top + 3:.1f}" width="{width:.1f}" height="{WORD_BAND - 6}"'
            tint = inner[min(around, key=lambda span: span[1] - span[0])].tint
            parts.append(f'<rect {box} rx="6" fill="{tint}"/>')
        parts.append(text_at(x, top + 20, WORD_SIZE, words[word], 'text-anchor="middle" fill="#111827"'))
    return "\n".join(parts)


def _legend(sides: Sequence[Side], width: float, y: float) -> tuple[str, float]:
    """Rows of samples with what they mean, of what occurs in the drawing, and where they end."""
    marks = [side.marks.get(b.span, Mark(SAME, True)) for side in sides for b in side.brackets]
    samples = [(_sample_node("IN:"), "intent"), (_sample_node("SL:"), "slot")]
    for change in (NEGATIVE, POSITIVE, STILL_WRONG, WRONG, MISSED):
        if any(mark.change is change for mark in marks):
            samples.append((_sample_frame(change), f"{change.name}: {change.meaning}"))
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


def _sample_node(kind: str) -> str:
    fill, stroke, _ = INTENT if kind == "IN:" else SLOT
    return f'<rect y="-7" width="26" height="14" rx="{3 if kind == "IN:" else 7}" fill="{fill}" stroke="{stroke}"/>'


def _sample_frame(change: Change) -> str:
    line = f'fill="{change.tint}" stroke="{change.colour}" stroke-width="2.4"{DASH if change is WRONG else ""}'
    return f'<rect y="-8" width="26" height="16" rx="6" {line}/>'


def _notes(caption: str, width: float, y: float) -> tuple[list[str], float]:
    """The caption in lines that fit, and where they end."""
    rows = [row for part in caption.splitlines() for row in textwrap.wrap(part, int((width - 2 * LEFT) / 6.3))]
    drawn = [text_at(LEFT, y + 8 + 17 * i, 11.5, row, 'fill="#4B5563"') for i, row in enumerate(rows)]
    return drawn, y + (17 * len(rows) + 6 if rows else 0)
