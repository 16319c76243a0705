"""The headline, its frontier and rounds of updates, counted again by plain loops; the paper's own headline."""

import json
import math

import numpy as np
import pandas as pd
import pytest
from random_stores import FRAME_UNITS, random_store

from bcrlib.data.files import ROOT
from bcrlib.experiments import counting, rounds
from bcrlib.experiments.store import CorrectnessStore
from bcrlib.metrics.uncertainty import PairCounts, difference_intervals, micro_average
from bcrlib.report import candidate_sources, updates
from bcrlib.report.candidate_sources import JOINED, SAMPLED
from bcrlib.report.figures import METHOD_COLOURS
from bcrlib.report.regression import BOOTSTRAP_SEED, NUM_RESAMPLES
from bcrlib.report.tables import Record, plain_rows, tidy

UPDATES = ("deepbiaf=>deepbiaf", "stackptr=>stackptr", "deepbiaf=>stackptr")
LISTS = {"deepbiaf=>deepbiaf": "BCR (k-best)", "stackptr=>stackptr": "BCR (beam)", "deepbiaf=>stackptr": "BCR (beam)"}


@pytest.mark.parametrize(
    ("task", "percent"), [("dependency", (-0.1, 27.9, 58.1)), ("semantic", (22.0, 33.1, 72.6))], ids=str
)
def test_the_paper_s_headline_follows_from_its_tables(task, percent):
    cuts = [updates.paper_headline(task, method)[updates.CUT] for method in updates.METHODS]
    assert [round(100 * cut, 1) for cut in cuts[:3]] == list(percent)
    assert all(math.isnan(cut) for cut in cuts[3:])  # of lists and joined pools it knows nothing
    assert len(updates.paper_cells(task)) == 6


def random_pairs(rng: np.random.Generator, seed: int, broken: float) -> PairCounts:
    """Two old and two new models on 40 sentences of up to six units, so many in a hundred broken."""
    sizes = np.random.default_rng(seed).integers(1, 7, 40)
    rates = [0.6 - broken, broken, 0.15, 0.25]
    counts = np.stack([[rng.multinomial(size, rates) for size in sizes] for _ in range(4)])
    return PairCounts(counts, ("a/1", "a/1", "a/2", "a/2"), ("b/1", "b/2", "b/1", "b/2"))


@pytest.fixture
def counts_of() -> dict:
    """Three updates at three levels, one of which the headline has not; and an update that the paper has not."""
    rng = np.random.default_rng(7)
    broken = {"Untreated": 0.2, "Distillation": 0.2, "Ensemble": 0.15, SAMPLED: 0.08, "listed": 0.05, JOINED: 0.04}
    return {
        update: {
            level: {
                LISTS.get(update, "BCR (k-best)") if row == "listed" else row: random_pairs(rng, 1, rate)
                for row, rate in broken.items()
            }
            for level in ("UAS", "UCM", "LAS")
        }
        for update in (*UPDATES, "deepbiaf-static=>deepbiaf")
    }


def by_hand(counts_of: dict, row: str) -> tuple[float, float]:
    cuts, changes = [], []
    for update in UPDATES:
        for level in ("UAS", "UCM"):
            of_row = counts_of[update][level]
            pairs = of_row[LISTS[update] if row == "BCR (listed)" else row]
            before, after = micro_average(of_row["Untreated"].counts), micro_average(pairs.counts)
            cuts.append(1 - after.nfi / before.nfi)
            changes.append(after.acc_new - before.acc_new)
    return sum(cuts) / 6, sum(changes) / 6


def test_means_are_over_the_paper_s_updates_and_levels(counts_of):
    rows = updates.headline_rows("dependency", counts_of)
    found = rows.pivot(index="row", columns="metric", values="value")
    assert list(dict.fromkeys(rows["row"])) == list(updates.METHODS)
    for row in updates.METHODS:
        assert tuple(found.loc[row, [updates.CUT, updates.CHANGE]]) == pytest.approx(by_hand(counts_of, row))
    assert (rows["low"] <= rows["value"]).all() and (rows["value"] <= rows["high"]).all()
    assert (rows["low"] < rows["high"]).all()
    assert tidy(rows)["paper"].notna().sum() == 6


def test_all_methods_see_the_same_resamples(counts_of):
    for of_level in counts_of.values():
        for of_row in of_level.values():
            of_row["Ensemble"], of_row[JOINED] = of_row["Untreated"], of_row[SAMPLED]
    rows = updates.headline_rows("dependency", counts_of).set_index(["row", "metric"])[["value", "low", "high"]]
    assert rows.loc["Ensemble"].to_numpy().tolist() == [[0, 0, 0], [0, 0, 0]]
    assert rows.loc[JOINED].to_numpy().tolist() == rows.loc[SAMPLED].to_numpy().tolist()


def test_what_is_missing_is_left_out_and_told(counts_of):
    del counts_of["deepbiaf=>stackptr"]
    for of_row in counts_of["stackptr=>stackptr"].values():
        del of_row[JOINED]
    for of_level in counts_of.values():
        for of_row in of_level.values():
            del of_row["Distillation"]
    rows = updates.headline_rows("dependency", counts_of)
    assert list(dict.fromkeys(rows["row"])) == ["Ensemble", SAMPLED, "BCR (listed)", f"{JOINED}, 2 of 4 cells"]
    assert rows["value"].notna().all()


