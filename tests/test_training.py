"""Training: it learns, repeats itself bit for bit, keeps the best weights, and survives a broken step."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from random_trees import random_treebank
from tiny_parsers import TINY

from bcrlib.data.generated.trees import generate_treebank
from bcrlib.data.treebank import Treebank
from bcrlib.parsers import training
from bcrlib.parsers.batches import Runtime
from bcrlib.parsers.checkpoint import new_parser
from bcrlib.parsers.configuration import TrainingConfig
from bcrlib.parsers.deepbiaf import DeepBiafParser
from bcrlib.parsers.encoding import build_vocabulary, encode
from bcrlib.parsers.training import dev_score, train
from bcrlib.pipeline.profile import load_profile
from bcrlib.samplers.strategies import OneBest

LARGE_ENOUGH = {
    "word_size": 16, "char_size": 16, "upos_size": 8, "hidden_size": 32, "arc_size": 32, "label_size": 16,
    "decoder_input_size": 16, "decoder_size": 32,
}  # fmt: skip
QUICK = TrainingConfig(num_epochs=3, batch_tokens=60, learning_rate=5e-3, warmup_steps=2)


TWO_SENTENCES = """
Paint NOUN 2 nsubj, dries VERB 0 root, slowly ADV 2 advmod, . PUNCT 2 punct
Who PRON 2 nsubj, hears VERB 0 root, the DET 4 det, bells NOUN 2 obj, that PRON 7 obj, nobody PRON 7 nsubj,
rings VERB 4 acl:relcl, ? PUNCT 2 punct
"""


@pytest.fixture
def two_sentences() -> Treebank:
    tokens = [token.split() for token in TWO_SENTENCES.replace(",", "\n").strip().splitlines() if token.strip()]
    forms, upos, heads, relations = (list(column) for column in zip(*tokens))
    return Treebank(forms, upos, np.array(heads, dtype=np.int32), relations, np.array([0, 4, 12]))


@pytest.fixture(scope="module")
def sentences() -> Treebank:
    return generate_treebank(30, seed=1)


def fresh(treebank: Treebank, seed: int = 0, **changes) -> DeepBiafParser:
    return new_parser(replace(TINY, **changes), build_vocabulary(treebank), seed, Runtime())


def fit(parser: DeepBiafParser, treebank: Treebank, config: TrainingConfig = QUICK, seed: int = 0, dev=None, **options):
    encoded = encode(treebank, parser.vocabulary, parser.vectors)
    return train(parser, encoded, dev or treebank, config, seed, **options)


def weights(parser: DeepBiafParser) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in parser.network.state_dict().items()}


def same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    """Bit for bit."""
    return all(torch.equal(first[name], second[name]) for name in first)


def most_different(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> float:
    return max((first[name] - second[name]).abs().max().item() for name in first)


@pytest.mark.parametrize("preset", ["clean", "official"])
def test_two_sentences_are_learnt_by_heart(two_sentences, preset):
    parser = fresh(two_sentences, preset=preset, **LARGE_ENOUGH)
    history = fit(parser, two_sentences, replace(QUICK, num_epochs=60, learning_rate=1e-2, dropout=0.1))
    pool = parser.candidates(two_sentences, OneBest())
    scored = [i for i, tag in enumerate(two_sentences.upos) if preset == "official" or tag != "PUNCT"]
    assert [pool.heads[0, i] for i in scored] == [two_sentences.heads[i] for i in scored]
    assert [pool.relation_strings()[i] for i in scored] == [two_sentences.relations[i] for i in scored]
    assert max(report.dev_score for report in history) == dev_score(parser, two_sentences) == 1
    assert history[0].loss > 3 and history[-1].loss < 0.7
    assert [report.epoch for report in history] == list(range(1, 61))


@pytest.mark.parametrize("batch_tokens", [60, 0], ids=["tokens", "buckets"])
def test_the_same_seed_gives_the_same_weights(sentences, batch_tokens):
    config = replace(QUICK, batch_tokens=batch_tokens)
    first, second, other = (fresh(sentences) for _ in range(3))
    history = fit(first, sentences, config, seed=5)
    torch.manual_seed(1234)
    again = fit(second, sentences, config, seed=5)
    fit(other, sentences, config, seed=6)
    assert same(weights(first), weights(second))
    assert [(r.loss, r.dev_score, r.is_best) for r in history] == [(r.loss, r.dev_score, r.is_best) for r in again]
    assert not same(weights(first), weights(other))


def test_initial_weights_follow_from_the_seed(sentences):
    first = fresh(sentences, seed=3)
    torch.rand(5)
    assert same(weights(first), weights(fresh(sentences, seed=3)))
    different = weights(fresh(sentences, seed=4))
    assert all(not torch.equal(tensor, different[name]) for name, tensor in weights(first).items() if tensor.any())


def test_training_leaves_a_parser_that_decodes_without_dropout(sentences):
    parser = fresh(sentences)
    fit(parser, sentences, replace(QUICK, num_epochs=1))
    assert not parser.network.training


def test_progress_is_reported_as_it_is_made(sentences):
    seen = []
    history = fit(fresh(sentences), sentences, report=seen.append)
    assert seen == history and len(seen) == 3
    assert all(r.num_epochs == 3 and r.seconds > 0 and 0 <= r.dev_score <= 1 and r.loss > 0 for r in seen)
    best = -1.0
    for report in seen:
        assert report.is_best == (report.dev_score > best)
        best = max(best, report.dev_score)


def test_the_authors_recipe():
    expected = TrainingConfig(
        num_epochs=400, batch_tokens=0, learning_rate=1e-3, warmup_steps=40, schedule="exponential", decay=0.999995,
        beta1=0.9, beta2=0.9, epsilon=1e-4, weight_decay=0.0, dropout=0.33, clip=5.0, reset_after=20,
    )  # fmt: skip
    pointer = replace(expected, num_epochs=600, decay=0.999997)
    authors = load_profile("authors")
    assert (expected, pointer) == (authors.training, authors.stackptr_training)


def rates_of_steps(parser, treebank, config, monkeypatch) -> list[float]:
    """The learning rate at each step of a training run."""
    rates = []
    step = torch.optim.AdamW.step

    def spy(optimizer, *arguments):
        (group,) = optimizer.param_groups
        rates.append(group["lr"])
        return step(optimizer, *arguments)

    monkeypatch.setattr(torch.optim.AdamW, "step", spy)
    fit(parser, treebank, config)
    return rates


def test_training_ends_when_patience_does(sentences, monkeypatch):
    scores = iter([0.3, 0.5, 0.4, 0.5, 0.6, 0.1, 0.2, 0.6, 0.9])
    monkeypatch.setattr(training, "dev_score", lambda parser, dev: next(scores))
    history = fit(fresh(sentences), sentences, replace(QUICK, num_epochs=9, patience=3))
    assert [epoch.dev_score for epoch in history] == [0.3, 0.5, 0.4, 0.5, 0.6, 0.1, 0.2, 0.6]
    assert [epoch.epoch for epoch in history if epoch.is_best] == [1, 2, 5]


def test_learning_rate_up_and_linearly_down(sentences, monkeypatch):
    config = replace(QUICK, num_epochs=4, learning_rate=0.1, warmup_steps=3)
    rates = rates_of_steps(fresh(sentences), sentences, config, monkeypatch)
    n = len(rates)
    assert n % 4 == 0 and n > 8
    expected = [0.1 * min(1, (i + 1) / 3) * (1 - i / n) for i in range(n)]
    np.testing.assert_allclose(rates, expected, rtol=1e-6)


def test_the_authors_learning_rate(sentences, monkeypatch):
    config = replace(load_profile("authors").training, num_epochs=60, reset_after=0)
    monkeypatch.setattr(training, "dev_score", lambda parser, dev: 0.5)
    few = sentences.select(np.arange(3))
    rates = rates_of_steps(fresh(few), few, config, monkeypatch)
    np.testing.assert_allclose(rates[:40], [1e-3 * (i + 1) / 40 for i in range(40)], rtol=1e-6)
    np.testing.assert_allclose(rates[40:], [1e-3 * 0.999995**i for i in range(len(rates) - 40)], rtol=1e-6)
    assert len(rates) >= 60


@pytest.mark.parametrize(("kind", "expected"), [("deepbiaf", 4.5e-4), ("stackptr", 4.9e-4)])
def test_the_authors_learning_rate_at_the_end(kind, expected):
    recipe = load_profile("authors").recipe(kind)
    end = recipe.learning_rate * recipe.decay ** (398 * recipe.num_epochs)
    assert end == pytest.approx(expected, rel=0.01), "after 398 batches an epoch"


def broken_loss(parser: DeepBiafParser, broken: set[int], recorded: list[dict[str, torch.Tensor]]):
    """The network's loss, not a number in the calls numbered in `broken`; the weights before each call go on record."""
    loss = parser.network.loss

    def wrapped(batch, noise):
        recorded.append(weights(parser))
        value = loss(batch, noise)
        return value * float("nan") if len(recorded) - 1 in broken else value

    return wrapped


