"""The experiments on semantic parsers: the same counting at other levels, for other kinds."""

import numpy as np
import pytest
from random_stores import FRAME_UNITS, NUM_SENTENCES, PARTS, counted, random_right, random_store, totals

from bcrlib.experiments import counting, rounds
from bcrlib.experiments.choices import choose_on_dev
from bcrlib.experiments.counting import Update
from bcrlib.experiments.store import CorrectnessStore, Pool, System
from bcrlib.report.candidate_sources import by_score, count, listed_row, methods

STRATEGY = "dropout-p(p=0.3)"
OLD = ["s2s-base-part/11", "s2s-base-part/12", "s2s-base/11", "s2s-base/12"]
NEW = ["s2s-base/1", "s2s-base/2"]
PART, SIZE = Update("s2s-base-part", "s2s-base"), Update("s2s-base", "s2s-large")


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> CorrectnessStore:
    rng, folder = np.random.default_rng(7), tmp_path_factory.mktemp("store")
    store = random_store(folder, rng, OLD, NEW, [STRATEGY, "beam(b=10)"], FRAME_UNITS)
    members = [(1, 2, 3)[:size] for size in (1, 2, 3)]
    systems = [System("growing ensemble", "s2s-base", len(seeds), members=seeds) for seeds in members]
    systems += [System("ensemble", "s2s-base", 1, members=(1, 2)), System("new", "s2s-large", 1)]
    systems += [System("distillation", "s2s-base", 1, f"s2s-base-part/{seed}") for seed in (11, 12)]
    for system in systems:
        store.save_system(system, random_right(rng, FRAME_UNITS), "clean")
    store.save_manifest({"dropout_choice": {str(PART): {"strategy": STRATEGY}}})
    return store


def right_of(store: CorrectnessStore, level: str, name: str) -> np.ndarray:
    (system,) = [system for system in store.systems() if system.name == name]
    return store.load_system(system, "clean", level)


def test_part_models_are_replaced_first_then_the_smaller_by_the_larger(tmp_path):
    large = ["s2s-large/1"]
    store = random_store(tmp_path, np.random.default_rng(0), ["s2s-large-part/11", *OLD], NEW + large, [STRATEGY])
    found = [str(update) for update in counting.updates(store)]
    within = [name for name in found if name.split("=>")[0].removesuffix("-part") == name.split("=>")[1]]
    assert found[: len(within)] == within
    assert found.index("s2s-base-part=>s2s-base") < found.index("s2s-large-part=>s2s-large")
    assert found.index("s2s-large-part=>s2s-large") < found.index("s2s-base=>s2s-large")


def test_levels_kinds_and_list_come_from_the_task(store):
    assert PART.task.levels == ("spanEM", "EM")
    assert counting.listed_strategy(store, PART) == "beam(b=10)"
    assert listed_row(PART) == "BCR (beam)"
    counts = count(store, "clean", PART, methods(store, PART))
    assert list(counts) == ["spanEM", "EM"]
    assert set(counts["EM"]) == {"Untreated", "Distillation", "Ensemble", "BCR (dropout-p)", "BCR (beam)"}


def test_a_kind_that_nothing_replaces_is_counted_by_its_new_models(store):
    retrained = counting.retrained(store, "clean", "EM", SIZE)
    new = right_of(store, "EM", "s2s-large/1")
    assert totals(retrained) == counted([(right_of(store, "EM", name), new) for name in OLD[2:]])
    among_old = counting.retrained(store, "clean", "EM", PART)
    assert set(among_old.new_of_pair) == {"s2s-base/11", "s2s-base/12"}


@pytest.fixture(scope="module")
def with_lengths(tmp_path_factory) -> CorrectnessStore:
    folder = tmp_path_factory.mktemp("lengths")
    strategies = [STRATEGY, "beam(b=10)"]
    return random_store(folder, np.random.default_rng(10), OLD, NEW, strategies, FRAME_UNITS, with_lengths=True)


def plainly_reranked(store: CorrectnessStore, level: str, score: str) -> tuple[int, int, int, int]:
    """Flips of BCR by loops over pairs, utterances and candidates."""
    pairs, of_unit = [], FRAME_UNITS[level]
    for new in NEW:
        pool = Pool(new, STRATEGY)
        right, lengths = store.load_pool(pool, "clean", level), store.load_lengths(pool, new)
        for old in OLD[:2]:
            scores = store.load_scores(pool, old)
            if score == "mean":
                scores = np.array([[s / n for s, n in zip(*rows)] for rows in zip(scores, lengths)])
            choice = [max(range(4), key=lambda c: (scores[c][u], -c)) for u in range(NUM_SENTENCES)]
            now = [right[choice[u]][unit] for unit, u in enumerate(of_unit)]
            pairs.append((right_of(store, level, old), now))
    return counted(pairs)


