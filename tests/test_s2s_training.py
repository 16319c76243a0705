"""Training of the seq2seq-pointer parser: it learns, repeats itself bit for bit, and keeps the best weights."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from plain_pointer_decoder import PlainDecoder
from tiny_frames import TINY_SEQ2SEQ, frame_bank, tiny_seq2seq, whole_batch

from bcrlib.data.frames import FrameBank, sequences_of
from bcrlib.parsers import s2s_training
from bcrlib.parsers.batches import Runtime
from bcrlib.parsers.configuration import Seq2SeqTraining
from bcrlib.parsers.s2s import Seq2SeqParser
from bcrlib.parsers.s2s_checkpoint import new_parser
from bcrlib.parsers.s2s_training import EpochReport, exact_match, train
from bcrlib.parsers.targets import targets_of
from bcrlib.pipeline.profile import load_profile
from bcrlib.samplers.dropout_p import Rates, SiteDropout
from bcrlib.samplers.strategies import OneBest

QUICK = Seq2SeqTraining(
    num_epochs=2, batch_tokens=40, learning_rate=1e-2, encoder_learning_rate=5e-3, warmup_steps=3, dropout=0.1
)
"""Three batches an epoch."""
PRECISIONS = pytest.mark.parametrize("precision", ["float32", "bfloat16"])


@pytest.fixture(scope="module")
def bank() -> FrameBank:
    return frame_bank()


def fresh(bank: FrameBank, seed: int = 0) -> Seq2SeqParser:
    return new_parser(TINY_SEQ2SEQ, bank, seed, Runtime())


def weights(parser: Seq2SeqParser) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in parser.network.state_dict().items()}


def same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    """Bit for bit."""
    return all(torch.equal(first[name], second[name]) for name in first)


def told(history: list[EpochReport]) -> list[tuple]:
    """All but the seconds."""
    return [(r.epoch, r.num_epochs, r.loss, r.dev_score, r.is_best) for r in history]


@pytest.fixture
def steps(monkeypatch) -> list[tuple[float, float, float]]:
    """Of every step of the optimizer the learning rates of encoder and decoder, and the norm of the gradient."""
    seen, step = [], torch.optim.AdamW.step

    def spy(optimizer, *arguments):
        encoder, decoder = optimizer.param_groups
        gradients = [weight.grad for group in (encoder, decoder) for weight in group["params"]]
        norm = torch.linalg.vector_norm(torch.stack([g.norm() for g in gradients if g is not None])).item()
        seen.append((encoder["lr"], decoder["lr"], norm))
        return step(optimizer, *arguments)

    monkeypatch.setattr(torch.optim.AdamW, "step", spy)
    return seen


@PRECISIONS
def test_a_few_frames_are_learnt_by_heart(bank, precision):
    parser = fresh(bank)
    config = replace(
        QUICK, num_epochs=50, batch_tokens=0, dev_every=50, learning_rate=2e-2, encoder_learning_rate=1e-2,
        dropout=0.05, attention_dropout=0.0, label_smoothing=0.05,
    )  # fmt: skip
    history = train(parser, bank, bank, config, 0, precision)
    assert exact_match(parser, bank) == 1 == history[-1].dev_score
    assert history[0].loss > 2 and history[-1].loss < 0.3
    assert not parser.network.training
    assert all(tensor.dtype == torch.float32 and tensor.isfinite().all() for tensor in weights(parser).values())


@PRECISIONS
@pytest.mark.parametrize("batch_tokens", [40, 0], ids=["tokens", "authors"])
def test_the_same_seed_gives_the_same_weights(bank, batch_tokens, precision):
    config = replace(QUICK, batch_tokens=batch_tokens)
    first, second, other = (fresh(bank) for _ in range(3))
    history = train(first, bank, bank, config, 5, precision)
    torch.manual_seed(1234)
    assert told(train(second, bank, bank, config, 5, precision)) == told(history)
    train(other, bank, bank, config, 6, precision)
    assert same(weights(first), weights(second))
    assert not same(weights(first), weights(other))


def test_bfloat16_is_not_float32(bank):
    exact, rounded = fresh(bank), fresh(bank)
    train(exact, bank, bank, QUICK, 0)
    train(rounded, bank, bank, QUICK, 0, "bfloat16")
    ours, theirs = weights(exact), weights(rounded)
    assert not same(ours, theirs)
    assert max((ours[name] - theirs[name]).abs().max().item() for name in ours) < 0.1


def plain_losses(parser: Seq2SeqParser, bank: FrameBank, smoothing: float) -> tuple[float, float, int]:
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
    source, targets = whole_batch(parser, bank)
    loss, _ = parser.network(source, targets, 0.1)
    assert loss.item() == pytest.approx(smoothed, rel=1e-5)
    gradients = torch.autograd.grad(loss / count, [*parser.network.parameters()], allow_unused=True)
    norm = torch.linalg.vector_norm(torch.stack([gradient.norm() for gradient in gradients if gradient is not None]))
    config = replace(QUICK, num_epochs=1, batch_tokens=0, dropout=0.0, attention_dropout=0.0, clip=0.0)
    (report,) = train(parser, bank, bank, config, 0)
    assert report.loss == pytest.approx(nll / count, rel=1e-5)
    assert [step[2] for step in steps] == [pytest.approx(norm.item(), rel=1e-4)]


@pytest.mark.parametrize("clip", [0.01, 0.0])
def test_gradients_are_clipped(bank, steps, clip):
    train(fresh(bank), bank, bank, replace(QUICK, num_epochs=1, clip=clip), 0)
    norms = [step[2] for step in steps]
    assert len(norms) == 3
    assert norms == pytest.approx([0.01] * 3, rel=1e-3) if clip else min(norms) > 0.1


def test_learning_rates_up_and_linearly_down(bank, steps):
    train(fresh(bank), bank, bank, replace(QUICK, num_epochs=4), 0)
    shares = [1 / 3, 2 / 3 * 11 / 12, 10 / 12, *(left / 12 for left in range(9, 0, -1))]
    assert [step[0] for step in steps] == pytest.approx([5e-3 * share for share in shares])
    assert [step[1] for step in steps] == pytest.approx([1e-2 * share for share in shares])


def test_learning_rates_up_and_down_with_the_square_root(bank, steps):
    """The authors': rate x number of the step / 3, then rate x sqrt(3 / number)."""
    train(fresh(bank), bank, bank, replace(QUICK, num_epochs=4, schedule="inverse_sqrt"), 0)
    shares = [1 / 3, 2 / 3, *((3 / number) ** 0.5 for number in range(3, 13))]
    assert [step[1] for step in steps] == pytest.approx([1e-2 * share for share in shares])


