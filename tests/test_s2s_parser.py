"""Candidates and scores of the seq2seq-pointer parser: the same in any batch, and what a plain twin says."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from plain_pointer_decoder import PlainDecoder
from tiny_frames import assert_same_frames, frame_bank, scattered, tiny_seq2seq

from bcrlib.data.candidates import together
from bcrlib.data.frame_candidates import FramePool
from bcrlib.data.frames import BROKEN, FrameBank, sequences_of
from bcrlib.data.randomness import key
from bcrlib.metrics.frames import invalid
from bcrlib.parsers import s2s
from bcrlib.parsers.batches import Runtime
from bcrlib.parsers.parser import ensemble
from bcrlib.parsers.s2s import ATTENTION_DROPOUT, Seq2SeqParser, thinned
from bcrlib.parsers.s2s_network import make_source
from bcrlib.parsers.targets import target_log_probs, targets_of
from bcrlib.samplers.dropout_p import Rates, Thinning
from bcrlib.samplers.strategies import Beam, DropoutP, KBest, Nucleus, OneBest, TopK

ALL = [OneBest(), Beam(4, 4), Beam(4, 4, ended=True), TopK(3, 4), Nucleus(0.9, 4), Nucleus(1.0, 4, temperature=1.5)]
ALL.append(DropoutP(0.2, 4))
STRATEGIES = pytest.mark.parametrize("strategy", ALL, ids=str)
SAMPLING = pytest.mark.parametrize("strategy", ALL[3:], ids=str)
ONE_NETWORK = pytest.mark.parametrize("strategy", ALL[:-1], ids=str)
"""Those whose candidates are scored by the whole network."""
PRESETS = pytest.mark.parametrize("preset", ["clean", "official"])


@pytest.fixture(scope="module")
def bank() -> FrameBank:
    return frame_bank()


@pytest.fixture(scope="module")
def parser() -> Seq2SeqParser:
    return tiny_seq2seq()


@pytest.fixture(scope="module")
def constrained() -> Seq2SeqParser:
    return tiny_seq2seq(constrained=True)


def pool_of(bank: FrameBank, labels: tuple[str, ...]) -> FramePool:
    """The bank's own frames as candidates."""
    sequences = sequences_of(bank, labels)[None]
    return FramePool(sequences, labels, np.zeros(sequences.shape[:2], dtype=np.float32))


def part(pool: FramePool, candidates: slice | np.ndarray, utterances: slice | np.ndarray = slice(None)) -> FramePool:
    """A part of a pool."""
    return FramePool(pool.sequences[candidates][:, utterances], pool.labels, pool.log_probs[candidates][:, utterances])


def plain_decoder(parser: Seq2SeqParser, bank: FrameBank, u: int, thinning: Thinning | None = None) -> PlainDecoder:
    """The parser's decoder reading an utterance."""
    source = make_source(parser.read(bank), np.array([u]), "cpu")
    with thinned(parser.network.switch, thinning), torch.inference_mode():
        encoded = parser.network.encoder(source.ids, source.mask)[0]
    return PlainDecoder(parser.network.decoder, encoded, range(source.pieces.start, source.pieces.stop), thinning)


def plain_score(
    parser: Seq2SeqParser, bank: FrameBank, pool: FramePool, u: int, thinning: Thinning | None = None
) -> tuple[float, int]:
    """log p of the first candidate of an utterance by the plain decoder, and its number of tokens."""
    targets = targets_of(pool.sequences[0, [u]], np.array([u]), pool.labels, parser.read(bank), parser.labels)
    return plain_decoder(parser, bank, u, thinning).log_prob(targets.tokens.tolist()), len(targets.tokens)


@PRESETS
@ONE_NETWORK
def test_a_candidate_is_scored_as_it_was_decoded(bank, strategy, preset):
    """Token by token or teacher-forced, sums or means over tokens."""
    parser = tiny_seq2seq(constrained=True, preset=preset)
    pool = parser.candidates(bank, strategy, seed=3)
    np.testing.assert_allclose(parser.log_probs(bank, pool), pool.log_probs, atol=1e-4)
    assert (pool.log_probs < 0).all()


