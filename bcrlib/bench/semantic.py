"""What measurements of speed ask of semantic parsing (`bcrlib.bench.contestants.Side`)."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Int64

from bcrlib.data.frames import FrameBank
from bcrlib.decoding.strategies import Beam, Strategy
from bcrlib.frame_candidates import FramePool
from bcrlib.models.batching import batches
from bcrlib.models.s2s import make_source
from bcrlib.models.s2s_parser import Seq2SeqParser

DROPOUT = 0.1


def num_words(bank: FrameBank) -> Int64[np.ndarray, "utterance"]:
    """Of every utterance."""
    return np.array([len(words) for words in bank.utterances], dtype=np.int64)


def selected(bank: FrameBank, index: Int64[np.ndarray, "chosen"]) -> FrameBank:
    """These utterances, in this order."""
    return bank.rows(index)


def first_candidates(pool: FramePool, number: int) -> FramePool:
    """The first candidates alone of every utterance."""
    return replace(pool, sequences=pool.sequences[:number], log_probs=pool.log_probs[:number])


def strategies(parser: Seq2SeqParser, num_candidates: int) -> dict[str, Strategy]:
    """Beside the greedy frame, the best ones of a "beam"."""
    return {"beam": Beam(num_candidates, num_candidates)}


def limits(parser: Seq2SeqParser, bank: FrameBank) -> dict[str, Callable[[], object]]:
    """The parser's "encoder" alone, over the batches in which it would decode greedily."""
    pieces, runtime = parser.pieces(bank), parser.runtime
    cut = batches(pieces.lengths, runtime.max_tokens, batch_size=runtime.batch_size)
    sources = [make_source(pieces, utterances, runtime.device) for utterances in cut]

    @torch.inference_mode()
    def run() -> None:
        with runtime.autocast():
            for source in sources:
                parser.network.encoder(source.ids, source.mask)

    return {"encoder": run}
