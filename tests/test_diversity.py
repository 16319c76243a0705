"""What pools offer, against comparing candidates pair by pair and tree by tree."""

import itertools

import numpy as np
import pytest

from bcrlib.data.candidates import TreePool
from bcrlib.experiments import counting
from bcrlib.experiments.counting import parse_update
from bcrlib.experiments.store import CorrectnessStore, Pool, System
from bcrlib.metrics.attachment import LEVELS
from bcrlib.metrics.flips import Units
from bcrlib.metrics.uncertainty import Share, micro_average

UPDATE = parse_update("deepbiaf=>stackptr")
OLD, NEW = ["deepbiaf/11", "deepbiaf/12"], ["stackptr/1", "stackptr/2", "stackptr/3"]
STRATEGY = "nucleus(p=0.9)"
MEASURES = ("distinct trees", "same tree", "same verdict", "ACC random", "safe")
LENGTHS = [2, 3, 1, 4, 2, 3]
NUM_CANDIDATES = 5
# The last word of each sentence is punctuation, so the third sentence has no unit.
WORDS = np.repeat(np.arange(6), np.array(LENGTHS) - 1)
UNITS = Units({"UAS": WORDS, "LAS": WORDS, "UCM": np.arange(6), "LCM": np.arange(6)}, 6)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(5)


def random_pool(rng) -> TreePool:
    """Few heads and relations to choose from: many candidates are the same."""
    size = (NUM_CANDIDATES, sum(LENGTHS))
    heads, relations = rng.integers(0, 2, size).astype(np.int16), rng.integers(0, 2, size).astype(np.int16)
    log_probs = rng.normal(size=(NUM_CANDIDATES, 6)).astype(np.float32)
    return TreePool(heads, relations, ("a", "b"), log_probs, np.cumsum([0, *LENGTHS]))


def trees(pool: TreePool, sentence: int) -> list[tuple]:
    """The candidates of a sentence, as things Python can compare."""
    words = slice(*pool.offsets[sentence : sentence + 2])
    return [(*h[words].tolist(), *r[words].tolist()) for h, r in zip(pool.heads, pool.relations)]


def saved(folder, rng) -> tuple[CorrectnessStore, dict[str, TreePool]]:
    store = CorrectnessStore(folder)
    store.save_units(UNITS, "clean")

    def right(*shape: int) -> dict[str, np.ndarray]:
        return {level: rng.random((*shape, len(UNITS.sentence_of_unit[level]))) < 0.6 for level in LEVELS}

    for method, names in (("old", OLD), ("new", NEW)):
        for name in names:
            kind, seed = name.split("/")
            store.save_system(System(method, kind, int(seed)), right(), "clean")
    pools = {name: random_pool(rng) for name in NEW}
    for name, pool in pools.items():
        key = Pool(name, STRATEGY)
        store.save_pool(key, right(NUM_CANDIDATES), "clean")
        store.save_first_equal(key, pool.first_equal())
        for scorer in (name, *OLD):
            store.save_scores(key, scorer, rng.normal(size=(NUM_CANDIDATES, 6)).astype(np.float32))
    return store, pools


def test_same_trees_pair_by_pair(rng):
    pool = random_pool(rng)
    first_equal = pool.first_equal()
    for num_candidates in (2, 3, 5):
        same = counting.same_tree(first_equal[:num_candidates])
        for sentence in range(6):
            some = trees(pool, sentence)[:num_candidates]
            pairs = list(itertools.combinations(some, 2))
            assert same[sentence] == pytest.approx(sum(a == b for a, b in pairs) / len(pairs))
    assert 0 < same.mean() < 1


def test_same_verdict_pair_by_pair(rng):
    right = rng.random((4, 30)) < 0.7
    same = counting.same_verdict(right)
    for unit in range(30):
        pairs = list(itertools.combinations(right[:, unit].tolist(), 2))
        assert same[unit] == pytest.approx(sum(a == b for a, b in pairs) / len(pairs))


def value(share: Share) -> float:
    return share.amount.sum() / share.out_of.sum()


@pytest.mark.parametrize("level", ["UAS", "LCM"])
@pytest.mark.parametrize("num_candidates", [2, None])
def test_measures_of_a_store_sentence_by_sentence(tmp_path, rng, level, num_candidates):
    store, pools = saved(tmp_path, rng)
    of_unit = UNITS.sentence_of_unit[level].tolist()
    found = {name: [] for name in MEASURES}
    for name, pool in pools.items():
        right = store.load_pool(Pool(name, STRATEGY), "clean", level)[:num_candidates].tolist()
        for sentence in range(6):
            some = trees(pool, sentence)[:num_candidates]
            pairs = list(itertools.combinations(range(len(some)), 2))
            found["distinct trees"].append(len(set(some)))
            found["same tree"].append(np.mean([some[a] == some[b] for a, b in pairs]))
            units = [unit for unit, owner in enumerate(of_unit) if owner == sentence]
            for unit in units:
                found["same verdict"].append(np.mean([right[a][unit] == right[b][unit] for a, b in pairs]))
                found["ACC random"] += [candidate[unit] for candidate in right]
            for seed in (11, 12) if units else ():
                old = store.load_system(System("old", "deepbiaf", seed), "clean", level)
                found["safe"].append(any(all(c[u] for u in units if old[u]) for c in right))
    result = counting.offered(store, "clean", level, UPDATE, STRATEGY, num_candidates)
    assert set(result) == set(MEASURES)
    assert {name: value(share) for name, share in result.items()} == pytest.approx(
        {name: np.mean(values) for name, values in found.items()}
    )


def test_a_single_candidate_has_no_agreement(tmp_path, rng):
    store, _ = saved(tmp_path, rng)
    result = counting.offered(store, "clean", "UAS", UPDATE, STRATEGY, 1)
    assert sorted(result) == ["ACC random", "distinct trees", "safe"]
    assert value(result["distinct trees"]) == 1
    picked = micro_average(counting.bcr(store, "clean", "UAS", UPDATE, STRATEGY, 1).counts)
    assert value(result["ACC random"]) == pytest.approx(picked.acc_new)


def test_no_re_ranker_saves_unsafe_sentences_and_the_oracle_saves_all_others(tmp_path, rng):
    store, _ = saved(tmp_path, rng)
    safe = value(counting.offered(store, "clean", "UAS", UPDATE, STRATEGY)["safe"])
    oracle = counting.oracle(store, "clean", "UAS", UPDATE, STRATEGY, "NFR")
    with_units = np.bincount(WORDS, minlength=6) > 0
    unbroken = oracle.counts[:, with_units, 1] == 0
    assert safe == pytest.approx(unbroken.mean())


def test_what_was_not_stored_is_named(tmp_path, rng):
    store, _ = saved(tmp_path, rng)
    with pytest.raises(KeyError, match="beam"):
        counting.offered(store, "clean", "UAS", UPDATE, "beam(b=10)")
