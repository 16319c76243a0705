"""Timing on a shared machine: the contestants take turns, and what counts is the ratio within a turn."""

import time
from collections.abc import Callable, Mapping

import numpy as np

Contestants = Mapping[str, Callable[[], object]]


def cpu_seconds_by_turns(contestants: Contestants, num_turns: int) -> dict[str, np.ndarray]:
    """Process CPU seconds of each contestant in each turn: [turn] by name, a first turn to warm up left out.

    What else runs on the machine then counts less than in wall time. Of no use where a GPU does the work.
    """
    return _seconds_by_turns(contestants, num_turns, time.process_time)


def wall_seconds_by_turns(
    contestants: Contestants, num_turns: int, wait: Callable[[], None] | None = None
) -> dict[str, np.ndarray]:
    """Wall seconds of each contestant in each turn: [turn] by name; `wait` waits for a GPU to finish."""

    def clock() -> float:
        if wait is not None:
            wait()
        return time.perf_counter()

    return _seconds_by_turns(contestants, num_turns, clock)


def _seconds_by_turns(contestants: Contestants, num_turns: int, clock: Callable[[], float]) -> dict[str, np.ndarray]:
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    for turn in range(num_turns + 1):
        for name, run in contestants.items():
            start = clock()
            run()
            if turn:
                seconds[name].append(clock() - start)
    return {name: np.array(values) for name, values in seconds.items()}


def speed_ratio(seconds: Mapping[str, np.ndarray], name: str, baseline: str) -> float:
    """Speed of a contestant as a fraction of the baseline's: median over turns."""
    return float(np.median(seconds[baseline] / seconds[name]))
