"""A yardstick of a dependency parser's speed: the bare LSTM inside it, torch.nn.LSTM of the same size.

It reads the same length-sorted packed batches, forward (or forward and backward), fed with vectors that are already
there. A parser must also embed words, score, and find trees.
"""

from collections.abc import Callable

import numpy as np
import torch
from torch import nn
from torch.nn.utils.rnn import PackedSequence

from bcrlib.configuration import NetworkConfig
from bcrlib.models.encoding import EncodedTreebank, make_batch
from bcrlib.models.packing import Packing
from bcrlib.models.runtime import Runtime


def bare_lstm(config: NetworkConfig) -> nn.LSTM:
    """An LSTM of the size of this parser's encoder, with random weights."""
    width = config.word_size + config.char_size + config.upos_size
    return nn.LSTM(width, config.hidden_size, config.num_layers, bidirectional=True)


def lstm_forward(
    lstm: nn.LSTM, encoded: EncodedTreebank, batches: list[np.ndarray], runtime: Runtime
) -> Callable[[], None]:
    """A run over batches of sentences, on the runtime's device and in its precision: nothing is left to autocast.

    O(tokens * hidden * (input + hidden)) a layer.
    """
    packings = [make_batch(encoded, sentences).packing for sentences in batches]
    lstm = lstm.to(runtime.device, torch.bfloat16 if runtime.precision == "bfloat16" else torch.float32)

    @torch.inference_mode()
    def run() -> None:
        for packing in packings:
            lstm(_random_input(lstm, packing))

    return run


def lstm_training(lstm: nn.LSTM, encoded: EncodedTreebank, batches: list[np.ndarray]) -> Callable[[], None]:
    """The same forward and backward, three times the cost; in float32, on the CPU."""
    packings = [make_batch(encoded, sentences).packing for sentences in batches]

    def run() -> None:
        for packing in packings:
            lstm(_random_input(lstm, packing))[0].data.sum().backward()

    return run


def _random_input(lstm: nn.LSTM, packing: Packing) -> PackedSequence:
    like = next(lstm.parameters())
    rows = torch.randn(packing.num_rows, lstm.input_size, device=like.device, dtype=like.dtype)
    return PackedSequence(rows, torch.tensor(packing.counts))
