"""Training: every kind learns, repeats itself bit for bit, keeps the best weights, and survives a broken step."""

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from plain_pointer_decoder import PlainDecoder
from random_trees import random_treebank, treebank_of
from tiny_frames import TINY_SEQ2SEQ, frame_bank, tiny_seq2seq, whole_batch
from tiny_parsers import TINY, tiny_parser

from bcrlib.data.frames import FrameBank
from bcrlib.data.generated.trees import generate_treebank
from bcrlib.data.treebank import Treebank
from bcrlib.parsers.batches import Runtime
from bcrlib.parsers.configuration import Seq2SeqTraining, TrainingConfig
from bcrlib.parsers.parser import Parser
from bcrlib.parsers.training import EpochReport, fit, new_parser
from bcrlib.pipeline.profile import load_profile
from bcrlib.samplers.dropout_p import Rates, SiteDropout
from bcrlib.samplers.strategies import Beam, OneBest

LARGE_ENOUGH = {
    "word_size": 16, "char_size": 16, "upos_size": 8, "hidden_size": 32, "arc_size": 32, "label_size": 16,
    "decoder_input_size": 16, "decoder_size": 32,
}  # fmt: skip
QUICK = TrainingConfig(num_epochs=3, batch_tokens=60, learning_rate=5e-3, warmup_steps=2)
FRAMES = Seq2SeqTraining(
    num_epochs=2, batch_tokens=40, learning_rate=1e-2, encoder_learning_rate=5e-3, warmup_steps=3, dropout=0.1
)
"""Three batches an epoch."""
KINDS = pytest.mark.parametrize("kind", ["deepbiaf", "stackptr", "s2s"])
PRECISIONS = pytest.mark.parametrize("precision", ["float32", "bfloat16"])
PRESETS = pytest.mark.parametrize("preset", ["clean", "official"])


@pytest.fixture
def two_sentences() -> Treebank:
    return treebank_of(
        [("Paint", "NOUN", 2, "nsubj"), ("dries", "VERB", 0, "root"), ("slowly", "ADV", 2, "advmod"),
         (".", "PUNCT", 2, "punct")],
        [("Who", "PRON", 2, "nsubj"), ("hears", "VERB", 0, "root"), ("the", "DET", 4, "det"),
         ("bells", "NOUN", 2, "obj"), ("that", "PRON", 7, "obj"), ("nobody", "PRON", 7, "nsubj"),
         ("rings", "VERB", 4, "acl:relcl"), ("?", "PUNCT", 2, "punct")],
    )  # fmt: skip


@pytest.fixture(scope="module")
def sentences() -> Treebank:
    return generate_treebank(20, seed=1)


@pytest.fixture(scope="module")
def bank() -> FrameBank:
    return frame_bank()


def fresh(gold: Treebank | FrameBank, seed: int = 0, **changes) -> Parser:
    return new_parser(replace(TINY if isinstance(gold, Treebank) else TINY_SEQ2SEQ, **changes), gold, seed, Runtime())


def of_kind(kind: str) -> tuple[Callable[[], Parser], Treebank | FrameBank, TrainingConfig | Seq2SeqTraining]:
    """Makes untrained parsers, all the same; what they learn from, and how."""
    if kind == "s2s":
        return lambda: fresh(frame_bank()), frame_bank(), FRAMES
    gold = generate_treebank(20, seed=1)
    return lambda: fresh(gold, kind=kind), gold, QUICK


def weights(parser: Parser) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in parser.network.state_dict().items()}


def same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    """Bit for bit."""
    return all(torch.equal(first[name], second[name]) for name in first)


def told(history: list[EpochReport]) -> list[tuple]:
    """All but the seconds."""
    return [(r.epoch, r.num_epochs, r.loss, r.dev_score, r.is_best) for r in history]


@pytest.fixture
def steps(monkeypatch) -> list[tuple[float, float, float]]:
    """Of every step of the optimizer the learning rates of its first and last weights, and the gradient's norm."""
    seen, step = [], torch.optim.AdamW.step

    def spy(optimizer, *arguments):
        groups = optimizer.param_groups
        gradients = [weight.grad for group in groups for weight in group["params"]]
        norm = torch.linalg.vector_norm(torch.stack([g.norm() for g in gradients if g is not None])).item()
        seen.append((groups[0]["lr"], groups[-1]["lr"], norm))
        return step(optimizer, *arguments)

    monkeypatch.setattr(torch.optim.AdamW, "step", spy)
    return seen


