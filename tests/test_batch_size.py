"""Decoding batches of so many sentences, as asked for: that results do not depend on it is tested with each parser."""

import numpy as np
import pytest
from tiny_frames import frame_bank, tiny_seq2seq
from tiny_parsers import tiny_parser, tiny_pointer_parser

from bcrlib.data.generated.trees import generate_treebank
from bcrlib.parsers.batches import Runtime, batches
from bcrlib.samplers.strategies import DropoutP, OneBest

TREES, FRAMES = generate_treebank(11, seed=3), frame_bank()


def num_encoded(parser, run) -> list[int]:
    """How many rows of what the encoder reads are encoded together, pass by pass."""
    numbers = []

    def count(_, inputs, __):
        first = inputs[0]
        numbers.append(len(first) if hasattr(first, "shape") else first.packing.num_sentences)

    handle = parser.network.encoder.register_forward_hook(count)
    run()
    handle.remove()
    return numbers


@pytest.mark.parametrize("size", [4, 100])
@pytest.mark.parametrize(
    ("make", "items", "number"),
    [
        (tiny_parser, TREES, 11),
        (tiny_pointer_parser, TREES, 11),
        (lambda _, runtime: tiny_seq2seq(0, runtime), FRAMES, 8),
    ],
    ids=["deepbiaf", "stackptr", "s2s"],
)
def test_batches_have_as_many_sentences_as_asked_for(make, items, number, size):
    parser = make(items, runtime=Runtime(max_tokens=1, batch_size=size))
    pool = parser.candidates(items, OneBest())
    expected = [min(size, number - start) for start in range(0, number, size)]
    assert num_encoded(parser, lambda: parser.candidates(items, OneBest())) == expected
    assert num_encoded(parser, lambda: parser.log_probs(items, pool)) == expected
    copied = num_encoded(parser, lambda: parser.decoded(items, DropoutP(0.2, 3)))
    assert copied == [3 * some for some in expected], "all samples of a sentence in one pass"
    scored = num_encoded(parser, lambda: parser.candidates(items, DropoutP(0.2, 3)))
    assert scored == copied + expected, "and one more, of each sentence once, that scores them"


def test_batches_of_a_size_are_sorted_and_complete():
    lengths = np.array([5, 1, 9, 3, 3, 7, 2])
    found = [some.tolist() for some in batches(lengths, 1, copies=10, batch_size=3)]
    assert found == [[1, 6, 3], [4, 0, 5], [2]]
    assert [len(some) for some in batches(lengths, 1, batch_size=7)] == [7]


def test_a_batch_has_something_in_it():
    with pytest.raises(ValueError, match="at least one item, not 0"):
        list(batches(np.array([1, 2]), 1, batch_size=0))
