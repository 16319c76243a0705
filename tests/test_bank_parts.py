"""Parts of a bank: how many rows, which ones, in which order."""

import numpy as np
import pytest
from random_trees import random_treebank

from bcrlib.data.frames import FrameBank, Node

BANK = FrameBank(tuple((f"w{i}",) for i in range(50)), tuple(Node("IN:A", (f"w{i}",)) for i in range(50)))


def rows_of(share: float, seed: int) -> list[int]:
    part = BANK.part(share, seed)
    assert [node.children for node in part.frames] == list(part.utterances)  # frames go with their words
    return [int(words[0][1:]) for words in part.utterances]


@pytest.mark.parametrize("seed", range(5))
def test_a_part_has_its_share_of_rows_in_their_order_and_holds_every_smaller_one(seed):
    smaller: set[int] = set()
    for share in (0.02, 0.3, 0.5, 0.79, 0.8, 1.0):
        rows = rows_of(share, seed)
        assert len(rows) == round(50 * share)
        assert rows == sorted(set(rows))
        assert smaller <= set(rows)
        smaller = set(rows)


def test_the_whole_is_the_bank_and_seeds_choose_differently():
    assert rows_of(1.0, 3) == list(range(50))
    parts = {tuple(rows_of(0.8, seed)) for seed in range(20)}
    assert len(parts) == 20
    left_out = [set(range(50)) - set(part) for part in parts]
    assert set.union(*left_out) == set(range(50))  # no row is always seen


def test_the_same_rows_of_a_treebank():
    treebank = random_treebank(50, np.random.default_rng(1))
    part = treebank.part(0.3, 2)
    assert part.lengths.tolist() == treebank.lengths[rows_of(0.3, 2)].tolist()
    assert treebank.part(1.0, 2).forms == treebank.forms


@pytest.mark.parametrize("share", [0, -0.5, 1.01])
def test_a_share_is_a_share(share):
    with pytest.raises(ValueError, match=r"\(0, 1\]"):
        BANK.part(share, 1)
