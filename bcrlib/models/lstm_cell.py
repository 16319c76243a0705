"""The point-wise half of an LSTM step, forward and backward, each as one pass over memory.

The matrix product of a step leaves four pre-activations a unit; the rest is arithmetic on single numbers. Tensor by
tensor that is a dozen trips through memory, which on a fast CPU costs more than the product itself. On the CPU it is
one loop that the compiler turns into vector instructions; elsewhere, and as the reference, the twin in PyTorch.

Rows live in the packed layout (see packing.py) behind `batch` rows of the initial state, so that the state
before row r of a step always exists. `row` is the first row of the step, `previous` that of the step before it, and
`count` how many sentences are alive. Gate order is PyTorch's: input, forget, cell, output.
"""

import numpy as np
import torch
from jaxtyping import Float, Int64
from numba import njit
from torch import Tensor

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


def cell_forward(*arguments: Tensor | int) -> None:
    """`cell_forward_reference`, fused where the tensors are float32 on the CPU. O(count * unit)."""
    _dispatch(_forward_kernel, cell_forward_reference, arguments)


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


def cell_backward(*arguments: Tensor | int) -> None:
    """`cell_backward_reference`, fused where the tensors are float32 on the CPU. O(count * unit)."""
    _dispatch(_backward_kernel, cell_backward_reference, arguments)


def _dispatch(kernel, reference, arguments) -> None:
    tensors = [a for a in arguments if isinstance(a, Tensor)]
    if all(t.device.type == "cpu" and t.dtype == torch.float32 for t in tensors):
        kernel(*(a.detach().numpy() if isinstance(a, Tensor) else a for a in arguments))
    else:
        reference(*arguments)
