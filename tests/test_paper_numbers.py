"""The paper's numbers: as printed, agreeing with each other, found by the rows of our tables."""

import numpy as np
import pandas as pd
import pytest
from random_stores import FRAME_UNITS, random_right, random_store

from bcrlib.experiments import counting
from bcrlib.experiments.counting import Update
from bcrlib.experiments.paper_numbers import lookup, paper_numbers, reranked_from
from bcrlib.experiments.store import System
from bcrlib.report import candidate_sources, regression
from bcrlib.report.tables import beside_paper

DD, DS = "deepbiaf=>deepbiaf", "deepbiaf=>stackptr"
PART, LARGE_PART, SIZE = (
    Update(*names)
    for names in (("s2s-base-part", "s2s-base"), ("s2s-large-part", "s2s-large"), ("s2s-base", "s2s-large"))
)
LEVELS = ("spanEM", "EM")
CHOSEN = "dropout-p(p=0.3)"
STRATEGIES = [CHOSEN, "beam(b=10)", "top-k(k=5)", "nucleus(p=0.95)", "nucleus(p=0.8)"]


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
        (("Table 2", "s2s-base-part", "single-model", "EM", "ACC"), 85.04),
        (("Table 2", "s2s-large", "single-model", "spanEM", "ACC_STD"), 0.12),
        (("Table 2", str(LARGE_PART), "Untreated", "spanEM", "NFI"), 22.37),
        (("Table 2", str(SIZE), "Untreated", "EM", "NFR"), 3.32),
        (("Table 4", str(SIZE), "Untreated", "EM", "NFR"), 3.16),
        (("Table 4", str(SIZE), "Old", "spanEM", "ACC"), 90.34),
        (("Table 4", str(LARGE_PART), "BCR", "EM", "NFI"), 4.30),
        (("Table 4", str(PART), "Ensemble", "spanEM", "NFI"), 14.80),
        (("Table 4", str(PART), "Distillation", "EM", "NFI"), 18.06),
        (("Table 4", str(SIZE), "BCR", "spanEM", "NFI"), 8.78),
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


def test_an_error_rate_is_what_accuracy_leaves():
    beam = (str(SIZE), "BCR", "EM")
    assert lookup("Table 5", *beam, "ER", {"decoding": "beam"}) == 0.1239  # 87.61 % right
    assert lookup("Figure 2", *beam, "ER") == 0.1251  # given as such
    assert lookup("Table 5", *beam, "ER", {"decoding": "other"}) is None


def test_printed_nfi_follows_from_printed_nfr_and_accuracy():
    """NFI = NFR / (1 - ACC) within the rounding of two decimals, in every row of the re-ranking tables but one."""
    tables = {"Table 3": 24, "Table 8": 24, "Table 9": 8, "Table 4": 24, "Table 5": 16, "Table 6": 8}
    rows = paper_numbers()
    rows = rows[rows["table"].isin(tables) & (rows["metric"] == "NFR")]
    assert rows["table"].value_counts().to_dict() == tables
    contradicting = set()
    for row in rows.itertuples():
        cell = (row.table, row.update, row.method, row.level)
        nfi, accuracy = lookup(*cell, "NFI", row.params), lookup(*cell, "ACC", row.params)
        slack = 0.00005 / (1 - accuracy) * (1 + nfi) + 0.0001
        if abs(nfi - row.value / (1 - accuracy)) > slack:
            contradicting.add(cell)
    assert contradicting == {("Table 4", str(LARGE_PART), "Ensemble", "spanEM")}


def test_every_number_has_one_place():
    rows = paper_numbers()
    assert len(rows) == 570 and set(rows["source"]) == {"paper", "notebook"}
    key = rows[["table", "update", "method", "level", "metric"]].assign(params=rows["params"].map(str))
    assert not key.duplicated().any()


