"""Sentences a second of a trained parser: decoding, candidates, re-ranking (paper, section 6.4)."""

from collections.abc import Callable

import numpy as np
import torch

from bcrlib.bench.timing import wall_seconds_by_turns
from bcrlib.data.treebank import Treebank
from bcrlib.decoding.strategies import Beam, DropoutP, KBest, OneBest
from bcrlib.models.parser import Parser
from bcrlib.models.pointer_parser import PointerParser

NUM_CANDIDATES = 10
DROPOUT = 0.15


def bench_decoding(parser: Parser, treebank: Treebank, num_turns: int) -> dict[str, float]:
    """Sentences a second of a parser of either kind, medians over interleaved turns.

    "1-best"; "greedy" (stackptr: a beam of one); "k-best" (deepbiaf) or "beam" (stackptr), the ten candidates that the
    parser lists; "dropout-p", ten samples in one pass; "dropout-p, one by one", in ten, as the authors run them;
    "re-ranking" of the ten listed candidates, "re-ranking dropout-p" of the ten samples.
    """
    seconds = wall_seconds_by_turns(
        _tasks(parser, treebank),
        num_turns,
        torch.cuda.synchronize if parser.runtime.device == "cuda" else None,
    )
    return {name: treebank.num_sentences / float(np.median(turns)) for name, turns in seconds.items()}


def _tasks(parser: Parser, treebank: Treebank) -> dict[str, Callable[[], object]]:
    is_sequential = isinstance(parser, PointerParser)
    listed = Beam(NUM_CANDIDATES, NUM_CANDIDATES) if is_sequential else KBest(NUM_CANDIDATES)
    samples = DropoutP(DROPOUT, NUM_CANDIDATES)
    pool, sampled = parser.candidates(treebank, listed), parser.candidates(treebank, samples)

    def one_by_one() -> None:
        for sample in range(NUM_CANDIDATES):
            parser.candidates(treebank, DropoutP(DROPOUT, 1), seed=sample)

    greedy = {"greedy": lambda: parser.candidates(treebank, Beam(1, 1))} if is_sequential else {}
    return {
        "1-best": lambda: parser.candidates(treebank, OneBest()),
        **greedy,
        "beam" if is_sequential else "k-best": lambda: parser.candidates(treebank, listed),
        "dropout-p": lambda: parser.candidates(treebank, samples),
        "dropout-p, one by one": one_by_one,
        "re-ranking": lambda: parser.log_probs(treebank, pool),
        "re-ranking dropout-p": lambda: parser.log_probs(treebank, sampled),
    }