def test_where_nothing_breaks_nothing_can_be_cut(counts_of):
    for of_row in (of_level["UCM"] for of_level in counts_of.values()):
        for row, pairs in of_row.items():
            kept = pairs.counts * np.array([1, 0, 1, 1])
            of_row[row] = PairCounts(kept, pairs.old_of_pair, pairs.new_of_pair)
    rows = updates.headline_rows("dependency", counts_of).set_index(["row", "metric"])["value"]
    cuts = [
        1 - micro_average(of_level["UAS"][SAMPLED].counts).nfi / micro_average(of_level["UAS"]["Untreated"].counts).nfi
        for of_level in map(counts_of.get, UPDATES)
    ]
    assert rows[SAMPLED, updates.CUT] == pytest.approx(sum(cuts) / 3)


def counted(store: CorrectnessStore, **joined) -> dict:
    """The update of sizes alone, dropout-p chosen on dev, and perhaps a joined pool."""
    update = counting.parse_update("s2s-base=>s2s-large")
    store.save_manifest({"dropout_choice": {str(update): {"strategy": "dropout-p(p=0.1)", "grid": []} | joined}})
    rows = {"Untreated": counting.untreated, **candidate_sources.rerankers(store, update)}
    return {str(update): candidate_sources.count(store, "clean", update, rows)}


@pytest.fixture
def run(tmp_path):
    """A store of frames and its counts."""
    strategies = ["1-best", "beam(b=10)", "dropout-p(p=0.1)"]
    old, new = ["s2s-base/11", "s2s-base/12"], ["s2s-large/1", "s2s-large/2"]
    store = random_store(tmp_path, np.random.default_rng(8), old, new, strategies, FRAME_UNITS)
    return store, counted(store, joined={"strategy": "+".join(strategies), "new_weight": 0.25})


def test_the_frontier_goes_through_the_weight_chosen_on_dev(run):
    store, counts = run
    assert list(counts["s2s-base=>s2s-large"]["EM"]) == ["Untreated", SAMPLED, "BCR (beam)", JOINED]
    rows = updates.frontier_rows("semantic", store, "clean", counts, (0.0, 0.25, 1.0))
    assert len(rows) == 2 * (3 + 3)
    points = rows.pivot(index=["row", "new_weight"], columns="metric", values="value")
    chosen, on_curve = points.loc[(JOINED, np.nan)], points.loc[(JOINED, 0.25)]
    assert chosen.to_numpy().ravel().tolist() == on_curve.to_numpy().ravel().tolist()
    assert points.loc[(JOINED, 0.0)].to_numpy().ravel().tolist() != on_curve.to_numpy().ravel().tolist()
    headline = updates.headline_rows("semantic", counts).pivot(index="row", columns="metric", values="value")
    assert headline.loc[JOINED].tolist() == chosen.to_numpy().ravel().tolist()


def test_the_frontier_is_drawn_in_the_methods_colours_with_the_paper_s_points(run):
    store, counts = run
    rows = updates.frontier_rows("semantic", store, "clean", counts, (0.0, 0.25, 1.0))
    (axes,) = updates.frontier(rows, "A claim").axes
    lines = [(line.get_color(), np.round(line.get_xydata(), 5).tolist()) for line in axes.get_lines()]
    curve = rows[(rows["row"] == JOINED) & rows["new_weight"].notna()]
    wide = 100 * curve.pivot(index="new_weight", columns="metric", values="value")
    assert (METHOD_COLOURS[JOINED], wide[[updates.CHANGE, updates.CUT]].round(5).to_numpy().tolist()) in lines
    assert {"Untreated", SAMPLED, "BCR (listed)", JOINED, "0", "0.25", "1"} == {text.get_text() for text in axes.texts}
    diamonds = [line for line in axes.get_lines() if line.get_marker() == "D"]
    theirs = updates.paper_headline("semantic", SAMPLED)
    assert [line.get_xydata().tolist() for line in diamonds] == [
        [pytest.approx([100 * theirs[updates.CHANGE], 100 * theirs[updates.CUT]])]
    ]
    assert diamonds[0].get_markeredgecolor() == METHOD_COLOURS["BCR"]


def test_a_run_without_a_joined_choice_has_a_curve_but_no_row(run):
    store, _ = run
    counts = counted(store)
    assert list(counts["s2s-base=>s2s-large"]["EM"]) == ["Untreated", SAMPLED, "BCR (beam)"]
    assert JOINED not in set(updates.headline_rows("semantic", counts)["row"])
    trade = updates.frontier_rows("semantic", store, "clean", counts, (0.0,))
    assert set(trade.loc[trade["row"] == JOINED, "new_weight"]) == {0.0}
    assert updates.frontier(trade, "A claim").axes


