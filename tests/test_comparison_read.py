"""From files to an update: ids, order, words; counts by loops; what is refused, by file, line and fault."""

import json
import re
from collections import Counter
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from comparison_files import (
    GOLD_FRAMES,
    GOLD_TREES,
    NEW_FRAMES,
    OLD_FRAMES,
    evaluate_files,
    frame_files,
    frame_rows,
    frame_update,
    random_items,
    tree_update,
    write_items,
    write_rows,
    write_trees,
)
from random_trees import random_mistakes, random_treebank

from bcrlib.comparison.items import is_same, read_items
from bcrlib.comparison.read import read_update
from bcrlib.comparison.update import ItemsError
from bcrlib.comparison.verdict import Gate, judge
from bcrlib.data.files import CONLLU, TOP, InputFile, plain
from bcrlib.data.presets import PRESETS
from bcrlib.data.top import TopError
from bcrlib.data.treebank import ConlluError, read_conllu

CLEAN = PRESETS["clean"]
SOME = "# sent_id = s1\n"
CONLLU_ROW = "1\tgo\t_\tVERB\t_\t_\t0\troot\t_\t_"


def without_second_id(path: Path) -> None:
    path.write_text(re.sub(r"(# sent_id.*\n)# sent_id.*\n", r"\1", path.read_text()))


def brute_force(gold, old, new, present) -> dict[str, Counter]:
    """(old right, new right) of every word and tree under `clean`, by loops; a sentence not present is all wrong."""
    counts = {level: Counter() for level in ("UAS", "UCM", "LAS", "LCM")}
    for sentence in range(gold.num_sentences):
        words = [t for t in range(*gold.offsets[sentence : sentence + 2]) if gold.upos[t] != "PUNCT"]
        for part, whole, labelled in (("UAS", "UCM", False), ("LAS", "LCM", True)):
            judged = []
            for t in words:
                pair = []
                for bank, is_there in ((old, True), (new, sentence in present)):
                    right = bank.heads[t] == gold.heads[t]
                    right &= not labelled or bank.relations[t] == gold.relations[t]
                    pair.append(bool(right) and is_there)
                judged.append(tuple(pair))
            counts[part].update(judged)
            if words:
                counts[whole][tuple(all(pair[i] for pair in judged) for i in (0, 1))] += 1
    return counts


def test_missing_and_shuffled_sentences_against_loops(tmp_path):
    rng = np.random.default_rng(5)
    gold = random_treebank(80, rng)
    old, new = (random_mistakes(gold, rng) for _ in range(2))
    present = rng.permutation(80)[:65]
    files = [
        write_trees(gold, tmp_path / "gold"),
        write_trees(old, tmp_path / "old", rng.permutation(80)),
        write_trees(new, tmp_path / "new", present),
    ]
    verdict = judge(read_update(*files, [], CLEAN), Gate(), 80)
    assert verdict.num_missing == 15
    for level, expected in brute_force(gold, old, new, set(present.tolist())).items():
        flips = verdict.levels[level].flips
        pairs = [(True, True), (True, False), (False, True), (False, False)]
        assert [flips.yy, flips.yn, flips.ny, flips.nn] == [expected[pair] for pair in pairs]
        assert flips.yn > 0 and flips.ny > 0
    missing = [item for item in verdict.worst if item.is_missing]
    assert missing and all(item.view.new is None and not any(item.repaired.values()) for item in missing)
    assert {int(item.id[1:]) for item in missing}.isdisjoint(present.tolist())


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("gold", (SOME, ""), r"gold.conllu:\d+: sentence 2 has no '# sent_id', though others"),
        ("new", (SOME, "# sent_id = s0\n"), r"new.conllu:\d+: sent_id 's0' a second time; the first is in line 1"),
        ("new", (SOME, "# sent_id = s0\u00a0\n"), r"new.conllu:\d+: sent_id 's0' a second time"),
        ("old", (SOME, "# sent_id = \n"), r"old.conllu:\d+: an empty sent_id"),
        ("old", (SOME, SOME + "# sent_id = t\n"), r"old.conllu:\d+: a second sent_id of the same sentence"),
    ],
)
def test_ids_of_no_use_leave_the_order_where_words_agree_and_are_refused_elsewhere(tmp_path, name, change, message):
    paths = dict(zip(("gold", "old", "new"), tree_update(tmp_path, num_models=2)))
    expected = read_update(*paths.values(), [], CLEAN)
    text = paths[name].read_text()
    paths[name].write_text(text.replace(*change))
    found = read_update(*paths.values(), [], CLEAN)
    assert found.rates() == expected.rates() and found.aligned_by == "their order"
    files = ("old", "new") if name == "gold" else (name,)
    assert len(found.notes) == len(files)
    for note, file in zip(found.notes, files):
        assert note.startswith(f"{paths[file]} is brought together with gold by order, where all words agree, for ")
        assert re.search(message, note)
    assert read_update(*paths.values(), [], CLEAN, "order").notes == []
    with pytest.raises(ConlluError, match=message) as refused:
        read_update(*paths.values(), [], CLEAN, "id")
    first_line = text.splitlines().index(SOME.strip()) + 1
    assert first_line <= refused.value.line <= first_line + 1 and "--align" not in refused.value.fault
    other = "old" if name == "gold" else name
    first, *rest = paths[other].read_text().split("\n\n")
    paths[other].write_text("\n\n".join([*rest[:-1], first, ""]))
    with pytest.raises(ConlluError, match=f"{message}.*; --align order brings sentences together by their place"):
        read_update(*paths.values(), [], CLEAN)


