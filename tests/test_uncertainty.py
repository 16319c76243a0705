"""Averages over pairs, the paired bootstrap, McNemar's test."""

from itertools import permutations, product
from math import comb

import numpy as np
import pytest

from bcrlib.metrics import uncertainty
from bcrlib.metrics.flips import RATES, Flips, as_flips, flips_by_sentence
from bcrlib.metrics.uncertainty import (
    Estimate,
    PairCounts,
    Share,
    all_rate_intervals,
    difference_intervals,
    estimate,
    mcnemar,
    micro_average,
    pair_spread,
    rate_intervals,
    resample,
    resampled_sums,
    share_intervals,
)


def pair_counts(
    pairs: list[tuple[str, str]], num_sentences: int = 60, seed: int = 0, quality: float = 0.9
) -> PairCounts:
    """Models whose sentences have five words each; a model's words depend on its name and the seed alone."""

    def right(model: str) -> np.ndarray:
        return np.random.default_rng([seed, *model.encode()]).random(num_sentences * 5) < quality

    old_right, new_right = (np.stack([right(pair[side]) for pair in pairs]) for side in (0, 1))
    counts = flips_by_sentence(old_right, new_right, np.repeat(np.arange(num_sentences), 5), num_sentences)
    return PairCounts(counts, *zip(*pairs))


CROSSED = list(product(["old/1", "old/2", "old/3"], ["new/1", "new/2", "new/3", "new/4"]))


def test_micro_average_sums_first():
    counts = np.array([[[1, 1, 0, 0]], [[0, 0, 4, 4]]])
    assert micro_average(counts) == Flips(1, 1, 4, 4)


def test_spread_is_over_pairs_with_ddof_0():
    counts = np.array([[[1, 1, 0, 0], [0, 0, 1, 1]], [[4, 0, 0, 0], [0, 0, 0, 0]]])
    mean, deviation = pair_spread(counts)["nfr"]
    assert (mean, deviation) == (0.125, 0.125)


