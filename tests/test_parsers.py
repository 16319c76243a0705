"""What every kind of parser promises of candidates and scores: in any batch, from any seed, alone and in ensembles."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from pools import assert_same, structures
from random_trees import random_treebank
from tiny_kinds import BANKS, MAKE, STRATEGIES
from tiny_parsers import may_have, tiny_parser, tiny_pointer_parser

from bcrlib.data.frames import FrameBank
from bcrlib.data.vectors import TextVectors
from bcrlib.metrics.frames import invalid
from bcrlib.parsers.batches import Runtime
from bcrlib.parsers.parser import Parser, ensemble
from bcrlib.samplers.brute_force import is_tree
from bcrlib.samplers.dropout_p import Rates
from bcrlib.samplers.strategies import Beam, DropoutP, KBest, Nucleus, OneBest, TopK

CASES = [(kind, strategy) for kind, of_kind in STRATEGIES.items() for strategy in of_kind]
SAMPLED = [case for case in CASES if isinstance(case[1], DropoutP | TopK | Nucleus)]
WHOLE = [case for case in CASES if not isinstance(case[1], DropoutP)]
EACH = pytest.mark.parametrize(("kind", "strategy"), CASES, ids=str)
KINDS = pytest.mark.parametrize("kind", MAKE)
PRESETS = pytest.mark.parametrize("preset", ["clean", "official"])
SEVERAL = {"deepbiaf": KBest(4), "stackptr": Beam(4, 4), "s2s": TopK(3, 4)}
GREEDY = {"deepbiaf": OneBest(), "stackptr": Beam(1, 1), "s2s": OneBest()}


def assert_structures(pool, parser: Parser, bank) -> None:
    """Trees under the parser's rules, or frames over all words in their order."""
    assert np.isfinite(pool.log_probs).all() and (pool.log_probs < 0).all()
    if isinstance(bank, FrameBank):
        assert not invalid(pool).any()
        words = pool.sequences - 1 - 2 * len(pool.labels)
        for u, utterance in enumerate(bank.utterances):
            assert all([w for w in row if w >= 0] == [*range(len(utterance))] for row in words[:, u].tolist())
        return
    assert np.array_equal(pool.offsets, bank.offsets) and pool.relation_names == parser.vocabulary.relations
    for start, end in zip(pool.offsets, pool.offsets[1:]):
        for heads, relations in zip(pool.heads[:, start:end].tolist(), pool.relations[:, start:end].tolist()):
            assert is_tree(heads, parser.single_root) and may_have(parser, heads, relations)
            assert all(0 <= relation < len(pool.relation_names) for relation in relations)


@EACH
@PRESETS
def test_every_candidate_is_a_structure_over_the_words(kind, strategy, preset):
    parser, bank = MAKE[kind](preset=preset), BANKS[kind]
    pool = parser.candidates(bank, strategy, seed=4)
    assert pool.log_probs.shape == (strategy.num_candidates, len(bank))
    assert_structures(pool, parser, bank)


@EACH
def test_candidates_and_scores_do_not_depend_on_the_batch(kind, strategy):
    parser, bank = MAKE[kind](), BANKS[kind]
    pool = parser.decoded(bank, strategy, seed=1)
    scores = parser.log_probs(bank, pool)
    for runtime in (Runtime(max_tokens=1), Runtime(max_tokens=100), Runtime(batch_size=7)):
        parser.runtime = runtime
        assert_same(parser.decoded(bank, strategy, seed=1), pool)
        np.testing.assert_allclose(parser.log_probs(bank, pool), scores, atol=1e-4)


@EACH
@PRESETS
def test_candidates_do_not_depend_on_other_items(kind, strategy, preset):
    """Alone (one word too), beside a longer one, in another order, twice.

    Nor do scores, but for the stack-pointer parser of the authors, in whose definition padding counts.
    """
    parser, bank = MAKE[kind](preset=preset), BANKS[kind]
    pool = parser.decoded(bank, strategy, seed=1)
    scores = parser.log_probs(bank, pool)
    longest, shortest = int(bank.lengths.argmax()), int(bank.lengths.argmin())
    assert bank.lengths[shortest] == 1
    for chosen in ([shortest], [2, longest], [longest, 3, 2, 0, 2]):
        some = bank.select(np.array(chosen))
        part = parser.decoded(some, strategy, seed=1)
        assert structures(part) == [structures(pool)[item] for item in chosen]
        np.testing.assert_allclose(part.log_probs, pool.log_probs[:, chosen], atol=1e-4)
        if (kind, preset) != ("stackptr", "official"):
            np.testing.assert_allclose(parser.log_probs(some, part), scores[:, chosen], atol=1e-4)


