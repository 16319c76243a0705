"""Rows and figures over rounds: the numbers are those of the counts, every round is where it belongs."""

import numpy as np
import pandas as pd
import pytest
from random_stores import random_store

from bcrlib.experiments import rounds
from bcrlib.experiments.counting import parse_update
from bcrlib.metrics.uncertainty import difference_intervals, micro_average, rate_intervals
from bcrlib.report.many_rounds import NFR_AGAINST, last_round, last_round_differences, metric_by_round, round_rows
from bcrlib.report.regression import BOOTSTRAP_SEED
from bcrlib.report.tables import tidy

UPDATE, STRATEGY = parse_update("stackptr=>stackptr"), "beam(b=4)"


@pytest.fixture(scope="module")
def counts(tmp_path_factory):
    rng = np.random.default_rng(2)
    new = ["stackptr/1", "stackptr/2", "stackptr/3"]
    store = random_store(tmp_path_factory.mktemp("s"), rng, ["stackptr/11", "stackptr/12"], new, [STRATEGY])
    return {
        level: {
            "Untreated": rounds.untreated(store, "clean", level, UPDATE),
            "BCR (last 1)": rounds.bcr(store, "clean", level, UPDATE, STRATEGY, 1),
            "BCR (all)": rounds.bcr(store, "clean", level, UPDATE, STRATEGY),
        }
        for level in ("UAS", "UCM")
    }


def cell(frame, **key):
    for column, value in key.items():
        frame = frame[frame[column] == value]
    (found,) = frame.itertuples()
    return found


def test_every_round_has_the_rates_of_its_counts(counts):
    frame = round_rows(counts, "stackptr=>stackptr", num_resamples=50)
    for level, rows in counts.items():
        for row, of_against in rows.items():
            for against, metric in NFR_AGAINST.items():
                for number, pairs in enumerate(of_against[against], start=1):
                    found = cell(frame, level=level, row=row, metric=metric, round=number)
                    assert found.value == micro_average(pairs.counts).nfr
            for number, pairs in enumerate(of_against["before"], start=1):
                total = micro_average(pairs.counts)
                assert cell(frame, level=level, row=row, metric="ACC", round=number).value == total.acc_new
                assert cell(frame, level=level, row=row, metric="NFI", round=number).value == total.nfi
            start = cell(frame, level=level, row=row, metric="ACC", round=0)
            assert start.value == micro_average(of_against["first"][2].counts).acc_old
    assert len(frame) == 2 * 3 * (1 + 3 * 5)
    assert len(tidy(frame, extra=("round",))) == len(frame)  # nothing given twice


def test_intervals_are_those_of_the_bootstrap(counts):
    frame = round_rows(counts, num_resamples=60)
    rng = np.random.default_rng(BOOTSTRAP_SEED)
    expected = rate_intervals(counts["UAS"]["BCR (all)"]["any"][1], 60, rng)["nfr"]
    found = cell(frame, level="UAS", row="BCR (all)", metric="NFR to any", round=2)
    assert (found.low, found.high) == (expected.low, expected.high)


def test_the_last_round_is_the_last(counts):
    frame = round_rows(counts, num_resamples=20)
    last = last_round(frame)
    assert "round" not in last and len(last) == 2 * 3 * 5
    third = cell(frame, level="UCM", row="Untreated", metric="NFR to first", round=3)
    assert cell(last, level="UCM", row="Untreated", metric="NFR to first").value == third.value


def test_differences_are_paired_and_of_the_last_round(counts):
    frame = last_round_differences(counts, "BCR (last 1)", num_resamples=60)
    assert set(frame["row"]) == {"Untreated", "BCR (all)"}
    assert set(frame["metric"]) == {"ΔNFR", "ΔNFR to first", "ΔNFR to any"}
    both = [counts["UAS"][row]["first"][2] for row in ("BCR (all)", "BCR (last 1)")]
    expected = difference_intervals(*both, 60, np.random.default_rng(BOOTSTRAP_SEED))["nfr"]
    found = cell(frame, level="UAS", row="BCR (all)", metric="ΔNFR to first")
    assert (found.value, found.low, found.high) == (expected.value, expected.low, expected.high)


def test_the_figure_draws_every_round_of_every_group(counts):
    frame = round_rows(counts, "a=>a, x", num_resamples=20)
    two = metric_by_round(pd.concat([frame, frame.assign(group="b=>b, y")]), "Rounds")
    assert len(two.axes) == 2 * 4
    accuracy, flips = two.axes[0], two.axes[1]
    assert "a ⇒ a" in accuracy.get_ylabel() and "% of words" in accuracy.get_ylabel()
    line = accuracy.get_lines()[1]
    of_row = frame[(frame["level"] == "UAS") & (frame["metric"] == "ACC") & (frame["row"] == "BCR (last 1)")]
    np.testing.assert_allclose(line.get_ydata(), 100 * of_row.sort_values("round")["value"])
    np.testing.assert_allclose(line.get_xdata(), [0, 1, 2, 3], atol=0.1)
    np.testing.assert_allclose(flips.get_lines()[0].get_xdata(), [1, 2, 3], atol=0.1)
    assert flips.get_ylim()[0] == 0
