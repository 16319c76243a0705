"""Yardsticks (a bare LSTM, `generate` of transformers, ufal.chu_liu_edmonds), and untrained parsers beside them.

Their weights are random; targets of s2s are as long as a trained one's, so that decoding costs the same. A trained
parser's candidates agree more, and are re-ranked faster.
"""

from collections.abc import Callable, Iterable

import numpy as np
import torch
from jaxtyping import Bool, Int64
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence
from transformers import AutoModel, BertConfig, BertLMHeadModel, EncoderDecoderModel, GenerationConfig

from bcrlib.data.download import DataError
from bcrlib.data.frames import FrameBank, sequences_of
from bcrlib.data.treebank import Treebank
from bcrlib.parsers.batches import Runtime, batches
from bcrlib.parsers.checkpoint import new_parser
from bcrlib.parsers.configuration import NetworkConfig, Seq2SeqConfig
from bcrlib.parsers.deepbiaf import DeepBiafParser
from bcrlib.parsers.encoding import EncodedTreebank, make_batch
from bcrlib.parsers.pieces import Pieces
from bcrlib.parsers.pretrained import MINILM, empty_encoder, tiny_tokenizer
from bcrlib.parsers.s2s import Seq2SeqParser
from bcrlib.parsers.s2s_network import Seq2Seq, Source, make_source
from bcrlib.parsers.stackptr import StackPtrParser
from bcrlib.parsers.targets import targets_of
from bcrlib.samplers.rules import END


def untrained(
    config: NetworkConfig | Seq2SeqConfig, items: Treebank | FrameBank, runtime: Runtime
) -> DeepBiafParser | StackPtrParser | Seq2SeqParser:
    """A parser of these sizes for the words of a treebank or a bank; of s2s the encoder alone has learnt something.

    Where MiniLM cannot be had, not even that: random weights of its sizes, and word pieces made of the bank.
    """
    try:
        return new_parser(config, items, 0, runtime)
    except DataError:
        if not (isinstance(config, Seq2SeqConfig) and config.encoder == "minilm"):
            raise
    network = Seq2Seq(config, empty_encoder(MINILM), len(items.labels))
    return Seq2SeqParser([network], items.labels, tiny_tokenizer(items.utterances), runtime)


class GoldShape:
    """Where the gold target has a bracket there is any bracket; its pieces and its end stand where they stand.

    As `bcrlib.samplers.rules.TargetRules`. Hypotheses are as long as the gold target and differ by their labels.
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

    def rules(self, read: Pieces, rows: Int64[np.ndarray, "row"], source: Source) -> GoldShape:
        """Those of the gold targets of these utterances of the bank."""
        targets = self.gold_targets(read, rows)
        num_actions = 1 + 2 * len(self.labels) + source.pieces.stop - source.pieces.start
        return GoldShape(torch.from_numpy(targets).to(self.runtime.device), len(self.labels), num_actions)

    def gold_targets(self, pieces: Pieces, rows: Int64[np.ndarray, "row"]) -> Int64[np.ndarray, "row step"]:
        """Filled up with ends."""
        targets = targets_of(self.sequences[rows], rows, self.labels, pieces, self.labels)
        return targets.padded(np.arange(len(rows)))


def bare_lstm(config: NetworkConfig) -> nn.LSTM:
    """An LSTM of the size of this parser's encoder, with random weights."""
    width = config.word_size + config.char_size + config.upos_size
    return nn.LSTM(width, config.hidden_size, config.num_layers, bidirectional=True)


