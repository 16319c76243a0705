"""What is timed of the graph-based parser, and the ratios that come of it."""

from collections.abc import Callable, Mapping

import numpy as np

from bcrlib.bench.timing import speed_ratio
from bcrlib.data.treebank import Treebank
from bcrlib.decoding.strategies import DropoutP, KBest, OneBest
from bcrlib.models.graph_parser import DeepBiafParser

NUM_CANDIDATES = 10
DROPOUT = 0.15


def deepbiaf_tasks(parser: DeepBiafParser, treebank: Treebank) -> dict[str, Callable[[], object]]:
    """What the parser does with these sentences, by name; "dropout_p" decodes alone, and "reranking" is what scores."""
    pool = parser.candidates(treebank, KBest(NUM_CANDIDATES))
    return {
        "decoding": lambda: parser.candidates(treebank, OneBest()),
        "k_best": lambda: parser.candidates(treebank, KBest(NUM_CANDIDATES)),
        "reranking": lambda: parser.log_probs(treebank, pool),
        "dropout_p": lambda: parser.decoded(treebank, DropoutP(DROPOUT, NUM_CANDIDATES)),
    }


def deepbiaf_speeds(seconds: Mapping[str, np.ndarray]) -> dict[str, float]:
    """Speeds as fractions of the bare LSTM's (1.0 = as fast), from seconds [turn] of the tasks and of "lstm".

    "decoding" (1-best), "k_best", "reranking" of ten candidates, "dropout_p" (ten samples a sentence in one pass); and
    "dropout_p_against_ten_decodes", cost of these samples in ten 1-best decodes (1.0 = as dear as the paper's way).
    """
    names = ("decoding", "k_best", "reranking", "dropout_p")
    speeds = {name: speed_ratio(seconds, name, "lstm") for name in names}
    return speeds | {"dropout_p_against_ten_decodes": 1 / (10 * speed_ratio(seconds, "dropout_p", "decoding"))}
