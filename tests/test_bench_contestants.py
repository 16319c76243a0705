"""What is timed: runs that do what their names say, in the batches asked for; the clock; and the yardsticks."""

from importlib.util import find_spec

import numpy as np
import pytest
import torch
from tiny_frames import TINY_SEQ2SEQ, frame_bank, tiny_seq2seq
from tiny_parsers import tiny_parser, tiny_pointer_parser

from bcrlib.bench.contestants import (
    GoldShapeParser,
    Work,
    bare_lstm,
    contestants,
    encoder_decoder,
    greedy_generation,
    limits,
    longest_batches,
    lstm_over,
    over_batch_sizes,
    over_candidates,
    steps,
)
from bcrlib.bench.measure import arc_score_tables, beside_generate, beside_lstm, tree_searches
from bcrlib.bench.timing import throughput
from bcrlib.data.frames import sequences_of
from bcrlib.data.generated.trees import generate_treebank
from bcrlib.experiments.speed_grid import PAPER_BATCH, STEPS, SpeedGrid
from bcrlib.parsers.batches import Runtime, batches
from bcrlib.parsers.encoding import encode
from bcrlib.samplers.brute_force import simulated_arc_scores
from bcrlib.samplers.spanning_trees import maximum_spanning_trees
from bcrlib.samplers.strategies import Beam, DropoutP, OneBest

TREES, FRAMES = generate_treebank(9, seed=3), frame_bank()
ITEMS = {"deepbiaf": TREES, "stackptr": TREES, "s2s": FRAMES}
SHARED = {"encoder", "1-best", "dropout-p", "re-ranking", "re-ranking dropout-p"}
OWN = {"deepbiaf": {"k-best", "bare LSTM"}, "stackptr": {"beam", "greedy", "bare LSTM"}, "s2s": {"beam"}}


@pytest.fixture(scope="module")
def parsers():
    return {"deepbiaf": tiny_parser(TREES), "stackptr": tiny_pointer_parser(TREES), "s2s": tiny_seq2seq()}


@pytest.fixture(scope="module")
def shaped() -> GoldShapeParser:
    return GoldShapeParser(tiny_seq2seq(runtime=Runtime(max_tokens=12)), FRAMES)


def passes_of(parser, run) -> list[int]:
    """How many sentences the encoder reads together, pass by pass, once the candidates are there."""
    numbers = []

    def count(_, inputs, __):
        numbers.append(len(inputs[0]) if hasattr(inputs[0], "shape") else inputs[0].packing.num_sentences)

    run()
    handle = parser.network.encoder.register_forward_hook(count)
    run()
    handle.remove()
    return numbers


@pytest.mark.parametrize("kind", OWN)
def test_every_step_of_every_kind_runs_in_the_batches_asked_for(parsers, kind):
    parser, items = parsers[kind], ITEMS[kind]
    runs, number = steps(Work(parser, items), 4), len(items.lengths)
    assert set(runs) == SHARED | OWN[kind] <= STEPS.keys()
    cut = [4, 4, number - 8] if number > 8 else [4, 4]
    for step, run in runs.items():
        expected = {"bare LSTM": [], "dropout-p": [10 * some for some in cut]}.get(step, cut)
        assert passes_of(parser, run) == expected, step
    assert parser.runtime.batch_size is None, "the parser itself is as it was"


@pytest.mark.parametrize("kind", OWN)
def test_runs_do_what_their_names_say(parsers, kind):
    parser, items = parsers[kind], ITEMS[kind]
    done = {step: run() for step, run in steps(Work(parser, items)).items()}
    listed = "k-best" if kind == "deepbiaf" else "beam"
    assert [done[step].num_candidates for step in ("1-best", listed, "dropout-p")] == [1, 10, 10]
    assert done["re-ranking"].shape == done["re-ranking dropout-p"].shape == (10, len(items.lengths))
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
    limits(parser, TREES)["encoder"]()
    handle.remove()
    assert len(seen) == 2 * num_passes
    assert all(torch.equal(one, other) for one, other in zip(seen, seen[num_passes:]))


