"""What a parser does with sentences, ready to be timed: decoding, candidates, re-ranking, and the bare encoder."""

from collections.abc import Callable, Iterable, Mapping
from copy import copy
from dataclasses import dataclass, replace

import numpy as np

from bcrlib.bench.bare_encoder import SingleParser, encoder_forward
from bcrlib.bench.bare_lstm import bare_lstm, lstm_forward
from bcrlib.bench.grid import PAPER_BATCH, SpeedGrid
from bcrlib.bench.items import Items, Pool, evenly_drawn, first_candidates, nearest_in_length, num_words, selected
from bcrlib.data.treebank import Treebank
from bcrlib.decoding.strategies import Beam, DropoutP, KBest, OneBest, Strategy
from bcrlib.models.encoding import decoding_batches, encode
from bcrlib.models.graph_parser import DeepBiafParser
from bcrlib.models.pointer_parser import StackPtrParser

NUM_CANDIDATES = 10
TREE_DROPOUT, FRAME_DROPOUT = 0.15, 0.1
ONE_PASS, PASSES = "dropout-p", "dropout-p, one by one"
SOME = ("encoder", "1-best", ONE_PASS, "re-ranking")
"""Steps that are measured for sentences of each length, and of which the memory is."""


@dataclass(frozen=True, eq=False)
class Contestant:
    """A step of a parser, to be timed beside others."""

    step: str
    batch_size: int
    num_candidates: int
    """Of a sentence; 0: it has none."""
    words: float | None
    """Mean length of its sentences, where that is what is varied."""
    num_items: int
    """How many sentences it works through."""
    run: Callable[[], object]


@dataclass(frozen=True, eq=False)
class Task:
    """A parser, sentences for it, and candidates of theirs that wait to be re-ranked."""

    parser: SingleParser
    items: Items
    listed: Pool
    """The parser's ten best: the exact list of deepbiaf, the end of a beam of ten."""
    sampled: Pool
    """Of dropout-p, perhaps more than ten."""

    def in_batches_of(self, batch_size: int) -> "Task":
        """The same, decoded in batches of so many sentences."""
        parser = copy(self.parser)
        parser.runtime = replace(parser.runtime, batch_size=batch_size)
        return replace(self, parser=parser)


def task(parser: SingleParser, items: Items, most_sampled: int = NUM_CANDIDATES) -> Task:
    """With the candidates made, in batches that the parser makes by itself."""
    listed, sampled = (
        parser.candidates(items, _listed(parser)),
        parser.candidates(items, _dropout_p(items, most_sampled)),
    )
    return Task(parser, items, listed, sampled)


def contestants(parser: SingleParser, items: Items, grid: SpeedGrid) -> list[Contestant]:
    """All that a grid asks for, each once: over batch sizes, numbers of candidates and lengths of sentences."""
    drawn = task(parser, evenly_drawn(items, grid.sentences), max(NUM_CANDIDATES, *grid.num_candidates))
    found = [*over_batch_sizes(drawn, grid.batch_sizes), *over_candidates(drawn, grid.num_candidates)]
    found += over_lengths(parser, items, grid.words, min(PAPER_BATCH, len(num_words(drawn.items))))
    place = {(one.step, one.batch_size, one.num_candidates, one.words): one for one in reversed(found)}
    return [one for one in found if place[one.step, one.batch_size, one.num_candidates, one.words] is one]


def over_batch_sizes(work: Task, batch_sizes: Iterable[int]) -> list[Contestant]:
    """Every step with ten candidates, in batches of each size and of the paper's; ten passes in the paper's alone."""
    sizes = sorted({*batch_sizes, PAPER_BATCH})
    found = [one for size in sizes for one in _contestants(work, steps(work.in_batches_of(size)), size)]
    return [*found, *_contestants(work, {PASSES: _one_by_one(work.in_batches_of(PAPER_BATCH))})]


def over_candidates(work: Task, numbers: Iterable[int]) -> list[Contestant]:
    """dropout-p in one pass and re-ranking of its samples, with each number of candidates, in the paper's batches."""
    small, found = work.in_batches_of(PAPER_BATCH), []
    for number in numbers:
        runs = {ONE_PASS: _decode(small, _dropout_p(work.items, number))}
        runs["re-ranking dropout-p"] = _score(small, first_candidates(work.sampled, number))
        found += [replace(one, num_candidates=number) for one in _contestants(work, runs)]
    return found