def scripted(parser: Parser, scores: list[float]) -> list[dict[str, torch.Tensor]]:
    """The parser's dev scores follow a script; the weights that they are of go on record."""
    script, seen = iter(scores), []
    parser.dev_score = lambda dev: seen.append(weights(parser)) or next(script)
    return seen


@KINDS
@pytest.mark.parametrize("own_batches", [True, False], ids=["tokens", "authors"])
@PRECISIONS
def test_the_same_seed_gives_the_same_weights(kind, own_batches, precision):
    make, gold, recipe = of_kind(kind)
    recipe = recipe if own_batches else replace(recipe, batch_tokens=0)
    first, second, other = make(), make(), make()
    history = fit(first, gold, gold, recipe, 5, precision)
    torch.manual_seed(1234)
    assert told(fit(second, gold, gold, recipe, 5, precision)) == told(history)
    fit(other, gold, gold, recipe, 6, precision)
    assert same(weights(first), weights(second)) and not same(weights(first), weights(other))
    if precision == "bfloat16":
        exact = make()
        fit(exact, gold, gold, recipe, 5)
        rounding = [(weights(first)[name] - weight).abs().max().item() for name, weight in weights(exact).items()]
        assert 0 < max(rounding) < 0.1
    assert all(tensor.dtype == torch.float32 and tensor.isfinite().all() for tensor in weights(first).values())


@KINDS
def test_progress_is_reported_as_it_is_made_and_no_dropout_is_left_on(kind):
    (make, gold, recipe), seen = of_kind(kind), []
    parser = make()
    history = fit(parser, gold, gold, recipe, 0, report=seen.append)
    assert seen == history and [r.epoch for r in seen] == [*range(1, recipe.num_epochs + 1)]
    assert all(r.num_epochs == len(seen) and r.seconds > 0 and 0 <= r.dev_score <= 1 and r.loss > 0 for r in seen)
    assert not parser.network.training


@KINDS
@pytest.mark.parametrize(
    ("scores", "best"), [([0.2, 0.5, 0.1, 0.5], 2), ([0.0, 0.0, 0.0, 0.0], 1), ([0.1, 0.2, 0.3, 0.4], 4)]
)
def test_the_weights_of_the_best_epoch_are_kept(kind, scores, best):
    """The first one of equally good ones."""
    make, gold, recipe = of_kind(kind)
    parser = make()
    seen = scripted(parser, scores)
    history = fit(parser, gold, gold, replace(recipe, num_epochs=4), 0)
    assert [report.dev_score for report in history] == scores
    assert [report.is_best for report in history] == [s > max(scores[:i], default=-1) for i, s in enumerate(scores)]
    assert same(weights(parser), seen[best - 1])
    assert not any(same(first, second) for first, second in pairwise(seen))


@KINDS
def test_training_ends_when_patience_does(kind):
    make, gold, recipe = of_kind(kind)
    parser, scores = make(), [0.3, 0.5, 0.4, 0.5, 0.6, 0.1, 0.2, 0.6]
    scripted(parser, [*scores, 0.9])
    history = fit(parser, gold, gold, replace(recipe, num_epochs=9, patience=3), 0)
    assert [epoch.dev_score for epoch in history] == scores
    assert [epoch.epoch for epoch in history if epoch.is_best] == [1, 2, 5]


@KINDS
@pytest.mark.parametrize("clip", [0.01, 0.0])
def test_gradients_are_clipped(kind, steps, clip):
    make, gold, recipe = of_kind(kind)
    fit(make(), gold, gold, replace(recipe, num_epochs=1, clip=clip), 0)
    norms = [step[2] for step in steps]
    assert norms == pytest.approx([0.01] * len(norms), rel=1e-3) if clip else min(norms) > 0.1


@KINDS
def test_learning_rates_up_and_linearly_down(kind, steps):
    make, gold, recipe = of_kind(kind)
    fit(make(), gold, gold, replace(recipe, num_epochs=4, warmup_steps=3), 0)
    count = len(steps)
    shares = [min(1, (i + 1) / 3) * (1 - i / count) for i in range(count)]
    assert count % 4 == 0 and count > 8
    assert [step[1] for step in steps] == pytest.approx([recipe.learning_rate * share for share in shares])
    slow = getattr(recipe, "encoder_learning_rate", recipe.learning_rate)
    assert [step[0] for step in steps] == pytest.approx([slow * share for share in shares])


