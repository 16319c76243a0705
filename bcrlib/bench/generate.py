"""The yardstick of greedy decoding: `generate` of the library that the encoder comes from."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from transformers import AutoModel, BertConfig, BertLMHeadModel, EncoderDecoderModel, GenerationConfig

from bcrlib.bench.gold_shape import GoldShapeParser
from bcrlib.data.frames import FrameBank
from bcrlib.decoding.token_search import END
from bcrlib.models.batching import batches
from bcrlib.models.s2s import make_source
from bcrlib.models.s2s_parser import Seq2SeqParser


def encoder_decoder(parser: Seq2SeqParser) -> EncoderDecoderModel:
    """The library's encoder and decoder of the parser's sizes, with random weights.

    Its vocabulary are our brackets and pieces. Where the library would do more than we do, it is spared: no transform
    before the logits, and the decoder's keys and values come straight from encodings of the encoder's width, which the
    library would first project to the decoder's, anew at every step.
    """
    sizes = parser.network.encoder.network.config
    decoder = BertLMHeadModel(_decoder_sizes(parser, sizes.hidden_size))
    for layer in decoder.bert.encoder.layer:
        read = layer.crossattention.self
        read.key, read.value = (nn.Linear(sizes.hidden_size, read.all_head_size) for _ in range(2))
    decoder.cls.predictions.transform = nn.Identity()
    encoder = AutoModel.from_config(sizes, attn_implementation="sdpa")
    encoder.pooler = None
    return EncoderDecoderModel(encoder=encoder, decoder=decoder).eval().to(parser.runtime.device)


def _decoder_sizes(parser: Seq2SeqParser, source_size: int) -> BertConfig:
    config = parser.config
    return BertConfig(
        vocab_size=1 + 2 * len(parser.labels) + config.max_pieces,
        hidden_size=config.decoder_size,
        num_hidden_layers=config.decoder_layers,
        num_attention_heads=config.decoder_heads,
        intermediate_size=config.decoder_inner_size,
        max_position_embeddings=config.max_steps + 1,
        is_decoder=True,
        add_cross_attention=True,
        cross_attention_hidden_size=source_size,
    )


def greedy_generation(
    model: EncoderDecoderModel, parser: GoldShapeParser, bank: FrameBank
) -> Callable[[], list[Tensor]]:
    """A run over the parser's batches; gives the tokens of each. As many steps a batch as its longest gold target.

    It cannot do without: the library keeps an utterance that has ended in the batch until all have ended.
    """
    pieces = parser.pieces(bank)
    work = []
    for utterances in batches(pieces.lengths, parser.runtime.max_tokens):
        num_steps = min(parser.gold_targets(pieces, utterances).shape[1], parser.config.max_steps)
        work.append((make_source(pieces, utterances, parser.runtime.device), _greedy(num_steps)))

    @torch.inference_mode()
    def run() -> list[Tensor]:
        with parser.runtime.autocast():
            return [
                model.generate(source.ids, attention_mask=source.mask.long(), generation_config=steps)
                for source, steps in work
            ]

    return run


def _greedy(num_steps: int) -> GenerationConfig:
    # No token is an end: none has to be looked for.
    return GenerationConfig(
        max_new_tokens=num_steps, do_sample=False, use_cache=True, decoder_start_token_id=END, pad_token_id=END
    )
