"""How fast the deep biaffine parser is, as a fraction of the bare LSTM inside it.

The limit is torch.nn.LSTM of the same size, forward (or forward and backward), on the same length-sorted packed
batches, in float32, fed with vectors that are already there. A parser must also embed words, score arcs and labels, and
find trees.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass

import numpy as np
import torch
from torch import nn
from torch.nn.utils.rnn import PackedSequence

from bcrlib.bench.timing import cpu_seconds_by_turns, speed_ratio
from bcrlib.data.treebank import Treebank
from bcrlib.decoding.strategies import DropoutP, KBest, OneBest
from bcrlib.models.checkpoint import new_parser
from bcrlib.models.deepbiaf import DeepBiafConfig
from bcrlib.models.encoding import EncodedTreebank, decoding_batches, encode, make_batch, training_batches
from bcrlib.models.graph_parser import DeepBiafParser
from bcrlib.models.noise import Noise
from bcrlib.models.packing import Packing
from bcrlib.models.runtime import Precision, Runtime
from bcrlib.models.vocabulary import build_vocabulary

NUM_CANDIDATES = 10


@dataclass(frozen=True)
class ParserSpeed:
    """Speeds as fractions of the bare LSTM's (1.0 = as fast), and the LSTM's own in this run."""

    precision: str
    lstm_sentences_per_second: float
    lstm_training_tokens_per_second: float
    decoding: float
    k_best: float
    reranking: float
    dropout_p: float
    """Ten samples a sentence in one pass."""
    dropout_p_against_ten_decodes: float
    """Cost of ten samples, in ten 1-best decodes (1.0 = as dear as the paper's ten passes)."""
    training: float


def bench_parser(
    treebank: Treebank, config: DeepBiafConfig, precision: Precision, num_turns: int = 5
) -> dict[str, float | str]:
    """Speeds of an untrained parser of this size on this treebank, one process. Minutes at the paper's size."""
    runtime = Runtime(precision=precision)
    parser = new_parser(config, build_vocabulary(treebank), 0, runtime)
    encoded = encode(treebank, parser.vocabulary, parser.vectors)
    lstm = nn.LSTM(_input_size(config), config.hidden_size, config.num_layers, bidirectional=True)
    pool = parser.candidates(treebank, KBest(NUM_CANDIDATES))
    forward = _packings(encoded, list(decoding_batches(encoded, runtime.max_tokens)))
    batches = training_batches(encoded.lengths, 2000, np.random.default_rng(0))[:8]
    seconds = cpu_seconds_by_turns(
        {
            "lstm": lambda: _lstm_forward(lstm, forward),
            "decoding": lambda: parser.candidates(treebank, OneBest()),
            "k_best": lambda: parser.candidates(treebank, KBest(NUM_CANDIDATES)),
            "reranking": lambda: parser.log_probs(treebank, pool),
            "dropout_p": lambda: parser.candidates(treebank, DropoutP(0.15, NUM_CANDIDATES)),
            "lstm_training": _lstm_training(lstm, _packings(encoded, batches)),
            "training": _training(parser, encoded, batches, precision),
        },
        num_turns,
    )
    num_tokens = sum(int(encoded.lengths[b].sum()) for b in batches)
    speed = ParserSpeed(
        precision=precision,
        lstm_sentences_per_second=treebank.num_sentences / float(np.median(seconds["lstm"])),
        lstm_training_tokens_per_second=num_tokens / float(np.median(seconds["lstm_training"])),
        decoding=speed_ratio(seconds, "decoding", "lstm"),
        k_best=speed_ratio(seconds, "k_best", "lstm"),
        reranking=speed_ratio(seconds, "reranking", "lstm"),
        dropout_p=speed_ratio(seconds, "dropout_p", "lstm"),
        dropout_p_against_ten_decodes=1 / (10 * speed_ratio(seconds, "dropout_p", "decoding")),
        training=speed_ratio(seconds, "training", "lstm_training"),
    )
    return asdict(speed)


def _input_size(config: DeepBiafConfig) -> int:
    return config.word_size + config.char_size + config.upos_size


def _packings(encoded: EncodedTreebank, batches: list[np.ndarray]) -> list[Packing]:
    return [make_batch(encoded, sentences).packing for sentences in batches]


@torch.inference_mode()
def _lstm_forward(lstm: nn.LSTM, packings: list[Packing]) -> None:
    for packing in packings:
        lstm(_random_input(lstm, packing))


def _lstm_training(lstm: nn.LSTM, packings: list[Packing]) -> Callable[[], None]:
    def run() -> None:
        for packing in packings:
            lstm(_random_input(lstm, packing))[0].data.sum().backward()

    return run


def _random_input(lstm: nn.LSTM, packing: Packing) -> PackedSequence:
    return PackedSequence(torch.randn(packing.num_rows, lstm.input_size), torch.tensor(packing.counts))


def _training(
    parser: DeepBiafParser, encoded: EncodedTreebank, batches: list[np.ndarray], precision: Precision
) -> Callable[[], None]:
    """Whole steps: batch making, masks, loss, gradient, update."""
    optimizer = torch.optim.AdamW(parser.network.parameters(), fused=True)

    def run() -> None:
        parser.network.train()
        for sentences in batches:
            batch = make_batch(encoded, sentences)
            noise = Noise(torch.arange(len(sentences)), batch.packing, 0.33)
            with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16"):
                loss = parser.network.loss(batch, noise)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        parser.network.eval()

    return run
