"""The rows of Tables 3, 8 and 9: each is what the experiments count, with the strategies of its own update."""

import numpy as np
import pytest

from bcrlib.experiments import counting
from bcrlib.experiments.counting import Update
from bcrlib.experiments.paper_numbers import lookup
from bcrlib.experiments.store import CorrectnessStore, Pool, System
from bcrlib.metrics.attachment import LEVELS, Units
from bcrlib.report.candidate_sources import IN_PAPER, SAMPLED, count, listed_row, methods, pickers, rerankers, sources

SAME, ACROSS = Update("deepbiaf", "deepbiaf"), Update("deepbiaf", "stackptr")
STRATEGIES = {"deepbiaf": ["k-best", "dropout-p(p=0.1)"], "stackptr": ["beam(b=10)"]}
STRATEGIES["stackptr"] += ["dropout-p(p=0.1)", "dropout-p(p=0.2)"]
NUM_SENTENCES, NUM_CANDIDATES = 30, 4


@pytest.fixture
def store(tmp_path) -> CorrectnessStore:
    """One old deepbiaf, a new model of each kind with its student and ensemble; every sentence is one word."""
    rng, store = np.random.default_rng(5), CorrectnessStore(tmp_path)
    store.save_units(Units({level: np.arange(NUM_SENTENCES) for level in LEVELS}, NUM_SENTENCES), "clean")

    def right(*shape: int) -> dict[str, np.ndarray]:
        return {level: rng.random((*shape, NUM_SENTENCES)) < 0.6 for level in LEVELS}

    store.save_system(System("old", "deepbiaf", 11), right(), "clean")
    for kind, strategies in STRATEGIES.items():
        store.save_system(System("new", kind, 1), right(), "clean")
        store.save_system(System("distillation", kind, 1, teacher="deepbiaf/11"), right(), "clean")
        store.save_system(System("ensemble", kind, 1, members=(1, 2)), right(), "clean")
        for pool in (Pool(f"{kind}/1", strategy) for strategy in strategies):
            store.save_pool(pool, right(NUM_CANDIDATES), "clean")
            for scorer in (f"{kind}/1", "deepbiaf/11"):
                store.save_scores(pool, scorer, rng.normal(size=(NUM_CANDIDATES, NUM_SENTENCES)).astype(np.float32))
    chosen = {str(SAME): {"strategy": "dropout-p(p=0.1)"}, str(ACROSS): {"strategy": "dropout-p(p=0.2)"}}
    store.save_manifest({"dropout_choice": chosen})
    return store


def test_the_list_is_named_after_the_new_parser_s_search():
    assert [listed_row(update) for update in (SAME, ACROSS)] == ["BCR (k-best)", "BCR (beam)"]


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize(
    ("update", "sampling", "listed"),
    [(SAME, "dropout-p(p=0.1)", "k-best"), (ACROSS, "dropout-p(p=0.2)", "beam(b=10)")],
)
def test_every_row_is_what_the_experiments_count(store, level, update, sampling, listed):
    where = (store, "clean", level, update)
    expected = {
        "Untreated": counting.untreated(*where),
        "Distillation": counting.distillation(*where),
        "Ensemble": counting.ensemble(*where),
        SAMPLED: counting.bcr(*where, sampling),
        listed_row(update): counting.bcr(*where, listed),
    }
    counted = count(store, "clean", update, methods(store, update))
    assert list(counted) == list(LEVELS) and list(counted[level]) == list(expected)
    for row, pairs in expected.items():
        np.testing.assert_array_equal(counted[level][row].counts, pairs.counts)


def test_pickers_choose_from_the_sampled_pool(store):
    counted = count(store, "clean", ACROSS, pickers(store, ACROSS), ["UAS"])["UAS"]
    sampling = "dropout-p(p=0.2)"
    assert list(counted) == ["Untreated", "own choice", SAMPLED, "oracle NFR", "oracle ACC"]
    where = (store, "clean", "UAS", ACROSS)
    expected = [counting.own_choice(*where, sampling), rerankers(store, ACROSS)[SAMPLED](*where)]
    expected += [counting.oracle(*where, sampling, by) for by in ("NFR", "ACC")]
    for pairs, wanted in zip([*counted.values()][1:], expected):
        np.testing.assert_array_equal(pairs.counts, wanted.counts)


def test_every_source_is_re_ranked_by_its_own_strategy(store):
    counted = count(store, "clean", ACROSS, sources(store, ACROSS), ["LAS"])["LAS"]
    assert list(counted) == ["beam(b=10)", "dropout-p(p=0.1)", "dropout-p(p=0.2), chosen on dev"]
    for pairs, strategy in zip(counted.values(), ("beam(b=10)", "dropout-p(p=0.1)", "dropout-p(p=0.2)")):
        np.testing.assert_array_equal(pairs.counts, counting.bcr(store, "clean", "LAS", ACROSS, strategy).counts)


@pytest.mark.parametrize(("row", "percent"), [(SAMPLED, 1.11), ("oracle NFR", 0.65), ("oracle ACC", 0.76)])
def test_the_papers_names_find_table_9(row, percent):
    method, params = IN_PAPER[row]
    assert lookup("Table 9", str(ACROSS), method, "UAS", "NFR", params) == pytest.approx(percent / 100)
