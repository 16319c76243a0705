"""Figures: what is drawn is what was given, axes carry units, files are the same in every process."""

import hashlib
import os
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from bcrlib.report import figures
from bcrlib.report.publisher import Publisher

METHODS = {"Untreated": 0.023, "Ensemble": 0.015, "BCR": 0.0103}
ROWS = [
    {"row": row, "level": level, "metric": metric, "value": v, "low": 0.9 * v, "high": 1.1 * v, "paper": 0.8 * v}
    for row, v in METHODS.items()
    for level in ("UAS", "UCM")
    for metric in ("NFR", "NFI")
]
CURVE = [
    {"row": "dropout-p", "level": "UAS", "metric": m, "value": 0.03 / n, "num_candidates": n}
    for n in (1, 2, 3)
    for m in ("ER", "NFR", "NFI")
] + [{"row": "Untreated", "level": "UAS", "metric": "NFR", "value": 0.03, "num_candidates": np.nan}]
PAIRS = pd.DataFrame([{"old_seed": o, "new_seed": n, "value": 0.02 + o / 1000} for o in (1, 2) for n in (3, 4)])


TASKS = {
    task: [
        {"group": update, "row": row, "level": level, "metric": "NFI"}
        | {"value": v + i / 100, "low": v, "paper": 0.01 * i}
        for i, update in enumerate(updates)
        for row, v in METHODS.items()
        for level in levels
    ]
    for task, updates, levels in (
        ("dependency parsing", ("deepbiaf=>deepbiaf", "deepbiaf=>stackptr"), ("UAS", "UCM")),
        ("semantic parsing", ("s2s-base-part=>s2s-base", "s2s-base=>s2s-large"), ("spanEM", "EM")),
    )
}
ENSEMBLES = [
    {"row": "Ensemble", "level": level, "metric": metric, "value": 0.03 / size, "ensemble_size": size}
    for size in (1, 2, 5)
    for level in ("spanEM", "EM")
    for metric in ("ER", "NFR", "NFI")
]


def publish(figure, name, rows, folder):
    Publisher(folder, {"preset": "clean"}, "make reproduce").figure(figure, name, pd.DataFrame(rows), "c")


def drawn():
    dropout = [{"row": "BCR", "level": "UAS", "metric": "NFR", "p": p, "value": p / 100} for p in (0.1, 0.2)]
    return {
        "bars": figures.nfr_nfi_by_method(ROWS, "BCR removes half of the flips"),
        "curve": figures.curves(CURVE, "num_candidates", "More candidates, fewer flips"),
        "dropout": figures.curves(dropout, "p", "More dropout", ("NFR",), {"BCR": 0.2}),
        "pairs": figures.seed_pair_heat_map(PAIRS, "Any two seeds disagree"),
    }


def test_bars_show_the_values_intervals_and_the_papers_points():
    figure = figures.nfr_nfi_by_method(ROWS, "BCR removes half of the flips")
    first = figure.axes[0]
    assert [round(bar.get_width(), 6) for bar in first.patches] == [2.3, 1.5, 1.03]
    assert [tick.get_text() for tick in first.get_yticklabels()] == list(METHODS)
    lines = [tuple(np.round(line.get_xdata(), 4)) for line in first.lines]
    assert (2.07, 2.53) in lines and (1.84,) in lines
    assert {text.get_text() for text in first.texts} == {"2.30 (1.84)", "1.50 (1.20)", "1.03 (0.82)"}


def test_a_method_that_adds_to_the_impact_has_its_bar_below_zero_and_inside_the_panel():
    numbers = {"Distillation": (-0.11, -0.21, -0.03), "BCR (dropout-p)": (0.5, 0.45, 0.55)}
    rows = [
        {"row": row, "level": level, "metric": "NFI cut", "value": value, "low": low, "high": high, "paper": 0.6}
        for level in ("trees", "frames")
        for row, (value, low, high) in numbers.items()
    ]
    figure = figures.cut_by_method(rows, "BCR takes away half")
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["trees", "frames"]
    for axes in figure.axes:
        assert [round(bar.get_width(), 6) for bar in axes.patches] == [-11, 50]
        low, high = axes.get_xlim()
        assert low < -21 and high > 60


