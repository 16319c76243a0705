"""What measurements of speed ask of dependency parsing (`bcrlib.bench.contestants.Side`)."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Int64

from bcrlib.bench.bare_lstm import bare_lstm, lstm_forward
from bcrlib.candidates import CandidatePool
from bcrlib.data.treebank import Treebank
from bcrlib.decoding.strategies import Beam, KBest, Strategy
from bcrlib.models.encoding import EncodedTreebank, decoding_batches, encode, make_batch
from bcrlib.models.graph_parser import DeepBiafParser
from bcrlib.models.pointer_parser import StackPtrParser

DROPOUT = 0.15
SingleParser = DeepBiafParser | StackPtrParser
"""One network: an ensemble has no one encoder."""


def num_words(treebank: Treebank) -> Int64[np.ndarray, "sentence"]:
    """Of every sentence."""
    return treebank.lengths


def selected(treebank: Treebank, index: Int64[np.ndarray, "chosen"]) -> Treebank:
    """These sentences, in this order."""
    return treebank.select(index)


def first_candidates(pool: CandidatePool, number: int) -> CandidatePool:
    """The first candidates alone of every sentence."""
    heads, relations, log_probs = (values[:number] for values in (pool.heads, pool.relations, pool.log_probs))
    return replace(pool, heads=heads, relations=relations, log_probs=log_probs)


def strategies(parser: SingleParser, num_candidates: int) -> dict[str, Strategy]:
    """Beside the one best tree: "greedy" of stackptr, and the best trees, "k-best" of deepbiaf or of a "beam"."""
    if isinstance(parser, DeepBiafParser):
        return {"k-best": KBest(num_candidates)}
    return {"greedy": Beam(1, 1), "beam": Beam(num_candidates, num_candidates)}


def limits(parser: SingleParser, treebank: Treebank) -> dict[str, Callable[[], object]]:
    """The parser's "encoder" alone and the "bare LSTM" of its size, over the batches in which it would decode."""
    encoded, runtime = encode(treebank, parser.vocabulary, parser.vectors), parser.runtime
    cut = list(decoding_batches(encoded, runtime))
    lstm = lstm_forward(bare_lstm(parser.network.config), encoded, cut, runtime)
    return {"encoder": _encoder_forward(parser, encoded, cut), "bare LSTM": lstm}


def _encoder_forward(parser: SingleParser, encoded: EncodedTreebank, cut: list[np.ndarray]) -> Callable[[], object]:
    batches = [make_batch(encoded, sentences, parser.runtime.device) for sentences in cut]

    @torch.inference_mode()
    def run() -> None:
        with parser.runtime.autocast():
            for batch in batches:
                parser.network.encoder(batch, None)

    return run
