"""Pieces of the SVG files that are written by hand: a page, a text; whatever the text, the file stays well-formed.

Where words and arcs of a tree drawing go; numbers only, no drawing.

One sentence before and after an update: old tree above the words, new tree below, flips coloured.
"""

import unicodedata
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

from bcrlib.report.tables import Record, format_signature, write_record, write_text

FONT = "DejaVu Sans, Verdana, Arial, sans-serif"
_NOT_IN_XML = {"Cc", "Cs", "Cn"}
_TURNING = set("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")  # what stands behind them, too


def printable(content: str) -> str:
    """The text with what may stand in a word, but not in XML or on a terminal, replaced.

    Control characters, and those that turn the direction of the text behind them.
    """
    if content.isprintable():
        return content
    bad = (c in _TURNING or unicodedata.category(c) in _NOT_IN_XML for c in content)
    return "".join("\ufffd" if is_bad else c for c, is_bad in zip(content, bad))


def escaped(content: str) -> str:
    """The text with markup escaped and control characters replaced."""
    return escape(printable(content))


def text_at(x: float, y: float, size: float, content: str, style: str = "") -> str:
    """One line of text whose baseline is at y; `style` holds further attributes."""
    return f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" {style}>{escaped(content)}</text>'


def page(width: float, height: float, alt: str, body: Sequence[str]) -> str:
    """A whole file: white ground, `alt` for who cannot see it, the elements of `body` on top."""
    size = f'width="{width:.0f}" height="{height:.0f}" viewBox="0 0 {width:.0f} {height:.0f}"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" font-family="{FONT}">'
    back = '<rect width="100%" height="100%" fill="#fff"/>'
    return "\n".join([head, f"<title>{escaped(alt)}</title>", back, *body, "</svg>"]) + "\n"


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


LEVEL_HEIGHT, BASE_HEIGHT, CORNER = 24, 14, 9
WORD_BAND = 44
TITLE_BAND = 38
DASH = ' stroke-dasharray="5 3"'


@dataclass(frozen=True)
class Change:
    """What an update did to one word, and how it is drawn."""

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
    kinds = []
    for o, n, was_right, is_right in zip(old, new, old_right, new_right):
        if o == n:
            kinds.append(SAME)
        else:
            kinds.append(NEGATIVE if was_right else POSITIVE if is_right else STILL_WRONG)
    return kinds, old_right, new_right


def _arc_path(arc: Arc, port: dict, base: float, sign: int) -> tuple[str, float, float]:
    """The path from head to dependent and where its label goes; sign -1 draws upwards, 1 downwards."""
    x = port[arc.dependent, arc.dependent]
    y = base + sign * (BASE_HEIGHT + LEVEL_HEIGHT * arc.level)
    if arc.head == 0:
        return f"M{x:.1f} {y:.1f}V{base:.1f}", x, y
    start = port[arc.dependent, arc.head]
    turn = CORNER if x > start else -CORNER
    bend = f"V{y - sign * CORNER:.1f}Q{start:.1f} {y:.1f} {start + turn:.1f} {y:.1f}"
    back = f"H{x - turn:.1f}Q{x:.1f} {y:.1f} {x:.1f} {y - sign * CORNER:.1f}V{base:.1f}"
    return f"M{start:.1f} {base:.1f}{bend}{back}", (start + x) / 2, y


def _draw_arc(arc: Arc, port: dict, base: float, sign: int, change: Change, right: bool) -> tuple[str, str]:
    """The line with its arrow head, and the label (drawn after all lines)."""
    path, x, y = _arc_path(arc, port, base, sign)
    strong = change is not SAME
    dash = "" if right else DASH
    line = f'<path d="{path}" fill="none" stroke="{change.colour}" stroke-width="{2 if strong else 1.2}"{dash}/>'
    tip = port[arc.dependent, arc.dependent]
    head = f"M{tip:.1f} {base:.1f}l-3.5 {sign * 7}h7z"
    arrow = f'<path d="{head}" fill="{change.colour}"/>'
    colour = change.colour if strong else "#6B7280"
    halo = 'text-anchor="middle" stroke="#fff" stroke-width="4" paint-order="stroke" stroke-linejoin="round"'
    weight = ' font-weight="bold"' if strong else ""
    label = text_at(x, y + LABEL_SIZE * 0.36, LABEL_SIZE, arc.relation, f'fill="{colour}" {halo}{weight}')
    return line + arrow, label


