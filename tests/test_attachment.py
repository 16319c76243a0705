"""UAS, UCM, LAS and LCM, unit by unit."""

import numpy as np
import pytest
from random_trees import random_mistakes, random_treebank, same_below

from bcrlib.data.presets import PRESETS
from bcrlib.data.treebank import Treebank, read_conllu
from bcrlib.metrics.attachment import LEVELS, correctness, scored_units, treebank_correctness

OFFICIAL, CLEAN = PRESETS["official"], PRESETS["clean"]


def treebank(tags: list[str], heads: list[int], relations: list[str], lengths: list[int]) -> Treebank:
    forms = [f"w{i}" for i in range(len(tags))]
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    return Treebank(forms, tags, np.array(heads, dtype=np.int32), relations, offsets)


def recursive_correctness(gold: Treebank, predicted: Treebank) -> dict[str, list[bool]]:
    """The authors' comparison: one sentence at a time, whole trees downwards from the gold root."""
    right = {level: [] for level in LEVELS}
    for start, end in zip(gold.offsets, gold.offsets[1:]):
        trees = [(bank.heads[start:end].tolist(), bank.relations[start:end]) for bank in (gold, predicted)]
        (gold_heads, gold_relations), (heads, relations) = trees
        for i, tag in enumerate(gold.upos[start:end]):
            if tag not in ("PUNCT", "SYM"):
                right["UAS"].append(heads[i] == gold_heads[i])
                right["LAS"].append((relations[i], heads[i]) == (gold_relations[i], gold_heads[i]))
        root = gold_heads.index(0) + 1
        for level, labelled in (("UCM", False), ("LCM", True)):
            right[level].append(same_below(root, *trees, set(range(1, len(heads) + 1)), labelled))
    return right


def test_official_equals_the_recursive_comparison():
    rng = np.random.default_rng(1)
    gold = random_treebank(400, rng)
    for _ in range(5):
        predicted = random_mistakes(gold, rng)
        expected = recursive_correctness(gold, predicted)
        for level, right in treebank_correctness(gold, predicted, OFFICIAL).items():
            assert 0 < right.mean() < 1
            np.testing.assert_array_equal(right, expected[level], err_msg=level)


def test_clean_equals_a_loop_over_sentences():
    rng = np.random.default_rng(2)
    gold = random_treebank(400, rng)
    predicted = random_mistakes(gold, rng)
    right = {level: [] for level in LEVELS}
    for start, end in zip(gold.offsets, gold.offsets[1:]):
        words = [i for i in range(start, end) if gold.upos[i] != "PUNCT"]
        heads = [bool(gold.heads[i] == predicted.heads[i]) for i in words]
        both = [h and gold.relations[i] == predicted.relations[i] for h, i in zip(heads, words)]
        right["UAS"] += heads
        right["LAS"] += both
        if words:
            right["UCM"].append(all(heads))
            right["LCM"].append(all(both))
    for level, units in treebank_correctness(gold, predicted, CLEAN).items():
        np.testing.assert_array_equal(units, right[level], err_msg=level)


def test_candidates_are_judged_one_by_one():
    rng = np.random.default_rng(3)
    gold = random_treebank(50, rng)
    candidates = [random_mistakes(gold, rng) for _ in range(4)]
    names = ("root", "unseen", "obj", "nsubj:pass", "punct", "nsubj")
    heads = np.stack([c.heads for c in candidates]).astype(np.int16)
    relations = np.array([[names.index(r) for r in c.relations] for c in candidates], dtype=np.int16)
    for preset in PRESETS.values():
        right = correctness(gold, heads, relations, names, preset)
        units = scored_units(gold, preset)
        for level in LEVELS:
            expected = [treebank_correctness(gold, c, preset)[level] for c in candidates]
            np.testing.assert_array_equal(right[level], expected)
            assert right[level].shape == (4, len(units.sentence_of_unit[level]))


