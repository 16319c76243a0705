"""Sentences a second of parsers with random weights on any device: what networks of these sizes can do.

Nothing is trained; a trained parser's candidates agree more, and are re-ranked faster. The targets of s2s have the
shape of the gold ones, so that they are as long as a trained parser's.
"""

from collections.abc import Iterable
from typing import Any

from bcrlib.bench import dependency, semantic
from bcrlib.bench.contestants import Side, over_batch_sizes, task
from bcrlib.bench.gold_shape import GoldShapeParser
from bcrlib.bench.seq2seq import untrained
from bcrlib.bench.throughput import Row, throughput
from bcrlib.configuration import NetworkConfig, Seq2SeqConfig
from bcrlib.data.frames import FrameBank
from bcrlib.data.treebank import Treebank
from bcrlib.models.checkpoint import new_parser
from bcrlib.models.runtime import Runtime
from bcrlib.models.vocabulary import build_vocabulary


def bench_on_device(
    items: Treebank | FrameBank,
    config: NetworkConfig | Seq2SeqConfig,
    runtime: Runtime,
    batch_sizes: Iterable[int],
    num_turns: int,
) -> list[Row]:
    """All steps of an untrained parser in batches of these sizes and of 32, a row a step and size (`throughput`)."""
    side, parser = _untrained(items, config, runtime)
    return throughput(over_batch_sizes(task(side, parser, items), batch_sizes), runtime.device, num_turns)


def _untrained(
    items: Treebank | FrameBank, config: NetworkConfig | Seq2SeqConfig, runtime: Runtime
) -> tuple[Side, Any]:
    if isinstance(items, Treebank):
        return dependency, new_parser(config, build_vocabulary(items), 0, runtime)
    return semantic, GoldShapeParser(untrained(config, items, runtime), items)
