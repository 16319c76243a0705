"""Rows and figures of sources of candidates: values against counting, the right parameter in the right place."""

import numpy as np
import pandas as pd
import pytest
from random_stores import random_store

from bcrlib.experiments import counting, diversity
from bcrlib.experiments.counting import parse_update
from bcrlib.metrics.uncertainty import micro_average
from bcrlib.report import candidate_sources
from bcrlib.report.tables import tidy

UPDATE = parse_update("deepbiaf=>stackptr")
STRATEGIES = [
    "beam(b=10)",
    "beam(b=2)",
    "dropout-p(p=0.05)",
    "nucleus(p=0.9)",
    "nucleus(p=0.99)",
    "top-k(k=10)",
    "top-k(k=2)",
]


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    rng = np.random.default_rng(4)
    old, new = ["deepbiaf/11", "deepbiaf/12"], ["stackptr/1", "stackptr/2"]
    return random_store(tmp_path_factory.mktemp("s"), rng, old, new, STRATEGIES)


@pytest.fixture(scope="module")
def offers(store):
    rows = candidate_sources.strategy_rows(STRATEGIES, "dropout-p(p=0.05)")
    return candidate_sources.source_rows(store, "clean", ("UAS", "UCM"), UPDATE, rows, num_resamples=30)


def values(offers, row, level="UAS"):
    cells = offers[(offers["row"] == row) & (offers["level"] == level)]
    return dict(zip(cells["metric"], cells["value"]))


def test_rows_are_in_order_and_the_chosen_one_is_named():
    assert candidate_sources.strategy_rows(STRATEGIES, "dropout-p(p=0.05)") == {
        "beam(b=2)": "beam(b=2)",
        "beam(b=10)": "beam(b=10)",
        "top-k(k=2)": "top-k(k=2)",
        "top-k(k=10)": "top-k(k=10)",
        "nucleus(p=0.9)": "nucleus(p=0.9)",
        "nucleus(p=0.99)": "nucleus(p=0.99)",
        "dropout-p(p=0.05), chosen on dev": "dropout-p(p=0.05)",
    }


def test_what_a_beam_lists_decides_after_its_width():
    rows = candidate_sources.strategy_rows(["beam(b=4)", "beam(b=10,ended)", "beam(b=10)", "beam(b=2,ended)"])
    assert list(rows) == ["beam(b=2,ended)", "beam(b=4)", "beam(b=10)", "beam(b=10,ended)"]


def test_one_strategy_a_source_is_shown_the_nearest_to_the_papers():
    shown = candidate_sources.shown_strategies(STRATEGIES, UPDATE, "dropout-p(p=0.05)")
    assert shown == {
        "beam": "beam(b=10)",
        "top-k": "top-k(k=2)",
        "nucleus": "nucleus(p=0.99)",
        "dropout-p": "dropout-p(p=0.05)",
    }
    assert list(candidate_sources.shown_strategies(["beam(b=2)"], UPDATE, "dropout-p(p=0.05)")) == []


@pytest.mark.parametrize("level", ["UAS", "UCM"])
def test_values_are_those_of_the_measures_and_of_who_picks(store, offers, level):
    found = values(offers, "top-k(k=10)", level)
    arguments = (store, "clean", level, UPDATE, "top-k(k=10)")
    measured = {name: s.amount.sum() / s.out_of.sum() for name, s in diversity.measure(*arguments).items()}
    own = micro_average(counting.own_choice(*arguments).counts)
    picked = micro_average(counting.bcr(*arguments).counts)
    oracles = {by: micro_average(counting.oracle(*arguments, by).counts) for by in ("ACC", "NFR")}
    expected = {"ACC own": own.acc_new, "ACC BCR": picked.acc_new, "NFR BCR": picked.nfr}
    expected |= {"ACC oracle": oracles["ACC"].acc_new, "NFR oracle": oracles["NFR"].nfr}
    assert found == pytest.approx(measured | expected)


def test_rows_have_intervals_and_units_and_are_tidy(offers):
    frame = tidy(offers)
    assert (frame["low"] <= frame["value"]).all() and (frame["value"] <= frame["high"]).all()
    assert set(frame.loc[frame["metric"] == "distinct trees", "unit"]) == {"a sentence"}
    assert set(frame.loc[frame["metric"] != "distinct trees", "unit"]) == {"%"}
    assert set(frame["group"]) == {"deepbiaf=>stackptr"}


def test_one_candidate_leaves_no_choice(store):
    row = {"x": "nucleus(p=0.9)"}
    one = values(candidate_sources.source_rows(store, "clean", ("UAS",), UPDATE, row, 1, num_resamples=10), "x")
    assert one["ACC own"] == one["ACC oracle"] == one["ACC BCR"] == pytest.approx(one["ACC random"])
    assert one["NFR oracle"] == one["NFR BCR"] and "same tree" not in one


def test_the_bars_add_up_to_the_flips_after_re_ranking(offers):
    untreated = {"group": str(UPDATE), "row": "Untreated", "level": "UAS", "metric": "NFR BCR", "value": 0.2}
    figure = candidate_sources.flips_within_reach(pd.concat([offers, pd.DataFrame([untreated])]), "Reach")
    (axes,) = figure.axes
    names = [label.get_text() for label in axes.get_yticklabels()]
    bars = list(axes.patches)
    assert len(bars) == 2 * len(names) and "Untreated" not in names
    for place, name in enumerate(names):
        fewest, rest = bars[place], bars[len(names) + place]
        assert fewest.get_width() == pytest.approx(100 * values(offers, name)["NFR oracle"])
        assert rest.get_x() + rest.get_width() == pytest.approx(100 * values(offers, name)["NFR BCR"])
        assert rest.get_width() >= -1e-9


def test_points_are_where_their_strategies_are(offers):
    figure = candidate_sources.metrics_by_diversity(offers, "Diversity")
    beam = figure.axes[1].get_lines()[0]
    expected = sorted((values(offers, row)["distinct trees"], row) for row in ("beam(b=2)", "beam(b=10)"))
    np.testing.assert_allclose(beam.get_xdata(), [distinct for distinct, _ in expected])
    np.testing.assert_allclose(beam.get_ydata(), [100 * values(offers, row)["ACC oracle"] for _, row in expected])
    assert [axes.get_ylabel() for axes in figure.axes][-1] == "NFR BCR (%)"


def test_cut_distributions_are_distributions():
    original = np.array([0.5, 0.3, 0.2])
    figure = candidate_sources.cut_distributions(
        ["a", "b", "c"], original, {"top-k": np.array([0.625, 0.375, 0])}, "Cut"
    )
    assert [bar.get_height() for bar in figure.axes[0].patches] == pytest.approx([0.5, 0.3, 0.2, 0.625, 0.375, 0])
    with pytest.raises(ValueError, match="top-k: no distribution over 3"):
        candidate_sources.cut_distributions(["a", "b", "c"], original, {"top-k": np.array([0.5, 0.3, 0])}, "Cut")
