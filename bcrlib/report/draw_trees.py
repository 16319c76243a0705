"""Drawings as self-contained SVG files: what all of them are made of, and one tree, or the old and the new one.

Whatever the words, a file stays well-formed; equal input gives equal bytes.
"""

import unicodedata
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from html import escape

FONT = "DejaVu Sans, Verdana, Arial, sans-serif"
_NOT_IN_XML = {"Cc", "Cs", "Cn"}
_TURNING = set("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")  # what stands behind them, too
INK, BOLD, QUIET = 'fill="#111827"', 'font-weight="bold" fill="#111827"', 'fill="#374151"'
MIDDLE = 'text-anchor="middle"'
DASH = ' stroke-dasharray="5 3"'
WORD_SIZE, TAG_SIZE, LABEL_SIZE = 15, 10, 11
LEFT = 16


def printable(content: str) -> str:
    """The text with what may stand in a word, but not in XML or on a terminal, replaced.

    Control characters, and those that turn the direction of the text behind them.
    """
    if content.isprintable():
        return content
    bad = (c in _TURNING or unicodedata.category(c) in _NOT_IN_XML for c in content)
    return "".join("\ufffd" if is_bad else c for c, is_bad in zip(content, bad))


def text_at(x: float, y: float, size: float, content: str, style: str = "") -> str:
    """One line of text whose baseline is at y; `style` holds further attributes."""
    return f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" {style}>{escape(printable(content))}</text>'


def text_width(text: str, size: float) -> float:
    """Estimated width in pixels in a common sans-serif face; wide (East Asian) characters count double."""
    wide = sum(unicodedata.east_asian_width(c) in "WF" for c in text)
    narrow = sum(c in "iljtf.,;:'!|()[] " for c in text)
    combining = sum(unicodedata.combining(c) > 0 for c in text)
    return size * (0.6 * (len(text) - wide - narrow - combining) + 0.36 * narrow + 1.0 * wide)


def page(width: float, height: float, alt: str, body: Sequence[str]) -> str:
    """A whole file: white ground, `alt` for who cannot see it, the elements of `body` on top."""
    size = f'width="{width:.0f}" height="{height:.0f}" viewBox="0 0 {width:.0f} {height:.0f}"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" font-family="{FONT}">'
    back = '<rect width="100%" height="100%" fill="#fff"/>'
    return "\n".join([head, f"<title>{escape(printable(alt))}</title>", back, *body, "</svg>"]) + "\n"


@dataclass(frozen=True)
class Change:
    """What an update did to one word or span, and how it is drawn."""

    name: str
    meaning: str
    colour: str
    tint: str


NEGATIVE = Change("negative flip", "old right, new wrong", "#C8501E", "#FBE3D8")
POSITIVE = Change("positive flip", "old wrong, new right", "#0072B2", "#DCEBF5")
STILL_WRONG = Change("changed", "both wrong", "#3F3F46", "#E7E7EA")
SAME = Change("unchanged", "same head and relation", "#9CA3AF", "none")
MARKED = Change("marked", "what the text speaks of", "#0072B2", "#DCEBF5")


def changes(
    old: Sequence[tuple], new: Sequence[tuple], gold: Sequence[tuple]
) -> tuple[list[Change], list[bool], list[bool]]:
    """Per word: what changed, whether old is right, whether new is right. Items are compared with ==."""
    old_right = [o == g for o, g in zip(old, gold)]
    new_right = [n == g for n, g in zip(new, gold)]
    flips = {(True, False): NEGATIVE, (False, True): POSITIVE, (False, False): STILL_WRONG}
    kinds = [SAME if o == n else flips[sides] for o, n, sides in zip(old, new, zip(old_right, new_right))]
    return kinds, old_right, new_right


def summary(kinds: Sequence[Change]) -> str:
    """ "1 negative flip; 2 positive flips" - the counts of a drawing in words."""
    texts = []
    for kind in (NEGATIVE, POSITIVE, STILL_WRONG):
        if count := sum(k is kind for k in kinds):
            several = "s" if count > 1 else ""
            texts.append(f"{count} {kind.name}" + (", both wrong" if kind is STILL_WRONG else several))
    return "; ".join(texts) or "nothing changed"


def box(x: float, y: float, width: float, height: float, corner: float, look: str) -> str:
    """A rectangle in the middle of x whose upper edge is at y."""
    place = f'x="{x - width / 2:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height}"'
    return f'<rect {place} rx="{corner}" {look}/>'


_WORD_GAP, _LABEL_GAP, _PORT_GAP = 18, 32, 8
_LEVEL_HEIGHT, _BASE_HEIGHT, _CORNER, _WORD_BAND = 24, 14, 9, 44


