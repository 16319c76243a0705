"""Timing on a shared machine: the contestants take turns, and what counts is the ratio within a turn."""

import time
from collections.abc import Callable, Hashable, Mapping
from typing import TypeVar

import numpy as np

Name = TypeVar("Name", bound=Hashable)
Contestants = Mapping[Name, Callable[[], object]]


def cpu_seconds_by_turns(contestants: Contestants[Name], num_turns: int) -> dict[Name, np.ndarray]:
    """Process CPU seconds of each contestant in each turn: [turn] by name, a first turn to warm up left out.

    What else runs on the machine then counts less than in wall time. Of no use where a GPU does the work.
    """
    for run in contestants.values():
        run()
    return _seconds_by_turns(contestants, num_turns, time.process_time)


def wall_seconds_by_turns(
    contestants: Contestants[Name], num_turns: int, wait: Callable[[], None] | None = None
) -> dict[Name, np.ndarray]:
    """Wall seconds of each contestant in each turn: [turn] by name; who calls has warmed them up.

    `wait` waits for a GPU to finish: it is called before every look at the clock.
    """

    def clock() -> float:
        if wait is not None:
            wait()
        return time.perf_counter()

    return _seconds_by_turns(contestants, num_turns, clock)


def _seconds_by_turns(
    contestants: Contestants[Name], num_turns: int, clock: Callable[[], float]
) -> dict[Name, np.ndarray]:
    seconds: dict[Name, list[float]] = {name: [] for name in contestants}
    for _ in range(num_turns):
        for name, run in contestants.items():
            start = clock()
            run()
            seconds[name].append(clock() - start)
    return {name: np.array(values) for name, values in seconds.items()}


def speed_ratio(seconds: Mapping[str, np.ndarray], name: str, baseline: str) -> float:
    """Speed of a contestant as a fraction of the baseline's: median over turns."""
    return float(np.median(seconds[baseline] / seconds[name]))
