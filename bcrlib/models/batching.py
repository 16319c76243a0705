"""Batches of items of like lengths."""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Int64


def batches(
    lengths: Int64[np.ndarray, "item"], max_positions: int, copies: int = 1
) -> Iterator[Int64[np.ndarray, "item"]]:
    """All items sorted by length, cut so that `copies` of a batch have at most `max_positions` padded positions.

    One that has more by itself makes a batch of its own. O(items log items).
    """
    order = np.argsort(lengths, kind="stable")
    start = 0
    while start < len(order):
        sizes = lengths[order[start:]] * np.arange(1, len(order) - start + 1) * copies
        stop = start + max(1, int(np.searchsorted(sizes, max_positions, side="right")))
        yield order[start:stop]
        start = stop