def _draw_side(
    side: tuple[list[Arc], list[bool]], centres: list[float], base: float, sign: int, kinds: list[Change]
) -> str:
    arcs, right = side
    port = ports(arcs, centres)
    quiet_first = sorted(arcs, key=lambda arc: kinds[arc.dependent - 1] is not SAME)
    drawn = [
        _draw_arc(arc, port, base, sign, kinds[arc.dependent - 1], right[arc.dependent - 1]) for arc in quiet_first
    ]
    return "\n".join([line for line, _ in drawn] + [label for _, label in drawn])


def _draw_words(
    forms: Sequence[str], upos: Sequence[str], centres: list[float], top: float, kinds: list[Change]
) -> str:
    parts = []
    for form, tag, x, kind in zip(forms, upos, centres[1:], kinds):
        width = word_width(form, tag) + 10
        if kind is not SAME:
            box = f'x="{x - width / 2:.1f}" y="{top + 3:.1f}" width="{width:.1f}" height="{WORD_BAND - 6}"'
            parts.append(f'<rect {box} rx="6" fill="{kind.tint}"/>')
        parts.append(text_at(x, top + 21, WORD_SIZE, form, 'text-anchor="middle" fill="#111827"'))
        parts.append(text_at(x, top + 35, TAG_SIZE, tag, 'text-anchor="middle" fill="#6B7280"'))
    return "\n".join(parts)


def summary(kinds: Sequence[Change]) -> str:
    """ "1 negative flip, 2 positive flips" - the counts of a drawing in words."""
    counts = [(sum(k is kind for k in kinds), kind) for kind in (NEGATIVE, POSITIVE, STILL_WRONG)]
    texts = []
    for count, kind in counts:
        plural = "s" if count > 1 and kind is not STILL_WRONG else ""
        tail = ", both wrong" if kind is STILL_WRONG else ""
        if count:
            texts.append(f"{count} {kind.name}{plural}{tail}")
    return "; ".join(texts) or "nothing changed"


def _legend(kinds: Sequence[Change], y: float) -> tuple[str, float]:
    """The legend of what occurs, in one line, and its width."""
    used = [kind for kind in (NEGATIVE, POSITIVE, STILL_WRONG, SAME) if kind in kinds]
    entries = [(kind.colour, "", f"{kind.name}: {kind.meaning}") for kind in used]
    x, parts = 16.0, []
    for colour, dash, words in [*entries, (SAME.colour, DASH, "dashed: wrong")]:
        line = f'd="M{x:.1f} {y - 4:.1f}h24" stroke="{colour}" stroke-width="2.5" fill="none"{dash}'
        parts += [f"<path {line}/>", text_at(x + 30, y, 11, words, 'fill="#374151"')]
        x += 30 + text_width(words, 11) + 22
    return "\n".join(parts), x


def _depth(arcs: list[Arc]) -> float:
    return BASE_HEIGHT + LEVEL_HEIGHT * max(arc.level for arc in arcs) + 14


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
    """One sentence's old tree (above) and new tree (below) as a self-contained SVG.

    All sequences have one item a word; heads are 1-based, 0 = root. An arc is coloured where the update
    changed it: negative flip, positive flip, or changed from wrong to wrong; wrong arcs are dashed. An arc
    is right when its head (and, if `labelled`, its relation) is gold's. Equal input gives equal bytes.
    ValueError for sequences of unequal length, an empty sentence or a head outside it. O(length^2).
    """
    columns = (forms, upos, old_heads, old_relations, new_heads, new_relations, gold_heads, gold_relations)
    old_heads, new_heads, gold_heads = _checked(columns)
    kinds, old_right, new_right = changes(
        _units(old_heads, old_relations, labelled),
        _units(new_heads, new_relations, labelled),
        _units(gold_heads, gold_relations, labelled),
    )
    old_side = (place_arcs(old_heads, old_relations), old_right)
    new_side = (place_arcs(new_heads, new_relations), new_right)
    heading = title or summary(kinds).capitalize()
    return _draw(forms, upos, old_side, new_side, kinds, heading, (old_name, new_name))


