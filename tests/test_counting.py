"""The experiments against counting by hand, pair by pair and sentence by sentence."""

import itertools

import numpy as np
import pytest
from random_stores import UNITS, counted, random_right, random_store, totals

from bcrlib.experiments import counting
from bcrlib.experiments.counting import Update, parse_update
from bcrlib.experiments.store import CorrectnessStore, Pool, System
from bcrlib.metrics.attachment import LEVELS
from bcrlib.metrics.flips import Units
from bcrlib.metrics.uncertainty import micro_average

OLD, NEW = (11, 12), (1, 2)
GROUPS = ((1, 2), (3, 4))
STRATEGY = "dropout-p(p=0.1)"
KINDS = ("deepbiaf", "stackptr")
UPDATES = (*(Update(kind, kind) for kind in KINDS), Update("deepbiaf", "stackptr"), Update("stackptr", "deepbiaf"))
HOMOGENEOUS, CROSS = UPDATES[0], UPDATES[2]

every_update = pytest.mark.parametrize("update", UPDATES, ids=str)
every_level = pytest.mark.parametrize("level", LEVELS)


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> CorrectnessStore:
    rng, folder = np.random.default_rng(4), tmp_path_factory.mktemp("store")
    old, new = ([f"{kind}/{seed}" for kind in KINDS for seed in seeds] for seeds in (OLD, NEW))
    store = random_store(folder, rng, old, new, [STRATEGY])
    for kind in KINDS:
        systems = [System("ensemble", kind, number, None, group) for number, group in enumerate(GROUPS, start=1)]
        systems += [System("distillation", kind, 1, teacher) for teacher in old]
        for system in systems:
            store.save_system(system, random_right(rng, UNITS), "clean")
    store.save_manifest({"dropout_choice": {str(u): {"strategy": STRATEGY, "grid": []} for u in UPDATES}})
    return store


def right_of(store, level, method, kind, seed, teacher=None, members=()):
    return store.load_system(System(method, kind, seed, teacher, members), "clean", level)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("deepbiaf", "OLD=>NEW"),
        ("deepbiaf=>s2s", "unknown kind .* 's2s'"),
        ("deepbiaf=>s2s-base", "of one task cannot replace one of the other"),
    ],
)
def test_malformed_updates_are_refused(text, words):
    with pytest.raises(ValueError, match=words):
        parse_update(text)


@pytest.mark.parametrize(
    ("stored", "listed"),
    [(["k-best"], "k-best"), (["k-best", "k-best(labelled)"], "k-best(labelled)"), ([STRATEGY], "k-best(labelled)")],
)
def test_the_list_is_the_best_that_the_store_has(tmp_path, stored, listed):
    store = random_store(tmp_path, np.random.default_rng(0), ["deepbiaf/11"], ["deepbiaf/1"], stored)
    assert counting.listed_strategy(store, HOMOGENEOUS) == listed
    assert counting.listed_strategy(store, CROSS) == "beam(b=10)"


def test_a_kind_s_variants_are_replaced_before_it_and_other_kinds_last(tmp_path):
    old, new = ["deepbiaf-static/11", "deepbiaf/11", "stackptr/11"], ["deepbiaf/1", "stackptr/1"]
    store = random_store(tmp_path, np.random.default_rng(5), old, new, [STRATEGY])
    within = ["deepbiaf-static=>deepbiaf", "deepbiaf=>deepbiaf", "stackptr=>stackptr"]
    across = ["stackptr=>deepbiaf", "deepbiaf-static=>stackptr", "deepbiaf=>stackptr"]
    found = [str(update) for update in counting.updates(store)]
    assert found[:3] == within and sorted(found[3:]) == sorted(across)


def test_scores_of_peers_alone_make_no_update(tmp_path):
    store = CorrectnessStore(tmp_path)
    store.save_units(Units(UNITS, 5), "clean")
    rng = np.random.default_rng(0)
    for system in (System("old", "deepbiaf", 11), System("new", "deepbiaf", 1), System("new", "deepbiaf", 2)):
        store.save_system(system, random_right(rng, UNITS), "clean")
    store.save_scores(Pool("deepbiaf/1", "k-best"), "deepbiaf/2", np.zeros((3, 5), dtype=np.float32))
    assert counting.updates(store) == []
    with pytest.raises(KeyError, match="no dropout rate was chosen for deepbiaf=>deepbiaf"):
        counting.dropout_strategy(store, HOMOGENEOUS)
    with pytest.raises(KeyError, match="no models of this update"):
        counting.untreated(store, "clean", "UAS", Update("stackptr", "stackptr"))


