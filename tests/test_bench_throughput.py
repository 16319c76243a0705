"""Sentences a second: what takes turns, in which batches, and what is made of the clock."""

import time
from dataclasses import replace

import numpy as np
import pytest
import torch
from tiny_frames import frame_bank, tiny_seq2seq
from tiny_parsers import tiny_parser, tiny_pointer_parser

from bcrlib.bench import dependency, semantic
from bcrlib.bench.bare_lstm import bare_lstm, lstm_forward
from bcrlib.bench.contestants import (
    Contestant,
    contestants,
    evenly_drawn,
    longest_batches,
    nearest_in_length,
    over_batch_sizes,
    over_candidates,
    over_lengths,
    steps,
    task,
)
from bcrlib.bench.grid import PAPER_BATCH, SpeedGrid
from bcrlib.bench.throughput import throughput
from bcrlib.bench.timing import cpu_seconds_by_turns, wall_seconds_by_turns
from bcrlib.data.grammar import generate_treebank
from bcrlib.decoding.strategies import DropoutP, OneBest
from bcrlib.models.encoding import encode
from bcrlib.models.runtime import Runtime

TREES, FRAMES = generate_treebank(9, seed=3), frame_bank()
SHARED = {"encoder", "1-best", "dropout-p", "re-ranking", "re-ranking dropout-p"}


@pytest.fixture(scope="module")
def parsers():
    return {"deepbiaf": tiny_parser(TREES), "stackptr": tiny_pointer_parser(TREES), "s2s": tiny_seq2seq()}


def side_and_items(kind: str):
    return (semantic, FRAMES) if kind == "s2s" else (dependency, TREES)


def passes_of(parser, run) -> list[int]:
    """How many sentences the encoder reads together, pass by pass."""
    numbers = []

    def count(_, inputs, __):
        numbers.append(len(inputs[0]) if hasattr(inputs[0], "shape") else inputs[0].packing.num_sentences)

    handle = parser.network.encoder.register_forward_hook(count)
    run()
    handle.remove()
    return numbers


@pytest.mark.parametrize(
    ("kind", "own"),
    [("deepbiaf", {"k-best", "bare LSTM"}), ("stackptr", {"beam", "greedy", "bare LSTM"}), ("s2s", {"beam"})],
)
def test_every_step_of_every_kind_runs_in_the_batches_asked_for(parsers, kind, own):
    parser, (side, items) = parsers[kind], side_and_items(kind)
    number = len(side.num_words(items))
    work = task(side, parser, items).in_batches_of(4)
    runs = steps(work)
    assert set(runs) == SHARED | own
    batches = [4, 4, number - 8] if number > 8 else [4, 4]
    for step, run in runs.items():
        expected = {"bare LSTM": [], "dropout-p": [10 * some for some in batches]}.get(step, batches)
        assert passes_of(parser, run) == expected, step
    assert parser.runtime.batch_size is None, "the parser itself is as it was"


@pytest.mark.parametrize("kind", ["deepbiaf", "stackptr", "s2s"])
def test_runs_do_what_their_names_say(parsers, kind):
    parser, (side, items) = parsers[kind], side_and_items(kind)
    number, work = len(side.num_words(items)), task(side, parser, items)
    done = {step: run() for step, run in steps(work).items()}
    listed = "k-best" if kind == "deepbiaf" else "beam"
    assert [done[step].num_candidates for step in ("1-best", listed, "dropout-p")] == [1, 10, 10]
    assert done["re-ranking"].shape == done["re-ranking dropout-p"].shape == (10, number)
    best = parser.candidates(items, OneBest())
    np.testing.assert_allclose(done["1-best"].log_probs, best.log_probs, atol=1e-4)
    if kind != "s2s":  # whose 1-best is greedy
        np.testing.assert_allclose(done[listed].log_probs[0], best.log_probs[0], atol=1e-3)
    np.testing.assert_allclose(done["re-ranking"], parser.log_probs(items, done[listed]), atol=1e-4)


