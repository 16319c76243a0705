"""The recurrent walk of an LSTM layer on a GPU: two kernels a time step, one product and one that does all the rest.

A GPU that goes step by step waits for its next order most of the time: what counts is how many kernels a step starts,
not what they compute. Tensor by tensor a step of a layer starts 16 of them forward and 30 backward. The arithmetic is
that of `bcrlib.parsers.lstm`, whose reference is the twin of these kernels too. Without a GPU they run in Triton's
interpreter.
"""

import torch
import triton
import triton.language as tl
from jaxtyping import Float
from torch import Tensor

from bcrlib.parsers.batches import Packing

UNITS = 128
"""Of a sentence's state, computed by one block of threads."""
_CHANGING = ["row", "previous", "count", "count_after", "num_rows", "batch"]  # else compiled anew for lucky values


@triton.jit
def _tanh(x):
    return 2 * tl.sigmoid(2 * x) - 1


@triton.jit(do_not_specialize=_CHANGING)
def _forward_kernel(
    gates, recurrent, cells, hidden, mask, masked, row, previous, count, num_rows, batch, size,
    HAS_MASK: tl.constexpr, UNITS: tl.constexpr,
):  # fmt: skip
    direction, sentence = tl.program_id(0) // count, tl.program_id(0) % count
    unit = tl.program_id(1) * UNITS + tl.arange(0, UNITS)
    inside = unit < size
    gate = gates + (direction * num_rows + row + sentence).to(tl.int64) * 4 * size + unit
    product = recurrent + (direction * count + sentence) * 4 * size + unit
    state = (direction * (batch + num_rows)).to(tl.int64)
    before, now = (state + previous + sentence) * size + unit, (state + batch + row + sentence) * size + unit
    gate_in = tl.sigmoid(tl.load(gate, inside) + tl.load(product, inside).to(tl.float32))
    forget = tl.sigmoid(tl.load(gate + size, inside) + tl.load(product + size, inside).to(tl.float32))
    update = _tanh(tl.load(gate + 2 * size, inside) + tl.load(product + 2 * size, inside).to(tl.float32))
    out = tl.sigmoid(tl.load(gate + 3 * size, inside) + tl.load(product + 3 * size, inside).to(tl.float32))
    cell = gate_in * update + forget * tl.load(cells + before, inside)
    after = out * _tanh(cell)
    tl.store(gate, gate_in, inside)
    tl.store(gate + size, forget, inside)
    tl.store(gate + 2 * size, update, inside)
    tl.store(gate + 3 * size, out, inside)
    tl.store(cells + now, cell, inside)
    tl.store(hidden + now, after, inside)
    of_sentence = (direction * batch + sentence) * size + unit
    if HAS_MASK:
        after *= tl.load(mask + of_sentence, inside)
    tl.store(masked + of_sentence, after.to(masked.dtype.element_ty), inside)


@triton.jit(do_not_specialize=_CHANGING)
def _backward_kernel(
    grad_hidden, product, mask, grad_cell, gates, cells, grad_gates, rounded, row, previous, count, count_after,
    num_rows, batch, size, HAS_MASK: tl.constexpr, UNITS: tl.constexpr,
):  # fmt: skip
    direction, sentence = tl.program_id(0) // count, tl.program_id(0) % count
    unit = tl.program_id(1) * UNITS + tl.arange(0, UNITS)
    inside = unit < size
    of_row = (direction * num_rows + row + sentence).to(tl.int64)
    of_sentence = (direction * batch + sentence) * size + unit
    state = (direction * (batch + num_rows)).to(tl.int64)
    before, now = (state + previous + sentence) * size + unit, (state + batch + row + sentence) * size + unit
    gate = gates + of_row * 4 * size + unit
    gate_in, forget = tl.load(gate, inside), tl.load(gate + size, inside)
    update, out = tl.load(gate + 2 * size, inside), tl.load(gate + 3 * size, inside)
    # Sentences that end with this step have nothing carried back to it.
    goes_on = unit < tl.where(sentence < count_after, size, 0)
    carried = tl.load(product + (direction * count_after + sentence) * size + unit, goes_on, other=0.0).to(tl.float32)
    if HAS_MASK:
        carried *= tl.load(mask + of_sentence, inside)
    grad = tl.load(grad_hidden + of_row * size + unit, inside) + carried
    squashed = _tanh(tl.load(cells + now, inside))
    into_cell = tl.load(grad_cell + of_sentence, inside) + grad * out * (1 - squashed * squashed)
    tl.store(grad_cell + of_sentence, into_cell * forget, inside)
    into_in = into_cell * update * gate_in * (1 - gate_in)
    into_forget = into_cell * tl.load(cells + before, inside) * forget * (1 - forget)
    into_update = into_cell * gate_in * (1 - update * update)
    into_out = grad * squashed * out * (1 - out)
    grad_gate = grad_gates + of_row * 4 * size + unit
    tl.store(grad_gate, into_in, inside)
    tl.store(grad_gate + size, into_forget, inside)
    tl.store(grad_gate + 2 * size, into_update, inside)
    tl.store(grad_gate + 3 * size, into_out, inside)
    kind = rounded.dtype.element_ty
    for_product = rounded + (direction * count + sentence) * 4 * size + unit
    tl.store(for_product, into_in.to(kind), inside)
    tl.store(for_product + size, into_forget.to(kind), inside)
    tl.store(for_product + 2 * size, into_update.to(kind), inside)
    tl.store(for_product + 3 * size, into_out.to(kind), inside)


