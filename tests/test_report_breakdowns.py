"""From counts by slice to rates, harm, chance: against hand counts; the authors' breakdowns as printed."""

import numpy as np
import pandas as pd
import pytest

from bcrlib.metrics.breakdowns import OTHER
from bcrlib.metrics.tree_breakdowns import HISTOGRAM, HISTOGRAM_BINS, SCHEMA
from bcrlib.report.breakdowns import (
    AUTHORS_UPDATE,
    authors_breakdowns,
    authors_histogram,
    authors_nfr,
    authors_slices,
    co_occurrence_by_distance,
    co_occurrence_rows,
    headline_update,
    histogram_rows,
    most_flips,
    most_harmed,
    nfr_by_slice,
    nfr_rows,
    slice_rates,
)
from bcrlib.report.tables import tidy

PAIRS = 4
# breakdown, key, units, sentences, flips of PAIRS * units
SLICES = [
    ("all", "all", 1000, 200, 120),
    ("upos", "NOUN", 300, 150, 84),
    ("upos", "VERB", 200, 150, 12),
    ("upos", "ADV", 480, 150, 20),
    ("upos", "X", 20, 10, 4),
    ("distance", "1", 600, 200, 40),
    ("distance", "6-7", 400, 200, 80),
]


def flip_row(method: str, breakdown: str, key: str, units: int, sentences: int, flips: int) -> dict:
    num_wrong = PAIRS * units // 10
    counts = {"yn": flips, "ny": 8, "nn": num_wrong, "yy": PAIRS * units - flips - 8 - num_wrong}
    nfr = flips / (PAIRS * units)
    error = np.sqrt(nfr * (1 - nfr) / units)
    return {"breakdown": breakdown, "key": key, "num_units": units, "num_sentences": sentences, "method": method} | (
        counts | {"nfr_error": error, "excess_error": error}
    )


