"""Encoders of the library under our dropouts: they compute what the library's do, and every mask reaches its place."""

import json
import re
import shutil
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path

import huggingface_hub.constants
import pytest
import torch
from tiny_encoders import SIZES, bpe_folder, library_encoder, random_batch, sizes_like
from torch import Tensor, nn
from transformers import AutoModel
from transformers.utils import logging

from bcrlib.data.download import DataError
from bcrlib.data.randomness import key
from bcrlib.parsers import pretrained as pretrained_encoder
from bcrlib.parsers.configuration import Seq2SeqConfig
from bcrlib.parsers.pieces import cut_into_pieces
from bcrlib.parsers.pretrained import (
    ATTENTION,
    PretrainedEncoder,
    empty_encoder,
    new_encoder,
    sizes_from,
    sizes_of,
    tiny_tokenizer,
)
from bcrlib.parsers.s2s import thinned
from bcrlib.samplers.dropout_p import Rates, SiteDropout, Switch, Thinning, set_rates

ARCHITECTURES = pytest.mark.parametrize("name", SIZES)
UNUSED = {"encoder.albert_layer_groups.0.albert_layers.0.dropout"}
"""A dropout that the library makes and never asks."""
UTTERANCES = [("what", "is", "on", "tonight"), ("is", "on", "zoo"), ("ab",)]


def encoder_of(name: str) -> PretrainedEncoder:
    """The library's encoder of this name, taken over."""
    network = empty_encoder(sizes_like(name))
    network.load_state_dict(library_encoder(name).state_dict())
    return PretrainedEncoder(network, Switch()).eval()


def sites(encoder: PretrainedEncoder, attention: bool) -> dict[str, SiteDropout]:
    found = [module for module in encoder.modules() if isinstance(module, SiteDropout)]
    return {site.site: site for site in found if site.attention == attention}


def thinning_of(count: int, p: float, attention_p: float, per_step: bool = False) -> Thinning:
    return Thinning(torch.tensor([key("row", i) for i in range(count)]), p, attention_p, per_step)


@contextmanager
def watched(encoder: PretrainedEncoder, attention: bool):
    """What goes into and comes out of the dropouts of one sort: (site, input, output) of each call."""
    calls: list[tuple[str, Tensor, Tensor]] = []
    hooks = [
        site.register_forward_hook(lambda site, inputs, output: calls.append((site.site, inputs[0], output)))
        for site in sites(encoder, attention).values()
    ]
    yield calls
    for hook in hooks:
        hook.remove()


def assert_close_inside(found: Tensor, expected: Tensor, mask: Tensor) -> None:
    assert expected[mask].std() > 0.1, "weights that make a difference"
    torch.testing.assert_close(found[mask], expected[mask], atol=2e-5, rtol=1e-5)


@pytest.mark.parametrize("grad", [True, False], ids=["step by step", "fused"])
@pytest.mark.parametrize(
    "name, attention", [*((name, "eager") for name in SIZES), ("bert", "sdpa"), ("roberta", "sdpa")]
)
def test_encodings_are_the_librarys(name, attention, grad):
    ids, mask = random_batch()
    expected = library_encoder(name, attention)(input_ids=ids, attention_mask=mask.long()).last_hidden_state
    with torch.set_grad_enabled(grad):
        assert_close_inside(encoder_of(name)(ids, mask), expected, mask)


def test_an_architecture_with_an_attention_of_its_own_keeps_it():
    attentions = {name: encoder_of(name).network.config._attn_implementation for name in SIZES}
    assert attentions.pop("mpnet") == "eager"
    assert set(attentions.values()) == {ATTENTION}


@ARCHITECTURES
def test_every_dropout_is_replaced_and_each_has_a_name(name):
    encoder = encoder_of(name)
    assert not any(isinstance(module, nn.Dropout) for module in encoder.modules())
    found = [module for module in encoder.modules() if isinstance(module, SiteDropout)]
    assert len({site.site for site in found}) == len(found)
    assert len(sites(encoder, attention=True)) == (1 if name == "albert" else 3), "one a layer, which albert shares"
    assert len({id(site.switch) for site in found}) == 1


@ARCHITECTURES
@pytest.mark.parametrize("rates", [(0.5, 0.0), (0.0, 0.5)], ids=["features", "attention"])
def test_rates_of_training_reach_their_own_sites_alone(name, rates):
    encoder, (ids, mask) = encoder_of(name).train(), random_batch()
    set_rates(encoder, Rates(*rates))
    torch.manual_seed(0)
    for attention, rate in zip((False, True), rates):
        with watched(encoder, attention) as calls:
            encoder(ids, mask)
        assert {site for site, _, _ in calls} == set(sites(encoder, attention)) - UNUSED
        for site, before, after in calls:
            dropped = (after == 0) & (before != 0)
            assert dropped.any() if rate else torch.equal(after, before), site
            torch.testing.assert_close(after[~dropped], before[~dropped] / (1 - rate))


