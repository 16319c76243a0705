"""dropout-p in motion: sample by sample, what is switched off, the candidate that comes of it, and who picks.

An SVG with CSS animations, no script. What is drawn without them, in viewers that do not animate or for readers who
asked for less motion, is the end: all candidates and the choice.
"""

import math
import textwrap
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple
from zlib import crc32

import numpy as np
from jaxtyping import Bool

from bcrlib.data.frames import FrameError, frame_words, parse_frame
from bcrlib.report.draw_frames import QUIET, Bracket, Line, brackets, cut, depth, draw_nodes, place_lines
from bcrlib.report.draw_trees import NEGATIVE, POSITIVE, WORD_SIZE, page, text_at

SECONDS_A_SAMPLE, SECONDS_OF_CHOICE = 1.2, 4.8
WIDTH, LEFT, ROW_HEIGHT = 1000, 20, 17
LAYERS, UNITS = 5, 5
TREE_LEFT, TEXT_LEFT, TEXT_WIDTH, SCORE_LEFT, SCORE_WIDTH, MARK_LEFT = 330, 52, 600, 690, 170, 945
LIVE, DROPPED = "#0072B2", "#9CA3AF"
BOLD = 'font-weight="bold" fill="#111827"'


class Sample(NamedTuple):
    """One candidate: a frame's text ("" or anything else that is no frame: no tree), and how it was judged."""

    frame: str
    log_prob: float
    """Of the old model."""
    right: bool


class Row(NamedTuple):
    """One candidate in the list: its number, its text in lines, and where they begin."""

    number: int
    lines: list[str]
    y: float

    @property
    def height(self) -> float:
        return ROW_HEIGHT * len(self.lines) + 7


def animate_dropout(
    utterance: Sequence[str],
    samples: Sequence[tuple[str, float, bool]],
    pick: int,
    *,
    p: float,
    seed: int = 0,
    title: str = "dropout-p: every sample switches off other parts of the new model; the old model picks",
) -> str:
    """An animated SVG of a candidate pool drawn by dropout-p, and of the old model's pick from it; it loops.

    `samples`: (frame text, the old model's log-probability as re-ranking uses it, is it right) of each, `pick` counted
    from 0.  The network is a sketch: which of its units each sample drops is drawn with probability `p` from `seed`.
    Equal input gives equal bytes.  ValueError where the pick is not the most probable candidate, or a frame is over
    other words.  O(samples (words nodes + units^2)).
    """
    pool = [Sample(*sample) for sample in samples]
    _check(utterance, pool, pick, p)
    key = f"d{crc32(repr((tuple(utterance), pool, pick, p, seed)).encode()):08x}"
    dropped = np.random.default_rng(seed).random((len(pool), LAYERS, UNITS)) < p
    trees, y = _trees(key, utterance, pool, pick)
    networks = _networks(key, dropped, pick, p)
    rows = _rows(pool, max(y, 330))
    body = [_style(key, len(pool)), text_at(LEFT, 28, 15, title, BOLD), *networks, *trees]
    listed, y = _list(key, pool, rows, pick)
    alt = f"{title}: {' '.join(utterance)}"
    return page(WIDTH, y, alt, [*body, *listed])


def _check(utterance: Sequence[str], pool: Sequence[Sample], pick: int, p: float) -> None:
    if not (pool and 0 <= pick < len(pool) and 0 <= p < 1):
        raise ValueError(f"pick {pick} of {len(pool)} samples, dropout rate {p}")
    if pool[pick].log_prob < max(sample.log_prob for sample in pool):
        raise ValueError(f"the old model finds another candidate more probable than number {pick}")
    for sample in pool:
        found = _brackets(sample)
        if found and frame_words(parse_frame(sample.frame)) != tuple(utterance):
            raise ValueError(f"a frame over other words: {sample.frame}")


def _brackets(sample: Sample) -> list[Bracket]:
    """The nodes of a candidate; none where it is no tree."""
    try:
        return brackets(parse_frame(sample.frame))
    except FrameError:
        return []


def _style(key: str, num_samples: int) -> str:
    """Three kinds of appearance, by class: `now` one sample long, `from3` from sample 3 on, `end` at the choice."""
    total = SECONDS_A_SAMPLE * num_samples + SECONDS_OF_CHOICE
    place = [100 * SECONDS_A_SAMPLE * i / total for i in range(num_samples + 1)]
    every = f"{total:.1f}s step-end infinite"
    rules = [f"@keyframes {key}now{{0%{{opacity:1}}{place[1]:.3f}%,100%{{opacity:0}}}}", f".{key}now{{opacity:0}}"]
    for i in range(num_samples):
        # Begun that long ago, the common animation shows sample i at its time.
        rules.append(f".{key}now{i}{{animation:{key}now {every};animation-delay:{SECONDS_A_SAMPLE * i - total:.1f}s}}")
    for name, start in [*((f"from{i}", place[i]) for i in range(1, num_samples)), ("end", place[-1])]:
        rules.append(f"@keyframes {key}{name}{{0%{{opacity:0}}{start:.3f}%,100%{{opacity:1}}}}")
        rules.append(f".{key}{name}{{animation:{key}{name} {every}}}")
    rules.append(f"@media (prefers-reduced-motion:reduce){{[class^={key}]{{animation:none}}}}")
    return "<style>" + "\n".join(rules) + "</style>"