def test_learning_rates_up_and_down_with_the_square_root(bank, steps):
    """The authors': rate x number of the step / 3, then rate x sqrt(3 / number)."""
    fit(fresh(bank), bank, bank, replace(FRAMES, num_epochs=4, schedule="inverse_sqrt"), 0)
    shares = [1 / 3, 2 / 3, *((3 / number) ** 0.5 for number in range(3, 13))]
    assert [step[1] for step in steps] == pytest.approx([1e-2 * share for share in shares])


def test_the_authors_learning_rate_of_trees(sentences, steps):
    few = sentences.select(np.arange(3))
    parser = fresh(few)
    scripted(parser, [0.5] * 60)
    fit(parser, few, few, replace(load_profile("authors").training, num_epochs=60, reset_after=0), 0)
    rates = [step[0] for step in steps]
    np.testing.assert_allclose(rates[:40], [1e-3 * (i + 1) / 40 for i in range(40)], rtol=1e-6)
    np.testing.assert_allclose(rates[40:], [1e-3 * 0.999995**i for i in range(len(rates) - 40)], rtol=1e-6)
    assert len(rates) >= 60


@pytest.mark.parametrize(("kind", "expected"), [("deepbiaf", 4.5e-4), ("stackptr", 4.9e-4)])
def test_the_authors_learning_rate_at_the_end(kind, expected):
    recipe = load_profile("authors").recipe(kind)
    end = recipe.learning_rate * recipe.decay ** (398 * recipe.num_epochs)
    assert end == pytest.approx(expected, rel=0.01), "after 398 batches an epoch"


@pytest.mark.parametrize("num_steps", [5, 6])
def test_a_number_of_steps_ends_it(bank, steps, num_steps):
    """Within an epoch or at its end; the last epoch is evaluated, and the rate comes down by then."""
    history = fit(fresh(bank), bank, bank, replace(FRAMES, num_epochs=9, num_steps=num_steps, dev_every=5), 0)
    assert len(steps) == num_steps and len(history) == 2
    assert [report.dev_score is None for report in history] == [True, False]
    assert steps[-1][1] == pytest.approx(1e-2 / num_steps)


@pytest.mark.parametrize("score", [0.0, 0.5])
def test_dev_is_looked_at_now_and_then_and_at_the_end(bank, score):
    """A first score of nothing is better than none: the weights are trained ones."""
    parser = fresh(bank)
    seen = scripted(parser, [score] * 3)
    history = fit(parser, bank, bank, replace(FRAMES, num_epochs=5, dev_every=2), 0)
    assert [report.dev_score for report in history] == [None, score, None, score, score]
    assert [report.is_best for report in history] == [False, True, False, False, False]
    assert same(weights(parser), seen[0])


def broken_loss(parser: Parser, broken: set[int], recorded: list[dict[str, torch.Tensor]], monkeypatch) -> None:
    """The network's loss, not a number in the calls numbered in `broken`; the weights before each call go on record."""
    loss = parser.network.loss

    def wrapped(batch, noise):
        recorded.append(weights(parser))
        value = loss(batch, noise)
        return value * float("nan") if len(recorded) - 1 in broken else value

    monkeypatch.setattr(parser.network, "loss", wrapped)


def test_a_step_that_is_no_number_changes_nothing(sentences, monkeypatch):
    parser, recorded = fresh(sentences), []
    broken_loss(parser, {2}, recorded, monkeypatch)
    fit(parser, sentences, sentences, QUICK, 0)
    assert not same(recorded[1], recorded[2])
    assert same(recorded[2], recorded[3]), "the broken step"
    assert not same(recorded[3], recorded[4]), "and on it goes"
    assert all(tensor.isfinite().all() for tensor in weights(parser).values())


def test_a_broken_step_does_not_advance_the_learning_rate(sentences, steps, monkeypatch):
    parser = fresh(sentences)
    broken_loss(parser, {0, 1, 2}, [], monkeypatch)
    fit(parser, sentences, sentences, replace(QUICK, warmup_steps=10, schedule="exponential"), 0)
    np.testing.assert_allclose([step[0] for step in steps[:4]], [5e-4, 1e-3, 1.5e-3, 2e-3], rtol=1e-6)


