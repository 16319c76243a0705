"""Utterances a second of a trained s2s parser: decoding, candidates, re-ranking."""

from collections.abc import Callable

import numpy as np
import torch

from bcrlib.bench.timing import wall_seconds_by_turns
from bcrlib.data.frames import FrameBank
from bcrlib.decoding.strategies import Beam, DropoutP, OneBest
from bcrlib.models.s2s_parser import Seq2SeqParser

NUM_CANDIDATES = 10
DROPOUT = 0.1


def bench_decoding_frames(parser: Seq2SeqParser, bank: FrameBank, num_turns: int) -> dict[str, float]:
    """Utterances a second, medians over interleaved turns, by the names of `bcrlib.bench.decoding.bench_decoding`.

    "1-best", which is greedy; "beam", ten candidates by a beam of ten; "dropout-p", ten samples in one pass, and
    "dropout-p, one by one"; "re-ranking" of the beam's candidates, "re-ranking dropout-p" of the samples.
    """
    seconds = wall_seconds_by_turns(
        _tasks(parser, bank), num_turns, torch.cuda.synchronize if parser.runtime.device == "cuda" else None
    )
    return {name: bank.num_utterances / float(np.median(turns)) for name, turns in seconds.items()}


def _tasks(parser: Seq2SeqParser, bank: FrameBank) -> dict[str, Callable[[], object]]:
    beam, samples = Beam(NUM_CANDIDATES, NUM_CANDIDATES), DropoutP(DROPOUT, NUM_CANDIDATES)
    listed, sampled = parser.candidates(bank, beam), parser.candidates(bank, samples)

    def one_by_one() -> None:
        for sample in range(NUM_CANDIDATES):
            parser.candidates(bank, DropoutP(DROPOUT, 1), seed=sample)

    return {
        "1-best": lambda: parser.candidates(bank, OneBest()),
        "beam": lambda: parser.candidates(bank, beam),
        "dropout-p": lambda: parser.candidates(bank, samples),
        "dropout-p, one by one": one_by_one,
        "re-ranking": lambda: parser.log_probs(bank, listed),
        "re-ranking dropout-p": lambda: parser.log_probs(bank, sampled),
    }
