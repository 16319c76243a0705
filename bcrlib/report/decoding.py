"""How candidates come about, in pictures: the stack of a derivation, prefixes that trees share, dropout-p in motion.

The last is an SVG with CSS animations, no script.  What is drawn without them, in viewers that do not animate or for
readers who asked for less motion, is the end: all candidates and the choice.
"""

import math
import textwrap
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple
from zlib import crc32

import numpy as np
import pandas as pd
from jaxtyping import Bool
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from bcrlib.data.frames import FrameError, frame_words, parse_frame
from bcrlib.report.draw_frames import Bracket, brackets, cut, depth, draw_nodes, place_lines
from bcrlib.report.draw_trees import BOLD, INK, MIDDLE, NEGATIVE, POSITIVE, QUIET, WORD_SIZE, page, text_at
from bcrlib.report.figures import legend, new_figure
from bcrlib.samplers.derivations import Derivations, PrefixTree

_WAITING, _FINISHED = {"facecolor": "#E7E7EA"}, {"facecolor": "#C8501E"}
_ATTACHED = {"facecolor": "white", "edgecolor": "#0072B2"}


def stacks(steps: Derivations, tree: int = 0) -> list[list[int]]:
    """The positions on the stack before each step of a tree, the root first. O(steps * depth)."""
    stack, before = [0], []
    for word, top in zip(steps.word[tree].tolist(), steps.top[tree].tolist()):
        before.append(list(stack))
        if word == top:
            stack.pop()
        else:
            stack.append(word)
    return before


def step_rows(forms: Sequence[str], steps: Derivations, tree: int = 0) -> pd.DataFrame:
    """One row a step: step (from 1), stack, action ("attach" or "finish"), word. `forms` without the root."""
    names, rows = ["root", *forms], []
    for number, (stack, word) in enumerate(zip(stacks(steps, tree), steps.word[tree].tolist()), start=1):
        action = "finish" if word == stack[-1] else "attach"
        rows.append((number, " ".join(names[position] for position in stack), action, names[word]))
    return pd.DataFrame(rows, columns=["step", "stack", "action", "word"])


def stack_figure(forms: Sequence[str], steps: Derivations, title: str) -> Figure:
    """The stack before every step of the first tree as a pile of boxes, and what the step does to it.

    `forms` without the root. O(steps * depth).
    """
    names, piles = ["root", *forms], stacks(steps)
    height = max(map(len, piles))  # before its last word is finished, so nothing stands higher
    figure = new_figure(1.6 + 0.82 * len(piles), 1.9 + 0.42 * height, title)
    axes = figure.subplots()
    for step, (pile, word) in enumerate(zip(piles, steps.word[0].tolist()), start=1):
        looks = [(position, _WAITING, "#111827") for position in pile]
        if word == pile[-1]:
            looks[-1] = word, _FINISHED, "white"
        else:
            looks.append((word, _ATTACHED, _ATTACHED["edgecolor"]))
        for place, (position, look, colour) in enumerate(looks):
            axes.add_patch(Rectangle((step - 0.46, place - 0.42), 0.92, 0.84, linewidth=1.6, **look))
            axes.text(step, place, names[position], ha="center", va="center", fontsize=9.5, color=colour)
    axes.set(xlabel="step", xlim=(0.4, len(piles) + 0.6), xticks=range(1, len(piles) + 1))
    axes.set(ylabel="height on the stack (words)", ylim=(-0.6, height - 0.4), yticks=range(height))
    axes.grid(False)
    looks_of = {"on the stack": _WAITING, "attached by this step, the new top": _ATTACHED}
    legend(figure, looks_of | {"the top, finished by this step": _FINISHED})
    return figure


def prefix_rows(steps: Derivations, prefixes: PrefixTree) -> pd.DataFrame:
    """One row a node: step (from 1), node, parent, trees (how many share it), place (their mean row, see below).

    Trees of one sentence, all of the same length. The first step's parent is its own node. O(trees * steps).
    """
    num_trees, num_steps = prefixes.node_of_step.shape
    rank = np.empty(num_trees, dtype=np.int64)
    rank[by_shared_prefix(steps)] = np.arange(num_trees)
    node = prefixes.node_of_step
    count = np.bincount(node.ravel())
    place = np.bincount(node.ravel(), weights=np.repeat(rank, num_steps)) / count
    step = np.repeat(np.arange(num_steps), np.diff(prefixes.starts))
    parent = np.where(step > 0, prefixes.parent, np.arange(len(step)))
    return pd.DataFrame(
        {"step": step + 1, "node": np.arange(len(step)), "parent": parent, "trees": count, "place": place}
    )