def run_script(treebank, scores, config, monkeypatch):
    """Weights before the step and at the dev score of every epoch of one step."""
    parser, before = fresh(treebank), []
    after = scripted(parser, scores)
    broken_loss(parser, set(), before, monkeypatch)
    fit(parser, treebank, treebank, replace(config, num_epochs=len(scores), batch_tokens=10_000), 0)
    assert len(before) == len(after) == len(scores)
    return before, after


def test_reset_brings_the_best_weights_back(sentences, monkeypatch):
    scores = [0.5, 0.4, 0.4, 0.4, 0.4, 0.6, 0.5, 0.5, 0.5]
    before, after = run_script(sentences, scores, replace(QUICK, reset_after=2), monkeypatch)
    # Epoch 1 (index 0) is the best, so the weights come back after epochs 3 and 5; then epoch 6, so after 8.
    expected_start = {1: after[0], 2: after[1], 3: after[0], 4: after[3], 5: after[0], 6: after[5], 7: after[6]}
    for epoch, start in expected_start.items():
        assert same(before[epoch], start), epoch
    assert same(before[8], after[5])


def test_without_reset_training_goes_on(sentences, monkeypatch):
    before, after = run_script(sentences, [0.5, 0.4, 0.4, 0.4, 0.4], QUICK, monkeypatch)
    assert all(same(before[epoch + 1], after[epoch]) for epoch in range(4))


def test_reset_starts_adam_anew(sentences, monkeypatch):
    """The first step of Adam moves every parameter by the learning rate, whatever its gradient; no later step does."""
    config = replace(QUICK, learning_rate=1e-2, warmup_steps=1, schedule="exponential", reset_after=2, epsilon=1e-20)
    before, after = run_script(sentences, [0.5, 0.4, 0.4, 0.4], config, monkeypatch)
    moved = [(after[epoch]["arc.bilinear"] - before[epoch]["arc.bilinear"]).abs() for epoch in range(4)]
    for epoch in (0, 3):
        torch.testing.assert_close(moved[epoch], torch.full_like(moved[epoch], 1e-2), atol=0, rtol=1e-3)
    assert (moved[1] - 1e-2).abs().max() > 1e-3 and (moved[2] - 1e-2).abs().max() > 1e-3


@PRESETS
def test_two_sentences_are_learnt_by_heart(two_sentences, preset):
    parser = fresh(two_sentences, preset=preset, **LARGE_ENOUGH)
    history = fit(
        parser, two_sentences, two_sentences, replace(QUICK, num_epochs=60, learning_rate=1e-2, dropout=0.1), 0
    )
    pool = parser.candidates(two_sentences, OneBest())
    scored = [i for i, tag in enumerate(two_sentences.upos) if preset == "official" or tag != "PUNCT"]
    assert [pool.heads[0, i] for i in scored] == [two_sentences.heads[i] for i in scored]
    assert [pool.relation_strings()[i] for i in scored] == [two_sentences.relations[i] for i in scored]
    assert max(report.dev_score for report in history) == parser.dev_score(two_sentences) == 1
    assert history[0].loss > 3 and history[-1].loss < 0.7
    assert [report.epoch for report in history] == list(range(1, 61))


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
    assert parser.dev_score(gold) == pytest.approx(expected)


def test_a_treebank_with_unknown_relations_can_select(sentences):
    """Dev sets have relations that training data lack: they count as wrong, no more."""
    parser = fresh(sentences)
    dev = random_treebank(5, np.random.default_rng(0))
    strange = dev.with_trees(dev.heads, ["neverseen"] * dev.num_tokens)
    history = fit(parser, sentences, strange, replace(QUICK, num_epochs=1), 0)
    assert 0 <= history[0].dev_score <= 0.5


def attachment(parser: Parser, treebank: Treebank) -> float:
    """Share of the words with the right head."""
    return float((parser.candidates(treebank, OneBest()).heads[0] == treebank.heads).mean())


def best_offset(treebank: Treebank) -> float:
    """Share of the words with the right head if every head were equally far to one side."""
    position = np.arange(treebank.num_tokens) - np.repeat(treebank.offsets[:-1], treebank.lengths) + 1
    distance = np.where(treebank.heads > 0, treebank.heads - position, 1000)
    return np.unique(distance, return_counts=True)[1].max() / treebank.num_tokens


