"""Sources of candidates: values against counting, the right parameter in the right place, what sliders show."""

from itertools import product

import numpy as np
import pandas as pd
import pytest
from jupyter_client.manager import run_kernel
from random_stores import UNITS, random_right, random_store

from bcrlib.experiments import counting
from bcrlib.experiments.counting import Update, parse_update
from bcrlib.experiments.paper_numbers import lookup
from bcrlib.experiments.store import CorrectnessStore, Pool, System
from bcrlib.metrics.attachment import LEVELS
from bcrlib.metrics.uncertainty import micro_average
from bcrlib.report import candidate_sources
from bcrlib.report.candidate_sources import IN_PAPER, SAMPLED
from bcrlib.report.tables import tidy

UPDATE, STRATEGY = parse_update("deepbiaf=>stackptr"), "dropout-p(p=0.05)"
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
    return candidate_sources.source_rows(store, "clean", ("UAS", "UCM"), UPDATE, rows)


def values(offers, row, level="UAS"):
    cells = offers[(offers["row"] == row) & (offers["level"] == level)]
    return dict(zip(cells["metric"], cells["value"]))


def test_rows_are_in_order_and_the_chosen_one_is_named():
    beams = ["beam(b=4)", "beam(b=10,ended)", "beam(b=10)", "beam(b=2,ended)"]
    listed = list(candidate_sources.strategy_rows(beams))
    assert listed == ["beam(b=2,ended)", "beam(b=4)", "beam(b=10)", "beam(b=10,ended)"]
    assert candidate_sources.strategy_rows(STRATEGIES, "dropout-p(p=0.05)") == {
        "beam(b=2)": "beam(b=2)",
        "beam(b=10)": "beam(b=10)",
        "top-k(k=2)": "top-k(k=2)",
        "top-k(k=10)": "top-k(k=10)",
        "nucleus(p=0.9)": "nucleus(p=0.9)",
        "nucleus(p=0.99)": "nucleus(p=0.99)",
        "dropout-p(p=0.05), chosen on dev": "dropout-p(p=0.05)",
    }


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
    measured = {name: s.amount.sum() / s.out_of.sum() for name, s in counting.offered(*arguments).items()}
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
    one = values(candidate_sources.source_rows(store, "clean", ("UAS",), UPDATE, row, 1), "x")
    assert one["ACC own"] == one["ACC oracle"] == one["ACC BCR"] == pytest.approx(one["ACC random"])
    assert one["NFR oracle"] == one["NFR BCR"] and "same tree" not in one


UNTREATED = pd.DataFrame(
    [{"group": str(UPDATE), "row": "Untreated", "level": "UAS", "metric": "NFR BCR", "value": 0.2}]
)


def test_the_bars_add_up_to_the_flips_after_re_ranking(offers):
    figure = candidate_sources.flips_within_reach(pd.concat([offers, UNTREATED]), "Reach")
    (axes,) = figure.axes
    names = [label.get_text() for label in axes.get_yticklabels()]
    bars = list(axes.patches)
    assert len(bars) == 2 * len(names) and "Untreated" not in names
    for place, name in enumerate(names):
        fewest, rest = bars[place], bars[len(names) + place]
        assert fewest.get_width() == pytest.approx(100 * values(offers, name)["NFR oracle"])
        assert rest.get_x() + rest.get_width() == pytest.approx(100 * values(offers, name)["NFR BCR"])
        assert rest.get_width() >= -1e-9


def test_every_panel_of_flips_within_reach_has_all_of_its_bars_and_the_line_of_untreated(offers):
    """The second update breaks four times as much as the first."""
    rows = pd.concat([offers, UNTREATED])
    more = rows.assign(group="a=>b", **{name: 4 * rows[name] for name in ("value", "low", "high")})
    for both in ([rows, more], [more, rows]):
        figure = candidate_sources.flips_within_reach(pd.concat(both), "Reach")
        assert len({axes.get_xlim() for axes in figure.axes}) == 1
        for axes, of_update in zip(figure.axes, both):
            left, right = axes.get_xlim()
            reach = 100 * of_update.query("level == 'UAS' and metric == 'NFR BCR'")[["value", "high"]].max().max()
            assert left == 0 and reach < right
            assert 100 * of_update.query("row == 'Untreated'")["value"].item() in axes.lines[0].get_xdata()


def test_points_are_where_their_strategies_are(offers):
    figure = candidate_sources.metrics_by_diversity(offers, "Diversity")
    beam = figure.axes[1].get_lines()[0]
    expected = sorted((values(offers, row)["distinct trees"], row) for row in ("beam(b=2)", "beam(b=10)"))
    np.testing.assert_allclose(beam.get_xdata(), [distinct for distinct, _ in expected])
    np.testing.assert_allclose(beam.get_ydata(), [100 * values(offers, row)["ACC oracle"] for _, row in expected])
    assert [axes.get_ylabel() for axes in figure.axes][-1] == "NFR of the old model's pick\n(% of words)"


def test_cut_distributions_are_distributions():
    original = np.array([0.5, 0.3, 0.2])
    figure = candidate_sources.cut_distributions(
        ["a", "b", "c"], original, {"top-k": np.array([0.625, 0.375, 0])}, "Cut"
    )
    assert [bar.get_height() for bar in figure.axes[0].patches] == pytest.approx([0.5, 0.3, 0.2, 0.625, 0.375, 0])
    with pytest.raises(ValueError, match="top-k: no distribution over 3"):
        candidate_sources.cut_distributions(["a", "b", "c"], original, {"top-k": np.array([0.5, 0.3, 0])}, "Cut")


