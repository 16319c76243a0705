"""Rows of tables: values against hand counts, intervals against the bootstrap; settings from hand-made records."""

import numpy as np
import pandas as pd
import pytest

from bcrlib.metrics.uncertainty import PairCounts, difference_intervals, rate_intervals
from bcrlib.report import regression
from bcrlib.report.tables import beside_paper

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
    frame = regression.method_rows({"UAS": {"Untreated": UNTREATED}}, DD, ("ACC", "ER", "NFR", "PFR", "NFI"))
    values = {row.metric: row.value for row in frame.itertuples()}
    assert values == pytest.approx({"ACC": 14 / 20, "ER": 6 / 20, "NFR": 3 / 20, "PFR": 1 / 20, "NFI": 3 / 6})
    assert set(frame["group"]) == {DD}


def test_intervals_are_those_of_the_bootstrap_and_error_turns_accuracy_round():
    pairs = crossed((80, 5, 4, 11))
    frame = regression.method_rows({"UAS": {"BCR": pairs}}, metrics=("ACC", "ER", "NFI"))
    expected = rate_intervals(pairs, regression.NUM_RESAMPLES, np.random.default_rng(regression.BOOTSTRAP_SEED))
    accuracy, error, impact = (cell(frame, "BCR", "UAS", metric) for metric in ("ACC", "ER", "NFI"))
    assert (impact.low, impact.high) == (expected["nfi"].low, expected["nfi"].high)
    assert (accuracy.low, accuracy.high) == (expected["acc_new"].low, expected["acc_new"].high)
    assert (error.low, error.high) == (1 - accuracy.high, 1 - accuracy.low)
    assert error.low < error.value < error.high


def test_every_update_is_a_block_of_old_and_methods():
    plain = crossed((80, 5, 4, 11))
    first, second = {"UAS": {"Untreated": UNTREATED}}, {"UAS": {"Untreated": plain, "BCR": crossed((84, 2, 5, 9))}}
    frame = regression.update_rows({DD: first, "deepbiaf=>stackptr": second})
    lines = list(dict.fromkeys(zip(frame["group"], frame["row"])))
    assert lines == [(DD, "Old"), (DD, "Untreated")] + [
        ("deepbiaf=>stackptr", row) for row in ("Old", "Untreated", "BCR")
    ]
    old_right = [16 / 20, plain.counts[..., :2].sum() / plain.counts.sum()]
    assert frame[frame["row"] == "Old"]["value"].tolist() == pytest.approx(old_right)


def test_methods_are_drawn_together():
    """A method's interval is that of the common resamples: the same for a copy of it under another name."""
    pairs = crossed((80, 5, 4, 11))
    frame = regression.method_rows({"UAS": {"a": pairs, "b": pairs}})
    first, second = (frame[frame["row"] == row][["low", "high"]].to_numpy() for row in "ab")
    np.testing.assert_array_equal(first, second)


def test_retraining_has_each_kind_once_and_each_update_under_every_definition():
    pairs = {DD: {"UAS": UNTREATED}, "deepbiaf=>stackptr": {"UAS": crossed((80, 5, 4, 11))}}
    frame = regression.retraining_rows({"clean": pairs, "official": pairs})
    lines = list(dict.fromkeys(zip(frame["group"].fillna(""), frame["row"])))
    both = ("clean", "official")
    assert lines[:4] == [("", f"{kind}, {name}") for kind in ("deepbiaf", "stackptr") for name in both]
    assert lines[4:] == [(update, f"Untreated, {name}") for update in pairs for name in both]
    untreated = frame[(frame["group"] == DD) & (frame["row"] == "Untreated, clean")]
    assert dict(zip(untreated["metric"], untreated["value"])) == pytest.approx({"NFR": 0.15, "NFI": 0.5})


