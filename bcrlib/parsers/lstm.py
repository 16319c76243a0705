"""LSTMs with variational dropout: one mask a sentence, layer and direction, kept for all time steps.

The input masks do not change over time, so the input projections of a whole layer are one matrix product; so is every
weight gradient. Only the recurrent product is taken step by step, for both directions at once and, thanks to the packed
layout, for living sentences alone. Gal and Ghahramani (2016); the paper's encoder, after Ma et al. (2018).

A step's product leaves four pre-activations a unit; the rest is arithmetic on single numbers. Tensor by tensor that is
a dozen trips through memory, which on a fast CPU costs more than the product itself. There it is one loop, forward and
one backward, that the compiler turns into vector instructions; elsewhere, and as the reference, the twin in PyTorch.
Rows stand behind `batch` rows of the initial state, so that there always is a state before. `row` is the first row of a
step, `previous` that of the step before, `count` how many sentences are alive. Gates stand in PyTorch's order.
"""

from collections.abc import Callable
from importlib.util import find_spec

import numpy as np
import torch
from jaxtyping import Float, Int64
from numba import njit
from torch import Tensor, nn

from bcrlib.parsers.batches import Packing
from bcrlib.samplers.dropout_p import Noise

_LOG2_E = np.float32(1.4426950408889634)
# 2**f on [-1/2, 1/2]: Chebyshev interpolation, relative error below 2e-7.
_C0, _C1, _C2, _C3, _C4, _C5, _C6 = (
    np.float32(c)
    for c in np.polynomial.Chebyshev.interpolate(np.exp2, 6, domain=[-0.5, 0.5])
    .convert(kind=np.polynomial.Polynomial)
    .coef
)
_LOWEST, _HIGHEST, _ONE, _TWO = np.float32(-100), np.float32(100), np.float32(1), np.float32(2)
# Adding and subtracting 1.5 * 2**23 rounds a float32 to an integer, which then stands in its lowest bits.
_ROUND = np.float32(12582912)
# Without the "numpy" error model every division could raise, and the loops would not be vectorised.
_compiled = njit(error_model="numpy", fastmath={"contract"}, nogil=True, cache=True)
_inlined = njit(error_model="numpy", fastmath={"contract"}, inline="always")


@_inlined
def _sigmoid(x):
    y = -x * _LOG2_E
    y = _LOWEST if y < _LOWEST else y
    y = _HIGHEST if y > _HIGHEST else y
    rounded = y + _ROUND
    f = y - (rounded - _ROUND)
    mantissa = _C0 + f * (_C1 + f * (_C2 + f * (_C3 + f * (_C4 + f * (_C5 + f * _C6)))))
    exponent = np.int32(np.int32(np.float32(rounded).view(np.int32)) << 23)
    return _ONE / (_ONE + mantissa * np.int32(exponent + np.int32(0x3F800000)).view(np.float32))


@_inlined
def _tanh(x):
    return _TWO * _sigmoid(_TWO * x) - _ONE


@_compiled
def _forward_kernel(gates, recurrent, cells, hidden, row, previous, count):
    batch = cells.shape[1] - gates.shape[1]
    size = cells.shape[2]
    for d in range(gates.shape[0]):
        for i in range(count):
            gate, product = gates[d, row + i], recurrent[d, i]
            cell_before = cells[d, previous + i]
            cell_now, hidden_now = cells[d, batch + row + i], hidden[d, batch + row + i]
            for j in range(size):
                gate_in = _sigmoid(gate[j] + product[j])
                forget = _sigmoid(gate[size + j] + product[size + j])
                update = _tanh(gate[2 * size + j] + product[2 * size + j])
                out = _sigmoid(gate[3 * size + j] + product[3 * size + j])
                cell = gate_in * update + forget * cell_before[j]
                cell_now[j] = cell
                hidden_now[j] = out * _tanh(cell)
                gate[j] = gate_in
                gate[size + j] = forget
                gate[2 * size + j] = update
                gate[3 * size + j] = out


