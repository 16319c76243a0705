"""The names of `import bcrlib`: there without what they cost, and enough for the method."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import bcrlib
from bcrlib.comparison.reports import to_text
from bcrlib.data.generated.frames import generate_frames
from bcrlib.data.generated.trees import generate_treebank
from bcrlib.parsers.configuration import KINDS, SMALL, NetworkConfig, Seq2SeqTraining, TrainingConfig
from bcrlib.parsers.training import save_parser
from bcrlib.tasks import task_named

BRIEF = {"deepbiaf": TrainingConfig(num_epochs=1), "stackptr": TrainingConfig(num_epochs=1)}
BRIEF |= {"s2s": Seq2SeqTraining(num_epochs=1)}


def gold(kind, number=20):
    return generate_frames(number, seed=1) if kind == "s2s" else generate_treebank(number, seed=1)


def test_all_names_are_there_and_named():
    assert set(bcrlib.FACE) <= set(dir(bcrlib))
    assert all(getattr(bcrlib, name).__module__ == module for name, module in bcrlib.FACE.items())
    with pytest.raises(AttributeError, match="no attribute 'trian'"):
        bcrlib.trian  # noqa: B018


def test_counting_needs_no_torch():
    check = "import sys, bcrlib; bcrlib.flips, bcrlib.choose, bcrlib.DropoutP, bcrlib.compare, dir(bcrlib)"
    assert subprocess.run([sys.executable, "-c", f"{check}; sys.exit('torch' in sys.modules)"]).returncode == 0


@pytest.mark.parametrize("kind", KINDS)
def test_the_method_in_the_words_of_the_face(kind, tmp_path):
    bank, folders = gold(kind), [tmp_path / "1", tmp_path / "2"]
    old, new = (bcrlib.train(kind, bank, seed=seed, recipe=BRIEF[kind]) for seed in (1, 2))
    pool = new.candidates(bank, bcrlib.DropoutP(0.1, 4))
    scores = old.log_probs(bank, pool)
    picks = bcrlib.choose(bcrlib.bcr_scores(pool.log_probs, [scores]))
    task = task_named("semantic" if kind == "s2s" else "dependency")
    right = task.correctness(bank, pool.single(picks), new.definitions)[task.names.levels[0]][0]
    assert bcrlib.flips(right, right).nfr == 0
    for parser, folder in zip((old, new), folders):
        save_parser(parser, folder)
    assert np.allclose(bcrlib.load(str(folders[0])).log_probs(bank, pool), scores, atol=1e-4)
    assert len(bcrlib.load(*folders).networks) == 2


def test_equal_arguments_make_equal_parsers_and_dev_only_chooses_the_epoch():
    bank = gold("deepbiaf")
    first, again = (bcrlib.train("deepbiaf", bank, seed=3, recipe=BRIEF["deepbiaf"]) for _ in range(2))
    chosen = bcrlib.train("deepbiaf", bank, bank, seed=3, recipe=BRIEF["deepbiaf"])
    pool = first.candidates(bank, bcrlib.OneBest())
    scores = first.log_probs(bank, pool)
    assert all(np.array_equal(scores, parser.log_probs(bank, pool)) for parser in (again, chosen))


def test_sizes_may_be_given_and_the_kind_is_the_one_asked_for():
    sizes = NetworkConfig(word_size=8, char_size=4, upos_size=4, hidden_size=4, num_layers=1, arc_size=4, label_size=4,
                          decoder_input_size=4, decoder_size=4)  # fmt: skip
    parser = bcrlib.train("stackptr", gold("stackptr", 5), network=sizes, recipe=BRIEF["stackptr"])
    assert (parser.config.kind, parser.config.word_size) == ("stackptr", 8)
    with pytest.raises(ValueError, match="unknown kind of parser 'biaf'; choose one of deepbiaf, stackptr, s2s"):
        bcrlib.train("biaf", gold("deepbiaf", 5))
    assert SMALL.keys() == KINDS.keys()


def test_two_files_of_predictions_are_compared():
    folder = Path(__file__).resolve().parents[1] / "data/correctness/demo/dependency/predictions/deepbiaf-to-stackptr"
    files = (folder / f"{name}.conllu" for name in ("old", "old", "new"))
    verdict = bcrlib.compare(*files)
    assert verdict.levels["UAS"].flips.acc_old == 1
    assert str(verdict) == to_text(verdict)
