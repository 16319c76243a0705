"""log p of given trees: against the plain network, and of trees of every origin."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from plain_stackptr import PlainStackPtr
from pools import pool_of
from random_trees import random_treebank
from tiny_parsers import tiny_parser, tiny_pointer_parser

from bcrlib.data.candidates import together
from bcrlib.data.treebank import Treebank
from bcrlib.parsers.batches import Runtime
from bcrlib.parsers.stackptr import StackPtrParser
from bcrlib.samplers.strategies import Beam, KBest


@pytest.fixture
def treebank() -> Treebank:
    """Of mixed lengths; more sentences than a batch of the authors has."""
    return random_treebank(40, np.random.default_rng(4), longest=9)


@pytest.fixture
def parser(treebank) -> StackPtrParser:
    return tiny_pointer_parser(treebank)


def plain_log_prob(parser, treebank, pool, s: int, candidate: int, num_padding: int = 0) -> float:
    span = slice(pool.offsets[s], pool.offsets[s + 1])
    ids = parser.vocabulary.relation_ids
    relations = [ids[pool.relation_names[i]] for i in pool.relations[candidate, span]]
    plain = PlainStackPtr(parser, treebank.select(np.array([s])))
    return plain.log_prob((tuple(pool.heads[candidate, span].tolist()), relations), num_padding)


def test_scores_are_those_of_the_plain_network(treebank, parser):
    """Trees of a graph-based parser, the authors' with several roots among them."""
    pool = tiny_parser(treebank, preset="official").candidates(treebank, KBest(3))
    log_probs = parser.log_probs(treebank, pool)
    several_roots = 0
    for s, candidate in product(range(12), range(3)):
        expected = plain_log_prob(parser, treebank, pool, s, candidate)
        assert log_probs[candidate, s] == pytest.approx(expected, abs=2e-4)
        several_roots += (pool.heads[candidate, pool.offsets[s] : pool.offsets[s + 1]] == 0).sum() > 1
    assert several_roots > 3 and np.ptp(log_probs) > 5


def num_padding(treebank: Treebank, s: int) -> int:
    """Positions behind the end of a sentence in batches of 32 in the order of the file."""
    batch = treebank.lengths[s // 32 * 32 : s // 32 * 32 + 32]
    return int(batch.max() - treebank.lengths[s])


def test_official_scores_depend_on_the_padding_of_the_file(treebank):
    """The authors' softmax sees the positions behind a sentence's end, so its neighbours matter."""
    parser = tiny_pointer_parser(treebank, preset="official")
    pool = parser.candidates(treebank, Beam(3, 2))
    log_probs = parser.log_probs(treebank, pool)
    for s, candidate in product([0, 1, 2, 30, 31, 32, 33, 39], range(2)):
        padding = num_padding(treebank, s)
        expected = plain_log_prob(parser, treebank, pool, s, candidate, padding)
        assert log_probs[candidate, s] == pytest.approx(expected, abs=2e-4)
    first = replace(pool, **{name: getattr(pool, name)[:, : pool.offsets[1]] for name in ("heads", "relations")},
                    log_probs=pool.log_probs[:, :1], offsets=pool.offsets[:2])  # fmt: skip
    alone = parser.log_probs(treebank.select(np.array([0])), first)
    assert num_padding(treebank, 0) > 0 and (alone[:, 0] > log_probs[:, 0] + 1e-3).all()
    assert alone[0, 0] == pytest.approx(plain_log_prob(parser, treebank, pool, 0, 0), abs=2e-4)


def test_official_scores_do_not_depend_on_the_memory_at_hand(treebank):
    """Their batches are part of the definition, whatever fits."""
    parser = tiny_pointer_parser(treebank, preset="official")
    pool = pool_of(treebank)
    log_probs = parser.log_probs(treebank, pool)
    parser.runtime = Runtime(max_tokens=1)
    assert np.array_equal(parser.log_probs(treebank, pool), log_probs)


def test_what_is_no_tree_is_refused_by_sentence_and_candidate(treebank, parser):
    pool = parser.candidates(treebank, Beam(4, 4))
    s = int(np.flatnonzero(treebank.lengths > 3)[2])
    begin = pool.offsets[s]
    pool.heads[2, begin : begin + 3] = (0, 3, 2)
    with pytest.raises(ValueError, match=rf"sentence {s + 1}, candidate 3: no tree, the heads of word 2 "):
        parser.log_probs(treebank, pool)
    pool.heads[2, begin : begin + 3] = (0, 1, 99)
    with pytest.raises(ValueError, match=rf"sentence {s + 1}, candidate 3: no tree, the heads of word 3 "):
        parser.log_probs(treebank, pool)


def test_the_same_heads_under_other_relations_differ(treebank, parser):
    """Prefixes are shared by heads alone; labels are each tree's own."""
    gold = pool_of(treebank)
    other = replace(gold, relations=(gold.relations + 1) % 5)
    both = together([gold, other])
    log_probs = parser.log_probs(treebank, both)
    for s, candidate in product([0, 7, 20], range(2)):
        expected = plain_log_prob(parser, treebank, both, s, candidate)
        assert log_probs[candidate, s] == pytest.approx(expected, abs=2e-4)
    assert (np.abs(log_probs[0] - log_probs[1]) > 1e-3).all()
