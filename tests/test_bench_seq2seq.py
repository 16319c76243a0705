"""Speed of the seq2seq-pointer parser: what the two sides of the measurement do, and the ratios."""

import numpy as np
import pytest
import torch
from tiny_frames import TINY_SEQ2SEQ, frame_bank, tiny_seq2seq

from bcrlib.bench.generate import encoder_decoder, greedy_generation
from bcrlib.bench.gold_shape import GoldShapeParser
from bcrlib.bench.seq2seq import bench_seq2seq, seq2seq_speeds
from bcrlib.data.bracket_sequences import sequences_of
from bcrlib.decoding.strategies import Beam, DropoutP, OneBest
from bcrlib.models.batching import batches
from bcrlib.models.runtime import Runtime

BANK = frame_bank()


@pytest.fixture(scope="module")
def parser() -> GoldShapeParser:
    return GoldShapeParser(tiny_seq2seq(runtime=Runtime(max_tokens=12)), BANK)


@pytest.mark.parametrize("strategy", [OneBest(), Beam(4, 4), DropoutP(0.3, 4)], ids=str)
def test_candidates_have_words_and_brackets_where_gold_has_them(parser, strategy):
    pool, first_word = parser.candidates(BANK, strategy), 1 + 2 * len(parser.labels)
    own, gold = pool.sequences, np.zeros(pool.sequences.shape[1:], dtype=np.int16)
    short = sequences_of(BANK, parser.labels)
    gold[:, : short.shape[1]] = short
    assert (np.sign(own) == np.sign(gold)).all()
    is_word = gold >= first_word
    assert ((own >= first_word) == is_word).all() and (own == gold)[:, is_word].all()
    assert (own != gold).any()
    if strategy.num_candidates > 1:
        assert pool.num_distinct().mean() > 3


def test_candidates_can_be_scored(parser):
    """By the same parser without rules: none is broken."""
    pool = parser.candidates(BANK, Beam(4, 4))
    assert np.isfinite(parser.log_probs(BANK, pool)).all()


def test_generation_takes_the_parsers_batches_and_their_longest_targets(parser):
    tokens = greedy_generation(encoder_decoder(parser), parser, BANK)()
    pieces = parser.pieces(BANK)
    own = list(batches(pieces.lengths, 12))
    assert len(own) == len(tokens) > 2
    for utterances, generated in zip(own, tokens):
        longest = int((parser.gold_targets(pieces, utterances) > 0).sum(axis=1).max()) + 1
        assert generated.shape == (len(utterances), 1 + longest)  # and the token that starts it


def test_the_librarys_model_has_the_parsers_sizes(parser):
    """Of all matrices that are multiplied with."""

    def size(network: torch.nn.Module) -> int:
        return sum(layer.weight.numel() for layer in network.modules() if isinstance(layer, torch.nn.Linear))

    model, ours = encoder_decoder(parser), parser.network
    output = model.decoder.get_output_embeddings().weight
    assert size(model.encoder) == size(ours.encoder)
    assert size(model.decoder) - output.numel() == size(ours.decoder)
    assert len(output) == len(ours.decoder.symbols) + len(ours.decoder.pointers)
    assert model.config.decoder.num_attention_heads == TINY_SEQ2SEQ.decoder_heads
    assert not hasattr(model, "enc_to_dec_proj")


def test_every_speed_is_measured():
    speeds = bench_seq2seq(BANK, TINY_SEQ2SEQ, "float32", 1)
    assert (speeds.pop("kind"), speeds.pop("precision")) == ("s2s", "float32")
    agreeing, different = speeds.pop("num_distinct")
    assert 1 <= agreeing <= 3 < different <= 10
    assert set(speeds) == {
        "greedy_utterances_per_second", "generate_utterances_per_second",
        "greedy", "reranking_dropout_p", "reranking_different", "dropout_p", "beam",
    }  # fmt: skip
    assert min(speeds.values()) > 0


def test_speeds_are_ratios_within_a_turn():
    turn = np.array([1.0, 2.0, 4.0])
    costs = {"generate": 4, "greedy": 2, "few_greedy": 1, "beam": 4}
    costs |= {"dropout_p": 12, "reranking_dropout_p": 2, "reranking_different": 8}
    assert seq2seq_speeds({name: cost * turn for name, cost in costs.items()}) == {
        "greedy": 2.0,
        "reranking_dropout_p": 6.0,
        "reranking_different": 1.5,
        "dropout_p": 1 / 12,
        "beam": 0.25,
    }
