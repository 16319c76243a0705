"""Couples of units and their common flips against the authors' double loop; their counts of EWT test."""

from collections import Counter

import numpy as np
import pytest
from random_trees import random_treebank
from test_breakdowns import authors_units

from bcrlib.data.presets import PRESETS
from bcrlib.data.treebank import Treebank, read_conllu
from bcrlib.metrics.attachment import scored_words
from bcrlib.metrics.breakdowns import by_range, by_tag
from bcrlib.metrics.co_occurrence import co_occurrence, couple_counts, subtree_couples, word_couples
from bcrlib.metrics.subtrees import subtrees

OFFICIAL, CLEAN = PRESETS["official"], PRESETS["clean"]


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


@pytest.mark.parametrize("preset", [OFFICIAL, CLEAN], ids=lambda preset: preset.name)
def test_couples_of_words_are_those_of_the_double_loop(preset):
    gold = several_roots(random_treebank(30, np.random.default_rng(1), longest=9))
    couples, expected = word_couples(gold, preset), word_loop(gold, preset)
    values = zip(*(couples.keys[key].tolist() for key in ("distance", "relation", "tree distance")))
    found = dict(zip(zip(couples.first.tolist(), couples.second.tolist()), values))
    assert len(found) == len(couples.first) and 2 * len(found) == len(expected) > 100
    assert all(found[x, y] == expected[x, y] == expected[y, x] for x, y in found)


def test_couples_of_subtrees_and_containment():
    gold = random_treebank(40, np.random.default_rng(2), longest=12)
    units = subtrees(gold, OFFICIAL)
    couples = subtree_couples(gold, units)
    found = dict(zip(zip(couples.first.tolist(), couples.second.tolist()), couples.keys["tree distance"].tolist()))
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
        0: by_range(couples.keys["distance"], range(1, 9)),
        1: by_tag(couples.keys["relation"]),
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
def test_couples_of_ewt_are_those_of_the_authors(ewt):
    gold = read_conllu(ewt("test"))
    of_words, of_subtrees = word_couples(gold, OFFICIAL), subtree_couples(gold, subtrees(gold, OFFICIAL))
    for breakdown, values in of_words.keys.items():
        counted = Counter(map(str, values.tolist()))
        expected = authors_units(f"couple {breakdown}", "UAS")
        assert {key: 2 * number for key, number in counted.items() if key} == expected, breakdown
    counted = Counter(map(str, of_subtrees.keys["tree distance"].tolist()))
    assert {key: 2 * n for key, n in counted.items()} == authors_units("couple tree distance", "unlabelled sub-tree")