def test_the_readme_s_table_shows_ours_with_the_paper_s_number_or_with_its_interval():
    cells = [
        ("Ensemble", "trees", updates.CUT, 0.2242, 0.175, 0.2731, 0.28),
        ("Ensemble", "trees", updates.CHANGE, 0.0072, 0.004, 0.0104, None),
        (JOINED, "frames", updates.CUT, 0.641, 0.6, 0.7, None),
        (JOINED, "frames", updates.CHANGE, -0.0002, -0.004, 0.004, None),
    ]
    cells = pd.DataFrame(cells, columns=["row", "level", "metric", "value", "low", "high", "paper"])
    record = Record("table", "headline", "t", "c", "s", "make", plain_rows(tidy(cells)))
    assert updates.headline_table(record).splitlines()[2:] == [
        "| Ensemble | **22.4** (28.0) | +0.72 | – | – |",
        "| BCR (joined) | – | – | **64.1** | -0.02 |",
    ]
    assert updates.headline_table(record, intervals=True).splitlines()[2:] == [
        "| Ensemble | 22.4 [17.5, 27.3] | +0.72 [+0.40, +1.04] | – | – |",
        "| BCR (joined) | – | – | 64.1 [60.0, 70.0] | -0.02 [-0.40, +0.40] |",
    ]


def test_what_a_method_changes_is_counted_over_all_cells_and_lists_have_one_name():
    numbers = {("a=>a", "Untreated"): (0.04, 0.80), ("a=>a", "BCR (k-best)"): (0.01, 0.79)}
    numbers |= {("a=>b", "Untreated"): (0.02, 0.90), ("a=>b", "BCR (beam)"): (0.03, 0.92)}
    cells = [
        {"group": group, "row": row, "level": "UAS", "metric": metric, "value": value}
        for (group, row), both in numbers.items()
        for metric, value in zip(("NFR", "ACC"), both)
    ]
    record = Record("table", "table3", "t", "c", "s", "make", plain_rows(tidy(cells)))
    assert updates.changes_table(record).splitlines()[2:] == [
        "| BCR (listed) | 1 of 2 cells | 25 to 150 | -1.00 to +2.00 |"
    ]


UPDATE, STRATEGY = counting.parse_update("stackptr=>stackptr"), "beam(b=4)"


@pytest.fixture(scope="module")
def round_counts(tmp_path_factory):
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


def test_every_round_has_the_rates_of_its_counts(round_counts):
    frame = updates.round_rows(round_counts, "stackptr=>stackptr")
    for level, rows in round_counts.items():
        for row, of_against in rows.items():
            for against, metric in updates.NFR_AGAINST.items():
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
    assert len(updates.last_round(frame)) == 2 * 3 * 5 and "round" not in updates.last_round(frame)


def test_differences_are_paired_and_of_the_last_round(round_counts):
    frame = updates.last_round_differences(round_counts, "BCR (last 1)")
    assert set(frame["row"]) == {"Untreated", "BCR (all)"}
    assert set(frame["metric"]) == {"ΔNFR", "ΔNFR to first", "ΔNFR to any"}
    both = [round_counts["UAS"][row]["first"][2] for row in ("BCR (all)", "BCR (last 1)")]
    expected = difference_intervals(*both, NUM_RESAMPLES, np.random.default_rng(BOOTSTRAP_SEED))["nfr"]
    found = cell(frame, level="UAS", row="BCR (all)", metric="ΔNFR to first")
    assert (found.value, found.low, found.high) == (expected.value, expected.low, expected.high)


def test_the_figure_draws_every_round_of_every_group(round_counts):
    frame = updates.round_rows(round_counts, "a=>a, x")
    two = updates.metric_by_round(pd.concat([frame, frame.assign(group="b=>b, y")]), "Rounds")
    assert len(two.axes) == 2 * 4
    accuracy, flips = two.axes[0], two.axes[1]
    assert "a ⇒ a" in accuracy.get_ylabel() and "% of words" in accuracy.get_ylabel()
    line = accuracy.get_lines()[1]
    of_row = frame[(frame["level"] == "UAS") & (frame["metric"] == "ACC") & (frame["row"] == "BCR (last 1)")]
    np.testing.assert_allclose(line.get_ydata(), 100 * of_row.sort_values("round")["value"])
    np.testing.assert_allclose(line.get_xdata(), [0, 1, 2, 3], atol=0.1)
    np.testing.assert_allclose(flips.get_lines()[0].get_xdata(), [1, 2, 3], atol=0.1)
    assert flips.get_ylim()[0] == 0


def test_the_readme_opens_with_numbers_of_the_real_run():
    rows = json.loads((ROOT / "figures/small/table3.json").read_text("utf-8"))["rows"]
    old, new, broken = (
        f"{100 * row['value']:.1f} %"
        for name, metric in (("Old", "ACC"), ("Untreated", "ACC"), ("Untreated", "NFR"))
        for row in rows
        if (row["group"], row["row"], row["level"], row["metric"]) == ("deepbiaf-static=>deepbiaf", name, "UAS", metric)
    )
    told = " ".join((ROOT / "README.md").read_text("utf-8").partition("![")[0].split())
    assert f"gets {new} of the words right instead of {old}, and still it breaks {broken}." in told