def test_unconstrained_candidates_are_scored_as_they_were_decoded(bank, parser):
    pool = parser.candidates(bank, Nucleus(1.0, 20))
    scores, broken = parser.log_probs(bank, pool), pool.sequences[:, :, 0] == BROKEN
    np.testing.assert_allclose(scores[~broken], pool.log_probs[~broken], atol=1e-4)
    assert 0 < broken.mean() < 0.5
    assert (scores[broken] == -np.inf).all() and np.isfinite(pool.log_probs).all()


def test_scores_are_those_of_a_plain_twin(bank, parser):
    """The sum of log-probabilities of a target's tokens; `official` the mean."""
    pool = pool_of(bank, parser.labels)
    sums = parser.log_probs(bank, pool)
    means = tiny_seq2seq(preset="official").log_probs(bank, pool)
    (same_sums, lengths), (official_sums, _) = (p.sums(bank, pool) for p in (parser, tiny_seq2seq(preset="official")))
    assert np.array_equal(same_sums, sums) and np.array_equal(official_sums, sums)
    for u in range(len(bank)):
        log_prob, num_tokens = plain_score(parser, bank, pool, u)
        assert sums[0, u] == pytest.approx(log_prob, abs=1e-4)
        assert lengths[0, u] == num_tokens
        assert means[0, u] == pytest.approx(log_prob / num_tokens, abs=1e-4)


@pytest.mark.parametrize(
    ("strategy", "is_constrained"), [*((s, True) for s in ALL), (ALL[1], False), (ALL[2], False), (ALL[4], False)]
)
def test_candidates_do_not_depend_on_the_batch(bank, strategy, is_constrained):
    """One utterance at a time or all at once, in their order, another, twice."""
    parser = tiny_seq2seq(constrained=is_constrained)
    pool = parser.candidates(bank, strategy, seed=1)
    scores = parser.log_probs(bank, pool)
    chosen = np.array([6, 2, 5, 2, 0])
    assert_same_frames(parser.candidates(bank.select(chosen), strategy, seed=1), part(pool, slice(None), chosen))
    for runtime in (Runtime(max_tokens=1), Runtime(batch_size=3)):
        parser.runtime = runtime
        assert_same_frames(parser.candidates(bank, strategy, seed=1), pool)
        np.testing.assert_allclose(parser.log_probs(bank, pool), scores, atol=1e-4)


def test_frames_are_not_looked_at(bank, parser):
    blind = FrameBank(bank.utterances, ())
    for strategy in (OneBest(), TopK(3, 3), DropoutP(0.2, 3)):
        assert_same_frames(parser.candidates(blind, strategy), parser.candidates(bank, strategy))


@SAMPLING
def test_a_sample_depends_on_its_seed_and_number_alone(bank, parser, strategy):
    pool = parser.candidates(bank, strategy, seed=7)
    torch.manual_seed(99)
    other = parser.candidates(bank, strategy, seed=8)
    assert_same_frames(parser.candidates(bank, strategy, seed=7), pool)
    steps = min(other.sequences.shape[2], pool.sequences.shape[2])
    assert (other.sequences[:, :, :steps] != pool.sequences[:, :, :steps]).any(axis=2).mean() > 0.2
    many = parser.candidates(bank, replace(strategy, num_candidates=9), seed=7)
    assert_same_frames(part(many, slice(4)), pool)
    assert (many.num_distinct() > 1).mean() > 0.7


def test_one_token_left_is_greedy_decoding(bank, parser):
    greedy = parser.candidates(bank, OneBest())
    for strategy in (Beam(1, 3), TopK(1, 3), Nucleus(1e-6, 3), TopK(5, 3, temperature=1e-3), DropoutP(0.0, 3)):
        assert_same_frames(parser.decoded(bank, strategy), part(greedy, np.array([0, 0, 0])))