@pytest.mark.parametrize(
    ("strategy", "percent"),
    [
        ("beam(b=10)", 1.63),
        ("top-k(k=5)", 2.16),
        ("nucleus(p=0.95)", 2.18),
        ("dropout-p(p=0.1)", 1.26),
        ("dropout-p(p=0.4)", 0.72),
        ("beam(b=4)", None),
        ("top-k(k=10)", None),
        ("top-k(k=5,t=0.7)", None),
        ("nucleus(p=0.95,t=0.7)", None),
        ("k-best", None),
    ],
)
def test_a_strategy_finds_its_row_of_table_5(strategy, percent):
    method, params = reranked_from(strategy)
    assert lookup("Table 5", str(SIZE), method, "EM", "NFR", params) == (percent and round(percent / 100, 6))


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    old = [f"{kind}/{seed}" for kind in ("s2s-base-part", "s2s-large-part", "s2s-base") for seed in (11, 12)]
    new = ["s2s-base/1", "s2s-base/2", "s2s-large/1", "s2s-large/2"]
    rng, folder = np.random.default_rng(1), tmp_path_factory.mktemp("frames")
    store = random_store(folder, rng, old, new, STRATEGIES, FRAME_UNITS)
    systems = [System("distillation", update.new, i, f"{update.old}/11") for i, update in enumerate((PART, LARGE_PART))]
    systems += [System("distillation", "s2s-large", 9, "s2s-base/11")]
    systems += [System("ensemble", kind, 1, members=(1, 2)) for kind in ("s2s-base", "s2s-large")]
    systems += [System("growing ensemble", "s2s-large", size, members=tuple(range(size))) for size in (1, 2, 3, 4, 5)]
    for system in systems:
        store.save_system(system, random_right(rng, FRAME_UNITS), "clean")
    store.save_manifest({"dropout_choice": {str(u): {"strategy": CHOSEN} for u in (PART, LARGE_PART, SIZE)}})
    return store


def missing(frame: pd.DataFrame, rows: set[str]) -> set[tuple[str, str, str]]:
    """The cells of these rows beside which the paper has no number."""
    cells = frame[frame["row"].isin(rows) & frame["paper"].isna()]
    return set(zip(cells["group"], cells["row"], cells["metric"]))


def test_table_2_has_the_papers_numbers_of_every_kind_and_update(store):
    pairs = {
        str(u): {level: counting.retrained(store, "clean", level, u) for level in LEVELS}
        for u in (PART, LARGE_PART, SIZE)
    }
    rows = regression.retraining_rows({"clean": pairs})
    kinds = ("s2s-base-part", "s2s-large-part", "s2s-base", "s2s-large")
    in_paper = {f"{row}, clean": (row, {}) for row in (*kinds, "Untreated")}
    table2 = beside_paper(rows, "Table 2", in_paper)
    assert set(table2["row"]) == set(in_paper) and len(table2) == (4 + 3 * 2) * 2
    assert not missing(table2, set(in_paper))
    assert table2.loc[table2["group"] == "", "paper_spread"].notna().all()
    cell = table2[(table2["group"] == str(PART)) & (table2["level"] == "EM") & (table2["metric"] == "NFI")]
    assert cell["paper"].tolist() == [0.2112]


def test_table_4_has_the_papers_numbers_of_every_method(store):
    updates = [Update(*str(update).split("=>")) for update in counting.updates(store)]
    assert {PART, LARGE_PART, SIZE} <= set(updates)
    counts = {
        str(u): candidate_sources.count(store, "clean", u, candidate_sources.methods(store, u))
        for u in (PART, LARGE_PART, SIZE)
    }
    table4 = beside_paper(regression.update_rows(counts), "Table 4", candidate_sources.IN_PAPER)
    methods = {"Old", "Untreated", "Distillation", "Ensemble", candidate_sources.SAMPLED}
    assert set(table4["row"]) == methods | {"BCR (beam)"} and set(table4["level"]) == set(LEVELS)
    assert not missing(table4, methods)
    assert table4.loc[table4["row"] == "BCR (beam)", "paper"].isna().all()
    assert len(table4[table4["row"].isin(methods)]) == 78  # as many as the paper prints or implies