@_compiled
def _rows_kernel(gates, which, recurrent, continues, cell, parent, hidden_now, cell_now):
    size = cell.shape[1]
    for i in range(len(parent)):
        gate, product, cell_before = gates[which[i]], recurrent[continues[i]], cell[parent[i]]
        for j in range(size):
            gate_in = _sigmoid(gate[j] + product[j])
            forget = _sigmoid(gate[size + j] + product[size + j])
            update = _tanh(gate[2 * size + j] + product[2 * size + j])
            out = _sigmoid(gate[3 * size + j] + product[3 * size + j])
            after = gate_in * update + forget * cell_before[j]
            cell_now[i, j] = after
            hidden_now[i, j] = out * _tanh(after)


@_compiled
def _backward_kernel(grad_hidden, grad_carried, grad_cell, gates, cells, grad_gates, row, previous, count):
    batch = cells.shape[1] - gates.shape[1]
    size = cells.shape[2]
    for d in range(gates.shape[0]):
        for i in range(count):
            gate, grad_gate = gates[d, row + i], grad_gates[d, row + i]
            cell_before, cell_now = cells[d, previous + i], cells[d, batch + row + i]
            from_above, carried, carried_cell = grad_hidden[d, row + i], grad_carried[d, i], grad_cell[d, i]
            for j in range(size):
                gate_in, forget = gate[j], gate[size + j]
                update, out = gate[2 * size + j], gate[3 * size + j]
                squashed = _tanh(cell_now[j])
                grad = from_above[j] + carried[j]
                into_cell = carried_cell[j] + grad * out * (_ONE - squashed * squashed)
                carried_cell[j] = into_cell * forget
                grad_gate[j] = into_cell * update * gate_in * (_ONE - gate_in)
                grad_gate[size + j] = into_cell * cell_before[j] * forget * (_ONE - forget)
                grad_gate[2 * size + j] = into_cell * gate_in * (_ONE - update * update)
                grad_gate[3 * size + j] = grad * squashed * out * (_ONE - out)


def cell_forward_reference(
    gates: Tensor, recurrent: Tensor, cells: Tensor, hidden: Tensor, row: int, previous: int, count: int
) -> None:
    """One step in PyTorch: the arithmetic that `cell_forward` fuses, on any device.

    Replaces `gates` [direction, token, 4 * unit] by the activated gates and writes `cells` and `hidden`
    [direction, batch + token, unit], for the rows of this step.
    """
    now = slice(cells.shape[1] - gates.shape[1] + row, cells.shape[1] - gates.shape[1] + row + count)
    gate_in, forget, update, out = (gates[:, row : row + count] + recurrent).chunk(4, dim=-1)
    gate_in, forget, update, out = gate_in.sigmoid(), forget.sigmoid(), update.tanh(), out.sigmoid()
    cells[:, now] = gate_in * update + forget * cells[:, previous : previous + count]
    hidden[:, now] = out * cells[:, now].tanh()
    gates[:, row : row + count] = torch.cat([gate_in, forget, update, out], dim=-1)


def cell_backward_reference(
    grad_hidden: Tensor,
    grad_carried: Tensor,
    grad_cell: Tensor,
    gates: Tensor,
    cells: Tensor,
    grad_gates: Tensor,
    row: int,
    previous: int,
    count: int,
) -> None:
    """Gradient of one step in PyTorch: writes `grad_gates` of this step and carries `grad_cell` one step back."""
    batch = cells.shape[1] - gates.shape[1]
    gate_in, forget, update, out = gates[:, row : row + count].chunk(4, dim=-1)
    squashed = cells[:, batch + row : batch + row + count].tanh()
    grad = grad_hidden[:, row : row + count] + grad_carried[:, :count]
    into_cell = grad_cell[:, :count] + grad * out * (1 - squashed * squashed)
    grad_cell[:, :count] = into_cell * forget
    grad_gates[:, row : row + count] = torch.cat(
        [
            into_cell * update * gate_in * (1 - gate_in),
            into_cell * cells[:, previous : previous + count] * forget * (1 - forget),
            into_cell * gate_in * (1 - update * update),
            grad * squashed * out * (1 - out),
        ],
        dim=-1,
    )


