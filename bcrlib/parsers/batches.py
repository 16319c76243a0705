"""Where and how precisely a network runs, how items are cut into batches, and how the rows of a batch are laid out.

The packed layout are the tokens of a batch without padding, time step by time step: sentences are sorted by decreasing
length, so those still alive at step t are the first `counts[t]` of the batch, and row `starts[t] + b` holds token t of
sentence b. A recurrent network walks the steps, each a contiguous block; all else simply works on all rows.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Int64
from torch import Tensor

Precision = Literal["float32", "bfloat16"]


@dataclass(frozen=True)
class Runtime:
    """A device, the precision of the encoder's matrix products, and how much is decoded at once."""

    device: str = "cpu"
    precision: Precision = "float32"
    max_tokens: int = 6000
    """Padded positions of a decoding batch."""
    max_arcs: int = 250_000
    """Word pairs of a decoding batch: a score table has a number for each of them and each relation."""
    batch_size: int | None = None
    """If given, a decoding batch has so many sentences, however long they are and however many candidates of each: the
    caller knows that they fit into memory. Candidates and scores are the same but for their last digits."""
    one_core: bool = False
    """Whether a parser learns, decodes and scores in one thread, as small ones do that are to be equal everywhere."""

    def threads(self) -> AbstractContextManager:
        """Context in which torch computes in as many threads as this says."""
        return one_core() if self.one_core else nullcontext()

    def autocast(self) -> AbstractContextManager:
        """Context in which matrix products have this precision; everything else keeps float32."""
        return torch.autocast(self.device, torch.bfloat16) if self.precision == "bfloat16" else nullcontext()


def best_device() -> str:
    """cuda where there is one, else cpu."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def fast_precision(device: str) -> Precision:
    """bfloat16 where the hardware multiplies it natively: there it pays, elsewhere it costs.

    That is CUDA, and processors with AMX (Intel) or AVX-512's BF16 (AMD from Zen 4 on).
    """
    native = device == "cuda" or torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported()
    return "bfloat16" if native else "float32"


def runtime_on(device: str, precision: Precision = "float32") -> Runtime:
    """With batches as large as pay there: a GPU that gets little to do at a time waits for the next order."""
    if device != "cuda":
        return Runtime(device, precision)
    return Runtime(device, precision, max_tokens=100_000, max_arcs=4_000_000)


def best_runtime(precision: Precision | Literal["auto"] = "float32") -> Runtime:
    """The best device with this precision; "auto": the fast one."""
    device = best_device()
    return runtime_on(device, fast_precision(device) if precision == "auto" else precision)


@contextmanager
def one_core() -> Iterator[None]:
    """Within, torch computes in one thread: several add in another order, and CPU time counts those that wait."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def batches(
    lengths: Int64[np.ndarray, "item"],
    max_positions: int,
    copies: int = 1,
    batch_size: int | None = None,
    max_pairs: int | None = None,
) -> Iterator[Int64[np.ndarray, "item"]]:
    """All items sorted by length, cut so that `copies` of a batch keep to the budgets.

    These are padded positions, and pairs of positions of one item. An item that is over one by itself makes a batch of
    its own. With `batch_size` there is no budget, items are counted; ValueError for one below 1.
    O(items log items + items batches).
    """
    if batch_size is not None and batch_size < 1:
        raise ValueError(f"a batch has at least one item, not {batch_size}")
    order = np.argsort(lengths, kind="stable")
    start = 0
    while start < len(order):
        number = batch_size
        if number is None:
            longest = lengths[order[start:]]
            positions = longest * np.arange(1, len(longest) + 1) * copies
            fits = positions <= max_positions
            if max_pairs is not None:
                fits &= longest * positions <= max_pairs
            number = max(1, int(fits.sum()))
        yield order[start : start + number]
        start += number


def training_batches(lengths: np.ndarray, max_tokens: int, rng: np.random.Generator) -> list[np.ndarray]:
    """One epoch: all sentences once, similar lengths together, batches in random order. O(sentences log sentences).

    A batch has about `max_tokens` tokens: it is over by less than its longest sentence.
    """
    order = np.argsort(lengths + rng.uniform(-1.5, 1.5, len(lengths)), kind="stable")
    group = np.cumsum(lengths[order]) // max_tokens
    cut = np.split(order, np.flatnonzero(np.diff(group)) + 1)
    rng.shuffle(cut)
    return cut