def test_a_kind_is_counted_on_the_side_where_it_is_replaced_if_it_is():
    """A row of updates a => b => c: the last kind replaces another and is never replaced."""
    onward = PairCounts(np.array([[[4, 2, 3, 1]], [[5, 1, 0, 4]]]), ("b/1", "b/2"), ("c/1", "c/2"))
    frame = regression.retraining_rows({"clean": {"a=>b": {"EM": UNTREATED}, "b=>c": {"EM": onward}}})
    found = {kind: cell(frame, f"{kind}, clean", "EM", "ACC").value for kind in "abc"}
    assert found == pytest.approx({"a": 0.8, "b": 0.6, "c": 0.6})
    spread = cell(frame, "c, clean", "EM", "ACC").spread
    assert spread == pytest.approx(0.1)


def test_a_single_model_is_counted_once_a_seed():
    """Three pairs, but two old models: 0.8 (twice) and 0.4."""
    counts = np.array([[[6, 2, 1, 1]], [[7, 1, 0, 2]], [[4, 0, 3, 3]]])
    old, new = ("deepbiaf/1", "deepbiaf/1", "deepbiaf/2"), ("deepbiaf/2", "deepbiaf/3", "deepbiaf/1")
    frame = regression.retraining_rows({"clean": {DD: {"UCM": PairCounts(counts, old, new)}}})
    single = cell(frame, "deepbiaf, clean", "UCM", "ACC")
    assert (single.value, single.spread) == pytest.approx((0.6, 0.2))


def test_a_sweep_is_the_rows_at_every_value():
    other = {"UAS": {"BCR": UNTREATED}}
    frame = regression.swept_rows({np.nan: {"UAS": {"Untreated": UNTREATED}}, 2: other, 3: other}, "n", DD, ("NFR",))
    assert frame["row"].tolist() == ["Untreated", "BCR", "BCR"]
    assert frame["n"].tolist()[1:] == [2, 3]
    assert np.isnan(frame["n"][0])
    assert frame["value"].tolist() == pytest.approx([0.15] * 3)


def test_differences_are_paired_and_have_the_papers_beside():
    counts = {"UAS": {"Untreated": crossed((80, 5, 4, 11)), "Ensemble": crossed((84, 2, 5, 9))}}
    beside = beside_paper(regression.method_rows(counts, DD), "Table 3")
    others = beside.assign(group="stackptr=>stackptr", paper=0.5)  # of another update, not looked at
    frame = regression.difference_rows(counts, "Untreated", DD, pd.concat([others, beside]))
    flips = cell(frame, "Ensemble", "UAS", "ΔNFR")
    rng = np.random.default_rng(regression.BOOTSTRAP_SEED)
    expected = difference_intervals(
        counts["UAS"]["Ensemble"], counts["UAS"]["Untreated"], regression.NUM_RESAMPLES, rng
    )["nfr"]
    assert (flips.value, flips.low, flips.high) == (expected.value, expected.low, expected.high)
    assert flips.value < 0
    assert flips.paper == pytest.approx(0.0102 - 0.0166)
    assert set(frame["row"]) == {"Ensemble"}


def test_spread_is_over_pairs():
    frame = regression.spread_rows({"UAS": {"Untreated": UNTREATED}})
    flips = cell(frame, "Untreated", "UAS", "NFR")
    assert (flips.value, flips.spread) == pytest.approx((0.15, 0.05))


@pytest.mark.parametrize(("metric", "values"), [("NFR", [0.2, 0.1]), ("NFI", [2 / 3, 1 / 3]), ("ACC", [0.7, 0.7])])
def test_pairs_by_seed(metric, values):
    frame = regression.pair_rows(UNTREATED, metric, DD)
    assert set(frame["group"]) == {DD}
    assert list(zip(frame["old_seed"], frame["new_seed"])) == [(123, 1), (456, 2)]
    assert frame["value"].tolist() == pytest.approx(values)


