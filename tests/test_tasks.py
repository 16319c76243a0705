"""The tasks say the same as what they are made of."""

import subprocess
import sys

import numpy as np
import pytest
from pools import pool_of
from random_frames import bank_of
from random_trees import random_mistakes, random_treebank

from bcrlib.data.frame_candidates import FramePool
from bcrlib.data.frames import BROKEN, END, FrameBank, Node, sequences_of
from bcrlib.data.generated.frames import demo_frames
from bcrlib.data.presets import PRESETS
from bcrlib.data.top import TopError, read_predicted_top, read_top, write_top
from bcrlib.data.treebank import read_conllu
from bcrlib.metrics import attachment, frames
from bcrlib.tasks import TASKS, names_of, task_named
from bcrlib.tasks.semantic import load_frames

DEPENDENCY, SEMANTIC = map(task_named, TASKS)
GOLD = [
    "[IN:GET_EVENT any [SL:CATEGORY_EVENT concerts ] [SL:DATE_TIME tonight ] ]",
    "[IN:GET_DISTANCE how far is [SL:DESTINATION the old harbour ] ]",
    "[IN:GET_EVENT plays [SL:LOCATION in [IN:GET_LOCATION [SL:LOCATION town ] ] ] ]",
    "[IN:GET_DISTANCE the way home ]",
]


@pytest.fixture
def bank() -> FrameBank:
    return bank_of(*GOLD)


@pytest.fixture
def pool(bank) -> FramePool:
    """Right; an unclosed bracket; words left out; broken."""
    sequences = sequences_of(bank, bank.labels)
    sequences[1, np.flatnonzero(sequences[1])[-1]] = END
    kept = sequences[2][sequences[2] != 1 + 2 * len(bank.labels)]  # without its first word
    sequences[2] = np.pad(kept, (0, sequences.shape[1] - len(kept)))
    sequences[3], sequences[3, 0] = END, BROKEN
    return FramePool(sequences[None], bank.labels, np.zeros((1, 4), dtype=np.float32))


@pytest.mark.parametrize("task", [DEPENDENCY, SEMANTIC])
def test_levels_are_those_that_the_metrics_count(task):
    names = task.names
    assert names.levels == (frames if task is SEMANTIC else attachment).LEVELS and names.choice_level in names.levels
    assert set(names.listed) == set(names.kinds)
    for whole, part in names.atom_of.items():
        assert {whole, part} <= set(names.levels)


@pytest.mark.parametrize(
    ("name", "other"),
    [("dependency", "data.frames"), ("dependency", "tasks.semantic"), ("semantic", "tasks.dependency")],
)
def test_a_change_of_one_task_leaves_results_of_the_other_as_they_are(name, other):
    """They depend on the modules that are imported (`bcrlib.pipeline.fingerprint`)."""
    code = f"import sys, bcrlib.tasks.{name}; sys.exit('bcrlib.{other}' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_a_kind_has_one_task():
    assert names_of("stackptr") is TASKS["dependency"]
    assert names_of("s2s-large-part") is TASKS["semantic"]
    with pytest.raises(KeyError, match="'s2s'"):
        names_of("s2s")


def test_correctness_of_trees_is_that_of_heads_and_relations():
    gold = random_treebank(30, np.random.default_rng(1))
    predicted = random_mistakes(gold, np.random.default_rng(2))
    pool = pool_of(predicted)
    for preset in PRESETS.values():
        expected = attachment.treebank_correctness(gold, predicted, preset)
        found = DEPENDENCY.correctness(gold, pool, preset)
        assert all(np.array_equal(found[level][0], expected[level]) for level in DEPENDENCY.names.levels)


def test_trees_are_written_as_predicted(tmp_path):
    gold = random_treebank(5, np.random.default_rng(3))
    predicted = random_mistakes(gold, np.random.default_rng(4), rate=1.0)
    DEPENDENCY.write(gold, pool_of(predicted), tmp_path / "x.conllu")
    again = read_conllu(tmp_path / "x.conllu")
    assert again.heads.tolist() == predicted.heads.tolist()
    assert (list(again.relations), list(again.upos)) == (list(predicted.relations), list(gold.upos))


def test_frames_are_written_as_predicted_and_what_is_no_tree_as_nothing(tmp_path, bank, pool):
    SEMANTIC.write(bank, pool, tmp_path / "x.tsv")
    utterances, frames = read_predicted_top(tmp_path / "x.tsv")
    assert utterances == bank.utterances
    assert list(frames) == pool.frames(bank) and frames[0] == bank.frames[0]
    assert [frame is None for frame in frames] == [False, True, False, True]
    right = SEMANTIC.correctness(bank, pool, PRESETS["clean"])
    assert right["EM"].tolist() == [[True, False, False, False]]
    assert SEMANTIC.num_invalid(pool) == 2


def test_a_student_learns_from_trees_over_all_words_alone(bank, pool):
    lesson = pool.taught(bank)
    assert (lesson.utterances, lesson.frames) == (bank.utterances[:1], bank.frames[:1])


def test_a_student_learns_what_the_teacher_says_not_gold(bank):
    said = bank_of(*(text.replace("GET_EVENT", "GET_INFO") for text in GOLD))
    pool = FramePool(sequences_of(said, said.labels)[None], said.labels, np.zeros((1, 4), dtype=np.float32))
    assert pool.taught(bank).frames == said.frames


def test_a_folder_holds_train_eval_and_test(tmp_path):
    for file in ("train", "eval", "test"):
        write_top([(file,)], [f"[IN:A {file} ]"], tmp_path / f"{file}.tsv")
    found = {split: load_frames(str(tmp_path), split).frames for split in ("train", "dev", "test")}
    assert found == {
        "train": (Node("IN:A", ("train",)),),
        "dev": (Node("IN:A", ("eval",)),),
        "test": (Node("IN:A", ("test",)),),
    }
    (tmp_path / "eval.tsv").write_text("x\t[IN:A x\n")
    with pytest.raises(TopError, match=r"eval\.tsv:1"):
        load_frames(str(tmp_path), "dev")


def test_the_generated_corpus_follows_its_dial():
    assert load_frames("demo", "test", 0.5).utterances == demo_frames(0.5)["test"].utterances
    assert load_frames("demo", "dev").frames == demo_frames()["dev"].frames


@pytest.mark.corpus
def test_top_is_the_real_one(top):
    expected = read_top(top("dev"))
    assert load_frames("top", "dev").utterances == expected.utterances


def test_another_split_is_an_error(tmp_path):
    with pytest.raises(ValueError, match="train, dev, test"):
        load_frames(str(tmp_path), "eval")
