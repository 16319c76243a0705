"""Table rows from counted flips: values against hand counts, intervals against the bootstrap they come from."""

import numpy as np
import pandas as pd
import pytest

from bcrlib.metrics.uncertainty import PairCounts, difference_intervals, rate_intervals
from bcrlib.report.regression import (
    BOOTSTRAP_SEED,
    difference_rows,
    method_rows,
    pair_rows,
    retraining_rows,
    spread_rows,
    swept_rows,
    update_rows,
)
from bcrlib.report.tables import beside_paper, tidy

DD = "deepbiaf=>deepbiaf"
# Two pairs of one sentence each: (yy, yn, ny, nn), ten units a pair.
UNTREATED = PairCounts(
    np.array([[[6, 2, 1, 1]], [[7, 1, 0, 2]]]), ("deepbiaf/123", "deepbiaf/456"), ("deepbiaf/1", "deepbiaf/2")
)


def crossed(flips: tuple[int, int, int, int], num_sentences: int = 40) -> PairCounts:
    """2 x 3 pairs whose sentences differ from each other at random, with these chances."""
    chances = np.array(flips) / sum(flips)
    counts = np.random.default_rng(3).multinomial(5, chances, size=(6, num_sentences))
    old = [f"deepbiaf/{seed}" for seed in (123, 456) for _ in range(3)]
    new = [f"deepbiaf/{seed}" for _ in range(2) for seed in (1, 2, 3)]
    return PairCounts(counts, tuple(old), tuple(new))


def cell(frame, row: str, level: str, metric: str):
    (found,) = frame[(frame["row"] == row) & (frame["level"] == level) & (frame["metric"] == metric)].itertuples()
    return found


def test_rates_are_sums_over_pairs_then_ratios():
    frame = method_rows({"UAS": {"Untreated": UNTREATED}}, DD, ("ACC", "ER", "NFR", "PFR", "NFI"), num_resamples=20)
    values = {row.metric: row.value for row in frame.itertuples()}
    assert values == pytest.approx({"ACC": 14 / 20, "ER": 6 / 20, "NFR": 3 / 20, "PFR": 1 / 20, "NFI": 3 / 6})
    assert set(frame["group"]) == {DD}


def test_intervals_are_those_of_the_bootstrap_and_error_turns_accuracy_round():
    pairs = crossed((80, 5, 4, 11))
    frame = method_rows({"UAS": {"BCR": pairs}}, metrics=("ACC", "ER", "NFI"), num_resamples=200)
    expected = rate_intervals(pairs, 200, np.random.default_rng(BOOTSTRAP_SEED))
    accuracy, error, impact = (cell(frame, "BCR", "UAS", metric) for metric in ("ACC", "ER", "NFI"))
    assert (impact.low, impact.high) == (expected["nfi"].low, expected["nfi"].high)
    assert (accuracy.low, accuracy.high) == (expected["acc_new"].low, expected["acc_new"].high)
    assert (error.low, error.high) == (1 - accuracy.high, 1 - accuracy.low)
    assert error.low < error.value < error.high


def test_the_old_row_has_the_accuracy_of_the_old_models():
    frame = old_rows({"UAS": UNTREATED}, DD, num_resamples=20)
    old = cell(frame, "Old", "UAS", "ACC")
    assert old.value == pytest.approx(16 / 20)
    assert len(frame) == 1


def test_every_update_is_a_block_of_old_and_methods():
    plain = crossed((80, 5, 4, 11))
    first, second = {"UAS": {"Untreated": UNTREATED}}, {"UAS": {"Untreated": plain, "BCR": crossed((84, 2, 5, 9))}}
    frame = update_rows({DD: first, "deepbiaf=>stackptr": second}, num_resamples=20)
    lines = list(dict.fromkeys(zip(frame["group"], frame["row"])))
    assert lines == [(DD, "Old"), (DD, "Untreated")] + [
        ("deepbiaf=>stackptr", row) for row in ("Old", "Untreated", "BCR")
    ]
    old_right = [16 / 20, plain.counts[..., :2].sum() / plain.counts.sum()]
    assert frame[frame["row"] == "Old"]["value"].tolist() == pytest.approx(old_right)


def test_methods_are_drawn_together():
    """A method's interval is that of the common resamples: the same for a copy of it under another name."""
    pairs = crossed((80, 5, 4, 11))
    frame = method_rows({"UAS": {"a": pairs, "b": pairs}}, num_resamples=100)
    first, second = (frame[frame["row"] == row][["low", "high"]].to_numpy() for row in "ab")
    np.testing.assert_array_equal(first, second)


