"""Every parser trains, proposes and scores on a device that is not the CPU: CUDA where there is one, else a stand-in.

The stand-in refuses what CUDA refuses, so that a GPU is not the first to find a tensor left behind. It cannot show what
only hardware can: CUDA's own kernels, their rounding and their speed.
"""

from collections.abc import Iterator
from dataclasses import replace
from importlib import import_module
from itertools import product

import numpy as np
import pytest
import torch
from other_device import ELSEWHERE, other_device
from pools import structures
from tiny_frames import TINY_SEQ2SEQ
from tiny_kinds import BANKS, MAKE, STRATEGIES

from bcrlib.parsers.batches import Runtime
from bcrlib.parsers.configuration import Seq2SeqTraining, TrainingConfig
from bcrlib.parsers.parser import Parser, ensemble
from bcrlib.parsers.training import fit, new_parser
from bcrlib.samplers.strategies import OneBest


@pytest.fixture
def device(monkeypatch) -> Iterator[str]:
    if torch.cuda.is_available():
        yield "cuda"
        return
    # The stand-in is no device that PyTorch's fused optimizer, its autocast and its inference mode know.
    optimizer = import_module("torch.optim.optimizer")
    fused = optimizer._get_fused_kernels_supported_devices()
    monkeypatch.setattr(optimizer, "_get_fused_kernels_supported_devices", lambda: [*fused, ELSEWHERE])
    autocast = torch.is_autocast_enabled
    monkeypatch.setattr(torch, "is_autocast_enabled", lambda kind: kind != ELSEWHERE and autocast(kind))
    monkeypatch.setattr(torch._C, "_InferenceMode", lambda mode: torch.no_grad())
    with other_device():
        yield ELSEWHERE


def test_the_stand_in_refuses_what_a_gpu_refuses():
    with other_device():
        there = torch.arange(3.0, device=ELSEWHERE)
        with pytest.raises(RuntimeError, match="two devices"):
            there + torch.arange(3.0)
        with pytest.raises(RuntimeError, match="numpy"):
            there.numpy()
        assert torch.equal((there * 2).cpu(), torch.tensor([0.0, 2.0, 4.0]))


def make(kind: str, runtime: Runtime, seed: int = 0, preset: str = "clean") -> Parser:
    """Of frames an untrained one: weights that were trained elsewhere are loaded with a warning there."""
    if kind == "s2s":
        return new_parser(replace(TINY_SEQ2SEQ, preset=preset, constrained=True), BANKS[kind], seed, runtime)
    return MAKE[kind](seed=seed, preset=preset, runtime=runtime)


@pytest.mark.parametrize(("kind", "preset"), [*((kind, "clean") for kind in MAKE), ("s2s", "official")])
def test_structures_are_the_same_as_on_the_cpu(kind, preset, device):
    bank = BANKS[kind].select(np.arange(5))
    here, there = (make(kind, Runtime(d), preset=preset) for d in ("cpu", device))
    for strategy in STRATEGIES[kind]:
        pool, expected = there.candidates(bank, strategy, seed=5), here.candidates(bank, strategy, seed=5)
        assert structures(pool) == structures(expected), strategy
        np.testing.assert_allclose(pool.log_probs, expected.log_probs, atol=1e-3)
        np.testing.assert_allclose(there.log_probs(bank, pool), here.log_probs(bank, pool), atol=1e-3)


@pytest.mark.parametrize("kind", MAKE)
def test_ensembles_parse_there(kind, device):
    bank = BANKS[kind].select(np.arange(5))
    wholes = (ensemble([make(kind, Runtime(d), seed) for seed in (0, 1)]) for d in ("cpu", device))
    here, there = (whole.candidates(bank, OneBest()) for whole in wholes)
    np.testing.assert_allclose(there.log_probs, here.log_probs, atol=1e-3)


@pytest.mark.parametrize(
    ("kind", "preset"), [*product(("deepbiaf", "stackptr"), ("clean", "official")), ("s2s", "clean")]
)
def test_a_parser_trains_there(kind, preset, device):
    gold, recipe = BANKS[kind].select(np.arange(7)), TrainingConfig(num_epochs=2)
    if kind == "s2s":
        recipe = Seq2SeqTraining(num_epochs=2, batch_tokens=40, dropout=0.0, attention_dropout=0.0)
    losses = [
        [epoch.loss for epoch in fit(make(kind, Runtime(d), preset=preset), gold, gold, recipe, seed=0)]
        for d in ("cpu", device)
    ]
    np.testing.assert_allclose(*losses, rtol=1e-4)
