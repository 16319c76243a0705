"""Well-formedness while decoding: only targets that are one frame over all words, in order.

A bracket closes the one that was opened last, and only around something; words come from left to right, their pieces
together; the frame ends after its last word. A target always finishes in time: whoever opens a bracket must have steps
left to close it.
"""

import torch
from jaxtyping import Bool, Int64
from torch import Tensor

from bcrlib.samplers.token_search import END

MAX_DEPTH = 16


class BracketRules:
    """The state of all hypotheses [utterance, hypothesis] (`bcrlib.samplers.token_search.Rules`)."""

    def __init__(
        self,
        num_labels: int,
        num_pieces: Int64[Tensor, "utterance"],
        starts_word: Bool[Tensor, "utterance piece"],
        max_steps: int,
    ) -> None:
        """`starts_word`: whether a piece is the first of its word. ValueError where an utterance is too long."""
        longest = int(num_pieces.max())
        if longest + 3 > max_steps:
            raise ValueError(f"a frame over {longest} word pieces has more than {max_steps} tokens")
        self.num_labels, self.max_steps = num_labels, max_steps
        self.num_pieces, self.starts_word = num_pieces, starts_word
        zero = torch.zeros_like(num_pieces)[:, None]
        self.piece, self.depth = zero, zero
        self.stack = zero[:, :, None].expand(-1, -1, MAX_DEPTH)
        self.has_content = zero.bool()
        self.finished = zero.bool()

    def allowed(self, step: int) -> Bool[Tensor, "utterance hypothesis action"]:
        """Which tokens may come next: the end, opening brackets, closing brackets, pieces."""
        left = self.num_pieces[:, None] - self.piece
        in_word = ~self._starts_word()
        # This step, the pieces, a closing bracket for each that is open, and the end.
        in_time = 1 + left + (self.depth + 1) + 1 <= self.max_steps - step
        may_open = ~self.finished & (left > 0) & ~in_word & in_time & (self.depth < MAX_DEPTH)
        may_close = self.has_content & ~in_word & ((self.depth > 1) | (left == 0)) & (self.depth > 0)
        labels = torch.arange(self.num_labels, device=left.device)
        top = self.stack.gather(2, (self.depth - 1).clamp(min=0)[:, :, None])
        pieces = torch.arange(self.starts_word.shape[1], device=left.device)
        may_point = (self.depth > 0) & (left > 0)
        return torch.cat(
            [
                self.finished[:, :, None],
                may_open[:, :, None].expand(-1, -1, self.num_labels),
                may_close[:, :, None] & (labels == top),
                may_point[:, :, None] & (pieces == self.piece[:, :, None]),
            ],
            dim=2,
        )

    def advance(self, parent: Int64[Tensor, "u child"], tokens: Int64[Tensor, "u child"]) -> None:
        """Go on to the children: token `tokens` behind hypothesis `parent`."""
        stack = self.stack.gather(1, parent[:, :, None].expand(-1, -1, MAX_DEPTH))
        depth, piece = self.depth.gather(1, parent), self.piece.gather(1, parent)
        content, finished = self.has_content.gather(1, parent), self.finished.gather(1, parent)
        opens = (tokens > END) & (tokens <= self.num_labels)
        closes = (tokens > self.num_labels) & (tokens <= 2 * self.num_labels)
        points = tokens > 2 * self.num_labels
        place = depth.clamp(max=MAX_DEPTH - 1)[:, :, None]
        label = torch.where(opens, tokens - 1, stack.gather(2, place).squeeze(2))
        self.stack = stack.scatter(2, place, label[:, :, None])
        self.depth = depth + opens.long() - closes.long()
        self.piece = piece + points.long()
        self.has_content = (content & ~opens) | closes | points
        self.finished = finished | (closes & (self.depth == 0))

    def keep(self, rows: Int64[Tensor, "kept"]) -> None:
        """Go on with these utterances only."""
        for name in ("num_pieces", "starts_word", "piece", "depth", "stack", "has_content", "finished"):
            setattr(self, name, getattr(self, name)[rows])

    def _starts_word(self) -> Bool[Tensor, "utterance hypothesis"]:
        """Whether the next piece is a word's first one; true where there is none."""
        ends = torch.nn.functional.pad(self.starts_word, (0, 1), value=True)
        return ends.gather(1, self.piece)
