"""The packed layout: the tokens of a batch without padding, time step by time step.

Sentences are sorted by decreasing length, so those still alive at step t are the first `counts[t]` of the batch. Row
`starts[t] + b` holds token t of sentence b. A recurrent network walks the steps, each a contiguous block; everything
that looks at one token at a time simply works on all rows.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor


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
