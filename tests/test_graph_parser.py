"""Decoding and scoring of whole treebanks: brute force, dropout-p, ensembles, pools of other parsers."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
import torch
from random_trees import random_treebank
from tiny_parsers import assert_same_trees, may_have, tiny_parser, whole_batch

from bcrlib.data.candidates import TreePool
from bcrlib.data.randomness import key
from bcrlib.data.treebank import Treebank
from bcrlib.parsers.batches import Runtime
from bcrlib.parsers.deepbiaf import DeepBiafParser
from bcrlib.samplers.brute_force import all_scored_labelled_trees, all_scored_trees, all_trees, is_tree
from bcrlib.samplers.dropout_p import Noise
from bcrlib.samplers.strategies import DropoutP, KBest, OneBest

PRESETS = pytest.mark.parametrize("preset", ["clean", "official"])
STRATEGIES = pytest.mark.parametrize(
    "strategy", [OneBest(), KBest(4), KBest(4, labelled=True), DropoutP(0.2, 4)], ids=str
)


@pytest.fixture
def treebank() -> Treebank:
    """Sentences of up to four words, few enough trees to look at all."""
    return random_treebank(15, np.random.default_rng(3), longest=4)


@pytest.fixture
def parser(treebank) -> DeepBiafParser:
    return tiny_parser(treebank)


@pytest.fixture
def long_treebank() -> Treebank:
    return random_treebank(20, np.random.default_rng(4), longest=12)


@pytest.fixture
def long_parser(long_treebank) -> DeepBiafParser:
    return tiny_parser(long_treebank)


def sentence_pool(trees: list[tuple[tuple[int, ...], tuple[int, ...]]], relation_names) -> TreePool:
    """A pool of one sentence with these (heads, relations)."""
    heads, relations = (np.array(column, dtype=np.int16) for column in zip(*trees))
    log_probs = np.zeros((len(trees), 1), dtype=np.float32)
    return TreePool(heads, relations, tuple(relation_names), log_probs, np.array([0, heads.shape[1]]))


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
def test_one_best_is_the_best_of_all_trees(treebank, preset):
    parser = tiny_parser(treebank, preset=preset)
    single_root = preset == "clean"
    pool = parser.candidates(treebank, OneBest())
    assert pool.num_candidates == 1 and pool.relation_names == parser.vocabulary.relations
    num_several_roots = 0
    for s, table in enumerate(arc_tables(parser, treebank)):
        (best, second), heads = (all_scored_trees(table, single_root) * 2)[:2], sentence(pool, s)[0]
        assert len(heads) == 1 or best[0] - second[0] > 1e-3, "a tie would test nothing"
        assert heads == best[1]
        assert pool.log_probs[0, s] == pytest.approx(best[0], abs=1e-4)
        num_several_roots += heads.count(0) > 1
    assert single_root or num_several_roots > 0, "no sentence for which the constraint would matter"


@pytest.mark.parametrize("single_root", [True, False])
def test_one_best_is_the_best_of_all_labelled_trees(treebank, parser, single_root):
    parser.single_root = single_root
    three_words = treebank.select(np.flatnonzero(treebank.lengths == 3)[:2])
    chosen = parser.candidates(three_words, OneBest())
    labelings = list(product(range(len(parser.vocabulary.relations)), repeat=3))
    trees = [(heads, relations) for heads in all_trees(3, single_root) for relations in labelings]
    trees = [tree for tree in trees if may_have(parser, *tree)]
    for s in range(2):
        one = three_words.select(np.array([s]))
        log_probs = parser.log_probs(one, sentence_pool(trees, parser.vocabulary.relations))[:, 0]
        assert sentence(chosen, s) == trees[log_probs.argmax()]


def test_probabilities_of_all_labelled_head_choices_sum_to_one(treebank, parser):
    two_words = treebank.select(np.flatnonzero(treebank.lengths == 2)[:1])
    relations = range(len(parser.vocabulary.relations))
    everything = list(product(product(range(3), repeat=2), product(relations, repeat=2)))
    log_probs = parser.log_probs(two_words, sentence_pool(everything, parser.vocabulary.relations))
    assert np.exp(log_probs.astype(np.float64)).sum() == pytest.approx(1, abs=1e-5)


@PRESETS
def test_k_best_are_the_best_of_all_trees_in_order(treebank, preset):
    parser = tiny_parser(treebank, preset=preset)
    pool = parser.candidates(treebank, KBest(6))
    best = parser.candidates(treebank, OneBest())
    for s, table in enumerate(arc_tables(parser, treebank)):
        expected = all_scored_trees(table, single_root=preset == "clean")
        scores = [score for score, _ in expected[:6]] + [expected[0][0]] * max(0, 6 - len(expected))
        np.testing.assert_allclose(pool.log_probs[:, s], scores, atol=1e-4)
        found = [sentence(pool, s, candidate)[0] for candidate in range(6)]
        score_of = {heads: score for score, heads in expected}
        np.testing.assert_allclose([score_of[heads] for heads in found], scores, atol=1e-4)
        assert len(set(found)) == min(6, len(expected)), "distinct as long as there are trees, then the best again"
        assert sentence(pool, s, 0) == sentence(best, s)


@PRESETS
def test_labelled_k_best_are_the_best_of_all_labelled_trees(treebank, preset):
    parser = tiny_parser(treebank, preset=preset)
    short = treebank.select(np.flatnonzero(treebank.lengths <= 3))
    pool, plain = parser.candidates(short, KBest(20, labelled=True)), parser.candidates(short, KBest(20))
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
        assert found[0] == sentence(plain, s)


@STRATEGIES
def test_every_candidate_is_a_tree(long_treebank, long_parser, strategy):
    pool = long_parser.candidates(long_treebank, strategy)
    assert pool.heads.shape == (strategy.num_candidates, long_treebank.num_tokens)
    assert np.array_equal(pool.offsets, long_treebank.offsets)
    for s, candidate in product(range(pool.num_items), range(pool.num_candidates)):
        heads, relations = sentence(pool, s, candidate)
        assert is_tree(heads, single_root=True) and may_have(long_parser, heads, relations)
        assert all(0 <= relation < len(pool.relation_names) for relation in relations)


@PRESETS
@pytest.mark.parametrize("strategy", [OneBest(), KBest(5), KBest(5, labelled=True)], ids=str)
def test_candidates_carry_their_log_probs(long_treebank, preset, strategy):
    parser = tiny_parser(long_treebank, preset=preset)
    pool = parser.candidates(long_treebank, strategy)
    np.testing.assert_allclose(pool.log_probs, parser.log_probs(long_treebank, pool), atol=1e-4)
    assert (np.diff(pool.log_probs, axis=0) <= 1e-4).all() or (pool.num_distinct() < 5).any()


def test_samples_are_decoded_by_the_log_probs_of_their_sub_network(treebank, parser):
    strategy = DropoutP(0.3, 3)
    pool = parser.decoded(treebank, strategy, seed=5)
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
    scored = parser.candidates(treebank, strategy, seed=5)
    assert_same_trees(scored, replace(pool, log_probs=scored.log_probs))
    np.testing.assert_array_equal(scored.log_probs, parser.log_probs(treebank, pool))
    assert np.abs(pool.log_probs - scored.log_probs).max() > 0.1, "not those of the whole network"


@STRATEGIES
def test_candidates_do_not_depend_on_the_batch(long_treebank, long_parser, strategy):
    pool = long_parser.candidates(long_treebank, strategy)
    for runtime in (Runtime(max_tokens=1), Runtime(max_tokens=60), Runtime(max_tokens=200), Runtime(batch_size=7)):
        long_parser.runtime = runtime
        assert_same_trees(long_parser.candidates(long_treebank, strategy), pool)


@STRATEGIES
def test_candidates_do_not_depend_on_the_order_of_sentences(long_treebank, long_parser, strategy):
    pool = long_parser.candidates(long_treebank, strategy, seed=1)
    order = np.random.default_rng(0).permutation(long_treebank.num_sentences)[:13]
    shuffled = long_parser.candidates(long_treebank.select(order), strategy, seed=1)
    for s, candidate in product(range(13), range(pool.num_candidates)):
        assert sentence(shuffled, s, candidate) == sentence(pool, order[s], candidate)
    np.testing.assert_allclose(shuffled.log_probs, pool.log_probs[:, order], atol=1e-4)


def test_a_sentence_that_comes_twice_has_the_same_samples(long_treebank, long_parser):
    twice = long_treebank.select(np.array([3, 0, 3]))
    pool = long_parser.candidates(twice, DropoutP(0.3, 6))
    for candidate in range(6):
        assert sentence(pool, 0, candidate) == sentence(pool, 2, candidate)


def test_a_sample_does_not_depend_on_how_many_are_drawn(long_treebank, long_parser):
    few, many = (long_parser.candidates(long_treebank, DropoutP(0.2, n), seed=7) for n in (3, 10))
    assert np.array_equal(few.heads, many.heads[:3])
    assert np.array_equal(few.relations, many.relations[:3])
    np.testing.assert_allclose(few.log_probs, many.log_probs[:3], atol=1e-4)


def test_a_sample_does_not_depend_on_what_ran_before(long_treebank, long_parser):
    pool = long_parser.candidates(long_treebank, DropoutP(0.2, 3), seed=7)
    torch.manual_seed(99)
    long_parser.candidates(long_treebank, DropoutP(0.5, 2), seed=8)
    assert_same_trees(long_parser.candidates(long_treebank, DropoutP(0.2, 3), seed=7), pool)


def test_samples_and_seeds_differ(long_treebank, long_parser):
    drawn = np.concatenate([long_parser.candidates(long_treebank, DropoutP(0.3, 4), seed).heads for seed in (0, 1)])
    for i, first in enumerate(drawn):
        for second in drawn[:i]:
            assert (first != second).mean() > 0.05
    best = long_parser.candidates(long_treebank, OneBest()).heads
    assert all((sample != best[0]).mean() > 0.05 for sample in drawn)


def test_without_dropout_a_sample_is_the_best_tree(long_treebank, long_parser):
    best = long_parser.candidates(long_treebank, OneBest())
    samples = long_parser.candidates(long_treebank, DropoutP(0.0, 3))
    for i in range(3):
        assert np.array_equal(samples.heads[i], best.heads[0])
        assert np.array_equal(samples.relations[i], best.relations[0])


def test_gold_columns_are_not_looked_at(long_treebank, long_parser):
    blind = long_treebank.with_trees(np.zeros(long_treebank.num_tokens), ["?"] * long_treebank.num_tokens)
    for strategy in (OneBest(), DropoutP(0.2, 3)):
        assert_same_trees(long_parser.candidates(blind, strategy), long_parser.candidates(long_treebank, strategy))


def test_dropout_p_of_a_single_word():
    single = random_treebank(3, np.random.default_rng(0), longest=1)
    pool = tiny_parser(single).candidates(single, DropoutP(0.2, 5))
    assert not pool.heads.any() and (pool.log_probs < 0).all()
