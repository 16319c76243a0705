"""Sub-trees and couples against the authors' recursions and double loops; the table complete, consistent and small."""

import math
from collections import Counter
from fractions import Fraction
from functools import reduce
from operator import add

import numpy as np
import pandas as pd
import pytest
from random_trees import children, random_mistakes, random_treebank, same_below
from test_breakdowns import authors_units

from bcrlib.data.presets import PRESETS
from bcrlib.data.treebank import Treebank, read_conllu
from bcrlib.metrics.attachment import scored_units, scored_words, treebank_correctness
from bcrlib.metrics.breakdowns import OTHER, by_range, by_tag
from bcrlib.metrics.flips import flips
from bcrlib.metrics.tree_breakdowns import (
    HISTOGRAM,
    HISTOGRAM_BINS,
    SUBTREE_LEVELS,
    ancestry,
    co_occurrence,
    couple_counts,
    gold_slices,
    read_breakdowns,
    right_units,
    sentence_nfr_histogram,
    subtree_correctness,
    subtree_couples,
    subtree_keys,
    subtrees,
    update_breakdowns,
    word_couples,
    write_breakdowns,
)

UPDATE = "deepbiaf=>stackptr"
OFFICIAL, CLEAN = PRESETS["official"], PRESETS["clean"]
PRESET = pytest.mark.parametrize("preset", [OFFICIAL, CLEAN], ids=lambda preset: preset.name)

# The twin: one sentence at a time, words as numbers from 1, children as lists in order of position.


def is_compared(tag: str, preset) -> bool:
    return preset.tree_level_punct or tag not in preset.punct_exclude


def everything_below(word: int, below: dict[int, list[int]]) -> list[int]:
    return [word] + [w for child in below[word] for w in everything_below(child, below)]


def depth(word: int, below: dict[int, list[int]], compared: set[int]) -> int:
    deepest = max((depth(child, below, compared) for child in below[word]), default=0)
    return deepest + 1 if deepest or word in compared else 0


def recursive_subtrees(gold: Treebank, predicted: Treebank, preset) -> list[tuple]:
    """(root token, size, depth, right without relations, right with relations) of every sub-tree."""
    found = []
    for start, end in zip(gold.offsets.tolist(), gold.offsets[1:].tolist()):
        mine, theirs = ((bank.heads[start:end].tolist(), bank.relations[start:end]) for bank in (gold, predicted))
        below = children(mine[0])
        compared = {w for w, tag in enumerate(gold.upos[start:end], start=1) if is_compared(tag, preset)}
        for word in sorted(compared):
            inside = [w for w in everything_below(word, below) if w in compared]
            if len(inside) >= 2:
                right = [same_below(word, mine, theirs, compared, labelled) for labelled in (False, True)]
                found.append((start + word - 1, len(inside), depth(word, below, compared), *right))
    return found


@PRESET
def test_subtrees_are_those_of_the_recursive_comparison(preset):
    rng = np.random.default_rng(1)
    gold = random_treebank(300, rng, longest=9)
    predicted = random_mistakes(gold, rng)
    expected = list(zip(*recursive_subtrees(gold, predicted, preset)))
    units = subtrees(gold, preset)
    assert (units.root.tolist(), units.size.tolist(), units.depth.tolist()) == tuple(map(list, expected[:3]))
    right = subtree_correctness(gold, units, predicted, preset)
    for level, twin in zip(SUBTREE_LEVELS, expected[3:]):
        assert 0.1 < right[level].mean() < 0.9
        assert right[level].tolist() == list(twin), level


def test_subtrees_of_other_sentences_are_refused():
    gold = random_treebank(2, np.random.default_rng(2))
    with pytest.raises(ValueError, match="other sentences"):
        subtree_correctness(gold, subtrees(gold, CLEAN), gold.select(np.array([0, 0])), CLEAN)


def test_a_circle_is_refused():
    circle = Treebank(["a", "b"], ["X", "X"], np.array([2, 1], np.int32), ["r", "r"], np.array([0, 2]))
    with pytest.raises(ValueError, match="circle"):
        ancestry(circle)


def way_up(word: int, heads: list[int]) -> list[int]:
    """The word and all above it, the artificial root 0 at the end."""
    return [word] if word == 0 else [word, *way_up(heads[word - 1], heads)]


def tree_distance(x: int, y: int, heads: list[int]) -> int:
    up_x, up_y = way_up(x, heads), way_up(y, heads)
    return min(up_x.index(word) + up_y.index(word) for word in up_x if word in up_y)


def every_two(gold: Treebank, tokens: list[int]):
    """Ordered, as in the authors' code: (unit x, unit y, word x, word y, heads, relations)."""
    for x, token_x in enumerate(tokens):
        for y, token_y in enumerate(tokens):
            sentence = gold.sentence_of_token[token_x]
            if x != y and sentence == gold.sentence_of_token[token_y]:
                start, end = gold.offsets[sentence], gold.offsets[sentence + 1]
                heads, relations = gold.heads[start:end].tolist(), gold.relations[start:end]
                yield x, y, int(token_x - start + 1), int(token_y - start + 1), heads, relations