def test_curve_has_its_points_and_the_untreated_line():
    nfr = figures.curves(CURVE, "num_candidates", "t").axes[1]
    data = [(list(line.get_xdata()), list(np.round(line.get_ydata(), 6))) for line in nfr.lines]
    assert ([1, 2, 3], [3.0, 1.5, 1.0]) in data
    assert any(ys == [3.0, 3.0] for _, ys in data)


def test_both_tasks_side_by_side_with_a_group_of_bars_an_update():
    figure = figures.metric_by_task(TASKS, "Fewer new errors in both tasks")
    assert len(figure.axes) == 4
    spans = figure.axes[1]
    assert spans.get_title("left") == "semantic parsing\nspans of words, labels right (span EM)"
    assert spans.get_xlabel() == "negative flip impact NFI (% of errors)"
    places = {round(bar.get_y() + bar.get_height() / 2): round(bar.get_width(), 6) for bar in spans.patches}
    assert places == {1: 2.3, 2: 1.5, 3: 1.03, 5: 3.3, 6: 2.5, 7: 2.03}
    assert [tick.get_text() for tick in spans.get_yticklabels()] == list(METHODS) * 2
    names = {text.get_text(): text.xy[1] for text in spans.texts}
    assert names["s2s-base-part ⇒ s2s-base"] == 0 and names["s2s-base ⇒ s2s-large"] == 4
    with pytest.raises(ValueError, match="as many levels"):
        figures.metric_by_task(
            {"one": TASKS["semantic parsing"], "other": [r for r in ROWS if r["level"] == "UAS"]}, "t"
        )


def test_the_form_of_figures_2_and_3_for_frames_speaks_of_spans_and_utterances():
    figure = figures.curves(ENSEMBLES, "ensemble_size", "t")
    assert [axes.get_ylabel().split("\n")[1] for axes in figure.axes[:4]] == [
        "(% of spans)",
        "(% of spans)",
        "(% of errors)",
        "(% of utterances)",
    ]
    assert figure.axes[5].get_xlabel() == "models in the ensemble"
    assert list(figure.axes[4].lines[0].get_xdata()) == [1, 2, 5]
    frames = [row | {"level": "EM"} for row in CURVE]
    assert figures.curves(frames, "num_candidates", "t").axes[0].get_xlabel() == "candidates per utterance"
    assert figures.curves(CURVE, "num_candidates", "t").axes[0].get_xlabel() == "candidates per sentence"


@pytest.mark.parametrize(
    ("numbers", "written"),
    [
        (range(1, 11), list(range(1, 11))),
        (range(1, 21), list(range(2, 21, 2))),
        ([*range(1, 11), 20, 50], [5, 10, 20, 50]),
        ([1], [1]),
    ],
)
def test_ticks_that_would_run_into_each_other_are_left_out(numbers, written):
    rows = [row | {"num_candidates": n} for row in CURVE[:3] for n in numbers]
    assert figures.curves(rows, "num_candidates", "t").axes[2].get_xticks().tolist() == written


def test_files_are_the_same_in_another_process(tmp_path):
    """Equal figures, equal bytes: no date, no random ids, no dependence on the hash seed."""
    script = (
        "import sys, test_report_figures as t\n"
        "for name, figure in t.drawn().items():\n"
        "    t.publish(figure, name, t.PAIRS, sys.argv[1])\n"
    )
    digests = []
    for seed in ("1", "2"):
        folder = tmp_path / seed
        env = os.environ | {"PYTHONHASHSEED": seed, "PYTHONPATH": os.path.dirname(__file__)}
        subprocess.run([sys.executable, "-c", script, str(folder)], check=True, env=env)
        files = sorted(folder.iterdir())
        digests.append([(f.name, hashlib.sha256(f.read_bytes()).hexdigest()) for f in files])
    assert len(digests[0]) == 12 and digests[0] == digests[1]