def test_a_beam_is_sorted_and_filled_up_with_the_best(bank, constrained):
    pool = constrained.candidates(bank, Beam(5, 8))
    assert (np.diff(pool.log_probs[:5], axis=0) <= 0).all()
    assert_same_frames(part(pool, slice(5, 8)), part(pool, np.array([0, 0, 0])))
    assert (pool.num_distinct() == 5).all()
    greedy = constrained.candidates(bank, OneBest())
    assert pool.log_probs[0].mean() > greedy.log_probs[0].mean() + 1, "or a beam is for nothing"


def test_the_authors_beam_is_ranked_by_the_mean_log_probability(bank):
    """Of the same hypotheses: the first six that ended."""
    clean, official = (tiny_seq2seq(constrained=True, preset=preset) for preset in ("clean", "official"))
    by_sum, by_mean = clean.candidates(bank, Beam(6, 6, ended=True)), official.candidates(bank, Beam(6, 6))
    assert_same_frames(official.candidates(bank, Beam(6, 6, ended=True)), by_mean)
    assert (clean.candidates(bank, Beam(6, 6)).log_probs != by_sum.log_probs).any(), "both beams list the same"
    assert (np.diff(by_mean.log_probs, axis=0) <= 0).all()
    assert (by_sum.sequences[0] != by_mean.sequences[0]).any(), "both orders are the same"
    for u in range(len(bank)):
        assert set(map(tuple, by_sum.sequences[:, u].tolist())) == set(map(tuple, by_mean.sequences[:, u].tolist()))


@STRATEGIES
def test_with_the_constraint_nothing_is_invalid(bank, strategy):
    """However little the network knows."""
    parser = scattered(tiny_seq2seq(constrained=True), 0.5)
    pool = parser.candidates(bank, strategy, seed=4)
    assert pool.sequences.shape[:2] == (strategy.num_candidates, 8)
    assert not invalid(pool).any()
    words = np.where(pool.sequences > 2 * len(pool.labels), pool.sequences - 1 - 2 * len(pool.labels), -1)
    for u, utterance in enumerate(bank.utterances):
        assert all([w for w in row if w >= 0] == list(range(len(utterance))) for row in words[:, u].tolist())
    assert invalid(scattered(tiny_seq2seq(), 0.5).candidates(bank, strategy, seed=4)).any(), "or it is for nothing"


def test_more_hypotheses_than_frames(bank):
    """One label and little time: a beam wider than all there is to find."""
    home = bank.select([2])
    parser = tiny_seq2seq(constrained=True, max_steps=4)
    pool = parser.candidates(home, Beam(40, 40))
    assert pool.num_distinct()[0] == len(parser.labels), "one bracket around one word"
    assert np.isfinite(pool.log_probs).all() and not invalid(pool).any()


def test_an_utterance_too_long_for_the_steps_is_refused(bank):
    with pytest.raises(ValueError, match="over 7 word pieces has more than 9 tokens"):
        tiny_seq2seq(constrained=True, max_steps=9).candidates(bank, OneBest())


def test_what_cannot_be_scored_is_minus_infinity(bank, parser):
    """A broken candidate, and one with a label that the parser lacks; other labels may have other numbers."""
    own = pool_of(bank, parser.labels)
    labels = ("SL:UNHEARD_OF", *reversed(parser.labels))
    renamed = pool_of(bank, labels)
    np.testing.assert_allclose(parser.log_probs(bank, renamed), parser.log_probs(bank, own), atol=1e-5)
    renamed.sequences[0, 1, renamed.sequences[0, 1] == 1 + labels.index("SL:DESTINATION")] = 1
    renamed.sequences[0, 2] = 0
    renamed.sequences[0, 2, 0] = BROKEN
    scores = parser.log_probs(bank, renamed)
    assert np.flatnonzero(scores[0] == -np.inf).tolist() == [1, 2]


def test_equal_candidates_are_scored_once_and_alike(bank, parser, monkeypatch):
    pool = parser.candidates(bank, TopK(3, 4), seed=1)
    order = np.array([3, 0, 0, 1, 2, 1, 3])
    scored = []

    def counted(networks, memories, utterance, tokens, runtime):
        scored.append(len(tokens))
        return target_log_probs(networks, memories, utterance, tokens, runtime)

    monkeypatch.setattr(s2s, "target_log_probs", counted)
    scores = parser.log_probs(bank, pool)
    assert sum(scored) == pool.num_distinct().sum() < 32
    again = parser.log_probs(bank, part(pool, order))
    np.testing.assert_allclose(again, scores[order], atol=1e-5)
    assert np.array_equal(again[[1, 3, 0]], again[[2, 5, 6]])


