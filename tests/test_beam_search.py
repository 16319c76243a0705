"""Search of the stack-pointer parser against the enumeration of all derivations: beams, sub-networks, ensembles."""

from itertools import pairwise, product

import numpy as np
import pytest
from plain_stackptr import PlainStackPtr, Tree, any_order, inside_out, plain_beam
from pools import assert_same
from random_trees import random_treebank
from tiny_parsers import tiny_pointer_parser

from bcrlib.data.candidates import TreePool
from bcrlib.data.randomness import key
from bcrlib.data.treebank import Treebank
from bcrlib.parsers.parser import ensemble
from bcrlib.parsers.stackptr import StackPtrParser
from bcrlib.samplers.brute_force import all_trees
from bcrlib.samplers.strategies import Beam, DropoutP, Nucleus, OneBest

PRESETS = pytest.mark.parametrize("preset", ["clean", "official"])
FULL = 400
"""More than the 64 derivations from the inside out of four words, or the 336 in any order."""


@pytest.fixture
def treebank() -> Treebank:
    """Sentences of one to four words."""
    return random_treebank(9, np.random.default_rng(3), longest=4)


@pytest.fixture
def long_treebank() -> Treebank:
    return random_treebank(12, np.random.default_rng(4), longest=12)


def candidates_of(pool: TreePool, s: int) -> list[Tree]:
    """Heads and relations of all candidates of a sentence."""
    span = slice(pool.offsets[s], pool.offsets[s + 1])
    return [
        (tuple(heads), tuple(relations))
        for heads, relations in zip(pool.heads[:, span].tolist(), pool.relations[:, span].tolist())
    ]


def all_ways(length: int, parser: StackPtrParser) -> list[tuple[int, ...]]:
    """All derivations that the parser's rules allow."""
    trees = all_trees(length, parser.single_root)
    return [way for tree in trees for way in (any_order(tree) if parser.rules.any_order else [inside_out(tree)])]


def brute_force(parser: StackPtrParser, treebank: Treebank, s: int, width: int) -> list[tuple[float, Tree]]:
    plain = PlainStackPtr(parser, treebank.select(np.array([s])))
    return plain_beam([plain], all_ways(int(treebank.lengths[s]), parser), width)


def assert_is_beam(found: list[Tree], scores: np.ndarray, expected: list[tuple[float, Tree]]) -> None:
    """Equal scores in order, and equal trees wherever no two scores are as close as rounding errors."""
    num = min(len(found), len(expected))
    np.testing.assert_allclose(scores[:num], [score for score, _ in expected[:num]], atol=2e-4)
    apart = [True, *(a[0] - b[0] > 1e-3 for a, b in pairwise(expected)), True]
    clear = [i for i in range(num) if apart[i] and apart[i + 1]]
    assert [found[i] for i in clear] == [expected[i][1] for i in clear]
    assert len(clear) >= num // 2, "ties would test little"


def test_a_full_beam_is_brute_force(treebank):
    """All trees by their teacher-forced log p with the best labels."""
    parser = tiny_pointer_parser(treebank)
    pool = parser.candidates(treebank, Beam(FULL, 70))
    for s, length in enumerate(treebank.lengths):
        expected = brute_force(parser, treebank, s, FULL)
        assert len(expected) == length ** (length - 1)
        found = candidates_of(pool, s)
        assert_is_beam(found, pool.log_probs[:, s], expected)
        assert len(set(found)) == len(expected)


def test_a_full_beam_in_any_order_is_brute_force():
    """The authors' search: several roots, several derivations a tree, labels of pops."""
    treebank = random_treebank(5, np.random.default_rng(5), longest=3)
    parser = tiny_pointer_parser(treebank, preset="official")
    pool = parser.candidates(treebank, Beam(FULL, 30, keep_duplicates=True))
    distinct = parser.candidates(treebank, Beam(FULL, 30))
    assert 3 in treebank.lengths
    for s, length in enumerate(treebank.lengths):
        expected = brute_force(parser, treebank, s, FULL)
        assert len(expected) == {1: 1, 2: 4, 3: 30}[int(length)]
        assert_is_beam(candidates_of(pool, s), pool.log_probs[:, s], expected)
        first_of = {}
        for score, tree in expected:
            first_of.setdefault(tree, score)
        assert_is_beam(candidates_of(distinct, s), distinct.log_probs[:, s], [(p, t) for t, p in first_of.items()])
        assert len(set(candidates_of(distinct, s))) == len(first_of)
        assert length < 3 or 16 <= len(first_of) < 30, "no tree came twice"


