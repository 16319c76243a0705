"""The seq2seq-pointer parser's network: a pretrained encoder, and a transformer that writes brackets and pointers.

The decoder is the authors' (protocol of section 2.3): post-norm layers, GELU, sinusoidal positions; the logits of
brackets are tied to their embeddings, the logit of a pointer is the raw attention score of head 0 of the last layer at
that piece, and one softmax goes over both.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn
from transformers import PreTrainedModel

from bcrlib.parsers.configuration import Seq2SeqConfig
from bcrlib.parsers.pieces import Pieces
from bcrlib.parsers.pretrained import PretrainedEncoder, attend
from bcrlib.samplers.dropout_p import Rates, SiteDropout, Switch
from bcrlib.samplers.rules import END

GROWTH = 16  # steps by which a cache grows
MAX_STEPS = 1024  # of any target (authors)


@dataclass(eq=False)
class Memory:
    """What the decoder reads of the encoded utterances."""

    keys: list[Float[Tensor, "utterance head position size"]]
    """Of every layer."""
    values: list[Float[Tensor, "utterance head position size"]]
    hidden: Bool[Tensor, "utterance 1 1 position"]
    """Padding."""
    pieces: slice
    """Positions that can be pointed at: all but special symbols."""
    no_piece: Bool[Tensor, "utterance 1 piece"]

    def rows(self, index: Int64[Tensor, "kept"]) -> "Memory":
        """Of some utterances, in this order, repeats allowed."""
        keys, values = [k[index] for k in self.keys], [v[index] for v in self.values]
        return Memory(keys, values, self.hidden[index], self.pieces, self.no_piece[index])


@dataclass(frozen=True, eq=False)
class Tries:
    """Where the nodes of tries of targets stand (`bcrlib.parsers.targets`), one trie a row."""

    depth: Int64[Tensor, "row node"]
    visible: Bool[Tensor, "row 1 node node"]


@dataclass(eq=False)
class Cache:
    """Keys and values of the steps that a layer has read, with room for more."""

    keys: Float[Tensor, "row head step size"]
    values: Float[Tensor, "row head step size"]

    def add(self, keys: Tensor, values: Tensor, step: int) -> tuple[Tensor, Tensor]:
        """All keys and values so far, those of one more step [row, head, 1, size] included."""
        if step == self.keys.shape[2]:
            self.keys, self.values = (nn.functional.pad(old, (0, 0, 0, GROWTH)) for old in (self.keys, self.values))
        self.keys[:, :, step], self.values[:, :, step] = keys[:, :, 0], values[:, :, 0]
        return self.keys[:, :, : step + 1], self.values[:, :, : step + 1]

    def gather(self, rows: Int64[Tensor, "kept"]) -> None:
        """Go on from these rows."""
        self.keys, self.values = self.keys[rows], self.values[rows]


class PointerDecoder(nn.Module):
    """Reads the encodings of `source_size`; `num_symbols` are the end and the brackets."""

    def __init__(self, config: Seq2SeqConfig, num_symbols: int, source_size: int, switch: Switch) -> None:
        super().__init__()
        size, self.num_heads, self.switch = config.decoder_size, config.decoder_heads, switch
        self.symbols = nn.Parameter(torch.randn(num_symbols, size) * size**-0.5)
        self.pointers = nn.Parameter(torch.randn(config.max_pieces, size) * size**-0.5)
        self.layers = nn.ModuleList(
            DecoderLayer(config, source_size, f"decoder.{i}", switch) for i in range(config.decoder_layers)
        )
        self.dropout = SiteDropout("decoder.embeddings", switch)
        positions = _sinusoids(MAX_STEPS, size)
        self.register_buffer("positions", positions, persistent=False)

    def memory(
        self,
        encoded: Float[Tensor, "utterance position source"],
        mask: Bool[Tensor, "utterance position"],
        pieces: slice,
        num_pieces: Int64[Tensor, "utterance"],
    ) -> Memory:
        """What does not change while targets are written."""
        read = [layer.source(encoded) for layer in self.layers]
        numbers = torch.arange(pieces.stop - pieces.start, device=mask.device)
        no_piece = (numbers >= num_pieces[:, None])[:, None]
        keys, values = [k for k, _ in read], [v for _, v in read]
        return Memory(keys, values, ~mask[:, None, None], pieces, no_piece)

    def caches(self, num_rows: int) -> list[Cache]:
        """Empty caches."""
        size = self.symbols.shape[1] // self.num_heads
        room = (num_rows, self.num_heads, 0, size)
        return [Cache(self.symbols.new_empty(room), self.symbols.new_empty(room)) for _ in self.layers]

    def forward(
        self,
        tokens: Int64[Tensor, "row step"],
        memory: Memory,
        caches: list[Cache] | None = None,
        first: int = 0,
        tries: Tries | None = None,
    ) -> Float[Tensor, "row step action"]:
        """log p of every next token. The rows of an utterance stand together, equally many of each.

        With caches: one step, the `first`-th. Without: a whole target, of which each step sees those before it, or a
        whole trie of targets, of which each node sees those above it.
        """
        self.switch.position = first
        x = torch.cat([self.symbols, self.pointers])[tokens] * math.sqrt(self.symbols.shape[1])
        steps = slice(first, first + tokens.shape[1]) if tries is None else tries.depth
        x = self.dropout(x + self.positions[steps].to(x.dtype))
        visible = None if tries is None else tries.visible
        for number, layer in enumerate(self.layers):
            cache = None if caches is None else caches[number]
            x, query = layer(x, memory.keys[number], memory.values[number], memory.hidden, cache, first, visible)
        self.switch.position = 0
        return self._log_probs(x, query, memory)

    def _log_probs(self, x: Tensor, query: Float[Tensor, "u head q size"], memory: Memory) -> Tensor:
        keys = memory.keys[-1][:, 0, memory.pieces].float()
        scores = query[:, 0].float() @ keys.transpose(1, 2) * query.shape[-1] ** -0.5
        scores = scores.masked_fill(memory.no_piece, float("-inf")).view(*x.shape[:2], -1)
        return torch.cat([(x @ self.symbols.T).float(), scores], dim=2).log_softmax(dim=2)


class DecoderLayer(nn.Module):
    """Self-attention, attention to the source, feed-forward; normalised behind each."""

    def __init__(self, config: Seq2SeqConfig, source_size: int, site: str, switch: Switch) -> None:
        super().__init__()
        size, inner, self.num_heads = config.decoder_size, config.decoder_inner_size, config.decoder_heads
        self.qkv, self.self_output = _linear(size, 3 * size), _linear(size, size)
        self.query, self.key_value, self.cross_output = (
            _linear(size, size),
            _linear(source_size, 2 * size),
            _linear(size, size),
        )
        self.inner, self.outer = _linear(size, inner), _linear(inner, size)
        self.norms = nn.ModuleList(nn.LayerNorm(size) for _ in range(3))
        self.dropouts = nn.ModuleList(SiteDropout(f"{site}.{i}", switch) for i in range(3))
        self.self_weights = SiteDropout(f"{site}.self", switch, attention=True)
        self.cross_weights = SiteDropout(f"{site}.cross", switch, attention=True)

    def source(self, encoded: Float[Tensor, "utterance position source"]) -> tuple[Tensor, Tensor]:
        """Keys and values of the source, [utterance, head, position, size] each."""
        key, value = self.key_value(encoded).chunk(2, dim=-1)
        return self._heads(key), self._heads(value)

    def forward(
        self,
        x: Float[Tensor, "row step size"],
        key: Tensor,
        value: Tensor,
        hidden: Tensor,
        cache: Cache | None,
        step: int,
        visible: Bool[Tensor, "row 1 step step"] | None,
    ) -> tuple[Tensor, Tensor]:
        """The layer's output, and its queries to the source [utterance, head, row and step, size]."""
        own = self.self_output(self._look_back(x, cache, step, visible))
        x = self.norms[0](x + self.dropouts[0](own))
        query = self._heads(self.query(x).view(len(key), -1, x.shape[-1]))
        read = attend(query, key, value, ~hidden, False, self.cross_weights).transpose(1, 2).reshape(x.shape)
        x = self.norms[1](x + self.dropouts[1](self.cross_output(read)))
        inner = self.outer(nn.functional.gelu(self.inner(x)))
        return self.norms[2](x + self.dropouts[2](inner)), query

    def _look_back(self, x: Tensor, cache: Cache | None, step: int, visible: Tensor | None) -> Tensor:
        query, key, value = (self._heads(part) for part in self.qkv(x).chunk(3, dim=-1))
        if cache is not None:
            key, value = cache.add(key, value, step)
        read = attend(query, key, value, visible, cache is None and visible is None, self.self_weights)
        return read.transpose(1, 2).reshape(x.shape)

    def _heads(self, x: Float[Tensor, "row step size"]) -> Float[Tensor, "row head step size"]:
        return x.unflatten(2, (self.num_heads, -1)).transpose(1, 2)


def _linear(size: int, output: int) -> nn.Linear:
    layer = nn.Linear(size, output)
    nn.init.xavier_uniform_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer


def _sinusoids(num_steps: int, size: int) -> Float[Tensor, "step size"]:
    rates = torch.exp(torch.arange(size // 2) * (-math.log(10000) / (size // 2 - 1)))
    angles = torch.arange(num_steps)[:, None] * rates
    return torch.cat([angles.sin(), angles.cos()], dim=1)


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
