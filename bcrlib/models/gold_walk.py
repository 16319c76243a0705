"""The derivations of a batch's gold trees as packed rows, one a step: what teacher forcing in training reads."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Int64
from torch import Tensor

from bcrlib.decoding.derivations import derivations
from bcrlib.models.encoding import Batch
from bcrlib.models.packing import Packing, pack, unpack


@dataclass(frozen=True, eq=False)
class GoldWalk:
    """The steps of every sentence; the words of a step are rows of the batch."""

    packing: Packing
    """Of the steps: 2 n - 1 for n positions, so the order of the sentences is the batch's."""
    word: Int64[Tensor, "step"]
    """Where the step points to, counted within the sentence."""
    row_of_word: Int64[Tensor, "step"]
    top: Int64[Tensor, "step"]
    """Row of the top of the stack, as are the next two: of its last child, where it has one, and of its head."""
    sibling: Int64[Tensor, "step"]
    has_sibling: Bool[Tensor, "step"]
    grandparent: Int64[Tensor, "step"]

    @property
    def is_pop(self) -> Bool[Tensor, "step"]:
        """Which steps finish the top."""
        return self.row_of_word == self.top


def gold_walk(batch: Batch) -> GoldWalk:
    """The derivations of the trees that the batch holds. ValueError if one is no tree. O(steps)."""
    packing = batch.packing
    lengths = packing.lengths.cpu().numpy()
    steps = derivations(unpack(batch.heads, packing).cpu().numpy(), lengths)
    walk = pack(2 * lengths - 1, batch.heads.device)
    starts = torch.tensor(packing.starts, device=batch.heads.device)

    def of_steps(values) -> Tensor:
        return torch.from_numpy(values).to(batch.heads.device)[walk.sentence, walk.step]

    word, sibling = of_steps(steps.word), of_steps(steps.sibling)
    return GoldWalk(
        packing=walk,
        word=word,
        row_of_word=starts[word] + walk.sentence,
        top=starts[of_steps(steps.top)] + walk.sentence,
        sibling=starts[sibling] + walk.sentence,
        has_sibling=sibling > 0,
        grandparent=starts[of_steps(steps.grandparent)] + walk.sentence,
    )
