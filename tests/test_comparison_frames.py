"""Updates of semantic frames: beside `bcr evaluate`, slices against loops, rows that do not fit."""

from collections import Counter

import numpy as np
import pytest
from comparison_files import evaluate_files, frame_update
from random_frames import random_frame_bank

from bcrlib.comparison.read import read_update
from bcrlib.comparison.reports import to_json
from bcrlib.comparison.verdict import Gate, judge
from bcrlib.data.frames import Node, frame_words
from bcrlib.data.top import TopError
from bcrlib.metrics.slices import Slices, frame_slices
from bcrlib.presets import PRESETS


@pytest.mark.parametrize("preset", PRESETS.values(), ids=lambda preset: preset.name)
def test_rates_and_invalid_outputs_are_those_of_evaluate(tmp_path, preset):
    paths = frame_update(tmp_path)
    expected = evaluate_files(*paths, preset)
    found = to_json(judge(read_update(*paths, [], preset), Gate()))
    assert list(found) == ["spanEM", "EM"] == list(expected)
    for level, rates in expected.items():
        assert {name: found[level][name] for name in rates} == rates
        assert 0 < rates["nfr"] < 1 and rates["num_invalid_new"] > 0


def test_rows_have_their_numbers_as_ids(tmp_path):
    paths = frame_update(tmp_path, 5)
    update = read_update(*paths, [paths[1]], PRESETS["clean"])
    assert list(update.ids) == ["1", "2", "3", "4", "5"] and len(update.levels["EM"].old_models) == 2
    assert update.view(3).texts[0] == paths[0].read_text().splitlines()[3].split("\t")[1]


def test_other_numbers_of_rows_are_refused(tmp_path):
    gold, old, new = frame_update(tmp_path)
    new.write_text("".join(new.read_text().splitlines(keepends=True)[:-1]))
    with pytest.raises(TopError, match=r"new.tsv:79: the file has 79 rows, the gold file 80"):
        read_update(gold, old, new, [], PRESETS["clean"])


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


def named(slices: Slices) -> list[str]:
    return [slices.names[i] if i >= 0 else "" for i in slices.of_unit]


def with_rare_as_other(tags: list[str]) -> list[str]:
    counts = Counter(tags)
    return [tag if counts[tag] >= 10 or tag == "" else "other" for tag in tags]


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