def walk(
    gates: Float[Tensor, "direction row four_hidden"],
    weight: Float[Tensor, "direction four_hidden hidden"],
    mask: Float[Tensor, "direction sentence hidden"] | None,
    hidden: Float[Tensor, "direction state hidden"],
    cells: Float[Tensor, "direction state hidden"],
    packing: Packing,
) -> None:
    """All steps forward: activates `gates` and fills `hidden` and `cells` behind the initial states, as in
    `bcrlib.parsers.lstm.walk`.  Products have the precision of `weight`. Two kernels a step."""
    directions, batch, size = len(gates), packing.num_sentences, weight.shape[2]
    mask = None if mask is None else mask.contiguous()
    first = hidden[:, :batch] if mask is None else hidden[:, :batch] * mask
    masked = first.to(weight.dtype).contiguous()
    transposed, previous = weight.transpose(1, 2), 0
    fixed = (packing.num_rows, batch, size)
    for row, count in zip(packing.starts, packing.counts):
        recurrent = torch.bmm(masked[:, :count], transposed)
        _forward_kernel[(directions * count, triton.cdiv(size, UNITS))](
            gates, recurrent, cells, hidden, gates if mask is None else mask, masked, row, previous, count, *fixed,
            HAS_MASK=mask is not None, UNITS=UNITS,
        )  # fmt: skip
        previous = batch + row


def walk_back(
    grad_hidden: Float[Tensor, "direction row hidden"],
    grad_cell: Float[Tensor, "direction sentence hidden"],
    gates: Float[Tensor, "direction row four_hidden"],
    weight: Float[Tensor, "direction four_hidden hidden"],
    mask: Float[Tensor, "direction sentence hidden"] | None,
    cells: Float[Tensor, "direction state hidden"],
    packing: Packing,
) -> tuple[Float[Tensor, "direction row four_hidden"], Float[Tensor, "direction sentence hidden"]]:
    """All steps backward, as `bcrlib.parsers.lstm.walk_back`: gradients of the gates and of the first hidden state;
    `grad_cell` becomes that of the first cell. Two kernels a step."""
    directions, batch, size = len(gates), packing.num_sentences, weight.shape[2]
    mask = None if mask is None else mask.contiguous()
    grad_gates = torch.empty_like(gates)
    product, count_after = weight, 0  # nothing is read of the first
    previous_rows = [0, *(batch + row for row in packing.starts[:-1])]
    fixed = (packing.num_rows, batch, size)
    for row, count, previous in reversed(list(zip(packing.starts, packing.counts, previous_rows))):
        rounded = torch.empty(directions, count, 4 * size, dtype=weight.dtype, device=weight.device)
        _backward_kernel[(directions * count, triton.cdiv(size, UNITS))](
            grad_hidden, product, gates if mask is None else mask, grad_cell, gates, cells, grad_gates, rounded,
            row, previous, count, count_after, *fixed, HAS_MASK=mask is not None, UNITS=UNITS,
        )  # fmt: skip
        product, count_after = torch.bmm(rounded, weight), count
    return grad_gates, product.to(gates.dtype) if mask is None else product.to(gates.dtype) * mask
