"""Dropout-p: masks that depend on keys and on names, never on the batch, in any network.

Dropout stays on while a parser decodes, and what it drops is a function: of the *key* of a sentence and sample, and of
the *site*, the name of the place in the network. So a sample is the same sub-network whatever else is in the batch, in
whatever order, and for as many steps as it takes. One hash makes all masks (`masks`); three places read them:

* `Noise`: the packed rows of an LSTM parser, one mask a sentence or one number a token;
* `Thinning`: a transformer of our own, whose dropouts have names (`SiteDropout`) and look at one `Switch`;
* `thinned_calls`: anybody's network, whose calls of `torch.nn.functional.dropout` are counted, or whose
  blocks are hooked.
"""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from bcrlib.data.randomness import key

_GOLDEN = 0x9E3779B97F4A7C15 - 2**64
_MIX_1 = 0xBF58476D1CE4E5B9 - 2**64
_MIX_2 = 0x94D049BB133111EB - 2**64


def masks(keys: Int64[Tensor, "*row"], width: int, p: float) -> Float[Tensor, "*row width"]:
    """0 with probability p, else 1 / (1 - p): one row of numbers a key. O(row * width)."""
    keep = random_uint16(keys.flatten(), width) >= round(p * 65536)
    return keep.float().div_(1 - p).view(*keys.shape, width)


