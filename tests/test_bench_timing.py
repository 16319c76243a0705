"""The clock, and ratios and bars of hand-made seconds."""

import time

import numpy as np
import pytest
import torch

from bcrlib.bench.timing import (
    LEAST,
    Bar,
    Contestant,
    accuracy_bars,
    ratio_bars,
    ratios,
    throughput,
    throughput_bars,
    timed,
    tree_bars,
)
from bcrlib.cli.bench import bar_table
from bcrlib.report.costs import speed_table


def seconds_of(costs: dict[str, float], num_items: int = 8) -> dict[Contestant, np.ndarray]:
    """Turns of which some are slow for all."""
    return {Contestant(step, print, num_items): cost * np.array([1.0, 4.0, 2.0]) for step, cost in costs.items()}


def test_ratios_are_speeds_against_the_yardsticks():
    training = {"training": 4, "training of bare LSTM": 1}
    costs = {"bare LSTM": 1, "greedy": 2, "beam": 4, "re-ranking": 2, "dropout-p": 20, "re-ranking dropout-p": 2}
    assert ratios("stackptr", seconds_of(costs | training)) == {
        "lstm_sentences_per_second": 4, "lstm_training_tokens_per_second": 4,
        "greedy": 0.5, "beam": 0.25, "reranking_beam": 2, "reranking_dropout_p": 10, "training": 0.25,
    }  # fmt: skip
    costs = {"bare LSTM": 1, "1-best": 2, "k-best": 4, "re-ranking": 1, "dropout-p": 5}
    assert ratios("deepbiaf", seconds_of(costs | training)) == {
        "lstm_sentences_per_second": 4, "lstm_training_tokens_per_second": 4, "decoding": 0.5, "k_best": 0.25,
        "reranking": 1, "dropout_p": 0.2, "dropout_p_against_ten_decodes": 5 / 20, "training": 0.25,
    }  # fmt: skip
    costs = {"generate": 4, "1-best": 2, "1-best of few": 1, "beam": 4}
    costs |= {"dropout-p": 12, "re-ranking agreeing dropout-p": 2, "re-ranking dropout-p": 8}
    assert ratios("s2s", seconds_of(costs)) == {
        "greedy_utterances_per_second": 2, "generate_utterances_per_second": 1,
        "greedy": 2, "reranking_dropout_p": 6, "reranking_different": 1.5, "dropout_p": 1 / 12, "beam": 0.25,
    }  # fmt: skip


def test_what_slows_a_turn_changes_no_ratio():
    """The medians of the seconds would: 3 / 2."""
    found = {"one_best_single_root": [1.0, 2.0, 8.0], "ten_best_single_root": [3.0, 6.0, 1.0]}
    seconds = {Contestant(step, print, 1): np.array(turns) for step, turns in found.items()}
    assert ratios("trees", seconds)["ratio_ten_best_to_one_best"] == pytest.approx(1 / 3)


def test_without_ufal_its_bar_is_not_measured():
    record = ratios("trees", seconds_of({"one_best_single_root": 1, "ten_best_single_root": 4}))
    assert record == {"one_best_single_root": 4, "ten_best_single_root": 1, "ratio_ten_best_to_one_best": 0.25}
    of_ufal, of_ten = tree_bars(record)
    assert (of_ufal.value, of_ufal.met, of_ten.value, of_ten.met) == (None, None, 0.25, True)
    assert tree_bars(record | {"ratio_one_best_to_ufal": 15.0})[0].met


def test_a_value_without_a_bar_is_neither_met_nor_missed():
    record = {"greedy": 1.5, "reranking_dropout_p": 4.0, "reranking_different": 2.0, "dropout_p": 0.08, "beam": 0.2}
    bars = ratio_bars("s2s", {"float32": record})
    assert [line.split()[-1] for line in bar_table(bars)] == ["met", "MISSED", "2.000", "0.080", "0.200"]
    rows = speed_table({"bars": [bar.to_json() for bar in bars]}).splitlines()
    assert rows[2].endswith("| 1.50 | ≥ 1 | met |") and rows[5].endswith("| 0.08 | – |  |")


