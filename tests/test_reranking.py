"""The method: scores, choice, oracles."""

import numpy as np
import pytest

from bcrlib.metrics.flips import flips
from bcrlib.reranking import accuracy_oracle, bcr_scores, choose, nfr_oracle, take

NEW = np.log([[0.5, 0.2], [0.3, 0.2], [0.2, 0.2]]).astype(np.float32)
OLD = np.log([[0.1, 0.3], [0.6, 0.1], [0.3, 0.3]]).astype(np.float32)


def test_one_old_model_alone_picks_and_the_first_of_equals_wins():
    assert choose(bcr_scores(NEW, [OLD])).tolist() == [1, 0]


def test_weights_trade_the_new_model_against_the_old():
    np.testing.assert_allclose(bcr_scores(NEW, [OLD, OLD], 0.5, [2.0, 1.0]), 0.5 * NEW + 3 * OLD, rtol=1e-6)
    assert choose(bcr_scores(NEW, [OLD], 10.0)).tolist() == [0, 0]


def test_a_model_of_weight_zero_is_not_looked_at():
    impossible = np.full_like(NEW, -np.inf)
    np.testing.assert_array_equal(bcr_scores(impossible, [OLD]), OLD.astype(np.float64))
    assert choose(bcr_scores(OLD, [impossible])).tolist() == [0, 0]


def test_wrong_weights_and_nan_are_refused():
    with pytest.raises(ValueError, match="zip"):
        bcr_scores(NEW, [OLD, OLD])
    with pytest.raises(ValueError, match="nan"):
        choose(np.array([[0.0, np.nan]]))


def test_take_follows_the_choice_of_the_unit_s_sentence():
    right = np.array([[1, 1, 0, 0, 1], [0, 0, 1, 1, 0]], dtype=bool)
    taken = take(right, np.array([1, 0, 1]), np.array([0, 0, 1, 2, 2]))
    assert taken.tolist() == [False, False, False, True, False]


def test_oracles_against_trying_every_candidate():
    rng = np.random.default_rng(1)
    sentence_of_unit = np.sort(rng.integers(0, 30, 100))
    right, old_right = rng.random((6, 100)) < 0.5, rng.random(100) < 0.7
    by_accuracy = choose(accuracy_oracle(right, sentence_of_unit, 31))
    by_nfr = choose(nfr_oracle(right, old_right, sentence_of_unit, 31))
    for sentence in range(31):
        units = sentence_of_unit == sentence
        if not units.any():  # the last sentence has no unit
            assert by_accuracy[sentence] == by_nfr[sentence] == 0
            continue
        updates = [flips(old_right[units], candidate[units]) for candidate in right]
        assert by_accuracy[sentence] == max(range(6), key=lambda i: updates[i].acc_new)
        assert by_nfr[sentence] == min(range(6), key=lambda i: updates[i].nfr)
