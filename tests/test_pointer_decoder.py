"""The pointer decoder: its cached steps, its teacher-forced pass and a plain twin say the same, in any batch."""

import math

import pytest
import torch
from plain_pointer_decoder import PlainDecoder
from tiny_frames import TINY_SEQ2SEQ
from tiny_parsers import strewn
from torch import Tensor

from bcrlib.parsers.s2s_network import GROWTH, Memory, PointerDecoder
from bcrlib.samplers.dropout_p import Switch, Thinning

NUM_SYMBOLS, SOURCE_SIZE, STEPS = 7, 12, GROWTH + 5
LENGTHS = torch.tensor([5, 1, 8, 3])
"""Pieces of the utterances; a special symbol stands before them and two behind."""
THINNINGS = {
    "whole network": None,
    "sub-network": Thinning(torch.arange(4) * 7919, 0.3, 0.2),
    "new masks every step": Thinning(torch.arange(4) * 7919, 0.3, 0.2, per_step=True),
}
THINNED = pytest.mark.parametrize("thinning", THINNINGS.values(), ids=THINNINGS)


@pytest.fixture(scope="module")
def decoder() -> PointerDecoder:
    return strewn(PointerDecoder(TINY_SEQ2SEQ, NUM_SYMBOLS, SOURCE_SIZE, Switch())).eval()


@pytest.fixture(scope="module")
def encoded() -> Tensor:
    """Random encodings, also where there is nothing."""
    return torch.randn(4, 11, SOURCE_SIZE, generator=torch.Generator().manual_seed(0))


@pytest.fixture(autouse=True)
def no_gradients():
    with torch.inference_mode():
        yield


def memory_of(decoder: PointerDecoder, encoded: Tensor, lengths: Tensor = LENGTHS) -> Memory:
    mask = torch.arange(encoded.shape[1]) < (lengths + 3)[:, None]
    return decoder.memory(encoded, mask, slice(1, 1 + int(lengths.max())), lengths)


def targets(rows_each: int = 1, seed: int = 1) -> Tensor:
    """Random tokens behind an end, of symbols and pieces that each utterance has."""
    generator = torch.Generator().manual_seed(seed)
    most = NUM_SYMBOLS + LENGTHS.repeat_interleave(rows_each)
    tokens = (torch.rand(len(most), STEPS, generator=generator) * most[:, None]).long()
    tokens[:, 0] = 0
    return tokens


def cached(decoder: PointerDecoder, tokens: Tensor, memory: Memory) -> Tensor:
    """The same as `decoder(tokens, memory)`, step by step."""
    caches = decoder.caches(len(tokens))
    steps = [decoder(tokens[:, step : step + 1], memory, caches, step) for step in range(tokens.shape[1])]
    return torch.cat(steps, dim=1)


def assert_close(ours: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(ours, expected, atol=1e-5, rtol=1e-5)


@pytest.fixture
def under(decoder):
    """Puts a thinning in force for the rest of the test."""

    def put(thinning: Thinning | None) -> None:
        decoder.switch.thinning = thinning

    yield put
    decoder.switch.thinning = None


@THINNED
def test_it_does_what_a_plain_twin_does(decoder, encoded, under, thinning):
    tokens = targets()[:, :6]
    for u, length in enumerate(LENGTHS.tolist()):
        of_row = None if thinning is None else thinning.rows(torch.tensor([u]))
        under(None)
        plain = PlainDecoder(decoder, encoded[u, : length + 3], range(1, 1 + length), of_row)
        expected = plain.log_probs(tokens[u].tolist())
        under(of_row)
        alone = memory_of(decoder, encoded[u : u + 1, : length + 3], LENGTHS[u : u + 1])
        assert_close(decoder(tokens[u : u + 1], alone)[0], expected)


@THINNED
def test_cached_steps_are_the_teacher_forced_pass(decoder, encoded, under, thinning):
    """Past the room that a cache starts with."""
    under(thinning)
    memory = memory_of(decoder, encoded)
    assert_close(cached(decoder, targets(), memory), decoder(targets(), memory))
    assert decoder.switch.position == 0


@THINNED
def test_padding_and_neighbours_change_nothing(decoder, encoded, under, thinning):
    under(thinning)
    tokens, together = targets(), memory_of(decoder, encoded)
    every, stepwise = decoder(tokens, together), cached(decoder, tokens, together)
    for u, length in enumerate(LENGTHS.tolist()):
        under(None if thinning is None else thinning.rows(torch.tensor([u])))
        alone = memory_of(decoder, encoded[u : u + 1, : length + 3], LENGTHS[u : u + 1])
        expected = decoder(tokens[u : u + 1], alone)[0]
        assert expected.shape == (STEPS, NUM_SYMBOLS + length)
        for log_probs in (every[u], stepwise[u]):
            assert_close(log_probs[:, : NUM_SYMBOLS + length], expected)
            assert (log_probs[:, NUM_SYMBOLS + length :] == -torch.inf).all()


def test_several_hypotheses_may_share_one_memory(decoder, encoded):
    memory, tokens = memory_of(decoder, encoded), targets(rows_each=3)
    separate = memory.rows(torch.arange(4).repeat_interleave(3))
    expected = decoder(tokens, separate)
    assert_close(decoder(tokens, memory), expected)
    assert_close(cached(decoder, tokens, memory), expected)
    assert not torch.allclose(expected[0], expected[1])


def test_caches_and_memory_follow_their_rows(decoder, encoded):
    """Three hypotheses of each utterance go on from others, and two utterances only."""
    tokens, kept = targets(rows_each=3), torch.tensor([2, 0])
    memory, caches = memory_of(decoder, encoded), decoder.caches(12)
    for step in range(4):
        decoder(tokens[:, step : step + 1], memory, caches, step)
    rows = torch.tensor([8, 8, 6, 1, 0, 0])
    for cache in caches:
        cache.gather(rows)
    read = torch.cat([tokens[rows, :4], tokens[[3, 4, 5, 9, 10, 11], 4:6] % NUM_SYMBOLS], dim=1)
    for step in (4, 5):
        log_probs = decoder(read[:, step : step + 1], memory.rows(kept), caches, step)
    assert_close(log_probs[:, 0], decoder(read, memory.rows(kept))[:, 5])


def test_a_fresh_decoder_starts_as_the_authors():
    """Embeddings of variance 1 / size, no biases, sinusoidal positions that are no weights."""
    torch.manual_seed(0)
    fresh = PointerDecoder(TINY_SEQ2SEQ, 2000, SOURCE_SIZE, Switch())
    assert fresh.symbols.var().item() == pytest.approx(1 / 16, rel=0.05) and fresh.pointers.shape == (24, 16)
    assert fresh.pointers.var().item() == pytest.approx(1 / 16, rel=0.3)
    names = dict(fresh.named_parameters())
    assert not any(weight.any() for name, weight in names.items() if name.endswith("bias"))
    assert not any("positions" in name for name in fresh.state_dict())
    assert fresh.positions[1, [0, 8]].tolist() == pytest.approx([math.sin(1), math.cos(1)])