def by_shared_prefix(steps: Derivations) -> np.ndarray:
    """The trees in an order in which those with a common prefix stand together. O(trees log trees * steps)."""
    return np.lexsort(steps.word.T[::-1])


def prefix_figure(names: Sequence[str], steps: Derivations, prefixes: PrefixTree, title: str) -> Figure:
    """The derivations of one sentence's trees as lines that run together while they agree: a dot a state.

    `names`: what to call the trees, one each. Trees, errors and cost as for `prefix_rows`.
    """
    rows = prefix_rows(steps, prefixes)
    order = by_shared_prefix(steps)
    figure = new_figure(7.6, 1.5 + 0.3 * len(order), title)
    axes = figure.subplots()
    before = rows.loc[rows["parent"], ["step", "place"]].to_numpy()
    for (x, y), to_x, to_y in zip(before, rows["step"], rows["place"]):
        axes.plot([x, to_x], [y, to_y], color="#9CA3AF", linewidth=1.4, zorder=1)
    shades = {"c": rows["trees"], "cmap": "viridis_r", "vmin": 1, "vmax": len(order)}
    points = axes.scatter(rows["step"], rows["place"], s=42, zorder=2, **shades)
    figure.colorbar(points, ax=axes, label="trees that share the state")
    axes.set(xlabel="step", ylabel="candidate (heads of its words)", xticks=range(1, len(steps.word[0]) + 1))
    axes.set_yticks(range(len(order)), [names[tree] for tree in order])
    axes.invert_yaxis()
    axes.grid(False)
    return figure


SECONDS_A_SAMPLE, SECONDS_OF_CHOICE = 1.2, 4.8
_WIDTH, _LEFT, _ROW_HEIGHT = 1000, 20, 17
_LAYERS, _UNITS = 5, 5
_TREE_LEFT, _TEXT_LEFT, _TEXT_WIDTH, _SCORE_LEFT, _SCORE_WIDTH, _MARK_LEFT = 330, 52, 600, 690, 170, 945
_LIVE, _DROPPED = "#0072B2", "#9CA3AF"
_RIGHT_ALIGNED = 'text-anchor="end"'


class Sample(NamedTuple):
    """One candidate: a frame's text ("" or anything else that is not a frame: no tree), and how it was judged."""

    frame: str
    log_prob: float
    """Of the old model."""
    right: bool

    @property
    def brackets(self) -> list[Bracket]:
        """The nodes of the frame; none where it is not a tree."""
        try:
            return brackets(parse_frame(self.frame))
        except FrameError:
            return []


def animate_dropout(
    utterance: Sequence[str], samples: Sequence[tuple[str, float, bool]], pick: int, *, p: float, seed: int = 0
) -> str:
    """An animated SVG of a candidate pool drawn by dropout-p, and of the old model's pick from it; it loops.

    `samples`: (frame text, the old model's log-probability as re-ranking uses it, is it right) of each, `pick` counted
    from 0.  The network is a sketch: which of its units each sample drops is drawn with probability `p` from `seed`.
    Equal input gives equal bytes.  ValueError where the pick is not the most probable candidate, or a frame is over
    other words.  O(samples (words nodes + units^2)).
    """
    pool = [Sample(*sample) for sample in samples]
    if not (pool and 0 <= pick < len(pool) and 0 <= p < 1):
        raise ValueError(f"pick {pick} of {len(pool)} samples, dropout rate {p}")
    if pool[pick].log_prob < max(sample.log_prob for sample in pool):
        raise ValueError(f"the old model finds another candidate more probable than number {pick}")
    for sample in pool:
        if sample.brackets and frame_words(parse_frame(sample.frame)) != tuple(utterance):
            raise ValueError(f"a frame over other words: {sample.frame}")
    title = "dropout-p: every sample switches off other parts of the new model; the old model picks"
    key = f"d{crc32(repr((tuple(utterance), pool, pick, p, seed)).encode()):08x}"
    dropped = np.random.default_rng(seed).random((len(pool), _LAYERS, _UNITS)) < p
    trees, y = _trees(key, utterance, pool, pick)
    listed, y = _list(key, pool, max(y, 330) + 52, pick)
    body = [_style(key, len(pool)), text_at(_LEFT, 28, 15, title, BOLD), *_networks(key, dropped, pick, p)]
    return page(_WIDTH, y, f"{title}: {' '.join(utterance)}", [*body, *trees, *listed])


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


