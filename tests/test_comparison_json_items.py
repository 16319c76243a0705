"""Updates in JSON Lines: what is equal, seeds and slices by hand, and what is refused."""

import json

import pytest
from comparison_files import random_items, write_items

from bcrlib.comparison.read import is_same, read_items
from bcrlib.comparison.verdict import Gate, ItemsError, judge
from bcrlib.data.presets import PRESETS

CLEAN = PRESETS["clean"]
GOOD = {"id": "a", "gold": 1, "old": 1, "new": 1}


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        ("a", "a", True),
        ("1", 1, False),
        (1, 1.0, True),
        (True, 1, False),
        (0, False, False),
        (True, True, True),
        (None, None, True),
        (None, False, False),
        ([1, [2]], [1, [2]], True),
        ([1, 2], [2, 1], False),
        ([1], [1, 1], False),
        ([True], [1], False),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}, True),
        ({"a": 1}, {"a": True}, False),
        ({"a": 1}, {"a": 1, "b": None}, False),
        ([], {}, False),
    ],
)
def test_values_are_equal_as_json(first, second, same):
    assert is_same(first, second) is is_same(second, first) is same


def test_counts_seeds_and_slices_are_those_of_a_loop(tmp_path):
    items = random_items(400)
    update = read_items(write_items(items, tmp_path / "items.jsonl"), CLEAN)
    level = update.levels["EM"]
    assert list(update.ids) == [item["id"] for item in items]
    assert update.missing.tolist() == ["new" not in item for item in items] and update.missing.any()
    assert level.old_right.tolist() == [item["old"] == "right" for item in items]
    assert level.new_right.tolist() == [item.get("new") == "right" for item in items]
    assert level.old_models[1:].T.tolist() == [[seed == "right" for seed in item["old_seeds"]] for item in items]
    language = update.slices()["EM"]["language"]
    assert [language.names[i] for i in language.of_unit] == [item["slices"]["language"] for item in items]
    flips = judge(update, Gate()).levels["EM"].flips
    assert flips.yn == sum(item["old"] == "right" != item.get("new") for item in items) > 0


def test_an_answer_that_is_missing_is_wrong_and_null_is_an_answer(tmp_path):
    items = [GOOD, {"id": 2, "gold": None, "old": None, "new": None}, {"id": 3, "gold": None, "old": None}]
    verdict = judge(read_items(write_items(items, tmp_path / "items.jsonl"), CLEAN), Gate())
    flips = verdict.levels["EM"].flips
    assert (flips.yy, flips.yn, verdict.num_missing) == (2, 1, 1)
    assert [(worst.id, worst.is_missing, worst.view.texts[2]) for worst in verdict.worst] == [("3", True, None)]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"id": "b", "gold": 1, "old": 1, "new": NaN}', "NaN is not a JSON value"),
        ('{"id": "b", "gold": 1, "old": 1, "new": 1, "score": -Infinity}', "-Infinity is not a JSON value"),
        ('{"id": "b", "gold": 1, "old": 1, "new": 1e999}', "the number 1e999 is out of range"),
        ('{"id": "b", "gold": 1, "old": 1, "new": %s}' % ("9" * 5000), "4300 digits"),
        ('{"id": "b", "gold": 1, "old": 1, "new": %s}' % ("[" * 10**5 + "]" * 10**5), "nested too deeply"),
        ('{"id": "b", "gold": 1, "old": 1, "new": 1, "new": 2}', "the key 'new' stands twice"),
        ('{"id": "a", "gold": 1, "old": 1, "new": 1}', "the id 'a' a second time; the first is in line 1"),
        ('{"gold": 1, "old": 1, "new": 1}', "no key 'id'"),
        ('{"id": "b", "old": 1, "new": 1}', "no key 'gold'"),
        ('{"id": "b", "gold": 1, "new": 1}', "no key 'old'"),
        ('{"id": true, "gold": 1, "old": 1}', "the id True is neither"),
        ('{"id": "", "gold": 1, "old": 1}', "the id '' is neither"),
        ('{"id": 1.5, "gold": 1, "old": 1}', "the id 1.5 is neither"),
        ('{"id": "b", "gold": 1, "old": 1, "old_seeds": [1]}', "1 old_seeds, but 0 in the first line"),
        ('{"id": "b", "gold": 1, "old": 1, "old_seeds": 1}', "'old_seeds' is not a list"),
        ('{"id": "b", "gold": 1, "old": 1, "slices": ["a"]}', "'slices' is not an object"),
        ('{"id": "b", "gold": 1, "old": 1, "slices": {"a": null}}', "the slice 'a' is neither"),
        ("[1]", "the line is not a JSON object"),
        ("", "not JSON"),
        ("{'id': 1}", "not JSON"),
        ('{"id": "b", "gold": 1, "ol', "not JSON"),
    ],
)
def test_a_faulty_line_is_refused_by_file_line_and_fault(tmp_path, line, message):
    path = tmp_path / "items.jsonl"
    path.write_text(f"{json.dumps(GOOD)}\n{line}\n")
    with pytest.raises(ItemsError) as refused:
        read_items(path, CLEAN)
    assert str(refused.value).startswith(f"{path}:2: ") and message in str(refused.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "items.jsonl:1: the file is empty"),
        (json.dumps(GOOD).encode() + b'\n{"id": "\xff"}\n', "items.jsonl:2: not UTF-8: byte 0xff"),
        (b"\xef\xbb\xbf" + json.dumps(GOOD).encode(), "items.jsonl:1: byte order mark"),
        (b"\x80\x04}q\x00.", "items.jsonl:1: not UTF-8: byte 0x80"),  # a pickle
        (b'{"id": "a", "gold": 1, "old": 1}\n', "items.jsonl:1: no line of the file has a key 'new'"),
    ],
)
def test_a_faulty_file_is_refused_by_file_line_and_fault(tmp_path, content, message):
    path = tmp_path / "items.jsonl"
    path.write_bytes(content)
    with pytest.raises(ItemsError, match=message):
        read_items(path, CLEAN)


def test_line_ends_of_windows_and_other_keys_will_do(tmp_path):
    path = tmp_path / "items.jsonl"
    path.write_bytes(json.dumps(GOOD | {"score": 0.5, "slices": {"n": 3, "b": True}}).encode() + b"\r\n")
    assert list(read_items(path, CLEAN).ids) == ["a"]
