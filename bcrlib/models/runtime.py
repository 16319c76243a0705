"""Where and how precisely a network runs."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Literal

import torch

Precision = Literal["float32", "bfloat16"]


@dataclass(frozen=True)
class Runtime:
    """A device, the precision of the encoder's matrix products, and how much is decoded at once."""

    device: str = "cpu"
    precision: Precision = "float32"
    max_tokens: int = 6000
    """Padded positions of a decoding batch."""
    max_arcs: int = 250_000
    """Word pairs of a decoding batch: a score table has a number for each of them and each relation."""
    batch_size: int | None = None
    """If given, a decoding batch has so many sentences, however long they are and however many candidates of each: the
    caller knows that they fit into memory. Candidates and scores are the same but for their last digits."""

    def autocast(self) -> AbstractContextManager:
        """Context in which matrix products have this precision; everything else keeps float32."""
        return torch.autocast(self.device, torch.bfloat16) if self.precision == "bfloat16" else nullcontext()


def best_device() -> str:
    """cuda where there is one, else cpu."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def fast_precision(device: str) -> Precision:
    """bfloat16 where the hardware multiplies it natively: there it pays, elsewhere it costs.

    That is CUDA, and processors with AMX (Intel) or AVX-512's BF16 (AMD from Zen 4 on).
    """
    native = device == "cuda" or torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported()
    return "bfloat16" if native else "float32"


def runtime_on(device: str, precision: Precision = "float32") -> Runtime:
    """With batches as large as pay there: a GPU that gets little to do at a time waits for the next order."""
    if device != "cuda":
        return Runtime(device, precision)
    return Runtime(device, precision, max_tokens=100_000, max_arcs=4_000_000)


def best_runtime(precision: Precision | Literal["auto"] = "float32") -> Runtime:
    """The best device with this precision; "auto": the fast one."""
    device = best_device()
    return runtime_on(device, fast_precision(device) if precision == "auto" else precision)


@contextmanager
def one_core() -> Iterator[None]:
    """Within, torch computes in one thread: several add in another order, and CPU time counts those that wait."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
