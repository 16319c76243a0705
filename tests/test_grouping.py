"""Rows of unequal groups side by side."""

import pytest
import torch

from bcrlib.parsers.batches import grouped


def test_groups_by_hand():
    rows, place = grouped(torch.tensor([2, 0, 2, 2, 0]), 4)
    assert rows.tolist() == [[1, 4, 5], [5, 5, 5], [0, 2, 3], [5, 5, 5]]
    assert place.tolist() == [0, 0, 1, 2, 1]


@pytest.mark.parametrize("num_groups", [1, 5, 60])
def test_every_row_has_one_place_in_its_group(num_groups):
    group = torch.randint(num_groups, (40,), generator=torch.Generator().manual_seed(num_groups))
    rows, place = grouped(group, num_groups)
    assert rows.shape == (num_groups, torch.bincount(group).max())
    assert torch.equal(rows[group, place], torch.arange(40))
    assert (rows < 40).sum() == 40 and (rows <= 40).all()


def test_no_group_has_no_rows():
    rows, place = grouped(torch.zeros(0, dtype=torch.int64), 0)
    assert rows.shape == (0, 0) and len(place) == 0
