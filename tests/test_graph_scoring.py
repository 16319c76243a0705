"""Ensembles, and scores of pools that another parser proposed."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from random_trees import random_treebank
from test_graph_parser import best_labels
from tiny_parsers import assert_same_trees, tiny_parser, whole_batch

from bcrlib.data.treebank import Treebank
from bcrlib.data.vectors import TextVectors
from bcrlib.parsers.batches import Runtime
from bcrlib.parsers.deepbiaf import DeepBiafParser
from bcrlib.parsers.encoding import build_vocabulary
from bcrlib.parsers.parser import ensemble
from bcrlib.samplers.brute_force import all_scored_trees
from bcrlib.samplers.strategies import DropoutP, KBest, OneBest

STRATEGIES = pytest.mark.parametrize(
    "strategy", [OneBest(), KBest(4), KBest(4, labelled=True), DropoutP(0.2, 4)], ids=str
)


@pytest.fixture
def treebank() -> Treebank:
    """Sentences of up to four words, few enough trees to look at all."""
    return random_treebank(15, np.random.default_rng(3), longest=4)


@pytest.fixture
def long_treebank() -> Treebank:
    return random_treebank(20, np.random.default_rng(4), longest=12)


@pytest.fixture
def long_parser(long_treebank) -> DeepBiafParser:
    return tiny_parser(long_treebank)


@pytest.fixture
def members(long_treebank) -> list[DeepBiafParser]:
    return [tiny_parser(long_treebank, seed) for seed in range(3)]


def test_ensemble_scores_by_the_mean_of_log_probabilities(long_treebank, members):
    together = ensemble(members)
    pool = members[0].candidates(long_treebank, KBest(3))
    expected = np.mean([member.log_probs(long_treebank, pool) for member in members], axis=0)
    np.testing.assert_allclose(together.log_probs(long_treebank, pool), expected, atol=1e-4)


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


@STRATEGIES
def test_ensemble_of_one_is_its_member(long_treebank, members, strategy):
    alone = ensemble(members[:1])
    pool = members[0].candidates(long_treebank, strategy)
    assert_same_trees(alone.candidates(long_treebank, strategy), pool)
    np.testing.assert_array_equal(alone.log_probs(long_treebank, pool), members[0].log_probs(long_treebank, pool))


def test_ensemble_refuses_members_with_other_vocabularies(long_treebank, members):
    other = tiny_parser(random_treebank(20, np.random.default_rng(9)))
    with pytest.raises(ValueError, match="share one vocabulary"):
        ensemble([*members, other])


def test_ensemble_refuses_members_with_other_vectors(members):
    members[1].vectors = TextVectors("others", np.zeros((1, 2), np.float32), {}, False)
    with pytest.raises(ValueError, match="word vectors"):
        ensemble(members)


def test_a_pool_of_other_sentences_is_refused(long_treebank, long_parser):
    pool = long_parser.candidates(long_treebank, OneBest())
    with pytest.raises(ValueError, match="other sentences"):
        long_parser.log_probs(long_treebank.select(np.arange(3)), pool)


def test_no_sentence_is_refused(long_treebank, long_parser):
    with pytest.raises(ValueError, match="no sentence"):
        long_parser.candidates(long_treebank.select(np.arange(0)), OneBest())


def test_a_relation_that_the_parser_lacks_is_impossible(long_treebank, long_parser):
    pool = long_parser.candidates(long_treebank, KBest(2))
    names = list(pool.relation_names)
    unknown = names.index(pool.relation_strings(1)[0])
    names[unknown] = "neverseen"
    log_probs = long_parser.log_probs(long_treebank, replace(pool, relation_names=tuple(names)))
    hit = np.logical_or.reduceat(pool.relations == unknown, pool.offsets[:-1], axis=1)
    assert hit.any() and not hit.all()
    assert (log_probs[hit] == -np.inf).all()
    np.testing.assert_allclose(log_probs[~hit], pool.log_probs[~hit], atol=1e-4)


def test_a_pool_of_a_parser_with_other_alphabets(long_treebank, long_parser):
    """Relations are told by name, not by number; words and tags by each parser's own alphabet."""
    own = build_vocabulary(long_treebank)
    other = tiny_parser(replace(own, relations=own.relations[::-1], upos=own.upos[1:], words=own.words[:1]), seed=8)
    pool = other.candidates(long_treebank, KBest(3))
    number_of = [own.relations.index(name) for name in pool.relation_names]
    assert number_of == [4, 3, 2, 1, 0]
    translated = replace(
        pool, relations=np.array(number_of, dtype=np.int16)[pool.relations], relation_names=own.relations
    )
    ours = long_parser.log_probs(long_treebank, pool)
    np.testing.assert_array_equal(ours, long_parser.log_probs(long_treebank, translated))
    assert (ours[0] <= long_parser.candidates(long_treebank, OneBest()).log_probs[0] + 1e-4).all()
    assert np.abs(ours - pool.log_probs).max() > 1


def test_scores_of_a_pool_do_not_depend_on_the_batch(long_treebank, long_parser):
    pool = long_parser.candidates(long_treebank, KBest(4))
    whole = long_parser.log_probs(long_treebank, pool)
    for runtime in (Runtime(max_tokens=1), Runtime(batch_size=7)):
        long_parser.runtime = runtime
        np.testing.assert_allclose(long_parser.log_probs(long_treebank, pool), whole, atol=1e-4)


@pytest.fixture
def all_warnings():
    """PyTorch warns again although it has warned before."""
    before = torch.is_warn_always_enabled()
    torch.set_warn_always(True)
    yield
    torch.set_warn_always(before)


def test_a_pool_that_cannot_be_written_is_scored(long_treebank, long_parser, all_warnings):
    """Arrays read from a file or a memory map are read-only; scoring them is no reason for a warning."""
    pool = long_parser.candidates(long_treebank, OneBest())
    for array in (pool.heads, pool.relations, pool.log_probs):
        array.setflags(write=False)
    np.testing.assert_allclose(long_parser.log_probs(long_treebank, pool), pool.log_probs, atol=1e-4)
