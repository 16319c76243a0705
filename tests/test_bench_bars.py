"""`bcr bench`: every ratio beside its bar."""

import json

from command_runs import TINY, run, work_folder  # noqa: F401  a fixture

from bcrlib.bench.accuracy import bench_accuracy
from bcrlib.bench.bars import Bar, accuracy_bars
from bcrlib.bench.score_tables import arc_score_tables
from bcrlib.candidate_files import read_candidates
from bcrlib.cli.bench import bar_table
from bcrlib.data.conllu import read_conllu
from bcrlib.decoding.spanning_trees import maximum_spanning_trees
from bcrlib.models.checkpoint import load_parser
from bcrlib.models.runtime import Runtime
from bcrlib.pipeline.profiles import load_profile


def test_bench_prints_every_ratio_beside_its_bar(work):
    options = ["--corpus", work, "--profile", "demo", "--sentences", 6, "--turns", 1, "--model", work / "old"]
    result = json.loads(run("bench", *options, "--json"))
    bars = {bar["name"]: bar for bar in result["bars"]}
    named = {f"{kind} (float32)": bar for kind, bar in {"decoding": 0.65, "reranking": 0.65, "training": 0.5}.items()}
    for name, bar in {**named, "one_best_trees": 1.0, "ten_best_trees": 0.25}.items():
        assert bars[name]["bar"] == bar and bars[name]["value"] > 0
        assert bars[name]["met"] == (bars[name]["value"] >= bar)
    assert bars["decoding (float32)"]["value"] == result["parser"]["float32"]["decoding"]
    assert result["missed"] == [bar["name"] for bar in result["bars"] if not bar["met"]]
    assert result["num_sentences"] == 6 and result["tree_scores"] == "old"


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