SAME, ACROSS = Update("deepbiaf", "deepbiaf"), Update("deepbiaf", "stackptr")
POOLS = {"deepbiaf": ["k-best", "dropout-p(p=0.1)"], "stackptr": ["beam(b=10)"]}
POOLS["stackptr"] += ["dropout-p(p=0.1)", "dropout-p(p=0.2)"]


@pytest.fixture
def run(tmp_path) -> CorrectnessStore:
    """One old deepbiaf, a new model of each kind with its student and ensemble, and what was chosen on dev."""
    rng = np.random.default_rng(5)
    for kind, strategies in POOLS.items():
        store = random_store(tmp_path, rng, ["deepbiaf/11"], [f"{kind}/1"], strategies)
        store.save_system(System("distillation", kind, 1, teacher="deepbiaf/11"), random_right(rng, UNITS), "clean")
        store.save_system(System("ensemble", kind, 1, members=(1, 2)), random_right(rng, UNITS), "clean")
    chosen = {str(SAME): {"strategy": "dropout-p(p=0.1)"}, str(ACROSS): {"strategy": "dropout-p(p=0.2)"}}
    store.save_manifest({"dropout_choice": chosen})
    return store


def test_the_list_is_named_after_the_new_parser_s_search():
    assert [candidate_sources.listed_row(update) for update in (SAME, ACROSS)] == ["BCR (k-best)", "BCR (beam)"]


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize(
    ("update", "sampling", "listed"), [(SAME, "dropout-p(p=0.1)", "k-best"), (ACROSS, "dropout-p(p=0.2)", "beam(b=10)")]
)
def test_every_row_is_what_the_experiments_count(run, level, update, sampling, listed):
    where = (run, "clean", level, update)
    plain = {"Untreated": counting.untreated(*where)}
    of_methods = {"Distillation": counting.distillation(*where), "Ensemble": counting.ensemble(*where)}
    sampled = {SAMPLED: counting.bcr(*where, sampling)}
    of_methods |= sampled | {candidate_sources.listed_row(update): counting.bcr(*where, listed)}
    of_pickers = {"own choice": counting.own_choice(*where, sampling)} | sampled
    of_pickers |= {f"oracle {by}": counting.oracle(*where, sampling, by) for by in ("NFR", "ACC")}
    of_sources = {f"{s}, chosen on dev" if s == sampling else s: counting.bcr(*where, s) for s in POOLS[update.new]}
    for rows, expected in (
        (candidate_sources.methods, plain | of_methods),
        (candidate_sources.pickers, plain | of_pickers),
        (candidate_sources.sources, of_sources),
    ):
        counted = candidate_sources.count(run, "clean", update, rows(run, update), [level])[level]
        assert list(counted) == list(expected)
        for row, pairs in expected.items():
            np.testing.assert_array_equal(counted[row].counts, pairs.counts)
    assert list(candidate_sources.count(run, "clean", update, {})) == list(LEVELS)


@pytest.mark.parametrize(("row", "percent"), [(SAMPLED, 1.11), ("oracle NFR", 0.65), ("oracle ACC", 0.76)])
def test_the_papers_names_find_table_9(row, percent):
    method, params = IN_PAPER[row]
    assert lookup("Table 9", str(ACROSS), method, "UAS", "NFR", params) == pytest.approx(percent / 100)


@pytest.mark.parametrize("num_candidates, new_weight", [(1, 0.0), (3, 0.0), (4, 2.0)])
def test_rates_are_those_of_picking_sentence_by_sentence(store, num_candidates, new_weight):
    of_word = store.load_units("clean").sentence_of_unit["UAS"]
    systems = {system.name: store.load_system(system, "clean", "UAS") for system in store.systems()}
    broken = errors = words = 0
    for new, old in product(("stackptr/1", "stackptr/2"), ("deepbiaf/11", "deepbiaf/12")):
        pool = Pool(new, STRATEGY)
        right = store.load_pool(pool, "clean", "UAS")
        scores = store.load_scores(pool, old) + new_weight * store.load_scores(pool, new)
        for word, sentence in enumerate(of_word):
            pick = max(range(num_candidates), key=lambda candidate: scores[candidate, sentence])
            broken += systems[old][word] and not right[pick, word]
            errors += not right[pick, word]
            words += 1
    rates = candidate_sources.pool_rates(store, "clean", UPDATE, STRATEGY, num_candidates, new_weight)
    assert list(rates.index) == [(level, m) for level in ("UAS", "UCM", "LAS", "LCM") for m in ("Untreated", "BCR")]
    expected = {"ACC": 1 - errors / words, "NFR": broken / words, "NFI": broken / errors}
    assert rates.loc["UAS", "BCR"].to_dict() == pytest.approx(expected)


@pytest.mark.parametrize("strategy, number, fault", [("top-k(k=3)", 4, "no pool by 'top-k"), (STRATEGY, 0, "nothing")])
def test_what_is_not_stored_is_refused(store, strategy, number, fault):
    with pytest.raises(ValueError, match=fault):
        candidate_sources.pool_rates(store, "clean", UPDATE, strategy, number)


@pytest.mark.parametrize("front_end", [True, False])
def test_a_person_is_where_input_may_be_asked_for(front_end):
    told: list[str] = []
    question = "from bcrlib.report.candidate_sources import a_person_is_here; print(a_person_is_here())"
    with run_kernel() as client:
        hook = {"output_hook": lambda message: told.append(message["content"].get("text", ""))}
        client.execute_interactive(question, allow_stdin=front_end, timeout=60, **hook)
    assert "".join(told).strip() == str(front_end)


def test_without_a_person_there_is_one_look_and_no_widget(capsys):
    candidate_sources.explore(lambda number=3: print(f"number {number}"), {"number": (1, 10)})
    assert capsys.readouterr().out == "number 3\n"
