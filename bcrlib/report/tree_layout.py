"""Where words and arcs of a tree drawing go; numbers only, no drawing."""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

WORD_SIZE, TAG_SIZE, LABEL_SIZE = 15, 10, 11
WORD_GAP, LABEL_GAP, PORT_GAP = 18, 32, 8


@dataclass(frozen=True)
class Arc:
    """One arc of one side, placed: `level` 1 is the lowest; the root arc (head 0) is above all others."""

    dependent: int
    head: int
    relation: str
    level: int


def text_width(text: str, size: float) -> float:
    """Estimated width in pixels in a common sans-serif face; wide (East Asian) characters count double."""
    wide = sum(unicodedata.east_asian_width(c) in "WF" for c in text)
    narrow = sum(c in "iljtf.,;:'!|()[] " for c in text)
    combining = sum(unicodedata.combining(c) > 0 for c in text)
    return size * (0.6 * (len(text) - wide - narrow - combining) + 0.36 * narrow + 1.0 * wide)


def place_arcs(heads: Sequence[int], relations: Sequence[str]) -> list[Arc]:
    """Gives every arc the lowest level at which it lies above all shorter arcs it overlaps. O(length^2)."""
    spans = [(min(t, h), max(t, h), t) for t, h in enumerate(heads, start=1) if h]
    placed: list[tuple[int, int, int, int]] = []
    for left, right, t in sorted(spans, key=lambda span: (span[1] - span[0], span)):
        below = [level for l, r, _, level in placed if l < right and r > left]
        placed.append((left, right, t, 1 + max(below, default=0)))
    top = max((level for *_, level in placed), default=0)
    arcs = [Arc(t, heads[t - 1], relations[t - 1], level) for _, _, t, level in placed]
    return arcs + [Arc(t, 0, relations[t - 1], top + 1) for t, h in enumerate(heads, start=1) if h == 0]


def word_width(form: str, tag: str) -> float:
    """Width in pixels that a word and the tag under it take."""
    return max(text_width(form, WORD_SIZE), text_width(tag, TAG_SIZE))


def place_words(forms: Sequence[str], upos: Sequence[str], arcs: Sequence[Arc], left_margin: float) -> list[float]:
    """The x of every word's centre (index 0 unused): words do not touch, and a label fits on its arc."""
    widths = [word_width(form, tag) for form, tag in zip(forms, upos)]
    ending: dict[int, list[Arc]] = {}
    for arc in arcs:
        ending.setdefault(max(arc.dependent, arc.head), []).append(arc)
    centres = [0.0]
    for t, width in enumerate(widths, start=1):
        x = left_margin + width / 2
        if t > 1:
            x = centres[t - 1] + (widths[t - 2] + width) / 2 + WORD_GAP
        for arc in ending.get(t, []):
            start = min(arc.dependent, arc.head)
            if start:
                x = max(x, centres[start] + text_width(arc.relation, LABEL_SIZE) + LABEL_GAP)
        centres.append(x)
    return centres


def ports(arcs: Sequence[Arc], centres: Sequence[float]) -> dict[tuple[int, int], float]:
    """The x at which arc `dependent` leaves or enters `word`: {(dependent, word): x}.

    Around a word, left of its centre: arcs to the left, the longest innermost; then the root arc; then
    arcs to the right. So no leg crosses the arcs of its own word.
    """
    at_word: dict[int, list[tuple[tuple[int, int], int]]] = {}
    for arc in arcs:
        for word, other in ((arc.dependent, arc.head), (arc.head, arc.dependent)):
            if word:
                side = 0 if not other or not arc.head else (-1 if other < word else 1)
                order = (side, (-abs(word - other) if side > 0 else abs(word - other)))
                at_word.setdefault(word, []).append((order, arc.dependent))
    found = {}
    for word, ends in at_word.items():
        for place, (_, dependent) in enumerate(sorted(ends)):
            found[dependent, word] = centres[word] + PORT_GAP * (place - (len(ends) - 1) / 2)
    return found