def test_candidates_of_other_utterances_are_refused(bank, parser):
    pool = pool_of(bank, parser.labels)
    with pytest.raises(ValueError, match="candidates of 7 utterances for 8"):
        parser.log_probs(bank, part(pool, slice(None), np.arange(7)))
    for rows in (np.arange(8)[::-1], np.array([0, 1, 3, 3, 4, 5, 6, 7]), np.array([0, 1, 2, 3, 4, 5, 6, 4])):
        with pytest.raises(ValueError, match=r"words that utterance \d does not have"):
            parser.log_probs(bank, part(pool, slice(None), rows))


def test_k_best_and_no_utterance_are_refused(bank, parser):
    with pytest.raises(ValueError, match="graph-based"):
        parser.candidates(bank, KBest(3))
    with pytest.raises(ValueError, match="no utterance"):
        parser.candidates(bank.select([]), OneBest())


@pytest.mark.parametrize(
    ("preset", "rates", "attention_p"),
    [
        ("clean", None, 0.3),
        ("clean", Rates(0.1, 0.2), 0.2),  # no more than it was trained with
        ("clean", Rates(0.1, 0.5), 0.3),
        ("official", None, ATTENTION_DROPOUT),
        ("official", Rates(0.1, 0.5), 0.5),
    ],
)
def test_dropout_p_is_greedy_decoding_of_a_sub_network(bank, preset, rates, attention_p):
    """One under fixed masks; the authors' has new ones at every step, and its attention keeps the rate of training."""
    parser = tiny_seq2seq(constrained=True, preset=preset, max_steps=10)
    parser.network.rates = rates
    per_step = preset == "official"
    bank, kinds = bank.select([1, 2, 7]), [(attention_p, per_step), (attention_p, not per_step)]
    kinds += [(other, per_step) for other in (0.0, ATTENTION_DROPOUT, 0.2, 0.3, 0.5) if other != attention_p]
    pool = parser.decoded(bank, DropoutP(0.3, 2), seed=5)
    others_fit = 0
    for u in (1, 2):
        keys = [key(*bank.utterances[u]) ^ key(5, "dropout-p", sample) for sample in range(2)]
        for sample, name in enumerate(keys):
            masks = [Thinning(torch.tensor([name]), 0.3, *kind) for kind in kinds]
            own = part(pool, slice(sample, sample + 1))
            told = [plain_score(parser, bank, own, u, thinning) for thinning in masks]
            scores = [log_prob / num_tokens if preset == "official" else log_prob for log_prob, num_tokens in told]
            fits = [abs(score - pool.log_probs[sample, u]) < 1e-4 for score in scores]
            assert fits[0]
            others_fit += sum(fits) - 1
    assert others_fit == 0


@PRESETS
def test_what_sub_networks_found_is_scored_by_the_whole_one(bank, preset):
    parser, strategy = tiny_seq2seq(constrained=True, preset=preset), DropoutP(0.3, 4)
    pool, decoded = (find(bank, strategy, seed=5) for find in (parser.candidates, parser.decoded))
    assert_same_frames(pool, replace(decoded, log_probs=pool.log_probs))
    np.testing.assert_array_equal(pool.log_probs, parser.log_probs(bank, decoded))
    assert np.abs(pool.log_probs - decoded.log_probs).max() > 0.1


def test_sub_networks_differ(bank, constrained):
    pool, best = constrained.decoded(bank, DropoutP(0.3, 6), seed=5), constrained.candidates(bank, OneBest())
    assert len(np.unique(pool.log_probs, axis=0)) == 6
    assert (pool.num_distinct() > 2).mean() > 0.5
    assert_same_frames(constrained.candidates(bank, OneBest()), best)