FAST = TrainingConfig(num_epochs=2, batch_tokens=80, learning_rate=2e-2, warmup_steps=5, dropout=0.1)


@PRESETS
def test_a_few_epochs_on_the_demo_corpus_beat_chance_by_far(preset):
    train_part, dev = generate_treebank(200, seed=1), generate_treebank(40, seed=2)
    parser = fresh(train_part, kind="stackptr", preset=preset, **LARGE_ENOUGH)
    untrained = attachment(parser, dev)
    history = fit(parser, train_part, dev, replace(FAST, num_epochs=5), 0)
    assert attachment(parser, dev) > max(best_offset(dev), untrained) + 0.2
    assert history[-1].loss < 0.6 * history[0].loss
    assert max(report.dev_score for report in history) == parser.dev_score(dev)


def test_a_graph_based_teacher_teaches_a_stack_pointer_student():
    """Its trees in place of gold, several roots and all; the student ends nearer to the teacher than to gold."""
    gold = random_treebank(25, np.random.default_rng(0), longest=6)
    pool = tiny_parser(gold, preset="official").candidates(gold, OneBest())
    taught = pool.taught(gold)
    student = fresh(gold, kind="stackptr", preset="official", **LARGE_ENOUGH)
    fit(student, taught, taught, replace(FAST, num_epochs=40, batch_tokens=30, dropout=0.0), 0)
    assert attachment(student, taught) > 0.8 > attachment(student, gold) + 0.2


@pytest.mark.parametrize(("kind", "expected"), [("deepbiaf", OneBest()), ("stackptr", Beam(1, 1)), ("s2s", OneBest())])
def test_checkpoints_are_selected_by_plain_decoding(kind, expected, monkeypatch):
    (make, gold, recipe), asked = of_kind(kind), []
    parser = make()
    candidates = parser.candidates
    monkeypatch.setattr(
        parser, "candidates", lambda dev, strategy: asked.append((strategy, dev)) or candidates(dev, strategy)
    )
    dev = gold.select(np.arange(3))
    fit(parser, gold, dev, replace(recipe, num_epochs=2), 0)
    assert asked == [(expected, dev)] * 2


@PRECISIONS
def test_a_few_frames_are_learnt_by_heart(bank, precision):
    parser = fresh(bank)
    config = replace(
        FRAMES, num_epochs=50, batch_tokens=0, dev_every=50, learning_rate=2e-2, encoder_learning_rate=1e-2,
        dropout=0.05, attention_dropout=0.0, label_smoothing=0.05,
    )  # fmt: skip
    history = fit(parser, bank, bank, config, 0, precision)
    assert parser.dev_score(bank) == 1 == history[-1].dev_score
    assert history[0].loss > 2 and history[-1].loss < 0.3
    assert not parser.network.training
    assert all(tensor.dtype == torch.float32 and tensor.isfinite().all() for tensor in weights(parser).values())


def plain_losses(parser: Parser, bank: FrameBank, smoothing: float) -> tuple[float, float, int]:
    """The smoothed loss and -log p, summed over all tokens of all targets, and their number: by plain loops.

    Smoothing spreads its share evenly among the actions of an utterance: the symbols and its pieces.
    """
    source, targets = whole_batch(parser, bank)
    smoothed = nll = 0.0
    count = 0
    for u, target in enumerate(targets.tolist()):
        target = target[: target.index(0) + 1]
        num_pieces = int(source.num_pieces[u])
        ids = source.ids[u : u + 1, : num_pieces + 2]
        with torch.inference_mode():
            encoded = parser.network.encoder(ids, torch.ones_like(ids, dtype=torch.bool))[0]
        rows = PlainDecoder(parser.network.decoder, encoded, range(1, 1 + num_pieces)).log_probs([0, *target[:-1]])
        for row, token in zip(rows.tolist(), target):
            nll -= row[token]
            smoothed -= (1 - smoothing) * row[token] + smoothing * sum(row) / len(row)
            count += 1
    return smoothed, nll, count


def test_the_loss_is_smoothed_among_what_is_possible(bank):
    parser = tiny_seq2seq()
    source, targets = whole_batch(parser, bank)
    for smoothing in (0.0, 0.1):
        smoothed, nll, _ = plain_losses(parser, bank, smoothing)
        with torch.no_grad():
            ours = parser.network(source, targets, smoothing)
        assert [value.item() for value in ours] == pytest.approx([smoothed, nll], rel=1e-5)
    assert smoothed != pytest.approx(nll, rel=0.1)