def lstm_over(
    lstm: nn.LSTM, encoded: EncodedTreebank, cut: list[np.ndarray], runtime: Runtime, backward: bool = False
) -> Callable[[], None]:
    """A run over length-sorted packed batches, forward alone or, three times as dear, forward and backward.

    It is fed with vectors that are there already: a parser must also embed words, score, and find trees. On the
    runtime's device and in its precision, nothing is left to autocast.  O(tokens * hidden * (input + hidden)) a layer.
    """
    packings = [make_batch(encoded, sentences).packing for sentences in cut]
    lstm = lstm.to(runtime.device, torch.bfloat16 if runtime.precision == "bfloat16" else torch.float32)
    like = next(lstm.parameters())

    @torch.inference_mode(not backward)
    def run() -> None:
        for packing in packings:
            rows = torch.randn(packing.num_rows, lstm.input_size, device=like.device, dtype=like.dtype)
            outputs = lstm(PackedSequence(rows, torch.tensor(packing.counts)))[0].data
            if backward:
                outputs.sum().backward()

    return run


def encoder_decoder(parser: Seq2SeqParser) -> EncoderDecoderModel:
    """The library's encoder and decoder of the parser's sizes, with random weights.

    Its vocabulary are our brackets and pieces. Where the library would do more than we do, it is spared: no transform
    before the logits, and the decoder's keys and values come straight from encodings of the encoder's width, which the
    library would first project to the decoder's, anew at every step.
    """
    sizes, config = parser.network.encoder.network.config, parser.config
    of_decoder = BertConfig(
        vocab_size=1 + 2 * len(parser.labels) + config.max_pieces,
        hidden_size=config.decoder_size,
        num_hidden_layers=config.decoder_layers,
        num_attention_heads=config.decoder_heads,
        intermediate_size=config.decoder_inner_size,
        max_position_embeddings=config.max_steps + 1,
        is_decoder=True,
        add_cross_attention=True,
        cross_attention_hidden_size=sizes.hidden_size,
    )
    decoder = BertLMHeadModel(of_decoder)
    for layer in decoder.bert.encoder.layer:
        read = layer.crossattention.self
        read.key, read.value = (nn.Linear(sizes.hidden_size, read.all_head_size) for _ in range(2))
    decoder.cls.predictions.transform = nn.Identity()
    encoder = AutoModel.from_config(sizes, attn_implementation="sdpa")
    encoder.pooler = None
    return EncoderDecoderModel(encoder=encoder, decoder=decoder).eval().to(parser.runtime.device)


def greedy_generation(
    model: EncoderDecoderModel, parser: GoldShapeParser, bank: FrameBank
) -> Callable[[], list[Tensor]]:
    """A run over the parser's batches; gives the tokens of each. As many steps a batch as its longest gold target.

    It cannot do without: the library keeps an utterance that has ended in the batch until all have ended.
    """
    pieces, work = parser.read(bank), []
    for utterances in batches(pieces.lengths, parser.runtime.max_tokens):
        num_steps = min(parser.gold_targets(pieces, utterances).shape[1], parser.config.max_steps)
        greedy = GenerationConfig(  # no token is an end: none has to be looked for
            max_new_tokens=num_steps, do_sample=False, use_cache=True, decoder_start_token_id=END, pad_token_id=END
        )
        work.append((make_source(pieces, utterances, parser.runtime.device), greedy))

    @torch.inference_mode()
    def run() -> list[Tensor]:
        with parser.runtime.autocast():
            return [
                model.generate(source.ids, attention_mask=source.mask.long(), generation_config=greedy)
                for source, greedy in work
            ]

    return run


def ufal_over(cut: Iterable[tuple[np.ndarray, np.ndarray]]) -> Callable[[], object]:
    """A run of its 1-best search over batches of arc scores [sentence, dep, head] and lengths. ImportError without it.

    Its trees are made single-rooted: root arcs cost more than any tree can gain.
    """
    from ufal.chu_liu_edmonds import chu_liu_edmonds

    tables = []
    for sentence, length in ((table, length) for scores, lengths in cut for table, length in zip(scores, lengths)):
        table = sentence[: length + 1, : length + 1].astype(np.float64)
        finite = table[np.isfinite(table)]
        table[:, 0] -= 1.0 + length * (finite.max() - finite.min())
        tables.append(table)
    return lambda: [chu_liu_edmonds(table) for table in tables]