def cell_of_rows(
    gates: Float[Tensor, "input gate"],
    which: Int64[Tensor, "row"],
    recurrent: Float[Tensor, "used gate"],
    continues: Int64[Tensor, "row"],
    cell: Float[Tensor, "before hidden"],
    parent: Int64[Tensor, "row"],
) -> tuple[Float[Tensor, "row hidden"], Float[Tensor, "row hidden"]]:
    """One step of rows that share what they have in common: hidden and cell after it. O(row * hidden).

    Row r adds input gates[which[r]] and recurrent product recurrent[continues[r]] and goes on from cell[parent[r]].
    """
    arguments = (gates, which, recurrent, continues, cell, parent)
    if gates.device.type == "cpu" and gates.dtype == cell.dtype == torch.float32:
        hidden, cells = (torch.empty(len(parent), cell.shape[1]) for _ in range(2))
        _rows_kernel(*(a.detach().contiguous().numpy() for a in (*arguments, hidden, cells)))
        return hidden, cells
    return cell_of_rows_reference(*arguments)


def cell_of_rows_reference(
    gates: Tensor, which: Tensor, recurrent: Tensor, continues: Tensor, cell: Tensor, parent: Tensor
) -> tuple[Tensor, Tensor]:
    """The arithmetic that `cell_of_rows` fuses, on any device."""
    gate_in, forget, update, out = (gates[which] + recurrent[continues]).chunk(4, dim=1)
    cells = gate_in.sigmoid() * update.tanh() + forget.sigmoid() * cell[parent]
    return out.sigmoid() * cells.tanh(), cells


def cell_forward(*arguments: Tensor | int) -> None:
    """`cell_forward_reference`, fused where the tensors are float32 on the CPU. O(count * unit)."""
    _dispatch(_forward_kernel, cell_forward_reference, arguments)


def cell_backward(*arguments: Tensor | int) -> None:
    """`cell_backward_reference`, likewise."""
    _dispatch(_backward_kernel, cell_backward_reference, arguments)


def _dispatch(kernel: Callable, reference: Callable, arguments: tuple[Tensor | int, ...]) -> None:
    tensors = [a for a in arguments if isinstance(a, Tensor)]
    if all(t.device.type == "cpu" and t.dtype == torch.float32 for t in tensors):
        kernel(*(a.detach().numpy() if isinstance(a, Tensor) else a for a in arguments))
    else:
        reference(*arguments)


class VariationalLSTM(nn.Module):
    """Stack of bidirectional layers over packed rows."""

    def __init__(self, input_size: int, hidden_size: int, num_layers: int) -> None:
        super().__init__()
        widths = [input_size] + [2 * hidden_size] * (num_layers - 1)
        self.layers = nn.ModuleList(BidirectionalLayer(width, hidden_size) for width in widths)

    def forward(
        self, rows: Float[Tensor, "row input"], packing: Packing, masks: Noise | None = None
    ) -> tuple[Float[Tensor, "row two_hidden"], Float[Tensor, "sentence two_hidden"]]:
        """Encodings of all rows, forward states then backward states, and the last layer's final cells.

        O(row * hidden * (input + hidden)) a layer.
        """
        cells = rows
        for index, layer in enumerate(self.layers):
            rows, cells = layer(rows, packing, masks, f"lstm{index}")
        return rows, cells


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

    def forward(self, rows: Tensor, packing: Packing, masks: Noise | None, site: str) -> tuple[Tensor, Tensor]:
        if masks is None and not torch.is_grad_enabled() and product_dtype(rows) == rows.dtype:
            return self._without_dropout(rows, packing)
        both = torch.stack([rows, rows[packing.mirrored]])
        hidden_mask = None
        if masks is not None:
            width, size = rows.shape[1], self.weight_hidden.shape[2]
            input_mask = masks.per_sentence(f"{site}.input", 2 * width).unflatten(1, (2, width)).transpose(0, 1)
            hidden_mask = masks.per_sentence(f"{site}.hidden", 2 * size).unflatten(1, (2, size)).transpose(0, 1)
            both = both * input_mask[:, packing.sentence].to(both.dtype)
        gates = torch.bmm(both, self.weight_input.transpose(1, 2)).float() + self.bias[:, None]
        states, cells = Recurrence.apply(gates, self.weight_hidden, hidden_mask, None, None, packing)
        forward, backward = states.unbind(0)
        return torch.cat([forward, backward[packing.mirrored]], dim=1), torch.cat(cells.unbind(0), dim=1)

    def _without_dropout(self, rows: Tensor, packing: Packing) -> tuple[Tensor, Tensor]:
        """Without masks this is an ordinary LSTM, and the library's own kernel (cuDNN on a GPU) is hard to beat."""
        kinds = (self.weight_input, self.weight_hidden, self.bias, torch.zeros_like(self.bias))  # a second bias
        weights = [kind[direction] for direction in range(2) for kind in kinds]
        state = 2 * [rows.new_zeros(2, packing.num_sentences, self.weight_hidden.shape[2])]
        counts = torch.tensor(packing.counts)
        states, _, cells = torch.lstm(rows, counts, state, weights, True, 1, 0.0, False, True)
        return states, torch.cat(cells.unbind(0), dim=1)