@PRESETS
@pytest.mark.parametrize("width", [1, 2, 5])
def test_a_narrow_beam_is_a_table_of_prefixes(treebank, preset, width):
    if preset == "official":
        treebank = treebank.select(np.flatnonzero(treebank.lengths <= 3))
    parser = tiny_pointer_parser(treebank, seed=1, preset=preset)
    pool = parser.candidates(treebank, Beam(width, width, keep_duplicates=True))
    for s in range(treebank.num_sentences):
        expected = brute_force(parser, treebank, s, width)
        assert len(expected) <= width
        assert_is_beam(candidates_of(pool, s), pool.log_probs[:, s], expected)


def test_a_narrow_beam_may_miss_the_best_tree(treebank):
    """Or the test above could not tell widths apart."""
    parser = tiny_pointer_parser(treebank, seed=1)
    greedy, full = (parser.candidates(treebank, Beam(width, 1)) for width in (1, FULL))
    assert (greedy.log_probs < full.log_probs - 0.01).any()
    assert (greedy.log_probs <= full.log_probs + 1e-4).all()


@PRESETS
def test_one_best_is_the_first_of_the_parsers_own_beam(long_treebank, preset):
    parser = tiny_pointer_parser(long_treebank, preset=preset)
    assert parser.beam_width == 10 and parser.selection_strategy == Beam(1, 1)
    best, beam = (parser.candidates(long_treebank, strategy) for strategy in (OneBest(), Beam(10, 6)))
    assert best.num_candidates == 1
    assert_same(best, beam.take(slice(1)))
    parser.beam_width = 1
    assert_same(parser.candidates(long_treebank, OneBest()), parser.candidates(long_treebank, Beam(1, 1)))


@PRESETS
def test_a_beam_is_sorted_distinct_and_filled_up_with_the_best(long_treebank, preset):
    parser = tiny_pointer_parser(long_treebank, preset=preset)
    pool = parser.candidates(long_treebank, Beam(8, 12))
    distinct = pool.num_distinct()
    assert set(distinct[long_treebank.lengths > 5]) <= set(range(2, 9)) and distinct.max() == 8
    for s, number in enumerate(distinct):
        found = candidates_of(pool, s)
        assert len(set(found[:number])) == number, "the different ones come first"
        assert set(found[number:]) == {found[0]}, "then the best one again"
        assert (np.diff(pool.log_probs[:number, s]) <= 0).all()
        assert (pool.log_probs[number:, s] == pool.log_probs[0, s]).all()


def test_duplicates_stay_only_if_wanted(long_treebank):
    """In any order, a beam is full of sequences of actions that lead to the same tree."""
    parser = tiny_pointer_parser(long_treebank, preset="official")
    kept, dropped = (parser.candidates(long_treebank, Beam(20, 20, keep)) for keep in (True, False))
    num_distinct = kept.num_distinct()
    assert np.array_equal(num_distinct, dropped.num_distinct())
    repeated = np.flatnonzero((num_distinct < 20) & (long_treebank.lengths > 4))
    assert len(repeated), "nothing to drop"
    for s in repeated:
        assert set(candidates_of(kept, s)) == set(candidates_of(dropped, s))
        assert (np.diff(kept.log_probs[:, s]) <= 0).all()
        assert len(set(kept.log_probs[:, s])) > num_distinct[s], "equal trees by different actions"


def test_a_beam_of_nothing_is_refused():
    with pytest.raises(ValueError, match="at least one hypothesis"):
        Beam(0)


def test_official_trees_may_have_several_roots(long_treebank):
    pool = tiny_pointer_parser(long_treebank, preset="official").candidates(long_treebank, Nucleus(1.0, 10))
    assert max(heads.count(0) for s in range(12) for heads, _ in candidates_of(pool, s)) > 1


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
