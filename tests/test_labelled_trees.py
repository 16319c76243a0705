"""The k best labelled trees against the enumeration of all labelled trees of short sentences."""

from itertools import pairwise

import numpy as np
import pytest

from bcrlib.samplers.brute_force import all_scored_labelled_trees, all_trees, is_tree, simulated_arc_scores
from bcrlib.samplers.k_best import k_best_spanning_trees
from bcrlib.samplers.k_best_labels import k_best_labelled_trees

SINGLE_ROOT = pytest.mark.parametrize("single_root", [True, False])
KINDS = ("normal", "ties", "forbidden", "constant", "sure heads", "sure relations")


def random_tables(kind: str, length: int, num_labels: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Scores of arcs [dep, head] and of relations [dep, label, head], as a parser gives them."""
    arcs = rng.normal(size=(length + 1, length + 1)).astype(np.float32)
    labels = rng.normal(size=(length + 1, num_labels, length + 1)).astype(np.float32)
    if kind == "ties":
        return np.round(arcs), np.round(labels)
    if kind == "forbidden":
        arcs[rng.random(arcs.shape) < 0.2] = -np.inf
        labels[rng.random(labels.shape) < 0.5] = -np.inf
    if kind == "constant":
        return arcs * 0, labels * 0
    return arcs * (20 if kind == "sure heads" else 1), labels * (20 if kind == "sure relations" else 1)


def search(arcs, labels, k, single_root, lengths=None):
    """The k best labelled trees of tables [sentence, ...]."""
    lengths = np.array([arcs.shape[1] - 1]) if lengths is None else lengths
    with_best = arcs.astype(np.float64) + labels.max(axis=2)
    return k_best_labelled_trees(with_best, lengths, k, lambda s, d, h: labels[s, d, :, h], single_root)


@SINGLE_ROOT
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("length", "num_labels"), [(1, 1), (1, 4), (2, 3), (3, 1), (3, 3), (4, 2)])
def test_they_are_those_of_brute_force(length, num_labels, kind, single_root):
    rng = np.random.default_rng([length, num_labels, KINDS.index(kind)])
    for _ in range(20 if length < 4 else 4):
        arcs, labels = random_tables(kind, length, num_labels, rng)
        expected = all_scored_labelled_trees(arcs, labels, single_root)
        if not expected:
            with pytest.raises(ValueError, match=r"no (single-root )?tree"):
                search(arcs[None], labels[None], 3, single_root)
            continue
        for k in (1, 2, 3, 10, 50):
            check(arcs, labels, k, single_root, expected)


def check(arcs, labels, k, single_root, expected):
    heads, relations, scores = (result[0] for result in search(arcs[None], labels[None], k, single_root))
    num_trees = min(k, len(expected))
    np.testing.assert_allclose(scores[:num_trees], [score for score, *_ in expected[:num_trees]], rtol=0, atol=1e-9)
    assert (np.diff(scores[:num_trees]) <= 0).all() and (scores[num_trees:] == -np.inf).all()
    found = [(tuple(h[1:]), tuple(r[1:])) for h, r in zip(heads.tolist(), relations.tolist())]
    assert len(set(found[:num_trees])) == num_trees
    assert found[num_trees:] == [found[0]] * (k - num_trees)
    score_of = {(h, r): score for score, h, r in expected}
    np.testing.assert_allclose([score_of[tree] for tree in found[:num_trees]], scores[:num_trees], rtol=0, atol=1e-9)
    if all(better - worse > 1e-9 for (better, *_), (worse, *_) in pairwise(expected[: num_trees + 1])):
        assert found[:num_trees] == [tree[1:] for tree in expected[:num_trees]]


def test_brute_force_gives_every_labelled_tree_once():
    zeros = np.zeros((4, 4)), np.zeros((4, 2, 4))
    trees = all_scored_labelled_trees(*zeros)
    assert len({tree[1:] for tree in trees}) == len(trees) == len(list(all_trees(3))) * 2**3


def test_a_worked_example():
    """The other relation of word 2 loses 0.1, that of word 1 loses 1, and so does the other tree."""
    arcs, labels = np.zeros((1, 3, 3)), np.full((1, 3, 2, 3), -1.0)
    arcs[0, 1, 0] = arcs[0, 2, 1] = 0.5  # 1 hangs from the root, 2 from 1
    labels[0, :, 0] = 0
    labels[0, 2, 1, 1] = -0.1
    heads, relations, scores = search(arcs, labels, 5, True)
    assert heads[0, :, 1:].tolist() == [[0, 1], [0, 1], [2, 0], [0, 1], [0, 1]]
    assert relations[0, :2, 1:].tolist() == [[0, 0], [0, 1]] and relations[0, 2, 1:].tolist() == [0, 0]
    np.testing.assert_allclose(scores[0], [1, 0.9, 0, 0, -0.1], atol=1e-12)


@SINGLE_ROOT
def test_with_one_relation_they_are_the_k_best_trees(single_root):
    lengths = np.arange(2, 30, 3)
    table = simulated_arc_scores(lengths, seed=3, mean_margin=6.0)
    heads, scores = k_best_spanning_trees(table, lengths, 8, single_root)
    found, relations, found_scores = search(
        table, np.zeros((*table.shape[:2], 1, table.shape[2])), 8, single_root, lengths
    )
    assert np.array_equal(found, heads) and not relations.any()
    np.testing.assert_allclose(found_scores, scores, atol=1e-6)


def test_long_sentences_have_trees_in_order_that_do_not_depend_on_the_batch():
    rng, lengths = np.random.default_rng(2), np.array([3, 17, 1, 30, 8])
    arcs = simulated_arc_scores(lengths, seed=1, mean_margin=6.0)
    labels = rng.normal(scale=4, size=(*arcs.shape[:2], 12, arcs.shape[2])).astype(np.float32)
    heads, relations, scores = search(arcs, labels, 10, True, lengths)
    for s, n in enumerate(lengths):
        finite = scores[s][scores[s] > -np.inf]
        assert (np.diff(finite) <= 0).all() and len(finite) == 10
        trees = {(tuple(h[1 : n + 1]), tuple(r[1 : n + 1])) for h, r in zip(heads[s].tolist(), relations[s].tolist())}
        assert len(trees) == 10 and all(is_tree(h) for h, _ in trees)
        words = np.arange(1, n + 1)
        for h, r, score in zip(heads[s, :, 1 : n + 1], relations[s, :, 1 : n + 1], scores[s]):
            again = arcs[s, words, h].sum(dtype=np.float64) + labels[s, words, r, h].sum(dtype=np.float64)
            assert again == pytest.approx(score, abs=1e-5)
        alone = search(
            arcs[s : s + 1, : n + 1, : n + 1], labels[s : s + 1, : n + 1, :, : n + 1], 10, True, lengths[s : s + 1]
        )
        for whole, one in zip((heads[s, :, : n + 1], relations[s, :, : n + 1], scores[s]), alone):
            np.testing.assert_array_equal(whole, one[0])


def test_no_relations_but_of_arcs_of_the_best_trees_are_asked_for():
    lengths = np.array([20, 12])
    table, asked = simulated_arc_scores(lengths, seed=1), []

    def labels_of_arcs(sentence, dep, head):
        asked.extend(zip(sentence.tolist(), dep.tolist(), head.tolist()))
        return np.tile(np.array([0.0, -3.0]), (len(dep), 1))

    k_best_labelled_trees(table, lengths, 5, labels_of_arcs)
    heads, _ = k_best_spanning_trees(table, lengths, 5)
    of_trees = {(s, d, tree[d]) for s, n in enumerate(lengths) for tree in heads[s].tolist() for d in range(1, n + 1)}
    assert len(asked) == len(set(asked)) and set(asked) == of_trees