def _shown(names: str, *content: str) -> str:
    """Elements that appear and go together, by the names of their classes."""
    return f'<g class="{names}">{"".join(content)}</g>'


def _networks(key: str, dropped: Bool[np.ndarray, "sample layer unit"], pick: int, p: float) -> list[str]:
    """The sketch of the network, whole and with the units that each sample leaves."""
    middle, centred = _LEFT + 140, f"{MIDDLE} {QUIET}"
    parts = [
        text_at(middle, 68, 12, "new model", f"{BOLD} {MIDDLE}"),
        text_at(middle, 85, 11, f"dropout stays on, p = {p:g}", centred),
        f'<path d="M{_LEFT + 284} 176h14m-5 -5l5 5l-5 5" fill="none" stroke="#6B7280" stroke-width="2"/>',
        _network(np.zeros_like(dropped[0]), "#EEF0F3", "#EEF0F3"),
    ]
    for i, off in enumerate(dropped):
        told = f"sample {i + 1} of {len(dropped)}: {off.sum()} of {off.size} units off"
        drawn = _network(off, _LIVE, "#fff"), text_at(middle, 278, 11.5, told, centred)
        parts.append(_shown(f"{key}now {key}now{i}", *drawn))
    told = f"sample {pick + 1}: the units that gave the pick"
    end = _network(dropped[pick], _LIVE, "#fff"), text_at(middle, 278, 11.5, told, centred)
    return [*parts, _shown(f"{key}end", *end)]


def _network(off: Bool[np.ndarray, "layer unit"], colour: str, empty: str) -> str:
    """Units and the lines between those that are on; units that are off are small empty circles."""
    at = [[(_LEFT + 20 + 60 * layer, 108 + 35 * unit) for unit in range(_UNITS)] for layer in range(_LAYERS)]
    on = [[place for place, is_off in zip(places, gone) if not is_off] for places, gone in zip(at, off)]
    lines = [f"M{x} {y}L{to_x} {to_y}" for left, right in pairwise(on) for x, y in left for to_x, to_y in right]
    units = [f'<circle cx="{x}" cy="{y}" r="8" fill="{colour}"/>' for places in on for x, y in places]
    look = f'r="6" fill="{empty}" stroke="{_DROPPED}" stroke-width="1.6" stroke-dasharray="3 2"'
    gone = [at[layer][unit] for layer, unit in zip(*np.nonzero(off))]
    units += [f'<circle cx="{x}" cy="{y}" {look}/>' for x, y in gone]
    return f'<path d="{"".join(lines)}" stroke="{colour}" stroke-opacity=".3" fill="none"/>' + "".join(units)


def _trees(key: str, utterance: Sequence[str], pool: Sequence[Sample], pick: int) -> tuple[list[str], float]:
    """The candidates as trees over one and the same line of words, and where they end."""
    found = [sample.brackets for sample in pool]
    lines = place_lines(utterance, [b for nodes in found for b in nodes], _TREE_LEFT, _WIDTH - _LEFT)
    y, words, drawn = 92.0, [], [""] * len(pool)
    for line in lines:
        cuts = [cut(nodes, line.first, line.stop) for nodes in found]
        y += max(map(depth, cuts))
        for word in range(line.first, line.stop):
            words.append(text_at(line.centre(word), y + 20, WORD_SIZE, utterance[word], f"{MIDDLE} {INK}"))
        drawn = [so_far + draw_nodes(nodes, {}, line, y, -1) for so_far, nodes in zip(drawn, cuts)]
        y += 44
    drawn = [tree if nodes else text_at(_TREE_LEFT, 92, 12, "no tree", QUIET) for tree, nodes in zip(drawn, found)]
    parts = [
        _shown(f"{key}now {key}now{i}", text_at(_TREE_LEFT, 68, 12, f"candidate {i + 1}", BOLD), tree)
        for i, tree in enumerate(drawn)
    ]
    told = f"the old model picks candidate {pick + 1}"
    chosen = text_at(_TREE_LEFT, 68, 12, told, f'font-weight="bold" fill="{_LIVE}"'), drawn[pick]
    return [*words, *parts, _shown(f"{key}end", *chosen)], y


