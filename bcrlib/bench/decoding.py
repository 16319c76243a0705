"""Sentences a second of a trained parser: decoding, candidates, re-ranking (paper, section 6.4)."""

import numpy as np
import torch

from bcrlib.bench.timing import wall_seconds_by_turns
from bcrlib.data.treebank import Treebank
from bcrlib.decoding.strategies import DropoutP, KBest, OneBest
from bcrlib.models.graph_parser import GraphParser

NUM_CANDIDATES = 10
DROPOUT = 0.15


def bench_decoding(parser: GraphParser, treebank: Treebank, num_turns: int) -> dict[str, float]:
    """Sentences a second, medians over interleaved turns: "1-best", "k-best", "dropout-p" (ten candidates each),
    "dropout-p, one by one" (ten separate passes, as the authors run them), and "re-ranking" of ten candidates.
    """
    pool = parser.candidates(treebank, KBest(NUM_CANDIDATES))

    def one_by_one() -> None:
        for sample in range(NUM_CANDIDATES):
            parser.candidates(treebank, DropoutP(DROPOUT, 1), seed=sample)

    seconds = wall_seconds_by_turns(
        {
            "1-best": lambda: parser.candidates(treebank, OneBest()),
            "k-best": lambda: parser.candidates(treebank, KBest(NUM_CANDIDATES)),
            "dropout-p": lambda: parser.candidates(treebank, DropoutP(DROPOUT, NUM_CANDIDATES)),
            "dropout-p, one by one": one_by_one,
            "re-ranking": lambda: parser.log_probs(treebank, pool),
        },
        num_turns,
        torch.cuda.synchronize if parser.runtime.device == "cuda" else None,
    )
    return {name: treebank.num_sentences / float(np.median(turns)) for name, turns in seconds.items()}