@ARCHITECTURES
@pytest.mark.parametrize("per_step", [False, True], ids=["fixed", "per step"])
def test_a_thinning_reaches_every_site(name, per_step):
    """Attention weights too, of an architecture with an attention of its own as well."""
    encoder, (ids, mask) = encoder_of(name), random_batch()
    thinning = thinning_of(3, 0.3, 0.5, per_step)
    for attention, masks in ((False, thinning.features), (True, thinning.attention)):
        with watched(encoder, attention) as calls, torch.no_grad(), thinned(encoder_switch(encoder), thinning):
            encoder(ids, mask)
        assert {site for site, _, _ in calls} == set(sites(encoder, attention)) - UNUSED
        for site, before, after in calls:
            assert before.dim() == (4 if attention else 3)
            torch.testing.assert_close(after, before * masks(site, before, 0))
            if attention:  # weights they are: of what is there, and of no padding
                assert (before[0].sum(dim=-1) - 1).abs().max() < 1e-5 and before[1, :, :, 4:].abs().max() < 1e-6


def encoder_switch(encoder: PretrainedEncoder) -> Switch:
    return next(iter(sites(encoder, attention=False).values())).switch


@ARCHITECTURES
@pytest.mark.parametrize("thinning", [None, False, True], ids=["whole", "fixed", "per step"])
def test_a_row_is_the_same_alone_and_in_a_batch(name, thinning):
    """Whatever padding there is, of the whole network and of thinned ones."""
    encoder, (ids, mask) = encoder_of(name), random_batch()
    whole, thinning = encoder(ids, mask), thinning_of(3, 0.3, 0.3, thinning) if thinning is not None else None
    with torch.no_grad(), thinned(encoder_switch(encoder), thinning):
        together = encoder(ids, mask)
    assert torch.allclose(together[mask], whole[mask], atol=0.01) == (thinning is None)
    for row, length in enumerate(mask.sum(dim=1).tolist()):
        of_row = thinning and thinning.rows(torch.tensor([row]))
        with torch.no_grad(), thinned(encoder_switch(encoder), of_row):
            alone = encoder(ids[row : row + 1, :length], mask[row : row + 1, :length])
        torch.testing.assert_close(together[row, :length], alone[0], atol=2e-5, rtol=1e-5)


def pretrained(source: str, folder: Path, monkeypatch) -> str:
    """A whole checkpoint of three layers in `folder`, and what names it in a configuration."""
    if source == "folder":
        return str(bpe_folder(folder))
    sizes = sizes_like("bert" if source == "minilm" else "mpnet")
    tokenizer = tiny_tokenizer(UTTERANCES)
    tokenizer.enable_truncation(3)
    tokenizer.enable_padding(length=5)
    library_encoder("bert" if source == "minilm" else "mpnet").save_pretrained(folder)
    tokenizer.save(str(folder / "tokenizer.json"))
    monkeypatch.setattr(pretrained_encoder, f"{source}_folder", lambda: folder)
    monkeypatch.setattr(pretrained_encoder, "MINILM", sizes)
    return source


SOURCES = pytest.mark.parametrize("source", ["minilm", "mpnet", "folder"])


@SOURCES
@pytest.mark.parametrize("num_layers", [0, 1, 2, 3])
def test_the_first_layers_give_the_hidden_states_of_the_whole_checkpoint(tmp_path, monkeypatch, source, num_layers):
    config = Seq2SeqConfig(encoder=pretrained(source, tmp_path, monkeypatch), encoder_layers=num_layers)
    network, _ = new_encoder(config, [])
    ids, mask = random_batch()
    whole = AutoModel.from_pretrained(tmp_path, attn_implementation="eager").eval()
    states = whole(input_ids=ids, attention_mask=mask.long(), output_hidden_states=True).hidden_states
    found = PretrainedEncoder(network, Switch()).eval()(ids, mask)
    assert_close_inside(found, states[num_layers or 3], mask)
    assert network.config.num_hidden_layers == (num_layers or 3)


@SOURCES
def test_more_layers_than_there_are_is_an_error(tmp_path, monkeypatch, source):
    config = Seq2SeqConfig(encoder=pretrained(source, tmp_path, monkeypatch), encoder_layers=4)
    with pytest.raises(ValueError, match="the encoder has 3 layers, not 4"):
        new_encoder(config, [])