def test_the_encoder_alone_is_the_one_of_decoding(parsers):
    """Same batches, same inputs, same encodings."""
    parser, seen = parsers["deepbiaf"], []
    handle = parser.network.encoder.register_forward_hook(lambda _, __, outputs: seen.append(outputs[0]))
    parser.candidates(TREES, OneBest())
    num_passes = len(seen)
    dependency.limits(parser, TREES)["encoder"]()
    handle.remove()
    assert len(seen) == 2 * num_passes
    assert all(torch.equal(one, other) for one, other in zip(seen, seen[num_passes:]))


def test_ten_passes_are_timed_in_the_papers_batches_alone(parsers):
    found = over_batch_sizes(task(dependency, parsers["deepbiaf"], TREES), [4, PAPER_BATCH])
    sizes = {step: [one.batch_size for one in found if one.step == step] for step in {one.step for one in found}}
    assert sizes.pop("dropout-p, one by one") == [PAPER_BATCH]
    assert set(map(tuple, sizes.values())) == {(4, PAPER_BATCH)}
    (naive,) = (one for one in found if one.step == "dropout-p, one by one")
    assert passes_of(parsers["deepbiaf"], naive.run) == [9] * 10
    numbers = {one.step: one.num_candidates for one in found}
    assert numbers == {"encoder": 0, "bare LSTM": 0, "1-best": 1} | dict.fromkeys(
        ["k-best", "dropout-p", "dropout-p, one by one", "re-ranking", "re-ranking dropout-p"], 10
    )


@pytest.mark.parametrize("kind", ["stackptr", "s2s"])
def test_the_number_of_candidates_is_what_varies(parsers, kind):
    parser, (side, items) = parsers[kind], side_and_items(kind)
    found = over_candidates(task(side, parser, items, 4), [1, 4])
    assert [(one.step, one.num_candidates) for one in found] == [
        (step, number) for number in (1, 4) for step in ("dropout-p", "re-ranking dropout-p")
    ]
    samples = found[2].run()
    assert samples.num_candidates == 4
    np.testing.assert_allclose(found[3].run(), parser.log_probs(items, samples), atol=1e-4)
    np.testing.assert_allclose(found[1].run(), found[3].run()[:1], atol=1e-4)


def test_lengths_are_those_of_the_sentences(parsers):
    found = over_lengths(dependency, parsers["deepbiaf"], TREES, [3, 50], 2)
    short, long = (sorted(TREES.lengths)[i] for i in (0, -1))
    near = [np.sort(np.abs(TREES.lengths - length))[:2] for length in (3, 50)]
    assert {one.words for one in found} == {
        round(float(nearest_in_length(dependency, TREES, length, 2).lengths.mean()), 1) for length in (3, 50)
    }
    assert np.sort(np.abs(nearest_in_length(dependency, TREES, 3, 2).lengths - 3)).tolist() == near[0].tolist()
    assert short <= min(one.words for one in found) < max(one.words for one in found) <= long
    assert {one.num_items for one in found} == {2}
    assert {one.step for one in found} == {"encoder", "1-best", "dropout-p", "re-ranking"}


def test_memory_is_that_of_the_longest_sentences(parsers):
    found = longest_batches(semantic, parsers["s2s"], FRAMES, [2, 3, 100])
    lengths = sorted(semantic.num_words(FRAMES))
    assert [(one.batch_size, one.num_items) for one in found[::4]] == [(2, 2), (3, 3)]
    assert [one.words for one in found[::4]] == [round(float(np.mean(lengths[-size:])), 1) for size in (2, 3)]
    assert passes_of(parsers["s2s"], found[0].run) == [2]


def test_a_grid_is_run_without_doing_anything_twice(parsers):
    grid = SpeedGrid(sentences=5, num_turns=1, batch_sizes=(2,), num_candidates=(1, 10), words=(4, 20))
    found = contestants(dependency, parsers["deepbiaf"], TREES, grid)
    keys = [(one.step, one.batch_size, one.num_candidates, one.words) for one in found]
    assert len(set(keys)) == len(keys)
    assert ("dropout-p", PAPER_BATCH, 10, None) in keys and ("dropout-p", PAPER_BATCH, 1, None) in keys
    assert {one.num_items for one in found} == {5}
    rows = throughput(found, "cpu", grid.num_turns)
    assert [(row["step"], row["batch_size"], row["num_candidates"], row["words"]) for row in rows] == keys
    assert all(row["metric"] == "per_second" and row["value"] > 0 for row in rows)