def test_retraining_has_each_kind_once_and_each_update_under_every_definition():
    pairs = {DD: {"UAS": UNTREATED}, "deepbiaf=>stackptr": {"UAS": crossed((80, 5, 4, 11))}}
    frame = retraining_rows({"clean": pairs, "official": pairs}, num_resamples=20)
    lines = list(dict.fromkeys(zip(frame["group"].fillna(""), frame["row"])))
    both = ("clean", "official")
    assert lines[:4] == [("", f"{kind}, {name}") for kind in ("deepbiaf", "stackptr") for name in both]
    assert lines[4:] == [(update, f"Untreated, {name}") for update in pairs for name in both]
    untreated = frame[(frame["group"] == DD) & (frame["row"] == "Untreated, clean")]
    assert dict(zip(untreated["metric"], untreated["value"])) == pytest.approx({"NFR": 0.15, "NFI": 0.5})


def test_a_kind_is_counted_on_the_side_where_it_is_replaced_if_it_is():
    """A row of updates a => b => c: the last kind replaces another and is never replaced."""
    onward = PairCounts(np.array([[[4, 2, 3, 1]], [[5, 1, 0, 4]]]), ("b/1", "b/2"), ("c/1", "c/2"))
    frame = retraining_rows({"clean": {"a=>b": {"EM": UNTREATED}, "b=>c": {"EM": onward}}}, num_resamples=20)
    found = {kind: cell(frame, f"{kind}, clean", "EM", "ACC").value for kind in "abc"}
    assert found == pytest.approx({"a": 0.8, "b": 0.6, "c": 0.6})
    spread = cell(frame, "c, clean", "EM", "ACC").spread
    assert spread == pytest.approx(0.1)


def test_a_sweep_is_the_rows_at_every_value():
    other = {"UAS": {"BCR": UNTREATED}}
    frame = swept_rows({np.nan: {"UAS": {"Untreated": UNTREATED}}, 2: other, 3: other}, "n", DD, ("NFR",), 20)
    assert frame["row"].tolist() == ["Untreated", "BCR", "BCR"]
    assert frame["n"].tolist()[1:] == [2, 3]
    assert np.isnan(frame["n"][0])
    assert frame["value"].tolist() == pytest.approx([0.15] * 3)


def test_a_single_model_is_counted_once_a_seed():
    """Three pairs, but two old models: 0.8 (twice) and 0.4."""
    counts = np.array([[[6, 2, 1, 1]], [[7, 1, 0, 2]], [[4, 0, 3, 3]]])
    names = ("deepbiaf/1", "deepbiaf/1", "deepbiaf/2")
    pairs = PairCounts(counts, names, ("deepbiaf/2", "deepbiaf/3", "deepbiaf/1"))
    single = cell(single_model_rows({"UCM": pairs}, "deepbiaf"), "deepbiaf", "UCM", "ACC")
    assert (single.value, single.spread) == pytest.approx((0.6, 0.2))


def test_differences_are_paired_and_have_the_papers_beside():
    counts = {"UAS": {"Untreated": crossed((80, 5, 4, 11)), "Ensemble": crossed((84, 2, 5, 9))}}
    beside = beside_paper(method_rows(counts, DD, num_resamples=20), "Table 3")
    others = beside.assign(group="stackptr=>stackptr", paper=0.5)  # of another update, not looked at
    frame = difference_rows(counts, "Untreated", DD, pd.concat([others, beside]), num_resamples=200)
    flips = cell(frame, "Ensemble", "UAS", "ΔNFR")
    rng = np.random.default_rng(BOOTSTRAP_SEED)
    expected = difference_intervals(counts["UAS"]["Ensemble"], counts["UAS"]["Untreated"], 200, rng)["nfr"]
    assert (flips.value, flips.low, flips.high) == (expected.value, expected.low, expected.high)
    assert flips.value < 0
    assert flips.paper == pytest.approx(0.0102 - 0.0166)
    assert set(frame["row"]) == {"Ensemble"}


def test_spread_is_over_pairs():
    frame = spread_rows({"UAS": {"Untreated": UNTREATED}})
    flips = cell(frame, "Untreated", "UAS", "NFR")
    assert (flips.value, flips.spread) == pytest.approx((0.15, 0.05))


@pytest.mark.parametrize(("metric", "values"), [("NFR", [0.2, 0.1]), ("NFI", [2 / 3, 1 / 3]), ("ACC", [0.7, 0.7])])
def test_pairs_by_seed(metric, values):
    frame = pair_rows(UNTREATED, metric, DD)
    assert set(frame["group"]) == {DD}
    assert list(zip(frame["old_seed"], frame["new_seed"])) == [(123, 1), (456, 2)]
    assert frame["value"].tolist() == pytest.approx(values)


def test_an_unknown_metric_is_refused():
    with pytest.raises(KeyError, match="NFX"):
        method_rows({"UAS": {"Untreated": UNTREATED}}, metrics=("NFX",), num_resamples=2)


def test_rows_fit_the_tables_and_are_the_same_each_time():
    counts = {"UAS": {"Untreated": crossed((80, 5, 4, 11))}, "UCM": {"Untreated": crossed((60, 9, 8, 23))}}
    first, second = (tidy(method_rows(counts, DD, num_resamples=50)) for _ in range(2))
    assert first.equals(second)
    assert list(dict.fromkeys(first["level"])) == ["UAS", "UCM"]
