"""A few frames, and small seq2seq-pointer parsers that half know them, for tests of everything but accuracy."""

from dataclasses import replace
from functools import cache

import numpy as np
import torch
from random_frames import bank_of
from torch import Tensor

from bcrlib.data.frames import FrameBank, sequences_of
from bcrlib.parsers.batches import Runtime
from bcrlib.parsers.configuration import Seq2SeqConfig
from bcrlib.parsers.s2s import Seq2SeqParser
from bcrlib.parsers.s2s_network import Source, make_source
from bcrlib.parsers.targets import targets_of
from bcrlib.parsers.training import new_parser

TINY_SEQ2SEQ = Seq2SeqConfig(
    encoder="tiny", tiny_size=16, encoder_layers=1, decoder_layers=2, decoder_size=16, decoder_inner_size=32,
    decoder_heads=2, max_pieces=24, max_steps=16,
)  # fmt: skip

FRAMES = """
[IN:GET_EVENT any concerts [SL:DATE_TIME tonight ] ]
[IN:GET_DIRECTIONS way to [SL:DESTINATION the lake ] ]
[IN:GET_DIRECTIONS home ]
[IN:GET_EVENT what is on near [SL:LOCATION the lake ] [SL:DATE_TIME tonight ] ]
[IN:GET_DIRECTIONS way to [SL:DESTINATION [IN:GET_EVENT the concerts ] ] [SL:DATE_TIME at noon ] ]
[IN:GET_EVENT what is on [SL:DATE_TIME at noon ] ]
[IN:GET_DIRECTIONS to [SL:DESTINATION the zoo ] [SL:DATE_TIME at noon ] ]
[IN:GET_EVENT any near [SL:LOCATION home ] ]
"""
"""Of one to seven word pieces; the tiny tokenizer takes "zoo" letter by letter, all other words as they are."""


def frame_bank() -> FrameBank:
    """The frames above with their utterances."""
    return bank_of(*FRAMES.strip().splitlines())


def tiny_seq2seq(seed: int = 0, runtime: Runtime | None = None, **changes) -> Seq2SeqParser:
    """A parser that has seen the frames too few times: some of what it says is right, some is not a frame.

    `changes`: of the configuration, not of sizes.
    """
    parser = new_parser(replace(TINY_SEQ2SEQ, **changes), frame_bank(), seed, runtime or Runtime())
    parser.network.load_state_dict(_half_taught(seed))
    return parser


@cache
def _half_taught(seed: int) -> dict[str, Tensor]:
    parser = new_parser(TINY_SEQ2SEQ, frame_bank(), seed, Runtime())
    source, target = whole_batch(parser, frame_bank())
    optimizer = torch.optim.Adam(parser.network.parameters(), lr=1e-2)
    for _ in range(18):
        optimizer.zero_grad()
        loss, _ = parser.network(source, target, 0.0)
        (loss / target.numel()).backward()
        optimizer.step()
    return scattered(parser, 0.05, seed).network.state_dict()


def scattered(parser: Seq2SeqParser, by: float, seed: int = 0) -> Seq2SeqParser:
    """The parser with random numbers added to all its weights: no bias is zero, no distribution flat."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in parser.network.parameters():
            parameter += by * torch.randn(parameter.shape, generator=generator)
    return parser


def whole_batch(parser: Seq2SeqParser, bank: FrameBank) -> tuple[Source, Tensor]:
    """All utterances of a bank as one batch, and the targets of their frames, filled up with ends."""
    pieces, rows = parser.read(bank), np.arange(len(bank))
    targets = targets_of(sequences_of(bank, parser.labels), rows, parser.labels, pieces, parser.labels)
    return make_source(pieces, rows, "cpu"), torch.from_numpy(targets.padded(rows))
