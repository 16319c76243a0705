"""What sliders show: the counts of the experiments, for every choice; and sliders only where somebody can move them."""

import numpy as np
import pytest
from jupyter_client.manager import run_kernel
from random_stores import random_store

from bcrlib.experiments import counting
from bcrlib.experiments.store import Pool
from bcrlib.report import interactive

UPDATE = counting.Update("deepbiaf", "stackptr")
OLD, NEW = ["deepbiaf/1", "deepbiaf/2"], ["stackptr/1"]
STRATEGY = "dropout-p(p=0.1)"


@pytest.fixture
def store(tmp_path):
    return random_store(tmp_path / "store", np.random.default_rng(0), OLD, NEW, [STRATEGY, "beam(b=10)"])


@pytest.mark.parametrize("num_candidates, new_weight", [(1, 0.0), (3, 0.0), (4, 2.0)])
def test_rates_are_those_of_picking_sentence_by_sentence(store, num_candidates, new_weight):
    pool, of_word = Pool("stackptr/1", STRATEGY), store.load_units("clean").sentence_of_unit["UAS"]
    systems = {system.name: store.load_system(system, "clean", "UAS") for system in store.systems()}
    right, own = store.load_pool(pool, "clean", "UAS"), store.load_scores(pool, "stackptr/1")
    broken = errors = words = 0
    for old in OLD:
        scores = store.load_scores(pool, old) + new_weight * own
        for word, sentence in enumerate(of_word):
            pick = max(range(num_candidates), key=lambda candidate: scores[candidate, sentence])
            broken += systems[old][word] and not right[pick, word]
            errors += not right[pick, word]
            words += 1
    rates = interactive.pool_rates(store, "clean", UPDATE, STRATEGY, num_candidates, new_weight).loc["UAS", "BCR"]
    assert rates.to_dict() == pytest.approx({"ACC": 1 - errors / words, "NFR": broken / words, "NFI": broken / errors})


def test_all_levels_or_those_asked_for_and_the_update_as_it_is(store):
    rates = interactive.pool_rates(store, "clean", UPDATE, STRATEGY, 4)
    assert list(rates.index) == [(level, m) for level in ("UAS", "UCM", "LAS", "LCM") for m in ("Untreated", "BCR")]
    some = interactive.pool_rates(store, "clean", UPDATE, "beam(b=10)", 2, levels=("UCM",))
    assert list(some.index) == [("UCM", "Untreated"), ("UCM", "BCR")]
    assert some.loc["UCM", "Untreated"].equals(rates.loc["UCM", "Untreated"])
    assert not some.loc["UCM", "BCR"].equals(rates.loc["UCM", "BCR"])


@pytest.mark.parametrize("strategy, number, fault", [("top-k(k=2)", 4, "no pool by 'top-k"), (STRATEGY, 0, "nothing")])
def test_what_is_not_stored_is_refused(store, strategy, number, fault):
    with pytest.raises(ValueError, match=fault):
        interactive.pool_rates(store, "clean", UPDATE, strategy, number)


def test_text_is_in_per_cent(store):
    rates = interactive.pool_rates(store, "clean", UPDATE, STRATEGY, 4)
    assert f"{100 * rates.loc[('LCM', 'BCR'), 'NFR']:.2f}" in interactive.per_cent(rates)


@pytest.mark.parametrize("front_end", [True, False])
def test_a_person_is_where_input_may_be_asked_for(front_end):
    told: list[str] = []
    question = "from bcrlib.report.interactive import a_person_is_here; print(a_person_is_here())"
    with run_kernel() as client:
        hook = {"output_hook": lambda message: told.append(message["content"].get("text", ""))}
        client.execute_interactive(question, allow_stdin=front_end, timeout=60, **hook)
    assert "".join(told).strip() == str(front_end)


def test_outside_a_notebook_nobody_is_there():
    assert not interactive.a_person_is_here()


def test_without_a_person_there_is_one_look_and_no_widget(capsys):
    interactive.explore(lambda number=3: print(f"number {number}"), {"number": (1, 10)})
    assert capsys.readouterr().out == "number 3\n"
