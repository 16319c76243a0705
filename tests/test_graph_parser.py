"""The graph-based parser against brute force: one tree and several, dropout-p, ensembles, pools of other parsers."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from random_trees import random_treebank
from tiny_parsers import may_have, tiny_parser, whole_batch

from bcrlib.data.candidates import TreePool
from bcrlib.data.randomness import key
from bcrlib.data.treebank import Treebank
from bcrlib.parsers.deepbiaf import DeepBiafParser
from bcrlib.parsers.encoding import build_vocabulary
from bcrlib.parsers.parser import ensemble
from bcrlib.samplers.brute_force import all_scored_labelled_trees, all_scored_trees
from bcrlib.samplers.dropout_p import Noise
from bcrlib.samplers.strategies import DropoutP, KBest, OneBest

PRESETS = pytest.mark.parametrize("preset", ["clean", "official"])


@pytest.fixture
def treebank() -> Treebank:
    """Sentences of up to four words, few enough trees to look at all."""
    return random_treebank(15, np.random.default_rng(3), longest=4)


@pytest.fixture
def parser(treebank) -> DeepBiafParser:
    return tiny_parser(treebank)


def arc_tables(parser, treebank: Treebank) -> list[np.ndarray]:
    """[sentence][dep, head]: log p(head) + log p(best relation that decoding knows), a batch of each sentence alone."""
    tables = []
    for s in range(treebank.num_sentences):
        with torch.no_grad():
            table = parser.tables(whole_batch(parser, treebank.select(np.array([s]))), None)
        tables.append((table.arcs[0] + best_labels(parser, table.labels[0])).numpy())
    return tables


def best_labels(parser, labels: torch.Tensor) -> torch.Tensor:
    """[..., dep, head]: log p of the best relation of an arc, of [..., dep, label, head]."""
    able = [[may_have(parser, [h], [label]) for h in range(labels.shape[-1])] for label in range(labels.shape[-2])]
    return labels.masked_fill(~torch.tensor(able), -torch.inf).amax(dim=-2)


def sentence(pool: TreePool, s: int, candidate: int = 0) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Heads and relations of one candidate of a sentence."""
    span = slice(pool.offsets[s], pool.offsets[s + 1])
    return tuple(pool.heads[candidate, span].tolist()), tuple(pool.relations[candidate, span].tolist())


@PRESETS
def test_one_best_and_k_best_are_the_best_of_all_trees_in_order(treebank, preset):
    parser = tiny_parser(treebank, preset=preset)
    pool = parser.candidates(treebank, KBest(6))
    best = parser.candidates(treebank, OneBest())
    assert best.num_candidates == 1
    for s, table in enumerate(arc_tables(parser, treebank)):
        expected = all_scored_trees(table, single_root=preset == "clean")
        scores = [score for score, _ in expected[:6]] + [expected[0][0]] * max(0, 6 - len(expected))
        np.testing.assert_allclose(pool.log_probs[:, s], scores, atol=1e-4)
        found = [sentence(pool, s, candidate)[0] for candidate in range(6)]
        score_of = {heads: score for score, heads in expected}
        np.testing.assert_allclose([score_of[heads] for heads in found], scores, atol=1e-4)
        assert len(set(found)) == min(6, len(expected)), "distinct as long as there are trees, then the best again"
        assert sentence(pool, s, 0) == sentence(best, s)
        assert best.log_probs[0, s] == pytest.approx(scores[0], abs=1e-4)
    several_roots = any(sentence(best, s)[0].count(0) > 1 for s in range(best.num_items))
    assert several_roots == (preset == "official"), "the constraint matters to some sentence"


