"""The limit of a parser's speed: its own encoder alone, on the same batches and in the same precision."""

from collections.abc import Callable

import torch

from bcrlib.bench.items import Items
from bcrlib.data.treebank import Treebank
from bcrlib.models.batching import batches
from bcrlib.models.encoding import decoding_batches, encode, make_batch
from bcrlib.models.graph_parser import DeepBiafParser
from bcrlib.models.pointer_parser import StackPtrParser
from bcrlib.models.s2s import make_source
from bcrlib.models.s2s_parser import Seq2SeqParser

SingleParser = DeepBiafParser | StackPtrParser | Seq2SeqParser
"""One network: an ensemble has no one encoder."""


def encoder_forward(parser: SingleParser, items: Items) -> Callable[[], None]:
    """A run of the encoder over the batches in which the parser would decode, made beforehand; nothing is kept."""
    network, runtime = parser.network, parser.runtime
    inputs = _sentences(parser, items) if isinstance(items, Treebank) else _utterances(parser, items)

    @torch.inference_mode()
    def run() -> None:
        with runtime.autocast():
            for arguments in inputs:
                network.encoder(*arguments)

    return run


def _sentences(parser: DeepBiafParser | StackPtrParser, treebank: Treebank) -> list[tuple]:
    encoded, runtime = encode(treebank, parser.vocabulary, parser.vectors), parser.runtime
    cut = decoding_batches(encoded, runtime.max_tokens, batch_size=runtime.batch_size)
    return [(make_batch(encoded, sentences, runtime.device), None) for sentences in cut]


def _utterances(parser: Seq2SeqParser, items: Items) -> list[tuple]:
    pieces, runtime = parser.pieces(items), parser.runtime
    cut = batches(pieces.lengths, runtime.max_tokens, batch_size=runtime.batch_size)
    sources = [make_source(pieces, utterances, runtime.device) for utterances in cut]
    return [(source.ids, source.mask) for source in sources]
