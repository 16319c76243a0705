"""Targets as long as a trained parser's from a network that has learnt nothing, so that decoding it costs the same."""

import numpy as np
import torch
from jaxtyping import Bool, Int64
from torch import Tensor

from bcrlib.data.bracket_sequences import sequences_of
from bcrlib.data.frames import FrameBank
from bcrlib.decoding.token_search import END
from bcrlib.models.pieces import Pieces
from bcrlib.models.s2s import Source
from bcrlib.models.s2s_parser import Seq2SeqParser
from bcrlib.models.targets import targets_of


class GoldShape:
    """Where the gold target has a bracket there is any bracket; its pieces and its end stand where they stand.

    As `bcrlib.decoding.token_search.Rules`. Hypotheses are as long as the gold target and differ by their labels.
    """

    def __init__(self, targets: Int64[Tensor, "utterance step"], num_labels: int, num_actions: int) -> None:
        self.targets, self.num_hypotheses = targets, 1
        actions = torch.arange(num_actions, device=targets.device)
        self.actions, self.brackets = actions, (actions > END) & (actions <= 2 * num_labels)

    def allowed(self, step: int) -> Bool[Tensor, "utterance hypothesis action"]:
        """Which tokens may come next."""
        gold = self.targets[:, step, None]
        is_bracket = self.brackets[gold[:, 0]][:, None]
        mask = torch.where(is_bracket, self.brackets, self.actions == gold)
        return mask[:, None].expand(-1, self.num_hypotheses, -1)

    def advance(self, parent: Int64[Tensor, "u child"], tokens: Int64[Tensor, "u child"]) -> None:
        """Go on to the children."""
        self.num_hypotheses = tokens.shape[1]

    def keep(self, rows: Int64[Tensor, "kept"]) -> None:
        """Go on with these utterances only."""
        self.targets = self.targets[rows]


class GoldShapeParser(Seq2SeqParser):
    """A parser of one bank, whose targets all have the shape of the bank's own."""

    def __init__(self, parser: Seq2SeqParser, bank: FrameBank) -> None:
        super().__init__(parser.networks, parser.labels, parser.tokenizer, parser.runtime)
        self.sequences = sequences_of(bank, parser.labels)

    def rules(self, pieces: Pieces, rows: Int64[np.ndarray, "row"], source: Source) -> GoldShape:
        """Those of the gold targets of these utterances of the bank."""
        targets = self.gold_targets(pieces, rows)
        num_actions = 1 + 2 * len(self.labels) + source.pieces.stop - source.pieces.start
        return GoldShape(torch.from_numpy(targets).to(self.runtime.device), len(self.labels), num_actions)

    def gold_targets(self, pieces: Pieces, rows: Int64[np.ndarray, "row"]) -> Int64[np.ndarray, "row step"]:
        """Filled up with ends."""
        targets = targets_of(self.sequences[rows], rows, self.labels, pieces, self.labels)
        return targets.padded(np.arange(len(rows)))