def test_a_step_that_is_no_number_changes_nothing(sentences, monkeypatch):
    parser, recorded = fresh(sentences), []
    monkeypatch.setattr(parser.network, "loss", broken_loss(parser, {2}, recorded))
    fit(parser, sentences)
    assert not same(recorded[1], recorded[2])
    assert same(recorded[2], recorded[3]), "the broken step"
    assert not same(recorded[3], recorded[4]), "and on it goes"
    assert all(tensor.isfinite().all() for tensor in weights(parser).values())


def test_a_broken_step_does_not_advance_the_learning_rate(sentences, monkeypatch):
    parser = fresh(sentences)
    monkeypatch.setattr(parser.network, "loss", broken_loss(parser, {0, 1, 2}, []))
    rates = rates_of_steps(parser, sentences, replace(QUICK, warmup_steps=10, schedule="exponential"), monkeypatch)
    np.testing.assert_allclose(rates[:4], [5e-4, 1e-3, 1.5e-3, 2e-3], rtol=1e-6)


def scripted_scores(scores: list[float], parser: DeepBiafParser, recorded: list[dict[str, torch.Tensor]]):
    """A dev score that follows a script; the weights it saw go on record."""
    script = iter(scores)

    def score(*_):
        recorded.append(weights(parser))
        return next(script)

    return score