@STRATEGIES
def test_an_ensemble_of_one_is_the_parser_and_of_twice_the_same_too(bank, parser, strategy):
    pool = parser.candidates(bank, strategy, seed=2)
    for members in ([parser], [parser, parser]):
        both = ensemble(members)
        assert_same_frames(both.candidates(bank, strategy, seed=2), pool)
        np.testing.assert_allclose(both.log_probs(bank, pool), parser.log_probs(bank, pool), atol=1e-5)


def test_an_ensemble_is_the_mean_of_probabilities(bank):
    """Of every token: greedily, by plain decoders, for utterances whose words are pieces, so that codes are tokens."""
    members = [tiny_seq2seq(seed) for seed in (0, 1)]
    both = ensemble(members)
    pool, single = both.candidates(bank, OneBest()), members[0].candidates(bank, OneBest())
    for u in (0, 1, 7):
        plain, target, score = [plain_decoder(member, bank, u) for member in members], [], 0.0
        while len(target) < 16 and target[-1:] != [0]:
            probs = torch.stack([decoder.log_probs([0, *target])[-1].exp() for decoder in plain]).mean(dim=0)
            target.append(int(probs.argmax()))
            score += probs.max().log().item()
        assert target[-1] == 0 and pool.sequences[0, u, : len(target) - 1].tolist() == target[:-1]
        assert pool.log_probs[0, u] == pytest.approx(score, abs=1e-4)
        assert both.log_probs(bank, pool)[0, u] == pytest.approx(score, abs=1e-4)
    assert (np.abs(pool.log_probs - single.log_probs)[0, [0, 1, 7]] > 1e-2).all()


@pytest.mark.parametrize("strategy", [Beam(4, 4), Nucleus(0.9, 4)], ids=str)
def test_an_ensemble_decodes_by_what_it_scores(bank, strategy):
    members = [tiny_seq2seq(seed, constrained=True) for seed in (0, 1)]
    both = ensemble(members)
    pool = both.candidates(bank, strategy, seed=2)
    np.testing.assert_allclose(both.log_probs(bank, pool), pool.log_probs, atol=1e-4)
    alone = [one.candidates(bank, strategy, seed=2) for one in members]
    assert all((pool.log_probs != of_one.log_probs).any() for of_one in alone)


def test_ensembles_of_unlike_members_are_refused(bank, parser):
    fewer_labels = tiny_seq2seq()
    fewer_labels.labels = fewer_labels.labels[:-1]
    unlike = [
        fewer_labels,
        tiny_seq2seq(preset="official"),
        tiny_seq2seq(constrained=True),
        tiny_seq2seq(max_steps=23),
        _with_another_tokenizer(),
    ]
    for other in unlike:
        with pytest.raises(ValueError, match="must share labels, tokenizer and definitions"):
            ensemble([parser, other])
    with pytest.raises(ValueError, match="too many values"):
        ensemble([parser, parser]).network  # noqa: B018


def _with_another_tokenizer() -> Seq2SeqParser:
    parser = tiny_seq2seq()
    parser.tokenizer = type(parser.tokenizer).from_str(parser.tokenizer.to_str().replace('"zoo"', '"ooz"'))
    parser.tokenizer.add_tokens(["zoo"])
    return parser


@pytest.mark.parametrize("strategy", [Beam(4, 4), Nucleus(0.9, 4), DropoutP(0.2, 4)], ids=str)
def test_bfloat16_frames_are_frames(bank, strategy):
    parser = tiny_seq2seq(runtime=Runtime("cpu", "bfloat16"), constrained=True)
    pool = parser.candidates(bank, strategy)
    assert not invalid(pool).any() and np.isfinite(pool.log_probs).all()
    if not isinstance(strategy, DropoutP):
        np.testing.assert_allclose(parser.log_probs(bank, pool), pool.log_probs, rtol=0.05, atol=0.3)


def test_candidates_of_several_strategies_are_scored_together_as_alone(parser, bank):
    pools = [parser.candidates(bank, strategy, 1) for strategy in ALL]
    alone = np.concatenate([parser.log_probs(bank, pool) for pool in pools])
    np.testing.assert_allclose(parser.log_probs(bank, together(pools)), alone, atol=1e-4)
