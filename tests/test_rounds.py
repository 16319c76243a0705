"""Chains of updates against a slow simulation: unit by unit, with dictionaries and plain loops."""

import itertools

import numpy as np
import pytest
from random_stores import NUM_CANDIDATES, UNITS, counted, random_store, totals

from bcrlib.experiments import counting, rounds
from bcrlib.experiments.counting import parse_update
from bcrlib.experiments.store import CorrectnessStore, Pool
from bcrlib.metrics.attachment import LEVELS
from bcrlib.metrics.uncertainty import rate_intervals

OLD = ["stackptr/11", "stackptr/12"]
NEW = ["stackptr/1", "stackptr/2", "stackptr/3"]
UPDATE = parse_update("stackptr=>stackptr")
STRATEGY = "beam(b=4)"


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(7)


@pytest.fixture
def store(tmp_path, rng) -> CorrectnessStore:
    return random_store(tmp_path, rng, OLD, NEW, [STRATEGY])


def one_best(store, name, level) -> list[bool]:
    (system,) = [system for system in store.systems() if system.name == name]
    return store.load_system(system, "clean", level).tolist()


def simulated(store, chain, level, memory, decay) -> list[list[bool]]:
    """What each round deploys; the candidates are compared one after another."""
    history = [one_best(store, chain[0], level)]
    for number in range(1, len(chain)):
        pool = Pool(chain[number], STRATEGY)
        pickers = list(reversed(chain[:number]))[:memory]
        right, picked = store.load_pool(pool, "clean", level), []
        for unit, sentence in enumerate(UNITS[level]):
            best, best_score = None, None
            for candidate in range(NUM_CANDIDATES):
                score = 0.0
                for age, picker in enumerate(pickers):
                    score += decay**age * float(store.load_scores(pool, picker)[candidate, sentence])
                if best is None or score > best_score:
                    best, best_score = candidate, score
            picked.append(bool(right[best, unit]))
        history.append(picked)
    return history


def expected(histories, against, number) -> tuple[int, ...]:
    """yy, yn, ny, nn of one round over all chains."""
    had = {
        "before": lambda history: history[number - 1],
        "first": lambda history: history[0],
        "any": lambda history: [any(earlier) for earlier in zip(*history[:number])],
    }[against]
    return counted((had(history), history[number]) for history in histories)


ALL_CHAINS = [(old, *order) for old in OLD for order in itertools.permutations(NEW)]


@pytest.mark.parametrize("level", ["UAS", "LCM"])
@pytest.mark.parametrize("memory, decay", [(1, 1.0), (2, 1.0), (None, 1.0), (None, 0.5), (2, 0.25)])
def test_the_last_models_pick_round_after_round(store, level, memory, decay):
    histories = [simulated(store, chain, level, memory, decay) for chain in ALL_CHAINS]
    result = rounds.bcr(store, "clean", level, UPDATE, STRATEGY, memory, decay)
    for against, number in itertools.product(rounds.AGAINST, (1, 2, 3)):
        assert totals(result[against][number - 1]) == expected(histories, against, number), (against, number)
    assert [len(result[against]) for against in rounds.AGAINST] == [3, 3, 3]


@pytest.mark.parametrize("level", LEVELS)
def test_untreated_deploys_every_model_as_it_is(store, level):
    histories = [[one_best(store, model, level) for model in chain] for chain in ALL_CHAINS]
    result = rounds.untreated(store, "clean", level, UPDATE)
    for against, number in itertools.product(rounds.AGAINST, (1, 2, 3)):
        assert totals(result[against][number - 1]) == expected(histories, against, number)


def test_the_first_round_is_the_single_update_of_the_other_tables(store):
    first = rounds.bcr(store, "clean", "LAS", UPDATE, STRATEGY, 1)
    single = counting.bcr(store, "clean", "LAS", UPDATE, STRATEGY)
    # Each new model comes first in two of the six orders.
    for against in rounds.AGAINST:
        assert totals(first[against][0]) == tuple(2 * n for n in totals(single))


def test_what_comes_back_is_not_lost_to_the_first_users():
    right = np.array([[[1], [0], [1], [0]]], dtype=bool)  # one word: right, wrong, right, wrong
    counts = rounds.flips_over_rounds(right, np.array([0]), 1)
    lost = {against: counts[against][0, :, 0, 1].tolist() for against in rounds.AGAINST}
    assert lost == {"before": [1, 0, 1], "first": [1, 0, 1], "any": [1, 0, 1]}
    right = np.array([[[0], [1], [0], [0]]], dtype=bool)  # new 1 repairs it, new 2 breaks it, new 3 leaves it
    counts = rounds.flips_over_rounds(right, np.array([0]), 1)
    lost = {against: counts[against][0, :, 0, 1].tolist() for against in rounds.AGAINST}
    assert lost == {"before": [0, 1, 0], "first": [0, 0, 0], "any": [0, 1, 1]}


def test_an_old_model_is_one_pair_however_many_chains_it_heads(store, rng):
    round3 = rounds.untreated(store, "clean", "UCM", UPDATE)["first"][2]
    assert round3.old_of_pair == tuple(OLD) and set(round3.new_of_pair) == {"all orders"}
    assert round3.counts.sum() == len(ALL_CHAINS) * 5
    nfr = rate_intervals(round3, 200, rng)["nfr"]
    assert nfr.low <= nfr.value <= nfr.high and nfr.low < nfr.high


def test_all_chains_while_they_are_few_and_an_even_choice_when_they_are_many(store):
    assert sorted(rounds.chains(store, UPDATE)) == sorted(ALL_CHAINS)
    few = rounds.chains(store, UPDATE, max_chains=6)
    assert len(few) == len(set(few)) == 6 and set(few) < set(ALL_CHAINS)
    assert few == rounds.chains(store, UPDATE, max_chains=6)
    assert [sum(chain[0] == old for chain in few) for old in OLD] == [3, 3]
    assert [sum(chain[1] == new for chain in few) for new in NEW] == [2, 2, 2]
    assert len(rounds.chains(store, UPDATE, max_chains=1)) == 2  # one for each old model


def test_five_new_models_make_more_chains_than_are_walked(tmp_path, rng):
    news = [f"stackptr/{seed}" for seed in range(1, 6)]
    walked = rounds.chains(random_store(tmp_path, rng, OLD, news, [STRATEGY]), UPDATE)
    assert len(walked) == len(set(walked)) == 24
    assert all(sorted(chain[1:]) == news for chain in walked)
    first = [sum(chain[1] == new for chain in walked) for new in news]
    assert max(first) - min(first) <= 1


def test_missing_scores_of_a_peer_are_named(tmp_path, rng):
    store = random_store(tmp_path, rng, OLD, NEW[:2], [STRATEGY])
    right = {level: store.load_pool(Pool(NEW[0], STRATEGY), "clean", level) for level in LEVELS}
    store.save_pool(Pool(NEW[2], STRATEGY), right, "clean")
    with pytest.raises(KeyError, match=r"stackptr/3.*beam\(b=4\).*stackptr/1.*scores"):
        rounds.deployed(store, "clean", "UAS", (OLD[0], "stackptr/1", "stackptr/3"), STRATEGY, 1)


def test_faults_of_the_caller_are_named(store):
    with pytest.raises(ValueError, match="memory of 0"):
        rounds.bcr(store, "clean", "UAS", UPDATE, STRATEGY, memory=0)
    with pytest.raises(ValueError, match="deepbiaf=>stackptr"):
        rounds.chains(store, parse_update("deepbiaf=>stackptr"))
