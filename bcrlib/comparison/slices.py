"""Which slices the units of each level are in, and which slices an update harms most."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from jaxtyping import Int64

from bcrlib.breakdown_tables import RANGES
from bcrlib.comparison.update import Level
from bcrlib.data.bracket_sequences import sequence_of
from bcrlib.data.frames import FrameBank
from bcrlib.data.treebank import Treebank
from bcrlib.metrics.attachment import scored_units, scored_words
from bcrlib.metrics.breakdowns import Slices, by_range, by_tag, flips_by_slice, merge_rare, tree_keys, word_keys
from bcrlib.metrics.slice_rates import ALL, rates_of_slices
from bcrlib.metrics.subtrees import word_depths
from bcrlib.presets import Preset

DEPTHS = (1, 2, 3, 4, 5, 6, 7, 8, 9)
"""Where the ranges of depths begin: of words and nodes, the root has 1; of whole trees and frames, their deepest."""
LEVEL_OF_Q = 0.05
"""The share of false alarms, among the slices called harmed, that is put up with."""

SlicesOfLevel = dict[str, dict[str, Slices]]


def tree_slices(gold: Treebank, preset: Preset) -> SlicesOfLevel:
    """Words by UPOS, relation, distance of the head, depth, length of their sentence; trees by length and depth.

    All of the gold trees.  O(tokens).
    """
    words, keys, depths = scored_words(gold, preset), word_keys(gold, preset), word_depths(gold)
    trees = scored_units(gold, preset).sentence_of_unit["UCM"]
    deepest = np.maximum.reduceat(depths, gold.offsets[:-1])
    of_words = {name: merge_rare(by_tag(keys[name])) for name in ("upos", "relation")}
    of_words |= {
        "distance": _ranges(keys["distance"], RANGES["distance"]),
        "depth": _ranges(depths[words], DEPTHS),
        "length": _ranges(gold.lengths[gold.sentence_of_token[words]], RANGES["length"]),
    }
    of_trees = {
        "length": _ranges(tree_keys(gold, preset)["length"], RANGES["length"]),
        "depth": _ranges(deepest[trees], DEPTHS),
    }
    return {"UAS": of_words, "UCM": of_trees, "LAS": of_words, "LCM": of_trees}


def frame_slices(gold: FrameBank) -> SlicesOfLevel:
    """Spans by the intent and the slot over them, depth, length in words; frames by intent, length and depth.

    Of several intents (slots) over the same words the outermost counts.  All of the gold frames.  O(tokens).
    """
    labels = gold.labels
    index = {label: i for i, label in enumerate(labels)}
    sequences = [np.array(sequence_of(frame, index)) for frame in gold.frames]
    label, depth, length, is_new = _nodes(sequences, len(labels))
    span = np.cumsum(is_new) - 1
    of_spans = {
        "intent": merge_rare(by_tag(_outermost(label, span, labels, "IN:"))),
        "slot": merge_rare(by_tag(_outermost(label, span, labels, "SL:"))),
        "depth": _ranges(depth[is_new], DEPTHS),
        "length": _ranges(length[is_new], RANGES["length"]),
    }
    roots = np.flatnonzero(depth == 1)
    deepest = np.maximum.reduceat(depth, roots)
    of_frames = {
        "intent": merge_rare(by_tag([labels[i].partition(":")[2] for i in label[roots]])),
        "depth": _ranges(deepest, DEPTHS),
        "length": _ranges(length[roots], RANGES["length"]),
    }
    return {"spanEM": of_spans, "EM": of_frames}


def named_slices(columns: Mapping[str, Mapping[int, str]], num_items: int) -> dict[str, Slices]:
    """Slices that the items name themselves: breakdown -> item -> slice; an item without is in none.  O(items)."""
    tags = {name: [values.get(item, "") for item in range(num_items)] for name, values in columns.items()}
    return {name: merge_rare(by_tag(column)) for name, column in tags.items()}


def harm_table(level: Level) -> pd.DataFrame:
    """Every slice of a level, the most harmed first: `rates_of_slices` with what is told of harm.

    extra: negative flips beyond what the slice would have at the rate of all other units, num_units * excess; by it
    rows are sorted, and then by their names.  is_harmed: whether it has more, at a q-value of `LEVEL_OF_Q` over all
    slices of the level.  broken: its negative flips.  O(units breakdowns).
    """
    outcome = np.stack([level.old_right, ~level.old_right], axis=1)[:, :, None]
    outcome = outcome & np.stack([level.new_right, ~level.new_right], axis=1)[:, None, :]
    counts = outcome.reshape(-1, 4).astype(np.int64)  # yy, yn, ny, nn
    everything = Slices(np.zeros(len(counts), dtype=np.int64), (ALL,))
    rows = [
        flips_by_slice(counts, level.item_of_unit, slices).assign(breakdown=breakdown)
        for breakdown, slices in {ALL: everything, **level.slices}.items()
    ]
    table = pd.concat(rows, ignore_index=True)
    rates = rates_of_slices(table).assign(broken=table["yn"])
    rates["extra"] = (rates["excess"] * rates["num_units"]).fillna(0.0)
    rates["is_harmed"] = (rates["q_value"] <= LEVEL_OF_Q) & (rates["excess"] > 0)
    rates = rates[rates["breakdown"] != ALL]
    return rates.sort_values("extra", ascending=False, kind="stable").reset_index(drop=True)


def _ranges(values: Int64[np.ndarray, "unit"], starts: tuple[int, ...]) -> Slices:
    return merge_rare(by_range(values, starts))


def _nodes(sequences: list[np.ndarray], num_labels: int) -> tuple[np.ndarray, ...]:
    """The nodes of all frames, outer before inner, from the left: label, depth, words, whether it begins a new span.

    Brackets of one depth open and close in turn, from the first frame to the last: so the two of a node are found.
    """
    codes = np.concatenate(sequences)
    opens, is_word = codes <= num_labels, codes > 2 * num_labels
    closes = ~opens & ~is_word
    inside = np.cumsum(opens.astype(np.int64) - closes)  # a closing bracket is outside its node
    brackets = np.flatnonzero(~is_word)
    in_turn = brackets[np.argsort((inside + closes)[brackets], kind="stable")]
    begin, end = in_turn[0::2], in_turn[1::2]
    order = np.argsort(begin)
    begin, end = begin[order], end[order]
    words = np.cumsum(is_word)
    same = (words[begin[1:]] == words[begin[:-1]]) & (words[end[1:]] == words[end[:-1]])
    return codes[begin] - 1, inside[begin], words[end] - words[begin], np.concatenate([[True], ~same])


def _outermost(label: np.ndarray, span: np.ndarray, labels: tuple[str, ...], kind: str) -> list[str]:
    """The name of the first label of a kind over each span, "" where there is none."""
    is_kind = np.array([name.startswith(kind) for name in labels])[label]
    spans, first = np.unique(span[is_kind], return_index=True)
    names = [""] * (int(span[-1]) + 1)
    for place, node in zip(spans.tolist(), label[is_kind][first].tolist()):
        names[place] = labels[node].partition(":")[2]
    return names
