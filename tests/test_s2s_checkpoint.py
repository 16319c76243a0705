"""A saved seq2seq-pointer parser is the same parser again, and needs nothing but its folder."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from random_trees import random_treebank
from safetensors.torch import load_file
from tiny_encoders import bpe_folder, library_encoder
from tiny_frames import TINY_SEQ2SEQ, frame_bank, scattered, tiny_seq2seq
from tiny_parsers import tiny_parser

from bcrlib.data.frames import FrameBank
from bcrlib.parsers import checkpoint, pretrained
from bcrlib.parsers.batches import Runtime
from bcrlib.parsers.configuration import Seq2SeqConfig
from bcrlib.parsers.pretrained import tiny_tokenizer
from bcrlib.parsers.s2s import Seq2SeqParser
from bcrlib.parsers.s2s_checkpoint import load_parser, load_parsers, new_parser, save_parser
from bcrlib.samplers.dropout_p import Rates
from bcrlib.samplers.strategies import Beam, DropoutP, OneBest, TopK


def pretrained_config(source: str, folder: Path, monkeypatch) -> Seq2SeqConfig:
    """A configuration whose encoder lies in the folder, under the name of `source`."""
    if source == "folder":
        return replace(TINY_SEQ2SEQ, encoder=str(bpe_folder(folder)), max_pieces=32, max_steps=40)
    library_encoder("mpnet").save_pretrained(folder)
    tiny_tokenizer(frame_bank().utterances).save(str(folder / "tokenizer.json"))
    monkeypatch.setattr(pretrained, "mpnet_folder", lambda: folder)
    return replace(TINY_SEQ2SEQ, encoder="mpnet", encoder_layers=2)


def assert_same_parser(loaded: Seq2SeqParser, parser: Seq2SeqParser, strategy=OneBest()) -> None:  # noqa: B008
    weights = parser.network.state_dict()
    assert loaded.network.state_dict().keys() == weights.keys()
    for name, tensor in loaded.network.state_dict().items():
        assert torch.equal(tensor, weights[name]), name
    assert loaded.config == parser.config and loaded.labels == parser.labels
    assert loaded.tokenizer.to_str() == parser.tokenizer.to_str()
    ours, theirs = (p.candidates(frame_bank(), strategy, seed=3) for p in (parser, loaded))
    assert np.array_equal(ours.sequences, theirs.sequences) and np.array_equal(ours.log_probs, theirs.log_probs)
    assert np.array_equal(parser.log_probs(frame_bank(), ours), loaded.log_probs(frame_bank(), ours))


@pytest.mark.parametrize("strategy", [OneBest(), Beam(3, 3), TopK(5, 3), DropoutP(0.2, 3)], ids=str)
def test_a_saved_parser_says_the_same(tmp_path, strategy):
    parser = tiny_seq2seq(constrained=True, preset="official")
    save_parser(parser, tmp_path / "model")
    torch.manual_seed(77)
    assert_same_parser(load_parser(tmp_path / "model", Runtime()), parser, strategy)


@pytest.mark.parametrize("source", ["folder", "mpnet"])
def test_a_saved_parser_needs_no_pretrained_encoder(tmp_path, monkeypatch, source):
    config = pretrained_config(source, tmp_path / "encoder", monkeypatch)
    parser = scattered(new_parser(config, frame_bank(), 0, Runtime()), 0.1)
    save_parser(parser, tmp_path / "model")
    shutil.rmtree(tmp_path / "encoder")
    loaded = load_parser(tmp_path / "model", Runtime())
    assert_same_parser(loaded, parser, DropoutP(0.2, 2))
    attentions = [p.network.encoder.network.config._attn_implementation for p in (loaded, parser)]
    assert attentions[0] == attentions[1]


def test_a_saved_parser_is_weights_and_json(tmp_path):
    save_parser(tiny_seq2seq(), tmp_path)
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["config.json", "encoder.json", "labels.json", "model.safetensors", "tokenizer.json"]
    assert load_file(tmp_path / "model.safetensors").keys() == tiny_seq2seq().network.state_dict().keys()
    for path in tmp_path.glob("*.json"):
        json.loads(path.read_text("utf-8"))


@pytest.mark.parametrize("preset", ["clean", "official"])
def test_dropout_p_of_a_loaded_parser_knows_the_rates_of_its_training(tmp_path, preset):
    parser = tiny_seq2seq(constrained=True, preset=preset)
    parser.network.rates = Rates(0.3, 0.05)
    save_parser(parser, tmp_path)
    loaded = load_parser(tmp_path, Runtime())
    assert loaded.network.rates == Rates(0.3, 0.05)
    assert_same_parser(loaded, parser, DropoutP(0.2, 4))
    of_old = json.loads((tmp_path / "config.json").read_text("utf-8"))
    del of_old["rates"]
    (tmp_path / "config.json").write_text(json.dumps(of_old), "utf-8")
    old = load_parser(tmp_path, Runtime())
    assert old.network.rates is None
    assert_same_parser(old, tiny_seq2seq(constrained=True, preset=preset), DropoutP(0.2, 4))
    found = [one.candidates(frame_bank(), DropoutP(0.2, 4), seed=3).sequences.tolist() for one in (loaded, old)]
    assert found[0] != found[1], "other attention is dropped"


def test_the_two_sorts_of_checkpoints_refuse_each_other(tmp_path):
    save_parser(tiny_seq2seq(), tmp_path / "frames")
    checkpoint.save_parser(tiny_parser(random_treebank(5, np.random.default_rng(0))), tmp_path / "trees")
    with pytest.raises(ValueError, match=r"trees: a model of kind 'deepbiaf', expected s2s"):
        load_parser(tmp_path / "trees", Runtime())
    with pytest.raises(ValueError, match=r"frames: a model of kind 's2s', expected one of deepbiaf, stackptr"):
        checkpoint.load_parser(tmp_path / "frames", Runtime())


@pytest.mark.parametrize("load", [load_parser, checkpoint.load_parser])
def test_a_folder_that_names_no_kind_is_refused(tmp_path, load):
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ValueError, match="a model of kind None"):
        load(tmp_path, Runtime())


def weights_after(noise: int, config: Seq2SeqConfig, seed: int, bank: FrameBank) -> dict[str, torch.Tensor]:
    """The weights of a new parser, other random numbers having been drawn before."""
    torch.manual_seed(noise)
    torch.rand(noise)
    return new_parser(config, bank, seed, Runtime()).network.state_dict()


@pytest.mark.parametrize("source", ["tiny", "folder", "mpnet"])
def test_new_weights_depend_on_the_seed_alone(tmp_path, monkeypatch, source):
    config = TINY_SEQ2SEQ if source == "tiny" else pretrained_config(source, tmp_path, monkeypatch)
    first, again = (weights_after(noise, config, 1, frame_bank()) for noise in (5, 6))
    other = weights_after(5, config, 2, frame_bank())
    for name, weight in first.items():
        assert torch.equal(again[name], weight), name
        is_matrix = weight.dim() > 1
        drawn = is_matrix and (source == "tiny" or name.startswith("decoder"))
        assert torch.equal(other[name], weight) != drawn, name


def test_new_weights_on_a_pretrained_encoder_do_not_depend_on_the_utterances(tmp_path, monkeypatch):
    config, bank = pretrained_config("folder", tmp_path, monkeypatch), frame_bank()
    first, other = (weights_after(0, config, 1, part) for part in (bank, bank.select([3, 4, 5])))
    assert bank.labels == bank.select([3, 4, 5]).labels
    assert all(torch.equal(other[name], weight) for name, weight in first.items())


def test_one_folder_is_a_parser_and_several_are_an_ensemble(tmp_path):
    folders = [tmp_path / str(seed) for seed in range(2)]
    for seed, folder in enumerate(folders):
        save_parser(tiny_seq2seq(seed), folder)
    assert_same_parser(load_parsers(folders[:1], Runtime()), tiny_seq2seq(0))
    together = load_parsers(folders, Runtime())
    assert len(together.networks) == 2 and together.labels == frame_bank().labels
    save_parser(tiny_seq2seq(0, preset="official"), folders[1])
    with pytest.raises(ValueError, match="must share labels, tokenizer and definitions"):
        load_parsers(folders, Runtime())
