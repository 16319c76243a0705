"""How much of a GPU's memory a step of a parser needs: the tensors that are there at once, beyond those before it.

On CUDA alone, whose allocator counts them. What a process takes of a CPU's memory tells little of one step: what an
earlier one has used is kept for the next.
"""

from collections.abc import Callable, Iterable

import torch

from bcrlib.bench.contestants import Contestant
from bcrlib.bench.throughput import Row, fits, row

PEAK_BYTES = "peak_bytes"


def memory(contestants: Iterable[Contestant]) -> list[Row]:
    """Peak bytes on the GPU, a row a contestant in their order; None where they are too many for it."""
    return [row(one, PEAK_BYTES, peak_bytes(one.run) if fits(one.run) else None) for one in contestants]


def peak_bytes(run: Callable[[], object]) -> int:
    """The most bytes of tensors during a run on the GPU, beyond those that were there before."""
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    run()
    torch.cuda.synchronize()
    return torch.cuda.max_memory_allocated() - before
