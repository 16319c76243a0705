"""The packed layout against its definition and against the library's packed sequences."""

import numpy as np
import pytest
import torch
from torch.nn.utils.rnn import pack_padded_sequence

from bcrlib.parsers.batches import pack, unpack

CASES = [[1], [4], [3, 3, 3], [1, 1], [9, 4, 4, 2, 1, 1], sorted(range(1, 30), reverse=True)]


@pytest.mark.parametrize("lengths", CASES)
def test_rows_are_where_the_docstring_says(lengths):
    packing = pack(np.array(lengths))
    expected = [(step, b) for step in range(lengths[0]) for b in range(len(lengths)) if step < lengths[b]]
    assert list(zip(packing.step.tolist(), packing.sentence.tolist())) == expected
    assert [packing.starts[step] + b for step, b in expected] == list(range(packing.num_rows))
    assert packing.counts == [sum(length > step for length in lengths) for step in range(lengths[0])]
    assert (packing.num_sentences, packing.num_rows, packing.max_length) == (len(lengths), sum(lengths), lengths[0])
    assert packing.lengths.tolist() == lengths


@pytest.mark.parametrize("lengths", CASES)
def test_layout_is_that_of_the_librarys_packed_sequences(lengths):
    packing = pack(np.array(lengths))
    padded = torch.arange(len(lengths) * lengths[0] * 2).view(len(lengths), lengths[0], 2)
    theirs = pack_padded_sequence(padded, torch.tensor(lengths), batch_first=True)
    assert packing.counts == theirs.batch_sizes.tolist()
    assert torch.equal(padded[packing.sentence, packing.step], theirs.data)


@pytest.mark.parametrize("lengths", CASES)
def test_mirrored_reads_every_sentence_backwards(lengths):
    packing = pack(np.array(lengths))
    mirrored = packing.mirrored
    assert torch.equal(packing.sentence[mirrored], packing.sentence)
    assert torch.equal(packing.step[mirrored], packing.lengths[packing.sentence] - 1 - packing.step)
    assert torch.equal(mirrored[mirrored], torch.arange(packing.num_rows))


@pytest.mark.parametrize("shape", [(), (3,), (2, 5)])
def test_unpack_fills_with_zeros(shape):
    packing = pack(np.array([4, 2, 2, 1]))
    rows = torch.rand(packing.num_rows, *shape, generator=torch.Generator().manual_seed(0)) + 1
    padded = unpack(rows, packing)
    assert padded.shape == (4, 4, *shape)
    assert torch.equal(padded[packing.sentence, packing.step], rows)
    for b, length in enumerate([4, 2, 2, 1]):
        assert not padded[b, length:].any()


def test_unpack_keeps_type_and_gradient():
    packing = pack(np.array([3, 1]))
    rows = torch.ones(4, 2, dtype=torch.float64, requires_grad=True)
    padded = unpack(rows, packing)
    assert padded.dtype == torch.float64
    (2 * padded).sum().backward()
    assert torch.equal(rows.grad, torch.full((4, 2), 2.0, dtype=torch.float64))


@pytest.mark.parametrize("lengths", [[], [0], [3, 0], [2, -1], [1, 2], [4, 2, 3]])
def test_refuses_what_is_no_batch(lengths):
    with pytest.raises(ValueError, match="positive lengths in decreasing order"):
        pack(np.array(lengths, dtype=np.int64))
