"""The table of breakdowns: complete, consistent with the counts of every other table, small, and the same each time."""

from functools import reduce
from operator import add

import numpy as np
import pandas as pd
import pytest
from random_trees import random_mistakes, random_treebank

from bcrlib.data.presets import PRESETS
from bcrlib.data.treebank import read_conllu
from bcrlib.metrics.tree_breakdowns import (
    HISTOGRAM,
    gold_slices,
    read_breakdowns,
    right_units,
    update_breakdowns,
    write_breakdowns,
)
from bcrlib.metrics.attachment import scored_units, treebank_correctness
from bcrlib.metrics.breakdowns import OTHER
from bcrlib.metrics.flips import flips

UPDATE = "deepbiaf=>stackptr"


def predictions(num_sentences: int = 150) -> tuple:
    """A gold treebank, two old and three new predictions."""
    rng = np.random.default_rng(0)
    gold = random_treebank(num_sentences, rng, longest=9)
    return (
        gold,
        [random_mistakes(gold, rng, 0.3) for _ in range(2)],
        [random_mistakes(gold, rng, 0.3) for _ in range(3)],
    )


def all_pairs(old: list, new: list) -> tuple[list, list]:
    return [o for o in old for _ in new], [n for _ in old for n in new]


def table(preset: str) -> pd.DataFrame:
    gold, old, new = predictions()
    corpus = gold_slices(gold, PRESETS[preset])
    sides = all_pairs(*([right_units(corpus, trees) for trees in side] for side in (old, new)))
    return update_breakdowns(corpus, *sides, UPDATE, "Untreated")


@pytest.fixture(scope="module", params=["clean", "official"])
def rows(request) -> pd.DataFrame:
    return table(request.param)


def test_every_slice_of_every_level_is_there_once(rows):
    assert not rows.duplicated(["level", "breakdown", "key"]).any()
    assert set(rows["num_pairs"]) == {6} and set(rows["update"]) == {UPDATE}
    found = rows.groupby("level")["breakdown"].unique()
    words = ["all", "upos", "relation", "distance", "head upos"]
    words += ["couple distance", "couple relation", "couple tree distance", HISTOGRAM]
    assert sorted(found["UAS"]) == sorted(found["LAS"]) == sorted(words)
    of_subtrees = ["all", "size", "depth", "root upos", "couple tree distance"]
    assert sorted(found["labelled sub-tree"]) == sorted(found["unlabelled sub-tree"]) == sorted(of_subtrees)
    assert sorted(found["UCM"]) == sorted(found["LCM"]) == ["all", "length"]


def test_all_is_what_every_other_table_counts(rows):
    gold, old, new = predictions()
    preset = PRESETS[rows["preset"][0]]
    right = [[treebank_correctness(gold, trees, preset) for trees in side] for side in (old, new)]
    for level, of_unit in scored_units(gold, preset).sentence_of_unit.items():
        total = reduce(add, (flips(o[level], n[level]) for o in right[0] for n in right[1]))
        (found,) = rows.query("level == @level and breakdown == 'all'").itertuples()
        assert (found.yy, found.yn, found.ny, found.nn) == (total.yy, total.yn, total.ny, total.nn)
        assert (found.num_units, found.num_sentences) == (len(of_unit), len(set(of_unit.tolist())))


def test_slices_add_up(rows):
    counts = ["num_units", "yy", "yn", "ny", "nn"]
    for level, of_level in rows.groupby("level"):
        whole = of_level.query("breakdown == 'all'")[counts].sum()
        for breakdown in set(of_level["breakdown"]) & {"upos", "relation", "distance", "size", "depth", "length"}:
            slices = of_level[of_level["breakdown"] == breakdown]
            assert len(slices) > 1
            assert slices[counts].sum().equals(whole), (level, breakdown)
    couples = rows.query("level == 'LAS'").groupby("breakdown")[["num_units", "both", "only_one", "neither"]].sum()
    assert couples.loc["couple distance"].equals(couples.loc["couple tree distance"])
    assert couples.loc["couple relation", "num_units"] < couples.loc["couple distance", "num_units"]
    assert couples.loc["couple relation", "both"] > 0


def test_a_slice_by_hand(rows):
    """Verbs, counted by a loop over words and pairs of models."""
    gold, old, new = predictions()
    verbs = [t for t, tag in enumerate(gold.upos) if tag == "VERB"]
    outcomes = [(o.heads[t] == gold.heads[t], n.heads[t] == gold.heads[t]) for o in old for n in new for t in verbs]
    (found,) = rows.query("level == 'UAS' and breakdown == 'upos' and key == 'VERB'").itertuples()
    assert found.yn == sum(o and not n for o, n in outcomes) > 0
    assert found.nn == sum(not o and not n for o, n in outcomes)


def test_nothing_rare_is_named(rows):
    named = rows[~rows["key"].isin(["all", OTHER]) & (rows["breakdown"] != HISTOGRAM)]
    assert named["num_units"].min() >= 10


def test_histograms_hold_every_sentence_with_a_word(rows):
    for level in ("UAS", "LAS"):
        of_level = rows[rows["level"] == level].set_index("breakdown")
        histogram, words = of_level.loc[HISTOGRAM, "num_units"], of_level.loc["all"]
        assert len(histogram) == 11 and histogram.sum() == 6 * words["num_sentences"]
        assert histogram.iloc[0] < histogram.sum()


def test_files_are_read_back_and_equal_tables_give_equal_bytes(tmp_path):
    first, second = tmp_path / "a" / "breakdowns.parquet", tmp_path / "b.parquet"
    write_breakdowns(table("clean"), first)
    write_breakdowns(read_breakdowns(first), second)
    assert first.read_bytes() == second.read_bytes()
    pd.testing.assert_frame_equal(read_breakdowns(first), table("clean"))
    table("clean").rename(columns={"yn": "broken"}).to_parquet(tmp_path / "c.parquet")
    with pytest.raises(ValueError, match="not those of a table of breakdowns"):
        read_breakdowns(tmp_path / "c.parquet")


def test_as_many_old_as_new_predictions():
    gold, old, new = predictions(20)
    corpus = gold_slices(gold, PRESETS["clean"])
    sides = ([right_units(corpus, trees) for trees in side] for side in (old, new))
    with pytest.raises(ValueError, match="2 old and 3 new"):
        update_breakdowns(corpus, *sides, UPDATE, "Untreated")


@pytest.mark.corpus
def test_the_table_of_a_real_corpus_is_small(ewt, tmp_path):
    gold = read_conllu(ewt("test"))
    trees = [random_mistakes(gold, np.random.default_rng(seed), 0.2) for seed in (1, 2)]
    parts = []
    for preset in PRESETS.values():
        corpus = gold_slices(gold, preset)
        old, new = ([right_units(corpus, tree)] for tree in trees)
        parts.append(update_breakdowns(corpus, old, new, UPDATE, "Untreated"))
    for update in range(7):  # three updates by two methods, and the reverse of one
        parts += [part.assign(update=str(update)) for part in parts[:2]]
    write_breakdowns(pd.concat(parts[2:]), tmp_path / "breakdowns.parquet")
    assert 10_000 < (tmp_path / "breakdowns.parquet").stat().st_size < 300_000
