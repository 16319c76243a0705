"""`bcr bench`: what it measures beside which bars, on one core and on a device, and what it refuses."""

import json

import pytest
from command_runs import TINY, refused, run, work_folder  # noqa: F401  a fixture

from bcrlib.bench.contestants import nearest_in_length
from bcrlib.bench.measure import accuracy
from bcrlib.bench.timing import RATIOS
from bcrlib.data.generated.trees import generate_treebank
from bcrlib.data.treebank import write_conllu
from bcrlib.pipeline.profile import load_profile

DEEPBIAF_BARS = {"decoding": 0.65, "reranking": 0.65, "training": 0.5}
STACKPTR_BARS = {"greedy": 0.45, "beam": 0.25, "reranking_beam": 1.0, "reranking_dropout_p": 5.0, "training": 0.35}
SEQ2SEQ_BARS = {"greedy": 1.0, "reranking_dropout_p": 5.0} | dict.fromkeys(("reranking_different", "dropout_p", "beam"))
QUICK = ["--profile", "demo", "--sentences", 6, "--turns", 1, "--frames", "demo", "--utterances", 8]


def bars_of(result: dict) -> dict[str, dict]:
    assert result["missed"] == [bar["name"] for bar in result["bars"] if bar["met"] is False]
    return {bar["name"]: bar for bar in result["bars"]}


def test_every_ratio_of_all_kinds_stands_beside_its_bar(work):
    result = json.loads(run("bench", "--corpus", work, *QUICK, "--model", work / "old", "--json"))
    bars, kinds = bars_of(result), {**result["parsers"], "s2s": result["semantic"]["speeds"]}
    assert list(kinds) == ["deepbiaf", "stackptr", "s2s"]
    for kind, least in {"deepbiaf": DEEPBIAF_BARS, "stackptr": STACKPTR_BARS, "s2s": SEQ2SEQ_BARS}.items():
        record = kinds[kind]["float32"]
        agreeing, different = record.pop("num_distinct", [3, 10])
        assert 1 <= agreeing <= 3 < different <= 10
        assert set(record) == {"kind", "precision", *(ratio.key for ratio in RATIOS[kind])}
        for key, bar in least.items():
            found = bars[f"{'' if kind == 'deepbiaf' else kind + '_'}{key} (float32)"]
            assert (found["value"], found["bar"]) == (record[key], bar) and found["value"] > 0
            assert found["met"] == (None if bar is None else found["value"] >= bar)
    assert [bars[name]["bar"] for name in ("one_best_trees", "ten_best_trees")] == [1.0, 0.25]
    assert bars["ten_best_trees"]["value"] == result["trees"]["ratio_ten_best_to_one_best"] > 0
    assert (result["num_sentences"], result["tree_scores"], result["accuracy"]) == (6, "old", None)
    about = {"corpus": "demo", "num_utterances": 8, "num_turns": 1, "sizes": "demo", "encoder": "tiny"}
    assert about.items() <= result["semantic"].items()


def test_one_kind_is_timed_alone_and_told_to_people(work):
    text = run("bench", "--corpus", work, *QUICK, "--kind", "stackptr")
    assert "stackptr: greedy decoding, float32" in text and f"6 sentences of {work} test" in text
    assert not any(other in text for other in ("deepbiaf", "s2s", "spanning", "utterances"))


def test_the_semantic_parser_needs_no_treebank():
    result = json.loads(run("bench", "--kind", "s2s", "--corpus", "nowhere", *QUICK, "--json"))
    assert (result["parsers"], result["corpus"], result["num_sentences"], result["trees"]) == ({}, None, 0, None)
    assert all(name.startswith("s2s_") for name in bars_of(result))


@pytest.mark.parametrize("kind", ["deepbiaf", "stackptr", "s2s"])
def test_on_a_device_speeds_are_those_of_the_rows(tmp_path, kind):
    write_conllu(nearest_in_length(generate_treebank(20, seed=2), 4, 4), tmp_path / "test.conllu")
    quick = ["--device", "cpu", "--profile", "demo", "--frames", "demo", "--utterances", 4, "--turns", 1]
    options = [*quick, "--corpus", tmp_path, "--batch-size", 2]
    result = json.loads(run("bench", *options, "--kind", kind, "--json"))
    corpus = "demo" if kind == "s2s" else str(tmp_path)
    assert (result["device"], result["corpora"], result["sizes"]) == ("cpu", {kind: corpus}, "demo")
    assert list(result["throughput"]) == [kind] and result["missed"] == []
    rows = result["throughput"][kind]["float32"]
    assert {row["batch_size"] for row in rows} == {2, 32} and all(row["value"] > 0 for row in rows)
    one_best = max(row["value"] for row in rows if row["step"] == "1-best")
    bars = bars_of(result)
    assert bars[f"{kind} 1-best per second (float32)"]["value"] == one_best
    assert f"{kind} dropout-p cost, batches of 32 (float32)" in bars


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--kind", "stack"], "unknown kind of parser 'stack'; choose one of deepbiaf, stackptr, s2s"),
        (["--kind", "stackptr", "--accuracy"], "--model and --accuracy are about deepbiaf"),
        (["--kind", "s2s", "--model", "old"], "--model and --accuracy are about deepbiaf; leave out --kind s2s"),
        (["--kind", "deepbiaf", "--model", "stackptr"], "stackptr: a stackptr has no scores for tree searches"),
        (["--device", "tpu"], "unknown device 'tpu'; choose one of cpu, cuda"),
        (["--device", "cpu", "--accuracy"], "leave out --device"),
        (["--batch-size", 8], "--batch-size is about --device"),
    ],
)
def test_what_cannot_be_measured_is_refused(work, monkeypatch, options, message):
    monkeypatch.chdir(work)
    assert message in refused("bench", "--corpus", work, *QUICK, *options)


def test_accuracy_per_minute_trains_and_tests():
    options = tuple(option.removeprefix("--set=") for option in TINY[:-2])
    profile = load_profile("demo", (*options, "training.num_epochs=1", "training.batch_tokens=4000"))
    told = []
    result = accuracy(profile, told.append)
    assert len(told) == 1 and 0 <= result["las"] <= result["uas"] <= 1
    assert 0 < result["cpu_minutes"] < 1 and result["minutes"] > 0
