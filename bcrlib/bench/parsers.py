"""How fast a parser is, as fractions of the speed of the bare LSTM inside it (see bare_lstm.py), in one process."""

from collections.abc import Callable

import numpy as np
import torch
from torch import nn

from bcrlib.bench.bare_lstm import bare_lstm, lstm_forward, lstm_training
from bcrlib.bench.deepbiaf import deepbiaf_speeds, deepbiaf_tasks
from bcrlib.bench.stackptr import stackptr_speeds, stackptr_tasks
from bcrlib.bench.timing import cpu_seconds_by_turns, speed_ratio
from bcrlib.configuration import NetworkConfig, TrainingConfig
from bcrlib.data.treebank import Treebank
from bcrlib.models.checkpoint import new_parser
from bcrlib.models.encoding import EncodedTreebank, decoding_batches, encode, make_batch, training_batches
from bcrlib.models.graph_parser import DeepBiafParser
from bcrlib.models.noise import Noise
from bcrlib.models.pointer_parser import StackPtrParser
from bcrlib.models.runtime import Precision, Runtime
from bcrlib.models.vocabulary import build_vocabulary

NUM_TRAINING_BATCHES, BATCH_TOKENS = 8, 2000


def bench_parser(
    treebank: Treebank, config: NetworkConfig, precision: Precision, num_turns: int = 5
) -> dict[str, float | str]:
    """Speeds of an untrained parser of this kind and size on this treebank. Minutes at the paper's size.

    Keys: "kind", "precision"; "lstm_sentences_per_second", "lstm_training_tokens_per_second", the bare LSTM's own in
    this run; "training", a whole step as a fraction of the LSTM's forward and backward; and those of `deepbiaf_speeds`
    or `stackptr_speeds`. Medians over turns.
    """
    parser = new_parser(config, build_vocabulary(treebank), 0, Runtime(precision=precision))
    encoded = encode(treebank, parser.vocabulary, parser.vectors)
    lstm = bare_lstm(config)
    batches = training_batches(encoded.lengths, BATCH_TOKENS, np.random.default_rng(0))[:NUM_TRAINING_BATCHES]
    tasks = {
        "lstm": lstm_forward(lstm, encoded, list(decoding_batches(encoded, parser.runtime)), Runtime()),
        **(
            deepbiaf_tasks(parser, treebank) if isinstance(parser, DeepBiafParser) else stackptr_tasks(parser, treebank)
        ),
        "lstm_training": lstm_training(lstm, encoded, batches),
        "training": _training(parser, encoded, batches, precision),
    }
    seconds = cpu_seconds_by_turns(tasks, num_turns)
    num_tokens = sum(int(encoded.lengths[sentences].sum()) for sentences in batches)
    return {
        "kind": config.kind,
        "precision": precision,
        "lstm_sentences_per_second": treebank.num_sentences / float(np.median(seconds["lstm"])),
        "lstm_training_tokens_per_second": num_tokens / float(np.median(seconds["lstm_training"])),
        **(deepbiaf_speeds(seconds) if config.kind == "deepbiaf" else stackptr_speeds(seconds)),
        "training": speed_ratio(seconds, "training", "lstm_training"),
    }


def _training(
    parser: DeepBiafParser | StackPtrParser, encoded: EncodedTreebank, batches: list[np.ndarray], precision: Precision
) -> Callable[[], None]:
    """Whole steps: batch making, masks, loss, gradient, clipping, update."""
    network, recipe = parser.network, TrainingConfig()
    optimizer = torch.optim.AdamW(network.parameters(), fused=True)

    def run() -> None:
        network.train()
        for sentences in batches:
            batch = make_batch(encoded, sentences)
            noise = Noise(torch.arange(len(sentences)), batch.packing, recipe.dropout)
            with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16"):
                loss = network.loss(batch, noise)
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(network.parameters(), recipe.clip)
            optimizer.step()
        network.eval()

    return run
