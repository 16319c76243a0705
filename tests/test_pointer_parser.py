"""Candidates of the stack-pointer parser: valid trees, whatever the batch; samples, sub-networks, ensembles."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
import torch
from plain_stackptr import PlainStackPtr, inside_out, plain_beam
from random_trees import random_treebank
from test_beam_search import all_ways, assert_is_beam, candidates_of
from tiny_parsers import assert_same_trees, may_have, tiny_parser, tiny_pointer_parser

from bcrlib.data.generated.trees import generate_treebank
from bcrlib.data.randomness import key
from bcrlib.data.treebank import Treebank
from bcrlib.parsers.batches import Runtime
from bcrlib.parsers.parser import ensemble
from bcrlib.parsers.stackptr import StackPtrParser
from bcrlib.samplers.brute_force import all_trees, is_tree
from bcrlib.samplers.strategies import Beam, DropoutP, Nucleus, OneBest, TopK

ALL = [OneBest(), Beam(4, 4), TopK(3, 4), Nucleus(0.9, 4), Nucleus(0.9, 4, temperature=2.0), DropoutP(0.2, 4)]
STRATEGIES = pytest.mark.parametrize("strategy", ALL, ids=str)
SAMPLING = pytest.mark.parametrize("strategy", ALL[2:], ids=str)
PRESETS = pytest.mark.parametrize("preset", ["clean", "official"])


@pytest.fixture
def treebank() -> Treebank:
    return random_treebank(20, np.random.default_rng(4), longest=12)


@pytest.fixture
def parser(treebank) -> StackPtrParser:
    return tiny_pointer_parser(treebank)


@STRATEGIES
@PRESETS
def test_every_candidate_is_a_tree(strategy, preset):
    treebank = generate_treebank(12, seed=2)
    parser = tiny_pointer_parser(treebank, preset=preset)
    pool = parser.candidates(treebank, strategy)
    assert pool.heads.shape == (strategy.num_candidates, treebank.num_tokens)
    assert np.array_equal(pool.offsets, treebank.offsets) and pool.relation_names == parser.vocabulary.relations
    for s in range(pool.num_items):
        for heads, relations in candidates_of(pool, s):
            assert is_tree(heads, single_root=preset == "clean") and may_have(parser, heads, relations)
            assert all(0 <= relation < len(pool.relation_names) for relation in relations)
    assert np.isfinite(pool.log_probs).all() and (pool.log_probs < 0).all()


def test_official_trees_may_have_several_roots(treebank):
    pool = tiny_pointer_parser(treebank, preset="official").candidates(treebank, Nucleus(1.0, 10))
    assert max(heads.count(0) for s in range(20) for heads, _ in candidates_of(pool, s)) > 1


@STRATEGIES
def test_candidates_do_not_depend_on_the_batch(treebank, parser, strategy):
    pool = parser.candidates(treebank, strategy, seed=1)
    for runtime in (Runtime(max_tokens=1), Runtime(max_tokens=150), Runtime(batch_size=7)):
        parser.runtime = runtime
        assert_same_trees(parser.candidates(treebank, strategy, seed=1), pool)


@PRESETS
@STRATEGIES
def test_candidates_do_not_depend_on_other_sentences(treebank, preset, strategy):
    """Alone, beside a longer one, in another order, twice: decoding has no padding in either preset.

    Scoring has, by the authors' definitions: so the log-probabilities that trees were decoded by are compared.
    """
    parser = tiny_pointer_parser(treebank, preset=preset)
    pool = parser.decoded(treebank, strategy, seed=1)
    longest, other = int(treebank.lengths.argmax()), int(np.flatnonzero(treebank.lengths == 4)[0])
    for chosen in ([other], [other, longest], [longest, 3, other, 0, other]):
        part = parser.decoded(treebank.select(np.array(chosen)), strategy, seed=1)
        for place, s in enumerate(chosen):
            assert candidates_of(part, place) == candidates_of(pool, s)
        np.testing.assert_allclose(part.log_probs, pool.log_probs[:, chosen], atol=1e-4)


@SAMPLING
def test_a_sample_depends_on_its_seed_and_number_only(treebank, parser, strategy):
    pool = parser.candidates(treebank, strategy, seed=7)
    torch.manual_seed(99)
    parser.candidates(treebank, strategy, seed=8)
    assert_same_trees(parser.candidates(treebank, strategy, seed=7), pool)
    more = type(strategy)(**{**vars(strategy), "num_candidates": 9})
    many = parser.candidates(treebank, more, seed=7)
    assert np.array_equal(many.heads[:4], pool.heads) and np.array_equal(many.relations[:4], pool.relations)
    np.testing.assert_allclose(many.log_probs[:4], pool.log_probs, atol=1e-4)


@pytest.mark.parametrize("strategy", [TopK(5, 4), Nucleus(1.0, 4), DropoutP(0.3, 4)], ids=str)
def test_samples_and_seeds_differ(treebank, parser, strategy):
    drawn = np.concatenate([parser.candidates(treebank, strategy, seed).heads for seed in (0, 1)])
    for i, first in enumerate(drawn):
        for second in drawn[:i]:
            assert (first != second).mean() > 0.03
    best = parser.candidates(treebank, OneBest()).heads[0]
    assert all((sample != best).mean() > 0.03 for sample in drawn)


def test_one_action_left_is_greedy_decoding(treebank, parser):
    greedy = parser.candidates(treebank, Beam(1, 1))
    for strategy in (TopK(1, 3), Nucleus(1e-6, 3), TopK(5, 3, temperature=1e-3)):
        samples = parser.candidates(treebank, strategy)
        assert (samples.heads == greedy.heads).all() and (samples.relations == greedy.relations).all(), strategy


def test_gold_columns_are_not_looked_at(treebank, parser):
    blind = treebank.with_trees(np.zeros(treebank.num_tokens), ["?"] * treebank.num_tokens)
    for strategy in (OneBest(), TopK(3, 3), DropoutP(0.2, 3)):
        assert_same_trees(parser.candidates(blind, strategy), parser.candidates(treebank, strategy))


@PRESETS
def test_without_dropout_a_sub_network_is_the_parser(treebank, preset):
    parser = tiny_pointer_parser(treebank, preset=preset)
    best, samples = parser.candidates(treebank, OneBest()), parser.candidates(treebank, DropoutP(0.0, 3))
    assert (samples.heads == best.heads).all() and (samples.relations == best.relations).all()
    decoded = parser.decoded(treebank, DropoutP(0.0, 3))
    np.testing.assert_allclose(decoded.log_probs, best.log_probs.repeat(3, 0), atol=1e-4)


def test_a_list_of_what_ends_first_is_refused(treebank, parser):
    with pytest.raises(ValueError, match=r"beam\(b=3,ended\) is of an s2s"):
        parser.candidates(treebank, Beam(3, 3, ended=True))


@PRESETS
def test_what_sub_networks_found_is_scored_by_the_whole_one(treebank, preset):
    parser, strategy = tiny_pointer_parser(treebank, preset=preset), DropoutP(0.3, 4)
    pool, decoded = (find(treebank, strategy, seed=5) for find in (parser.candidates, parser.decoded))
    assert_same_trees(pool, replace(decoded, log_probs=pool.log_probs))
    np.testing.assert_array_equal(pool.log_probs, parser.log_probs(treebank, decoded))
    assert np.abs(pool.log_probs - decoded.log_probs).max() > 0.1


@PRESETS
def test_a_sub_network_keeps_its_masks_and_is_searched_to_the_end(preset):
    """The best of all derivations under one set of masks; the authors leave out those behind the recurrence."""
    short = random_treebank(6, np.random.default_rng(3), longest=3)
    parser = tiny_pointer_parser(short, preset=preset)
    parser.beam_width = 40  # more than there are derivations: the beam is brute force
    pool = parser.decoded(short, DropoutP(0.3, 3), seed=5)
    wrong_masks = 0
    for s, sample in product(range(6), range(3)):
        one, ways = short.select(np.array([s])), all_ways(int(short.lengths[s]), parser)
        noise = key(*one.forms) ^ key(5, "dropout-p", sample)
        found, scores = [candidates_of(pool, s)[sample]], pool.log_probs[sample : sample + 1, s]
        masks = {left_out: PlainStackPtr(parser, one, noise, 0.3, not left_out) for left_out in (True, False)}
        assert_is_beam(found, scores, plain_beam([masks[preset == "official"]], ways, 40)[:1])
        wrong_masks += abs(plain_beam([masks[preset == "clean"]], ways, 40)[0][0] - scores[0]) > 1e-2
    assert wrong_masks > 9, "the masks of queries change nothing"


def test_an_ensemble_of_one_model_twice_is_that_model(treebank, parser):
    twice = ensemble([parser, parser])
    for strategy in ALL:
        pool = parser.candidates(treebank, strategy, seed=2)
        assert_same_trees(twice.candidates(treebank, strategy, seed=2), pool)
        np.testing.assert_allclose(twice.log_probs(treebank, pool), parser.log_probs(treebank, pool), atol=1e-5)


@PRESETS
@pytest.mark.parametrize("width", [1, 40])
def test_an_ensemble_searches_by_the_mean_of_log_probabilities(preset, width):
    """Greedily, and through all derivations; positions and labels each by their mean."""
    short = random_treebank(6, np.random.default_rng(3), longest=3)
    members = [tiny_pointer_parser(short, seed, preset) for seed in range(2)]
    pool = ensemble(members).candidates(short, Beam(width, 1))
    single = members[0].candidates(short, Beam(width, 1))
    for s in range(6):
        plain = [PlainStackPtr(member, short.select(np.array([s]))) for member in members]
        expected = plain_beam(plain, all_ways(int(short.lengths[s]), members[0]), width)
        assert_is_beam(candidates_of(pool, s), pool.log_probs[:, s], expected[:1])
    assert (pool.heads != single.heads).any() or (pool.relations != single.relations).any()


def test_an_ensemble_finds_the_best_tree_of_the_mean_of_log_probs():
    """Of all labelled trees of up to three words, scored by each member."""
    short = random_treebank(6, np.random.default_rng(3), longest=3)
    members = [tiny_pointer_parser(short, seed) for seed in range(2)]
    together = ensemble(members)
    pool = together.candidates(short, OneBest())
    np.testing.assert_allclose(together.log_probs(short, pool), pool.log_probs, atol=2e-4)
    for s, length in enumerate(short.lengths):
        plain = [PlainStackPtr(member, short.select(np.array([s]))) for member in members]
        scores = {}
        for heads in all_trees(int(length)):
            told = [member.steps(inside_out(heads)) for member in plain]
            for relations in product(range(len(pool.relation_names)), repeat=int(length)):
                if may_have(members[0], heads, relations):
                    scores[heads, relations] = np.mean([_sum_of_steps(steps, relations) for steps in told])
        best = max(scores, key=scores.get)
        assert candidates_of(pool, s) == [best]
        assert pool.log_probs[0, s] == pytest.approx(scores[best], abs=2e-4)


def _sum_of_steps(steps, relations) -> float:
    pointers = sum(step.pointers[step.word].item() for step in steps)
    return pointers + sum(step.labels[relations[step.word - 1]].item() for step in steps if not step.is_pop)


def test_ensembles_of_unlike_members_are_refused(treebank, parser):
    other_words = tiny_pointer_parser(random_treebank(20, np.random.default_rng(9)))
    other_rules = tiny_pointer_parser(treebank, preset="official")
    other_width = tiny_pointer_parser(treebank)
    other_width.beam_width = 3
    for other in (other_words, other_rules, other_width):
        with pytest.raises(ValueError, match="must share one vocabulary"):
            ensemble([parser, other])


def test_strategies_of_the_other_kind_are_refused(treebank):
    for strategy in (Beam(3), TopK(3), Nucleus(0.9)):
        with pytest.raises(ValueError, match="sequential parsers"):
            tiny_parser(treebank).candidates(treebank, strategy)


def test_no_sentence_is_refused(treebank, parser):
    with pytest.raises(ValueError, match="no sentence"):
        parser.candidates(treebank.select(np.arange(0)), OneBest())


@STRATEGIES
def test_single_words(strategy):
    single = random_treebank(3, np.random.default_rng(0), longest=1)
    pool = tiny_pointer_parser(single).candidates(single, strategy)
    assert not pool.heads.any() and (pool.log_probs < 0).all()


def test_bfloat16_trees_are_trees(treebank, parser):
    parser.runtime = Runtime(precision="bfloat16")
    for strategy in (Beam(4, 4), DropoutP(0.2, 2)):
        pool = parser.candidates(treebank, strategy)
        assert all(is_tree(heads) for s in range(20) for heads, _ in candidates_of(pool, s))
        assert np.isfinite(pool.log_probs).all()
