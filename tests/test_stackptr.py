"""The stack-pointer network: its training loss against the plain twin, its masks, its gradients, its sizes."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from plain_stackptr import PlainStackPtr
from random_trees import random_treebank
from tiny_parsers import TINY, noise_of, tiny_parser, tiny_pointer_parser, whole_batch

from bcrlib.parsers.batches import Runtime
from bcrlib.parsers.configuration import NetworkConfig
from bcrlib.parsers.encoding import build_vocabulary, encode, make_batch
from bcrlib.parsers.stackptr_network import StackPtr
from bcrlib.parsers.training import new_parser
from bcrlib.samplers.dropout_p import Noise

PRESETS = pytest.mark.parametrize("preset", ["clean", "official"])


@pytest.fixture
def treebank():
    return random_treebank(12, np.random.default_rng(0), longest=8)


@pytest.fixture
def parser(treebank):
    return tiny_pointer_parser(treebank)


def test_sizes_are_the_papers(treebank):
    """Of the decoder; a label of its own for pops in the authors' definitions only."""
    vocabulary = build_vocabulary(treebank)
    for preset, num_labels in (("clean", 5), ("official", 6)):
        with torch.device("meta"):
            network = StackPtr(NetworkConfig(kind="stackptr", preset=preset), vocabulary, None)
        shapes = {name: tuple(parameter.shape) for name, parameter in network.named_parameters()}
        assert shapes["source.weight"] == (256, 1024) and shapes["initial.weight"] == (512, 1024)
        assert shapes["decoder.weight_input"] == (2048, 256) and shapes["decoder.weight_hidden"] == (2048, 512)
        assert shapes["query.weight"] == (512 + 128, 512) and shapes["key.weight"] == (512 + 128, 1024)
        assert shapes["arc.bilinear"] == (512, 512) and shapes["label.bilinear"] == (num_labels, 128, 128)


def test_the_encoder_is_that_of_deepbiaf(treebank):
    networks = [
        new_parser(replace(TINY, kind=kind), treebank, 3, Runtime()).network for kind in ("deepbiaf", "stackptr")
    ]
    first, second = (network.encoder.state_dict() for network in networks)
    assert first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


@PRESETS
@pytest.mark.parametrize("p", [None, 0.33])
def test_loss_is_that_of_the_plain_network(treebank, preset, p):
    """Under dropout too: every mask is one a sentence, for all its steps, and in training none is left out."""
    parser = tiny_pointer_parser(treebank, preset=preset)
    encoded = encode(treebank, parser.vocabulary, None)
    batch = make_batch(encoded, np.arange(12))
    keys = torch.arange(12) * 7919
    with torch.no_grad():
        loss = parser.network.loss(batch, p and Noise(keys, batch.packing, p)).item()
        without = parser.network.loss(batch, None).item()
    expected = 0.0
    for b, s in enumerate(batch.sentences):
        one = treebank.select(np.array([s]))
        plain = PlainStackPtr(parser, one, p and int(keys[b]), p or 0.0)
        padding = int(encoded.lengths.max() - encoded.lengths[s]) if preset == "official" else 0
        relations = [parser.vocabulary.relation_ids[name] for name in one.relations]
        expected -= plain.log_prob((tuple(one.heads.tolist()), relations), padding)
    assert loss == pytest.approx(expected, rel=1e-5)
    assert p is None or abs(loss - without) > 1


@PRESETS
@pytest.mark.parametrize("p", [None, 0.33])
@pytest.mark.parametrize("make", [tiny_parser, tiny_pointer_parser], ids=["deepbiaf", "stackptr"])
def test_the_loss_reaches_every_parameter(treebank, make, preset, p):
    parser = make(treebank, preset=preset)
    batch = whole_batch(parser, treebank)
    parser.network.train()
    parser.network.loss(batch, p and noise_of(batch, p)).backward()
    for name, parameter in parser.network.named_parameters():
        assert parameter.grad.isfinite().all() and parameter.grad.any(), name


def test_gradients_are_the_slopes_of_the_loss(treebank, parser):
    """Along random directions, by central differences; float32 leaves about three digits."""
    batch = whole_batch(parser, treebank)
    parser.network.loss(batch, None).backward()
    generator = torch.Generator().manual_seed(0)
    names = ["source.weight", "initial.weight", "decoder.weight_hidden", "query.weight", "key.weight", "arc.bilinear"]
    for name in [*names, "label.bilinear", "encoder.lstm.layers.1.weight_hidden"]:
        parameter = parser.network.get_parameter(name)
        direction = torch.randn(parameter.shape, generator=generator)
        direction /= direction.norm()
        losses = []
        with torch.no_grad():
            for step in (0.02, -0.04):
                parameter += step * direction
                losses.append(parser.network.loss(batch, None).item())
            parameter += 0.02 * direction
        slope = (parameter.grad * direction).sum().item()
        assert (losses[0] - losses[1]) / 0.04 == pytest.approx(slope, rel=0.03, abs=0.05), name


def test_a_gold_cycle_is_refused(treebank, parser):
    batch = whole_batch(parser, treebank)
    batch.heads[batch.packing.step == 1] = 1
    with pytest.raises(ValueError, match="not a tree"):
        parser.network.loss(batch, None)
