"""The authors' breakdowns: values as printed in their notebook, and their own arithmetic."""

import pytest

from bcrlib.experiments.paper_numbers import lookup
from bcrlib.metrics.breakdowns import HISTOGRAM_BINS, OTHER
from bcrlib.metrics.tree_breakdowns import HISTOGRAM
from bcrlib.report.breakdowns import AUTHORS_UPDATE, authors_breakdowns, authors_slices


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


def test_the_whole_is_that_of_the_other_file_of_numbers():
    """As NFR of deepbiaf=>stackptr Table 1 prints its PFR (protocol 6): the NFR of this, its reverse."""
    whole = row(authors_breakdowns(), "UAS", "all", "all")
    assert whole["nfr"] == lookup("Table 1", "deepbiaf=>stackptr", "Untreated", "UAS", "NFR")


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
