"""Fine-tuning of a seq2seq-pointer parser: the authors' recipe, and one that needs a tenth of the updates."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Int64
from torch import nn
from torch.func import functional_call

from bcrlib.data.frames import FrameBank, sequences_of
from bcrlib.data.randomness import key
from bcrlib.metrics.frames import correctness
from bcrlib.parsers.batches import Precision
from bcrlib.parsers.configuration import Seq2SeqTraining
from bcrlib.parsers.encoding import training_batches
from bcrlib.parsers.pieces import Pieces
from bcrlib.parsers.s2s import Seq2SeqParser
from bcrlib.parsers.s2s_network import Seq2Seq, make_source
from bcrlib.parsers.targets import Targets, targets_of
from bcrlib.samplers.dropout_p import Rates, set_rates

AUTHORS_BATCH = 512


@dataclass(frozen=True)
class EpochReport:
    """What a training run tells of an epoch."""

    epoch: int
    num_epochs: int
    loss: float
    """Mean -log p(token) of the training data, with dropout."""
    dev_score: float | None
    """Exact match on the dev set, the selection criterion; None where it was not measured."""
    is_best: bool
    seconds: float


def train(
    parser: Seq2SeqParser,
    bank: FrameBank,
    dev: FrameBank,
    config: Seq2SeqTraining,
    seed: int,
    precision: Precision = "float32",
    report: Callable[[EpochReport], None] = lambda epoch: None,
) -> list[EpochReport]:
    """Fit the parser's network in place and leave it with the weights of its best epoch on dev.

    The same seed gives the same batches and, on one kind of device, the same dropout; the caller seeds the weights.
    """
    network, rng = parser.network, np.random.default_rng(key(seed, "batches"))
    torch.manual_seed(key(seed, "dropout"))
    network.rates = Rates(config.dropout, config.attention_dropout)
    set_rates(network, network.rates)
    pieces = parser.pieces(bank)
    rows = np.arange(len(bank))
    targets = targets_of(sequences_of(bank, parser.labels), rows, parser.labels, pieces, parser.labels)
    optimizer, scheduler = _optimizer(network, config, pieces, targets)
    history: list[EpochReport] = []
    best_weights, best_epoch = _copy(network), 0
    for epoch in range(1, config.num_epochs + 1):
        start = time.perf_counter()
        loss = _train_epoch(parser, pieces, targets, config, optimizer, scheduler, rng, precision)
        last = epoch == config.num_epochs or _steps_left(config, scheduler) == 0
        score = exact_match(parser, dev) if last or epoch % config.dev_every == 0 else None
        best = max((e.dev_score for e in history if e.dev_score is not None), default=-1.0)
        is_best = score is not None and score > best
        history.append(EpochReport(epoch, config.num_epochs, loss, score, is_best, time.perf_counter() - start))
        report(history[-1])
        if is_best:
            best_weights, best_epoch = _copy(network), epoch
        if last or (config.patience and score is not None and epoch - best_epoch >= config.patience):
            break
    network.load_state_dict(best_weights)
    return history


def exact_match(parser: Seq2SeqParser, bank: FrameBank) -> float:
    """Share of utterances whose greedy frame is the bank's."""
    pool = parser.candidates(bank, parser.selection_strategy)
    return float(correctness(bank, pool, parser.definitions)["EM"][0].mean())


def _train_epoch(
    parser: Seq2SeqParser,
    pieces: Pieces,
    targets: Targets,
    config: Seq2SeqTraining,
    optimizer: torch.optim.Optimizer,
    scheduler: torch.optim.lr_scheduler.LRScheduler,
    rng: np.random.Generator,
    precision: Precision,
) -> float:
    """One pass over the training data; the mean loss a token."""
    network, device = parser.network, parser.runtime.device
    network.train()
    frozen = _rounded(network, precision, trained=False)
    total, num_tokens = torch.zeros((), device=device), 0
    for rows in _batches(pieces, targets, config, rng):
        source = make_source(pieces, rows, device)
        target = torch.from_numpy(targets.padded(rows)).to(device)
        weights = {**frozen, **_rounded(network, precision, trained=True)}
        loss, nll = functional_call(network, weights, (source, target, config.label_smoothing))
        count = int((targets.offsets[rows + 1] - targets.offsets[rows]).sum())
        optimizer.zero_grad()
        (loss / count).backward()
        if config.clip:
            nn.utils.clip_grad_norm_(network.parameters(), config.clip)
        optimizer.step()
        scheduler.step()
        total += nll.detach()
        num_tokens += count
        if _steps_left(config, scheduler) == 0:
            break
    network.eval()
    return total.item() / num_tokens


def _rounded(network: Seq2Seq, precision: Precision, trained: bool) -> dict[str, torch.Tensor]:
    """What a step computes with, of the weights that are trained or of the others: themselves, or their roundings.

    Gradients pass through the rounding. All activations then are bfloat16 too; autocast would convert them back and
    forth, a quarter of a step's time.
    """
    weights = {name: weight for name, weight in network.named_parameters() if weight.requires_grad == trained}
    if precision == "float32":
        return weights
    return {name: weight.to(torch.bfloat16) for name, weight in weights.items()}


def _batches(
    pieces: Pieces, targets: Targets, config: Seq2SeqTraining, rng: np.random.Generator
) -> list[Int64[np.ndarray, "row"]]:
    lengths = pieces.lengths + np.diff(targets.offsets)
    if config.batch_tokens:
        return training_batches(lengths, config.batch_tokens, rng)
    order = rng.permutation(len(lengths))
    return [order[i : i + AUTHORS_BATCH] for i in range(0, len(order), AUTHORS_BATCH)]


def _steps_left(config: Seq2SeqTraining, scheduler: torch.optim.lr_scheduler.LRScheduler) -> int | None:
    """None where the number of epochs alone ends the training."""
    return max(0, config.num_steps - scheduler.last_epoch) if config.num_steps else None


def _optimizer(
    network: Seq2Seq, config: Seq2SeqTraining, pieces: Pieces, targets: Targets
) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler]:
    in_epoch = len(_batches(pieces, targets, config, np.random.default_rng(0)))
    num_steps = config.num_steps or config.num_epochs * in_epoch

    def rate(step: int) -> float:
        warm = min(1.0, (step + 1) / config.warmup_steps)
        if config.schedule == "inverse_sqrt":
            return warm * min(1.0, (config.warmup_steps / (step + 1)) ** 0.5)
        return warm * max(0.0, 1 - step / num_steps)

    table = network.encoder.network.get_input_embeddings()
    table.requires_grad_(config.train_embeddings)
    encoder = [weight for weight in network.encoder.parameters() if weight.requires_grad]
    groups = [
        {"params": encoder, "lr": config.encoder_learning_rate},
        {"params": [*network.decoder.parameters()], "lr": config.learning_rate},
    ]
    optimizer = torch.optim.AdamW(
        groups,
        betas=(config.beta1, config.beta2),
        eps=config.epsilon,
        weight_decay=config.weight_decay,
        fused=True,
    )
    return optimizer, torch.optim.lr_scheduler.LambdaLR(optimizer, rate)


def _copy(network: nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in network.state_dict().items()}
