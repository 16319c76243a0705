"""Batches: how items are cut, the packed layout, and rows of unequal groups side by side."""

from collections import Counter

import numpy as np
import pytest
import torch
from tiny_kinds import BANKS, MAKE
from torch.nn.utils.rnn import pack_padded_sequence

from bcrlib.data.treebank import read_conllu
from bcrlib.parsers.batches import (
    BUCKET_LIMITS,
    Runtime,
    batches,
    bucket_batches,
    grouped,
    pack,
    training_batches,
    unpack,
)
from bcrlib.samplers.strategies import DropoutP, OneBest

CASES = [[1], [4], [3, 3, 3], [1, 1], [9, 4, 4, 2, 1, 1], sorted(range(1, 30), reverse=True)]


@pytest.mark.parametrize("lengths", CASES)
def test_layout_is_that_of_the_librarys_packed_sequences(lengths):
    packing = pack(np.array(lengths))
    padded = torch.arange(len(lengths) * lengths[0] * 2).view(len(lengths), lengths[0], 2)
    theirs = pack_padded_sequence(padded, torch.tensor(lengths), batch_first=True)
    assert packing.counts == theirs.batch_sizes.tolist()
    assert torch.equal(padded[packing.sentence, packing.step], theirs.data)
    rows = torch.tensor(packing.starts)[packing.step] + packing.sentence
    assert rows.tolist() == list(range(packing.num_rows))
    assert (packing.num_sentences, packing.num_rows, packing.max_length) == (len(lengths), sum(lengths), lengths[0])
    assert packing.lengths.tolist() == lengths


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


@pytest.mark.parametrize("num_groups", [1, 5, 60])
def test_every_row_has_one_place_in_its_group(num_groups):
    group = torch.randint(num_groups, (40,), generator=torch.Generator().manual_seed(num_groups))
    rows, place = grouped(group, num_groups)
    assert rows.shape == (num_groups, torch.bincount(group).max())
    assert torch.equal(rows[group, place], torch.arange(40))
    assert (rows < 40).sum() == 40 and (rows <= 40).all()


def test_no_group_has_no_rows():
    rows, place = grouped(torch.zeros(0, dtype=torch.int64), 0)
    assert rows.shape == (0, 0) and len(place) == 0


def test_training_batches_cover_an_epoch():
    lengths = np.random.default_rng(0).integers(2, 60, 1000)
    cut = training_batches(lengths, 500, np.random.default_rng(1))
    assert sorted(np.concatenate(cut)) == list(range(1000))
    sums = np.array([lengths[batch].sum() for batch in cut])
    assert (sums <= 500 + 60).all(), "a batch may be over by the sentence that fills it"
    assert abs(sums.mean() - 500) < 25
    spread = [np.ptp(lengths[batch]) for batch in cut]
    assert np.median(spread) <= 4, "similar lengths together"
    longest_first = [lengths[batch].max() for batch in cut]
    assert abs(np.corrcoef(np.arange(len(cut)), longest_first)[0, 1]) < 0.5, "in random order"


@pytest.mark.parametrize(
    "epoch", [lambda lengths, rng: training_batches(lengths, 300, rng), bucket_batches], ids=["tokens", "buckets"]
)
def test_epochs_follow_from_the_generator(epoch):
    lengths = np.random.default_rng(0).integers(2, 60, 3000)
    first, same, other = (epoch(lengths, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert [b.tolist() for b in first] == [b.tolist() for b in same]
    assert [b.tolist() for b in first] != [b.tolist() for b in other]
    together = {frozenset(b.tolist()) for b in first} & {frozenset(b.tolist()) for b in other}
    assert len(together) < len(first) / 2, "not only the order of the cut changes"


def test_a_bucket_ends_below_its_limit():
    lengths = np.array([9, 10, 14, 15, 69, 70, 139, 140, 200])
    cut = bucket_batches(lengths, np.random.default_rng(0))
    assert {frozenset(b.tolist()) for b in cut} == {frozenset(b) for b in ([0], [1, 2], [3], [4], [5, 6])}, (
        "sentences of 140 and more are left out"
    )


def bucket_of(length: int) -> int:
    return next(i for i, limit in enumerate(BUCKET_LIMITS) if length < limit)


def test_buckets_do_not_mix():
    lengths = np.random.default_rng(0).integers(2, 139, 2000)
    cut = bucket_batches(lengths, np.random.default_rng(1))
    assert sorted(np.concatenate(cut)) == list(range(2000))
    assert max(map(len, cut)) == 32
    buckets = []
    for batch in cut:
        (bucket,) = {bucket_of(length) for length in lengths[batch]}
        buckets.append(bucket)
    changes = 1 + np.count_nonzero(np.diff(buckets))
    assert changes == 11, "one bucket after another"
    assert sorted(dict.fromkeys(buckets)) != list(dict.fromkeys(buckets)), "in random order"


@pytest.mark.corpus
def test_ewt_in_the_authors_buckets(ewt):
    lengths = read_conllu(ewt("train")).lengths + 1
    cut = bucket_batches(lengths, np.random.default_rng(0))
    sizes = Counter()
    for batch in cut:
        sizes[bucket_of(lengths[batch[0]])] += len(batch)
    assert [sizes[i] for i in range(11)] == [3734, 2309, 2042, 1635, 1042, 682, 412, 426, 148, 66, 46]
    assert len(lengths) - sum(sizes.values()) == 1
    assert len(cut) == 398


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
@pytest.mark.parametrize("kind", MAKE)
def test_batches_have_as_many_sentences_as_asked_for(kind, size):
    items, parser = BANKS[kind], MAKE[kind](runtime=Runtime(max_tokens=1, batch_size=size))
    pool = parser.candidates(items, OneBest())
    expected = [min(size, len(items) - start) for start in range(0, len(items), size)]
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