def run_script(treebank, scores, config, monkeypatch):
    """Weights before the step and at the dev score of every epoch of one step, and the trained parser."""
    parser, before, after = fresh(treebank), [], []
    monkeypatch.setattr(training, "dev_score", scripted_scores(scores, parser, after))
    monkeypatch.setattr(parser.network, "loss", broken_loss(parser, set(), before))
    history = fit(parser, treebank, replace(config, num_epochs=len(scores), batch_tokens=10_000))
    assert len(before) == len(after) == len(scores)
    return parser, before, after, history


def test_the_best_epoch_of_several_is_kept(sentences, monkeypatch):
    parser, _, after, history = run_script(sentences, [0.1, 0.5, 0.3, 0.5, 0.2], QUICK, monkeypatch)
    assert same(weights(parser), after[1]), "the first of equal ones"
    assert not same(weights(parser), after[3]) and not same(weights(parser), after[4])
    assert [report.is_best for report in history] == [True, True, False, False, False]


def test_reset_brings_the_best_weights_back(sentences, monkeypatch):
    scores = [0.5, 0.4, 0.4, 0.4, 0.4, 0.6, 0.5, 0.5, 0.5]
    _, before, after, _ = run_script(sentences, scores, replace(QUICK, reset_after=2), monkeypatch)
    # Epoch 1 (index 0) is the best, so the weights come back after epochs 3 and 5; then epoch 6, so after 8.
    expected_start = {1: after[0], 2: after[1], 3: after[0], 4: after[3], 5: after[0], 6: after[5], 7: after[6]}
    for epoch, start in expected_start.items():
        assert same(before[epoch], start), epoch
    assert same(before[8], after[5])