def test_an_id_that_gold_does_not_have_is_refused(tmp_path):
    gold, old, new = tree_update(tmp_path, num_models=2)
    new.write_text(new.read_text().replace(SOME, "# sent_id = other\n"))
    message = r"new.conllu:\d+: the gold file .*gold.conllu has no sent_id 'other'; --align order"
    with pytest.raises(ConlluError, match=message):
        read_update(gold, old, new, [], CLEAN)
    assert read_update(gold, old, new, [], CLEAN, "order").aligned_by == "their order"


def test_files_without_ids_or_with_ids_of_their_own_are_aligned_by_order(tmp_path):
    gold, old, new = tree_update(tmp_path, num_models=2)
    expected, text = evaluate_files(gold, old, new, CLEAN), new.read_text()
    for changed, reason in (
        (re.sub(r"# sent_id.*\n", "", text), rf"{new}:1: no '# sent_id' in this file, though {gold} has them"),
        (text.replace("sent_id = s", "sent_id = t"), rf"{new}:1: the gold file {gold} has no sent_id 't0', nor any"),
    ):
        new.write_text(changed)
        found = read_update(gold, old, new, [], CLEAN)
        assert found.rates() == expected and len(found.notes) == 1 and reason in found.notes[0]
        with pytest.raises(ConlluError, match=re.escape(reason)):
            read_update(gold, old, new, [], CLEAN, "id")
    for path in (gold, old, new):
        path.write_text(re.sub(r"# sent_id.*\n", "", path.read_text()))
    update = read_update(gold, old, new, [], CLEAN)
    assert update.notes == [] and list(update.ids)[:2] == ["1", "2"] and update.rates() == expected
    assert "their order, since no file has '# sent_id'" in update.aligned_by
    with pytest.raises(ConlluError, match=r"old.conllu:1: no '# sent_id' in this file$"):
        read_update(gold, old, new, [], CLEAN, "id")


def test_sentences_that_the_old_file_or_a_seed_lacks_are_refused(tmp_path):
    gold, old, new, seed = tree_update(tmp_path)
    short = write_trees(read_conllu(old), tmp_path / "short", range(1, 59))
    without_second_id(short)
    message = r"short:\d+: 2 sentences of the gold file are not here, the first is 's0' \(.*gold.conllu:1\)"
    with pytest.raises(ConlluError, match=message):
        read_update(gold, short, new, [], CLEAN)
    with pytest.raises(ConlluError, match=message):
        read_update(gold, old, new, [seed, short], CLEAN)
    assert judge(read_update(gold, old, short, [seed], CLEAN), Gate()).num_missing == 2


def test_other_words_are_refused_by_id_and_line(tmp_path):
    gold, old, new = tree_update(tmp_path, num_models=2)
    lines = new.read_text().split("\n")
    at = lines.index(SOME.strip()) + 2
    lines[at] = re.sub(r"^2\t[^\t]+", "2\tother", lines[at])
    new.write_text("\n".join(lines))
    with pytest.raises(ConlluError, match=rf"new.conllu:{at + 1}: sentence 's1', word 2: 'other', in the gold"):
        read_update(gold, old, new, [], CLEAN)


def test_by_order_ids_are_not_looked_at(tmp_path):
    """By id, the same sentences in another order are the same update."""
    gold, old, new = tree_update(tmp_path, num_models=2)
    expected = evaluate_files(gold, old, new, CLEAN)
    write_trees(read_conllu(new), new, np.random.default_rng(1).permutation(60))
    without_second_id(new)
    assert read_update(gold, old, new, [], CLEAN).rates() == expected
    with pytest.raises(ConlluError, match=r"new.conllu:\d+: sentence 1"):
        read_update(gold, old, new, [], CLEAN, "order")
    new.write_text(re.sub("# sent_id.*", "# sent_id = s0", old.read_text()))
    by_order = read_update(gold, old, new, [], CLEAN, "order").rates()
    assert by_order["LAS"]["acc_new"] == expected["LAS"]["acc_old"]