def test_the_table_of_bars_tells_what_is_missed():
    lines = bar_table([*accuracy_bars({"uas": 0.88, "las": 0.8, "cpu_minutes": 5.0}), Bar("x", "trees", None, 1.0)])
    assert [line.split()[-1] for line in lines[:3]] == ["met", "MISSED", "met"]
    assert "not measured" in lines[3]


def row(step: str, batch_size: int, value: float | None) -> dict:
    about = {"step": step, "batch_size": batch_size, "num_candidates": 10, "words": None}
    return about | {"metric": "per_second", "value": value}


ROWS = [
    *(row("1-best", size, value) for size, value in {32: 4000.0, 512: 12000.0, 1024: 9000.0}.items()),
    *(row("re-ranking", size, value) for size, value in {32: 3000.0, 512: 8000.0, 1024: None}.items()),
    *(row("dropout-p", size, value) for size, value in {32: 2000.0, 512: 2400.0, 1024: None}.items()),
    row("dropout-p, one by one", 32, 400.0),
]


def test_bars_of_a_gpu_are_of_the_best_batch_size_and_costs_in_decodes():
    assert LEAST[("deepbiaf", "1-best")] == LEAST[("deepbiaf", "re-ranking")] == 10_000
    bars = {bar.name: bar for bar in throughput_bars("deepbiaf", {"bfloat16": ROWS}, is_judged=True)}
    decoding, reranking = (bars[f"deepbiaf {step} per second (bfloat16)"] for step in ("1-best", "re-ranking"))
    assert (decoding.value, decoding.bar, decoding.met) == (12000, 10000, True) and "batches of 512" in decoding.what
    assert (reranking.value, reranking.met) == (8000, False)
    names = [f"deepbiaf dropout-p cost, {batches} (bfloat16)" for batches in ("batches of 32", "best batches")]
    assert [(bars[name].value, bars[name].met) for name in names] == [(2, True), (5, False)]
    naive = bars["deepbiaf dropout-p, one by one cost, batches of 32 (bfloat16)"]
    assert (naive.value, naive.bar) == (10, None)


def test_without_a_gpu_values_are_for_information():
    bars = throughput_bars("deepbiaf", {"float32": ROWS}, is_judged=False)
    assert len(bars) == 7 and all(bar.met is None for bar in bars)
    assert {len(line) for line in bar_table(bars)} == {len(bar_table(bars)[0])}, "in columns, also with large numbers"


def contestant(run) -> Contestant:
    return Contestant("x", run, 6)


def test_speed_is_sentences_by_the_clock():
    slow, fast = (contestant(lambda s=seconds: time.sleep(s)) for seconds in (0.04, 0.01))
    found = [row["value"] for row in throughput([slow, fast], "cpu", 3)]
    assert 20 < found[0] <= 6 / 0.04 and found[0] < found[1] <= 6 / 0.01


def test_contestants_take_turns_when_all_are_warm():
    calls = []
    found = timed([contestant(lambda name=name: calls.append(name)) for name in "ab"], 3, iter(range(99)).__next__)
    assert "".join(calls) == "abababab" and [turns.tolist() for turns in found.values()] == [[1, 1, 1]] * 2


def test_the_clock_may_wait_for_a_device_that_works_on_by_itself():
    """A device that takes what it is given at once and needs 20 ms for it: without waiting it would cost nothing."""
    pending = []

    def clock() -> float:
        time.sleep(0.02 * len(pending))
        pending.clear()
        return time.perf_counter()

    runs = (lambda: pending.append(1), lambda: None, lambda: pending.extend([1, 1]))
    one, none, two = timed([contestant(run) for run in runs], 2, clock).values()
    assert one.min() >= 0.02 and two.min() >= 0.04 and np.median(none) < 0.02


def test_what_does_not_fit_into_memory_is_left_out():
    calls = []

    def too_large():
        calls.append("too large")
        raise torch.OutOfMemoryError("CUDA out of memory")

    rows = throughput([contestant(too_large), contestant(lambda: calls.append("fits"))], "cpu", 2)
    assert rows[0]["value"] is None and rows[1]["value"] > 0
    assert calls == ["too large", "fits", "fits", "fits"]
    with pytest.raises(RuntimeError, match="another fault"):
        throughput([contestant(lambda: (_ for _ in ()).throw(RuntimeError("another fault")))], "cpu", 1)
