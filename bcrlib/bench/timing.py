"""Timing on a shared machine: the contestants take turns, and what counts is the ratio within a turn."""

import time
from collections.abc import Callable, Mapping

import numpy as np


def seconds_by_turns(contestants: Mapping[str, Callable[[], object]], num_turns: int) -> dict[str, np.ndarray]:
    """Process CPU seconds of each contestant in each turn: [turn] by name. One turn to warm up is not counted.

    CPU seconds, not wall time: other programs on the machine then count less. On a GPU the callables must wait for it.
    """
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    for turn in range(num_turns + 1):
        for name, run in contestants.items():
            start = time.process_time()
            run()
            if turn:
                seconds[name].append(time.process_time() - start)
    return {name: np.array(values) for name, values in seconds.items()}


def speed_ratio(seconds: Mapping[str, np.ndarray], name: str, baseline: str) -> float:
    """Speed of a contestant as a fraction of the baseline's: median over turns."""
    return float(np.median(seconds[baseline] / seconds[name]))
