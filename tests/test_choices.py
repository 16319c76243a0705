"""Choices on dev: the rules on numbers made by hand, and all of it on a store, counted again one by one."""

import json

import numpy as np
import pytest
from random_stores import random_store

from bcrlib.experiments import counting
from bcrlib.experiments.choices import NEW_WEIGHTS, choose_on_dev, chosen_rate, chosen_weight
from bcrlib.experiments.counting import Update
from bcrlib.experiments.store import CorrectnessStore
from bcrlib.metrics.flips import Flips
from bcrlib.metrics.uncertainty import micro_average

UPDATE = Update("deepbiaf", "stackptr")


def of(uas: tuple[int, int], ucm: tuple[int, int]) -> dict[str, Flips]:
    """Of 100 words and 100 sentences: how many are right after the update, and how many of 70 were broken."""
    return {
        level: Flips(70 - broken, broken, right - 70 + broken, 30 - right + 70 - broken)
        for level, (right, broken) in {"UAS": uas, "UCM": ucm}.items()
    }


PLAIN = of((80, 10), (60, 20))
BAR = of((81, 6), (59, 10))  # the paper's BCR


def test_the_weight_cuts_most_among_those_that_keep_the_accuracy_of_the_paper_s_bcr():
    tried = {
        0.0: of((82, 1), (58, 2)),  # cuts most, but is below the bar in UCM
        0.1: of((81, 2), (59, 9)),  # cuts 80 and 55 %
        0.2: of((81, 4), (60, 4)),  # cuts 60 and 80 %
        0.5: of((83, 5), (61, 8)),  # cuts 50 and 60 %
    }
    assert chosen_weight(tried, PLAIN, BAR) == 0.2
    assert chosen_weight(tried | {0.1: of((81, 2), (59, 4))}, PLAIN, BAR) == 0.1
    assert chosen_weight(tried, PLAIN, PLAIN) == 0.2  # 0.1 keeps no accuracy of whole sentences


def test_of_equal_weights_the_first_and_without_any_the_most_accurate():
    same = of((81, 4), (60, 4))
    assert chosen_weight({0.0: same, 0.5: same}, PLAIN, BAR) == 0.0
    assert chosen_weight({0.0: of((79, 1), (58, 1)), 0.5: of((80, 5), (58, 9))}, PLAIN, BAR) == 0.5


def test_a_level_without_flips_says_nothing_of_the_cut():
    plain = of((80, 10), (75, 0))
    tried = {0.0: of((81, 5), (75, 1)), 0.5: of((81, 6), (75, 0))}
    assert chosen_weight(tried, plain, of((80, 9), (75, 0))) == 0.0


def test_the_rate_has_the_lowest_nfr_at_the_choice_level():
    tried = {"a": of((80, 5), (60, 1)), "b": of((80, 4), (60, 9)), "c": of((99, 4), (60, 0))}
    assert chosen_rate(tried, "UAS") == "b"
    assert chosen_rate(tried, "UCM") == "c"


@pytest.fixture
def store(tmp_path) -> CorrectnessStore:
    strategies = ["1-best", "beam(b=10)", "dropout-p(p=0.1)", "dropout-p(p=0.2)"]
    old, new = ["deepbiaf/11", "deepbiaf/12"], ["stackptr/1", "stackptr/2"]
    return random_store(tmp_path, np.random.default_rng(8), old, new, strategies)


def test_all_that_was_tried_is_kept_and_the_rules_follow_from_it(store):
    choice = choose_on_dev(store, "clean", UPDATE)
    assert json.loads(json.dumps(choice)) == choice
    rates = {row["strategy"]: row["nfr"] for row in choice["grid"] if row["level"] == "LAS"}
    assert set(rates) == {"dropout-p(p=0.1)", "dropout-p(p=0.2)"} and choice["strategy"] == min(rates, key=rates.get)
    joined = choice["joined"]
    assert joined["strategy"] == f"1-best+beam(b=10)+{choice['strategy']}"
    assert [row["new_weight"] for row in joined["grid"][::4]] == list(NEW_WEIGHTS)
    for row in joined["grid"]:
        counts = counting.bcr(
            store, "clean", row["level"], UPDATE, joined["strategy"], new_weight=row["new_weight"]
        ).counts
        assert (row["nfr"], row["acc_new"]) == (micro_average(counts).nfr, micro_average(counts).acc_new)
    before = {row["level"]: row["nfr"] for row in choice["untreated"]}
    bar = {row["level"]: row["acc_new"] for row in choice["grid"] if row["strategy"] == choice["strategy"]}
    keep, accuracy = {}, {}
    for weight in NEW_WEIGHTS:
        rows = [row for row in joined["grid"] if row["new_weight"] == weight]
        accuracy[weight] = sum(row["acc_new"] for row in rows)
        if all(row["acc_new"] >= bar[row["level"]] for row in rows):
            keep[weight] = sum(1 - row["nfr"] / before[row["level"]] for row in rows)
    best = keep or accuracy
    assert joined["new_weight"] == max(best, key=best.get)
    store.save_manifest({"dropout_choice": {str(UPDATE): choice}})
    assert counting.joined_choice(store, UPDATE) == (joined["strategy"], joined["new_weight"])
    store.save_manifest({"dropout_choice": {str(UPDATE): {"strategy": choice["strategy"]}}})
    assert counting.joined_choice(store, UPDATE) is None