@every_level
def test_retrained_takes_ordered_pairs_of_old_models_and_across_kinds_equal_seeds_too(store, level):
    deepbiaf, stackptr = (
        {seed: right_of(store, level, "old", kind, seed) for seed in OLD} for kind in ("deepbiaf", "stackptr")
    )
    pairs = [(deepbiaf[a], deepbiaf[b]) for a, b in itertools.permutations(OLD, 2)]
    assert totals(counting.retrained(store, "clean", level, HOMOGENEOUS)) == counted(pairs)
    pairs = [(deepbiaf[a], stackptr[b]) for a, b in itertools.product(OLD, OLD)]
    assert totals(counting.retrained(store, "clean", level, CROSS)) == counted(pairs)


def test_a_store_tells_its_updates_models_and_strategies(store):
    assert counting.updates(store) == [parse_update(str(update)) for update in UPDATES] == list(UPDATES)
    assert counting.old_models(store, "deepbiaf") == ["deepbiaf/11", "deepbiaf/12"]
    assert counting.new_models(store, "stackptr") == ["stackptr/1", "stackptr/2"]
    assert counting.strategies(store, "stackptr") == [STRATEGY]
    assert counting.dropout_strategy(store, CROSS) == STRATEGY


@every_update
@every_level
def test_untreated_takes_every_old_with_every_new(store, level, update):
    pairs = [
        (right_of(store, level, "old", update.old, a), right_of(store, level, "new", update.new, b))
        for a, b in itertools.product(OLD, NEW)
    ]
    result = counting.untreated(store, "clean", level, update)
    assert totals(result) == counted(pairs)
    assert set(result.new_of_pair) == {f"{update.new}/1", f"{update.new}/2"}


@every_update
def test_distillation_takes_each_old_with_its_own_student(store, update):
    pairs = [
        (right_of(store, "LAS", "old", update.old, seed), right_of(store, "LAS", "distillation", update.new, 1, name))
        for seed in OLD
        for name in [f"{update.old}/{seed}"]
    ]
    result = counting.distillation(store, "clean", "LAS", update)
    assert totals(result) == counted(pairs)
    assert result.nested


def test_old_models_without_a_student_are_left_out_of_distillation(tmp_path):
    store, rng = CorrectnessStore(tmp_path), np.random.default_rng(1)
    store.save_units(Units(UNITS, 5), "clean")
    student = System("distillation", "stackptr", 1, "deepbiaf/12")
    for system in (*(System("old", "deepbiaf", seed) for seed in OLD), student):
        store.save_system(system, random_right(rng, UNITS), "clean")
    result = counting.distillation(store, "clean", "LAS", CROSS)
    assert (result.old_of_pair, result.new_of_pair) == (("deepbiaf/12",), (student.name,))


@every_update
def test_ensemble_takes_every_old_with_every_group(store, update):
    groups = [right_of(store, "UAS", "ensemble", update.new, n, None, g) for n, g in enumerate(GROUPS, start=1)]
    pairs = [(right_of(store, "UAS", "old", update.old, seed), group) for seed in OLD for group in groups]
    assert totals(counting.ensemble(store, "clean", "UAS", update)) == counted(pairs)


def chosen_right(store, proposer, level, scores) -> np.ndarray:
    """The re-ranked prediction, chosen sentence by sentence with plain loops."""
    right = store.load_pool(Pool(proposer, STRATEGY), "clean", level)
    result = []
    for unit, sentence in enumerate(UNITS[level]):
        best = max(range(len(scores)), key=lambda c: (scores[c][sentence], -c))
        result.append(right[best][unit])
    return np.array(result)


@every_update
@every_level
@pytest.mark.parametrize("num_candidates", [1, 3, None])
def test_bcr_lets_the_old_model_pick(store, level, num_candidates, update):
    pairs = []
    for old, new in itertools.product(OLD, NEW):
        proposer = f"{update.new}/{new}"
        scores = store.load_scores(Pool(proposer, STRATEGY), f"{update.old}/{old}")[:num_candidates]
        old_right = right_of(store, level, "old", update.old, old)
        pairs.append((old_right, chosen_right(store, proposer, level, scores)))
    assert totals(counting.bcr(store, "clean", level, update, STRATEGY, num_candidates)) == counted(pairs)


@every_update
def test_a_large_new_weight_is_the_new_model_s_own_choice(store, update):
    weighted = counting.bcr(store, "clean", "LAS", update, STRATEGY, new_weight=1e6)
    assert totals(weighted) == totals(counting.own_choice(store, "clean", "LAS", update, STRATEGY))