class ForwardLayer(nn.Module):
    """One layer from left to right that starts from a given state; gates as in BidirectionalLayer."""

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__()
        self.weight_input = nn.Parameter(torch.empty(4 * hidden_size, input_size))
        self.weight_hidden = nn.Parameter(torch.empty(4 * hidden_size, hidden_size))
        self.bias = nn.Parameter(torch.zeros(4 * hidden_size))
        nn.init.xavier_uniform_(self.weight_input)
        nn.init.xavier_uniform_(self.weight_hidden)

    def forward(
        self,
        rows: Float[Tensor, "row input"],
        packing: Packing,
        hidden: Float[Tensor, "sentence hidden"],
        cell: Float[Tensor, "sentence hidden"],
        hidden_mask: Float[Tensor, "sentence hidden"] | None,
    ) -> Float[Tensor, "row hidden"]:
        """States of all rows, whose input mask is applied already. O(row * hidden * (input + hidden))."""
        gates = (rows @ self.weight_input.T).float() + self.bias
        mask, state = None if hidden_mask is None else hidden_mask[None], (hidden.float()[None], cell.float()[None])
        states, _ = Recurrence.apply(gates[None], self.weight_hidden[None], mask, *state, packing)
        return states[0]


class Recurrence(torch.autograd.Function):
    """The recurrent part of a layer: from gates without it [direction, row, 4 * hidden] to states and final cells,
    [direction, row, hidden] and [direction, sentence, hidden].

    Directions walk from step 0 on; the backward one gets its rows mirrored. Without an initial state it is zero. The
    gradient is written out by hand: autograd would add up the weight gradient time step by time step, here it is one
    product at the end.
    """

    @staticmethod
    def forward(
        ctx,
        gates: Tensor,
        weight: Tensor,
        mask: Tensor | None,
        initial_hidden: Tensor | None,
        initial_cell: Tensor | None,
        packing: Packing,
    ) -> tuple[Tensor, Tensor]:
        batch, size = packing.num_sentences, weight.shape[2]
        gates = gates.contiguous() if ctx.needs_input_grad[0] else gates.clone()
        weight = weight.to(product_dtype(gates))
        hidden = gates.new_zeros(len(gates), batch + packing.num_rows, size)
        cells = torch.zeros_like(hidden)
        if initial_hidden is not None and initial_cell is not None:
            hidden[:, :batch], cells[:, :batch] = initial_hidden, initial_cell
        _walks(gates)[0](gates, weight, mask, hidden, cells, packing)
        ctx.save_for_backward(gates, weight, mask, hidden, cells)
        ctx.packing = packing
        return hidden[:, batch:], cells[:, batch + packing.last_rows]

    @staticmethod
    def backward(ctx, grad_hidden: Tensor, grad_cells: Tensor) -> tuple[Tensor | None, ...]:
        packing, (gates, weight, mask, hidden, cells) = ctx.packing, ctx.saved_tensors
        grad_hidden = grad_hidden.to(gates.dtype).contiguous()
        # A sentence's cells are first read at its last step: there the gradient of its final cell comes in.
        grad_cell = grad_cells.to(gates.dtype).contiguous().clone()
        grad_gates, grad_first = _walks(gates)[1](grad_hidden, grad_cell, gates, weight, mask, cells, packing)
        before = torch.tensor([before for _, _, before in _steps(packing)], device=packing.step.device)
        states = hidden[:, before[packing.step] + packing.sentence]
        if mask is not None:
            states = states * mask[:, packing.sentence]
        grad_weight = torch.bmm(grad_gates.to(weight.dtype).transpose(1, 2), states.to(weight.dtype))
        initial = (grad_first, grad_cell) if any(ctx.needs_input_grad[3:5]) else (None, None)
        return grad_gates, grad_weight.to(gates.dtype), None, *initial, None