@pytest.mark.parametrize(("kind", "strategy"), SAMPLED, ids=str)
def test_a_sample_depends_on_its_seed_and_number_alone(kind, strategy):
    parser, bank = MAKE[kind](), BANKS[kind]
    pool = parser.candidates(bank, strategy, seed=7)
    torch.manual_seed(99)
    other = parser.candidates(bank, strategy, seed=8)
    assert_same(parser.candidates(bank, strategy, seed=7), pool)
    many = parser.candidates(bank, replace(strategy, num_candidates=9), seed=7)
    assert_same(many.take(slice(4)), pool)
    assert (many.num_distinct() > 1).mean() > 0.6, "samples differ"
    pairs = list(zip(structures(pool), structures(other), structures(parser.candidates(bank, OneBest()))))
    assert np.mean([a != b for a, b, _ in pairs]) > 0.5, "seeds differ"
    assert np.mean([a[0] != best for a, _, (best,) in pairs]) > 0.2, "they are not the best"


@KINDS
def test_gold_is_not_looked_at(kind):
    parser, bank = MAKE[kind](), BANKS[kind]
    if kind == "s2s":
        blind = FrameBank(bank.utterances, ())
    else:
        blind = bank.with_trees(np.zeros(bank.num_tokens), ["?"] * bank.num_tokens)
    for strategy in STRATEGIES[kind]:
        assert_same(parser.candidates(blind, strategy), parser.candidates(bank, strategy))


@KINDS
@PRESETS
def test_without_dropout_a_sub_network_is_the_parser(kind, preset):
    parser, bank = MAKE[kind](preset=preset), BANKS[kind]
    if kind == "s2s":  # the authors' attention keeps the rate of training
        parser.network.rates = Rates(0.0, 0.0)
    best = parser.decoded(bank, OneBest())
    assert_same(parser.decoded(bank, DropoutP(0.0, 3)), best.take(np.array([0, 0, 0])))


@pytest.mark.parametrize("kind", ["stackptr", "s2s"])
def test_one_action_left_is_greedy_decoding(kind):
    parser, bank = MAKE[kind](), BANKS[kind]
    greedy = structures(parser.candidates(bank, GREEDY[kind]).take(np.array([0, 0, 0])))
    for strategy in (TopK(1, 3), Nucleus(1e-6, 3), TopK(5, 3, temperature=1e-3), Beam(1, 3)):
        assert structures(parser.candidates(bank, strategy)) == greedy, strategy


@KINDS
@PRESETS
def test_what_sub_networks_found_is_scored_by_the_whole_one(kind, preset):
    parser, bank = MAKE[kind](preset=preset), BANKS[kind]
    pool, decoded = (find(bank, DropoutP(0.3, 4), seed=5) for find in (parser.candidates, parser.decoded))
    assert structures(pool) == structures(decoded)
    np.testing.assert_array_equal(pool.log_probs, parser.log_probs(bank, decoded))
    assert np.abs(pool.log_probs - decoded.log_probs).max() > 0.1


@pytest.fixture
def all_warnings():
    """PyTorch warns again although it has warned before."""
    before = torch.is_warn_always_enabled()
    torch.set_warn_always(True)
    yield
    torch.set_warn_always(before)


@pytest.mark.parametrize(("kind", "strategy"), WHOLE, ids=str)
@PRESETS
def test_a_candidate_is_scored_as_it_was_decoded(kind, strategy, preset, all_warnings):
    """Also in arrays read from a file, which cannot be written: that is no reason for a warning."""
    if (kind, preset) == ("stackptr", "official"):
        return  # padding counts in its scores, and not in its search
    parser, bank = MAKE[kind](preset=preset), BANKS[kind]
    pool = parser.candidates(bank, strategy, seed=3)
    for name in pool.BY_CANDIDATE:
        getattr(pool, name).setflags(write=False)
    np.testing.assert_allclose(parser.log_probs(bank, pool), pool.log_probs, atol=2e-4)


@KINDS
def test_equal_candidates_are_scored_alike_in_any_order(kind):
    parser, bank = MAKE[kind](), BANKS[kind]
    pool, order = parser.candidates(bank, SEVERAL[kind], seed=1), np.array([3, 0, 0, 1, 2, 1, 3])
    again = parser.log_probs(bank, pool.take(order))
    np.testing.assert_allclose(again, parser.log_probs(bank, pool)[order], atol=1e-4)
    assert np.array_equal(again[[1, 3, 0]], again[[2, 5, 6]])


@pytest.mark.parametrize("kind", ["deepbiaf", "stackptr"])
def test_relations_are_told_by_name_and_one_that_the_parser_lacks_is_impossible(kind):
    parser, bank = MAKE[kind](), BANKS[kind]
    pool = parser.candidates(bank, SEVERAL[kind])
    turned = replace(pool, relations=4 - pool.relations, relation_names=pool.relation_names[::-1])
    scores = parser.log_probs(bank, pool)
    np.testing.assert_array_equal(parser.log_probs(bank, turned), scores)
    names = list(pool.relation_names)
    unknown = names.index(pool.relation_strings(1)[0])
    names[unknown] = "neverseen"
    log_probs = parser.log_probs(bank, replace(pool, relation_names=tuple(names)))
    hit = np.logical_or.reduceat(pool.relations == unknown, pool.offsets[:-1], axis=1)
    assert hit.any() and not hit.all() and (log_probs[hit] == -np.inf).all()
    np.testing.assert_allclose(log_probs[~hit], scores[~hit], atol=1e-4)