def _shown(name: str, *content: str) -> str:
    """Elements that appear and go together."""
    return f'<g class="{name}">{"".join(content)}</g>'


def _while(key: str, sample: int, *content: str) -> str:
    """Elements that are there while this sample is."""
    return _shown(f"{key}now {key}now{sample}", *content)


def _since(key: str, sample: int, *content: str) -> str:
    """Elements that stay once this sample has come."""
    return _shown(f"{key}from{sample}" if sample else key, *content)


def _networks(key: str, dropped: Bool[np.ndarray, "sample layer unit"], pick: int, p: float) -> list[str]:
    """The sketch of the network, whole and with the units that each sample leaves."""
    middle = LEFT + 140
    centred = f'text-anchor="middle" {QUIET}'
    head = [text_at(middle, 68, 12, "new model", BOLD + ' text-anchor="middle"')]
    head.append(text_at(middle, 85, 11, f"dropout stays on, p = {p:g}", centred))
    head.append(f'<path d="M{LEFT + 284} 176h14m-5 -5l5 5l-5 5" fill="none" stroke="#6B7280" stroke-width="2"/>')
    parts = [*head, _network(np.zeros_like(dropped[0]), "#EEF0F3", "#EEF0F3")]
    for i, off in enumerate(dropped):
        told = f"sample {i + 1} of {len(dropped)}: {off.sum()} of {off.size} units off"
        parts.append(_while(key, i, _network(off, LIVE, "#fff"), text_at(middle, 278, 11.5, told, centred)))
    told = f"sample {pick + 1}: the units that gave the pick"
    end = [_network(dropped[pick], LIVE, "#fff"), text_at(middle, 278, 11.5, told, centred)]
    return [*parts, _shown(f"{key}end", *end)]


def _network(off: Bool[np.ndarray, "layer unit"], colour: str, empty: str) -> str:
    """Units and the lines between those that are on; units that are off are small empty circles."""
    at = [[(LEFT + 20 + 60 * layer, 108 + 35 * unit) for unit in range(UNITS)] for layer in range(LAYERS)]
    on = [[place for place, is_off in zip(places, gone) if not is_off] for places, gone in zip(at, off)]
    lines = [f"M{x} {y}L{to_x} {to_y}" for left, right in pairwise(on) for x, y in left for to_x, to_y in right]
    units = [f'<circle cx="{x}" cy="{y}" r="8" fill="{colour}"/>' for places in on for x, y in places]
    gone = [at[layer][unit] for layer, unit in zip(*np.nonzero(off))]
    look = f'r="6" fill="{empty}" stroke="{DROPPED}" stroke-width="1.6" stroke-dasharray="3 2"'
    units += [f'<circle cx="{x}" cy="{y}" {look}/>' for x, y in gone]
    return f'<path d="{"".join(lines)}" stroke="{colour}" stroke-opacity=".3" fill="none"/>' + "".join(units)


def _trees(key: str, utterance: Sequence[str], pool: Sequence[Sample], pick: int) -> tuple[list[str], float]:
    """The candidates as trees over one and the same line of words, and where they end."""
    found = [_brackets(sample) for sample in pool]
    lines = place_lines(utterance, [b for nodes in found for b in nodes], TREE_LEFT, WIDTH - LEFT)
    y, bases = 92.0, []
    for line in lines:
        y += max(depth(cut(nodes, line.first, line.stop)) for nodes in found)
        bases.append(y)
        y += 44
    words = [
        text_at(line.centre(word), base + 20, WORD_SIZE, utterance[word], 'text-anchor="middle" fill="#111827"')
        for line, base in zip(lines, bases)
        for word in range(line.first, line.stop)
    ]
    drawn = [_tree(nodes, lines, bases) for nodes in found]
    parts = [
        _while(key, i, text_at(TREE_LEFT, 68, 12, f"candidate {i + 1}", BOLD), tree) for i, tree in enumerate(drawn)
    ]
    told = f"the old model picks candidate {pick + 1}"
    chosen = [text_at(TREE_LEFT, 68, 12, told, 'font-weight="bold" fill="#0072B2"'), drawn[pick]]
    return [*words, *parts, _shown(f"{key}end", *chosen)], y


