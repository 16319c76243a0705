"""Dropout masks as a function of keys: a sentence's masks depend on its key alone.

A counter-based generator (a hash of key, site and column) instead of a stream: a sample is the same in any batch, after
any other sample, on the CPU and on CUDA. Training draws a key a sentence and step, dropout-p one a sentence and sample.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from bcrlib.models.packing import Packing
from bcrlib.randomness import key

_GOLDEN = 0x9E3779B97F4A7C15 - 2**64
_MIX_1 = 0xBF58476D1CE4E5B9 - 2**64
_MIX_2 = 0x94D049BB133111EB - 2**64


@dataclass(frozen=True, eq=False)
class Noise:
    """Dropout with rate `p` for the sentences of one batch."""

    keys: Int64[Tensor, "sentence"]
    packing: Packing
    p: float

    def per_sentence(self, site: str, width: int) -> Float[Tensor, "sentence width"]:
        """One mask a sentence, for all its tokens, scaled by 1 / (1 - p)."""
        keep = random_uint16(_mix(self.keys + key(site)), width) >= round(self.p * 65536)
        return keep.float().div_(1 - self.p)

    def per_token(self, site: str) -> Float[Tensor, "row 1"]:
        """One number a token: whether the whole vector of the token is kept, scaled by 1 / (1 - p)."""
        return (~self.tokens_hit(site, self.p)).float().div_(1 - self.p)[:, None]

    def tokens_hit(self, site: str, rate: float) -> Bool[Tensor, "row"]:
        """Whether something of this rate happens to each token."""
        keys = _mix(self.keys + key(site))[self.packing.sentence] + self.packing.step
        return random_uint16(keys, 1)[:, 0] < round(rate * 65536)


def uniform(keys: Int64[Tensor, "*row"], number: int) -> Float[Tensor, "*row"]:
    """One float64 uniform on [0, 1) a key, the `number`-th of its kind."""
    return _shifted(_mix(_mix(keys) + number), 11).double() * 2.0**-53


def random_uint16(keys: Int64[Tensor, "row"], width: int) -> Tensor:
    """int32 [row, width], uniform on 0..65535: SplitMix64 of (key, column), each hash cut into four. O(row * width)."""
    columns = torch.arange(1, (width + 3) // 4 + 1, device=keys.device) * _GOLDEN
    bits = _mix(keys[:, None] + columns)
    return (bits.view(torch.int16)[:, :width].to(torch.int32)) & 0xFFFF


def _mix(z: Tensor) -> Tensor:
    z = (z ^ _shifted(z, 30)) * _MIX_1
    z = (z ^ _shifted(z, 27)) * _MIX_2
    return z ^ _shifted(z, 31)


def _shifted(z: Tensor, bits: int) -> Tensor:
    """Logical shift to the right: the arithmetic one, without the copies of the sign."""
    return (z >> bits) & ((1 << (64 - bits)) - 1)
