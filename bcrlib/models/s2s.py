"""s2s, the seq2seq-pointer parser's network: a pretrained encoder, and a decoder that writes brackets and pointers."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn
from transformers import PreTrainedModel

from bcrlib.configuration import Seq2SeqConfig
from bcrlib.decoding.token_search import END
from bcrlib.models.pieces import Pieces
from bcrlib.models.pointer_decoder import Memory, PointerDecoder
from bcrlib.models.pretrained_encoder import PretrainedEncoder
from bcrlib.models.thinning import Rates, Switch


@dataclass(frozen=True, eq=False)
class Source:
    """Some utterances in pieces, special symbols around each, as tensors."""

    ids: Int64[Tensor, "row position"]
    mask: Bool[Tensor, "row position"]
    num_pieces: Int64[Tensor, "row"]
    pieces: slice
    """Positions of the pieces."""


class Seq2Seq(nn.Module):
    """Encoder and decoder; the actions are the end, two brackets a label, and the pieces."""

    def __init__(self, config: Seq2SeqConfig, encoder: PreTrainedModel, num_labels: int) -> None:
        super().__init__()
        self.config = config
        self.rates: Rates | None = None  # of its training, where known
        self.switch = Switch()
        self.encoder = PretrainedEncoder(encoder, self.switch)
        self.decoder = PointerDecoder(config, 1 + 2 * num_labels, self.encoder.size, self.switch)

    def memory(self, source: Source) -> Memory:
        """The encoded utterances, ready to be read by the decoder."""
        encoded = self.encoder(source.ids, source.mask)
        return self.decoder.memory(encoded, source.mask, source.pieces, source.num_pieces)

    def forward(
        self, source: Source, targets: Int64[Tensor, "row step"], label_smoothing: float
    ) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
        """The smoothed loss and -log p of the targets, each summed over tokens; a target ends with its first END.

        The smoothing is shared among the actions that there are for an utterance (the authors' counts padding too).
        """
        memory = self.memory(source)
        log_probs = self.decoder(shifted(targets), memory)
        counted = inside(targets)
        nll = -log_probs.gather(2, targets[:, :, None]).squeeze(2)[counted].sum()
        possible = log_probs > float("-inf")
        mean = log_probs.masked_fill(~possible, 0.0).sum(dim=2) / possible.sum(dim=2)
        return (1 - label_smoothing) * nll - label_smoothing * mean[counted].sum(), nll


def shifted(targets: Int64[Tensor, "row step"]) -> Int64[Tensor, "row step"]:
    """What the decoder reads while it writes these: END first, the last token never."""
    return nn.functional.pad(targets[:, :-1], (1, 0), value=END)


def inside(targets: Int64[Tensor, "row step"]) -> Bool[Tensor, "row step"]:
    """Which tokens belong to the target: all to its first END."""
    return (targets == END).cumsum(dim=1) - (targets == END).long() == 0


def make_source(pieces: Pieces, utterances: Int64[np.ndarray, "row"], device: str) -> Source:
    """These utterances, in this order, repeats allowed. O(rows x longest)."""
    lengths = pieces.lengths[utterances]
    longest, before, after = int(lengths.max()), len(pieces.before), len(pieces.after)
    ids = np.zeros((len(utterances), before + longest + after), dtype=np.int64)
    ids[:, :before] = pieces.before
    numbers = np.arange(longest)
    there = numbers < lengths[:, None]
    flat = pieces.offsets[utterances][:, None] + np.where(there, numbers, 0)
    ids[:, before : before + longest] = np.where(there, pieces.ids[flat], 0)
    for i, symbol in enumerate(pieces.after):
        ids[np.arange(len(ids)), before + lengths + i] = symbol
    mask = np.arange(ids.shape[1]) < (before + lengths + after)[:, None]

    def tensor(array: np.ndarray) -> Tensor:
        return torch.from_numpy(array).to(device, non_blocking=True)

    return Source(tensor(ids), tensor(mask), tensor(lengths), slice(before, before + longest))