@dataclass(frozen=True)
class Arc:
    """One arc of one side, placed: `level` 1 is the lowest; the root arc (head 0) is above all others."""

    dependent: int
    head: int
    relation: str
    level: int


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


def _width(form: str, tag: str) -> float:
    """Width in pixels that a word and the tag under it take."""
    return max(text_width(form, WORD_SIZE), text_width(tag, TAG_SIZE))


def place_words(forms: Sequence[str], upos: Sequence[str], arcs: Sequence[Arc], left_margin: float) -> list[float]:
    """The x of every word's centre (index 0 unused): words do not touch, and a label fits on its arc."""
    widths = list(map(_width, forms, upos))
    ending: dict[int, list[Arc]] = {}
    for arc in arcs:
        ending.setdefault(max(arc.dependent, arc.head), []).append(arc)
    centres = [0.0]
    for t, width in enumerate(widths, start=1):
        x = left_margin + width / 2
        if t > 1:
            x = centres[t - 1] + (widths[t - 2] + width) / 2 + _WORD_GAP
        for arc in ending.get(t, []):
            start = min(arc.dependent, arc.head)
            if start:
                x = max(x, centres[start] + text_width(arc.relation, LABEL_SIZE) + _LABEL_GAP)
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
    return {
        (dependent, word): centres[word] + _PORT_GAP * (place - (len(ends) - 1) / 2)
        for word, ends in at_word.items()
        for place, (_, dependent) in enumerate(sorted(ends))
    }


def draw_tree(
    forms: Sequence[str],
    upos: Sequence[str],
    heads: Sequence[int],
    relations: Sequence[str],
    *,
    marked: Collection[int] = (),
    title: str = "",
) -> str:
    """One tree above its words; the arcs into the `marked` words (from 1) are coloured.

    Sequences, errors and cost as for `draw_update`.
    """
    (heads,) = _checked((forms, upos, heads, relations))
    kinds = [MARKED if word in marked else SAME for word in range(1, len(forms) + 1)]
    return _draw(forms, upos, [("", place_arcs(heads, relations), [True] * len(heads))], kinds, title)


def draw_update(
    forms: Sequence[str],
    upos: Sequence[str],
    old_heads: Sequence[int],
    old_relations: Sequence[str],
    new_heads: Sequence[int],
    new_relations: Sequence[str],
    gold_heads: Sequence[int],
    gold_relations: Sequence[str],
    *,
    labelled: bool = True,
    title: str = "",
    old_name: str = "old",
    new_name: str = "new",
) -> str:
    """One sentence's old tree (above) and new tree (below).

    All sequences have one item a word; heads are 1-based, 0 = root. An arc is coloured where the update
    changed it: negative flip, positive flip, or changed from wrong to wrong; wrong arcs are dashed. An arc
    is right when its head (and, if `labelled`, its relation) is gold's.
    ValueError for sequences of unequal length, an empty sentence or a head outside it. O(length^2).
    """
    columns = (forms, upos, old_heads, old_relations, new_heads, new_relations, gold_heads, gold_relations)
    trees = list(zip(_checked(columns), (old_relations, new_relations, gold_relations)))
    kinds, *right = changes(*(list(zip(*tree) if labelled else tree[0]) for tree in trees))
    sides = [(name, place_arcs(*tree), ok) for name, tree, ok in zip((old_name, new_name), trees, right)]
    return _draw(forms, upos, sides, kinds, title or summary(kinds).capitalize())


def _checked(columns: tuple[Sequence, ...]) -> list[list[int]]:
    """The heads of every tree as plain integers, once all columns fit together."""
    length = len(columns[0])
    if length == 0 or any(len(column) != length for column in columns):
        raise ValueError(f"one item a word in every sequence, please: {[len(c) for c in columns]}")
    heads = [[int(head) for head in column] for column in columns[2::2]]
    for t, head in ((t, h) for side in heads for t, h in enumerate(side, start=1)):
        if not 0 <= head <= length or head == t:
            raise ValueError(f"word {t} cannot have head {head} in a sentence of {length} words")
    return heads


