"""Semantic corpora by name."""

import pytest

from bcrlib.data.frames import Node, TopError, read_top, write_top
from bcrlib.data.generated.frames import demo_frames
from bcrlib.tasks.semantic import load_frames


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
