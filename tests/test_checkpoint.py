"""A saved parser is the same parser again."""

import json

import numpy as np
import pytest
import torch
from random_trees import random_treebank
from tiny_parsers import tiny_parser, tiny_pointer_parser

from bcrlib.data.treebank import Treebank
from bcrlib.parsers.batches import Runtime
from bcrlib.parsers.checkpoint import load_parser, load_parsers, save_parser
from bcrlib.parsers.deepbiaf import DeepBiafParser, GraphEnsemble
from bcrlib.parsers.stackptr import PointerEnsemble, StackPtrParser
from bcrlib.samplers.rules import Rules
from bcrlib.samplers.strategies import DropoutP, OneBest


@pytest.fixture
def treebank() -> Treebank:
    return random_treebank(20, np.random.default_rng(0), longest=9)


MAKERS = pytest.mark.parametrize("make", [tiny_parser, tiny_pointer_parser], ids=["deepbiaf", "stackptr"])


@MAKERS
@pytest.mark.parametrize("strategy", [OneBest(), DropoutP(0.2, 3)], ids=str)
def test_a_saved_parser_predicts_the_same(treebank, tmp_path, make, strategy):
    parser = make(treebank)
    save_parser(parser, tmp_path / "model")
    torch.manual_seed(77)
    loaded = load_parser(tmp_path / "model", Runtime())
    assert type(loaded) is type(parser)
    for name, tensor in parser.network.state_dict().items():
        assert torch.equal(loaded.network.state_dict()[name], tensor), name
    assert loaded.vocabulary == parser.vocabulary and loaded.network.config == parser.network.config
    ours, theirs = (p.candidates(treebank, strategy) for p in (parser, loaded))
    assert np.array_equal(ours.heads, theirs.heads) and np.array_equal(ours.relations, theirs.relations)
    assert np.array_equal(ours.log_probs, theirs.log_probs)


def test_a_saved_parser_is_what_the_listing_says(treebank, tmp_path):
    save_parser(tiny_parser(treebank), tmp_path)
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["config.json", "model.safetensors", "vocabulary.json"]


def test_a_saved_parser_keeps_its_preset(treebank, tmp_path):
    save_parser(tiny_parser(treebank, preset="official"), tmp_path)
    loaded = load_parser(tmp_path, Runtime())
    assert loaded.network.encoder.embedding.unk_policy == "always" and not loaded.single_root
    save_parser(tiny_pointer_parser(treebank, preset="official"), tmp_path)
    assert load_parser(tmp_path, Runtime()).rules == Rules(any_order=True, single_root=False)


@pytest.mark.parametrize(
    ("make", "single", "several"),
    [(tiny_parser, DeepBiafParser, GraphEnsemble), (tiny_pointer_parser, StackPtrParser, PointerEnsemble)],
)
def test_one_folder_is_a_parser_and_several_are_an_ensemble(treebank, tmp_path, make, single, several):
    folders = [tmp_path / str(seed) for seed in range(2)]
    for seed, folder in enumerate(folders):
        save_parser(make(treebank, seed), folder)
    assert isinstance(load_parsers(folders[:1], Runtime()), single)
    ensemble = load_parsers(folders, Runtime())
    assert isinstance(ensemble, several) and len(ensemble.members) == 2


def test_an_ensemble_of_different_kinds_is_refused(treebank, tmp_path):
    save_parser(tiny_parser(treebank), tmp_path / "graph")
    save_parser(tiny_pointer_parser(treebank), tmp_path / "pointer")
    with pytest.raises(ValueError, match="of one kind"):
        load_parsers([tmp_path / "graph", tmp_path / "pointer"], Runtime())


def test_another_kind_of_model_is_refused(treebank, tmp_path):
    save_parser(tiny_parser(treebank), tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"kind": "treecrf"}))
    with pytest.raises(ValueError, match=r"kind 'treecrf', expected one of deepbiaf, stackptr"):
        load_parser(tmp_path, Runtime())
