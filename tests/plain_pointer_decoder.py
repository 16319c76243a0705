"""The pointer decoder once more, step by step: one utterance, one target, plain loops, nothing cached or padded.

Written from the protocol (section 2.3), to be compared with bcrlib.parsers.s2s_network. The masks of dropout-p come
from the thinning itself; where they are put is told here.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from bcrlib.parsers.s2s_network import DecoderLayer, PointerDecoder
from bcrlib.samplers.dropout_p import Thinning


class PlainDecoder:
    """A decoder reading one encoded utterance [position, size], of which `pieces` can be pointed at."""

    def __init__(
        self, decoder: PointerDecoder, encoded: Tensor, pieces: range, thinning: Thinning | None = None
    ) -> None:
        self.decoder, self.encoded, self.pieces, self.thinning = decoder, encoded, pieces, thinning
        self.size, self.num_heads = decoder.symbols.shape[1], decoder.num_heads

    @torch.no_grad()
    def log_probs(self, tokens: list[int]) -> Tensor:
        """log p [step, action] of what follows each of these tokens; the first one should be the end."""
        states = [self.embedded(token, step) for step, token in enumerate(tokens)]
        for number, layer in enumerate(self.decoder.layers):
            read = [self.layer(layer, f"decoder.{number}", states, step) for step in range(len(states))]
            states, pointers = [state for state, _ in read], [scores for _, scores in read]
        rows = []
        for state, scores in zip(states, pointers):
            symbols = [symbol @ state for symbol in self.decoder.symbols]
            rows.append(torch.stack([*symbols, *(scores[piece] for piece in self.pieces)]).log_softmax(dim=0))
        return torch.stack(rows)

    def log_prob(self, target: list[int]) -> float:
        """log p of a target, its end included."""
        rows = self.log_probs([0, *target[:-1]])
        return sum(row[token].item() for row, token in zip(rows, target))

    def embedded(self, token: int, step: int) -> Tensor:
        num_symbols = len(self.decoder.symbols)
        table, row = (self.decoder.symbols, token) if token < num_symbols else (
            self.decoder.pointers, token - num_symbols)  # fmt: skip
        half = self.size // 2
        angles = [step / 10000 ** (i / (half - 1)) for i in range(half)]
        position = torch.tensor([math.sin(a) for a in angles] + [math.cos(a) for a in angles])
        return self.dropped("decoder.embeddings", math.sqrt(self.size) * table[row] + position, step)

    def layer(self, layer: DecoderLayer, site: str, states: list[Tensor], step: int) -> tuple[Tensor, Tensor]:
        """The layer's output at a step, and head 0's raw scores of all positions of the source."""
        x = states[step]
        query_rows, key_rows, value_rows = layer.qkv.weight.chunk(3)
        query_bias, key_bias, value_bias = layer.qkv.bias.chunk(3)
        seen = states[: step + 1]
        own, _ = self.attention(
            query_rows @ x + query_bias,
            [key_rows @ state + key_bias for state in seen],
            [value_rows @ state + value_bias for state in seen],
            f"{site}.self",
            step,
        )
        own = layer.self_output.weight @ own + layer.self_output.bias
        x = self.normed(layer, 0, x + self.dropped(f"{site}.0", own, step))
        both = [layer.key_value.weight @ position + layer.key_value.bias for position in self.encoded]
        keys, values = [pair[: self.size] for pair in both], [pair[self.size :] for pair in both]
        read, scores = self.attention(layer.query.weight @ x + layer.query.bias, keys, values, f"{site}.cross", step)
        read = layer.cross_output.weight @ read + layer.cross_output.bias
        x = self.normed(layer, 1, x + self.dropped(f"{site}.1", read, step))
        inner = F.gelu(layer.inner.weight @ x + layer.inner.bias)
        outer = layer.outer.weight @ inner + layer.outer.bias
        return self.normed(layer, 2, x + self.dropped(f"{site}.2", outer, step)), scores

    def attention(
        self, query: Tensor, keys: list[Tensor], values: list[Tensor], site: str, step: int
    ) -> tuple[Tensor, Tensor]:
        """What all heads read, side by side, and head 0's raw scores."""
        width = self.size // self.num_heads
        parts = [slice(head * width, (head + 1) * width) for head in range(self.num_heads)]
        scores = torch.stack(
            [torch.stack([query[part] @ key[part] / math.sqrt(width) for key in keys]) for part in parts]
        )
        weights = scores.softmax(dim=1)
        if self.thinning is not None:
            weights = weights * self.thinning.attention(site, weights[None, :, None], step)[0, :, 0]
        read = [
            sum(weight * value[part] for weight, value in zip(of_head, values)) for part, of_head in zip(parts, weights)
        ]
        return torch.cat(read), scores[0]

    def normed(self, layer: DecoderLayer, number: int, x: Tensor) -> Tensor:
        norm = layer.norms[number]
        centred = x - x.mean()
        return centred / ((centred**2).mean() + norm.eps).sqrt() * norm.weight + norm.bias

    def dropped(self, site: str, x: Tensor, step: int) -> Tensor:
        return x if self.thinning is None else x * self.thinning.features(site, x[None, None], step)[0, 0]
