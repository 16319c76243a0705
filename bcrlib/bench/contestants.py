"""What a parser does with sentences, ready to be timed: decoding, candidates, re-ranking, and the bare encoder.

Of either task: what they do not share is in `bcrlib.bench.dependency` and `bcrlib.bench.semantic`.
"""

from collections.abc import Callable, Iterable, Mapping
from copy import copy
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np

from bcrlib.bench.grid import PAPER_BATCH, SpeedGrid
from bcrlib.decoding.strategies import DropoutP, OneBest, Strategy

NUM_CANDIDATES = 10
ONE_PASS, PASSES = "dropout-p", "dropout-p, one by one"
RERANKING, RERANKING_SAMPLES = "re-ranking", "re-ranking dropout-p"
SOME = ("encoder", "1-best", ONE_PASS, RERANKING)
"""Steps that are timed for sentences of each length, and whose memory is measured."""
Runs = Mapping[str, Callable[[], object]]


class Side(Protocol):
    """What a module knows of its task."""

    DROPOUT: float
    """Rate of dropout-p."""

    def num_words(self, items: Any) -> np.ndarray:
        """int64 [item], of the sentences of a treebank or the utterances of a bank."""

    def selected(self, items: Any, index: np.ndarray) -> Any:
        """Some of them."""

    def first_candidates(self, pool: Any, number: int) -> Any:
        """A pool with fewer candidates."""

    def strategies(self, parser: Any, num_candidates: int) -> dict[str, Strategy]:
        """Step -> how it decodes; the last one lists this many of its best structures."""

    def limits(self, parser: Any, items: Any) -> dict[str, Callable[[], object]]:
        """Step -> a run of a part of the parser that decoding cannot do without."""


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

    side: Side
    parser: Any
    """One network: an ensemble has no one encoder."""
    items: Any
    listed: Any
    """A pool of the ten best that the parser lists."""
    sampled: Any
    """A pool of dropout-p, perhaps of more than ten."""

    def in_batches_of(self, batch_size: int) -> "Task":
        """The same, decoded in batches of so many sentences."""
        parser = copy(self.parser)
        parser.runtime = replace(parser.runtime, batch_size=batch_size)
        return replace(self, parser=parser)


def task(side: Side, parser: Any, items: Any, most_sampled: int = NUM_CANDIDATES) -> Task:
    """With the candidates made, in batches that the parser makes by itself."""
    *_, listed = side.strategies(parser, NUM_CANDIDATES).values()
    samples = DropoutP(side.DROPOUT, most_sampled)
    return Task(side, parser, items, parser.candidates(items, listed), parser.candidates(items, samples))


def contestants(side: Side, parser: Any, items: Any, grid: SpeedGrid) -> list[Contestant]:
    """All that a grid asks for, each once: over batch sizes, numbers of candidates and lengths of sentences."""
    drawn = task(side, parser, evenly_drawn(side, items, grid.sentences), max(NUM_CANDIDATES, *grid.num_candidates))
    found = [*over_batch_sizes(drawn, grid.batch_sizes), *over_candidates(drawn, grid.num_candidates)]
    found += over_lengths(side, parser, items, grid.words, min(PAPER_BATCH, len(side.num_words(drawn.items))))
    first = {(one.step, one.batch_size, one.num_candidates, one.words): one for one in reversed(found)}
    return [one for one in found if one in first.values()]


def over_batch_sizes(work: Task, batch_sizes: Iterable[int]) -> list[Contestant]:
    """Every step with ten candidates, in batches of each size and of the paper's; ten passes in the paper's alone."""
    sizes = sorted({*batch_sizes, PAPER_BATCH})
    found = [one for size in sizes for one in _contestants(work, steps(work.in_batches_of(size)), size)]
    return [*found, *_contestants(work, {PASSES: _one_by_one(work.in_batches_of(PAPER_BATCH))})]


def over_candidates(work: Task, numbers: Iterable[int]) -> list[Contestant]:
    """dropout-p in one pass and re-ranking of its samples, with each number of candidates, in the paper's batches."""
    small, found = work.in_batches_of(PAPER_BATCH), []
    for number in numbers:
        runs = {ONE_PASS: _decode(small, DropoutP(work.side.DROPOUT, number))}
        runs[RERANKING_SAMPLES] = _score(small, work.side.first_candidates(work.sampled, number))
        found += [replace(one, num_candidates=number) for one in _contestants(work, runs)]
    return found


