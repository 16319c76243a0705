"""log p of given trees: against the plain network, and of trees of every origin."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
import torch
from plain_stackptr import PlainStackPtr, inside_out
from random_trees import random_treebank
from tiny_parsers import tiny_parser, tiny_pointer_parser, whole_batch

from bcrlib.data.candidates import TreePool
from bcrlib.data.treebank import Treebank
from bcrlib.parsers.batches import Runtime
from bcrlib.parsers.stackptr import Reader, StackPtrParser
from bcrlib.samplers.brute_force import all_trees
from bcrlib.samplers.rules import start
from bcrlib.samplers.strategies import Beam, KBest, Nucleus, OneBest, TopK

PRESETS = pytest.mark.parametrize("preset", ["clean", "official"])


@pytest.fixture
def treebank() -> Treebank:
    """Of mixed lengths; more sentences than a batch of the authors has."""
    return random_treebank(40, np.random.default_rng(4), longest=9)


@pytest.fixture
def parser(treebank) -> StackPtrParser:
    return tiny_pointer_parser(treebank)


def gold_pool(treebank: Treebank) -> TreePool:
    """The treebank's own trees as candidates."""
    names = tuple(dict.fromkeys(treebank.relations))
    relations = np.array([[names.index(name) for name in treebank.relations]], dtype=np.int16)
    log_probs = np.zeros((1, treebank.num_sentences), dtype=np.float32)
    return TreePool(treebank.heads[None].astype(np.int16), relations, names, log_probs, treebank.offsets)


def one_sentence(parser, trees) -> TreePool:
    """A pool of one sentence with these (heads, relations)."""
    heads, relations = (np.array(column, dtype=np.int16) for column in zip(*trees))
    log_probs = np.zeros((len(trees), 1), dtype=np.float32)
    return TreePool(heads, relations, parser.vocabulary.relations, log_probs, np.array([0, heads.shape[1]]))


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
    pool = gold_pool(treebank)
    log_probs = parser.log_probs(treebank, pool)
    parser.runtime = Runtime(max_tokens=1)
    assert np.array_equal(parser.log_probs(treebank, pool), log_probs)


def test_clean_scores_do_not_depend_on_neighbours(treebank, parser):
    pool = parser.candidates(treebank, Beam(4, 4))
    log_probs = parser.log_probs(treebank, pool)
    for runtime in (Runtime(max_tokens=1), Runtime(max_tokens=100), Runtime(batch_size=7)):
        parser.runtime = runtime
        np.testing.assert_allclose(parser.log_probs(treebank, pool), log_probs, atol=1e-4)
    order = np.random.default_rng(0).permutation(40)[:7]
    some = treebank.select(order)
    np.testing.assert_allclose(
        parser.log_probs(some, gold_pool(some)), parser.log_probs(treebank, gold_pool(treebank))[:, order], atol=1e-4
    )


@pytest.mark.parametrize("strategy", [OneBest(), Beam(5, 5), TopK(3, 5), Nucleus(0.9, 5)], ids=str)
def test_candidates_carry_their_log_probs(treebank, parser, strategy):
    """What the decoder adds up step by step is what teacher forcing finds."""
    pool = parser.candidates(treebank, strategy)
    np.testing.assert_allclose(pool.log_probs, parser.log_probs(treebank, pool), atol=2e-4)


@PRESETS
def test_training_loss_is_minus_the_log_probs_of_gold(treebank, preset):
    """All in one batch, so that the authors' padding is the same."""
    treebank = treebank.select(np.arange(32))
    parser = tiny_pointer_parser(treebank, preset=preset)
    with torch.no_grad():
        loss = parser.network.loss(whole_batch(parser, treebank), None).item()
    log_probs = parser.log_probs(treebank, gold_pool(treebank))
    assert loss == pytest.approx(-log_probs.sum(dtype=np.float64), rel=1e-5)


def test_all_trees_together_have_at_most_probability_one(treebank, parser):
    """Less than one: pointing to what is not a tree has a probability too."""
    two_words = treebank.select(np.flatnonzero(treebank.lengths == 2)[:1])
    labelings = list(product(range(len(parser.vocabulary.relations)), repeat=2))
    trees = list(product(all_trees(2, single_root=False), labelings))
    assert len(trees) == 3 * 25
    total = np.exp(parser.log_probs(two_words, one_sentence(parser, trees)).astype(np.float64)).sum()
    assert 0 < total <= 1 + 1e-6
    plain = PlainStackPtr(parser, two_words)
    steps = {heads: plain.steps(inside_out(heads)) for heads in all_trees(2, single_root=False)}
    of_heads = [sum(step.pointers[step.word].item() for step in told) for told in steps.values()]
    assert total == pytest.approx(np.exp(of_heads).sum(), abs=1e-5), "labels share out what their heads have"