def over_lengths(parser: SingleParser, items: Items, lengths: Iterable[int], number: int) -> list[Contestant]:
    """Some steps with ten candidates, for the `number` sentences nearest to each length, in the paper's batches."""
    found = []
    for length in lengths:
        near = task(parser, nearest_in_length(items, length, number)).in_batches_of(PAPER_BATCH)
        found += _with_length(near, _contestants(near, _some(steps(near))))
    return found


def longest_batches(parser: SingleParser, items: Items, batch_sizes: Iterable[int]) -> list[Contestant]:
    """Some steps with ten candidates, for one batch of the longest sentences of each size: what needs most memory.

    A size beyond the number of sentences is left out.
    """
    by_length, found = np.argsort(num_words(items), kind="stable"), []
    for size in [size for size in batch_sizes if size <= len(by_length)]:
        longest = task(parser, selected(items, by_length[-size:])).in_batches_of(size)
        found += _with_length(longest, _contestants(longest, _some(steps(longest)), size))
    return found


def steps(work: Task) -> dict[str, Callable[[], object]]:
    """Step -> a run of it over all sentences, with ten candidates where it has any; decoding ends with whole trees.

    "encoder", alone, and of dependency parsers "bare LSTM", torch.nn.LSTM of its size; "1-best"; "greedy" (stackptr:
    a beam of one); "k-best" (deepbiaf) or "beam", the ten candidates that the parser lists; "dropout-p", ten samples in
    one pass; "re-ranking" of the ten that were listed, "re-ranking dropout-p" of the samples.
    """
    parser, items = work.parser, work.items
    limits = {"encoder": encoder_forward(parser, items)}
    if isinstance(items, Treebank):
        limits["bare LSTM"] = _bare_lstm(parser, items)
    greedy = {"greedy": _decode(work, Beam(1, 1))} if isinstance(parser, StackPtrParser) else {}
    return {
        **limits,
        "1-best": _decode(work, OneBest()),
        **greedy,
        "k-best" if isinstance(parser, DeepBiafParser) else "beam": _decode(work, _listed(parser)),
        ONE_PASS: _decode(work, _dropout_p(items, NUM_CANDIDATES)),
        "re-ranking": _score(work, work.listed),
        "re-ranking dropout-p": _score(work, first_candidates(work.sampled, NUM_CANDIDATES)),
    }


_WITHOUT_CANDIDATES, _ONE_CANDIDATE = ("encoder", "bare LSTM"), ("1-best", "greedy")


def _contestants(work: Task, runs: dict[str, Callable[[], object]], batch_size: int = PAPER_BATCH) -> list[Contestant]:
    number = dict.fromkeys(_WITHOUT_CANDIDATES, 0) | dict.fromkeys(_ONE_CANDIDATE, 1)
    num_items = len(num_words(work.items))
    return [
        Contestant(step, batch_size, number.get(step, NUM_CANDIDATES), None, num_items, run)
        for step, run in runs.items()
    ]


def _some(runs: Mapping[str, Callable[[], object]]) -> dict[str, Callable[[], object]]:
    return {step: runs[step] for step in SOME}


def _with_length(work: Task, found: list[Contestant]) -> list[Contestant]:
    words = round(float(num_words(work.items).mean()), 1)
    return [replace(one, words=words) for one in found]


def _listed(parser: SingleParser) -> Strategy:
    return KBest(NUM_CANDIDATES) if isinstance(parser, DeepBiafParser) else Beam(NUM_CANDIDATES, NUM_CANDIDATES)


def _dropout_p(items: Items, number: int) -> DropoutP:
    return DropoutP(TREE_DROPOUT if isinstance(items, Treebank) else FRAME_DROPOUT, number)


def _decode(work: Task, strategy: Strategy) -> Callable[[], object]:
    return lambda: work.parser.candidates(work.items, strategy)


def _score(work: Task, pool: Pool) -> Callable[[], object]:
    return lambda: work.parser.log_probs(work.items, pool)


def _one_by_one(work: Task) -> Callable[[], object]:
    """A sample a pass, as the authors draw them."""

    def run() -> None:
        for sample in range(NUM_CANDIDATES):
            work.parser.candidates(work.items, _dropout_p(work.items, 1), seed=sample)

    return run


def _bare_lstm(parser: DeepBiafParser | StackPtrParser, treebank: Treebank) -> Callable[[], object]:
    encoded, runtime = encode(treebank, parser.vocabulary, parser.vectors), parser.runtime
    cut: list[np.ndarray] = list(decoding_batches(encoded, runtime.max_tokens, batch_size=runtime.batch_size))
    return lstm_forward(bare_lstm(parser.network.config), encoded, cut, runtime)