def word_loop(gold: Treebank, preset) -> dict[tuple[int, int], tuple[int, str, int]]:
    found = {}
    for x, y, word_x, word_y, heads, relations in every_two(gold, np.flatnonzero(scored_words(gold, preset))):
        relation = ""
        if heads[word_x - 1] == word_y:
            relation = relations[word_x - 1]
        if heads[word_y - 1] == word_x:
            relation = relations[word_y - 1]
        found[x, y] = (abs(word_x - word_y), relation, tree_distance(word_x, word_y, heads))
    return found


def several_roots(gold: Treebank) -> Treebank:
    """The second word of every other sentence made a root."""
    heads = gold.heads.copy()
    heads[[start + 1 for start, length in zip(gold.offsets, gold.lengths) if length > 2][::2]] = 0
    return gold.with_trees(heads, gold.relations)


@PRESET
def test_couples_of_words_are_those_of_the_double_loop(preset):
    gold = several_roots(random_treebank(30, np.random.default_rng(1), longest=9))
    couples, expected = word_couples(gold, preset), word_loop(gold, preset)
    values = zip(*(values.tolist() for values in couples.keys.values()))
    found = dict(zip(zip(couples.first.tolist(), couples.second.tolist()), values))
    assert len(found) == len(couples.first) and 2 * len(found) == len(expected) > 100
    assert all(found[x, y] == expected[x, y] == expected[y, x] for x, y in found)


def test_couples_of_subtrees_and_containment():
    gold = random_treebank(40, np.random.default_rng(2), longest=12)
    units = subtrees(gold, OFFICIAL)
    couples = subtree_couples(gold, units)
    found = dict(
        zip(zip(couples.first.tolist(), couples.second.tolist()), couples.keys["couple tree distance"].tolist())
    )
    expected = {}
    for x, y, word_x, word_y, heads, _ in every_two(gold, units.root):
        contained = word_x in way_up(word_y, heads) or word_y in way_up(word_x, heads)
        expected[x, y] = 0 if contained else tree_distance(word_x, word_y, heads)
    assert {0, 2, 3} <= set(found.values())
    assert found == {couple: distance for couple, distance in expected.items() if couple[0] < couple[1]}


def test_common_flips_are_those_of_the_double_loop():
    rng = np.random.default_rng(3)
    gold = random_treebank(25, rng, longest=8)
    couples, loop = word_couples(gold, OFFICIAL), word_loop(gold, OFFICIAL)
    flipped = rng.random((4, int(scored_words(gold, OFFICIAL).sum()))) < 0.3
    for key, slices in {
        0: by_range(couples.keys["couple distance"], range(1, 9)),
        1: by_tag(couples.keys["couple relation"]),
    }.items():
        expected = Counter()
        for (x, y), values in loop.items():
            for one in flipped:
                together = ("neither", "only_one", "both")[int(one[x]) + int(one[y])]
                expected[str(values[key]).replace("8", "8+"), together] += 1
        table = co_occurrence(couple_counts(flipped, couples), slices)
        assert table["both"].sum() > 0
        for row in table.itertuples():
            counts = {"both": row.both, "only_one": row.only_one, "neither": row.neither}
            assert counts == {outcome: expected[row.key, outcome] for outcome in counts}
            assert row.num_units * len(flipped) == sum(counts.values())


@pytest.mark.corpus
def test_subtrees_of_ewt_are_those_of_the_authors(ewt):
    gold = read_conllu(ewt("test"))
    units = subtrees(gold, OFFICIAL)
    assert len(units.root) == 8568
    for breakdown, values in subtree_keys(gold, units).items():
        assert {str(key): number for key, number in Counter(values.tolist()).items()} == authors_units(breakdown)


@pytest.mark.corpus
def test_couples_of_ewt_are_those_of_the_authors(ewt):
    gold = read_conllu(ewt("test"))
    of_words, of_subtrees = word_couples(gold, OFFICIAL), subtree_couples(gold, subtrees(gold, OFFICIAL))
    for breakdown, values in of_words.keys.items():
        counted = Counter(map(str, values.tolist()))
        expected = authors_units(breakdown, "UAS")
        assert {key: 2 * number for key, number in counted.items() if key} == expected, breakdown
    counted = Counter(map(str, of_subtrees.keys["couple tree distance"].tolist()))
    assert {key: 2 * n for key, n in counted.items()} == authors_units("couple tree distance", "unlabelled sub-tree")


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


def test_histogram_is_that_of_fractions():
    rng = np.random.default_rng(4)
    counts = rng.integers(6, size=(3, 200, 4))
    counts[:, 0] = 0  # a sentence without words
    counts[:, 1] = [7, 3, 0, 0]  # 3 / 10 is not above 0.3
    expected = [0] * 11
    for yy, yn, ny, nn in counts.reshape(-1, 4).tolist():
        if yy + yn + ny + nn:
            expected[math.ceil(10 * Fraction(yn, yy + yn + ny + nn))] += 1
    assert sentence_nfr_histogram(counts).tolist() == expected
    assert (HISTOGRAM_BINS[0], HISTOGRAM_BINS[1], HISTOGRAM_BINS[10]) == ("0", "(0.0, 0.1]", "(0.9, 1.0]")