@SOURCES
def test_the_tokenizer_neither_cuts_nor_fills_up(tmp_path, monkeypatch, source):
    _, tokenizer = new_encoder(Seq2SeqConfig(encoder=pretrained(source, tmp_path, monkeypatch)), [])
    pieces = cut_into_pieces([("tonight",), ("a",)], tokenizer, 128)
    assert pieces.num_pieces[0] > 3 and pieces.num_pieces[1] < 5


def test_loading_says_nothing_and_leaves_the_librarys_voice_as_it_was(tmp_path, monkeypatch, capfd):
    before = logging.get_verbosity(), logging.is_progress_bar_enabled()
    encoder = pretrained("minilm", tmp_path, monkeypatch)
    capfd.readouterr()
    new_encoder(Seq2SeqConfig(encoder=encoder, encoder_layers=1), [])
    assert "".join(capfd.readouterr()) == ""
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(OSError, match=r"model\.safetensors"):
        new_encoder(Seq2SeqConfig(encoder=encoder), [])
    assert (logging.get_verbosity(), logging.is_progress_bar_enabled()) == before


def test_tiny_takes_frequent_words_whole_and_others_by_letters():
    tokenizer = tiny_tokenizer(UTTERANCES)
    pieces = cut_into_pieces([("is", "on", "zoo", "ab", "a", "ü")], tokenizer, 128)
    assert pieces.num_pieces.tolist() == [1, 1, 3, 2, 1, 1]
    assert pieces.ids[-1] == tokenizer.token_to_id("[UNK]")
    assert pieces.ids[3] == pieces.ids[4] and len(set(pieces.ids.tolist())) == 7
    assert tiny_tokenizer(reversed(UTTERANCES)).to_str() == tokenizer.to_str()
    assert tiny_tokenizer(UTTERANCES, min_count=1).to_str() != tokenizer.to_str()


def test_tiny_has_its_sizes_from_the_configuration():
    for layers, expected in ((0, 2), (5, 5)):
        config = Seq2SeqConfig(encoder="tiny", encoder_layers=layers, tiny_size=8, max_pieces=300)
        network, tokenizer = new_encoder(config, UTTERANCES)
        assert network.config.num_hidden_layers == expected and network.config.hidden_size == 8
        assert network.get_input_embeddings().num_embeddings == tokenizer.get_vocab_size()
        ids = torch.zeros(1, 302, dtype=torch.int64)
        assert PretrainedEncoder(network, Switch())(ids, ids == 0).shape == (1, 302, 8)


@ARCHITECTURES
def test_sizes_are_the_same_again_behind_json(name):
    network = empty_encoder(sizes_like(name))
    again = sizes_from(json.loads(json.dumps(sizes_of(network))))
    assert type(again) is type(network.config) and again.to_dict() == network.config.to_dict()


def test_sizes_tell_nothing_of_where_the_encoder_came_from(tmp_path):
    network, _ = new_encoder(Seq2SeqConfig(encoder=str(bpe_folder(tmp_path / "somewhere"))), [])
    assert "somewhere" not in json.dumps(sizes_of(network))


def without(*files: str) -> Callable[[Path], None]:
    return lambda folder: [(folder / file).unlink() for file in files]


SPOILT: dict[str, Callable[[Path], object]] = {
    "nothing": shutil.rmtree,
    "no tokenizer": without("vocab.json", "merges.txt"),
    "no weights": without("model.safetensors"),
    "no sizes": without("config.json"),
    "no architecture": lambda folder: (folder / "config.json").write_text('{"num_hidden_layers": 3}'),
    "unknown architecture": lambda folder: (folder / "config.json").write_text(
        '{"model_type": "no-such", "num_hidden_layers": 3}'
    ),
}


def assert_names_the_ways_out(config: Seq2SeqConfig) -> None:
    with pytest.raises(DataError, match=re.escape(repr(config.encoder)) + r" cannot be had.*minilm, mpnet, or tiny\.$"):
        new_encoder(config, [])


@pytest.mark.parametrize("spoil", SPOILT.values(), ids=SPOILT)
def test_a_folder_that_is_no_encoder_names_the_ways_out(tmp_path, monkeypatch, spoil):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    folder = bpe_folder(tmp_path / "encoder")
    new_encoder(Seq2SeqConfig(encoder=str(folder)), [])
    spoil(folder)
    assert_names_the_ways_out(Seq2SeqConfig(encoder=str(folder)))


def test_a_name_on_the_hub_without_a_network_names_the_ways_out(monkeypatch):
    """As with HF_HUB_OFFLINE=1, which the library reads when it is imported."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    assert_names_the_ways_out(Seq2SeqConfig(encoder="bcrlib-has/no-such-encoder"))
