"""Candidates and scores of the seq2seq-pointer parser: the same in any batch, and what a plain twin says."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from plain_pointer_decoder import PlainDecoder
from pools import assert_same
from tiny_frames import frame_bank, tiny_seq2seq

from bcrlib.data.candidates import together
from bcrlib.data.frame_candidates import FramePool
from bcrlib.data.frames import BROKEN, FrameBank, sequences_of
from bcrlib.data.randomness import key
from bcrlib.metrics.frames import invalid
from bcrlib.parsers import s2s
from bcrlib.parsers.parser import ensemble
from bcrlib.parsers.s2s import ATTENTION_DROPOUT, Seq2SeqParser, thinned
from bcrlib.parsers.s2s_network import make_source
from bcrlib.parsers.targets import target_log_probs, targets_of
from bcrlib.samplers.dropout_p import Rates, Thinning
from bcrlib.samplers.strategies import Beam, DropoutP, Nucleus, OneBest, TopK

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


def test_a_beam_is_sorted_and_filled_up_with_the_best(bank, constrained):
    pool = constrained.candidates(bank, Beam(5, 8))
    assert (np.diff(pool.log_probs[:5], axis=0) <= 0).all()
    assert_same(pool.take(slice(5, 8)), pool.take(np.array([0, 0, 0])))
    assert (pool.num_distinct() == 5).all()
    greedy = constrained.candidates(bank, OneBest())
    assert pool.log_probs[0].mean() > greedy.log_probs[0].mean() + 1, "or a beam is for nothing"


def test_the_authors_beam_is_ranked_by_the_mean_log_probability(bank):
    """Of the same hypotheses: the first six that ended."""
    clean, official = (tiny_seq2seq(constrained=True, preset=preset) for preset in ("clean", "official"))
    by_sum, by_mean = clean.candidates(bank, Beam(6, 6, ended=True)), official.candidates(bank, Beam(6, 6))
    assert_same(official.candidates(bank, Beam(6, 6, ended=True)), by_mean)
    assert (clean.candidates(bank, Beam(6, 6)).log_probs != by_sum.log_probs).any(), "both beams list the same"
    assert (np.diff(by_mean.log_probs, axis=0) <= 0).all()
    assert (by_sum.sequences[0] != by_mean.sequences[0]).any(), "both orders are the same"
    for u in range(len(bank)):
        assert set(map(tuple, by_sum.sequences[:, u].tolist())) == set(map(tuple, by_mean.sequences[:, u].tolist()))


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


def test_equal_candidates_are_scored_once(bank, parser, monkeypatch):
    pool = parser.candidates(bank, TopK(3, 4), seed=1)
    scored = []

    def counted(networks, memories, utterance, tokens, runtime):
        scored.append(len(tokens))
        return target_log_probs(networks, memories, utterance, tokens, runtime)

    monkeypatch.setattr(s2s, "target_log_probs", counted)
    parser.log_probs(bank, pool)
    assert sum(scored) == pool.num_distinct().sum() < 32


def test_candidates_of_other_utterances_are_refused(bank, parser):
    pool = pool_of(bank, parser.labels)
    for rows in (np.arange(8)[::-1], np.array([0, 1, 3, 3, 4, 5, 6, 7]), np.array([0, 1, 2, 3, 4, 5, 6, 4])):
        with pytest.raises(ValueError, match=r"words that utterance \d does not have"):
            parser.log_probs(bank, replace(pool, sequences=pool.sequences[:, rows]))


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
            own = pool.take(slice(sample, sample + 1))
            told = [plain_score(parser, bank, own, u, thinning) for thinning in masks]
            scores = [log_prob / num_tokens if preset == "official" else log_prob for log_prob, num_tokens in told]
            fits = [abs(score - pool.log_probs[sample, u]) < 1e-4 for score in scores]
            assert fits[0]
            others_fit += sum(fits) - 1
    assert others_fit == 0


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


def test_candidates_of_several_strategies_are_scored_together_as_alone(parser, bank):
    pools = [parser.candidates(bank, strategy, 1) for strategy in (OneBest(), Beam(4, 4), TopK(3, 4), DropoutP(0.2, 4))]
    alone = np.concatenate([parser.log_probs(bank, pool) for pool in pools])
    np.testing.assert_allclose(parser.log_probs(bank, together(pools)), alone, atol=1e-4)
