"""The deep biaffine network, piece by piece against plain twins, and as a probability model."""

from itertools import product

import numpy as np
import pytest
import torch
from random_trees import random_treebank
from tiny_parsers import noise_of, strewn, tiny_parser, whole_batch

from bcrlib.parsers.configuration import NetworkConfig
from bcrlib.parsers.deepbiaf import score_trees
from bcrlib.parsers.encoder import ArcBiaffine, LabelBiaffine

PRESETS = pytest.mark.parametrize("preset", ["clean", "official"])


@pytest.fixture
def treebank():
    return random_treebank(12, np.random.default_rng(0))


@pytest.fixture
def parser(treebank):
    return tiny_parser(treebank)


def test_defaults_are_the_papers_sizes():
    assert NetworkConfig() == NetworkConfig(
        kind="deepbiaf", word_size=100, char_size=100, upos_size=100, hidden_size=512, num_layers=3, arc_size=512,
        label_size=128, vectors="none", decoder_input_size=256, decoder_size=512, beam_width=10, preset="clean",
    )  # fmt: skip


def test_arc_biaffine_is_the_formula():
    biaffine = strewn(ArcBiaffine(4))
    dep, head = torch.randn(2, 3, 5, 4, generator=torch.Generator().manual_seed(1))
    scores = biaffine(dep, head)
    for b, d, h in product(range(3), range(5), range(5)):
        expected = dep[b, d] @ biaffine.bilinear @ head[b, h] + biaffine.head @ head[b, h]
        torch.testing.assert_close(scores[b, d, h], expected)


def test_label_biaffine_of_given_and_of_all_arcs_is_the_formula():
    biaffine = strewn(LabelBiaffine(4, 3))
    dep, head = torch.randn(2, 2, 5, 4, generator=torch.Generator().manual_seed(1))
    of_all = biaffine.of_all_arcs(dep, head)
    assert of_all.shape == (2, 5, 3, 5)
    for b, d, h in product(range(2), range(5), range(5)):
        (of_arc,) = biaffine.of_arcs(dep[b, d][None], head[b, h][None])
        torch.testing.assert_close(of_arc, of_all[b, d, :, h], atol=1e-5, rtol=1e-5)
        for label in range(3):
            bilinear = dep[b, d] @ biaffine.bilinear[label] @ head[b, h]
            linear = biaffine.dep.weight[label] @ dep[b, d] + biaffine.head.weight[label] @ head[b, h]
            expected = bilinear + linear + biaffine.dep.bias[label]
            torch.testing.assert_close(of_arc[label], expected, atol=1e-5, rtol=1e-5)


@PRESETS
def test_tables_are_log_probabilities(treebank, preset):
    parser = tiny_parser(treebank, preset=preset)
    batch = whole_batch(parser, treebank)
    with torch.no_grad():
        tables = parser.tables(batch)
    num_relations = len(parser.vocabulary.relations)
    longest = batch.packing.max_length
    assert tables.arcs.shape == (12, longest, longest)
    assert tables.labels.shape == (12, longest, num_relations, longest)
    for b, length in enumerate(batch.packing.lengths):
        torch.testing.assert_close(tables.arcs[b, :length].exp().sum(dim=1), torch.ones(length))
        assert (tables.arcs[b, :, length:] == -torch.inf).all()
        assert tables.arcs[b, :length, :length].isfinite().all(), "no head of the sentence is impossible"
        labels = tables.labels[b, :length, :, :length]
        torch.testing.assert_close(labels.exp().sum(dim=1), torch.ones(length, length))
    assert tables.arcs[0].exp().amax(dim=1).mean() > 2 / longest, "flat scores would test nothing"


def gold_log_probs(parser, batch, noise=None) -> torch.Tensor:
    """[sentence]: log p of the gold trees, read from the tables."""
    words = (batch.packing.step > 0).nonzero().squeeze(1)
    tables = parser.tables(batch, noise)
    return score_trees(tables, batch, words, batch.heads[words][None], batch.relations[words][None])[0]


@PRESETS
@pytest.mark.parametrize("p", [None, 0.33])
def test_loss_is_minus_the_log_probability_of_the_gold_trees(treebank, preset, p):
    parser = tiny_parser(treebank, preset=preset)
    batch = whole_batch(parser, treebank)
    noise = p and noise_of(batch, p)
    with torch.no_grad():
        log_probs = gold_log_probs(parser, batch, noise)
        assert parser.network.loss(batch, noise).item() == pytest.approx(-log_probs.sum().item(), rel=1e-5)
        assert p is None or not torch.allclose(log_probs, gold_log_probs(parser, batch), rtol=0.01)


def test_projections_of_a_sentence_share_their_masks(treebank, parser):
    batch = whole_batch(parser, treebank)
    with torch.no_grad():
        arc_dep, arc_head, label_dep, label_head = parser.network.encode(batch, noise_of(batch, 0.4))
    for dep, head in ((arc_dep, arc_head), (label_dep, label_head)):
        assert torch.equal(dep == 0, head == 0), "both sides of an arc"
        for b in range(batch.packing.num_sentences):
            zero = dep[batch.packing.sentence == b] == 0
            assert torch.equal(zero, zero[:1].expand_as(zero)), "all words of a sentence"
        assert len((dep[:12] == 0).unique(dim=0)) > 6, "but not all sentences"


def test_the_roots_own_head_and_relation_do_not_count(treebank, parser):
    batch = whole_batch(parser, treebank)
    with torch.no_grad():
        loss = parser.network.loss(batch, None)
        batch.heads[batch.packing.step == 0] = 1
        assert torch.equal(parser.network.loss(batch, None), loss)