def test_bfloat16_is_measured_of_the_limits_too():
    parser = tiny_parser(TREES, runtime=Runtime(precision="bfloat16"))
    kinds = []
    handle = parser.network.encoder.lstm.register_forward_hook(lambda _, __, outputs: kinds.append(outputs[0].dtype))
    limits = dependency.limits(parser, TREES)
    limits["encoder"]()
    parser.candidates(TREES, OneBest())
    handle.remove()
    assert len(set(kinds)) == 1
    limits["bare LSTM"]()


def contestant(run, num_items: int = 6, step: str = "x") -> Contestant:
    return Contestant(step, 32, 10, None, num_items, run)


def test_speed_is_sentences_by_the_clock():
    slow, fast = (contestant(lambda s=seconds: time.sleep(s)) for seconds in (0.04, 0.01))
    found = [row["value"] for row in throughput([slow, fast], "cpu", 3)]
    assert 20 < found[0] <= 6 / 0.04 and found[0] < found[1] <= 6 / 0.01


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


def test_the_clock_waits_for_a_device_that_works_on_by_itself():
    """A device that takes what it is given at once and needs 20 ms for it: without waiting it would cost nothing."""
    pending = []

    def wait():
        time.sleep(0.02 * len(pending))
        pending.clear()

    jobs = {"one": lambda: pending.append(1), "none": lambda: None, "two": lambda: pending.extend([1, 1])}
    seconds = wall_seconds_by_turns(jobs, 2, wait)
    assert seconds["one"].min() >= 0.02 and seconds["two"].min() >= 0.04 and seconds["none"].min() < 0.02


def test_cpu_time_is_taken_of_what_is_warm():
    calls = {"a": 0, "b": 0}

    def work(name: str):
        calls[name] += 1
        return sum(range(5_000_000 if calls[name] == 1 else 1))

    seconds = cpu_seconds_by_turns({name: lambda name=name: work(name) for name in calls}, 3)
    assert calls == {"a": 4, "b": 4} and all(len(turns) == 3 for turns in seconds.values())
    assert max(turns.max() for turns in seconds.values()) < 0.02


def test_sentences_are_drawn_evenly():
    numbered = replace(FRAMES, frames=())
    assert evenly_drawn(semantic, numbered, 3).utterances == tuple(FRAMES.utterances[i] for i in (0, 3, 7))
    assert evenly_drawn(dependency, TREES, 0).num_sentences == evenly_drawn(dependency, TREES, 99).num_sentences == 9


@pytest.mark.parametrize("kind", ["deepbiaf", "s2s"])
def test_the_first_samples_are_those_of_fewer(parsers, kind):
    parser, (side, items) = parsers[kind], side_and_items(kind)
    first = side.first_candidates(parser.candidates(items, DropoutP(0.2, 5)), 2)
    fewer = parser.candidates(items, DropoutP(0.2, 2))
    assert first.num_candidates == 2
    np.testing.assert_allclose(first.log_probs, fewer.log_probs, atol=1e-4)
    assert first.num_distinct().tolist() == fewer.num_distinct().tolist()


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_the_bare_lstm_has_the_size_of_the_parsers_and_its_precision(precision):
    parser = tiny_parser(TREES, runtime=Runtime(precision=precision, batch_size=4))
    lstm, seen = bare_lstm(parser.network.config), []
    ours = parser.network.encoder.lstm
    sizes = [sum(w.numel() for name, w in some.named_parameters() if "weight" in name) for some in (lstm, ours)]
    assert sizes[0] == sizes[1]
    lstm.register_forward_hook(lambda _, inputs, outputs: seen.append((inputs[0].data, outputs[0].data)))
    encoded = encode(TREES, parser.vocabulary, None)
    lstm_forward(lstm, encoded, [np.array([0, 1]), np.array([2])], parser.runtime)()
    assert [len(read) for read, _ in seen] == [int(encoded.lengths[:2].sum()), int(encoded.lengths[2])]
    assert {tensor.dtype for pair in seen for tensor in pair} == {getattr(torch, precision)}
