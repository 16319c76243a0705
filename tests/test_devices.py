"""Every parser trains, proposes and scores on a device that is not the CPU: CUDA where there is one, else a stand-in.

The stand-in refuses what CUDA refuses, so that a GPU is not the first to find a tensor left behind. It cannot show what
only hardware can: CUDA's own kernels, their rounding and their speed.
"""

from collections.abc import Iterator
from dataclasses import replace
from importlib import import_module

import numpy as np
import pytest
import torch
from other_device import ELSEWHERE, other_device
from random_trees import random_treebank
from tiny_frames import TINY_SEQ2SEQ, frame_bank
from tiny_parsers import tiny_parser, tiny_pointer_parser

from bcrlib.parsers.batches import Runtime
from bcrlib.parsers.configuration import Seq2SeqTraining, TrainingConfig
from bcrlib.parsers.parser import ensemble
from bcrlib.parsers.training import fit, new_parser
from bcrlib.samplers.strategies import Beam, DropoutP, KBest, Nucleus, OneBest, TopK

LISTS = {"deepbiaf": [KBest(3), KBest(3, labelled=True)], "stackptr": [Beam(3, 3), TopK(3, 2), Nucleus(0.9, 2)]}
MAKE = {"deepbiaf": tiny_parser, "stackptr": tiny_pointer_parser}


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


@pytest.fixture(scope="module")
def treebank():
    return random_treebank(7, np.random.default_rng(3))


def test_the_stand_in_refuses_what_a_gpu_refuses():
    with other_device():
        there = torch.arange(3.0, device=ELSEWHERE)
        with pytest.raises(RuntimeError, match="two devices"):
            there + torch.arange(3.0)
        with pytest.raises(RuntimeError, match="numpy"):
            there.numpy()
        assert torch.equal((there * 2).cpu(), torch.tensor([0.0, 2.0, 4.0]))


@pytest.mark.parametrize("kind", MAKE)
def test_trees_are_the_same_as_on_the_cpu(kind, treebank, device):
    here, there = MAKE[kind](treebank), MAKE[kind](treebank, runtime=Runtime(device))
    for strategy in [OneBest(), DropoutP(0.3, 3), *LISTS[kind]]:
        pool, expected = there.candidates(treebank, strategy, seed=5), here.candidates(treebank, strategy, seed=5)
        assert np.array_equal(pool.heads, expected.heads), strategy
        np.testing.assert_allclose(pool.log_probs, expected.log_probs, atol=1e-4)
        np.testing.assert_allclose(there.log_probs(treebank, pool), here.log_probs(treebank, pool), atol=1e-4)


@pytest.mark.parametrize("kind", MAKE)
def test_ensembles_parse_there(kind, treebank, device):
    def whole(runtime):
        return ensemble([MAKE[kind](treebank, seed, runtime=runtime) for seed in (0, 1)])

    pool = whole(Runtime(device)).candidates(treebank, OneBest())
    np.testing.assert_allclose(pool.log_probs, whole(Runtime()).candidates(treebank, OneBest()).log_probs, atol=1e-4)


@pytest.mark.parametrize("preset", ["clean", "official"])
@pytest.mark.parametrize("kind", MAKE)
def test_a_dependency_parser_trains_there(kind, preset, treebank, device):
    def history(runtime):
        parser = MAKE[kind](treebank, preset=preset, runtime=runtime)
        return [epoch.loss for epoch in fit(parser, treebank, treebank, TrainingConfig(num_epochs=2), seed=0)]

    np.testing.assert_allclose(history(Runtime(device)), history(Runtime()), rtol=1e-4)


def fresh(bank, runtime, **changes):
    return new_parser(replace(TINY_SEQ2SEQ, **changes), bank, 0, runtime)


@pytest.mark.parametrize("constrained", [False, True])
@pytest.mark.parametrize("preset", ["clean", "official"])
def test_frames_are_the_same_as_on_the_cpu(preset, constrained, device):
    bank = frame_bank()
    here, there = (fresh(bank, Runtime(d), preset=preset, constrained=constrained) for d in ("cpu", device))
    here = ensemble([here, fresh(bank, Runtime(), preset=preset, constrained=constrained)])
    there = ensemble([there, fresh(bank, Runtime(device), preset=preset, constrained=constrained)])
    for strategy in [OneBest(), Beam(3, 3), TopK(3, 2), Nucleus(0.9, 2), DropoutP(0.3, 3)]:
        pool, expected = there.candidates(bank, strategy, seed=5), here.candidates(bank, strategy, seed=5)
        assert np.array_equal(pool.sequences, expected.sequences), strategy
        np.testing.assert_allclose(there.log_probs(bank, pool), here.log_probs(bank, pool), atol=1e-3)


def test_a_parser_of_frames_trains_there(device):
    def history(runtime):
        bank, recipe = frame_bank(), Seq2SeqTraining(num_epochs=2, batch_tokens=40, dropout=0.0, attention_dropout=0.0)
        return [epoch.loss for epoch in fit(fresh(bank, runtime), bank, bank, recipe, seed=0)]

    np.testing.assert_allclose(history(Runtime(device)), history(Runtime()), rtol=1e-4)
