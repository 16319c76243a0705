"""Training of the stack-pointer parser: it learns, repeats itself, and can be taught by a parser of the other kind."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from random_trees import random_treebank
from tiny_parsers import TINY, tiny_parser

from bcrlib.data.generated.trees import generate_treebank
from bcrlib.data.treebank import Treebank
from bcrlib.parsers.batches import Runtime
from bcrlib.parsers.checkpoint import new_parser
from bcrlib.parsers.configuration import TrainingConfig
from bcrlib.parsers.encoding import build_vocabulary, encode
from bcrlib.parsers.stackptr import StackPtrParser
from bcrlib.parsers.training import dev_score, train
from bcrlib.samplers.strategies import Beam, OneBest

LARGE_ENOUGH = replace(
    TINY, kind="stackptr", word_size=16, char_size=8, upos_size=16, hidden_size=32, num_layers=1, arc_size=32,
    label_size=16, decoder_input_size=16, decoder_size=32,
)  # fmt: skip
QUICK = TrainingConfig(num_epochs=2, batch_tokens=80, learning_rate=2e-2, warmup_steps=5, dropout=0.1)


def fresh(treebank: Treebank, seed: int = 0, **changes) -> StackPtrParser:
    return new_parser(replace(LARGE_ENOUGH, **changes), build_vocabulary(treebank), seed, Runtime())


def fit(parser: StackPtrParser, treebank: Treebank, config: TrainingConfig, seed: int = 0, dev=None, **options):
    encoded = encode(treebank, parser.vocabulary, parser.vectors)
    return train(parser, encoded, dev or treebank, config, seed, **options)


def weights(parser: StackPtrParser) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in parser.network.state_dict().items()}


def attachment(parser: StackPtrParser, treebank: Treebank) -> float:
    """Share of the words with the right head."""
    return float((parser.candidates(treebank, OneBest()).heads[0] == treebank.heads).mean())


def best_offset(treebank: Treebank) -> float:
    """Share of the words with the right head if every head were equally far to one side."""
    position = np.arange(treebank.num_tokens) - np.repeat(treebank.offsets[:-1], treebank.lengths) + 1
    distance = np.where(treebank.heads > 0, treebank.heads - position, 1000)
    return np.unique(distance, return_counts=True)[1].max() / treebank.num_tokens


@pytest.mark.parametrize("preset", ["clean", "official"])
def test_a_few_epochs_on_the_demo_corpus_beat_chance_by_far(preset):
    train_part, dev = generate_treebank(200, seed=1), generate_treebank(40, seed=2)
    parser = fresh(train_part, preset=preset)
    untrained = attachment(parser, dev)
    history = fit(parser, train_part, replace(QUICK, num_epochs=5), dev=dev)
    assert attachment(parser, dev) > max(best_offset(dev), untrained) + 0.2
    assert history[-1].loss < 0.6 * history[0].loss
    assert max(report.dev_score for report in history) == dev_score(parser, dev)
    assert not parser.network.training


@pytest.mark.parametrize("batch_tokens", [80, 0], ids=["tokens", "buckets"])
def test_the_same_seed_gives_the_same_weights(batch_tokens):
    sentences = generate_treebank(20, seed=1)
    config = replace(QUICK, batch_tokens=batch_tokens)
    parsers = [fresh(sentences) for _ in range(3)]
    first = fit(parsers[0], sentences, config, seed=5)
    torch.manual_seed(1234)
    second = fit(parsers[1], sentences, config, seed=5)
    fit(parsers[2], sentences, config, seed=6)
    ours, again, other = map(weights, parsers)
    assert all(torch.equal(ours[name], again[name]) for name in ours)
    assert [(r.loss, r.dev_score) for r in first] == [(r.loss, r.dev_score) for r in second]
    assert not all(torch.equal(ours[name], other[name]) for name in ours)


def test_checkpoints_are_selected_by_greedy_decoding(monkeypatch):
    sentences = generate_treebank(6, seed=1)
    parser, seen = fresh(sentences), []
    candidates = parser.candidates
    monkeypatch.setattr(parser, "candidates", lambda dev, strategy: seen.append(strategy) or candidates(dev, strategy))
    fit(parser, sentences, QUICK)
    assert seen == [Beam(1, 1)] * 2


def test_bfloat16_learns():
    sentences = generate_treebank(30, seed=1)
    parser, exact = fresh(sentences), fresh(sentences)
    history = fit(parser, sentences, replace(QUICK, num_epochs=8), precision="bfloat16")
    fit(exact, sentences, replace(QUICK, num_epochs=8))
    assert history[-1].loss < 0.8 * history[0].loss
    assert all(tensor.dtype == torch.float32 and tensor.isfinite().all() for tensor in weights(parser).values())
    assert not all(torch.equal(tensor, weights(exact)[name]) for name, tensor in weights(parser).items())


def test_a_graph_based_teacher_teaches_a_stack_pointer_student():
    """Its trees in place of gold, several roots and all; the student ends nearer to the teacher than to gold."""
    gold = random_treebank(25, np.random.default_rng(0), longest=6)
    pool = tiny_parser(gold, preset="official").candidates(gold, OneBest())
    taught = gold.with_trees(pool.heads[0], pool.relation_strings())
    student = fresh(gold, preset="official")
    fit(student, taught, replace(QUICK, num_epochs=40, batch_tokens=30, dropout=0.0))
    assert attachment(student, taught) > 0.8 > attachment(student, gold) + 0.2
