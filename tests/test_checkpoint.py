"""A saved parser is the same parser again, whatever its kind, and needs nothing but its folder."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tiny_encoders import bpe_folder, library_encoder
from tiny_frames import TINY_SEQ2SEQ, frame_bank, scattered, tiny_seq2seq
from tiny_kinds import BANKS, MAKE, TREES
from tiny_parsers import TINY

from bcrlib.data.frames import FrameBank
from bcrlib.data.treebank import Treebank
from bcrlib.parsers import pretrained
from bcrlib.parsers.batches import Runtime
from bcrlib.parsers.configuration import NetworkConfig, Seq2SeqConfig
from bcrlib.parsers.parser import Parser
from bcrlib.parsers.pretrained import tiny_tokenizer
from bcrlib.parsers.training import load_parser, load_parsers, new_parser, save_parser
from bcrlib.samplers.dropout_p import Rates
from bcrlib.samplers.strategies import Beam, DropoutP, KBest, OneBest, TopK

KINDS = pytest.mark.parametrize("kind", MAKE)


def assert_same_parser(loaded: Parser, parser: Parser, strategy=OneBest()) -> None:  # noqa: B008
    weights, bank = parser.network.state_dict(), BANKS[parser.config.kind]
    assert type(loaded) is type(parser) and loaded.network.state_dict().keys() == weights.keys()
    for name, tensor in loaded.network.state_dict().items():
        assert torch.equal(tensor, weights[name]), name
    assert loaded.config == parser.config and loaded.shared() == parser.shared()
    ours, theirs = (p.candidates(bank, strategy, seed=3) for p in (parser, loaded))
    for name in ours.BY_CANDIDATE:
        assert np.array_equal(getattr(ours, name), getattr(theirs, name)), name
    assert np.array_equal(parser.log_probs(bank, ours), loaded.log_probs(bank, ours))


@pytest.mark.parametrize("preset", ["clean", "official"])
@pytest.mark.parametrize(
    ("kind", "strategy"),
    [("deepbiaf", KBest(3)), ("stackptr", Beam(3, 3)), ("s2s", Beam(3, 3)), ("s2s", TopK(5, 3)), ("s2s", OneBest())]
    + [(kind, DropoutP(0.2, 3)) for kind in MAKE],
    ids=str,
)
def test_a_saved_parser_says_the_same(tmp_path, kind, strategy, preset):
    parser = MAKE[kind](preset=preset)
    save_parser(parser, tmp_path / "model")
    torch.manual_seed(77)
    assert_same_parser(load_parser(tmp_path / "model", Runtime()), parser, strategy)


@pytest.mark.parametrize(
    ("kind", "files"),
    [
        ("deepbiaf", ["vocabulary.json"]),
        ("stackptr", ["vocabulary.json"]),
        ("s2s", ["encoder.json", "labels.json", "tokenizer.json"]),
    ],
)
def test_a_saved_parser_is_weights_and_json(tmp_path, kind, files):
    save_parser(MAKE[kind](), tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(["config.json", "model.safetensors", *files])
    assert load_file(tmp_path / "model.safetensors").keys() == MAKE[kind]().network.state_dict().keys()
    assert all(json.loads(path.read_text("utf-8")) for path in tmp_path.glob("*.json"))


@KINDS
def test_one_folder_is_a_parser_and_several_are_an_ensemble(tmp_path, kind):
    folders = [tmp_path / str(seed) for seed in range(2)]
    for seed, folder in enumerate(folders):
        save_parser(MAKE[kind](seed=seed), folder)
    assert_same_parser(load_parsers(folders[:1], Runtime()), MAKE[kind](seed=0))
    together = load_parsers(folders, Runtime())
    assert type(together) is type(MAKE[kind]()) and len(together.networks) == 2
    save_parser(MAKE[kind](preset="official"), folders[1])
    with pytest.raises(ValueError, match="must share"):
        load_parsers(folders, Runtime())


def test_an_ensemble_of_different_kinds_is_refused(tmp_path):
    for kind, make in MAKE.items():
        save_parser(make(), tmp_path / kind)
    for two in (["deepbiaf", "stackptr"], ["s2s", "deepbiaf"]):
        with pytest.raises(ValueError, match="of one kind"):
            load_parsers([tmp_path / kind for kind in two], Runtime())


def test_another_kind_of_model_is_refused(tmp_path):
    for content, fault in {'{"kind": "treecrf"}': "a model of kind 'treecrf', expected one of deepbiaf, stackptr, s2s",
                           "{}": "not a trained parser: KeyError: 'kind'"}.items():  # fmt: skip
        (tmp_path / "config.json").write_text(content)
        with pytest.raises(ValueError, match=f"{tmp_path}: {fault}"):
            load_parser(tmp_path, Runtime())
    with pytest.raises(ValueError, match="unknown kind of parser 'treecrf'; choose one of deepbiaf, stackptr, s2s"):
        new_parser(NetworkConfig(kind="treecrf"), TREES, 0, Runtime())


def pretrained_config(source: str, folder: Path, monkeypatch) -> Seq2SeqConfig:
    """A configuration whose encoder lies in the folder, under the name of `source`."""
    if source == "folder":
        return replace(TINY_SEQ2SEQ, encoder=str(bpe_folder(folder)), max_pieces=32, max_steps=40)
    library_encoder("mpnet").save_pretrained(folder)
    tiny_tokenizer(frame_bank().utterances).save(str(folder / "tokenizer.json"))
    monkeypatch.setattr(pretrained, "mpnet_folder", lambda: folder)
    return replace(TINY_SEQ2SEQ, encoder="mpnet", encoder_layers=2)


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


def weights_after(
    noise: int, config: NetworkConfig | Seq2SeqConfig, seed: int, bank: Treebank | FrameBank
) -> dict[str, torch.Tensor]:
    """The weights of a new parser, other random numbers having been drawn before."""
    torch.manual_seed(noise)
    torch.rand(noise)
    return new_parser(config, bank, seed, Runtime()).network.state_dict()


@pytest.mark.parametrize("source", ["deepbiaf", "stackptr", "tiny", "folder", "mpnet"])
def test_new_weights_depend_on_the_seed_alone(tmp_path, monkeypatch, source):
    """All that are drawn: biases begin at zero, and what is pretrained as it is."""
    bank = TREES if source in MAKE else frame_bank()
    config = replace(TINY, kind=source) if source in MAKE else TINY_SEQ2SEQ
    if source in ("folder", "mpnet"):
        config = pretrained_config(source, tmp_path, monkeypatch)
    first, again, other = (weights_after(noise, config, seed, bank) for noise, seed in ((5, 1), (6, 1), (5, 2)))
    for name, weight in first.items():
        assert torch.equal(again[name], weight), name
        drawn = weight.any() if source in MAKE else weight.dim() > 1
        drawn = drawn and (source not in ("folder", "mpnet") or name.startswith("decoder"))
        assert torch.equal(other[name], weight) != drawn, name


def test_new_weights_on_a_pretrained_encoder_do_not_depend_on_the_utterances(tmp_path, monkeypatch):
    config, bank = pretrained_config("folder", tmp_path, monkeypatch), frame_bank()
    first, other = (weights_after(0, config, 1, part) for part in (bank, bank.select([3, 4, 5])))
    assert bank.labels == bank.select([3, 4, 5]).labels
    assert all(torch.equal(other[name], weight) for name, weight in first.items())