@pytest.mark.parametrize("num_steps", [5, 6])
def test_a_number_of_steps_ends_it(bank, steps, num_steps):
    """Within an epoch or at its end; the last epoch is evaluated, and the rate comes down by then."""
    history = train(fresh(bank), bank, bank, replace(QUICK, num_epochs=9, num_steps=num_steps, dev_every=5), 0)
    assert len(steps) == num_steps and len(history) == 2
    assert [report.dev_score is None for report in history] == [True, False]
    assert steps[-1][1] == pytest.approx(1e-2 / num_steps)


@PRECISIONS
@pytest.mark.parametrize("train_embeddings", [True, False])
def test_the_table_of_pieces_can_be_left_alone(bank, train_embeddings, precision):
    parser = fresh(bank)
    before = weights(parser)
    train(parser, bank, bank, replace(QUICK, num_epochs=1, train_embeddings=train_embeddings), 0, precision)
    after = weights(parser)
    unchanged = {name for name in before if torch.equal(before[name], after[name])}
    tables = {name for name in before if name.endswith("word_embeddings.weight")}
    assert len(tables) == 1 and unchanged == (set() if train_embeddings else tables)


SCORES = pytest.mark.parametrize(
    ("scores", "best"), [([0.2, 0.5, 0.1, 0.5], 2), ([0.0, 0.0, 0.0, 0.0], 1), ([0.1, 0.2, 0.3, 0.4], 4)]
)


@SCORES
def test_the_weights_of_the_best_epoch_are_kept(bank, monkeypatch, scores, best):
    """The first one of equally good ones."""
    parser, to_come, copies = fresh(bank), iter(scores), []
    monkeypatch.setattr(s2s_training, "exact_match", lambda parser, dev: next(to_come))
    config = replace(QUICK, num_epochs=4)
    history = train(parser, bank, bank, config, 0, report=lambda report: copies.append(weights(parser)))
    assert [report.dev_score for report in history] == scores
    assert [report.is_best for report in history] == [s > max(scores[:i], default=-1) for i, s in enumerate(scores)]
    assert same(weights(parser), copies[best - 1])
    assert not any(same(first, second) for first, second in pairwise(copies))


