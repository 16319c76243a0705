"""The demo's updates are improvements, as what a team would ship: counted from its committed correctness."""

from pathlib import Path

import pytest

from bcrlib.experiments import counting
from bcrlib.experiments.store import CorrectnessStore
from bcrlib.metrics.uncertainty import micro_average
from bcrlib.pipeline.profile import load_profile

DEMO = Path(__file__).resolve().parents[1] / "data" / "correctness" / "demo"
UPDATES = {task: half.parsed_updates() for task, half in load_profile("demo").halves().items()}
MARGIN = 0.003
"""Of accuracy, here: another processor rounds otherwise, and may be as far from these numbers."""


@pytest.mark.parametrize("task", UPDATES)
def test_these_are_the_updates_of_the_profile(task):
    assert counting.updates(CorrectnessStore(DEMO / task)) == UPDATES[task]


@pytest.mark.parametrize(("task", "update"), [(task, update) for task in UPDATES for update in UPDATES[task]], ids=str)
def test_every_update_is_better_on_average_at_every_level(task, update):
    store = CorrectnessStore(DEMO / task)
    counts = {level: counting.untreated(store, "clean", level, update).counts for level in update.task.levels}
    gains = {level: micro_average(of).acc_new - micro_average(of).acc_old for level, of in counts.items()}
    assert {level: gain for level, gain in gains.items() if gain < MARGIN} == {}