def test_a_resample_is_the_sum_over_drawn_sentences_and_models():
    """The same draws, replayed one at a time with loops."""
    method = pair_counts(CROSSED, num_sentences=8)
    drawn = resample({"bcr": method}, 20, np.random.default_rng(5))["bcr"]
    rng = np.random.default_rng(5)
    sentences = rng.multinomial(8, [1 / 8] * 8, size=20)
    old, new = rng.multinomial(3, [1 / 3] * 3, size=20), rng.multinomial(4, [1 / 4] * 4, size=20)
    for i in range(20):
        expected = np.zeros(4)
        for pair, sentence in product(range(12), range(8)):
            weight = old[i, pair // 4] * new[i, pair % 4] * sentences[i, sentence]
            expected += weight * method.counts[pair, sentence]
        assert [drawn.yy[i], drawn.yn[i], drawn.ny[i], drawn.nn[i]] == expected.tolist()
    assert (drawn.num_units == 12 * 8 * 5).all()


def test_students_are_drawn_with_their_teachers():
    taught = pair_counts([(f"old/{i}", f"student/{i}") for i in range(3)])
    assert taught.nested and not pair_counts(CROSSED).nested
    drawn = resample({"distillation": taught}, 200, np.random.default_rng(1))["distillation"]
    assert (drawn.num_units == 3 * 60 * 5).all()  # every resample has three pairs, never none


def test_old_and_new_of_one_set_are_drawn_once():
    homogeneous = pair_counts(list(permutations(["m/1", "m/2", "m/3"], 2)))
    drawn = resample({"untreated": homogeneous}, 300, np.random.default_rng(1))["untreated"]
    # weights (1,1,1) give 6 pairs, (2,1,0) give 4, and (3,0,0), no pair, is drawn again
    assert set(drawn.num_units / 300) == {4.0, 6.0}


def test_methods_are_paired():
    """Two equal methods never differ; the interval of a difference is narrower than the rates' are."""
    untreated = pair_counts(CROSSED)
    same = difference_intervals(untreated, untreated, 100, np.random.default_rng(1))
    assert all((e.value, e.low, e.high) == (0, 0, 0) for e in same.values())
    better = untreated.counts.copy()
    better[:, :, 0] += better[:, :, 1] // 2
    better[:, :, 1] -= better[:, :, 1] // 2
    bcr = PairCounts(better, untreated.old_of_pair, untreated.new_of_pair)
    cut = difference_intervals(bcr, untreated, 500, np.random.default_rng(1))["nfr"]
    rate = rate_intervals(untreated, 500, np.random.default_rng(1))["nfr"]
    assert cut.low <= cut.value <= cut.high <= 0
    assert cut.high - cut.low < rate.high - rate.low


def test_methods_with_other_new_models_share_the_old_ones():
    untreated = pair_counts(CROSSED)
    students = pair_counts([(f"old/{i}", f"student/{i}") for i in (1, 2, 3)])
    drawn = resample({"a": untreated, "b": students}, 50, np.random.default_rng(1))
    alone = resample({"a": untreated}, 50, np.random.default_rng(1))["a"]
    np.testing.assert_array_equal(drawn["a"].yn, alone.yn)  # b took nothing from a's draws
    swapped = resample({"b": students, "a": untreated}, 50, np.random.default_rng(1))
    np.testing.assert_array_equal(drawn["b"].yn, swapped["b"].yn)


def test_intervals_of_several_methods_are_those_of_each_with_the_same_draws():
    methods = {("UAS", 1): pair_counts(CROSSED), ("UAS", 2): pair_counts(CROSSED, seed=5, quality=0.7)}
    together = all_rate_intervals(methods, 100, np.random.default_rng(1))
    alone = {name: rate_intervals(method, 100, np.random.default_rng(1)) for name, method in methods.items()}
    assert together == alone and alone["UAS", 1] != alone["UAS", 2]


@pytest.mark.parametrize("rate", RATES)
def test_intervals_cover_the_truth_about_as_often_as_they_say(rate):
    """40 experiments on new sentences by the same (independent) models: the truth is known."""
    truth = {"acc_old": 0.9, "acc_new": 0.9, "nfr": 0.09, "pfr": 0.09, "nfi": 0.9}[rate]
    hits = 0
    for seed in range(40):
        estimate = rate_intervals(pair_counts(CROSSED, seed=seed), 200, np.random.default_rng(seed))[rate]
        assert estimate.low <= estimate.value <= estimate.high
        hits += estimate.low <= truth <= estimate.high
    assert 32 <= hits <= 40


def test_shapes_are_checked():
    with pytest.raises(ValueError, match="2 pairs"):
        PairCounts(np.zeros((2, 3, 4), dtype=np.int64), ("a", "b"), ("c",))
    with pytest.raises(ValueError, match="numbers of sentences"):
        resample(
            {"a": pair_counts(CROSSED), "b": pair_counts(CROSSED, num_sentences=9)},
            5,
            np.random.default_rng(0),
        )


def test_mcnemar_is_the_binomial_tail():
    assert mcnemar(Flips(50, 2, 9, 5)) == pytest.approx(2 * sum(comb(11, i) for i in range(3)) / 2**11)
    assert mcnemar(Flips(50, 9, 2, 5)) == mcnemar(Flips(1, 2, 9, 0))
    assert mcnemar(Flips(5, 3, 3, 0)) == 1 == mcnemar(Flips(5, 0, 0, 5))


def random_counts(num_items: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.multinomial(rng.integers(1, 9), [0.8, 0.05, 0.06, 0.09], size=num_items)


def test_a_resample_is_the_sum_over_drawn_items():
    numbers, rng = random_counts(30), np.random.default_rng(3)
    expected = [[sum(numbers[i, c] for i in drawn) for c in range(4)] for drawn in rng.integers(30, size=(7, 30))]
    assert resampled_sums(numbers, 7, np.random.default_rng(3)).tolist() == expected


def test_memory_is_bounded_and_changes_nothing(monkeypatch):
    numbers = random_counts(50)
    at_once = resampled_sums(numbers, 20, np.random.default_rng(1))
    monkeypatch.setattr(uncertainty, "CELLS_AT_ONCE", 150)  # three resamples
    np.testing.assert_array_equal(resampled_sums(numbers, 20, np.random.default_rng(1)), at_once)


@pytest.mark.parametrize("rate", ["acc_new", "nfr", "nfi"])
def test_intervals_are_those_of_the_bootstrap_over_pairs(rate):
    """Other draws of the same distribution: ends differ by little of the interval's width."""
    counts = random_counts(400)
    of_pair = rate_intervals(PairCounts(counts[None], ("old",), ("new",)), 4000, np.random.default_rng(0))[rate]
    drawn = as_flips(resampled_sums(counts, 4000, np.random.default_rng(1)))
    ours = estimate(of_pair.value, getattr(drawn, rate))
    width = of_pair.high - of_pair.low
    assert width > 0
    assert (ours.low, ours.high) == pytest.approx((of_pair.low, of_pair.high), abs=0.08 * width)


def test_resamples_without_units_are_left_out():
    assert estimate(0.5, np.array([np.nan, 0.2, 0.2])) == Estimate(0.5, 0.2, 0.2)


def test_the_interval_of_a_mean_covers_it():
    rng = np.random.default_rng(5)
    truth, covered = 0.3, 0
    for _ in range(200):
        amount = (rng.random((1, 150)) < truth).astype(float)
        estimate = share_intervals({"x": Share(amount, np.ones((1, 150)))}, 200, rng)["x"]
        assert estimate.low <= estimate.value <= estimate.high and estimate.value == pytest.approx(amount.mean())
        covered += estimate.low <= truth <= estimate.high
    assert 0.88 <= covered / 200 <= 0.99


def test_the_interval_of_a_mean_draws_models_too():
    amount = np.stack([np.zeros(50), np.ones(50)])  # no spread over sentences, all over models
    estimate = share_intervals({"x": Share(amount, np.ones((2, 50)))}, 500, np.random.default_rng(5))["x"]
    assert (estimate.low, estimate.value, estimate.high) == (0, 0.5, 1)