def test_rows_of_frames_have_their_numbers_as_ids(tmp_path):
    paths = frame_update(tmp_path, 5)
    update = read_update(*paths, [paths[1]], CLEAN)
    assert list(update.ids) == ["1", "2", "3", "4", "5"] and len(update.levels["EM"].old_models) == 2
    assert update.view(3).texts[0] == paths[0].read_text().splitlines()[3].split("\t")[1]


def changed(place: tuple[int, int], row: tuple | None) -> list[list[tuple]]:
    sentences = [list(sentence) for sentence in GOLD_TREES]
    sentences[place[0]][place[1] : place[1] + 1] = [] if row is None else [row]
    return sentences


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (changed((1, 1), ("Home", "ADV", 1, "advmod")), "new:8: sentence 2, word 2: 'Home', in the gold file 'home'"),
        (changed((1, 2), None), "new:8: sentence 2 has 2 words, in the gold file 3"),
        (
            [GOLD_TREES[0], [*GOLD_TREES[1], ("!", "PUNCT", 1, "punct")]],
            "new:10: sentence 2 has 4 words, in the gold file 3",
        ),
        (GOLD_TREES[:1], "new:4: the file has 1 sentences, the gold file 2"),
        ([*GOLD_TREES, GOLD_TREES[0]], "new:14: the file has 3 sentences, the gold file 2"),
        (changed((1, 0), ("go", "VERB", 9, "root")), "new:7: HEAD"),
    ],
)
@pytest.mark.parametrize("align", [None, "order"])
def test_other_words_are_refused_by_order(tmp_path, rows, message, align):
    gold, new = write_rows(GOLD_TREES, tmp_path / "gold"), write_rows(rows, tmp_path / "new")
    with pytest.raises(ConlluError, match=message):
        read_update(gold, gold, new, [], CLEAN, align)


def test_gold_trees_without_a_word_that_counts_are_refused(tmp_path):
    path = write_rows([[(".", "PUNCT", 0, "root")]], tmp_path / "gold")
    with pytest.raises(ConlluError, match="gold:1: no word that counts under preset 'clean'"):
        read_update(path, path, path, [], CLEAN)


GOLD_ROWS, OLD_ROWS, NEW_ROWS = map(frame_rows, (GOLD_FRAMES, OLD_FRAMES, NEW_FRAMES))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("new", NEW_ROWS.replace("is it\t", "was it\t"), "new:2: word 2 of the utterance: 'was'.*'is'"),
        ("new", NEW_ROWS.replace("stop\t", "stop it\t"), "new:3: the utterance has 2 words, in the gold file 1"),
        ("old", frame_rows(OLD_FRAMES[:2]), "old:2: the file has 2 rows, the gold file 3"),
        ("old", OLD_ROWS + "go\t[IN:GO go ]\n", "old:4: the file has 4 rows, the gold file 3"),
        ("old", OLD_ROWS.replace(" ] ]", " ]\r ]"), "old:1: carriage return"),
        ("old", OLD_ROWS + "only words\n", "old:4: 1 tab-separated columns, expected 2 or 3"),
        ("gold", frame_rows([GOLD_FRAMES[0], *OLD_FRAMES[1:]]), r"gold:2: \[IN:WHERE is never closed"),
        ("gold", GOLD_ROWS.replace("\n", "\r"), "gold:1: carriage return"),
    ],
)
def test_malformed_frames_are_refused_by_file_line_and_fault(tmp_path, name, content, message):
    paths = frame_files(tmp_path)
    (tmp_path / name).write_text(content)
    with pytest.raises(TopError, match=message):
        read_update(*paths, [], CLEAN)


@pytest.mark.parametrize(
    ("first_row", "expected"),
    [
        ("a b\t[IN:A a b ]", TOP),
        ("A b\ta b\t[IN:A a b ]", TOP),
        ("# 1\t[IN:A # 1 ]", TOP),  # no comment
        ("# a comment", CONLLU),
        (CONLLU_ROW, CONLLU),
        (CONLLU_ROW.replace("go", "["), CONLLU),
        ("# 1\t", None),  # a prediction that is no tree
        ("a b\tIN:A", None),
        ("[IN:A a ]", None),
        ("", None),
    ],
)
def test_the_first_row_says_what_a_file_holds(first_row, expected):
    for before, after in product(("", "\ufeff", "\n\n", "\r\n"), ("", "\n", "\r\n", "\nx")):
        assert InputFile("f", plain((before + first_row + after * bool(first_row)).encode())).format == expected


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
        ('{"id": "a", "gold": 2, "old": 1, "new": 1}', "another gold answer than the same id has in line 1"),
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
        ("\n{}", "not JSON"),
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
        (b"\xef\xbb\xbf" + json.dumps(GOOD).encode() + b"\r\n\r\n{", "items.jsonl:2: not JSON"),
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
