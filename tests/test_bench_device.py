"""`bcr bench --device`: sentences a second beside the bars of a GPU."""

import json

import pytest
from command_runs import refused, run

from bcrlib.bench import dependency
from bcrlib.bench.contestants import nearest_in_length
from bcrlib.bench.throughput_bars import LEAST, throughput_bars
from bcrlib.cli.bench import bar_table
from bcrlib.data.conllu import write_conllu
from bcrlib.data.grammar import generate_treebank

QUICK = ["--device", "cpu", "--profile", "demo", "--frames", "demo", "--utterances", 4, "--turns", 1]


def row(step: str, batch_size: int, value: float | None, number: int = 10) -> dict:
    about = {"step": step, "batch_size": batch_size, "num_candidates": number, "words": None}
    return about | {"metric": "per_second", "value": value}


ROWS = [
    *(row("1-best", size, value, 1) for size, value in {32: 4000.0, 512: 12000.0, 1024: 9000.0}.items()),
    *(row("re-ranking", size, value) for size, value in {32: 3000.0, 512: 8000.0, 1024: None}.items()),
    *(row("dropout-p", size, value) for size, value in {32: 2000.0, 512: 2400.0, 1024: None}.items()),
    row("dropout-p, one by one", 32, 400.0),
]


def test_bars_are_of_the_best_batch_size_and_costs_in_decodes():
    bars = {bar.name: bar for bar in throughput_bars("deepbiaf", "bfloat16", ROWS, is_judged=True)}
    decoding, reranking = (bars[f"deepbiaf {step} per second (bfloat16)"] for step in ("1-best", "re-ranking"))
    assert (decoding.value, decoding.bar, decoding.met) == (12000, 10000, True) and "batches of 512" in decoding.what
    assert (reranking.value, reranking.met) == (8000, False)
    in_paper, best = (
        bars[f"deepbiaf dropout-p cost, {batches} (bfloat16)"] for batches in ("batches of 32", "best batches")
    )
    assert (in_paper.value, in_paper.met, best.value, best.met) == (2, True, 5, False)
    naive = bars["deepbiaf dropout-p, one by one cost, batches of 32 (bfloat16)"]
    assert (naive.value, naive.bar) == (10, None)


def test_without_a_gpu_values_are_for_information():
    bars = throughput_bars("deepbiaf", "float32", ROWS, is_judged=False)
    assert len(bars) == 7 and all(bar.met is None for bar in bars)
    assert {len(line) for line in bar_table(bars)} == {len(bar_table(bars)[0])}, "in columns, also with large numbers"


def test_the_bars_are_those_of_the_project():
    assert LEAST == {
        ("deepbiaf", "1-best"): 10_000,
        ("deepbiaf", "re-ranking"): 10_000,
        ("stackptr", "beam"): 3_000,
        ("stackptr", "re-ranking"): 10_000,
    }


@pytest.mark.parametrize("kind", ["deepbiaf", "stackptr", "s2s"])
def test_bench_on_a_device_measures_one_kind(tmp_path, kind):
    write_conllu(nearest_in_length(dependency, generate_treebank(20, seed=2), 4, 4), tmp_path / "test.conllu")
    options = [*QUICK, "--corpus", tmp_path, "--batch-size", 2]
    result = json.loads(run("bench", *options, "--kind", kind, "--json"))
    corpus = "demo" if kind == "s2s" else str(tmp_path)
    assert (result["device"], result["corpora"], result["sizes"]) == ("cpu", {kind: corpus}, "demo")
    assert list(result["throughput"]) == [kind] and result["missed"] == []
    rows = result["throughput"][kind]["float32"]
    assert {row["batch_size"] for row in rows} == {2, 32} and all(row["value"] > 0 for row in rows)
    one_best = max(row["value"] for row in rows if row["step"] == "1-best")
    values = {bar["name"]: bar["value"] for bar in result["bars"]}
    assert values[f"{kind} 1-best per second (float32)"] == one_best
    assert f"{kind} dropout-p cost, batches of 32 (float32)" in values


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--device", "tpu"], "unknown device 'tpu'; choose one of cpu, cuda"),
        (["--device", "cpu", "--accuracy"], "leave out --device"),
        (["--batch-size", 8], "--batch-size is about --device"),
    ],
)
def test_bench_refuses_what_it_cannot_measure(options, message):
    assert message in refused("bench", *options)