def test_an_unknown_metric_is_refused():
    with pytest.raises(KeyError, match="NFX"):
        regression.method_rows({"UAS": {"Untreated": UNTREATED}}, metrics=("NFX",))


# From the records of a run


def test_dropout_grid_by_rate():
    point = {"nfr": 0.01, "nfi": 0.1, "acc_new": 0.9}
    grid = [point | {"strategy": f"dropout-p(p={p})", "level": level} for p in (0.05, 0.1) for level in ("UAS", "LAS")]
    choice = {"strategy": "dropout-p(p=0.1)", "grid": grid}
    choices = {"a=>a": choice, "a=>b": choice | {"strategy": "dropout-p(p=0.05)"}}
    frame = regression.dropout_rows(choices, ["LAS"])
    assert frame["p"].tolist() == 2 * ([0.05] * 3 + [0.1] * 3)
    assert frame["row"].tolist() == ["a ⇒ a"] * 6 + ["a ⇒ b"] * 6
    assert dict(zip(frame["metric"], frame["value"])) == {"NFR": 0.01, "NFI": 0.1, "ACC": 0.9}
    assert regression.chosen_rates(choices) == {"a ⇒ a": 0.1, "a ⇒ b": 0.05}


def test_signature_names_the_settings():
    profile = {"corpus": "demo", "preset": "clean", "old_seeds": [123], "new_seeds": [1], "num_candidates": 10}
    manifest = {
        "profile": profile | {"ensembles": ["(1, 2)"], "name": "demo"},
        "dropout_choice": {
            "deepbiaf=>deepbiaf": {"strategy": "dropout-p(p=0.1)", "grid": []},
            "deepbiaf=>stackptr": {"strategy": "dropout-p(p=0.05)", "grid": []},
        },
    }
    assert regression.signature(manifest)["old_seeds"] == [123]
    assert (
        regression.signature(manifest)["task"] == "dependency-parsing"
    )  # of manifests from before there was a second task
    assert regression.signature(manifest | {"task": "semantic"})["task"] == "semantic-parsing"
    settings = regression.candidate_signature(manifest)
    assert settings["ensembles"] == ["(1,2)"]
    of_numbers = regression.candidate_signature(manifest | {"profile": manifest["profile"] | {"ensembles": [[1, 2]]}})
    assert of_numbers == settings  # however old the manifest is
    assert settings["preset"] == "clean"
    assert settings["sampling"] == ["deepbiaf=>deepbiaf dropout-p(p=0.1)", "deepbiaf=>stackptr dropout-p(p=0.05)"]


def test_teachers_are_told_beside_their_students():
    # Two lessons of one sentence with ten words: kept, broken, repaired, left wrong.
    counts = np.array([[[6, 2, 1, 1]], [[5, 1, 3, 1]]])
    names = ("deepbiaf-static/11", "deepbiaf-static/12")
    students = tuple(f"deepbiaf/distillation({teacher})/1" for teacher in names)
    counts_of = {"deepbiaf-static=>deepbiaf": {"UAS": {"Distillation": PairCounts(counts, names, students)}}}
    told = {11: {"UAS": 0.9, "LAS": 0.5}, 12: {"UAS": 0.8, "LAS": 0.5}}
    jobs = {f"distil deepbiaf by deepbiaf-static {seed}": {"teacher_accuracy": told[seed]} for seed in told}
    frame = regression.teacher_rows({"jobs": jobs}, counts_of)
    assert set(frame["row"]) == {"Distillation"} and set(frame["level"]) == {"UAS"}
    expected = {"teacher, training data": 0.85, "teacher, test": 14 / 20, "student, test": 15 / 20}
    assert dict(zip(frame["metric"], frame["value"])) == pytest.approx(expected)
    older = {"distil deepbiaf by deepbiaf-static 11": {}, "distil deepbiaf by deepbiaf-static 12": {}}
    assert regression.teacher_rows({"jobs": older}, counts_of).empty and regression.teacher_rows({}, counts_of).empty
