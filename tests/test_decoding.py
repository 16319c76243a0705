"""Fast tree searches against the enumeration of all trees, and against ufal.chu_liu_edmonds."""

import numpy as np
import pytest

from bcrlib.samplers.brute_force import all_scored_trees, all_trees, is_tree, simulated_arc_scores
from bcrlib.samplers.k_best import k_best_spanning_trees, split_and_search
from bcrlib.samplers.spanning_trees import maximum_spanning_trees, tree_score

SINGLE_ROOT = pytest.mark.parametrize("single_root", [True, False])
KINDS = ("normal", "integer", "forbidden", "many roots", "peaked", "constant")


def random_scores(kind: str, length: int, rng: np.random.Generator) -> np.ndarray:
    scores = rng.normal(size=(length + 1, length + 1)).astype(np.float32)
    if kind == "integer":
        return np.round(scores)
    if kind == "forbidden":
        scores[rng.random(scores.shape) < 0.4] = -np.inf
    if kind in ("many roots", "peaked"):
        scores *= 5 if kind == "peaked" else 1
        scores[:, 0] += 4
    return scores * 0 if kind == "constant" else scores


def padded(scores: np.ndarray, size: int) -> np.ndarray:
    """The table in the corner of a larger one of NaN, with NaN also where values must not matter."""
    table = np.full((size, size), np.nan, dtype=scores.dtype)
    table[: len(scores), : len(scores)] = scores
    table[0] = np.nan
    np.fill_diagonal(table, np.nan)
    return table


@pytest.mark.parametrize("length", [1, 2, 3, 4, 5])
def test_number_of_trees_is_cayleys(length):
    assert len(list(all_trees(length, single_root=True))) == length ** (length - 1)
    assert len(list(all_trees(length, single_root=False))) == (length + 1) ** (length - 1)


@SINGLE_ROOT
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("length", [1, 2, 3, 4, 5])
def test_one_best_and_k_best_are_those_of_brute_force(length, kind, single_root):
    rng = np.random.default_rng([length, KINDS.index(kind)])
    for _ in range(60 if length < 5 else 8):
        scores = random_scores(kind, length, rng)
        expected = all_scored_trees(scores, single_root)
        batch, lengths = padded(scores, length + 3)[None], np.array([length])
        if not expected:
            with pytest.raises(ValueError, match=r"sentence 0 .* no (single-root )?tree"):
                maximum_spanning_trees(batch, lengths, single_root)
            with pytest.raises(ValueError, match=r"sentence 0 .* no (single-root )?tree"):
                k_best_spanning_trees(batch, lengths, 2, single_root)
            continue
        (heads,) = maximum_spanning_trees(batch, lengths, single_root)
        assert is_tree(tuple(heads[1 : length + 1]), single_root)
        assert tree_score(batch[0], heads, length) == pytest.approx(expected[0][0], abs=1e-6)
        for k in (1, 2, 10, 40):
            check_k_best(batch, length, k, single_root, expected)


def check_k_best(batch, length, k, single_root, expected):
    heads, scores = (result[0] for result in k_best_spanning_trees(batch, np.array([length]), k, single_root))
    num_trees = min(k, len(expected))
    np.testing.assert_allclose(scores[:num_trees], [score for score, _ in expected[:num_trees]], atol=1e-6)
    assert (np.diff(scores[:num_trees]) <= 0).all()
    assert (scores[num_trees:] == -np.inf).all()
    assert (heads[num_trees:] == heads[0]).all()
    assert (heads[:, 0] == 0).all() and (heads[:, length + 1 :] == 0).all()
    trees = [tuple(tree[1 : length + 1]) for tree in heads[:num_trees]]
    assert len(set(trees)) == num_trees
    for tree, score in zip(heads, scores[:num_trees]):
        assert is_tree(tuple(tree[1 : length + 1]), single_root)
        assert tree_score(batch[0], tree, length) == pytest.approx(score, abs=1e-6)


@SINGLE_ROOT
@pytest.mark.parametrize("mean_margin", [0.0, 4.0, 12.0])
def test_depth_first_search_and_splitting_agree_on_long_sentences(mean_margin, single_root):
    lengths = np.arange(6, 46, 3)
    table = simulated_arc_scores(lengths, seed=5, mean_margin=mean_margin)
    heads, scores = k_best_spanning_trees(table, lengths, 20, single_root)
    for sentence, length in enumerate(lengths):
        split_heads = np.zeros((20, table.shape[1]), dtype=np.int16)
        split_scores = np.full(20, -np.inf)
        assert split_and_search(table[sentence], length, single_root, split_heads, split_scores) == 20
        np.testing.assert_allclose(scores[sentence], split_scores, atol=1e-6)
        trees = {tuple(tree[1 : length + 1]) for tree in heads[sentence]}
        assert len(trees) == 20 and all(is_tree(tree, single_root) for tree in trees)


@SINGLE_ROOT
def test_results_do_not_depend_on_the_rest_of_the_batch(single_root):
    lengths = np.array([3, 17, 1, 30, 8])
    table = simulated_arc_scores(lengths, seed=1, mean_margin=6.0)
    heads, scores = k_best_spanning_trees(table, lengths, 5, single_root)
    for sentence, length in enumerate(lengths):
        alone = table[sentence : sentence + 1, : length + 1, : length + 1]
        alone_heads, alone_scores = k_best_spanning_trees(alone, lengths[sentence : sentence + 1], 5, single_root)
        np.testing.assert_array_equal(heads[sentence, :, : length + 1], alone_heads[0])
        np.testing.assert_array_equal(scores[sentence], alone_scores[0])


def test_one_best_scores_those_of_ufal_with_a_root_penalty():
    chu_liu_edmonds = pytest.importorskip("ufal.chu_liu_edmonds").chu_liu_edmonds
    lengths = np.random.default_rng(0).integers(1, 40, size=100)
    for mean_margin in (0.0, 6.0):
        table = simulated_arc_scores(lengths, seed=2, mean_margin=mean_margin)
        heads = maximum_spanning_trees(table, lengths)
        for scores, tree, length in zip(table, heads, lengths):
            penalised = scores[: length + 1, : length + 1].astype(np.float64)
            penalised[:, 0] -= 1e4
            their_tree, _ = chu_liu_edmonds(penalised)
            assert tree_score(scores, tree, length) == pytest.approx(
                tree_score(scores, np.array(their_tree), length), abs=1e-6
            )


@pytest.mark.parametrize("fault", [np.nan, np.inf])
def test_scores_that_are_no_numbers_are_refused(fault):
    table = np.zeros((2, 4, 4), dtype=np.float32)
    table[1, 2, 3] = fault
    for search in (maximum_spanning_trees, lambda *batch: k_best_spanning_trees(*batch, 3)):
        with pytest.raises(ValueError, match=r"sentence 1 .* NaN"):
            search(table, np.array([3, 3]))
        search(table, np.array([3, 2]))  # beyond the length: ignored


def test_shapes_lengths_and_k_that_do_not_fit_are_refused():
    table = np.zeros((2, 4, 4), dtype=np.float32)
    with pytest.raises(ValueError, match="want"):
        maximum_spanning_trees(table[:, :3], np.array([2, 2]))
    for lengths in ([0, 3], [3, 4]):
        with pytest.raises(ValueError, match="lengths must lie"):
            maximum_spanning_trees(table, np.array(lengths))
    with pytest.raises(ValueError, match="k is 0"):
        k_best_spanning_trees(table, np.array([3, 3]), 0)
