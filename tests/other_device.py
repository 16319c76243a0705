"""A second device where there is none: tensors that are elsewhere, they say, and do not mix with those on the CPU.

Their values stay on the CPU and are computed with there. What is checked is what a GPU would refuse: products of
tensors on two devices, and values read without being fetched. They call themselves "meta", the one device without
hardware through which PyTorch passes gradients.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

ELSEWHERE = "meta"
# A GPU takes these from the CPU too: copies between devices, indices, and lengths of packed sequences.
MAY_MIX = ("aten::copy_", "aten::_to_copy", "aten::index", "aten::_index", "aten::_thnn", "aten::lstm")


class ElsewhereTensor(Tensor):
    """Not on the CPU, it says."""

    __torch_function__ = torch._C._disabled_torch_function_impl

    @staticmethod
    def __new__(cls, values: Tensor) -> "ElsewhereTensor":
        return Tensor._make_wrapper_subclass(
            cls, values.shape, strides=values.stride(), dtype=values.dtype, device=torch.device(ELSEWHERE)
        )

    def __init__(self, values: Tensor) -> None:
        self.values_here = values

    def tolist(self) -> list:
        """Fetched, as from a GPU."""
        return self.values_here.tolist()

    @classmethod
    def __torch_dispatch__(cls, function, types, args=(), kwargs=None) -> Any:
        return _run(function, args, kwargs or {})


class _Everywhere(TorchDispatchMode):
    def __torch_dispatch__(self, function, types, args=(), kwargs=None) -> Any:
        return _run(function, args, kwargs or {})


@contextmanager
def other_device() -> Iterator[None]:
    """Inside, tensors can be made elsewhere and moved there."""
    # It puts numbers on a device without asking anyone: here they are made on the CPU and moved.
    tensor = torch.tensor
    moved = mock.patch("torch.tensor", lambda data, device="cpu", **kwargs: tensor(data, **kwargs).to(device))
    with moved, _Everywhere():
        yield


def _run(function, args: tuple, kwargs: dict[str, Any]) -> Any:
    tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
    there = [tensor for tensor in tensors if isinstance(tensor, ElsewhereTensor)]
    name, here = function.name(), [t.dim() > 0 for t in tensors if not isinstance(t, ElsewhereTensor)]
    if there and any(here) and not name.startswith(MAY_MIX):
        raise RuntimeError(f"{name}: tensors on two devices")
    goes_there = bool(there) if kwargs.get("device") is None else torch.device(kwargs["device"]).type == ELSEWHERE
    kwargs = {**kwargs, "device": torch.device("cpu")} if kwargs.get("device") is not None else kwargs
    result = function(*tree_map(_here, args), **tree_map(_here, kwargs))
    known = {id(tensor.values_here): tensor for tensor in there}  # what was changed in place is the same tensor still
    return tree_map(lambda value: _there(value, known), result) if goes_there else result


def _here(value: Any) -> Any:
    return value.values_here if isinstance(value, ElsewhereTensor) else value


def _there(value: Any, known: dict[int, ElsewhereTensor]) -> Any:
    if not isinstance(value, Tensor):
        return value
    return known[id(value)] if id(value) in known else ElsewhereTensor(value)