def test_ten_passes_are_timed_in_the_papers_batches_alone(parsers):
    found = over_batch_sizes(Work(parsers["deepbiaf"], TREES), [4, PAPER_BATCH])
    sizes = {step: [one.batch_size for one in found if one.step == step] for step in {one.step for one in found}}
    assert sizes.pop("dropout-p, one by one") == [PAPER_BATCH]
    assert set(map(tuple, sizes.values())) == {(4, PAPER_BATCH)}
    assert found[-1].step == "dropout-p, one by one" and passes_of(parsers["deepbiaf"], found[-1].run) == [9] * 10
    numbers = {one.step: one.num_candidates for one in found}
    listing = ["k-best", "dropout-p", "dropout-p, one by one", "re-ranking", "re-ranking dropout-p"]
    assert numbers == {"encoder": 0, "bare LSTM": 0, "1-best": 1} | dict.fromkeys(listing, 10)


@pytest.mark.parametrize("kind", ["stackptr", "s2s"])
def test_the_number_of_candidates_is_what_varies(parsers, kind):
    parser, items = parsers[kind], ITEMS[kind]
    found = over_candidates(Work(parser, items, 4), [1, 4])
    assert [(one.step, one.num_candidates) for one in found] == [
        (step, number) for number in (1, 4) for step in ("dropout-p", "re-ranking dropout-p")
    ]
    samples = found[2].run()
    assert samples.num_candidates == 4
    np.testing.assert_allclose(found[3].run(), parser.log_probs(items, samples), atol=1e-4)
    np.testing.assert_allclose(found[1].run(), found[3].run()[:1], atol=1e-4)


def test_memory_is_that_of_the_longest_sentences(parsers):
    found = longest_batches(parsers["s2s"], FRAMES, [2, 3, 100])
    assert [(one.batch_size, one.num_items) for one in found[::4]] == [(2, 2), (3, 3)]
    longest = [round(float(np.mean(sorted(FRAMES.lengths)[-size:])), 1) for size in (2, 3)]
    assert [one.words for one in found[::4]] == longest
    assert passes_of(parsers["s2s"], found[0].run) == [2]


def test_a_grid_is_run_without_doing_anything_twice(parsers):
    grid = SpeedGrid(sentences=5, num_turns=1, batch_sizes=(2,), num_candidates=(1, 10), words=(4, 20))
    found = contestants(parsers["deepbiaf"], TREES, grid)
    keys = [(one.step, one.batch_size, one.num_candidates, one.words) for one in found]
    assert len(set(keys)) == len(keys)
    assert ("dropout-p", PAPER_BATCH, 10, None) in keys and ("dropout-p", PAPER_BATCH, 1, None) in keys
    assert {one.num_items for one in found} == {5}
    rows = throughput(found, "cpu", grid.num_turns)
    assert [(row["step"], row["batch_size"], row["num_candidates"], row["words"]) for row in rows] == keys
    assert all(row["metric"] == "per_second" and row["value"] > 0 for row in rows)


@pytest.mark.parametrize(("kind", "number"), [("deepbiaf", 9), ("stackptr", 3)])
def test_the_lstm_reads_what_the_parser_reads(parsers, kind, number):
    found = {one.step: one for one in beside_lstm(parsers[kind], TREES)}
    assert found["dropout-p"].run().num_items == found["dropout-p"].num_items == number
    assert found["bare LSTM"].num_items == found["1-best"].num_items == 9
    num_tokens = TREES.lengths.sum() + 9  # and the roots
    assert found["training"].num_items == found["training of bare LSTM"].num_items == num_tokens


def test_training_steps_train():
    parser = tiny_parser(TREES)
    before = [weight.detach().clone() for weight in parser.network.parameters()]
    (training,) = (one for one in beside_lstm(parser, TREES) if one.step == "training")
    training.run()
    assert not all(torch.equal(*pair) for pair in zip(before, parser.network.parameters()))
    assert not parser.network.training


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_the_bare_lstm_has_the_size_of_the_parsers_and_its_precision(precision):
    parser = tiny_parser(TREES, runtime=Runtime(precision=precision, batch_size=4))
    lstm, seen = bare_lstm(parser.network.config), []
    ours = parser.network.encoder.lstm
    sizes = [sum(w.numel() for name, w in some.named_parameters() if "weight" in name) for some in (lstm, ours)]
    assert sizes[0] == sizes[1]
    handle = lstm.register_forward_hook(lambda _, read, made: seen.append((read[0].data, made[0].data)))
    encoded, cut = encode(TREES, parser.vocabulary, None), [np.array([0, 1]), np.array([2])]
    lstm_over(lstm, encoded, cut, parser.runtime)()
    assert [len(read) for read, _ in seen] == [int(encoded.lengths[:2].sum()), int(encoded.lengths[2])]
    assert {tensor.dtype for pair in seen for tensor in pair} == {getattr(torch, precision)}
    assert all(weight.grad is None for weight in lstm.parameters())
    handle.remove()
    lstm_over(lstm, encoded, cut, parser.runtime, backward=True)()
    assert all(weight.grad is not None for weight in lstm.parameters())
    limits(parser, TREES)["encoder"]()  # under autocast where the parser is