def over_lengths(side: Side, parser: Any, items: Any, lengths: Iterable[int], number: int) -> list[Contestant]:
    """Some steps with ten candidates, for the `number` sentences nearest to each length, in the paper's batches."""
    found = []
    for length in lengths:
        near = task(side, parser, nearest_in_length(side, items, length, number)).in_batches_of(PAPER_BATCH)
        found += _with_length(near, _contestants(near, _some(steps(near))))
    return found


def longest_batches(side: Side, parser: Any, items: Any, batch_sizes: Iterable[int]) -> list[Contestant]:
    """Some steps with ten candidates, for one batch of the longest sentences of each size: what needs most memory.

    A size beyond the number of sentences is left out.
    """
    by_length, found = np.argsort(side.num_words(items), kind="stable"), []
    for size in [size for size in batch_sizes if size <= len(by_length)]:
        longest = task(side, parser, side.selected(items, by_length[-size:])).in_batches_of(size)
        found += _with_length(longest, _contestants(longest, _some(steps(longest)), size))
    return found


def steps(work: Task) -> dict[str, Callable[[], object]]:
    """Step -> a run of it over all sentences, with ten candidates where it has any; decoding ends with whole trees.

    Those of `limits` and `strategies` of the side; "1-best"; "dropout-p", ten samples in one pass, decoded and not yet
    scored by the whole network; "re-ranking" of the ten that were listed, "re-ranking dropout-p" of the samples, which
    is also what `candidates` pays for that score.
    """
    side, parser, items = work.side, work.parser, work.items
    decoded = {"1-best": OneBest(), **side.strategies(parser, NUM_CANDIDATES)}
    decoded[ONE_PASS] = DropoutP(side.DROPOUT, NUM_CANDIDATES)
    return {
        **side.limits(parser, items),
        **{step: _decode(work, strategy) for step, strategy in decoded.items()},
        RERANKING: _score(work, work.listed),
        RERANKING_SAMPLES: _score(work, side.first_candidates(work.sampled, NUM_CANDIDATES)),
    }


def evenly_drawn(side: Side, items: Any, number: int) -> Any:
    """So many items evenly drawn, for files are not in random order; all of them where `number` is 0 or too large."""
    most = len(side.num_words(items))
    return side.selected(items, np.linspace(0, most - 1, min(number or most, most)).astype(np.int64))


def nearest_in_length(side: Side, items: Any, words: int, number: int) -> Any:
    """The `number` items whose length is nearest to so many words, the first ones of the equally near."""
    return side.selected(items, np.argsort(np.abs(side.num_words(items) - words), kind="stable")[:number])


_WITHOUT_CANDIDATES, _ONE_CANDIDATE = ("encoder", "bare LSTM"), ("1-best", "greedy")


def _contestants(work: Task, runs: Runs, batch_size: int = PAPER_BATCH) -> list[Contestant]:
    number = dict.fromkeys(_WITHOUT_CANDIDATES, 0) | dict.fromkeys(_ONE_CANDIDATE, 1)
    num_items = len(work.side.num_words(work.items))
    return [
        Contestant(step, batch_size, number.get(step, NUM_CANDIDATES), None, num_items, run)
        for step, run in runs.items()
    ]


def _some(runs: Runs) -> Runs:
    return {step: runs[step] for step in SOME}


def _with_length(work: Task, found: list[Contestant]) -> list[Contestant]:
    words = round(float(work.side.num_words(work.items).mean()), 1)
    return [replace(one, words=words) for one in found]


def _decode(work: Task, strategy: Strategy) -> Callable[[], object]:
    return lambda: work.parser.decoded(work.items, strategy)


def _score(work: Task, pool: Any) -> Callable[[], object]:
    return lambda: work.parser.log_probs(work.items, pool)


def _one_by_one(work: Task) -> Callable[[], object]:
    """A sample a pass, as the authors draw them."""

    def run() -> None:
        for sample in range(NUM_CANDIDATES):
            work.parser.decoded(work.items, DropoutP(work.side.DROPOUT, 1), seed=sample)

    return run