def _units(heads: list[int], relations: Sequence[str], labelled: bool) -> list[tuple]:
    return [(h, r) if labelled else (h,) for h, r in zip(heads, relations)]


def _draw(
    forms: Sequence[str],
    upos: Sequence[str],
    old_side: tuple[list[Arc], list[bool]],
    new_side: tuple[list[Arc], list[bool]],
    kinds: list[Change],
    heading: str,
    names: tuple[str, str],
) -> str:
    margin = 16 + max(text_width(name, 13) for name in names) + 24
    centres = place_words(forms, upos, old_side[0] + new_side[0], margin)
    top = TITLE_BAND + _depth(old_side[0])
    bottom = top + WORD_BAND
    height = bottom + _depth(new_side[0]) + 34
    legend, legend_width = _legend(kinds, height - 14)
    end = centres[-1] + word_width(forms[-1], upos[-1]) / 2 + 24
    width = max(end, legend_width, text_width(heading, 15) + 32)
    body = [
        text_at(16, 24, 14, heading, 'font-weight="bold" fill="#111827"'),
        text_at(16, top - BASE_HEIGHT, 12, names[0], 'font-weight="bold" fill="#374151"'),
        text_at(16, bottom + BASE_HEIGHT + 8, 12, names[1], 'font-weight="bold" fill="#374151"'),
        _draw_side(old_side, centres, top, -1, kinds),
        _draw_side(new_side, centres, bottom, 1, kinds),
        _draw_words(forms, upos, centres, top, kinds),
        legend,
    ]
    return page(width, height, f"{heading}: {' '.join(forms)}", body)


def _checked(columns: tuple[Sequence, ...]) -> list[list[int]]:
    """The old, new and gold heads as plain integers, once all columns fit together."""
    length = len(columns[0])
    if length == 0 or any(len(column) != length for column in columns):
        raise ValueError(f"one item a word in every sequence, please: {[len(c) for c in columns]}")
    heads = [[int(head) for head in column] for column in columns[2::2]]
    for t, head in ((t, h) for side in heads for t, h in enumerate(side, start=1)):
        if not 0 <= head <= length or head == t:
            raise ValueError(f"word {t} cannot have head {head} in a sentence of {length} words")
    return heads


def draw_tree(
    forms: Sequence[str],
    upos: Sequence[str],
    heads: Sequence[int],
    relations: Sequence[str],
    *,
    marked: Collection[int] = (),
    title: str = "",
) -> str:
    """One tree above its words as a self-contained SVG; the arcs into the `marked` words (from 1) are coloured.

    Sequences, errors and cost as for `draw_update`; equal input gives equal bytes.
    """
    (heads,) = _checked((forms, upos, heads, relations))
    arcs = place_arcs(heads, relations)
    kinds = [MARKED if word in marked else SAME for word in range(1, len(forms) + 1)]
    centres = place_words(forms, upos, arcs, 16)
    top = (TITLE_BAND if title else 0) + _depth(arcs)
    width = max(centres[-1] + word_width(forms[-1], upos[-1]) / 2 + 24, text_width(title, 15) + 32)
    body = [
        text_at(16, 24, 14, title, 'font-weight="bold" fill="#111827"'),
        _draw_side((arcs, [True] * len(arcs)), centres, top, -1, kinds),
        _draw_words(forms, upos, centres, top, kinds),
    ]
    return page(width, top + WORD_BAND + 6, f"{title}: {' '.join(forms)}".removeprefix(": "), body)


def save_drawing(
    svg: str,
    folder: Path,
    name: str,
    *,
    title: str,
    caption: str,
    signature: Mapping[str, object],
    command: str,
) -> None:
    """Writes NAME.svg and its record NAME.json into `folder`, so that the index page shows it."""
    record = Record("drawing", name, title, caption, format_signature(signature), command, [])
    write_record(record, Path(folder))
    write_text(Path(folder) / f"{name}.svg", svg)
