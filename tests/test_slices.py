"""Slices of gold trees and frames against loops and recursion."""

from collections import Counter

import numpy as np
from random_frames import random_frame_bank

from bcrlib.data.frames import Node, frame_words
from bcrlib.data.generated.trees import generate_treebank
from bcrlib.data.presets import PRESETS
from bcrlib.metrics.attachment import scored_words
from bcrlib.metrics.breakdowns import Slices, frame_slices, tree_slices
from bcrlib.metrics.subtrees import word_depths

CLEAN = PRESETS["clean"]


def named(slices: Slices) -> list[str]:
    return [slices.names[i] if i >= 0 else "" for i in slices.of_unit]


def with_rare_as_other(tags: list[str]) -> list[str]:
    counts = Counter(tags)
    return [tag if counts[tag] >= 10 or tag == "" else "other" for tag in tags]


def test_slices_of_words_and_trees_against_loops():
    gold = generate_treebank(40, 3)
    found = tree_slices(gold, CLEAN)
    depths = []
    for t in range(gold.num_tokens):
        start, depth, word = gold.offsets[gold.sentence_of_token[t]], 1, t
        while gold.heads[word]:
            word, depth = start + gold.heads[word] - 1, depth + 1
        depths.append(depth)
    assert word_depths(gold).tolist() == depths
    words = np.flatnonzero(scored_words(gold, CLEAN))
    capped = ["9+" if depths[t] >= 9 else str(depths[t]) for t in words]
    expected = [name if Counter(capped)[name] >= 10 else "other" for name in capped]
    assert [found["LAS"]["depth"].names[i] for i in found["LAS"]["depth"].of_unit] == expected
    assert set(found["LAS"]) == {"upos", "relation", "distance", "depth", "length"}
    assert set(found["LCM"]) == {"length", "depth"}
    assert {len(slices.of_unit) for slices in found["UAS"].values()} == {len(words)}
    upos = found["UAS"]["upos"]
    assert all(upos.names[i] in (gold.upos[t], "other") for i, t in zip(upos.of_unit, words))


def spans(frame: Node) -> list[dict]:
    """The distinct spans of a frame from the left, outer first, with what slices are made of, by recursion."""
    found: dict[tuple[int, int], dict] = {}

    def walk(node: Node, begin: int, depth: int) -> int:
        end = begin + len(frame_words(node))
        span = found.setdefault((begin, end), {"depth": depth, "length": end - begin, "IN": "", "SL": ""})
        kind, name = node.label.split(":")
        span[kind] = span[kind] or name
        for child in node.children:
            begin = walk(child, begin, depth + 1) if isinstance(child, Node) else begin + 1
        return end

    walk(frame, 0, 1)
    return list(found.values())


def deepest(node: Node) -> int:
    return 1 + max((deepest(child) for child in node.children if isinstance(child, Node)), default=0)


def test_slices_of_spans_and_frames_against_recursion():
    bank = random_frame_bank(150, np.random.default_rng(2))
    found, expected = frame_slices(bank), [span for frame in bank.frames for span in spans(frame)]
    assert named(found["spanEM"]["intent"]) == with_rare_as_other([span["IN"] for span in expected])
    assert named(found["spanEM"]["slot"]) == with_rare_as_other([span["SL"] for span in expected])
    capped = ["9+" if span["depth"] >= 9 else str(span["depth"]) for span in expected]
    assert named(found["spanEM"]["depth"]) == with_rare_as_other(capped)
    lengths = ["1" if span["length"] == 1 else "2-5" if span["length"] < 6 else "6-10" for span in expected]
    assert named(found["spanEM"]["length"]) == with_rare_as_other(lengths)
    roots = [frame.label.split(":")[1] for frame in bank.frames]
    assert named(found["EM"]["intent"]) == with_rare_as_other(roots)
    depths = [min(deepest(frame), 9) for frame in bank.frames]
    assert named(found["EM"]["depth"]) == with_rare_as_other(["9+" if d == 9 else str(d) for d in depths])