def test_without_reset_training_goes_on(sentences, monkeypatch):
    _, before, after, _ = run_script(sentences, [0.5, 0.4, 0.4, 0.4, 0.4], QUICK, monkeypatch)
    assert all(same(before[epoch + 1], after[epoch]) for epoch in range(4))


def test_reset_starts_adam_anew(sentences, monkeypatch):
    """The first step of Adam moves every parameter by the learning rate, whatever its gradient; no later step does."""
    config = replace(QUICK, learning_rate=1e-2, warmup_steps=1, schedule="exponential", reset_after=2, epsilon=1e-20)
    _, before, after, _ = run_script(sentences, [0.5, 0.4, 0.4, 0.4], config, monkeypatch)
    moved = [(after[epoch]["arc.bilinear"] - before[epoch]["arc.bilinear"]).abs() for epoch in range(4)]
    for epoch in (0, 3):
        torch.testing.assert_close(moved[epoch], torch.full_like(moved[epoch], 1e-2), atol=0, rtol=1e-3)
    assert (moved[1] - 1e-2).abs().max() > 1e-3 and (moved[2] - 1e-2).abs().max() > 1e-3


def test_gradients_are_clipped(sentences, monkeypatch):
    norms = []
    step = torch.optim.AdamW.step

    def spy(optimizer, *arguments):
        gradients = [p.grad.flatten() for group in optimizer.param_groups for p in group["params"]]
        norms.append(torch.cat(gradients).norm().item())
        return step(optimizer, *arguments)

    monkeypatch.setattr(torch.optim.AdamW, "step", spy)
    fit(fresh(sentences), sentences, replace(QUICK, clip=0.01))
    np.testing.assert_allclose(norms, 0.01, rtol=1e-3)


def test_training_in_bfloat16_learns(two_sentences):
    parser, exact = (fresh(two_sentences, **LARGE_ENOUGH) for _ in range(2))
    config = replace(QUICK, num_epochs=25, learning_rate=1e-2, dropout=0.1)
    history = fit(parser, two_sentences, config, precision="bfloat16")
    assert history[-1].loss < 0.7 * history[0].loss
    assert all(tensor.dtype == torch.float32 for tensor in weights(parser).values())
    fit(exact, two_sentences, config)
    assert most_different(weights(exact), weights(parser)) > 0, "autocast was never on"


@pytest.mark.parametrize(("preset", "expected"), [("clean", (1.0 + 2 / 3) / 2), ("official", (6 / 8 + 4 / 8) / 2)])
def test_dev_score_by_hand(two_sentences, monkeypatch, preset, expected):
    """Eight words, two of them punctuation: both marks hang wrongly, and the relations of two words are wrong."""
    gold = two_sentences.select(np.array([0, 0]))
    parser = fresh(two_sentences, preset=preset)
    pool = parser.candidates(gold, OneBest())
    ids = parser.vocabulary.relation_ids
    pool.heads[0] = gold.heads
    pool.relations[0] = [ids[relation] for relation in gold.relations]
    pool.heads[0, [3, 7]] = 1
    pool.relations[0, [1, 4]] = ids["det"]
    monkeypatch.setattr(parser, "candidates", lambda treebank, strategy: pool)
    assert dev_score(parser, gold) == pytest.approx(expected)


def test_a_treebank_with_unknown_relations_can_select(sentences):
    """Dev sets have relations that training data lack: they count as wrong, no more."""
    parser = fresh(sentences)
    dev = random_treebank(5, np.random.default_rng(0))
    strange = dev.with_trees(dev.heads, ["neverseen"] * dev.num_tokens)
    history = fit(parser, sentences, replace(QUICK, num_epochs=1), dev=strange)
    assert 0 <= history[0].dev_score <= 0.5
