"""Training of a parser of either kind: the authors' recipe, and one that needs a hundredth of the steps."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from bcrlib.data.presets import preset
from bcrlib.data.randomness import key
from bcrlib.data.treebank import Treebank
from bcrlib.parsers.batches import Precision, Runtime
from bcrlib.parsers.configuration import TrainingConfig
from bcrlib.parsers.deepbiaf import DeepBiaf, DeepBiafParser
from bcrlib.parsers.encoding import EncodedTreebank, bucket_batches, make_batch, training_batches
from bcrlib.parsers.stackptr import StackPtrParser
from bcrlib.parsers.stackptr_network import StackPtr
from bcrlib.samplers.dropout_p import Noise


@dataclass(frozen=True)
class EpochReport:
    """What a training run tells of an epoch."""

    epoch: int
    num_epochs: int
    loss: float
    """Mean -log p(head, relation) a word of the training data, with dropout."""
    dev_score: float
    """Mean of UAS and LAS on the dev set, the selection criterion."""
    is_best: bool
    seconds: float


def train(
    parser: DeepBiafParser | StackPtrParser,
    encoded: EncodedTreebank,
    dev: Treebank,
    config: TrainingConfig,
    seed: int,
    precision: Precision = "float32",
    report: Callable[[EpochReport], None] = lambda epoch: None,
) -> list[EpochReport]:
    """Fit the parser's network in place and leave it with the weights of its best epoch on dev.

    The same seed gives the same batches and dropout masks; the caller seeds the initial weights.
    """
    network, device = parser.network, parser.runtime.device
    rng = np.random.default_rng(key(seed, "batches"))
    optimizer, scheduler = _optimizer(network, config, encoded, device)
    history: list[EpochReport] = []
    best_weights, best_epoch = _copy(network), 0
    for epoch in range(1, config.num_epochs + 1):
        start = time.perf_counter()
        loss = _train_epoch(network, encoded, config, optimizer, scheduler, rng, device, precision)
        score = dev_score(parser, dev)
        is_best = score > max((e.dev_score for e in history), default=-1.0)
        history.append(EpochReport(epoch, config.num_epochs, loss, score, is_best, time.perf_counter() - start))
        report(history[-1])
        if is_best:
            best_weights, best_epoch = _copy(network), epoch
        elif config.reset_after and (epoch - best_epoch) % config.reset_after == 0:
            network.load_state_dict(best_weights)
            optimizer.state.clear()
        if config.patience and epoch - best_epoch >= config.patience:
            break
    network.load_state_dict(best_weights)
    return history


def dev_score(parser: DeepBiafParser | StackPtrParser, dev: Treebank) -> float:
    """Mean of UAS and LAS; the preset says whether punctuation counts."""
    definitions = preset(parser.network.config.preset)
    scored = np.ones(dev.num_tokens, dtype=bool)
    if not definitions.select_with_punct:
        scored = np.array([tag not in definitions.punct_exclude for tag in dev.upos])
    pool = parser.candidates(dev, parser.selection_strategy)
    right_head = pool.heads[0] == dev.heads
    right_both = right_head & (np.array(pool.relation_strings()) == np.array(dev.relations))
    return float((right_head[scored].mean() + right_both[scored].mean()) / 2)


def _train_epoch(
    network: DeepBiaf | StackPtr,
    encoded: EncodedTreebank,
    config: TrainingConfig,
    optimizer: torch.optim.Optimizer,
    scheduler: torch.optim.lr_scheduler.LRScheduler,
    rng: np.random.Generator,
    device: str,
    precision: Precision,
) -> float:
    """One pass over the training data; the mean loss a word."""
    network.train()
    total = torch.zeros((), device=device)
    for sentences in _batches(encoded, config, rng):
        batch = make_batch(encoded, sentences, device)
        keys = torch.from_numpy(rng.integers(2**63, size=len(sentences))).to(device)
        num_words = batch.packing.num_rows - len(sentences)
        with Runtime(device, precision).autocast():
            loss = network.loss(batch, Noise(keys, batch.packing, config.dropout))
        optimizer.zero_grad()
        (loss / num_words).backward()
        norm = nn.utils.clip_grad_norm_(network.parameters(), config.clip)
        if torch.isfinite(norm):  # as the authors do: a broken gradient changes nothing
            optimizer.step()
            scheduler.step()
            total += loss.detach()
    network.eval()
    return total.item() / int((encoded.lengths - 1).sum())


def _batches(encoded: EncodedTreebank, config: TrainingConfig, rng: np.random.Generator) -> list[np.ndarray]:
    if config.batch_tokens:
        return training_batches(encoded.lengths, config.batch_tokens, rng)
    return bucket_batches(encoded.lengths, rng)


def _optimizer(
    network: DeepBiaf | StackPtr, config: TrainingConfig, encoded: EncodedTreebank, device: str
) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler]:
    num_steps = config.num_epochs * len(_batches(encoded, config, np.random.default_rng(0)))

    def rate(step: int) -> float:
        warm = min(1.0, (step + 1) / config.warmup_steps)
        if config.schedule == "exponential":
            return warm * config.decay ** max(0, step - config.warmup_steps)
        return warm * max(0.0, 1 - step / num_steps)

    optimizer = torch.optim.AdamW(
        network.parameters(),
        lr=config.learning_rate,
        betas=(config.beta1, config.beta2),
        eps=config.epsilon,
        weight_decay=config.weight_decay,
        fused=True,
    )
    return optimizer, torch.optim.lr_scheduler.LambdaLR(optimizer, rate)


def _copy(network: nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in network.state_dict().items()}
