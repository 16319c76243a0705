"""`bcr bench`: every ratio beside its bar."""

import json

import numpy as np
import pytest
from command_runs import TINY, refused, run, work_folder  # noqa: F401  a fixture

from bcrlib.bench.accuracy import bench_accuracy
from bcrlib.bench.bars import Bar, accuracy_bars, seq2seq_bars
from bcrlib.bench.deepbiaf import deepbiaf_speeds
from bcrlib.bench.score_tables import arc_score_tables
from bcrlib.bench.stackptr import stackptr_speeds
from bcrlib.candidate_files import read_candidates
from bcrlib.cli.bench import bar_table
from bcrlib.data.conllu import read_conllu
from bcrlib.decoding.spanning_trees import maximum_spanning_trees
from bcrlib.models.checkpoint import load_parser
from bcrlib.models.runtime import Runtime
from bcrlib.pipeline.profiles import load_profile
from bcrlib.report.readme import speed_table

DEEPBIAF_BARS = {"decoding": 0.65, "reranking": 0.65, "training": 0.5}
STACKPTR_BARS = {"greedy": 0.45, "beam": 0.25, "reranking_beam": 1.0, "reranking_dropout_p": 5.0, "training": 0.35}
SEQ2SEQ_BARS = {"greedy": 1.0, "reranking_dropout_p": 5.0} | dict.fromkeys(("reranking_different", "dropout_p", "beam"))
QUICK = ["--profile", "demo", "--sentences", 6, "--turns", 1, "--frames", "demo", "--utterances", 8]


def test_bench_prints_every_ratio_of_all_kinds_beside_its_bar(work):
    result = json.loads(run("bench", "--corpus", work, *QUICK, "--model", work / "old", "--json"))
    bars = {bar["name"]: bar for bar in result["bars"]}
    named = {f"{key} (float32)": bar for key, bar in DEEPBIAF_BARS.items()}
    named |= {f"stackptr_{key} (float32)": bar for key, bar in STACKPTR_BARS.items()}
    for name, bar in {**named, "one_best_trees": 1.0, "ten_best_trees": 0.25}.items():
        assert bars[name]["bar"] == bar and bars[name]["value"] > 0
        assert bars[name]["met"] == (bars[name]["value"] >= bar)
    assert bars["decoding (float32)"]["value"] == result["parsers"]["deepbiaf"]["float32"]["decoding"]
    assert bars["stackptr_beam (float32)"]["value"] == result["parsers"]["stackptr"]["float32"]["beam"]
    assert result["missed"] == [bar["name"] for bar in result["bars"] if bar["met"] is False]
    assert result["num_sentences"] == 6 and result["tree_scores"] == "old"


def test_bench_of_one_kind_times_nothing_else(work):
    result = json.loads(run("bench", "--corpus", work, *QUICK, "--kind", "stackptr", "--json"))
    assert list(result["parsers"]) == ["stackptr"] and result["trees"] is None
    assert all(bar["name"].startswith("stackptr_") for bar in result["bars"])
    assert "stackptr: greedy decoding, float32" in run("bench", "--corpus", work, *QUICK, "--kind", "stackptr")


def test_bench_of_the_semantic_parser_reads_no_treebank():
    result = json.loads(run("bench", "--kind", "s2s", "--corpus", "nowhere", *QUICK, "--json"))
    assert result["parsers"] == {} and result["corpus"] is None
    bars = {bar["name"]: bar for bar in result["bars"]}
    for key, bar in SEQ2SEQ_BARS.items():
        found = bars[f"s2s_{key} (float32)"]
        assert found["value"] == result["semantic"]["speeds"]["float32"][key]
        assert found["met"] == (None if bar is None else found["value"] >= bar)
    about = {"corpus": "demo", "num_utterances": 8, "num_turns": 1, "sizes": "demo", "encoder": "tiny"}
    assert about.items() <= result["semantic"].items()


def test_a_value_without_a_bar_is_neither_met_nor_missed():
    speed = {"precision": "float32", "greedy": 1.5, "reranking_dropout_p": 4.0}
    speed |= {"reranking_different": 2.0, "dropout_p": 0.08, "beam": 0.2}
    bars = seq2seq_bars(speed)
    assert [line.split()[-1] for line in bar_table(bars)] == ["met", "MISSED", "2.000", "0.080", "0.200"]
    rows = speed_table({"bars": [bar.to_json() for bar in bars]}).splitlines()
    assert rows[2].endswith("| 1.50 | ≥ 1 | met |") and rows[5].endswith("| 0.08 | – |  |")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--kind", "stack"], "unknown kind of parser 'stack'; choose one of deepbiaf, stackptr, s2s"),
        (["--kind", "stackptr", "--accuracy"], "--model and --accuracy are about deepbiaf"),
        (["--kind", "s2s", "--model", "old"], "--model and --accuracy are about deepbiaf; leave out --kind s2s"),
        (["--kind", "deepbiaf", "--model", "stackptr"], "stackptr: a stackptr has no scores for tree searches"),
    ],
)
def test_bench_refuses_what_it_cannot_time(work, monkeypatch, options, message):
    monkeypatch.chdir(work)
    assert message in refused("bench", "--corpus", work, *QUICK, *options)


def test_speeds_are_ratios_within_a_turn():
    """Turns twice as slow for all tasks change no ratio; the medians of the seconds would."""
    turn = np.array([1.0, 2.0, 4.0])
    of_stackptr = {"lstm": 1, "greedy": 2, "beam": 4, "reranking_beam": 2, "dropout_p": 20, "reranking_dropout_p": 2}
    assert stackptr_speeds({name: cost * turn for name, cost in of_stackptr.items()}) == {
        "greedy": 0.5,
        "beam": 0.25,
        "reranking_beam": 2.0,
        "reranking_dropout_p": 10.0,
    }
    of_deepbiaf = {"lstm": 1, "decoding": 2, "k_best": 4, "reranking": 1, "dropout_p": 5}
    speeds = deepbiaf_speeds({name: cost * turn for name, cost in of_deepbiaf.items()})
    assert (speeds["decoding"], speeds["k_best"], speeds["reranking"], speeds["dropout_p"]) == (0.5, 0.25, 1.0, 0.2)
    assert speeds["dropout_p_against_ten_decodes"] == pytest.approx(5 / 20)


def test_the_table_of_bars_tells_what_is_missed():
    lines = bar_table([*accuracy_bars({"uas": 0.88, "las": 0.8, "cpu_minutes": 5.0}), Bar("x", "trees", None, 1.0)])
    assert [line.split()[-1] for line in lines[:3]] == ["met", "MISSED", "met"]
    assert "not measured" in lines[3]


def test_accuracy_per_minute_trains_and_tests():
    overrides = [option.removeprefix("--set=") for option in TINY[:-2]]
    result = bench_accuracy(load_profile("demo", (*overrides, "training.num_epochs=1", "training.batch_tokens=4000")))
    assert 0 <= result["las"] <= result["uas"] <= 1 and 0 < result["cpu_minutes"] < 1 and result["minutes"] > 0


def test_score_tables_give_the_parsers_own_trees(work):
    treebank = read_conllu(work / "test.conllu")
    parser = load_parser(work / "new", Runtime())
    heads = maximum_spanning_trees(arc_score_tables(parser, treebank), treebank.lengths)
    flat = [head for row, length in zip(heads, treebank.lengths) for head in row[1 : length + 1]]
    assert flat == read_candidates(work / "pool.jsonl", treebank).heads[0].tolist()