BUCKET_LIMITS = (10, 15, 20, 25, 30, 35, 40, 50, 60, 70, 140)


def bucket_batches(lengths: np.ndarray, rng: np.random.Generator, batch_size: int = 32) -> list[np.ndarray]:
    """One epoch as the authors make it: batches of 32 sentences that never mix the eleven length buckets.

    `lengths` count the root and must be below a bucket's limit; a sentence of 140 or more is left out, as theirs is.
    """
    bucket = np.searchsorted(BUCKET_LIMITS, lengths, side="right")
    cut = []
    for number in rng.permutation(len(BUCKET_LIMITS)):
        members = rng.permutation(np.flatnonzero(bucket == number))
        cut += [members[i : i + batch_size] for i in range(0, len(members), batch_size)]
    return cut


def grouped(
    group: Int64[Tensor, "row"], num_groups: int
) -> tuple[Int64[Tensor, "num_groups largest"], Int64[Tensor, "row"]]:
    """The rows of each group, filled up with the number of rows (one behind the last), and each row's place there.

    O(row log row + groups * largest).
    """
    order = group.argsort(stable=True)
    counts = torch.bincount(group, minlength=num_groups)
    starts = counts.cumsum(0) - counts
    place = torch.empty_like(group)
    place[order] = torch.arange(len(group), device=group.device) - starts[group[order]]
    largest = int(counts.max()) if num_groups else 0
    rows = torch.full((num_groups, largest), len(group), device=group.device)
    rows[group, place] = torch.arange(len(group), device=group.device)
    return rows, place


@dataclass(frozen=True, eq=False)
class Packing:
    """Where the tokens of a batch are. Built once a batch; O(tokens)."""

    lengths: Tensor
    """int64 [sentence], decreasing."""
    counts: list[int]
    """Sentences alive at each time step."""
    starts: list[int]
    """First row of each time step."""
    sentence: Tensor
    """int64 [row]: the sentence of a row, counted within the batch."""
    step: Tensor
    """int64 [row]: the time step of a row, i.e. the position in its sentence."""
    mirrored: Tensor
    """int64 [row]: row of the same sentence as far from its end as this one is from its start."""

    @property
    def num_sentences(self) -> int:
        return len(self.lengths)

    @property
    def num_rows(self) -> int:
        return len(self.sentence)

    @property
    def max_length(self) -> int:
        return len(self.counts)

    @property
    def last_rows(self) -> Tensor:
        """int64 [sentence]: the row of each sentence's last token."""
        starts = torch.tensor(self.starts, device=self.lengths.device)
        return starts[self.lengths - 1] + torch.arange(self.num_sentences, device=self.lengths.device)


def pack(lengths: np.ndarray, device: torch.device | str = "cpu") -> Packing:
    """The packing of sentences with these lengths (int [sentence], decreasing, all positive)."""
    lengths = np.asarray(lengths, dtype=np.int64)
    if len(lengths) == 0 or lengths[-1] < 1 or (np.diff(lengths) > 0).any():
        raise ValueError("a batch is packed from positive lengths in decreasing order")
    alive = np.arange(lengths[0])[:, None] < lengths[None, :]
    step, sentence = np.nonzero(alive)
    counts = alive.sum(axis=1)
    starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
    mirrored = starts[lengths[sentence] - 1 - step] + sentence
    tensors = (torch.from_numpy(a).to(device) for a in (lengths, sentence, step, mirrored))
    on_device = dict(zip(("lengths", "sentence", "step", "mirrored"), tensors))
    return Packing(counts=counts.tolist(), starts=starts.tolist(), **on_device)


def unpack(rows: Tensor, packing: Packing) -> Tensor:
    """[row, feature] to [sentence, step, feature], zeros as padding."""
    padded = rows.new_zeros(packing.num_sentences, packing.max_length, *rows.shape[1:])
    padded[packing.sentence, packing.step] = rows
    return padded
