"""Rows that belong together, side by side: the layout of a batched product over groups of unequal size."""

import torch
from jaxtyping import Int64
from torch import Tensor


def grouped(
    group: Int64[Tensor, "row"], num_groups: int
) -> tuple[Int64[Tensor, "num_groups largest"], Int64[Tensor, "row"]]:
    """The rows of each group, filled up with the number of rows (one behind the last), and each row's place there.

    O(row log row + groups * largest).
    """
    order = group.argsort(stable=True)
    counts = torch.bincount(group, minlength=num_groups)
    starts = counts.cumsum(0) - counts
    place = torch.empty_like(group)
    place[order] = torch.arange(len(group), device=group.device) - starts[group[order]]
    largest = int(counts.max()) if num_groups else 0
    rows = torch.full((num_groups, largest), len(group), device=group.device)
    rows[group, place] = torch.arange(len(group), device=group.device)
    return rows, place