def couple_row(key: str, both: int, only_one: int, neither: int) -> dict:
    counts = {"both": both, "only_one": only_one, "neither": neither}
    return {"breakdown": "couple distance", "key": key, "num_units": sum(counts.values()) // PAIRS} | counts


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    rows = [flip_row("Untreated", *one) for one in SLICES]
    rows += [flip_row("BCR", *one[:-1], one[-1] // 2) for one in SLICES]
    rows += [couple_row("1", 20, 80, 900), couple_row("2", 0, 100, 1900), couple_row("31+", 0, 0, 400)]
    rows += [
        {"breakdown": HISTOGRAM, "key": "0", "num_units": 600},
        {"breakdown": HISTOGRAM, "key": "(0.0, 0.1]", "num_units": 200},
    ]
    frame = pd.DataFrame(rows).assign(update=AUTHORS_UPDATE, preset="official", level="UAS", num_pairs=PAIRS)
    frame["method"] = frame["method"].fillna("Untreated")
    return frame.reindex(columns=SCHEMA.names)


def rates(table: pd.DataFrame, method: str = "Untreated") -> pd.DataFrame:
    return slice_rates(table, AUTHORS_UPDATE, method, "official", "UAS")


def test_rates_of_a_slice_by_hand(table):
    noun = rates(table).set_index("key").loc["NOUN"]
    assert noun["nfr"] == 84 / 1200 and noun["pfr"] == 8 / 1200
    assert noun["acc_old"] == (1200 - 8 - 120) / 1200 and noun["acc_new"] == (1200 - 84 - 120) / 1200
    assert (noun["nfi"], noun["share"]) == (84 / 204, 84 / 120)
    assert noun["excess"] == pytest.approx(84 / 1200 - (120 - 84) / 2800)
    assert noun["low"] < noun["nfr"] < noun["high"]
    whole = rates(table).iloc[0]
    assert whole["nfr"] == 0.03 and np.isnan(whole["q_value"]) and np.isnan(whole["excess"])


def test_harm_is_what_the_tests_call_and_small_slices_are_not_tested(table):
    found = rates(table).set_index("key")
    assert np.isnan(found.loc["X", "q_value"]) and found.loc["X", "excess"] > 0
    assert found.loc["NOUN", "q_value"] < 0.001 < found.loc["NOUN", "excess"]
    assert (found["q_value"].dropna() >= found["p_value"].dropna()).all() and found["q_value"].notna().sum() == 5
    harmed = most_harmed(rates(table), ["upos", "distance"], 5)
    assert harmed["key"].tolist() == ["NOUN", "6-7"]
    assert most_harmed(rates(table), ["upos"], 1)["key"].tolist() == ["NOUN"]
    assert most_harmed(rates(table).assign(q_value=0.06), ["upos"], 5).empty
    assert most_flips(rates(table), "upos", 2) == ["NOUN", "ADV"]


def test_the_headline_is_the_update_that_repairs_most_beyond_what_it_breaks():
    cells = [("a=>a", "BCR", 0, 90), ("a=>a", "Untreated", 9, 9), ("a=>b", "BCR", 0, 0), ("a=>b", "Untreated", 9, 29)]
    columns = ["update", "method", "yn", "ny"]
    table = pd.DataFrame([*cells, ("b=>a", "Untreated", 0, 50)], columns=columns)  # BCR was not tried on the last one
    table = table.assign(level="UAS", breakdown="all", num_units=100, num_pairs=1)
    assert headline_update(table) == "a=>b"
    assert headline_update(table[table["update"] != "a=>b"]) == "a=>a"


def test_rows_have_the_authors_numbers_beside_untreated(table):
    methods = {"Untreated": rates(table), "BCR": rates(table, "BCR")}
    rows = nfr_rows(methods, ["upos", "distance"], AUTHORS_UPDATE, authors=True).set_index(["row", "level", "slice"])
    assert rows.loc[("Untreated", "upos", "NOUN"), "paper"] == 0.0324
    assert rows.loc[("Untreated", "upos", "NOUN"), "value"] == 84 / 1200
    assert rows.loc[("BCR", "distance", "all"), "value"] == 60 / 4000
    assert rows.xs("BCR")["paper"].isna().all() and nfr_rows(methods, ["upos"])["paper"].isna().all()
    assert authors_nfr()["depth", "2"] == pytest.approx(0.0445) and ("all", "all") not in authors_nfr()
    tidy(rows.reset_index(), extra=("slice",))


def test_common_flips_and_chance_by_hand(table):
    rows = co_occurrence_rows(table, AUTHORS_UPDATE, "Untreated", "official", "UAS").set_index("key")
    assert rows.loc["1", "share"] == 0.2
    flips = (2 * 20 + 80) / (2 * 1000)
    assert rows.loc["1", "chance"] == pytest.approx(flips**2 / (1 - (1 - flips) ** 2))
    assert rows.loc["1", "paper"] == pytest.approx(3568 / (3568 + 29120))
    assert rows.loc["2", "share"] == 0 and np.isnan(rows.loc["31+", ["share", "chance"]].astype(float)).all()


def test_histogram_has_shares_and_the_authors_beside(table):
    rows = histogram_rows(table[table["method"] == "Untreated"], AUTHORS_UPDATE, "official", "UAS").set_index("row")
    assert rows.loc["0", "value"] == 0.75
    assert rows.loc["0", "paper"] == pytest.approx(43695 / 51025)
    assert sum(authors_histogram("deepbiaf=>deepbiaf", "LAS").values()) == pytest.approx(1)
    assert authors_histogram("a=>b", "LAS") == {}


def test_the_figure_of_slices_draws_values_intervals_and_diamonds(table):
    methods = {"Untreated": rates(table), "BCR": rates(table, "BCR")}
    figure = nfr_by_slice(nfr_rows(methods, ["upos", "distance"], authors=True), "Nouns break most")
    tags, distances = figure.axes
    assert [label.get_text() for label in tags.get_yticklabels()] == ["NOUN", "X", "VERB", "ADV"]  # by NFR
    assert [label.get_text() for label in distances.get_yticklabels()] == ["1", "6-7"]
    drawn = [np.round(line.get_xdata(), 6).tolist() for line in distances.lines]
    assert [round(100 * 40 / 2400, 6), 5.0] in drawn  # dots
    assert [1.18, pytest.approx(4.54, abs=0.01)] in drawn  # diamonds
    assert [3.0, 3.0] in drawn and [1.5, 1.5] in drawn  # dashed: all units of either method
    assert all("%" in axes.get_xlabel() for axes in figure.axes)


def test_the_figure_of_couples_draws_found_chance_and_diamonds(table):
    rows = co_occurrence_rows(table, AUTHORS_UPDATE, "Untreated", "official", "UAS")
    (axes,) = co_occurrence_by_distance(rows, "Neighbours break together").axes
    found, chance, authors = (line.get_ydata() for line in axes.lines)
    assert found[:2].tolist() == [20.0, 0.0] and np.isnan(found[2])
    assert chance[0] == pytest.approx(100 * 0.06 / 1.94) and authors[0] == pytest.approx(10.92, abs=0.01)
    assert [label.get_text() for label in axes.get_xticklabels()] == ["1", "2", "31+"]


def broken_down(table):
    return table[table["update"] == AUTHORS_UPDATE]


def row(table, level: str, breakdown: str, key: str):
    found = broken_down(table).query("level == @level and breakdown == @breakdown and key == @key")
    assert len(found) == 1
    return found.iloc[0]


@pytest.mark.parametrize(
    ("cell", "column", "value"),
    [
        (("UAS", "upos", "NUM"), "nfr", 0.0423),
        (("UAS", "relation", "acl:relcl"), "nfi", 0.3126),
        (("UAS", "distance", "1"), "num_units", 218325 // 25),
        (("UAS", "head upos", "ROOT"), "acc_new", 0.9426),
        (("unlabelled sub-tree", "size", "2"), "nfr", 0.0402),
        (("unlabelled sub-tree", "depth", "6"), "pfr", 0.0517),
        (("UAS", "couple distance", "1"), "both", 3568),
        (("unlabelled sub-tree", "couple tree distance", "0"), "only_one", 64974),
        (("LAS", HISTOGRAM, "0"), "num_units", 42835),
    ],
)
def test_values_are_those_printed(cell, column, value):
    assert row(authors_breakdowns(), *cell)[column] == pytest.approx(value, abs=1e-12)


def test_every_breakdown_counts_the_same_units():
    totals = broken_down(authors_breakdowns()).groupby(["level", "breakdown"])["num_units"].sum()
    assert {totals["UAS", name] for name in ("all", "upos", "relation", "distance", "head upos")} == {21898}
    assert {totals["unlabelled sub-tree", name] for name in ("size", "depth", "root upos")} == {8568}
    assert totals["UAS", "couple distance"] == totals["UAS", "couple tree distance"] == 401206
    assert totals["UAS", HISTOGRAM] == 25 * 2041


def test_slices_of_each_breakdown_add_up_to_the_whole():
    """Rates are printed with two decimals, so their mean is right to half of one."""
    of_words = broken_down(authors_breakdowns()).query("level == 'UAS'")
    for breakdown in ("upos", "relation", "distance", "head upos"):
        slices = of_words[of_words["breakdown"] == breakdown]
        for metric, column in {"NFR": "nfr", "PFR": "pfr", "OLD_ACC": "acc_old", "ACC": "acc_new"}.items():
            mean = (slices[column] * slices["num_units"]).sum() / 21898
            assert mean == pytest.approx(row(authors_breakdowns(), "UAS", "all", "all")[column], abs=1e-4), metric


def test_merged_slices_keep_units_and_weigh_rates():
    merged, raw = authors_slices(), authors_breakdowns()
    for frame in (merged, raw):
        assert broken_down(frame).query("breakdown == 'distance'")["num_units"].sum() == 21898
    far = raw.query("breakdown == 'distance'")
    far = far[far["key"].astype(int) >= 21]
    slice_ = row(merged, "UAS", "distance", "21+")
    assert slice_["num_units"] == far["num_units"].sum()
    assert slice_["nfr"] == pytest.approx((far["nfr"] * far["num_units"]).sum() / far["num_units"].sum())
    other = row(merged, "UAS", "relation", OTHER)
    assert other["num_units"] == sum(raw.query("breakdown == 'relation' and num_units < 10")["num_units"])
    relations = merged.query("breakdown == 'couple relation'").set_index("key")
    assert relations.loc[OTHER, "num_units"] < 100 and "vocative" in relations.index
    assert relations["both"].sum() == raw.query("breakdown == 'couple relation'")["both"].sum()
    histogram = broken_down(merged).query("breakdown == @HISTOGRAM and level == 'UAS'")
    assert histogram["key"].tolist() == [*HISTOGRAM_BINS]
