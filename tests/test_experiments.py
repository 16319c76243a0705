"""The experiments against counting by hand, pair by pair and sentence by sentence."""

import itertools

import numpy as np
import pytest

from bcrlib import experiments
from bcrlib.correctness import CorrectnessStore, Pool, System
from bcrlib.metrics.attachment import LEVELS, Units
from bcrlib.metrics.uncertainty import micro_average

WORDS = {"UAS": 12, "LAS": 12, "UCM": 5, "LCM": 5}
OLD, NEW = (11, 12), (1, 2)
NUM_CANDIDATES = 4
STRATEGY = "dropout-p(p=0.1)"


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(3)


@pytest.fixture
def units() -> Units:
    words, trees = np.array([0, 0, 0, 1, 1, 2, 2, 2, 2, 3, 4, 4]), np.arange(5)
    return Units({"UAS": words, "LAS": words, "UCM": trees, "LCM": trees}, 5)


@pytest.fixture
def store(tmp_path, rng, units) -> CorrectnessStore:
    store = CorrectnessStore(tmp_path)
    store.save_units(units, "clean")

    def right(*shape: int) -> dict[str, np.ndarray]:
        return {level: rng.random((*shape, WORDS[level])) < 0.7 for level in LEVELS}

    for seed in OLD + NEW:
        store.save_system(System("untreated", "deepbiaf", seed), right(), "clean")
    for seed in OLD:
        store.save_system(System("distillation", "deepbiaf", 1, seed), right(), "clean")
    for number, members in enumerate([(1, 2), (3, 4)], start=1):
        store.save_system(System("ensemble", "deepbiaf", number, None, members), right(), "clean")
    for seed in NEW:
        pool = Pool(f"deepbiaf/{seed}", STRATEGY)
        store.save_pool(pool, right(NUM_CANDIDATES), "clean")
        for scorer in (seed, *OLD):
            scores = rng.normal(size=(NUM_CANDIDATES, 5)).astype(np.float32)
            store.save_scores(pool, f"deepbiaf/{scorer}", scores)
    return store


def single(store, seed, level):
    return store.load_system(System("untreated", "deepbiaf", seed), "clean", level)


def counted(pairs) -> tuple[int, int, int, int]:
    """yy, yn, ny, nn over pairs of boolean arrays, one unit at a time."""
    total = [0, 0, 0, 0]
    for old, new in pairs:
        for o, n in zip(old, new, strict=True):
            total[2 * (not o) + (not n)] += 1
    return tuple(total)


def totals(pairs) -> tuple[int, int, int, int]:
    flips = micro_average(pairs.counts)
    return flips.yy, flips.yn, flips.ny, flips.nn


def test_old_models_only_score_and_new_ones_propose(store):
    assert experiments.old_models(store) == ["deepbiaf/11", "deepbiaf/12"]
    assert experiments.new_models(store) == ["deepbiaf/1", "deepbiaf/2"]
    assert experiments.dropout_strategy(store) == STRATEGY


@pytest.mark.parametrize("level", LEVELS)
def test_retrained_takes_ordered_pairs_of_old_models(store, level):
    pairs = [(single(store, a, level), single(store, b, level)) for a, b in itertools.permutations(OLD, 2)]
    assert totals(experiments.retrained(store, "clean", level)) == counted(pairs)


@pytest.mark.parametrize("level", LEVELS)
def test_untreated_takes_every_old_with_every_new(store, level):
    pairs = [(single(store, a, level), single(store, b, level)) for a in OLD for b in NEW]
    result = experiments.untreated(store, "clean", level)
    assert totals(result) == counted(pairs)
    assert len(result.old_of_pair) == 4


def test_distillation_takes_each_old_with_its_own_student(store):
    students = {s: store.load_system(System("distillation", "deepbiaf", 1, s), "clean", "LAS") for s in OLD}
    result = experiments.distillation(store, "clean", "LAS")
    assert totals(result) == counted([(single(store, s, "LAS"), students[s]) for s in OLD])
    assert result.nested


def test_ensemble_takes_every_old_with_every_group(store):
    groups = [
        store.load_system(System("ensemble", "deepbiaf", n, None, m), "clean", "UAS")
        for n, m in [(1, (1, 2)), (2, (3, 4))]
    ]
    pairs = [(single(store, s, "UAS"), group) for s in OLD for group in groups]
    assert totals(experiments.ensemble(store, "clean", "UAS")) == counted(pairs)


def chosen_right(store, units, new, level, scores) -> np.ndarray:
    """The re-ranked prediction, chosen sentence by sentence with plain loops."""
    right = store.load_pool(Pool(f"deepbiaf/{new}", STRATEGY), "clean", level)
    result = []
    for unit, sentence in enumerate(units.sentence_of_unit[level]):
        best = max(range(len(scores)), key=lambda c: (scores[c][sentence], -c))
        result.append(right[best][unit])
    return np.array(result)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("num_candidates", [1, 3, None])
def test_bcr_lets_the_old_model_pick(store, units, level, num_candidates):
    pairs = []
    for old, new in itertools.product(OLD, NEW):
        scores = store.load_scores(Pool(f"deepbiaf/{new}", STRATEGY), f"deepbiaf/{old}")[:num_candidates]
        pairs.append((single(store, old, level), chosen_right(store, units, new, level, scores)))
    assert totals(experiments.bcr(store, "clean", level, STRATEGY, num_candidates)) == counted(pairs)


def test_a_large_new_weight_is_the_new_model_s_own_choice(store):
    weighted = experiments.bcr(store, "clean", "LAS", STRATEGY, new_weight=1e6)
    assert totals(weighted) == totals(experiments.own_choice(store, "clean", "LAS", STRATEGY))


def test_oracles_are_best_at_what_they_look_at(store):
    methods = {
        "bcr": micro_average(experiments.bcr(store, "clean", "UAS", STRATEGY).counts),
        "ACC": micro_average(experiments.oracle(store, "clean", "UAS", STRATEGY, "ACC").counts),
        "NFR": micro_average(experiments.oracle(store, "clean", "UAS", STRATEGY, "NFR").counts),
    }
    assert max(methods, key=lambda name: methods[name].acc_new) == "ACC"
    assert min(methods, key=lambda name: methods[name].nfr) == "NFR"


def test_the_oracle_decides_by_words_for_whole_trees(store, units):
    new, old = NEW[0], OLD[0]
    words = store.load_pool(Pool(f"deepbiaf/{new}", STRATEGY), "clean", "UAS")
    scores = [[sum(row[units.sentence_of_unit["UAS"] == s]) for s in range(5)] for row in words]
    expected = chosen_right(store, units, new, "UCM", scores)
    result = experiments.oracle(store, "clean", "UCM", STRATEGY, "ACC")
    pair = list(zip(result.old_of_pair, result.new_of_pair)).index((f"deepbiaf/{old}", f"deepbiaf/{new}"))
    assert tuple(result.counts[pair].sum(axis=0)) == counted([(single(store, old, "UCM"), expected)])