def test_the_presets_differ_where_they_say_so():
    """Sentence 1: VERB PUNCT SYM; 2: a lone PUNCT; 3: NOUN VERB, root word's relation wrong."""
    tags = ["VERB", "PUNCT", "SYM", "PUNCT", "NOUN", "VERB"]
    gold = treebank(tags, [0, 1, 1, 0, 2, 0], ["root", "punct", "dep", "root", "obj", "root"], [3, 1, 2])
    predicted = gold.with_trees(np.array([0, 3, 1, 0, 2, 0]), ["root", "punct", "dep", "root", "obj", "dep"])
    official, clean = (treebank_correctness(gold, predicted, p) for p in (OFFICIAL, CLEAN))
    assert {level: right.tolist() for level, right in official.items()} == {
        "UAS": [True, True, True],
        "UCM": [False, True, True],  # punctuation's head counts
        "LAS": [True, True, False],
        "LCM": [False, True, True],  # the root's relation does not
    }
    assert {level: right.tolist() for level, right in clean.items()} == {
        "UAS": [True, True, True, True],
        "UCM": [True, True],
        "LAS": [True, True, True, False],
        "LCM": [True, False],
    }
    assert scored_units(gold, OFFICIAL).sentence_of_unit["UCM"].tolist() == [0, 1, 2]
    assert scored_units(gold, CLEAN).sentence_of_unit["UCM"].tolist() == [0, 2]
    assert scored_units(gold, CLEAN).sentence_of_unit["UAS"].tolist() == [0, 0, 2, 2]


def test_subtypes_count_and_unknown_relations_are_wrong():
    gold = treebank(["NOUN", "VERB"], [2, 0], ["nsubj:pass", "root"], [2])
    relations = np.array([[0, 1]])
    right = correctness(gold, gold.heads[None], relations, ["nsubj", "root"], CLEAN)
    assert right["LAS"].tolist() == [[False, True]]
    assert right["UCM"].tolist() == [[True]] and right["LCM"].tolist() == [[False]]


def test_a_treebank_of_punctuation_has_no_units():
    gold = treebank(["PUNCT"], [0], ["root"], [1])
    assert {level: len(r) for level, r in treebank_correctness(gold, gold, CLEAN).items()} == dict.fromkeys(LEVELS, 0)


def test_shapes_and_names_are_checked():
    gold = treebank(["NOUN"], [0], ["root"], [1])
    with pytest.raises(ValueError, match="1 gold tokens"):
        correctness(gold, np.zeros((2, 3), int), np.zeros((2, 3), int), ["root"], CLEAN)
    with pytest.raises(ValueError, match="relations"):
        correctness(gold, np.zeros((2, 1), int), np.zeros((1, 1), int), ["root"], CLEAN)
    with pytest.raises(ValueError, match="twice"):
        correctness(gold, np.zeros((1, 1), int), np.zeros((1, 1), int), ["root", "root"], CLEAN)


@pytest.mark.corpus
def test_counts_of_ewt_test(ewt):
    gold = read_conllu(ewt("test"))
    official, clean = scored_units(gold, OFFICIAL), scored_units(gold, CLEAN)
    assert {level: len(u) for level, u in official.sentence_of_unit.items()} == {
        "UAS": 21_898,
        "UCM": 2_077,
        "LAS": 21_898,
        "LCM": 2_077,
    }
    assert len(np.unique(official.sentence_of_unit["UAS"])) == 2_041
    assert len(clean.sentence_of_unit["LAS"]) == 21_990
    assert set(clean.sentence_of_unit["LCM"]) == set(clean.sentence_of_unit["LAS"])
    assert all(right.all() for right in treebank_correctness(gold, gold, OFFICIAL).values())


@pytest.mark.corpus
def test_official_equals_the_recursive_comparison_on_ewt(ewt):
    gold = read_conllu(ewt("test"))
    predicted = random_mistakes(gold, np.random.default_rng(4), rate=0.2)
    expected = recursive_correctness(gold, predicted)
    for level, right in treebank_correctness(gold, predicted, OFFICIAL).items():
        np.testing.assert_array_equal(right, expected[level], err_msg=level)
