"""Dropout-p in networks of other people: every call of `torch.nn.functional.dropout` gets masks of our own.

Modules and plain calls both end there, in evaluation too. A call is known by its place in the order of a forward pass.
Not reached: dropout inside fused attention, which never calls it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from jaxtyping import Int64
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from bcrlib.models.noise import random_uint16
from bcrlib.randomness import key


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
            return x * self._masks(x, key(part, number))

    def _masks(self, x: Tensor, site: int) -> Tensor:
        """Of features [row, position, feature], or of attention weights [row, head, query, key]."""
        if x.dim() == 4:
            heads = torch.tensor([key(head) for head in range(x.shape[1])], device=x.device)
            keys = (self.keys[:, None] ^ site ^ heads).flatten()
            return self._kept(keys, x.shape[3], x.dtype).view(len(x), x.shape[1], 1, -1)
        return self._kept(self.keys ^ site, x.shape[-1], x.dtype).view(len(x), *[1] * (x.dim() - 2), -1)

    def _kept(self, keys: Tensor, width: int, dtype: torch.dtype) -> Tensor:
        return (random_uint16(keys, width) >= round(self.p * 65536)).to(dtype).div_(1 - self.p)


@contextmanager
def thinned_calls(network: nn.Module, keys: Int64[Tensor, "row"], p: float | None) -> Iterator[None]:
    """Inside, row r of every batch passes through the network thinned by keys[r]; with p None nothing changes.

    ValueError at the end if the network has no dropout that could be reached.
    """
    if p is None:
        yield
        return
    calls = DropoutCalls(keys, p)
    parts = {"whole": network}
    if network.config.is_encoder_decoder:
        parts = {"encoder": network.get_encoder(), "decoder": network.get_decoder()}
    hooks = [part.register_forward_pre_hook(lambda *_, name=name: calls.enter(name)) for name, part in parts.items()]
    try:
        with calls:
            yield
    finally:
        for hook in hooks:
            hook.remove()
    if not calls.num_calls:
        raise ValueError("this model has no dropout: dropout-p would make the same candidate again and again")
