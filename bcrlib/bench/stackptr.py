"""What is timed of the stack-pointer parser, and the ratios that come of it."""

from collections.abc import Callable, Mapping

import numpy as np

from bcrlib.bench.timing import speed_ratio
from bcrlib.data.treebank import Treebank
from bcrlib.decoding.strategies import Beam, DropoutP
from bcrlib.models.pointer_parser import StackPtrParser

NUM_CANDIDATES = 10
DROPOUT = 0.15
EVERY = 4
"""Of the sentences, every fourth is decoded by dropout-p, ten beam searches each."""


def stackptr_tasks(parser: StackPtrParser, treebank: Treebank) -> dict[str, Callable[[], object]]:
    """What the parser does with these sentences, by name; "dropout_p" decodes alone, without scoring of what it found.

    With random weights the candidates of a beam are different trees wherever a sentence has as many, and agree less
    than a trained parser's do: re-ranking has more to read.
    """
    beam, dropout_p = Beam(NUM_CANDIDATES, NUM_CANDIDATES), DropoutP(DROPOUT, NUM_CANDIDATES)
    few = treebank.select(np.arange(0, treebank.num_sentences, EVERY))
    of_beam, of_dropout_p = parser.candidates(treebank, beam), parser.candidates(few, dropout_p)
    return {
        "greedy": lambda: parser.candidates(treebank, Beam(1, 1)),
        "beam": lambda: parser.candidates(treebank, beam),
        "reranking_beam": lambda: parser.log_probs(treebank, of_beam),
        "dropout_p": lambda: parser.decoded(few, dropout_p),
        "reranking_dropout_p": lambda: parser.log_probs(few, of_dropout_p),
    }


def stackptr_speeds(seconds: Mapping[str, np.ndarray]) -> dict[str, float]:
    """Ratios of speeds, from seconds [turn] of the tasks and of "lstm".

    "greedy" (a beam of one) and "beam" (ten candidates by a beam of ten) as fractions of the bare LSTM's;
    "reranking_beam", re-ranking of these candidates against the search that made them (1.0 = as fast);
    "reranking_dropout_p", re-ranking of ten candidates of dropout-p against decoding them.
    """
    return {
        "greedy": speed_ratio(seconds, "greedy", "lstm"),
        "beam": speed_ratio(seconds, "beam", "lstm"),
        "reranking_beam": speed_ratio(seconds, "reranking_beam", "beam"),
        "reranking_dropout_p": speed_ratio(seconds, "reranking_dropout_p", "dropout_p"),
    }
