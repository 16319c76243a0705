"""The committed correctness: what goes in comes out, merged or not, byte for byte."""

import numpy as np
import pyarrow.parquet as pq
import pytest

from bcrlib.experiments.store import SCORE_STEP, CorrectnessStore, Pool, System, consolidate, read_rows
from bcrlib.metrics.attachment import LEVELS
from bcrlib.metrics.flips import Units
from bcrlib.parsers.configuration import KINDS

UNITS = Units({level: np.arange(7) // (2 if level in ("UAS", "LAS") else 1) for level in LEVELS}, 8)
POOL = Pool("stackptr/1", "dropout-p(p=0.15)")
KEY = (POOL.proposer, POOL.strategy)
SYSTEMS = [
    System("old", "deepbiaf", 123),
    System("new", "stackptr", 1),
    System("distillation", "deepbiaf", 1, teacher="deepbiaf/123"),
    System("distillation", "stackptr", 1, teacher="deepbiaf/123"),
    System("ensemble", "deepbiaf", 0, members=(11, 12, 13)),
]


def right_of(seed: int, *axes: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {level: rng.random((*axes, 7)) < 0.5 for level in LEVELS}


TREES = np.random.default_rng(0).integers(0, 5, size=(12, 8))
FIRST_EQUAL = (TREES[:, None] == TREES).argmax(axis=1).astype(np.int16)


def scores_of(seed: int) -> np.ndarray:
    """Multiples of SCORE_STEP, of copies the same; some impossible."""
    steps = -np.random.default_rng(seed).integers(1, 20_000, size=(12, 8)).astype(np.float32)
    steps[5] = -np.inf
    return np.take_along_axis(steps, FIRST_EQUAL.astype(np.int64), axis=0) * np.float32(SCORE_STEP)


def lengths_of(seed: int) -> np.ndarray:
    """Of copies the same."""
    lengths = np.random.default_rng(seed).integers(1, 90, size=(12, 8))
    return np.take_along_axis(lengths, FIRST_EQUAL.astype(np.int64), axis=0)


def right_of_pool() -> dict[str, np.ndarray]:
    """Of copies the same."""
    of_unit = {level: FIRST_EQUAL[:, units].astype(np.int64) for level, units in UNITS.sentence_of_unit.items()}
    return {level: np.take_along_axis(right, of_unit[level], axis=0) for level, right in right_of(9, 12).items()}


def save_everything(stores: list[CorrectnessStore]) -> None:
    """Spread over the stores, the units into each of them."""
    for store in stores:
        store.save_units(UNITS, "clean")
    for i, system in enumerate(SYSTEMS):
        stores[i % len(stores)].save_system(system, right_of(i), "clean")
    stores[0].save_pool(POOL, right_of_pool(), "clean")
    stores[-1].save_scores(POOL, "deepbiaf/123", scores_of(1))
    stores[0].save_scores(POOL, "stackptr/1", scores_of(2))
    stores[-1].save_first_equal(POOL, FIRST_EQUAL)


def check_everything(store: CorrectnessStore) -> None:
    units = store.load_units("clean")
    assert units.num_sentences == 8
    for level in LEVELS:
        np.testing.assert_array_equal(units.sentence_of_unit[level], UNITS.sentence_of_unit[level])
        for i, system in enumerate(SYSTEMS):
            right = store.load_system(system, "clean", level)
            np.testing.assert_array_equal(right, right_of(i)[level])
            assert right.dtype == bool
        np.testing.assert_array_equal(store.load_pool(POOL, "clean", level), right_of_pool()[level])
    assert set(store.systems()) == set(SYSTEMS) and len(store.systems()) == len(SYSTEMS)
    assert store.pools() == [POOL]
    assert store.scorers(POOL) == ["deepbiaf/123", "stackptr/1"]
    scores = store.load_scores(POOL, "deepbiaf/123")
    np.testing.assert_array_equal(scores, scores_of(1))  # 12 candidates in order, bit for bit
    assert scores.dtype == np.float32 and store.load_first_equal(POOL).dtype == np.int16


def test_what_goes_in_comes_out(tmp_path):
    save_everything([CorrectnessStore(tmp_path / "one")])
    check_everything(CorrectnessStore(tmp_path / "one"))


def test_parts_merge_into_the_same_bytes_whatever_their_number(tmp_path):
    stores = [CorrectnessStore(tmp_path / name) for name in "abc"]
    save_everything(stores)
    consolidate([store.folder for store in stores], tmp_path / "three")
    check_everything(CorrectnessStore(tmp_path / "three"))
    save_everything([CorrectnessStore(tmp_path / "one")])
    consolidate([tmp_path / "one"], tmp_path / "one")  # in place
    check_everything(CorrectnessStore(tmp_path / "one"))
    one, three = ({file.name: file.read_bytes() for file in (tmp_path / name).iterdir()} for name in ("one", "three"))
    assert one == three
    assert sorted(one) == [f"{t}.parquet" for t in ("copies", "pools", "scores-stackptr-1", "systems", "units")]


def test_scores_are_kept_in_steps(tmp_path):
    store = CorrectnessStore(tmp_path)
    exact = -np.random.default_rng(0).random((12, 8)).astype(np.float32) * 1000
    store.save_scores(POOL, "stackptr/1", exact)
    kept = store.load_scores(POOL, "stackptr/1")
    assert 0 < np.abs(kept - exact).max() <= SCORE_STEP / 2 + 1e-4  # float32 has steps of 6e-5 itself there
    np.testing.assert_array_equal(kept % SCORE_STEP, 0)
    store.save_scores(POOL, "stackptr/2", np.array([[-np.inf]], dtype=np.float32))
    assert store.load_scores(POOL, "stackptr/2")[0, 0] == -np.inf


def test_consolidating_again_leaves_no_stale_table(tmp_path):
    save_everything([CorrectnessStore(tmp_path / "a")])
    consolidate([tmp_path / "a"], tmp_path / "merged")
    CorrectnessStore(tmp_path / "b").save_units(UNITS, "clean")
    consolidate([tmp_path / "b"], tmp_path / "merged")
    assert [file.name for file in (tmp_path / "merged").iterdir()] == ["units.parquet"]


def test_saving_again_replaces(tmp_path):
    store = CorrectnessStore(tmp_path)
    store.save_scores(POOL, "stackptr/1", scores_of(1))
    assert len(store.load_scores(POOL, "stackptr/1")) == 12
    store.save_scores(POOL, "stackptr/1", scores_of(2)[:3])
    np.testing.assert_array_equal(store.load_scores(POOL, "stackptr/1"), scores_of(2)[:3])


def test_contradicting_parts_are_refused(tmp_path):
    for name, seed in (("a", 1), ("b", 2)):
        CorrectnessStore(tmp_path / name).save_system(SYSTEMS[0], right_of(seed), "clean")
    with pytest.raises(ValueError, match="differs"):
        consolidate([tmp_path / "a", tmp_path / "b"], tmp_path / "c")


def test_nothing_of_copies_is_kept(tmp_path):
    save_everything([CorrectnessStore(tmp_path / "a")])
    own = np.arange(12)[:, None] == FIRST_EQUAL
    for parts, merged in (("a", "b"), ("b", "c")):  # merging what is merged changes nothing
        consolidate([tmp_path / parts], tmp_path / merged)
        scores, pools = (read_rows(table, [tmp_path / merged]) for table in ("scores", "pools"))
        for candidate in range(12):
            row = scores[*KEY, "stackptr/1", candidate]
            assert len(row) == own[candidate].sum()
            for level, units in UNITS.sentence_of_unit.items():
                right = right_of_pool()[level][candidate, own[candidate][units]]
                assert np.array_equal(pools[*KEY, "clean", level, candidate], right)
        check_everything(CorrectnessStore(tmp_path / merged))


def test_means_come_of_sums_and_lengths_merged_or_not(tmp_path):
    """Of every scorer its own tokens, where it has others than the proposer."""
    parts = [CorrectnessStore(tmp_path / name) for name in "ab"]
    save_everything(parts)
    parts[0].save_lengths(POOL, "stackptr/1", lengths_of(3))
    consolidate([part.folder for part in parts], tmp_path / "one tokenizer")
    parts[1].save_lengths(POOL, "deepbiaf/123", lengths_of(4))
    consolidate([part.folder for part in parts], tmp_path / "two")
    for name, seed in (("one tokenizer", 3), ("two", 4)):
        store = CorrectnessStore(tmp_path / name)
        check_everything(store)
        for scorer, scores, lengths in (("stackptr/1", 2, 3), ("deepbiaf/123", 1, seed)):
            np.testing.assert_array_equal(store.load_lengths(POOL, scorer), lengths_of(lengths))
            means = store.load_scores(POOL, scorer, "mean")
            assert means.dtype == np.float32
            np.testing.assert_allclose(means, scores_of(scores) / lengths_of(lengths), rtol=1e-6)
    kept = read_rows("lengths", [tmp_path / "two"])
    assert {key[2] for key in kept} == {"stackptr/1", "deepbiaf/123"}
    assert sum(map(len, kept.values())) == 2 * (np.arange(12)[:, None] == FIRST_EQUAL).sum(), "nothing of copies"


def test_without_lengths_a_mean_is_refused_by_name(tmp_path):
    store = CorrectnessStore(tmp_path)
    save_everything([store])
    with pytest.raises(KeyError, match=r"no lengths of Pool.*stackptr/1.*dropout-p"):
        store.load_scores(POOL, "deepbiaf/123", "mean")


@pytest.mark.parametrize("table", ["pools", "scores", "lengths"])
def test_copies_that_differ_are_refused(tmp_path, table):
    store = CorrectnessStore(tmp_path / "a")
    save_everything([store])
    candidate, sentence = np.argwhere(np.arange(12)[:, None] != FIRST_EQUAL)[0]
    scores, right = scores_of(2), right_of_pool()
    lengths = lengths_of(3)
    if table == "scores":
        scores[candidate, sentence] -= 1
    elif table == "lengths":
        lengths[candidate, sentence] += 1
    else:
        right["UCM"][candidate, sentence] ^= True
    store.save_scores(POOL, "stackptr/1", scores)
    store.save_pool(POOL, right, "clean")
    store.save_lengths(POOL, "stackptr/1", lengths)
    with pytest.raises(ValueError, match="of which it is a copy"):
        consolidate([tmp_path / "a"], tmp_path / "b")


@pytest.mark.parametrize("table", ["systems", "pools", "scores"])
def test_arrays_that_do_not_fit_the_units_are_refused(tmp_path, table):
    store = CorrectnessStore(tmp_path / "a")
    store.save_units(UNITS, "clean")
    long = {level: np.ones((2, 9), dtype=bool) for level in LEVELS}
    if table == "systems":
        store.save_system(SYSTEMS[0], {level: right[0] for level, right in long.items()}, "clean")
    elif table == "pools":
        store.save_pool(POOL, long, "clean")
    else:
        store.save_scores(POOL, "stackptr/1", np.zeros((2, 7), dtype=np.float32))
    with pytest.raises(ValueError, match=f"'{table}' does not fit"):
        consolidate([tmp_path / "a"], tmp_path / "b")
    assert not (tmp_path / "b").exists()


def test_levels_are_those_of_what_is_saved(tmp_path):
    store, frames = CorrectnessStore(tmp_path / "a"), Units({"spanEM": np.array([0, 0, 1]), "EM": np.arange(2)}, 2)
    right = {"spanEM": np.array([True, False, True]), "EM": np.array([False, True])}
    system, pool = System("old", "s2s-base-part", 123), Pool("s2s-base/1", "beam(b=10)")
    store.save_units(frames, "clean")
    store.save_system(system, right, "clean")
    store.save_pool(pool, {level: units[None] for level, units in right.items()}, "clean")
    consolidate([store.folder], tmp_path / "b")
    merged = CorrectnessStore(tmp_path / "b")
    assert set(merged.load_units("clean").sentence_of_unit) == {"spanEM", "EM"}
    for level, units in right.items():
        np.testing.assert_array_equal(merged.load_system(system, "clean", level), units)
        np.testing.assert_array_equal(merged.load_pool(pool, "clean", level), [units])
    with pytest.raises(KeyError, match="UAS"):
        merged.load_system(system, "clean", "UAS")


def test_what_is_missing_is_named(tmp_path):
    store = CorrectnessStore(tmp_path / "nothing here")
    assert store.systems() == store.pools() == store.scorers(POOL) == [] and store.load_manifest() == {}
    with pytest.raises(KeyError, match="official"):
        store.load_units("official")
    with pytest.raises(KeyError, match=r"old.*systems"):
        store.load_system(SYSTEMS[0], "clean", "UAS")
    with pytest.raises(KeyError, match=r"dropout-p.*scores"):
        store.load_scores(POOL, "deepbiaf/7")


def test_a_foreign_file_is_refused(tmp_path):
    CorrectnessStore(tmp_path).save_units(UNITS, "clean")
    next(tmp_path.glob("units-*")).rename(tmp_path / "systems.parquet")
    with pytest.raises(ValueError, match="columns"):
        CorrectnessStore(tmp_path).systems()


def test_manifest_and_no_unfinished_files(tmp_path):
    store = CorrectnessStore(tmp_path)
    store.save_manifest({"profile": "small", "seeds": [1, 2]})
    assert store.load_manifest() == {"profile": "small", "seeds": [1, 2]}
    save_everything([store])
    assert not list(tmp_path.glob(".*"))


def test_names_tell_all_parsers_apart():
    assert [system.name for system in SYSTEMS[:2]] == ["deepbiaf/123", "stackptr/1"]
    assert len({system.name for system in SYSTEMS}) == len(SYSTEMS)
    names = {System("distillation", "stackptr", 1, f"{kind}/{seed}").name for kind in KINDS for seed in (123, 456)}
    assert len(names) == 2 * len(KINDS)


def test_tables_are_compact_and_plain(tmp_path):
    """A bit a unit, readable by any parquet reader."""
    store = CorrectnessStore(tmp_path)
    rng = np.random.default_rng(0)
    store.save_pool(POOL, {level: rng.random((10, 20_000)) < 0.9 for level in LEVELS}, "clean")
    consolidate_size = sum(file.stat().st_size for file in tmp_path.iterdir())
    assert consolidate_size < 4 * 10 * 20_000 / 8 * 1.1
    assert pq.read_table(next(tmp_path.iterdir())).column_names[-1] == "right"
