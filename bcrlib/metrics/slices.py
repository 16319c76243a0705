"""Slices of an update: the units of one level that share a property of gold, by tag, relation, size, depth, length."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
from jaxtyping import Int64, Integer

from bcrlib.data.frames import CLOSE, OPEN, FrameBank, Node, frame_tokens
from bcrlib.data.treebank import Treebank
from bcrlib.metrics.attachment import scored_units, scored_words
from bcrlib.metrics.subtrees import Subtrees, parents, word_depths
from bcrlib.presets import Preset

OTHER = "other"
FEWEST_UNITS = 10
"""Slices with fewer units are counted together, as "other"."""
RANGES = {
    "distance": (1, 2, 3, 4, 5, 6, 8, 11, 16, 21),
    "size": (2, 3, 4, 5, 6, 8, 11, 16, 21, 31),
    "depth": (2, 3, 4, 5, 6, 7, 8, 9),
    "length": (1, 2, 6, 11, 16, 21, 31, 41),
    "couple distance": (1, 2, 3, 4, 5, 6, 8, 11, 16, 21, 31),
    "couple tree distance": (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 11),
}
"""Where the ranges of the numbers begin."""
DEPTHS = (1, 2, 3, 4, 5, 6, 7, 8, 9)
"""Where the ranges of depths begin: of words and nodes, the root has 1; of whole trees and frames, their deepest."""

Keys = Mapping[str, Sequence[str] | Integer[np.ndarray, "unit"]]


@dataclass(frozen=True, eq=False)
class Slices:
    """Which slice each unit is in: an index into the names, -1 for none."""

    of_unit: Int64[np.ndarray, "unit"]
    names: tuple[str, ...]


def word_keys(gold: Treebank, preset: Preset) -> Keys:
    """What scored words are told apart by: their tag and relation, how far off the head is, the tag of the head.

    Distances are in words.  The root word counts as the authors' code has it: its head is called "ROOT" and stands
    at position 0, before the first word.  O(tokens).
    """
    words = np.flatnonzero(scored_words(gold, preset))
    # As objects: as numpy's own texts, all would be as long as the longest.
    upos = np.array([*gold.upos, "ROOT"], dtype=object)  # parent -1 is the last entry
    position = np.arange(gold.num_tokens) - gold.offsets[gold.sentence_of_token] + 1
    return {
        "upos": upos[words],
        "relation": np.array(gold.relations, dtype=object)[words],
        "distance": np.abs(position - gold.heads)[words],
        "head upos": upos[parents(gold)[words]],
    }


def subtree_keys(gold: Treebank, units: Subtrees) -> Keys:
    """What sub-trees are told apart by: size in words, depth (a leaf has 1), tag of the root word.  O(sub-trees)."""
    return {"size": units.size, "depth": units.depth, "root upos": np.array(gold.upos)[units.root]}


def tree_keys(gold: Treebank, preset: Preset) -> Keys:
    """What whole trees (UCM, LCM) are told apart by: the length of the sentence in words, punctuation included."""
    return {"length": gold.lengths[scored_units(gold, preset).sentence_of_unit["UCM"]]}


def by_tag(tags: Sequence[str]) -> Slices:
    """A slice for each tag, in alphabetical order; a unit without one, "", is in no slice.  O(units)."""
    names = sorted(set(map(str, tags)) - {""})
    number_of = {"": -1} | {name: i for i, name in enumerate(names)}
    return Slices(np.fromiter(map(number_of.__getitem__, tags), np.int64, len(tags)), tuple(names))


def by_range(values: Integer[np.ndarray, "unit"], starts: Sequence[int]) -> Slices:
    """Slices of numbers: from each start up to the next, the last one open: 1, 2, 4 makes "1", "2-3" and "4+".

    Numbers below the first start are in no slice.  O(units log starts).
    """
    ends = [following - 1 for following in starts[1:]]
    names = [str(start) if start == end else f"{start}-{end}" for start, end in zip(starts, ends)]
    return Slices(np.searchsorted(starts, values, side="right") - 1, (*names, f"{starts[-1]}+"))


def merge_rare(slices: Slices, fewest_units: int = FEWEST_UNITS) -> Slices:
    """The slices with those of fewer units made one, "other", the last.  Empty slices go.  O(units + slices)."""
    num_units = np.bincount(slices.of_unit[slices.of_unit >= 0], minlength=len(slices.names))
    kept = np.flatnonzero(num_units >= fewest_units)
    names = tuple(slices.names[i] for i in kept)
    if num_units.sum() - num_units[kept].sum() > 0:
        names = (*names, OTHER)
    new = np.full(len(slices.names) + 1, len(kept), dtype=np.int64)
    new[kept], new[-1] = np.arange(len(kept)), -1
    return Slices(new[slices.of_unit], names)


def tree_slices(gold: Treebank, preset: Preset) -> dict[str, dict[str, Slices]]:
    """Level -> breakdown -> slices, all of the gold trees.  O(tokens).

    Words by UPOS, relation, distance of the head, depth, length of their sentence; trees by length and depth.
    """
    words, keys, depths = scored_words(gold, preset), word_keys(gold, preset), word_depths(gold)
    trees = scored_units(gold, preset).sentence_of_unit["UCM"]
    of_words = {
        "upos": _tags(keys["upos"]),
        "relation": _tags(keys["relation"]),
        "distance": _ranges(keys["distance"], RANGES["distance"]),
        "depth": _ranges(depths[words], DEPTHS),
        "length": _ranges(gold.lengths[gold.sentence_of_token[words]], RANGES["length"]),
    }
    of_trees = {
        "length": _ranges(gold.lengths[trees], RANGES["length"]),
        "depth": _ranges(np.maximum.reduceat(depths, gold.offsets[:-1])[trees], DEPTHS),
    }
    return {"UAS": of_words, "UCM": of_trees, "LAS": of_words, "LCM": of_trees}


def frame_slices(gold: FrameBank) -> dict[str, dict[str, Slices]]:
    """Level -> breakdown -> slices, all of the gold frames.  O(tokens).

    Spans by the intent and the slot over them, depth, length in words; frames by intent, length and depth.  Of several
    intents (slots) over the same words the outermost counts.
    """
    frames = [_spans(frame) for frame in gold.frames]
    spans = list(chain.from_iterable(frames))
    of_spans = {
        "intent": _tags([span["IN"] for span in spans]),
        "slot": _tags([span["SL"] for span in spans]),
        "depth": _ranges([span["depth"] for span in spans], DEPTHS),
        "length": _ranges([span["length"] for span in spans], RANGES["length"]),
    }
    of_frames = {
        "intent": _tags([frame.label.partition(":")[2] for frame in gold.frames]),
        "depth": _ranges([max(span["deepest"] for span in frame) for frame in frames], DEPTHS),
        "length": _ranges(list(map(len, gold.utterances)), RANGES["length"]),
    }
    return {"spanEM": of_spans, "EM": of_frames}


def _tags(tags: Sequence[str]) -> Slices:
    return merge_rare(by_tag(tags))


def _ranges(values: Sequence[int] | Int64[np.ndarray, "unit"], starts: tuple[int, ...]) -> Slices:
    return merge_rare(by_range(np.asarray(values), starts))


def _spans(frame: Node) -> list[dict[str, Any]]:
    """The spans of words under the nodes, from the left, outer first: what `frame_slices` tells them apart by."""
    nodes: list[list] = []  # label, depth, first word, end
    pending: list[list] = []
    num_words = 0
    for kind, text in frame_tokens(frame):
        if kind == OPEN:
            pending.append([text, len(pending) + 1, num_words, None])
            nodes.append(pending[-1])
        elif kind == CLOSE:
            pending.pop()[3] = num_words
        else:
            num_words += 1
    spans: dict[tuple[int, int], dict[str, Any]] = {}
    for label, depth, begin, end in nodes:
        span = spans.setdefault((begin, end), {"depth": depth, "length": end - begin, "IN": "", "SL": ""})
        kind, _, name = label.partition(":")
        span[kind] = span[kind] or name
        span["deepest"] = depth
    return list(spans.values())
