"""Parsers of any kind: new, trained, saved and loaded again.

There are the authors' recipes, and ones that need a hundredth or a tenth of the steps. Of what is saved weights are
safetensors, all else is JSON: nothing is unpickled.
"""

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from jaxtyping import Float, Int64
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from bcrlib.data.randomness import key
from bcrlib.parsers.batches import Precision, Runtime, best_runtime
from bcrlib.parsers.configuration import CONFIG, KINDS, SMALL, NetworkConfig, Recipe, Seq2SeqConfig, kind_of
from bcrlib.parsers.parser import Parser, ensemble


class Lessons(Protocol):
    """What a kind of parser learns from."""

    groups: list[dict[str, Any]]
    """Of the network's weights, each with its learning rate, as PyTorch's optimizers take them."""

    def batches(self, rng: np.random.Generator) -> list[Int64[np.ndarray, "some"]]:
        """One epoch: the items of every batch."""

    def loss(
        self, items: Int64[np.ndarray, "some"], rng: np.random.Generator
    ) -> tuple[Float[Tensor, ""], Float[Tensor, ""], int]:
        """What is minimised, what is told (without gradient), each summed over words or tokens; how many these are."""


@dataclass(frozen=True)
class EpochReport:
    """What a training run tells of an epoch."""

    epoch: int
    num_epochs: int
    loss: float
    """Mean -log p of the training data with dropout: of trees a word, of frames a token."""
    dev_score: float | None
    """The selection criterion: of trees the mean of UAS and LAS, of frames exact match; None where not measured."""
    is_best: bool
    seconds: float


def parser_class(kind: str) -> type[Parser]:
    """That of a kind of parser. ValueError for an unknown kind."""
    if kind not in KINDS:
        raise ValueError(f"unknown kind of parser {kind!r}; choose one of {', '.join(KINDS)}")
    module, name = KINDS[kind].split(":")
    return getattr(import_module(module), name)


def new_parser(config: NetworkConfig | Seq2SeqConfig, gold: Any, seed: int, runtime: Runtime) -> Parser:
    """A parser to be trained, with the alphabets of a gold bank; its initial weights depend on the seed alone.

    ValueError for an unknown kind, DataError where vectors or a pretrained encoder cannot be had.
    """
    torch.manual_seed(key(seed, "weights"))
    return parser_class(config.kind).untrained(config, gold, runtime)


def train(
    kind: str,
    gold: Any,
    dev: Any = None,
    seed: int = 0,
    network: NetworkConfig | Seq2SeqConfig | None = None,
    recipe: Recipe | None = None,
) -> Parser:
    """A new parser of a kind ("deepbiaf", "stackptr", "s2s") that has learnt a gold bank (Treebank, FrameBank).

    network, recipe: sizes and training; by default small ones, which learn in seconds, for classes and tests. dev: to
    choose the best epoch on; without it the last is taken. Without `network` the parser learns, and later decodes and
    scores, on one core, and equal arguments give an equal parser; real sizes go to the GPU where there is one.
    ValueError for an unknown kind.
    """
    parser_class(kind)  # complains about an unknown one
    small, brief = SMALL.get(kind, (network, recipe))
    config = replace(network or small, kind=kind) if isinstance(small, NetworkConfig) else network or small
    parser = new_parser(config, gold, seed, best_runtime() if network else Runtime(one_core=True))
    with parser.runtime.threads():
        fit(parser, gold, dev, recipe or brief, seed)
    return parser


def fit(
    parser: Parser,
    gold: Any,
    dev: Any,
    recipe: Recipe,
    seed: int,
    precision: Precision = "float32",
    report: Callable[[EpochReport], None] = lambda epoch: None,
) -> list[EpochReport]:
    """Fit the parser's network to a gold bank, in place, and leave it with the weights of its best epoch on dev.

    Without dev (None) these are the last ones. The same seed gives the same batches and, on one kind of device, the
    same dropout; the caller seeds the weights.
    """
    network, rng = parser.network, np.random.default_rng(key(seed, "batches"))
    torch.manual_seed(key(seed, "dropout"))
    lessons = parser.lessons(gold, recipe, precision)
    optimizer, scheduler = _optimizer(lessons, recipe)
    history: list[EpochReport] = []
    best_score, best_weights, best_epoch = -1.0, _copy(network), 0
    for epoch in range(1, recipe.num_epochs + 1):
        start = time.perf_counter()
        loss = _train_epoch(network, lessons, recipe, optimizer, scheduler, rng)
        last = epoch == recipe.num_epochs or _is_over(recipe, scheduler)
        score = parser.dev_score(dev) if dev is not None and (last or epoch % recipe.dev_every == 0) else None
        is_best = last if dev is None else score is not None and score > best_score
        history.append(EpochReport(epoch, recipe.num_epochs, loss, score, is_best, time.perf_counter() - start))
        report(history[-1])
        if is_best:
            best_score, best_weights, best_epoch = score, _copy(network), epoch
        elif dev is not None and recipe.reset_after and (epoch - best_epoch) % recipe.reset_after == 0:
            network.load_state_dict(best_weights)
            optimizer.state.clear()
        if last or (recipe.patience and score is not None and epoch - best_epoch >= recipe.patience):
            break
    network.load_state_dict(best_weights)
    return history


