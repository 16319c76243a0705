"""The paper's numbers: values typed from the paper, and its own arithmetic."""

import pytest

from bcrlib.experiments.paper_numbers import lookup, paper_numbers

DD, DS = "deepbiaf=>deepbiaf", "deepbiaf=>stackptr"


@pytest.mark.parametrize(
    ("cell", "percent"),
    [
        (("Table 1", "deepbiaf", "single-model", "UAS", "ACC"), 91.76),
        (("Table 1", "deepbiaf", "single-model", "UCM", "ACC_STD"), 0.56),
        (("Table 1", DD, "Untreated", "UAS", "NFI"), 18.80),
        (("Table 7", DS, "Untreated", "LAS", "NFR"), 2.35),
        (("Table 3", DD, "Ensemble", "UAS", "NFR"), 1.02),
        (("Table 3", DD, "BCR", "UCM", "NFI"), 3.14),
        (("Table 8", DD, "Distillation", "LCM", "NFR"), 3.14),
        (("play_dp.ipynb cell 5 (Table 3)", DD, "BCR", "UAS", "PFR"), 0.86),
    ],
)
def test_lookup_gives_the_printed_number_as_a_rate(cell, percent):
    assert lookup(*cell) == pytest.approx(percent / 100, abs=1e-12)


def test_lookup_of_nothing_is_none_and_of_several_is_refused():
    assert lookup("Table 3", DD, "Old", "UAS", "NFR") is None
    update = ("Table 5", "s2s-base=>s2s-large", "BCR", "EM", "NFR")
    with pytest.raises(ValueError, match="top-k"):
        lookup(*update)
    assert lookup(*update, {"decoding": "dropout-p", "p": 0.3}) == 0.0069


def test_speeds_and_counts_are_no_rates():
    speed = ("Section 6.4", "deepbiaf", "single-model", "speed", "SENTENCES_PER_SECOND")
    assert lookup(*speed, {"stage": "decode"}) == 171
    cell = ("play_dp.ipynb cell 5 (Table 3)", DD, "BCR", "UAS", "COUNT")
    assert lookup(*cell) == 25 * 21898


def test_printed_nfi_follows_from_printed_nfr_and_accuracy():
    """NFI = NFR / (1 - ACC) within the rounding of two decimals, in every row of the re-ranking tables."""
    rows = paper_numbers()
    rows = rows[rows["table"].isin(["Table 3", "Table 8", "Table 9"]) & rows["metric"].isin(["NFR"])]
    assert len(rows) == 3 * 2 * 4 * 2 + 8
    for row in rows.itertuples():
        cell = (row.table, row.update, row.method, row.level)
        params = row.params
        nfi, acc = lookup(*cell, "NFI", params), lookup(*cell, "ACC", params)
        slack = 0.00005 / (1 - acc) * (1 + nfi) + 0.00005
        assert abs(nfi - row.value / (1 - acc)) <= slack, cell


def test_every_number_has_one_place():
    rows = paper_numbers()
    assert len(rows) == 570 and set(rows["source"]) == {"paper", "notebook"}
    key = rows[["table", "update", "method", "level", "metric"]].assign(params=rows["params"].map(str))
    assert not key.duplicated().any()
