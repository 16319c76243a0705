"""Bidirectional LSTM with variational dropout: one mask a sentence, layer and direction, kept for all time steps.

The input masks do not change over time, so the input projections of a whole layer are one matrix product; so is every
weight gradient. Only the recurrent product is taken step by step, for both directions at once and, thanks to the packed
layout, for living sentences alone. Gal and Ghahramani (2016); the paper's encoder, after Ma et al. (2018).
"""

from typing import Protocol

import torch
from jaxtyping import Float
from torch import Tensor, nn

from bcrlib.models.lstm_cell import cell_backward, cell_forward
from bcrlib.models.packing import Packing


class Masks(Protocol):
    """Dropout masks, already scaled by 1 / (1 - p); see noise.py."""

    def per_sentence(self, site: str, width: int) -> Tensor:
        """[sentence, width]: one mask for all tokens of a sentence."""


class VariationalLSTM(nn.Module):
    """Stack of bidirectional layers over packed rows."""

    def __init__(self, input_size: int, hidden_size: int, num_layers: int) -> None:
        super().__init__()
        widths = [input_size] + [2 * hidden_size] * (num_layers - 1)
        self.layers = nn.ModuleList(BidirectionalLayer(width, hidden_size) for width in widths)

    def forward(
        self, rows: Float[Tensor, "row input"], packing: Packing, masks: Masks | None = None
    ) -> Float[Tensor, "row two_hidden"]:
        """Encodings of all rows: forward states, then backward states. O(row * hidden * (input + hidden)) a layer."""
        for index, layer in enumerate(self.layers):
            rows = layer(rows, packing, masks, f"lstm{index}")
        return rows


class BidirectionalLayer(nn.Module):
    """Weights of both directions, first axis forward then backward; gates in the order input, forget, cell, output."""

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__()
        self.weight_input = nn.Parameter(torch.empty(2, 4 * hidden_size, input_size))
        self.weight_hidden = nn.Parameter(torch.empty(2, 4 * hidden_size, hidden_size))
        self.bias = nn.Parameter(torch.zeros(2, 4 * hidden_size))
        for direction in range(2):
            nn.init.xavier_uniform_(self.weight_input[direction])
            nn.init.xavier_uniform_(self.weight_hidden[direction])

    def forward(self, rows: Tensor, packing: Packing, masks: Masks | None, site: str) -> Tensor:
        if masks is None and not torch.is_grad_enabled() and _product_dtype(rows) == rows.dtype:
            return self._without_dropout(rows, packing)
        both = torch.stack([rows, rows[packing.mirrored]])
        hidden_mask = None
        if masks is not None:
            width, size = rows.shape[1], self.weight_hidden.shape[2]
            input_mask = masks.per_sentence(f"{site}.input", 2 * width).unflatten(1, (2, width)).transpose(0, 1)
            hidden_mask = masks.per_sentence(f"{site}.hidden", 2 * size).unflatten(1, (2, size)).transpose(0, 1)
            both = both * input_mask[:, packing.sentence].to(both.dtype)
        gates = torch.bmm(both, self.weight_input.transpose(1, 2)).float() + self.bias[:, None]
        forward, backward = Recurrence.apply(gates, self.weight_hidden, hidden_mask, packing).unbind(0)
        return torch.cat([forward, backward[packing.mirrored]], dim=1)

    def _without_dropout(self, rows: Tensor, packing: Packing) -> Tensor:
        """Without masks this is an ordinary LSTM, and the library's own kernel (cuDNN on a GPU) is hard to beat."""
        weights = [w[d] for d in range(2) for w in (self.weight_input, self.weight_hidden, self.bias)]
        with_second_bias = [*weights[:3], torch.zeros_like(weights[2]), *weights[3:], torch.zeros_like(weights[5])]
        state = rows.new_zeros(2, packing.num_sentences, self.weight_hidden.shape[2])
        counts = torch.tensor(packing.counts)
        return torch.lstm(rows, counts, (state, state), with_second_bias, True, 1, 0.0, False, True)[0]


class Recurrence(torch.autograd.Function):
    """The recurrent part of a layer: from gates without it [2, row, 4 * hidden] to states [2, row, hidden].

    Both directions walk from step 0 on; the backward one gets its rows mirrored. The gradient is written out by hand:
    autograd would add up the weight gradient time step by time step, here it is one product at the end.
    """

    @staticmethod
    def forward(ctx, gates: Tensor, weight: Tensor, mask: Tensor | None, packing: Packing) -> Tensor:
        batch, size = packing.num_sentences, weight.shape[2]
        gates = gates.contiguous() if ctx.needs_input_grad[0] else gates.clone()
        weight = weight.to(_product_dtype(gates))
        hidden = gates.new_zeros(2, batch + packing.num_rows, size)
        cells = torch.zeros_like(hidden)
        previous = 0
        for row, count in zip(packing.starts, packing.counts):
            state = hidden[:, previous : previous + count]
            state = state if mask is None else state * mask[:, :count]
            recurrent = torch.bmm(state.to(weight.dtype), weight.transpose(1, 2)).to(gates.dtype)
            cell_forward(gates, recurrent, cells, hidden, row, previous, count)
            previous = batch + row
        ctx.save_for_backward(gates, weight, mask, hidden, cells)
        ctx.packing = packing
        return hidden[:, batch:]

    @staticmethod
    def backward(ctx, grad_hidden: Tensor) -> tuple[Tensor, Tensor, None, None]:
        gates, weight, mask, hidden, cells = ctx.saved_tensors
        packing, batch = ctx.packing, ctx.packing.num_sentences
        grad_hidden = grad_hidden.to(gates.dtype).contiguous()
        grad_gates = torch.empty_like(gates)
        carried, carried_cell = hidden.new_zeros(2, 2, batch, weight.shape[2])
        previous_rows = [0, *(batch + row for row in packing.starts[:-1])]
        for row, count, previous in reversed(list(zip(packing.starts, packing.counts, previous_rows))):
            cell_backward(grad_hidden, carried, carried_cell, gates, cells, grad_gates, row, previous, count)
            product = torch.bmm(grad_gates[:, row : row + count].to(weight.dtype), weight)
            carried[:, :count] = product if mask is None else product * mask[:, :count]
        states = hidden[:, _rows_before(packing, previous_rows)]
        if mask is not None:
            states = states * mask[:, packing.sentence]
        grad_weight = torch.bmm(grad_gates.to(weight.dtype).transpose(1, 2), states.to(weight.dtype))
        return grad_gates, grad_weight.to(gates.dtype), None, None


def _rows_before(packing: Packing, previous_rows: list[int]) -> Tensor:
    """int64 [row]: where the state before each row stands, the initial state included."""
    return torch.tensor(previous_rows, device=packing.step.device)[packing.step] + packing.sentence


def _product_dtype(tensor: Tensor) -> torch.dtype:
    """The precision of matrix products: autocast's where it is on. Sums, gates and states stay in float32."""
    device = tensor.device.type
    return torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else tensor.dtype