def test_a_figure_that_cannot_be_read_alone_is_refused(tmp_path):
    figure = figures.new_figure(3, 2, "")
    with pytest.raises(ValueError, match="claim"):
        publish(figure, "bare", [], tmp_path)
    figure = figures.new_figure(3, 2, "A claim")
    figure.subplots().plot([1, 2])
    with pytest.raises(ValueError, match="no label"):
        publish(figure, "bare", [], tmp_path)
    assert not list(tmp_path.iterdir())


def test_updates_have_a_line_of_panels_each_and_one_scale():
    other = [row | {"group": "a=>b", "value": 2 * row["value"]} for row in ROWS if row["row"] != "Ensemble"]
    figure = figures.nfr_nfi_by_method([*(row | {"group": "a=>a"} for row in ROWS), *other], "t", metrics=("NFR",))
    first, _, second, _ = figure.axes
    assert [axes.get_title(loc="left").splitlines()[0] for axes in (first, second)] == ["a ⇒ a", "a ⇒ b"]
    assert [round(bar.get_width(), 6) for bar in second.patches] == [4.6, 2.06]
    assert [tick.get_text() for tick in second.get_yticklabels()] == ["Untreated", "BCR"]
    assert first.get_xlim() == second.get_xlim() == (0, pytest.approx(4.6 * 1.5))


def test_two_updates_do_not_share_a_curve():
    rows = [row | {"group": g} for g in ("a=>a", "a=>b") for row in CURVE]
    with pytest.raises(ValueError, match="one update a figure"):
        figures.curves(rows, "num_candidates", "t")


def test_rings_mark_what_was_chosen_for_each_row():
    rates = {"first": [0.03, 0.02], "second": [0.01, 0.04]}
    rows = [
        {"row": row, "level": "LAS", "metric": "NFR", "p": p, "value": value}
        for row, values in rates.items()
        for p, value in zip((0.1, 0.2), values)
    ]
    (axes,) = figures.curves(rows, "p", "t", ("NFR",), {"first": 0.2, "second": 0.1}).axes
    rings = axes.lines[-1]
    assert list(zip(rings.get_xdata(), rings.get_ydata())) == [(0.2, 2.0), (0.1, 1.0)]


def test_maps_of_several_updates_share_their_colours():
    pairs = pd.concat([PAIRS.assign(group="a=>a"), PAIRS.assign(group="a=>b", value=2 * PAIRS["value"])])
    maps = [axes for axes in figures.seed_pair_heat_map(pairs, "t").axes if axes.get_xlabel()]
    assert [axes.get_title(loc="left").splitlines()[0] for axes in maps] == ["a ⇒ a", "a ⇒ b"]
    assert len({axes.collections[0].get_clim() for axes in maps}) == 1
    assert [text.get_text() for text in maps[1].texts] == ["4.20", "4.20", "4.40", "4.40"]


def test_methods_have_different_colours_and_bcr_always_the_same():
    methods = ["top-k", "Untreated", "BCR (3 old)", "BCR", "k-best"]
    colours = figures.method_colours(methods)
    assert len(set(colours.values())) == 5 and sorted(colours) == sorted(methods)
    assert colours["BCR (3 old)"] == figures.method_colours(["BCR"])["BCR"]
    beam = figures.method_colours(["BCR (k-best)", "BCR (beam)"])["BCR (beam)"]
    assert beam == figures.method_colours(["Untreated", "BCR (dropout-p)", "BCR (beam)"])["BCR (beam)"]
    sources = figures.method_colours(["beam(b=4)", "top-k", "nucleus", "dropout-p(p=0.1), chosen on dev"])
    assert len(set(sources.values())) == 4 and sources["beam(b=4)"] == beam
    assert sources["dropout-p(p=0.1), chosen on dev"] == figures.method_colours(["BCR (dropout-p)"])["BCR (dropout-p)"]


def test_a_rate_that_was_chosen_for_all_updates_is_named_once():
    assert figures.name_rates({"a": 0.05, "b": 0.05}) == "p = 0.05 for every update"
    assert figures.name_rates({"a": 0.05, "b": 0.1}) == "p = 0.05 (a), p = 0.1 (b)"
    assert figures.name_rates({"a": 0.05}) == "p = 0.05 (a)"
