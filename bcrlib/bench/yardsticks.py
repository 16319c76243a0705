"""What a parser's speed is compared with: a bare LSTM of its size, `generate` of transformers, ufal.chu_liu_edmonds."""

from collections.abc import Callable, Iterable
from importlib.util import find_spec

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence
from transformers import AutoModel, BertConfig, BertLMHeadModel, EncoderDecoderModel, GenerationConfig

from bcrlib.bench.untrained import GoldShapeParser
from bcrlib.configuration import NetworkConfig
from bcrlib.data.frames import FrameBank
from bcrlib.decoding.token_search import END
from bcrlib.models.batching import batches
from bcrlib.models.encoding import EncodedTreebank, make_batch
from bcrlib.models.runtime import Runtime
from bcrlib.models.s2s import make_source
from bcrlib.models.s2s_parser import Seq2SeqParser


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
    pieces, work = parser.pieces(bank), []
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


def has_ufal() -> bool:
    """Whether ufal.chu_liu_edmonds is installed."""
    return find_spec("ufal") is not None and find_spec("ufal.chu_liu_edmonds") is not None


def ufal_over(cut: Iterable[tuple[np.ndarray, np.ndarray]]) -> Callable[[], None]:
    """A run of its 1-best search over batches of arc scores [sentence, dep, head] and lengths.

    Its trees are made single-rooted: root arcs cost more than any tree can gain.
    """
    from ufal.chu_liu_edmonds import chu_liu_edmonds

    tables = []
    for sentence, length in ((table, length) for scores, lengths in cut for table, length in zip(scores, lengths)):
        table = sentence[: length + 1, : length + 1].astype(np.float64)
        finite = table[np.isfinite(table)]
        table[:, 0] -= 1.0 + length * (finite.max() - finite.min())
        tables.append(table)

    def run() -> None:
        for table in tables:
            chu_liu_edmonds(table)

    return run