@pytest.mark.parametrize("strategy", [OneBest(), Beam(4, 4), DropoutP(0.3, 4)], ids=str)
def test_candidates_have_words_and_brackets_where_gold_has_them(shaped, strategy):
    pool, first_word = shaped.candidates(FRAMES, strategy), 1 + 2 * len(shaped.labels)
    own, gold = pool.sequences, np.zeros(pool.sequences.shape[1:], dtype=np.int16)
    short = sequences_of(FRAMES, shaped.labels)
    gold[:, : short.shape[1]] = short
    assert (np.sign(own) == np.sign(gold)).all()
    is_word = gold >= first_word
    assert ((own >= first_word) == is_word).all() and (own == gold)[:, is_word].all()
    assert (own != gold).any()
    assert strategy.num_candidates == 1 or pool.num_distinct().mean() > 3
    assert np.isfinite(shaped.log_probs(FRAMES, pool)).all(), "the same parser without rules: none is broken"


def test_generation_takes_the_parsers_batches_and_their_longest_targets(shaped):
    tokens = greedy_generation(encoder_decoder(shaped), shaped, FRAMES)()
    pieces = shaped.read(FRAMES)
    own = list(batches(pieces.lengths, 12))
    assert len(own) == len(tokens) > 2
    for utterances, generated in zip(own, tokens):
        longest = int((shaped.gold_targets(pieces, utterances) > 0).sum(axis=1).max()) + 1
        assert generated.shape == (len(utterances), 1 + longest)  # and the token that starts it


def test_the_librarys_model_has_the_parsers_sizes(shaped):
    """Of all matrices that are multiplied with."""

    def size(network: torch.nn.Module) -> int:
        return sum(layer.weight.numel() for layer in network.modules() if isinstance(layer, torch.nn.Linear))

    model, ours = encoder_decoder(shaped), shaped.network
    output = model.decoder.get_output_embeddings().weight
    assert size(model.encoder) == size(ours.encoder)
    assert size(model.decoder) - output.numel() == size(ours.decoder)
    assert len(output) == len(ours.decoder.symbols) + len(ours.decoder.pointers)
    assert model.config.decoder.num_attention_heads == TINY_SEQ2SEQ.decoder_heads
    assert not hasattr(model, "enc_to_dec_proj")


def test_s2s_ranks_pools_that_agree_and_that_do_not(parsers):
    found, (agreeing, different) = beside_generate(parsers["s2s"], FRAMES)
    assert 1 <= agreeing <= 3 <= different <= 10
    assert {one.step: one.num_items for one in found} == {"generate": 8, "1-best": 8} | dict.fromkeys(
        ["1-best of few", "beam", "dropout-p", "re-ranking agreeing dropout-p", "re-ranking dropout-p"], 1
    )
    scores, of_all = found[-2].run(), found[-1].run()
    np.testing.assert_allclose(scores, of_all[np.arange(10) % 3], atol=1e-4)


def test_tree_searches_agree_where_they_ask_the_same():
    lengths = np.array([2, 5, 9, 4, *[3] * 70])
    scores = simulated_arc_scores(lengths, seed=0)
    found = {one.step: one.run for one in tree_searches(scores, lengths)}
    assert ("ufal_single_root" in found) == (find_spec("ufal") is not None)
    ones, tens = found["one_best_single_root"](), found["ten_best_single_root"]()
    assert sum(map(len, ones)) == len(lengths) and len(ones) == 2
    assert all((one == ten[:, 0]).all() for one, (ten, _) in zip(ones, tens))


def test_score_tables_give_the_parsers_own_trees(parsers):
    heads = maximum_spanning_trees(arc_score_tables(parsers["deepbiaf"], TREES), TREES.lengths)
    flat = [head for row, length in zip(heads, TREES.lengths) for head in row[1 : length + 1]]
    assert flat == parsers["deepbiaf"].candidates(TREES, OneBest()).heads[0].tolist()