def _list(key: str, pool: Sequence[Sample], y: float, pick: int) -> tuple[list[str], float]:
    """The list of candidates that grows from y on, the choice around one of its rows, and where it ends.

    A candidate that was there before stands there by its number.
    """
    heads = [(_LEFT, "candidates of the new model"), (_SCORE_LEFT, "log p under the old model")]
    parts = [text_at(x, y - 42, 12, text, BOLD) for x, text in heads]
    parts.append(text_at(_SCORE_LEFT, y - 26, 10.5, "less probable", QUIET))
    parts.append(text_at(_SCORE_LEFT + _SCORE_WIDTH, y - 26, 10.5, "more", f"{_RIGHT_ALIGNED} {QUIET}"))
    parts.append(_shown(f"{key}end", text_at(_MARK_LEFT, y - 42, 12, "gold?", f"{MIDDLE} {BOLD}")))
    rows: list[str] = []
    places = _score_places([sample.log_prob for sample in pool])
    for i, (sample, x) in enumerate(zip(pool, places)):
        first = next(j for j, other in enumerate(pool) if other.frame == sample.frame)
        lines = textwrap.wrap(sample.frame if sample.brackets else "no tree", _TEXT_WIDTH // 7)
        lines, colour = (lines, INK) if first == i else ([f"the same as {first + 1}"], 'fill="#6B7280"')
        height = _ROW_HEIGHT * len(lines) + 7
        if i == pick:
            size = f'width="{_WIDTH - 2 * _LEFT + 16}" height="{height}" rx="6"'
            look = f'fill="{POSITIVE.tint}" stroke="{_LIVE}" stroke-width="2"'
            parts.append(_shown(f"{key}end", f'<rect x="{_LEFT - 8}" y="{y - 15:.1f}" {size} {look}/>'))
        texts = [text_at(_TEXT_LEFT, y + _ROW_HEIGHT * j, 11.5, line, colour) for j, line in enumerate(lines)]
        row = [text_at(_LEFT + 16, y, 11.5, str(i + 1), f"{_RIGHT_ALIGNED} {BOLD}"), *texts, _score(sample, x, y)]
        rows.append(_shown(f"{key}from{i}" if i else key, *row))
        rows.append(_shown(f"{key}end", _verdict(sample.right, y)))
        y += height
    told = (
        "Filled: units that are on. Dashed: switched off for this sample. Right or wrong: the whole frame against gold."
    )
    return [*parts, *rows, text_at(_LEFT, y + 14, 11, told, 'fill="#6B7280"')], y + 34


def _score_places(log_probs: Sequence[float]) -> list[float | None]:
    """Where the dot of each goes between the least and the most probable; None for an impossible candidate."""
    finite = [value for value in log_probs if math.isfinite(value)]
    least, most = min(finite, default=0.0), max(finite, default=0.0)
    share = _SCORE_WIDTH / (most - least) if most > least else 0.0
    end = _SCORE_LEFT + _SCORE_WIDTH
    return [end - share * (most - value) if math.isfinite(value) else None for value in log_probs]


def _score(sample: Sample, x: float | None, y: float) -> str:
    """A line with the dot of the sample's score at x, and the number."""
    line = f'<path d="M{_SCORE_LEFT} {y - 4:.1f}h{_SCORE_WIDTH}" stroke="#D5D9DF"/>'
    dot = "" if x is None else f'<circle cx="{x:.1f}" cy="{y - 4:.1f}" r="5" fill="#374151"/>'
    number = f"{sample.log_prob:.2f}".replace("-", "−").replace("inf", "∞")
    return line + dot + text_at(_SCORE_LEFT + _SCORE_WIDTH + 56, y, 11.5, number, f"{_RIGHT_ALIGNED} {QUIET}")


def _verdict(right: bool, y: float) -> str:
    """A tick or a cross."""
    lines, colour = ("M-6 0l4 5l8 -10", POSITIVE.colour) if right else ("M-5 -5l10 10M5 -5l-10 10", NEGATIVE.colour)
    line = f'<path d="{lines}" fill="none" stroke="{colour}" stroke-width="2.6" stroke-linecap="round"/>'
    name = "right" if right else "wrong"
    return f'<g transform="translate({_MARK_LEFT} {y - 4:.1f})"><title>{name}</title>{line}</g>'
