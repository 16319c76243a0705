"""The GPU's kernels against the walk in PyTorch: on CUDA where there is one, else in Triton's interpreter."""

import os

import numpy as np
import pytest
import torch

os.environ.setdefault("TRITON_INTERPRET", "0" if torch.cuda.is_available() else "1")  # read with the kernels
pytest.importorskip("triton", reason="the GPU's kernels are not tested: pip install triton (they run without a GPU)")

from bcrlib.parsers import lstm, lstm_cuda
from bcrlib.parsers.batches import Packing, pack

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


def both_ways(module, packing: Packing, size: int, dtype: torch.dtype, masked: bool) -> dict[str, torch.Tensor]:
    """All that a walk forward and back changes or returns, from the same random numbers."""
    generator = torch.Generator().manual_seed(3)

    def random(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator).to(DEVICE)

    batch, rows = packing.num_sentences, packing.num_rows
    gates, hidden, cells = random(2, rows, 4 * size), random(2, batch + rows, size), random(2, batch + rows, size)
    weight = (0.3 * random(2, 4 * size, size)).to(dtype)
    mask = (random(batch, 2, size) > -0.5).float().transpose(0, 1) / 0.7 if masked else None
    module.walk(gates, weight, mask, hidden, cells, packing)
    grad_hidden, grad_cell = random(2, rows, size), random(2, batch, size)
    grads = module.walk_back(grad_hidden, grad_cell, gates, weight, mask, cells, packing)
    names = ("gates", "hidden", "cells", "grad_gates", "grad_first_hidden", "grad_first_cell")
    return dict(zip(names, (gates, hidden, cells, *grads, grad_cell)))


@pytest.mark.parametrize("masked", [True, False])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 2e-5), (torch.bfloat16, 3e-2)])
@pytest.mark.parametrize(("lengths", "size"), [([5, 3, 3, 1], 7), ([4], 130), ([1, 1], 128)])
def test_kernels_walk_as_pytorch_does(lengths, size, dtype, tolerance, masked):
    packing = pack(np.array(lengths), DEVICE)
    ours, reference = (both_ways(module, packing, size, dtype, masked) for module in (lstm_cuda, lstm))
    for name, expected in reference.items():
        torch.testing.assert_close(ours[name], expected, atol=tolerance, rtol=tolerance, msg=name)
