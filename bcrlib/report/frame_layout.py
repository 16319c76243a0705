"""Where words and nodes of a frame drawing go; numbers only, no drawing.

A frame is laid out as a list of brackets, outer before inner and from the left. Brackets of two frames over the same
words share one line of words; a long one is cut into lines, with the brackets that go on beyond the cut in both.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from bcrlib.data.frames import CLOSE, OPEN, Node, frame_tokens
from bcrlib.report.tree_layout import WORD_SIZE, text_width

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