@EACH
def test_an_ensemble_of_one_model_once_or_twice_is_that_model(kind, strategy):
    parser, bank = MAKE[kind](), BANKS[kind]
    pool = parser.candidates(bank, strategy, seed=2)
    for members in ([parser], [parser, parser]):
        both = ensemble(members)
        assert_same(both.candidates(bank, strategy, seed=2), pool)
        np.testing.assert_allclose(both.log_probs(bank, pool), parser.log_probs(bank, pool), atol=1e-5)


@pytest.mark.parametrize(("kind", "strategy"), WHOLE, ids=str)
def test_an_ensemble_decodes_by_what_it_scores(kind, strategy):
    """Of trees by the mean of log-probabilities; the mean of probabilities of frames has a test of its own."""
    bank, members = BANKS[kind], [MAKE[kind](seed=seed) for seed in (0, 1)]
    both = ensemble(members)
    pool = both.candidates(bank, strategy, seed=2)
    np.testing.assert_allclose(both.log_probs(bank, pool), pool.log_probs, atol=2e-4)
    of_members = [member.log_probs(bank, pool) for member in members]
    assert all((np.abs(scores - pool.log_probs) > 1e-3).any() for scores in of_members)
    assert kind == "s2s" or np.allclose(pool.log_probs, np.mean(of_members, axis=0), atol=2e-4)


def with_other_vectors(parser: Parser) -> Parser:
    parser.vectors = TextVectors("others", np.zeros((1, 2), np.float32), {}, False)
    return parser


def narrower(parser: Parser) -> Parser:
    parser.beam_width = 3
    return parser


def with_fewer_labels(parser: Parser) -> Parser:
    parser.labels = parser.labels[:-1]
    return parser


def with_another_tokenizer(parser: Parser) -> Parser:
    parser.tokenizer = type(parser.tokenizer).from_str(parser.tokenizer.to_str().replace('"zoo"', '"ooz"'))
    parser.tokenizer.add_tokens(["zoo"])
    return parser


UNLIKE = {kind: [lambda make: make(preset="official")] for kind in MAKE}
for of_kind, make_other in (("deepbiaf", tiny_parser), ("stackptr", tiny_pointer_parser)):
    UNLIKE[of_kind].append(lambda _, make=make_other: make(random_treebank(20, np.random.default_rng(9))))
    UNLIKE[of_kind].append(lambda make: with_other_vectors(make()))
UNLIKE["stackptr"].append(lambda make: narrower(make()))
UNLIKE["s2s"] += [lambda make: make(constrained=False), lambda make: make(max_steps=23)]
UNLIKE["s2s"] += [lambda make: with_fewer_labels(make()), lambda make: with_another_tokenizer(make())]


@KINDS
def test_ensembles_of_unlike_members_are_refused(kind):
    parser = MAKE[kind]()
    for unlike in UNLIKE[kind]:
        with pytest.raises(ValueError, match=f"must share {parser.SHARED}"):
            ensemble([parser, unlike(MAKE[kind])])
    with pytest.raises(ValueError, match="too many values"):
        ensemble([parser, parser]).network  # noqa: B018


OF_OTHERS = {
    "deepbiaf": [(strategy, "sequential parsers") for strategy in (Beam(3), TopK(3), Nucleus(0.9))],
    "stackptr": [(KBest(3), "graph-based"), (Beam(3, 3, ended=True), r"beam\(b=3,ended\) is of an s2s")],
    "s2s": [(KBest(3), "graph-based")],
}


@KINDS
def test_what_it_cannot_do_and_what_is_of_other_items_is_refused(kind):
    parser, bank = MAKE[kind](), BANKS[kind]
    for strategy, fault in OF_OTHERS[kind]:
        with pytest.raises(ValueError, match=fault):
            parser.candidates(bank, strategy)
    with pytest.raises(ValueError, match=r"no (sentence|utterance)"):
        parser.candidates(bank.select(np.arange(0)), OneBest())
    with pytest.raises(ValueError, match=rf"other sentences|candidates of {len(bank)} utterances for 3"):
        parser.log_probs(bank.select(np.arange(3)), parser.candidates(bank, OneBest()))


@KINDS
def test_bfloat16_changes_digits_and_no_more(kind):
    exact, rounded, bank = MAKE[kind](), MAKE[kind](runtime=Runtime("cpu", "bfloat16")), BANKS[kind]
    for strategy in (SEVERAL[kind], DropoutP(0.2, 4)):
        pool = rounded.candidates(bank, strategy)
        assert_structures(pool, rounded, bank)
        off = np.abs(rounded.log_probs(bank, pool) - exact.log_probs(bank, pool)) / (2 * bank.lengths + 1)
        assert 0 < off.max() < 0.2 and pool.log_probs.dtype == np.float32
