"""How fast the seq2seq-pointer parser is: against the library's own decoding, and re-ranking against decoding."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from bcrlib.bench.generate import encoder_decoder, greedy_generation
from bcrlib.bench.gold_shape import GoldShapeParser
from bcrlib.bench.timing import cpu_seconds_by_turns, speed_ratio
from bcrlib.configuration import Seq2SeqConfig
from bcrlib.data.download import DataError
from bcrlib.data.frames import FrameBank
from bcrlib.decoding.strategies import Beam, DropoutP, OneBest
from bcrlib.frame_candidates import FramePool
from bcrlib.models.pretrained_encoder import MINILM, empty_encoder, tiny_tokenizer
from bcrlib.models.runtime import Precision, Runtime
from bcrlib.models.s2s import Seq2Seq
from bcrlib.models.s2s_checkpoint import new_parser
from bcrlib.models.s2s_parser import Seq2SeqParser

NUM_CANDIDATES = 10
DROPOUT = 0.1
NUM_DISTINCT = 3
"""So many of ten candidates of dropout-p differ where trained parsers sample them: 2.6 on TOP at this rate."""
EVERY = 8
"""Of the utterances, every eighth gets ten candidates."""


def bench_seq2seq(bank: FrameBank, config: Seq2SeqConfig, precision: Precision, num_turns: int = 5) -> dict[str, Any]:
    """Speeds of an untrained parser of this size on the utterances of this bank. Minutes at the paper's size.

    Our targets have the shape of the gold ones (`GoldShape`): as long as a trained parser's, in batches that utterances
    leave when they have ended. The library's `generate` writes as many tokens for the same batches as the longest gold
    target of each has: utterances do not leave its batches.

    Ten thinned networks that have learnt nothing hardly agree. Re-ranking, which scores equal candidates once, is
    therefore timed twice: over the first NUM_DISTINCT of them, repeated, and over the candidates as they are. Decoding
    by dropout-p is timed without the scoring of its candidates by the whole network, which costs one such re-ranking.

    Keys: "kind", "precision"; "greedy_utterances_per_second" and "generate_utterances_per_second"; "num_distinct", the
    mean number of different candidates in the two pools; and those of `seq2seq_speeds`. Medians over turns.
    """
    few = bank.rows(np.arange(0, bank.num_utterances, EVERY))
    plain = untrained(config, bank, Runtime(precision=precision))
    parser, of_few = GoldShapeParser(plain, bank), GoldShapeParser(plain, few)
    beam, dropout_p = Beam(NUM_CANDIDATES, NUM_CANDIDATES), DropoutP(DROPOUT, NUM_CANDIDATES)
    pool = of_few.candidates(few, dropout_p)
    agreeing = _agreeing(pool)
    tasks: dict[str, Callable[[], object]] = {
        "generate": greedy_generation(encoder_decoder(plain), parser, bank),
        "greedy": lambda: parser.candidates(bank, OneBest()),
        "few_greedy": lambda: of_few.candidates(few, OneBest()),
        "beam": lambda: of_few.candidates(few, beam),
        "dropout_p": lambda: of_few.decoded(few, dropout_p),
        "reranking_dropout_p": lambda: of_few.log_probs(few, agreeing),
        "reranking_different": lambda: of_few.log_probs(few, pool),
    }
    seconds = cpu_seconds_by_turns(tasks, num_turns)
    return {
        "kind": "s2s",
        "precision": precision,
        "greedy_utterances_per_second": bank.num_utterances / float(np.median(seconds["greedy"])),
        "generate_utterances_per_second": bank.num_utterances / float(np.median(seconds["generate"])),
        "num_distinct": [float(some.num_distinct().mean()) for some in (agreeing, pool)],
        **seq2seq_speeds(seconds),
    }


def _agreeing(pool: FramePool) -> FramePool:
    number = np.arange(pool.num_candidates) % NUM_DISTINCT
    return replace(pool, sequences=pool.sequences[number], log_probs=pool.log_probs[number])


def untrained(config: Seq2SeqConfig, bank: FrameBank, runtime: Runtime) -> Seq2SeqParser:
    """A parser whose decoder has learnt nothing.

    Where MiniLM cannot be had, its encoder neither: random weights of MiniLM's sizes, and word pieces made of the bank.
    """
    try:
        return new_parser(config, bank, 0, runtime)
    except DataError:
        if config.encoder != "minilm":
            raise
    network = Seq2Seq(config, empty_encoder(MINILM), len(bank.labels))
    return Seq2SeqParser([network], bank.labels, tiny_tokenizer(bank.utterances), runtime)


def seq2seq_speeds(seconds: Mapping[str, np.ndarray]) -> dict[str, float]:
    """Ratios of speeds, from seconds [turn] of the tasks.

    "greedy", against the library's `generate`; "reranking_dropout_p", re-ranking of ten candidates of dropout-p,
    NUM_DISTINCT of them different, against decoding ten, and "reranking_different" where (almost) all are; "dropout_p",
    decoding them, and "beam", ten candidates by a beam of ten, against one greedy decode (0.1: as dear as ten).
    """
    return {
        "greedy": speed_ratio(seconds, "greedy", "generate"),
        "reranking_dropout_p": speed_ratio(seconds, "reranking_dropout_p", "dropout_p"),
        "reranking_different": speed_ratio(seconds, "reranking_different", "dropout_p"),
        "dropout_p": speed_ratio(seconds, "dropout_p", "few_greedy"),
        "beam": speed_ratio(seconds, "beam", "few_greedy"),
    }