def random_uint16(keys: Int64[Tensor, "row"], width: int) -> Tensor:
    """int32 [row, width], uniform on 0..65535: SplitMix64 of (key, column), each hash cut into four. O(row * width)."""
    columns = torch.arange(1, (width + 3) // 4 + 1, device=keys.device) * _GOLDEN
    bits = _mix(keys[:, None] + columns)
    return (bits.view(torch.int16)[:, :width].to(torch.int32)) & 0xFFFF


def uniform(keys: Int64[Tensor, "*row"], number: int) -> Float[Tensor, "*row"]:
    """One float64 uniform on [0, 1) a key, the `number`-th of its kind."""
    return _shifted(_mix(_mix(keys) + number), 11).double() * 2.0**-53


def _mix(z: Tensor) -> Tensor:
    z = (z ^ _shifted(z, 30)) * _MIX_1
    z = (z ^ _shifted(z, 27)) * _MIX_2
    return z ^ _shifted(z, 31)


def _shifted(z: Tensor, bits: int) -> Tensor:
    """Logical shift to the right: the arithmetic one, without the copies of the sign."""
    return (z >> bits) & ((1 << (64 - bits)) - 1)


class PackedRows(Protocol):
    """Which sentence of a batch each row is of, and which of its tokens: int64 [row]."""

    sentence: Tensor
    step: Tensor


@dataclass(frozen=True, eq=False)
class Noise:
    """Dropout with rate `p` for the packed sentences of one batch."""

    keys: Int64[Tensor, "sentence"]
    packing: PackedRows
    p: float

    def per_sentence(self, site: str, width: int) -> Float[Tensor, "sentence width"]:
        """One mask a sentence, for all its tokens."""
        return masks(_mix(self.keys + key(site)), width, self.p)

    def per_token(self, site: str) -> Float[Tensor, "row 1"]:
        """One number a token: whether its whole vector is kept."""
        return masks(self._of_tokens(site), 1, self.p)

    def tokens_hit(self, site: str, rate: float) -> Bool[Tensor, "row"]:
        """Whether something of this rate happens to each token."""
        return random_uint16(self._of_tokens(site), 1)[:, 0] < round(rate * 65536)

    def _of_tokens(self, site: str) -> Int64[Tensor, "row"]:
        return _mix(self.keys + key(site))[self.packing.sentence] + self.packing.step


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
        """Masks of a layer's output whose first position is `first`."""
        if not self.per_step:
            return masks(self.keys ^ key(site), x.shape[2], self.p)[:, None]
        names = [key(site, first + position) for position in range(x.shape[1])]
        return masks(self.keys[:, None] ^ self._tensor(names), x.shape[2], self.p)

    def attention(self, site: str, weights: Float[Tensor, "row head query key"], first: int) -> Tensor:
        """Masks of attention weights: whether a head may look at a position, for all queries or for each by itself."""
        _, num_heads, num_queries, num_keys = weights.shape
        keys = (self.keys[:, None] ^ self._tensor([key(site, head) for head in range(num_heads)]))[:, :, None]
        if self.per_step:
            keys = keys ^ self._tensor([key(first + query) for query in range(num_queries)])
        return masks(keys, num_keys, self.attention_p)

    def rows(self, index: Int64[Tensor, "kept"]) -> "Thinning":
        """The same for some rows."""
        return Thinning(self.keys[index], self.p, self.attention_p, self.per_step)

    def _tensor(self, names: list[int]) -> Int64[Tensor, "name"]:
        return torch.tensor(names, device=self.keys.device)


@dataclass(eq=False)
class Switch:
    """What all dropouts of one network look at: the thinning in force, if any, and the first position of the input."""

    thinning: Thinning | None = None
    position: int = 0


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
        return x * (thinning.attention if self.attention else thinning.features)(self.site, x, first)


def set_rates(network: nn.Module, rates: Rates) -> None:
    """Rates of the network's dropouts in training."""
    for module in network.modules():
        if isinstance(module, SiteDropout):
            module.p = rates.attention_dropout if module.attention else rates.dropout


def dropout(x: Float[Tensor, "*shape"], p: float) -> Float[Tensor, "*shape"]:
    """The library's dropout, for training; on a CPU four units share a random number, which takes most of its time."""
    if x.is_cuda:
        return nn.functional.dropout(x, p)
    random = torch.empty(-(-x.numel() // 4), dtype=torch.int64).random_(-(2**63), None).view(torch.int16)
    keep = random[: x.numel()] >= round(p * 65536) - 32768
    return x * keep.view(x.shape).to(x.dtype).mul_(1 / (1 - p))


class DropoutCalls(TorchFunctionMode):
    """Masks a row of the batch, the same at all positions and in all steps: one thinned network a row."""

    def __init__(self, keys: Int64[Tensor, "row"], p: float) -> None:
        super().__init__()
        self.keys, self.p, self.place, self.num_calls = keys, p, ("", 0), 0

    def enter(self, part: str) -> None:
        """A forward pass of a part of the network begins."""
        self.place = (part, 0)

    def __torch_function__(self, function: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        if function is not nn.functional.dropout:
            return function(*args, **(kwargs or {}))
        x = args[0] if args else kwargs["input"]
        part, number = self.place
        self.place, self.num_calls = (part, number + 1), self.num_calls + 1
        with torch._C.DisableTorchFunction():
            keys = (self.keys ^ key(part, number)).view(-1, *[1] * (x.dim() - 2))
            if x.dim() == 4:  # attention weights [row, head, query, key]; else features [row, position, feature]
                keys = keys ^ torch.tensor([[key(head)] for head in range(x.shape[1])], device=x.device)
            return x * masks(keys, x.shape[-1], self.p).to(x.dtype)


@contextmanager
def thinned_calls(
    network: nn.Module, keys: Int64[Tensor, "row"], p: float | None, blocks: bool = False
) -> Iterator[None]:
    """Inside, row r of every batch passes through the network thinned by keys[r]; with p None nothing changes.

    blocks: what is masked is what every block adds to its input, not what passes a dropout. (Its output itself, masked
    in each of thirty blocks, would be nothing at the top.)  ValueError at the end if the network has no dropout that
    could be reached.
    """
    if p is None:
        yield
        return
    calls = DropoutCalls(keys, p)
    parts = {"whole": network}
    if network.config.is_encoder_decoder:
        parts = {"encoder": network.get_encoder(), "decoder": network.get_decoder()}
    if blocks:
        hooks = [
            block.register_forward_hook(partial(_mask_what_is_added, keys ^ key(name), p), with_kwargs=True)
            for name, block in _blocks(network)
        ]
    else:
        hooks = [
            part.register_forward_pre_hook(lambda *_, name=name: calls.enter(name)) for name, part in parts.items()
        ]
    try:
        with nullcontext() if blocks else calls:
            yield
    finally:
        for hook in hooks:
            hook.remove()
    if not (hooks if blocks else calls.num_calls):
        raise ValueError(
            "this model has no dropout, so that dropout-p would make the same candidate again and again; "
            "Generator(..., thin_blocks=True) masks what its blocks add"
        )


def _blocks(network: nn.Module) -> list[tuple[str, nn.Module]]:
    """The members of lists of modules that are in no other list (experts are): layers of an encoder or a decoder."""
    lists = {name: part for name, part in network.named_modules() if isinstance(part, nn.ModuleList)}
    outer = [name for name in lists if not any(name.startswith(f"{other}.") for other in lists)]
    return [(f"{name}.{number}", block) for name in outer for number, block in enumerate(lists[name])]


def _mask_what_is_added(
    keys: Int64[Tensor, "row"], p: float, block: nn.Module, args: tuple, kwargs: dict, output: Any
) -> Any:
    before = args[0] if args else kwargs["hidden_states"]
    after = output[0] if isinstance(output, tuple) else output
    thinned = before + (after - before) * masks(keys, after.shape[-1], p)[:, None].to(after.dtype)
    return (thinned, *output[1:]) if isinstance(output, tuple) else thinned
