"""Timing on a shared machine: the contestants take turns, so that other work hits all alike; and memory on CUDA."""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float64

from bcrlib.bench.grid import MEMORY, NUM_CANDIDATES, PAPER_BATCH, SPEED
from bcrlib.parsers.pieces import forget


@dataclass(frozen=True, eq=False)
class Contestant:
    """A step of a parser, or a yardstick, to be timed beside others."""

    step: str
    run: Callable[[], object]
    num_items: int
    """How many sentences it works through."""
    batch_size: int = PAPER_BATCH
    num_candidates: int = NUM_CANDIDATES
    """Of a sentence; 0: it has none."""
    words: float | None = None
    """Mean length of its sentences, where that is what is varied."""


Seconds = Mapping[Contestant, Float64[np.ndarray, "turn"]]
Row = dict[str, str | int | float | None]
"""A measurement: "step", "batch_size", "num_candidates", "words", "metric" and "value"."""
DIGITS = 6
"""That a measured value keeps: a file of many of them stays small."""


def timed(contestants: Iterable[Contestant], num_turns: int, clock: Callable[[], float]) -> Seconds:
    """Seconds of each contestant in each turn, after one to warm up; without those too large for a GPU's memory.

    `time.process_time` counts what else runs on the machine least, and is of no use where a GPU does the work: there
    `wall_clock`. Contextual vectors are computed in every run, once.
    """
    seconds: dict[Contestant, list[float]] = {one: [] for one in contestants if _fits(one.run)}
    for _ in range(num_turns):
        for one, turns in seconds.items():
            forget()
            start = clock()
            one.run()
            turns.append(clock() - start)
    return {one: np.array(turns) for one, turns in seconds.items()}


def wall_clock(device: str) -> Callable[[], float]:
    """A clock that waits for the device to finish what it was given."""

    def seconds() -> float:
        if device == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter()

    return seconds


def per_second(one: Contestant, turns: Float64[np.ndarray, "turn"]) -> float:
    """Sentences a second: the median over turns."""
    return one.num_items / float(np.median(turns))


def throughput(contestants: Sequence[Contestant], device: str, num_turns: int) -> list[Row]:
    """Sentences a second by the clock, a row a contestant in their order (paper, section 6.4).

    None where the memory of the GPU does not do.
    """
    seconds = timed(contestants, num_turns, wall_clock(device))
    return [_row(one, SPEED, per_second(one, seconds[one]) if one in seconds else None) for one in contestants]


def memory(contestants: Iterable[Contestant]) -> list[Row]:
    """The most bytes of tensors at once beyond those before, a row a contestant in their order; None: too many.

    On CUDA alone, whose allocator counts them. What a process takes of a CPU's memory tells little of one step: what an
    earlier one has used is kept for the next.
    """
    rows = []
    for one in contestants:
        fits = _fits(one.run)
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        if fits:
            one.run()
            torch.cuda.synchronize()
        rows.append(_row(one, MEMORY, torch.cuda.max_memory_allocated() - before if fits else None))
    return rows


def _row(one: Contestant, metric: str, value: float | None) -> Row:
    about = {name: getattr(one, name) for name in ("step", "batch_size", "num_candidates", "words")}
    return about | {"metric": metric, "value": None if value is None else float(f"{value:.{DIGITS}g}")}


def _fits(run: Callable[[], object]) -> bool:
    """Whether a run ends before the memory of the GPU does; what it took is free again."""
    try:
        run()
        return True
    except torch.OutOfMemoryError:
        pass  # the frames it has gone through still hold their tensors here
    torch.cuda.empty_cache()
    return False
