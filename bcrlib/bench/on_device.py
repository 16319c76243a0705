"""Sentences a second of parsers with random weights on any device: what a network of this size can do at best.

Nothing is trained, and no encoder fetched but MiniLM's; a trained parser's candidates agree more, and are faster
re-ranked. The targets of s2s have the shape of the gold ones, so that they are as long as a trained parser's.
"""

from collections.abc import Iterable

from bcrlib.bench.bare_encoder import SingleParser
from bcrlib.bench.contestants import over_batch_sizes, task
from bcrlib.bench.gold_shape import GoldShapeParser
from bcrlib.bench.items import Items
from bcrlib.bench.seq2seq import untrained
from bcrlib.bench.throughput import Row, throughput
from bcrlib.configuration import NetworkConfig, Seq2SeqConfig
from bcrlib.data.treebank import Treebank
from bcrlib.models.checkpoint import new_parser
from bcrlib.models.runtime import Runtime
from bcrlib.models.vocabulary import build_vocabulary


def bench_on_device(
    items: Items, config: NetworkConfig | Seq2SeqConfig, runtime: Runtime, batch_sizes: Iterable[int], num_turns: int
) -> list[Row]:
    """All steps of an untrained parser in batches of these sizes and of 32, a row a step and size (`throughput`)."""
    work = task(_parser(items, config, runtime), items)
    return throughput(over_batch_sizes(work, batch_sizes), runtime.device, num_turns)


def _parser(items: Items, config: NetworkConfig | Seq2SeqConfig, runtime: Runtime) -> SingleParser:
    if isinstance(items, Treebank):
        return new_parser(config, build_vocabulary(items), 0, runtime)
    return GoldShapeParser(untrained(config, items, runtime), items)