@PRESETS
def test_each_step_is_a_distribution(treebank, preset):
    """Over the positions of the sentence, none behind its end, and over labels."""
    parser = tiny_pointer_parser(treebank, preset=preset)
    batch = whole_batch(parser, treebank)
    with torch.no_grad():
        memory = parser.network.memory(batch, None, parser.runtime)
        reader = Reader(parser.network, memory, parser.runtime)
        hyps = start(batch.packing.lengths)
        pointers = reader.advance(hyps, torch.zeros_like(hyps.top))
        word = torch.ones(40, 1, dtype=torch.int64)
        labels = reader.label_log_probs(torch.zeros_like(word), word, torch.ones(40, 1, dtype=torch.bool))
    behind = torch.arange(10) >= batch.packing.lengths[:, None]
    assert (pointers[:, 0][behind] == -torch.inf).all() and pointers[:, 0][~behind].isfinite().all()
    torch.testing.assert_close(pointers.exp().sum(dim=2), torch.ones(40, 1))
    assert labels.shape == (40, 5 + (preset == "official"))
    torch.testing.assert_close(labels.exp().sum(dim=1), torch.ones(40))


def test_a_relation_that_the_parser_lacks_is_impossible(treebank, parser):
    pool = parser.candidates(treebank, Beam(3, 3))
    names = list(pool.relation_names)
    unknown = names.index(pool.relation_strings(1)[0])
    names[unknown] = "neverseen"
    log_probs = parser.log_probs(treebank, replace(pool, relation_names=tuple(names)))
    hit = np.logical_or.reduceat(pool.relations == unknown, pool.offsets[:-1], axis=1)
    assert hit.any() and not hit.all()
    assert (log_probs[hit] == -np.inf).all()
    np.testing.assert_allclose(log_probs[~hit], parser.log_probs(treebank, pool)[~hit], atol=1e-5)


def test_relations_are_told_by_name(treebank, parser):
    pool = parser.candidates(treebank, Beam(3, 3))
    turned = replace(pool, relations=4 - pool.relations, relation_names=pool.relation_names[::-1])
    np.testing.assert_array_equal(parser.log_probs(treebank, turned), parser.log_probs(treebank, pool))


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


def test_candidates_of_other_sentences_are_refused(treebank, parser):
    with pytest.raises(ValueError, match="other sentences"):
        parser.log_probs(treebank.select(np.arange(3)), gold_pool(treebank))


def test_duplicates_have_the_score_of_their_twin(treebank, parser):
    """Each once, in any order, and three times over."""
    pool = parser.candidates(treebank, Beam(4, 3))
    single = parser.log_probs(treebank, pool)
    order = np.array([1, 0, 1, 2, 2, 1, 0])
    repeated = replace(pool, heads=pool.heads[order], relations=pool.relations[order], log_probs=pool.log_probs[order])
    ours = parser.log_probs(treebank, repeated)
    for twins in ([0, 2, 5], [1, 6], [3, 4]):
        assert (ours[twins] == ours[twins[:1]]).all()
    np.testing.assert_allclose(ours, single[order], atol=1e-4)


def test_the_same_heads_under_other_relations_differ(treebank, parser):
    """Prefixes are shared by heads alone; labels are each tree's own."""
    gold = gold_pool(treebank)
    other = (gold.relations + 1) % 5
    both = replace(gold, heads=gold.heads.repeat(2, 0), relations=np.concatenate([gold.relations, other]),
                   log_probs=gold.log_probs.repeat(2, 0))  # fmt: skip
    log_probs = parser.log_probs(treebank, both)
    for s, candidate in product([0, 7, 20], range(2)):
        expected = plain_log_prob(parser, treebank, both, s, candidate)
        assert log_probs[candidate, s] == pytest.approx(expected, abs=2e-4)
    assert (np.abs(log_probs[0] - log_probs[1]) > 1e-3).all()


def test_bfloat16_scores_are_close(treebank, parser):
    pool = parser.candidates(treebank, Beam(4, 4))
    exact = parser.log_probs(treebank, pool)
    parser.runtime = Runtime(precision="bfloat16")
    rough = parser.log_probs(treebank, pool)
    per_step = np.abs(rough - exact) / (2 * treebank.lengths + 1)
    assert 0 < per_step.max() < 0.2 and rough.dtype == np.float32