def test_an_epoch_tells_the_mean_loss_a_token_and_learns_from_the_smoothed_one(bank, steps):
    """Without dropout, one batch: the loss of the initial weights, and the gradient of the smoothed mean."""
    parser = tiny_seq2seq()
    smoothed, nll, count = plain_losses(parser, bank, 0.1)
    loss, _ = parser.network(*whole_batch(parser, bank), 0.1)
    assert loss.item() == pytest.approx(smoothed, rel=1e-5)
    gradients = torch.autograd.grad(loss / count, [*parser.network.parameters()], allow_unused=True)
    norm = torch.linalg.vector_norm(torch.stack([gradient.norm() for gradient in gradients if gradient is not None]))
    config = replace(FRAMES, num_epochs=1, batch_tokens=0, dropout=0.0, attention_dropout=0.0, clip=0.0)
    (report,) = fit(parser, bank, bank, config, 0)
    assert report.loss == pytest.approx(nll / count, rel=1e-5)
    assert [step[2] for step in steps] == [pytest.approx(norm.item(), rel=1e-4)]


@PRECISIONS
@pytest.mark.parametrize("train_embeddings", [True, False])
def test_the_table_of_pieces_can_be_left_alone(bank, train_embeddings, precision):
    parser = fresh(bank)
    before = weights(parser)
    fit(parser, bank, bank, replace(FRAMES, num_epochs=1, train_embeddings=train_embeddings), 0, precision)
    after = weights(parser)
    unchanged = {name for name in before if torch.equal(before[name], after[name])}
    tables = {name for name in before if name.endswith("word_embeddings.weight")}
    assert len(tables) == 1 and unchanged == (set() if train_embeddings else tables)


def test_rates_of_dropout_reach_every_site(bank):
    parser = fresh(bank)
    fit(parser, bank, bank, replace(FRAMES, num_epochs=1, dropout=0.3, attention_dropout=0.2), 0)
    sites = [module for module in parser.network.modules() if isinstance(module, SiteDropout)]
    assert {(site.attention, site.p) for site in sites} == {(False, 0.3), (True, 0.2)}
    assert parser.network.rates == Rates(dropout=0.3, attention_dropout=0.2)


def test_the_authors_batches_of_frames(bank):
    """512 utterances in random order; the rest is a batch too."""
    many, rng = bank.select(np.arange(1100) % 8), np.random.default_rng(0)
    lessons = fresh(bank).lessons(many, replace(FRAMES, batch_tokens=0), "float32")
    first, second = (lessons.batches(rng) for _ in range(2))
    assert [len(batch) for batch in first] == [512, 512, 76]
    for batches in (first, second):
        assert np.array_equal(np.sort(np.concatenate(batches)), np.arange(1100))
    assert not np.array_equal(first[0], second[0]) and (np.diff(first[0]) < 0).mean() > 0.4


def test_the_authors_recipes_of_trees():
    expected = TrainingConfig(
        num_epochs=400, batch_tokens=0, learning_rate=1e-3, warmup_steps=40, schedule="exponential", decay=0.999995,
        beta1=0.9, beta2=0.9, epsilon=1e-4, weight_decay=0.0, dropout=0.33, clip=5.0, reset_after=20,
    )  # fmt: skip
    pointer = replace(expected, num_epochs=600, decay=0.999997)
    authors = load_profile("authors")
    assert (expected, pointer) == (authors.training, authors.stackptr_training)


def test_the_authors_recipes_of_frames():
    base = Seq2SeqTraining(
        num_epochs=90, batch_tokens=0, learning_rate=5e-4, encoder_learning_rate=5e-4, warmup_steps=500,
        schedule="inverse_sqrt", num_steps=5000, beta1=0.9, beta2=0.98, epsilon=1e-8, weight_decay=1e-4, dropout=0.3,
        attention_dropout=0.1, label_smoothing=0.1, clip=0.0, train_embeddings=True, dev_every=4,
    )  # fmt: skip
    large = replace(base, num_epochs=300, num_steps=0, learning_rate=5e-5, encoder_learning_rate=5e-5)
    authors = load_profile("authors").semantic
    assert (base, large) == (authors.base_training, authors.large_training)
