"""The demo's updates are improvements, as what a team would ship: counted from its committed correctness."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bcrlib.experiments import counting
from bcrlib.experiments.store import CorrectnessStore
from bcrlib.metrics.uncertainty import PairCounts, difference_intervals, micro_average

DEMO = Path(__file__).resolve().parents[1] / "data" / "correctness" / "demo"
BETTER = ["deepbiaf=>stackptr", "s2s-base-part=>s2s-base", "s2s-base=>s2s-large"]
ALIKE = ["deepbiaf=>deepbiaf", "stackptr=>stackptr"]


def untreated(text: str) -> dict[str, PairCounts]:
    """Every pair of an old and a new model, by level."""
    update = counting.parse_update(text)
    store = CorrectnessStore(DEMO / ("semantic" if text.startswith("s2s") else "dependency"))
    return {level: counting.untreated(store, "clean", level, update) for level in update.task.levels}


def test_these_are_all_updates():
    stores = [CorrectnessStore(DEMO / task) for task in ("dependency", "semantic")]
    assert {str(update) for store in stores for update in counting.updates(store)} == {*BETTER, *ALIKE}


@pytest.mark.parametrize("update", BETTER)
def test_a_better_parser_is_better_on_average_at_every_level(update):
    flips = {level: micro_average(pairs.counts) for level, pairs in untreated(update).items()}
    assert {level: (f.acc_old, f.acc_new) for level, f in flips.items() if f.acc_new <= f.acc_old} == {}


@pytest.mark.parametrize("update", ALIKE)
def test_a_parser_replaced_by_its_like_is_worse_at_most_by_chance(update):
    for level, pairs in untreated(update).items():
        right, wrong = pairs.counts[..., :2].sum(axis=-1), pairs.counts[..., 2:].sum(axis=-1)
        unchanged = replace(pairs, counts=np.stack([right, 0 * right, 0 * right, wrong], axis=-1))
        change = difference_intervals(pairs, unchanged, 1000, np.random.default_rng(0))["acc_new"]
        assert change.high >= 0, (level, change)