@pytest.mark.parametrize("level", FRAME_UNITS)
def test_re_ranking_by_the_sum_and_by_the_mean_a_token(with_lengths, level):
    found = {
        score: totals(counting.bcr(with_lengths, "clean", level, PART, STRATEGY, score=score))
        for score in ("sum", "mean")
    }
    assert found == {score: plainly_reranked(with_lengths, level, score) for score in found}
    assert found["sum"] != found["mean"]


def test_the_score_is_the_sum_until_one_was_chosen(with_lengths):
    sums, means = (plainly_reranked(with_lengths, "EM", score) for score in ("sum", "mean"))
    for choice, expected in ({}, sums), ({"score": "sum"}, sums), ({"score": "mean"}, means):
        with_lengths.save_manifest({"dropout_choice": {str(PART): {"strategy": STRATEGY, **choice}}})
        assert totals(counting.bcr(with_lengths, "clean", "EM", PART, STRATEGY)) == expected
        explicit = counting.bcr(with_lengths, "clean", "EM", PART, STRATEGY, score="sum")
        assert totals(explicit) == sums


def test_the_score_with_fewer_flips_at_both_levels_is_chosen_on_dev(with_lengths, store):
    expected = {
        score: sum(plainly_reranked(with_lengths, level, score)[1] for level in FRAME_UNITS)
        for score in ("sum", "mean")
    }
    choice = choose_on_dev(with_lengths, "clean", PART, (0.0,))
    assert choice["flips_by_score"] == expected and choice["score"] == min(expected, key=expected.get)
    assert list(choose_on_dev(store, "clean", PART, (0.0,))["flips_by_score"]) == ["sum"]


def test_both_scores_have_rows_where_there_are_lengths(with_lengths, store):
    rows = {"a": STRATEGY, "b": "beam(b=10)"}
    assert list(by_score(store, PART, rows)) == ["a, sum", "b, sum"]
    counts = count(with_lengths, "clean", PART, by_score(with_lengths, PART, rows), ["EM"])["EM"]
    assert list(counts) == ["a, sum", "a, mean a token", "b, sum", "b, mean a token"]
    assert totals(counts["a, mean a token"]) == plainly_reranked(with_lengths, "EM", "mean")
    with pytest.raises(KeyError, match="no lengths of Pool"):
        counting.bcr(store, "clean", "EM", PART, STRATEGY, score="mean")


def test_growing_ensembles_are_counted_by_size_and_left_out_of_ensemble(store):
    by_size = counting.growing_ensembles(store, "clean", "EM", PART)
    assert list(by_size) == [1, 2, 3]
    olds = [right_of(store, "EM", name) for name in OLD[:2]]
    three = right_of(store, "EM", "s2s-base/growing ensemble(1,2,3)/3")
    assert totals(by_size[3]) == counted([(old, three) for old in olds])
    one = right_of(store, "EM", "s2s-base/ensemble(1,2)/1")
    assert totals(counting.ensemble(store, "clean", "EM", PART)) == counted([(old, one) for old in olds])


def test_the_oracle_decides_by_spans_for_whole_frames(store):
    pairs = []
    for new in NEW:
        spans, frames = (store.load_pool(Pool(new, STRATEGY), "clean", level) for level in ("spanEM", "EM"))
        for old in OLD[:2]:
            choice = [max(range(4), key=lambda c: (spans[c][u == PARTS].sum(), -c)) for u in range(NUM_SENTENCES)]
            pairs.append((right_of(store, "EM", old), frames[choice, np.arange(NUM_SENTENCES)]))
    assert totals(counting.oracle(store, "clean", "EM", PART, STRATEGY, "ACC")) == counted(pairs)


def test_rounds_and_diversity_take_frames_as_they_take_trees(store):
    chains = rounds.untreated(store, "clean", "EM", PART)
    assert len(chains["before"]) == len(NEW)
    offered = counting.offered(store, "clean", "spanEM", PART, STRATEGY)
    assert set(offered) == {"distinct trees", "same tree", "same verdict", "ACC random", "safe"}
