"""What pools offer, against comparing candidates pair by pair, sentence by sentence."""

from itertools import combinations

import numpy as np
import pytest
from random_stores import random_store

from bcrlib.experiments import counting
from bcrlib.experiments.counting import parse_update
from bcrlib.experiments.store import CorrectnessStore, Pool, System
from bcrlib.metrics.uncertainty import Share, micro_average

UPDATE = parse_update("deepbiaf=>stackptr")
OLD, NEW = ["deepbiaf/11", "deepbiaf/12"], ["stackptr/1", "stackptr/2", "stackptr/3"]
STRATEGY = "nucleus(p=0.9)"
MEASURES = ("distinct trees", "same tree", "same verdict", "ACC random", "safe")
WORDS = np.array([0, 0, 1, 1, 1, 3, 4, 4])
"""Sentences of the words that count: the third has none."""
UNITS = {"UAS": WORDS, "LAS": WORDS, "UCM": np.arange(5), "LCM": np.arange(5)}


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> CorrectnessStore:
    return random_store(tmp_path_factory.mktemp("store"), np.random.default_rng(6), OLD, NEW, [STRATEGY], UNITS)


def value(share: Share) -> float:
    return share.amount.sum() / share.out_of.sum()


@pytest.mark.parametrize("level", ["UAS", "LCM"])
@pytest.mark.parametrize("num_candidates", [2, None])
def test_measures_of_a_store_sentence_by_sentence(store, level, num_candidates):
    found = {name: [] for name in MEASURES}
    for name in NEW:
        pool = Pool(name, STRATEGY)
        right = store.load_pool(pool, "clean", level)[:num_candidates].tolist()
        for sentence, some in enumerate(store.load_first_equal(pool)[:num_candidates].T.tolist()):
            found["distinct trees"].append(len(set(some)))
            found["same tree"].append(np.mean([a == b for a, b in combinations(some, 2)]))
            units = np.flatnonzero(UNITS[level] == sentence)
            for unit in units:
                found["same verdict"].append(np.mean([a[unit] == b[unit] for a, b in combinations(right, 2)]))
                found["ACC random"] += [candidate[unit] for candidate in right]
            for seed in (11, 12) if len(units) else ():
                old = store.load_system(System("old", "deepbiaf", seed), "clean", level)
                found["safe"].append(any(all(c[u] for u in units if old[u]) for c in right))
    result = counting.offered(store, "clean", level, UPDATE, STRATEGY, num_candidates)
    assert {name: value(share) for name, share in result.items()} == pytest.approx(
        {name: np.mean(values) for name, values in found.items()}
    )
    assert 0 < value(result["same tree"]) < 1


def test_a_single_candidate_has_no_agreement(store):
    result = counting.offered(store, "clean", "UAS", UPDATE, STRATEGY, 1)
    assert sorted(result) == ["ACC random", "distinct trees", "safe"]
    assert value(result["distinct trees"]) == 1
    picked = micro_average(counting.bcr(store, "clean", "UAS", UPDATE, STRATEGY, 1).counts)
    assert value(result["ACC random"]) == pytest.approx(picked.acc_new)


def test_no_re_ranker_saves_unsafe_sentences_and_the_oracle_saves_all_others(store):
    safe = value(counting.offered(store, "clean", "UAS", UPDATE, STRATEGY)["safe"])
    oracle = counting.oracle(store, "clean", "UAS", UPDATE, STRATEGY, "NFR")
    unbroken = oracle.counts[:, np.unique(WORDS), 1] == 0
    assert 0 < safe < 1 and safe == pytest.approx(unbroken.mean())


def test_what_was_not_stored_is_named(store):
    with pytest.raises(KeyError, match="beam"):
        counting.offered(store, "clean", "UAS", UPDATE, "beam(b=10)")
