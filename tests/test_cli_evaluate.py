"""`bcr evaluate`: counts by hand, parity with the CoNLL-18 evaluator, what it prints."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from command_runs import options, refused, run
from comparison_files import GOLD_FRAMES, GOLD_TREES, OLD_FRAMES, evaluate_files, frame_files, frame_rows, write_rows
from random_frames import random_frame, random_frame_bank
from random_trees import random_mistakes, random_treebank
from udtools.udeval import evaluate, load_conllu_file

from bcrlib.comparison.read import read_update
from bcrlib.data.frames import frame_text
from bcrlib.data.presets import PRESETS, Preset
from bcrlib.data.top import write_top
from bcrlib.data.treebank import Treebank, read_conllu, write_conllu
from bcrlib.metrics import attachment
from bcrlib.metrics import frames as exact_match

OFFICIAL, CLEAN = PRESETS["official"], PRESETS["clean"]
RATES = {"acc_old", "acc_new", "nfr", "pfr", "nfi", "num_units"}
OLD = [  # wrong: head of the full stop; relation of "home"
    [("she", "PRON", 2, "nsubj"), ("ran", "VERB", 0, "root"), (".", "PUNCT", 1, "punct")],
    [("go", "VERB", 0, "root"), ("home", "ADV", 1, "obl"), ("$", "SYM", 2, "dep")],
]
NEW = [  # wrong: "she" and "ran" the other way round; head of "$"
    [("she", "PRON", 0, "root"), ("ran", "VERB", 1, "nsubj"), (".", "PUNCT", 2, "punct")],
    [("go", "VERB", 0, "root"), ("home", "ADV", 1, "advmod"), ("$", "SYM", 1, "dep")],
]


@pytest.fixture
def trees(tmp_path) -> list[Path]:
    return [write_rows(rows, tmp_path / f"{i}.conllu") for i, rows in enumerate((GOLD_TREES, OLD, NEW))]


@pytest.fixture
def frames(tmp_path) -> list[Path]:
    return frame_files(tmp_path)


def counts(result: dict[str, float]) -> list[int]:
    """Units, old right, new right, negative flips, positive flips, from the rates."""
    n = result["num_units"]
    return [n] + [round(result[rate] * n) for rate in ("acc_old", "acc_new", "nfr", "pfr")]


# Of each level: units, old right, new right, negative flips, positive flips.
TREES_OFFICIAL = {  # words: she ran go home; trees: old has 1 wrong by punctuation, 2 by a relation, new has both wrong
    "UAS": [4, 4, 2, 2, 0],
    "LAS": [4, 3, 2, 2, 1],
    "UCM": [2, 1, 0, 1, 0],
    "LCM": [2, 0, 0, 0, 0],
}
TREES_CLEAN = {  # words: she ran go home $
    "UAS": [5, 5, 2, 3, 0],
    "LAS": [5, 4, 2, 3, 1],
    "UCM": [2, 2, 0, 2, 0],
    "LCM": [2, 1, 0, 1, 0],
}
# Spans: call .. now, my mum, now; where is it; stop.  Old: all but the fourth.  New: my mum and stop are wrong; under
# official the new slot breaks the sub-tree of the whole as well.
FRAMES_OFFICIAL = {"spanEM": [5, 4, 2, 3, 1], "EM": [3, 2, 1, 2, 1]}
FRAMES_CLEAN = {"spanEM": [5, 4, 3, 2, 1], "EM": [3, 2, 1, 2, 1]}


def test_counts_by_hand(trees, frames):
    for files, preset, expected in (
        (trees, OFFICIAL, TREES_OFFICIAL),
        (trees, CLEAN, TREES_CLEAN),
        (frames, OFFICIAL, FRAMES_OFFICIAL),
        (frames, CLEAN, FRAMES_CLEAN),
    ):
        result = evaluate_files(*files, preset)
        assert {level: counts(rates) for level, rates in result.items()} == expected
        errors = {level: units - new for level, (units, _, new, _, _) in expected.items()}
        assert all(rates["nfi"] * errors[level] == expected[level][3] for level, rates in result.items())


def test_json_is_keyed_by_level_and_frames_have_invalid_outputs(trees, frames):
    for files, levels, invalid in ((trees, attachment.LEVELS, set()), (frames, exact_match.LEVELS, {"old", "new"})):
        result = json.loads(run("evaluate", *options(files), "--json"))
        assert tuple(result) == levels and result == evaluate_files(*files, CLEAN)
        assert all(set(fields) == RATES | {f"num_invalid_{name}" for name in invalid} for fields in result.values())
        assert all(isinstance(fields["num_units"], int) for fields in result.values())
    assert [result["EM"][f"num_invalid_{name}"] for name in ("old", "new")] == [1, 1]


def test_the_table_says_the_same_and_counts_what_is_no_tree(trees, frames):
    frames[1].write_text(frame_rows(["", "]", "[IN:STOP ]"]))
    text = run("evaluate", *options(frames), "--preset", "official")
    assert text.startswith("Definitions: official; a span is right with gold's complete sub-tree")
    row = next(line for line in text.splitlines() if line.split()[:1] == ["EM"]).split()
    assert row[:9] == ["EM", "3", "0.00", "33.33", "0.00", "33.33", "0.00", "0", "1"]
    assert "No trees: 3 predictions of the old model, 1 of the new, out of 3." in text
    assert "gold's labels" in run("evaluate", *options(frames))
    text = run("evaluate", *options(trees), "--preset", "official")
    assert text.startswith("Definitions: official; words except PUNCT, SYM;")
    row = next(line for line in text.splitlines() if line.split()[:1] == ["UAS"])
    assert row.split() == ["UAS", "4", "100.00", "50.00", "50.00", "0.00", "100.00", "2", "0", "0.5"]


def test_the_release_s_three_columns_will_do(frames):
    for file, parses in zip(frames[:2], (GOLD_FRAMES, OLD_FRAMES)):
        file.write_text("".join(f"raw text\t{line}\n" for line in frame_rows(parses).splitlines()))
    assert counts(evaluate_files(*frames, CLEAN)["EM"]) == [3, 2, 1, 2, 1]


def test_a_prediction_over_other_words_is_wrong_where_it_differs(frames):
    """ "now" is left out and "mum" is another word: no span around or over them is right."""
    frames[2].write_text(frame_rows(["[IN:CALL call [SL:WHO my dad ] ]", GOLD_FRAMES[1], GOLD_FRAMES[2]]))
    for preset in (CLEAN, OFFICIAL):
        counted = read_update(*frames, [], preset)
        assert counts(counted.rates()["spanEM"]) == [5, 4, 2, 3, 1]  # where is it; stop
        assert counted.num_invalid == {"num_invalid_old": 1, "num_invalid_new": 0}


def test_deep_nesting_is_no_trouble(tmp_path):
    file, depth = tmp_path / "f", 1500
    file.write_text("x\t" + "[IN:A " * depth + "x" + " ]" * depth + "\n")
    assert counts(evaluate_files(file, file, file, OFFICIAL)["spanEM"]) == [1, 1, 1, 0, 0]


def test_the_two_tasks_do_not_mix(frames):
    trees = write_rows(GOLD_TREES, frames[0].with_name("trees"))
    assert f"{trees}:1: a row of CoNLL-U, but the gold file is TOP" in refused(
        "evaluate", *options([*frames[:2], trees])
    )
    assert f"{frames[1]}:1: a row of TOP, but the gold file is CoNLL-U" in refused(
        "evaluate", *options([trees, frames[1], trees])
    )
    frames[0].write_text(frame_rows(["IN:CALL", *GOLD_FRAMES[1:]]))
    assert f"{frames[0]}:1: 2 tab-separated columns, the last not beginning" in refused("evaluate", *options(frames))


def piped(content: bytes) -> str:
    """Where a pipe with this content in it can be read, once."""
    reader, writer = os.pipe()
    os.write(writer, content)
    os.close(writer)
    return f"/dev/fd/{reader}"


def test_files_are_read_once_so_that_pipes_will_do(frames):
    pipes = [piped(file.read_bytes()) for file in frames]
    assert evaluate_files(*pipes, CLEAN) == evaluate_files(*frames, CLEAN)
    for pipe in pipes:
        os.close(int(pipe.split("/")[-1]))


def test_rates_are_those_of_row_by_row_comparison(tmp_path):
    """EM of files is equality of texts, of valid predictions under `clean`."""
    rng = np.random.default_rng(1)
    gold = random_frame_bank(200, rng, longest=3)
    parses = [[frame_text(frame) for frame in gold.frames]]
    for _ in range(2):
        other = [frame_text(random_frame(words, rng)) for words in gold.utterances]
        kind = rng.choice(3, len(gold), p=[0.6, 0.3, 0.1])
        parses.append([("[IN:A" if k == 2 else b if k == 1 else a) for a, b, k in zip(parses[0], other, kind)])
    paths = [tmp_path / name for name in "gon"]
    for path, column in zip(paths, parses):
        write_top(gold.utterances, column, path)
    result = read_update(*paths, [], CLEAN)
    old, new = ([a == b for a, b in zip(parses[0], column)] for column in parses[1:])
    em = result.levels["EM"].flips
    assert (em.yn, em.ny) == (sum(o and not n for o, n in zip(old, new)), sum(n and not o for o, n in zip(old, new)))
    assert em.yy + em.yn == sum(old) and em.num_units == 200
    assert list(result.num_invalid.values()) == [column.count("[IN:A") for column in parses[1:]]


def without_subtypes(treebank: Treebank) -> Treebank:
    return treebank.with_trees(treebank.heads, [relation.split(":")[0] for relation in treebank.relations])


def conll18_preset() -> Preset:
    """Every word counts."""
    return Preset(**(vars(CLEAN) | {"name": "conll18", "punct_exclude": frozenset()}))


def check_conll18_parity(gold: Treebank, predicted: Treebank, folder) -> None:
    """CoNLL-18 counts punctuation and ignores sub-types."""
    paths = [folder / "gold.conllu", folder / "predicted.conllu"]
    for treebank, path in zip((gold, predicted), paths):
        write_conllu(treebank, path)
    expected = evaluate(*(load_conllu_file(str(path)) for path in paths))
    for treebank, path in zip((gold, predicted), paths):
        write_conllu(without_subtypes(treebank), path)
    result = evaluate_files(paths[0], paths[1], paths[0], conll18_preset())
    for level in ("UAS", "LAS"):
        assert 0 < result[level]["acc_old"] < 1
        assert result[level]["acc_old"] == pytest.approx(expected[level].aligned_accuracy, abs=1e-12)


def with_root_relations(treebank: Treebank) -> Treebank:
    """The relation "root" on roots and nowhere else: the evaluator insists."""
    pairs = zip(treebank.heads, treebank.relations)
    relations = ["root" if head == 0 else name.replace("root", "dep") for head, name in pairs]
    return treebank.with_trees(treebank.heads, relations)


def mistakes_with_one_root(gold: Treebank, rng: np.random.Generator) -> Treebank:
    predicted = random_mistakes(gold, rng)
    num_roots = np.add.reduceat(predicted.heads == 0, gold.offsets[:-1])
    heads = np.where(np.repeat(num_roots == 1, gold.lengths), predicted.heads, gold.heads)
    return with_root_relations(gold.with_trees(heads, predicted.relations))


def test_parity_with_the_conll18_evaluator(tmp_path):
    rng = np.random.default_rng(7)
    gold = with_root_relations(random_treebank(200, rng))
    check_conll18_parity(gold, mistakes_with_one_root(gold, rng), tmp_path)


@pytest.mark.corpus
def test_parity_with_the_conll18_evaluator_on_ewt(ewt, tmp_path):
    gold = read_conllu(ewt("test"))
    check_conll18_parity(gold, mistakes_with_one_root(gold, np.random.default_rng(8)), tmp_path)


@pytest.mark.corpus
def test_units_of_the_real_test_sets(ewt, top):
    trees = {"UAS": 21_898, "UCM": 2_077, "LAS": 21_898, "LCM": 2_077}
    for path, units in ((ewt("test"), trees), (top("test"), {"spanEM": 27_047, "EM": 8_241})):
        result = evaluate_files(path, path, path, OFFICIAL)
        assert {level: rates["num_units"] for level, rates in result.items()} == units
        assert all(
            r["acc_new"] == 1 and r["nfr"] == r["nfi"] == r.get("num_invalid_new", 0) == 0 for r in result.values()
        )