def test_table_5_has_the_papers_number_of_a_strategy_also_where_it_was_chosen(store):
    rows = candidate_sources.strategy_rows(STRATEGIES, CHOSEN)
    assert list(rows)[-1] == f"{CHOSEN}, chosen on dev"
    counts = {level: {row: counting.bcr(store, "clean", level, SIZE, s) for row, s in rows.items()} for level in LEVELS}
    in_paper = {row: reranked_from(strategy) for row, strategy in rows.items()}
    table5 = beside_paper(regression.method_rows(counts, str(SIZE)), "Table 5", in_paper)
    assert missing(table5, set(rows)) == {(str(SIZE), "nucleus(p=0.8)", metric) for metric in ("ACC", "NFR", "NFI")}
    of_chosen = table5[(table5["row"] == f"{CHOSEN}, chosen on dev") & (table5["level"] == "spanEM")]
    assert dict(zip(of_chosen["metric"], of_chosen["paper"])) == {"ACC": 0.9153, "NFR": 0.0074, "NFI": 0.0878}


def test_table_6_has_the_papers_oracles(store):
    counts = candidate_sources.count(store, "clean", SIZE, candidate_sources.pickers(store, SIZE))
    rows = regression.method_rows(counts, str(SIZE))
    table6 = beside_paper(rows, "Table 6", candidate_sources.IN_PAPER)
    assert missing(table6, set(table6["row"])) == {(str(SIZE), "own choice", m) for m in ("ACC", "NFR", "NFI")}
    best = table6[(table6["row"] == "oracle ACC") & (table6["level"] == "EM")]
    assert dict(zip(best["metric"], best["paper"])) == {"ACC": 0.9268, "NFR": 0.0065, "NFI": 0.089}


def test_curves_have_the_papers_points_where_it_prints_them(store):
    by_size = {
        size: {level: {"Ensemble": pairs} for level, pairs in of_level.items()}
        for size, of_level in _by_size(store).items()
    }
    curves = regression.swept_rows(by_size, "ensemble_size", str(SIZE), ("ER", "NFR", "NFI"))
    points = beside_paper(curves, "Table 4", along="ensemble_size").dropna(subset="paper")
    assert set(points["ensemble_size"]) == {5.0} and len(points) == 2 * 3
    nfi = points[points["metric"] == "NFI"]
    assert dict(zip(nfi["level"], nfi["paper"])) == {"spanEM": 0.2566, "EM": 0.2188}


def _by_size(store):
    of_level = {level: counting.growing_ensembles(store, "clean", level, SIZE) for level in LEVELS}
    return {size: {level: pairs[size] for level, pairs in of_level.items()} for size in of_level["EM"]}


def test_the_number_of_candidates_is_a_param_of_the_papers_where_a_row_has_one():
    """Made up curves: only at ten candidates does the paper have numbers; Untreated has none to vary."""
    cell = {"group": str(SIZE), "level": "EM", "value": 0.1}
    rows = [
        cell | {"row": row, "metric": metric, "num_candidates": n}
        for row in ("dropout-p", "top-k")
        for metric in ("ER", "NFR")
        for n in (1.0, 10.0)
    ]
    rows.append(cell | {"row": "Untreated", "metric": "NFR", "num_candidates": np.nan})
    shown = {"dropout-p": CHOSEN, "top-k": "top-k(k=5)"}
    in_paper = {row: reranked_from(strategy) for row, strategy in shown.items()}
    points = beside_paper(rows, "Table 5", in_paper, along="num_candidates").dropna(subset="paper")
    found = {(p.row, p.metric, p.num_candidates): p.paper for p in points.itertuples()}
    untreated = [key for key in found if key[0] == "Untreated"]
    assert len(untreated) == 1 and found.pop(untreated[0]) == 0.0316
    assert found == {
        ("dropout-p", "ER", 10.0): 0.1251,
        ("dropout-p", "NFR", 10.0): 0.0069,
        ("top-k", "ER", 10.0): 0.1229,
        ("top-k", "NFR", 10.0): 0.0216,
    }
