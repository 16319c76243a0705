"""The variational LSTM against the library's LSTM, against a plain loop with masks, and its gradients."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import nn

from bcrlib.parsers.batches import Packing, pack
from bcrlib.parsers.lstm import (
    ForwardLayer,
    Recurrence,
    VariationalLSTM,
    cell_backward,
    cell_backward_reference,
    cell_forward,
    cell_forward_reference,
    cell_of_rows,
    cell_of_rows_reference,
)

LENGTHS = np.array([7, 5, 5, 3, 1])
INPUT, HIDDEN, LAYERS = 6, 4, 3


@dataclass(frozen=True)
class FixedMasks:
    """Masks drawn beforehand, by site."""

    mask_of_site: dict[str, torch.Tensor]

    def per_sentence(self, site: str, width: int) -> torch.Tensor:
        assert self.mask_of_site[site].shape == (len(LENGTHS), width)
        return self.mask_of_site[site]


@pytest.fixture
def packing() -> Packing:
    return pack(LENGTHS)


@pytest.fixture
def lstm() -> VariationalLSTM:
    torch.manual_seed(1)
    network = VariationalLSTM(INPUT, HIDDEN, LAYERS)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter += 0.3 * torch.randn(parameter.shape)
    return network


@pytest.fixture
def rows(packing) -> torch.Tensor:
    return torch.randn(packing.num_rows, INPUT, generator=torch.Generator().manual_seed(2))


@pytest.fixture
def masks() -> FixedMasks:
    generator = torch.Generator().manual_seed(3)
    widths = {f"lstm{i}.input": 2 * (INPUT if i == 0 else 2 * HIDDEN) for i in range(LAYERS)}
    widths |= {f"lstm{i}.hidden": 2 * HIDDEN for i in range(LAYERS)}
    drawn = {site: torch.rand(len(LENGTHS), width, generator=generator) for site, width in widths.items()}
    return FixedMasks({site: (draw > 0.4).float() / 0.6 for site, draw in drawn.items()})


def library_lstm(lstm: VariationalLSTM) -> nn.LSTM:
    """nn.LSTM with the same weights and a second bias of zero."""
    library = nn.LSTM(INPUT, HIDDEN, LAYERS, bidirectional=True)
    with torch.no_grad():
        for index, layer in enumerate(lstm.layers):
            for direction, suffix in enumerate(("", "_reverse")):
                getattr(library, f"weight_ih_l{index}{suffix}").copy_(layer.weight_input[direction])
                getattr(library, f"weight_hh_l{index}{suffix}").copy_(layer.weight_hidden[direction])
                getattr(library, f"bias_ih_l{index}{suffix}").copy_(layer.bias[direction])
                getattr(library, f"bias_hh_l{index}{suffix}").zero_()
    return library


def gradients(output: torch.Tensor, inputs: list[torch.Tensor]) -> list[torch.Tensor]:
    """Of a loss in which every output has another weight."""
    weights = torch.linspace(-1, 1, output.numel(), dtype=output.dtype).view_as(output).cos()
    return list(torch.autograd.grad((output * weights).sum(), inputs))


def masked_direction(
    sentence: torch.Tensor, layer: nn.Module, direction: int, input_mask: torch.Tensor, hidden_mask: torch.Tensor
) -> torch.Tensor:
    """States [step, hidden] of one direction over one sentence [step, input], gate by gate."""
    weight_input, weight_hidden, bias = (
        w[direction].double() for w in (layer.weight_input, layer.weight_hidden, layer.bias)
    )
    hidden = cell = sentence.new_zeros(HIDDEN)
    states = []
    for token in sentence if direction == 0 else sentence.flip(0):
        gates = weight_input @ (token * input_mask) + weight_hidden @ (hidden * hidden_mask) + bias
        gate_in, forget, update, out = gates.chunk(4)
        cell = gate_in.sigmoid() * update.tanh() + forget.sigmoid() * cell
        hidden = out.sigmoid() * cell.tanh()
        states.append(hidden)
    return torch.stack(states if direction == 0 else states[::-1])


def reference_with_masks(lstm: VariationalLSTM, rows: torch.Tensor, packing: Packing, masks: FixedMasks):
    """The whole stack sentence by sentence, in float64."""
    result = [None] * packing.num_rows
    for b, length in enumerate(LENGTHS):
        places = [packing.starts[step] + b for step in range(length)]
        sentence = rows[places].double()
        for index, layer in enumerate(lstm.layers):
            input_masks = masks.mask_of_site[f"lstm{index}.input"][b].double().chunk(2)
            hidden_masks = masks.mask_of_site[f"lstm{index}.hidden"][b].double().chunk(2)
            directions = [masked_direction(sentence, layer, d, input_masks[d], hidden_masks[d]) for d in range(2)]
            sentence = torch.cat(directions, dim=1)
        for place, state in zip(places, sentence):
            result[place] = state
    return torch.stack(result)


def test_without_masks_it_is_the_librarys_lstm(lstm, rows, packing):
    library = library_lstm(lstm)
    rows.requires_grad_()
    ours, cells = lstm(rows, packing)
    output, (_, their_cells) = library(nn.utils.rnn.PackedSequence(rows, torch.tensor(packing.counts)))
    theirs = output.data
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(cells, torch.cat([*their_cells[-2:]], dim=1), atol=1e-5, rtol=1e-5)
    our_gradients = gradients(ours, [rows, *lstm.parameters()])
    expected = [gradients(theirs, [rows])[0]]
    for index in range(LAYERS):
        for name in ("weight_ih", "weight_hh", "bias_ih"):
            both = [getattr(library, f"{name}_l{index}{suffix}") for suffix in ("", "_reverse")]
            output = library(nn.utils.rnn.PackedSequence(rows, torch.tensor(packing.counts)))[0].data
            expected.append(torch.stack(gradients(output, both)))
    assert len(our_gradients) == len(expected)
    for ours, theirs in zip(our_gradients, expected):
        torch.testing.assert_close(ours, theirs, atol=2e-5, rtol=1e-4)


def test_with_masks_it_is_the_plain_loop(lstm, rows, packing, masks):
    rows.requires_grad_()
    inputs = [rows, *lstm.parameters()]
    ours, _ = lstm(rows, packing, masks)
    expected = reference_with_masks(lstm, rows, packing, masks)
    torch.testing.assert_close(ours.double(), expected, atol=1e-5, rtol=1e-5)
    for our_gradient, reference in zip(gradients(ours, inputs), gradients(expected, inputs)):
        torch.testing.assert_close(our_gradient, reference, atol=2e-5, rtol=1e-4)
    assert (lstm(rows, packing)[0] - ours).abs().max() > 0.1, "the masks change nothing"


@pytest.mark.parametrize("with_initial", [False, True])
@pytest.mark.parametrize("with_mask", [False, True])
def test_gradient_of_the_recurrence_in_float64(with_mask, with_initial):
    """Of states and of final cells, to gates, weights and, where there is one, the initial state."""
    generator = torch.Generator().manual_seed(4)
    packing = pack(np.array([4, 2, 2, 1]))

    def draw(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    inputs = [draw(2, packing.num_rows, 4 * 2), draw(2, 4 * 2, 2)]
    inputs += [draw(2, 4, 2), draw(2, 4, 2)] if with_initial else []
    mask = draw(2, 4, 2) if with_mask else None

    def recurrence(gates, weight, hidden=None, cell=None):
        # The recurrence overwrites its gates; gradcheck wants to find its inputs as they were.
        return Recurrence.apply(gates.clone(), weight, mask, hidden, cell, packing)

    assert torch.autograd.gradcheck(recurrence, [values.requires_grad_() for values in inputs])


@pytest.mark.parametrize("part", [0, 1], ids=["hidden", "cell"])
def test_half_of_the_initial_state_may_need_a_gradient(packing, part):
    generator = torch.Generator().manual_seed(8)
    gates, weight, *state = (
        torch.randn(*shape, generator=generator)
        for shape in [(1, packing.num_rows, 4 * HIDDEN), (1, 4 * HIDDEN, HIDDEN), *[(1, len(LENGTHS), HIDDEN)] * 2]
    )
    state[part].requires_grad_()
    (alone,) = gradients(Recurrence.apply(gates, weight, None, *state, packing)[0], [state[part]])
    state[1 - part].requires_grad_()
    (expected,) = gradients(Recurrence.apply(gates, weight, None, *state, packing)[0], [state[part]])
    torch.testing.assert_close(alone, expected)
    assert alone.abs().max() > 0.1


def test_a_forward_layer_is_the_librarys_lstm_from_a_given_state(rows, packing):
    generator = torch.Generator().manual_seed(6)
    layer, library = ForwardLayer(INPUT, HIDDEN), nn.LSTM(INPUT, HIDDEN)
    hidden, cell = torch.randn(2, len(LENGTHS), HIDDEN, generator=generator).unbind(0)
    with torch.no_grad():
        layer.bias.copy_(torch.randn(4 * HIDDEN, generator=generator))
        library.weight_ih_l0.copy_(layer.weight_input)
        library.weight_hh_l0.copy_(layer.weight_hidden)
        library.bias_ih_l0.copy_(layer.bias)
        library.bias_hh_l0.zero_()
    inputs = [values.requires_grad_() for values in (rows, hidden, cell)]
    ours = layer(rows, packing, hidden, cell, None)
    sequence = nn.utils.rnn.PackedSequence(rows, torch.tensor(packing.counts))
    theirs = library(sequence, (hidden[None], cell[None]))[0].data
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)
    our_weights = [layer.weight_input, layer.weight_hidden, layer.bias]
    their_weights = [library.weight_ih_l0, library.weight_hh_l0, library.bias_ih_l0]
    for a, b in zip(gradients(ours, inputs + our_weights), gradients(theirs, inputs + their_weights)):
        torch.testing.assert_close(a, b, atol=2e-5, rtol=1e-4)
    masked = layer(rows, packing, hidden, cell, torch.full_like(hidden, 0.5))
    assert (masked - ours).abs().max() > 0.01


@pytest.mark.parametrize("gates_need_gradient", [False, True])
def test_weight_gradient_whether_or_not_the_gates_need_one(packing, gates_need_gradient):
    generator = torch.Generator().manual_seed(5)
    values = torch.randn(2, packing.num_rows, 4 * HIDDEN, generator=generator)
    weight = torch.randn(2, 4 * HIDDEN, HIDDEN, generator=generator).requires_grad_()
    gates = values.clone().requires_grad_(gates_need_gradient) * 1
    (ours,) = gradients(Recurrence.apply(gates, weight, None, None, None, packing)[0], [weight])
    wide = values.double().requires_grad_() * 1
    (expected,) = gradients(Recurrence.apply(wide, weight.double(), None, None, None, packing)[0], [weight])
    torch.testing.assert_close(ours, expected, atol=2e-5, rtol=1e-4)
    assert gates_need_gradient or torch.equal(gates, values), "gates that nobody derives were overwritten"


@pytest.fixture
def cell_arguments():
    """Tensors of a batch of 5 sentences and 12 tokens in the packed layout, the step being rows 4 to 6."""
    generator = torch.Generator().manual_seed(6)
    batch, tokens = 5, 12

    def draw(*shape):
        return 3 * torch.randn(*shape, generator=generator)

    return {
        "gates": draw(2, tokens, 4 * HIDDEN),
        "recurrent": draw(2, 3, 4 * HIDDEN),
        "cells": draw(2, batch + tokens, HIDDEN),
        "hidden": draw(2, batch + tokens, HIDDEN),
        "grad_hidden": draw(2, tokens, HIDDEN),
        "grad_carried": draw(2, batch, HIDDEN),
        "grad_cell": draw(2, batch, HIDDEN),
        "grad_gates": draw(2, tokens, 4 * HIDDEN),
    }


def run_cell(cell, names: tuple[str, ...], arguments: dict[str, torch.Tensor], dtype: torch.dtype):
    """All tensors after the step at rows 4 to 6, whose states before stand at rows 2 to 4."""
    copies = [arguments[name].to(dtype, copy=True) for name in names]
    cell(*copies, 4, 2, 3)
    return dict(zip(names, copies))


FORWARD = ("gates", "recurrent", "cells", "hidden")
BACKWARD = ("grad_hidden", "grad_carried", "grad_cell", "gates", "cells", "grad_gates")


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["twin", "exact"])
def test_fused_cell_forward_is_its_twin(cell_arguments, dtype):
    ours = run_cell(cell_forward, FORWARD, cell_arguments, torch.float32)
    twin = run_cell(cell_forward_reference, FORWARD, cell_arguments, dtype)
    for name in FORWARD:
        torch.testing.assert_close(ours[name], twin[name].float(), atol=2e-6, rtol=2e-6, msg=name)
    for name, changed in (("gates", 3), ("cells", 3), ("hidden", 3)):
        different = (ours[name] != cell_arguments[name]).any(dim=2).any(dim=0)
        assert different.sum() == changed, f"{name} of another step were touched"


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["twin", "exact"])
def test_fused_cell_backward_is_its_twin(cell_arguments, dtype):
    cell_arguments["gates"] = cell_arguments["gates"].sigmoid()
    ours = run_cell(cell_backward, BACKWARD, cell_arguments, torch.float32)
    twin = run_cell(cell_backward_reference, BACKWARD, cell_arguments, dtype)
    for name in BACKWARD:
        torch.testing.assert_close(ours[name], twin[name].float(), atol=5e-6, rtol=5e-6, msg=name)
    for name in ("grad_hidden", "grad_carried", "gates", "cells"):
        assert torch.equal(ours[name], cell_arguments[name]), f"{name} is only read"


def test_fused_cell_of_rows_is_its_twin():
    """Ten rows that share five inputs, four recurrent products and four states; rows are given in any order."""
    generator = torch.Generator().manual_seed(7)
    gates, recurrent, cell = (3 * torch.randn(*shape, generator=generator) for shape in ((5, 16), (4, 16), (4, 4)))
    which, continues, parent = (torch.randint(n, (10,), generator=generator) for n in (5, 4, 4))
    rows = (which, recurrent, continues, cell, parent)
    hidden, after = cell_of_rows(gates, *rows)
    for expected, ours in zip(cell_of_rows_reference(gates, *rows), (hidden, after)):
        torch.testing.assert_close(ours, expected, atol=2e-6, rtol=2e-6)
    for row in range(10):
        gate_in, forget, update, out = (gates[which[row]] + recurrent[continues[row]]).chunk(4)
        expected = gate_in.sigmoid() * update.tanh() + forget.sigmoid() * cell[parent[row]]
        torch.testing.assert_close(after[row], expected, atol=2e-6, rtol=2e-6)
        torch.testing.assert_close(hidden[row], out.sigmoid() * expected.tanh(), atol=2e-6, rtol=2e-6)


def activated(pre_activations: torch.Tensor) -> torch.Tensor:
    """[4, n]: the four gates that the fused cell makes of each pre-activation."""
    size = len(pre_activations)
    gates = pre_activations.repeat(2, 1, 4)
    states = torch.zeros(2, 2, size)
    cell_forward(gates, torch.zeros(2, 1, 4 * size), states, states.clone(), 0, 0, 1)
    return gates[0, 0].view(4, size)


def test_fused_activations_are_exact_to_float32():
    x = torch.linspace(-30, 30, 20_001)
    gate_in, forget, update, out = activated(x).double()
    for gate in (gate_in, forget, out):  # the relative error grows with x, which has 24 bits itself
        torch.testing.assert_close(gate, x.double().sigmoid(), atol=0, rtol=3e-6)
        torch.testing.assert_close(gate, x.double().sigmoid(), atol=2e-7, rtol=0)
    torch.testing.assert_close(update, x.double().tanh(), atol=4e-7, rtol=0)


def test_fused_activations_of_extreme_numbers():
    gates = activated(torch.tensor([-torch.inf, -1e30, -1000.0, 1000.0, 1e30, torch.inf]))
    low, high = [0.0] * 3, [1.0] * 3
    torch.testing.assert_close(gates[0], torch.tensor(low + high))
    torch.testing.assert_close(gates[2], torch.tensor([-1.0] * 3 + high))
    assert activated(torch.tensor([torch.nan])).isnan().all(), "a broken gradient must not pass for a number"


def test_bfloat16_is_close_to_float32(lstm, rows, packing, masks):
    rows.requires_grad_()
    inputs = [rows, *lstm.parameters()]
    exact, _ = lstm(rows, packing, masks)
    with torch.autocast("cpu", torch.bfloat16):
        rough, _ = lstm(rows, packing, masks)
    assert rough.dtype == torch.float32, "states stay in float32"
    assert 1e-5 < (rough - exact).abs().max() < 0.05
    for ours, expected in zip(gradients(rough, inputs), gradients(exact, inputs)):
        assert ours.dtype == torch.float32
        assert torch.cosine_similarity(ours.flatten(), expected.flatten(), dim=0) > 0.999


def test_the_shortcut_without_dropout_is_the_masked_path_without_masks(lstm, rows, packing, monkeypatch):
    layer = lstm.layers[0]
    expected = tuple(t.detach() for t in layer(rows, packing, None, ""))  # gradients are on: no shortcut
    torch.testing.assert_close(layer._without_dropout(rows, packing), expected, atol=1e-6, rtol=1e-5)
    ones = FixedMasks({"x.input": torch.ones(len(LENGTHS), 2 * INPUT), "x.hidden": torch.ones(len(LENGTHS), 8)})
    torch.testing.assert_close(layer(rows, packing, ones, "x"), expected, atol=1e-6, rtol=1e-5)
    monkeypatch.setattr(Recurrence, "apply", None)  # whoever takes the long way now, fails
    with torch.no_grad():
        torch.testing.assert_close(layer(rows, packing, None, ""), expected, atol=1e-6, rtol=1e-5)


def test_without_gradients_the_masked_path_is_the_same(lstm, rows, packing, masks):
    expected = lstm(rows, packing, masks)
    with torch.no_grad():
        assert all(map(torch.equal, lstm(rows, packing, masks), expected))
    with torch.inference_mode():
        assert all(map(torch.equal, lstm(rows, packing, masks), expected))


def test_a_sentence_is_encoded_as_if_alone(lstm, rows, packing):
    together, cells = lstm(rows, packing)
    for b, length in enumerate(LENGTHS):
        places = (packing.sentence == b).nonzero().squeeze(1)
        alone, cell = lstm(rows[places], pack(np.array([length])))
        torch.testing.assert_close(together[places], alone, atol=1e-6, rtol=1e-5)
        torch.testing.assert_close(cells[b], cell[0], atol=1e-6, rtol=1e-5)