@PRESETS
def test_labelled_k_best_are_the_best_of_all_labelled_trees(treebank, preset):
    parser = tiny_parser(treebank, preset=preset)
    short = treebank.select(np.flatnonzero(treebank.lengths <= 3))
    pool, plain = parser.candidates(short, KBest(20, labelled=True)), parser.candidates(short, KBest(20))
    best = parser.candidates(short, OneBest())
    assert plain.num_distinct().tolist() != pool.num_distinct().tolist(), "relations would not matter"
    for s in range(short.num_sentences):
        with torch.no_grad():
            tables = parser.tables(whole_batch(parser, short.select(np.array([s]))), None)
        every = all_scored_labelled_trees(tables.arcs[0].numpy(), tables.labels[0].numpy(), preset == "clean")
        every = [tree for tree in every if may_have(parser, *tree[1:])]
        scores = [score for score, *_ in every[:20]] + [every[0][0]] * max(0, 20 - len(every))
        np.testing.assert_allclose(pool.log_probs[:, s], scores, atol=1e-4)
        found = [sentence(pool, s, candidate) for candidate in range(20)]
        score_of = {(heads, relations): score for score, heads, relations in every}
        np.testing.assert_allclose([score_of[tree] for tree in found], scores, atol=1e-4)
        assert len(set(found)) == min(20, len(every))
        assert found[0] == sentence(plain, s) == sentence(best, s)


def test_samples_are_decoded_by_the_log_probs_of_their_sub_network(treebank, parser):
    pool = parser.decoded(treebank, DropoutP(0.3, 3), seed=5)
    batch = whole_batch(parser, treebank)
    keys = [key(*treebank.select(np.array([s])).forms) for s in batch.sentences]
    words = (batch.packing.step > 0).nonzero().squeeze(1)
    places = batch.packing.sentence[words].numpy(), batch.packing.step[words].numpy()
    columns = pool.offsets[batch.sentences[places[0]]] + places[1] - 1
    for i in range(3):
        noise = Noise(torch.tensor(keys) ^ key(5, "dropout-p", i), batch.packing, 0.3)
        with torch.no_grad():
            tables = parser.tables(batch, noise)
        scores = (tables.arcs + best_labels(parser, tables.labels)).numpy()
        expected = np.bincount(places[0], scores[(*places, pool.heads[i, columns])])
        np.testing.assert_allclose(pool.log_probs[i, batch.sentences], expected, atol=1e-4)


def test_ensemble_finds_the_best_tree_of_the_mean(treebank):
    members = [tiny_parser(treebank, seed) for seed in range(3)]
    pool = ensemble(members).candidates(treebank, OneBest())
    for s in range(treebank.num_sentences):
        batch = whole_batch(members[0], treebank.select(np.array([s])))
        with torch.no_grad():
            tables = [member.tables(batch) for member in members]
        arcs = sum(table.arcs[0] for table in tables) / 3
        labels = sum(table.labels[0] for table in tables) / 3
        score, heads = all_scored_trees((arcs + best_labels(members[0], labels)).numpy())[0]
        assert tuple(pool.heads[0, pool.offsets[s] : pool.offsets[s + 1]].tolist()) == heads
        assert pool.log_probs[0, s] == pytest.approx(score, abs=1e-4)


def test_a_pool_of_a_parser_with_other_alphabets():
    """Relations are told by name, not by number; words and tags by each parser's own alphabet."""
    treebank = random_treebank(20, np.random.default_rng(4), longest=12)
    parser = tiny_parser(treebank)
    own = build_vocabulary(treebank)
    other = tiny_parser(replace(own, relations=own.relations[::-1], upos=own.upos[1:], words=own.words[:1]), seed=8)
    pool = other.candidates(treebank, KBest(3))
    number_of = [own.relations.index(name) for name in pool.relation_names]
    assert number_of == [4, 3, 2, 1, 0]
    translated = replace(
        pool, relations=np.array(number_of, dtype=np.int16)[pool.relations], relation_names=own.relations
    )
    ours = parser.log_probs(treebank, pool)
    np.testing.assert_array_equal(ours, parser.log_probs(treebank, translated))
    assert (ours[0] <= parser.candidates(treebank, OneBest()).log_probs[0] + 1e-4).all()
    assert np.abs(ours - pool.log_probs).max() > 1