def _draw(
    forms: Sequence[str],
    upos: Sequence[str],
    sides: Sequence[tuple[str, list[Arc], list[bool]]],
    kinds: list[Change],
    heading: str,
) -> str:
    """The trees of one or two sides (name, arcs, which are right), the second one mirrored below the words."""
    names = [name for name, _, _ in sides] if len(sides) == 2 else []
    margin = LEFT + max(text_width(name, 13) for name in names) + 24 if names else LEFT
    centres = place_words(forms, upos, [arc for _, arcs, _ in sides for arc in arcs], margin)
    depths = [_BASE_HEIGHT + _LEVEL_HEIGHT * max(arc.level for arc in arcs) + 14 for _, arcs, _ in sides]
    top = (38 if heading else 0) + depths[0]
    bases = [top, top + _WORD_BAND]
    height, legend, legend_width = bases[1] + 6, [], 0.0
    if len(sides) == 2:
        height = bases[1] + depths[1] + 34
        legend, legend_width = _legend(kinds, height - 14)
    end = centres[-1] + _width(forms[-1], upos[-1]) / 2 + 24
    beside = [top - _BASE_HEIGHT, bases[1] + _BASE_HEIGHT + 8]
    body = [
        text_at(LEFT, 24, 14, heading, BOLD),
        *(text_at(LEFT, y, 12, name, f'font-weight="bold" {QUIET}') for name, y in zip(names, beside)),
        *(_draw_arcs(side, centres, base, sign, kinds) for side, base, sign in zip(sides, bases, (-1, 1))),
        _draw_words(forms, upos, centres, top, kinds),
        *legend,
    ]
    alt = f"{heading}: {' '.join(forms)}".removeprefix(": ")
    return page(max(end, legend_width, text_width(heading, 15) + 2 * LEFT), height, alt, body)


def _draw_arcs(
    side: tuple[str, list[Arc], list[bool]], centres: list[float], base: float, sign: int, kinds: list[Change]
) -> str:
    """The arcs of one side, changed ones over others, and their labels over all; sign -1 draws upwards, 1 downwards."""
    _, arcs, right = side
    port, lines, labels = ports(arcs, centres), [], []
    for arc in sorted(arcs, key=lambda arc: kinds[arc.dependent - 1] is not SAME):
        change = kinds[arc.dependent - 1]
        x = label_x = port[arc.dependent, arc.dependent]
        y = base + sign * (_BASE_HEIGHT + _LEVEL_HEIGHT * arc.level)
        path = f"M{x:.1f} {y:.1f}V{base:.1f}"
        if arc.head:
            start = port[arc.dependent, arc.head]
            turn, label_x = (_CORNER if x > start else -_CORNER), (start + x) / 2
            bend = f"V{y - sign * _CORNER:.1f}Q{start:.1f} {y:.1f} {start + turn:.1f} {y:.1f}"
            back = f"H{x - turn:.1f}Q{x:.1f} {y:.1f} {x:.1f} {y - sign * _CORNER:.1f}V{base:.1f}"
            path = f"M{start:.1f} {base:.1f}{bend}{back}"
        width, colour, weight = 2, change.colour, ' font-weight="bold"'
        if change is SAME:
            width, colour, weight = 1.2, "#6B7280", ""
        dash = "" if right[arc.dependent - 1] else DASH
        lines.append(
            f'<path d="{path}" fill="none" stroke="{change.colour}" stroke-width="{width}"{dash}/>'
            f'<path d="M{x:.1f} {base:.1f}l-3.5 {sign * 7}h7z" fill="{change.colour}"/>'
        )
        halo = f'{MIDDLE} stroke="#fff" stroke-width="4" paint-order="stroke" stroke-linejoin="round"'
        style = f'fill="{colour}" {halo}{weight}'
        labels.append(text_at(label_x, y + LABEL_SIZE * 0.36, LABEL_SIZE, arc.relation, style))
    return "\n".join(lines + labels)


def _draw_words(
    forms: Sequence[str], upos: Sequence[str], centres: list[float], top: float, kinds: list[Change]
) -> str:
    parts = []
    for form, tag, x, kind in zip(forms, upos, centres[1:], kinds):
        if kind is not SAME:
            parts.append(box(x, top + 3, _width(form, tag) + 10, _WORD_BAND - 6, 6, f'fill="{kind.tint}"'))
        parts.append(text_at(x, top + 21, WORD_SIZE, form, f"{MIDDLE} {INK}"))
        parts.append(text_at(x, top + 35, TAG_SIZE, tag, f'{MIDDLE} fill="#6B7280"'))
    return "\n".join(parts)


def _legend(kinds: Sequence[Change], y: float) -> tuple[list[str], float]:
    """The legend of what occurs, in one line, and its width."""
    used = [kind for kind in (NEGATIVE, POSITIVE, STILL_WRONG, SAME) if kind in kinds]
    entries = [(kind.colour, "", f"{kind.name}: {kind.meaning}") for kind in used]
    x, parts = float(LEFT), []
    for colour, dash, words in [*entries, (SAME.colour, DASH, "dashed: wrong")]:
        line = f'd="M{x:.1f} {y - 4:.1f}h24" stroke="{colour}" stroke-width="2.5" fill="none"{dash}'
        parts += [f"<path {line}/>", text_at(x + 30, y, 11, words, QUIET)]
        x += 30 + text_width(words, 11) + 22
    return parts, x