def walk(
    gates: Float[Tensor, "direction row four_hidden"],
    weight: Float[Tensor, "direction four_hidden hidden"],
    mask: Float[Tensor, "direction sentence hidden"] | None,
    hidden: Float[Tensor, "direction state hidden"],
    cells: Float[Tensor, "direction state hidden"],
    packing: Packing,
) -> None:
    """All steps forward: activates `gates` and fills `hidden` and `cells` behind the initial states that they hold.

    state: a row of the initial states, one a sentence, or of a token. Products have the precision of `weight`.
    """
    for row, count, previous in _steps(packing):
        state = hidden[:, previous : previous + count]
        state = state if mask is None else state * mask[:, :count]
        recurrent = torch.bmm(state.to(weight.dtype), weight.transpose(1, 2)).to(gates.dtype)
        cell_forward(gates, recurrent, cells, hidden, row, previous, count)


def walk_back(
    grad_hidden: Float[Tensor, "direction row hidden"],
    grad_cell: Float[Tensor, "direction sentence hidden"],
    gates: Float[Tensor, "direction row four_hidden"],
    weight: Float[Tensor, "direction four_hidden hidden"],
    mask: Float[Tensor, "direction sentence hidden"] | None,
    cells: Float[Tensor, "direction state hidden"],
    packing: Packing,
) -> tuple[Float[Tensor, "direction row four_hidden"], Float[Tensor, "direction sentence hidden"]]:
    """All steps backward: gradients of the gates before activation, and of the first hidden state.

    grad_cell: of the final cells; it becomes that of the first ones.
    """
    grad_gates, carried = torch.empty_like(gates), torch.zeros_like(grad_cell)
    for row, count, previous in reversed(_steps(packing)):
        cell_backward(grad_hidden, carried, grad_cell, gates, cells, grad_gates, row, previous, count)
        product = torch.bmm(grad_gates[:, row : row + count].to(weight.dtype), weight)
        carried[:, :count] = product if mask is None else product * mask[:, :count]
    return grad_gates, carried


def _walks(gates: Tensor) -> tuple[Callable, Callable]:
    """The functions above, or their twins that keep a GPU busy."""
    if gates.is_cuda and find_spec("triton"):  # PyTorch for CUDA brings it, but not on Windows
        from bcrlib.parsers import lstm_cuda

        return lstm_cuda.walk, lstm_cuda.walk_back
    return walk, walk_back


def _steps(packing: Packing) -> list[tuple[int, int, int]]:
    """First row, sentences alive, and the first state before it, of every time step."""
    previous = [0, *(packing.num_sentences + row for row in packing.starts[:-1])]
    return list(zip(packing.starts, packing.counts, previous))


def product_dtype(tensor: Tensor) -> torch.dtype:
    """The precision of matrix products: autocast's where it is on. Sums, gates and states stay in float32."""
    device = tensor.device.type
    return torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else tensor.dtype
