"""Batches of items of like lengths."""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Int64


def batches(
    lengths: Int64[np.ndarray, "item"], max_positions: int, copies: int = 1, batch_size: int | None = None
) -> Iterator[Int64[np.ndarray, "item"]]:
    """All items sorted by length, cut so that `copies` of a batch have at most `max_positions` padded positions.

    One that has more by itself makes a batch of its own. With `batch_size` they are counted instead
    (`batches_of_size`). O(items log items).
    """
    if batch_size is not None:
        yield from batches_of_size(lengths, batch_size)
        return
    order = np.argsort(lengths, kind="stable")
    start = 0
    while start < len(order):
        sizes = lengths[order[start:]] * np.arange(1, len(order) - start + 1) * copies
        stop = start + max(1, int(np.searchsorted(sizes, max_positions, side="right")))
        yield order[start:stop]
        start = stop


def batches_of_size(lengths: Int64[np.ndarray, "item"], batch_size: int) -> list[Int64[np.ndarray, "item"]]:
    """All items sorted by length, `batch_size` to a batch; the last, of the longest, has what is left.

    ValueError for a size below 1. O(items log items).
    """
    if batch_size < 1:
        raise ValueError(f"a batch has at least one item, not {batch_size}")
    order = np.argsort(lengths, kind="stable")
    return np.split(order, range(batch_size, len(order), batch_size))