def _train_epoch(
    network: nn.Module,
    lessons: Lessons,
    recipe: Recipe,
    optimizer: torch.optim.Optimizer,
    scheduler: torch.optim.lr_scheduler.LRScheduler,
    rng: np.random.Generator,
) -> float:
    """One pass over the training data; the mean loss."""
    network.train()
    total, num_learnt = 0.0, 0
    for items in lessons.batches(rng):
        loss, told, count = lessons.loss(items, rng)
        optimizer.zero_grad()
        (loss / count).backward()
        norm = nn.utils.clip_grad_norm_(network.parameters(), recipe.clip or float("inf"))
        if torch.isfinite(norm):  # as the authors do: a broken gradient changes nothing
            optimizer.step()
            scheduler.step()
            total, num_learnt = total + told, num_learnt + count
        if _is_over(recipe, scheduler):
            break
    network.eval()
    return float(total) / max(1, num_learnt)


def _is_over(recipe: Recipe, scheduler: torch.optim.lr_scheduler.LRScheduler) -> bool:
    """Whether a number of steps ends the training, and they are done."""
    return 0 < recipe.num_steps <= scheduler.last_epoch


def _optimizer(lessons: Lessons, recipe: Recipe) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler]:
    num_steps = recipe.num_steps or recipe.num_epochs * len(lessons.batches(np.random.default_rng(0)))

    def rate(step: int) -> float:
        warm = min(1.0, (step + 1) / recipe.warmup_steps)
        if recipe.schedule == "exponential":
            return warm * recipe.decay ** max(0, step - recipe.warmup_steps)
        if recipe.schedule == "inverse_sqrt":
            return warm * min(1.0, (recipe.warmup_steps / (step + 1)) ** 0.5)
        return warm * max(0.0, 1 - step / num_steps)

    optimizer = torch.optim.AdamW(
        lessons.groups,
        betas=(recipe.beta1, recipe.beta2),
        eps=recipe.epsilon,
        weight_decay=recipe.weight_decay,
        fused=True,
    )
    return optimizer, torch.optim.lr_scheduler.LambdaLR(optimizer, rate)


def _copy(network: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in network.state_dict().items()}


def save_parser(parser: Parser, folder: Path) -> None:
    """Write model.safetensors, config.json and what else the kind needs into the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    save_file(parser.network.state_dict(), weights := folder / "model.safetensors")
    weights.chmod(folder.stat().st_mode & 0o666)  # save_file leaves them to their owner alone
    for name, content in parser.files().items():
        is_text = isinstance(content, str)
        text = content if is_text else json.dumps(content, ensure_ascii=False, indent=1) + "\n"
        (folder / name).write_text(text, "utf-8")


def load_parser(folder: Path, runtime: Runtime) -> Parser:
    """The parser saved in a folder. ValueError for a folder that holds an unknown kind of model."""
    parser = parser_class(kind_of(folder)).restored(json.loads((folder / CONFIG).read_text("utf-8")), folder, runtime)
    parser.network.load_state_dict(load_file(folder / "model.safetensors", device=runtime.device))
    return parser


def load(*folders: Path | str) -> Parser:
    """The parser saved in a folder, or the ensemble of several, on the best device. Errors as of `load_parsers`."""
    return load_parsers([Path(folder) for folder in folders], best_runtime())


def load_parsers(folders: Sequence[Path], runtime: Runtime) -> Parser:
    """One folder: that parser. Several: their ensemble. ValueError for an ensemble of different kinds."""
    parsers = [load_parser(folder, runtime) for folder in folders]
    return parsers[0] if len(parsers) == 1 else ensemble(parsers)
