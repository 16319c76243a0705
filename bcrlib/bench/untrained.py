"""What stands in for a trained parser where only speed is asked for.

Networks with random weights; of s2s with targets as long as a trained one's, so that decoding costs the same. A trained
parser's candidates agree more, and are re-ranked faster.
"""

import numpy as np
import torch
from jaxtyping import Bool, Int64
from torch import Tensor

from bcrlib.configuration import NetworkConfig, Seq2SeqConfig
from bcrlib.data.bracket_sequences import sequences_of
from bcrlib.data.download import DataError
from bcrlib.data.frames import FrameBank
from bcrlib.data.treebank import Treebank
from bcrlib.decoding.token_search import END
from bcrlib.models import checkpoint, s2s_checkpoint
from bcrlib.models.graph_parser import DeepBiafParser
from bcrlib.models.pieces import Pieces
from bcrlib.models.pointer_parser import StackPtrParser
from bcrlib.models.pretrained_encoder import MINILM, empty_encoder, tiny_tokenizer
from bcrlib.models.runtime import Runtime
from bcrlib.models.s2s import Seq2Seq, Source
from bcrlib.models.s2s_parser import Seq2SeqParser
from bcrlib.models.targets import targets_of
from bcrlib.models.vocabulary import build_vocabulary


def untrained(
    config: NetworkConfig | Seq2SeqConfig, items: Treebank | FrameBank, runtime: Runtime
) -> DeepBiafParser | StackPtrParser | Seq2SeqParser:
    """A parser of these sizes for the words of a treebank or a bank; of s2s the encoder alone has learnt something.

    Where MiniLM cannot be had, not even that: random weights of its sizes, and word pieces made of the bank.
    """
    if isinstance(items, Treebank):
        return checkpoint.new_parser(config, build_vocabulary(items), 0, runtime)
    try:
        return s2s_checkpoint.new_parser(config, items, 0, runtime)
    except DataError:
        if config.encoder != "minilm":
            raise
    network = Seq2Seq(config, empty_encoder(MINILM), len(items.labels))
    return Seq2SeqParser([network], items.labels, tiny_tokenizer(items.utterances), runtime)


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