def _tree(nodes: Sequence[Bracket], lines: Sequence[Line], bases: Sequence[float]) -> str:
    if not nodes:
        return text_at(TREE_LEFT, 92, 12, "no tree", QUIET)
    return "".join(
        draw_nodes(cut(nodes, line.first, line.stop), {}, line, base, -1) for line, base in zip(lines, bases)
    )


def _rows(pool: Sequence[Sample], y: float) -> list[Row]:
    """The candidates in lines of text, one that was there before by its number."""
    rows: list[Row] = []
    first: dict[str, int] = {}
    y += 52
    for i, sample in enumerate(pool):
        text = sample.frame if _brackets(sample) else "no tree"
        seen = first.setdefault(sample.frame, i)
        lines = [f"the same as {seen + 1}"] if seen < i else textwrap.wrap(text, TEXT_WIDTH // 7)
        rows.append(Row(i, lines, y))
        y += rows[-1].height
    return rows


def _list(key: str, pool: Sequence[Sample], rows: Sequence[Row], pick: int) -> tuple[list[str], float]:
    """The list that grows, the choice around one of its rows, and where it ends."""
    y, end = rows[0].y - 26, rows[-1].y + rows[-1].height
    heads = [(LEFT, "candidates of the new model"), (SCORE_LEFT, "log p under the old model")]
    parts = [text_at(x, y - 16, 12, text, BOLD) for x, text in heads]
    parts.append(text_at(SCORE_LEFT, y, 10.5, "less probable", QUIET))
    parts.append(text_at(SCORE_LEFT + SCORE_WIDTH, y, 10.5, "more", f'text-anchor="end" {QUIET}'))
    parts.append(_shown(f"{key}end", text_at(MARK_LEFT, y - 16, 12, "gold?", f'text-anchor="middle" {BOLD}')))
    parts.append(_shown(f"{key}end", _choice(rows[pick])))
    places = _score_places([sample.log_prob for sample in pool])
    for row, sample, x in zip(rows, pool, places):
        parts.append(_since(key, row.number, _row(row, sample, x)))
        parts.append(_shown(f"{key}end", _verdict(row, sample.right)))
    return [*parts, *_foot(end)], end + 34


def _choice(row: Row) -> str:
    box = f'x="{LEFT - 8}" y="{row.y - 15:.1f}" width="{WIDTH - 2 * LEFT + 16}" height="{row.height}" rx="6"'
    return f'<rect {box} fill="{POSITIVE.tint}" stroke="{LIVE}" stroke-width="2"/>'


def _score_places(log_probs: Sequence[float]) -> list[float | None]:
    """Where the dot of each goes between the least and the most probable; None for an impossible candidate."""
    finite = [value for value in log_probs if math.isfinite(value)]
    least, most = min(finite, default=0.0), max(finite, default=0.0)
    share = SCORE_WIDTH / (most - least) if most > least else 0.0
    return [SCORE_LEFT + SCORE_WIDTH - share * (most - value) if math.isfinite(value) else None for value in log_probs]


def _row(row: Row, sample: Sample, x: float | None) -> str:
    quiet = 'fill="#6B7280"' if row.lines[0].startswith("the same as") else 'fill="#111827"'
    parts = [text_at(LEFT + 16, row.y, 11.5, str(row.number + 1), f'text-anchor="end" {BOLD}')]
    parts += [text_at(TEXT_LEFT, row.y + ROW_HEIGHT * i, 11.5, line, quiet) for i, line in enumerate(row.lines)]
    parts.append(f'<path d="M{SCORE_LEFT} {row.y - 4:.1f}h{SCORE_WIDTH}" stroke="#D5D9DF"/>')
    if x is not None:
        parts.append(f'<circle cx="{x:.1f}" cy="{row.y - 4:.1f}" r="5" fill="#374151"/>')
    number = f"{sample.log_prob:.2f}".replace("-", "−").replace("inf", "∞")
    parts.append(text_at(SCORE_LEFT + SCORE_WIDTH + 56, row.y, 11.5, number, f'text-anchor="end" {QUIET}'))
    return "".join(parts)


def _verdict(row: Row, right: bool) -> str:
    """A tick or a cross."""
    lines, colour = ("M-6 0l4 5l8 -10", POSITIVE.colour) if right else ("M-5 -5l10 10M5 -5l-10 10", NEGATIVE.colour)
    place = f'transform="translate({MARK_LEFT} {row.y - 4:.1f})"'
    name = "right" if right else "wrong"
    line = f'<path d="{lines}" fill="none" stroke="{colour}" stroke-width="2.6" stroke-linecap="round"/>'
    return f"<g {place}><title>{name}</title>{line}</g>"


def _foot(y: float) -> list[str]:
    """What the signs mean, in one line."""
    told = (
        "Filled: units that are on. Dashed: switched off for this sample. Right or wrong: the whole frame against gold."
    )
    return [text_at(LEFT, y + 14, 11, told, 'fill="#6B7280"')]
