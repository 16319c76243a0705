"""Updates of dependency trees: counts by hand, by brute force and beside `bcr evaluate`; ids; slices."""

import re
from collections import Counter

import numpy as np
import pytest
from comparison_files import evaluate_files, tree_update, write_trees
from random_trees import random_mistakes, random_treebank

from bcrlib.comparison.read import read_update
from bcrlib.comparison.reports import to_json
from bcrlib.comparison.verdict import Gate, judge
from bcrlib.data.conllu import ConlluError, read_conllu
from bcrlib.data.grammar import generate_treebank
from bcrlib.metrics.attachment import scored_words
from bcrlib.metrics.slices import tree_slices
from bcrlib.metrics.subtrees import word_depths
from bcrlib.presets import PRESETS

CLEAN, OFFICIAL = PRESETS["clean"], PRESETS["official"]


@pytest.mark.parametrize("preset", [CLEAN, OFFICIAL])
def test_rates_are_those_of_evaluate_whatever_the_order(tmp_path, preset):
    gold, old, new = tree_update(tmp_path, num_models=2)
    expected = evaluate_files(gold, old, new, preset)
    rng = np.random.default_rng(1)
    for path in (old, new):
        write_trees(read_conllu(path), path, rng.permutation(60))  # their old ids are comments, too
        path.write_text(re.sub(r"(# sent_id.*\n)# sent_id.*\n", r"\1", path.read_text()))
    found = to_json(judge(read_update(gold, old, new, [], preset), Gate()))
    assert list(found) == list(expected)
    for level, rates in expected.items():
        assert {name: found[level][name] for name in rates} == rates and 0 < rates["nfr"] < 1


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


def test_files_without_ids_are_aligned_by_order_and_this_is_said(tmp_path):
    paths = tree_update(tmp_path, num_models=2)
    for path in paths:
        path.write_text(re.sub(r"# sent_id.*\n", "", path.read_text()))
    update = read_update(*paths, [], CLEAN)
    assert "their order, since no file has '# sent_id'" in update.aligned_by and list(update.ids)[:2] == ["1", "2"]
    assert to_json(judge(update, Gate()))["LAS"]["nfr"] == evaluate_files(*paths, CLEAN)["LAS"]["nfr"]


SOME = "# sent_id = s1\n"


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("gold", (SOME, ""), r"gold.conllu:\d+: sentence 2 has no '# sent_id', though others"),
        ("new", (SOME, "# sent_id = s0\n"), r"new.conllu:\d+: sent_id 's0' a second time; the first is in line 1"),
        ("old", (SOME, "# sent_id = \n"), r"old.conllu:\d+: an empty sent_id"),
        ("old", (SOME, SOME + "# sent_id = t\n"), r"old.conllu:\d+: a second sent_id of the same sentence"),
        ("new", (SOME, "# sent_id = other\n"), r"new.conllu:\d+: the gold file .*gold.conllu has no sent_id 'other'"),
    ],
)
def test_faulty_ids_are_refused_by_file_line_and_fault(tmp_path, name, change, message):
    paths = dict(zip(("gold", "old", "new"), tree_update(tmp_path, num_models=2)))
    text = paths[name].read_text()
    paths[name].write_text(text.replace(*change))
    with pytest.raises(ConlluError, match=message) as refused:
        read_update(*paths.values(), [], CLEAN)
    first_line = text.splitlines().index(SOME.strip()) + 1
    assert first_line <= refused.value.line <= first_line + 1


def test_ids_in_some_files_only_are_refused(tmp_path):
    gold, old, new = tree_update(tmp_path, num_models=2)
    new.write_text(re.sub(r"# sent_id.*\n", "", new.read_text()))
    with pytest.raises(ConlluError, match=r"new.conllu:1: no '# sent_id' in this file, though .*gold.conllu has"):
        read_update(gold, old, new, [], CLEAN)
    with pytest.raises(ConlluError, match=r"new.conllu:1: no '# sent_id' in this file, though .*old.conllu has"):
        read_update(new, old, new, [], CLEAN)


def test_sentences_that_the_old_file_or_a_seed_lacks_are_refused(tmp_path):
    gold, old, new, seed = tree_update(tmp_path)
    short = write_trees(read_conllu(old), tmp_path / "short", range(1, 59))
    short.write_text(re.sub(r"(# sent_id.*\n)# sent_id.*\n", r"\1", short.read_text()))
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