@pytest.mark.parametrize(("score", "best"), [(0.0, 2), (0.5, 2)])
def test_dev_is_looked_at_now_and_then_and_at_the_end(bank, monkeypatch, score, best):
    """A first score of nothing is better than none: the weights are trained ones."""
    parser, copies = fresh(bank), []
    monkeypatch.setattr(s2s_training, "exact_match", lambda parser, dev: score)
    config = replace(QUICK, num_epochs=5, dev_every=2)
    history = train(parser, bank, bank, config, 0, report=lambda report: copies.append(weights(parser)))
    assert [report.dev_score for report in history] == [None, score, None, score, score]
    assert [report.is_best for report in history] == [False, True, False, False, False]
    assert same(weights(parser), copies[best - 1])


def test_progress_is_reported_as_it_is_made(bank):
    seen = []
    history = train(fresh(bank), bank, bank, QUICK, 0, report=seen.append)
    assert seen == history and [r.epoch for r in seen] == [1, 2]
    assert all(r.num_epochs == 2 and r.seconds > 0 and 0 <= r.dev_score <= 1 and r.loss > 0 for r in seen)


def test_checkpoints_are_selected_by_greedy_decoding_without_dropout(bank, monkeypatch):
    parser, asked = tiny_seq2seq(), []
    candidates = parser.candidates
    monkeypatch.setattr(
        parser, "candidates", lambda dev, strategy: asked.append((strategy, dev)) or candidates(dev, strategy)
    )
    dev = bank.select([0, 1, 2])
    history = train(parser, bank, dev, replace(QUICK, dropout=0.5), 0)
    assert asked == [(OneBest(), dev)] * 2
    assert exact_match(parser, dev) == max(report.dev_score for report in history) > 0


def test_rates_of_dropout_reach_every_site(bank):
    parser = fresh(bank)
    train(parser, bank, bank, replace(QUICK, num_epochs=1, dropout=0.3, attention_dropout=0.2), 0)
    sites = [module for module in parser.network.modules() if isinstance(module, SiteDropout)]
    assert {(site.attention, site.p) for site in sites} == {(False, 0.3), (True, 0.2)}
    assert parser.network.rates == Rates(dropout=0.3, attention_dropout=0.2)


def test_the_authors_batches(bank):
    """512 utterances in random order; the rest is a batch too."""
    parser, many = fresh(bank), bank.select(np.arange(1100) % 8)
    pieces, rows = parser.pieces(many), np.arange(1100)
    targets = targets_of(sequences_of(many, parser.labels), rows, parser.labels, pieces, parser.labels)
    config, rng = replace(QUICK, batch_tokens=0), np.random.default_rng(0)
    first, second = (s2s_training._batches(pieces, targets, config, rng) for _ in range(2))
    assert [len(batch) for batch in first] == [512, 512, 76]
    for batches in (first, second):
        assert np.array_equal(np.sort(np.concatenate(batches)), rows)
    assert not np.array_equal(first[0], second[0]) and (np.diff(first[0]) < 0).mean() > 0.4


def test_the_authors_recipes():
    base = Seq2SeqTraining(
        num_epochs=90, batch_tokens=0, learning_rate=5e-4, encoder_learning_rate=5e-4, warmup_steps=500,
        schedule="inverse_sqrt", num_steps=5000, beta1=0.9, beta2=0.98, epsilon=1e-8, weight_decay=1e-4, dropout=0.3,
        attention_dropout=0.1, label_smoothing=0.1, clip=0.0, train_embeddings=True, dev_every=4,
    )  # fmt: skip
    large = replace(base, num_epochs=300, num_steps=0, learning_rate=5e-5, encoder_learning_rate=5e-5)
    authors = load_profile("authors").semantic
    assert (base, large) == (authors.base_training, authors.large_training)


def test_training_ends_when_patience_does(bank, monkeypatch):
    scores = iter([0.3, 0.5, 0.4, 0.5])
    monkeypatch.setattr(s2s_training, "exact_match", lambda parser, bank: next(scores))
    patient = replace(QUICK, num_epochs=20, dev_every=2, patience=3)
    history = train(fresh(bank), bank, bank, patient, seed=0)
    assert [epoch.dev_score for epoch in history if epoch.dev_score is not None] == [0.3, 0.5, 0.4, 0.5]
    assert len(history) == 8, "the best of epoch 4, and the first look after epoch 7"
