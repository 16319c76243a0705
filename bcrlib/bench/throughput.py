"""Sentences a second of a parser on a device, all that is compared taking turns in one run (paper, section 6.4)."""

from collections.abc import Callable, Sequence

import numpy as np
import torch

from bcrlib.bench.contestants import Contestant
from bcrlib.bench.timing import wall_seconds_by_turns

Row = dict[str, str | int | float | None]
"""A measurement: "step", "batch_size", "num_candidates", "words", "metric" and "value"."""

PER_SECOND = "per_second"
DIGITS = 6
"""That a measured value keeps: a file of many of them stays small."""


def throughput(contestants: Sequence[Contestant], device: str, num_turns: int) -> list[Row]:
    """Sentences a second by the clock, medians over turns after one to warm up, a row a contestant in their order.

    None where the memory of the GPU does not do: such a contestant takes no turns.
    """
    fitting = [one for one in contestants if fits(one.run)]
    wait = torch.cuda.synchronize if device == "cuda" else None
    seconds = wall_seconds_by_turns({one: one.run for one in fitting}, num_turns, wait)
    speeds = {one: one.num_items / float(np.median(turns)) for one, turns in seconds.items()}
    return [row(one, PER_SECOND, speeds.get(one)) for one in contestants]


def row(one: Contestant, metric: str, value: float | None) -> Row:
    """What was measured of a contestant."""
    about = {name: getattr(one, name) for name in ("step", "batch_size", "num_candidates", "words")}
    return about | {"metric": metric, "value": None if value is None else float(f"{value:.{DIGITS}g}")}


def fits(run: Callable[[], object]) -> bool:
    """Whether a run ends before the memory of the GPU does; what it took is free again."""
    try:
        run()
        return True
    except torch.OutOfMemoryError:
        pass  # the frames it has gone through still hold their tensors here
    torch.cuda.empty_cache()
    return False