@every_update
def test_oracles_are_best_at_what_they_look_at(store, update):
    methods = {
        "bcr": micro_average(counting.bcr(store, "clean", "UAS", update, STRATEGY).counts),
        "ACC": micro_average(counting.oracle(store, "clean", "UAS", update, STRATEGY, "ACC").counts),
        "NFR": micro_average(counting.oracle(store, "clean", "UAS", update, STRATEGY, "NFR").counts),
    }
    assert methods["ACC"].acc_new == max(flips.acc_new for flips in methods.values()) > methods["bcr"].acc_new
    assert methods["NFR"].nfr == min(flips.nfr for flips in methods.values()) < methods["bcr"].nfr


@every_update
def test_the_oracle_decides_by_words_for_whole_trees(store, update):
    proposer, old = f"{update.new}/{NEW[0]}", f"{update.old}/{OLD[0]}"
    words = store.load_pool(Pool(proposer, STRATEGY), "clean", "UAS")
    scores = [[sum(row[UNITS["UAS"] == s]) for s in range(5)] for row in words]
    expected = chosen_right(store, proposer, "UCM", scores)
    result = counting.oracle(store, "clean", "UCM", update, STRATEGY, "ACC")
    pair = list(zip(result.old_of_pair, result.new_of_pair)).index((old, proposer))
    old_right = right_of(store, "UCM", "old", update.old, OLD[0])
    assert tuple(result.counts[pair].sum(axis=0)) == counted([(old_right, expected)])


@pytest.mark.parametrize("weight", [0.0, 0.4])
@pytest.mark.parametrize("level", ["UAS", "UCM"])
def test_a_joined_strategy_is_a_choice_among_different_structures(tmp_path, level, weight):
    """The twin has each structure once, with one score; the store has pools with copies, within and across."""
    rng, store = np.random.default_rng(5), CorrectnessStore(tmp_path)
    old, new = "deepbiaf/11", "deepbiaf/1"
    store.save_units(Units(UNITS, 5), "clean")
    for name in (old, new):
        kind, seed = name.split("/")
        store.save_system(System("old" if name == old else "new", kind, int(seed)), random_right(rng, UNITS), "clean")
    structures = random_right(rng, UNITS, 4)  # four of each sentence
    log_probs = {name: rng.integers(-3, 0, (4, 5)).astype(np.float32) for name in (old, new)}  # and some ties
    pools = {"1-best": [0], "k-best": [0, 1, 2], STRATEGY: [2, 3, 1, 3]}
    found = {strategy: np.stack([rng.permutation(4)[ids] for _ in range(5)], axis=1) for strategy, ids in pools.items()}
    for strategy, ids in found.items():
        pool, of_unit = Pool(new, strategy), UNITS
        right = {
            of_level: np.take_along_axis(structures[of_level], ids[:, of_unit[of_level]], axis=0) for of_level in LEVELS
        }
        store.save_pool(pool, right, "clean")
        store.save_first_equal(pool, (ids[:, None] == ids).argmax(axis=1).astype(np.int16))
        for name in (old, new):
            store.save_scores(pool, name, np.take_along_axis(log_probs[name], ids, axis=0))
    chosen = []
    for s in range(5):
        once = list(dict.fromkeys(int(i) for ids in found.values() for i in ids[:, s]))
        chosen.append(max(once, key=lambda i: (log_probs[old][i, s] + weight * log_probs[new][i, s], -once.index(i))))
    expected = [structures[level][chosen[s]][unit] for unit, s in enumerate(UNITS[level])]
    old_right = right_of(store, level, "old", "deepbiaf", 11)
    result = counting.bcr(store, "clean", level, HOMOGENEOUS, f"1-best+k-best+{STRATEGY}", new_weight=weight)
    assert totals(result) == counted([(old_right, expected)])
    assert counting.strategies(store, "deepbiaf") == [STRATEGY, "k-best"]
    assert counting.joined_strategy(store, HOMOGENEOUS, STRATEGY) == f"1-best+k-best+{STRATEGY}"


def test_so_many_candidates_of_a_joined_strategy_are_those_of_each_part(tmp_path):
    strategies = ["beam(b=10)", STRATEGY]
    store = random_store(tmp_path, np.random.default_rng(2), ["stackptr/11"], ["stackptr/1"], strategies)
    update, joined = Update("stackptr", "stackptr"), "+".join(strategies)
    assert counting.joined_strategy(store, update, STRATEGY) == joined  # no 1-best is stored
    right, scores = [], []
    for strategy in strategies:
        pool = Pool("stackptr/1", strategy)
        right += [*store.load_pool(pool, "clean", "UCM")[:2]]
        scores += [*store.load_scores(pool, "stackptr/11")[:2]]
    expected = np.array(right)[np.argmax(scores, axis=0), np.arange(5)]
    old_right = right_of(store, "UCM", "old", "stackptr", 11)
    assert totals(counting.bcr(store, "clean", "UCM", update, joined, 2)) == counted([(old_right, expected)])
