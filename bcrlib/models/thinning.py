"""Dropout that can be told which units to drop: how dropout-p reaches into a network of other people's modules.

In training every dropout is the library's. For dropout-p each one asks a `Thinning`, which draws masks from a key a
row: a sample is the same in any batch.
"""

from dataclasses import dataclass, field

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from bcrlib.models.noise import random_uint16
from bcrlib.randomness import key


@dataclass(frozen=True)
class Rates:
    """Of the dropouts of a training: what a network has learnt to stand."""

    dropout: float
    attention_dropout: float


@dataclass(frozen=True, eq=False)
class Thinning:
    """Which units are dropped, for each row of a batch: one thinned network a row.

    With `per_step` a unit is dropped anew at every position (the authors' decoder), else at all positions or none.
    """

    keys: Int64[Tensor, "row"]
    p: float
    attention_p: float
    per_step: bool = False

    def features(
        self, site: str, x: Float[Tensor, "row position feature"], first: int
    ) -> Float[Tensor, "row *_ feature"]:
        """Masks of a layer's output whose first position is `first`, scaled by 1 / (1 - p)."""
        if not self.per_step:
            return self._mask(self.keys ^ key(site), x.shape[-1], self.p)[:, None]
        keys = self._at_positions(site, first, x.shape[1])
        return self._mask(keys.flatten(), x.shape[-1], self.p).view(*keys.shape, -1)

    def attention(self, site: str, weights: Float[Tensor, "row head query key"], first: int) -> Tensor:
        """Masks of attention weights: whether a head may look at a position, for all queries or for each by itself."""
        _, num_heads, num_queries, num_keys = weights.shape
        names = [key(site, head) for head in range(num_heads)]
        of_head = self.keys[:, None] ^ torch.tensor(names, device=self.keys.device)
        if self.per_step:
            places = torch.tensor([key(first + query) for query in range(num_queries)], device=self.keys.device)
            of_head = of_head[:, :, None] ^ places
        else:
            of_head = of_head[:, :, None]
        return self._mask(of_head.flatten(), num_keys, self.attention_p).view(*of_head.shape, num_keys)

    def rows(self, index: Int64[Tensor, "kept"]) -> "Thinning":
        """The same for some rows."""
        return Thinning(self.keys[index], self.p, self.attention_p, self.per_step)

    def _at_positions(self, site: str, first: int, count: int) -> Int64[Tensor, "row position"]:
        names = [key(site, first + position) for position in range(count)]
        return self.keys[:, None] ^ torch.tensor(names, device=self.keys.device)

    def _mask(self, keys: Int64[Tensor, "n"], width: int, p: float) -> Float[Tensor, "n width"]:
        return (random_uint16(keys, width) >= round(p * 65536)).float().div_(1 - p)


@dataclass(eq=False)
class Switch:
    """What all dropouts of one network look at: the thinning in force, if any, and the first position of the input."""

    thinning: Thinning | None = None
    position: int = field(default=0)


class SiteDropout(nn.Module):
    """A dropout with a name; `attention` says that it is one of attention weights [row, head, query, key]."""

    def __init__(self, site: str, switch: Switch, attention: bool = False) -> None:
        super().__init__()
        self.site, self.switch, self.attention = site, switch, attention
        self.p = 0.0

    def forward(self, x: Tensor) -> Tensor:
        thinning, first = self.switch.thinning, self.switch.position
        if thinning is None:
            return dropout(x, self.p) if self.training and self.p else x
        masks = thinning.attention if self.attention else thinning.features
        return x * masks(self.site, x, first)


def dropout(x: Float[Tensor, "*shape"], p: float) -> Float[Tensor, "*shape"]:
    """The library's dropout; on a CPU four units share a random number, which takes most of its time."""
    if x.is_cuda:
        return nn.functional.dropout(x, p)
    random = torch.empty(-(-x.numel() // 4), dtype=torch.int64).random_(-(2**63), None).view(torch.int16)
    keep = random[: x.numel()] >= round(p * 65536) - 32768
    return x * keep.view(x.shape).to(x.dtype).mul_(1 / (1 - p))


def set_rates(network: nn.Module, rates: Rates) -> None:
    """Rates of the network's dropouts in training."""
    for module in network.modules():
        if isinstance(module, SiteDropout):
            module.p = rates.attention_dropout if module.attention else rates.dropout
