"""Pretrained encoders: any that `AutoModel` loads, its first layers or all of them.

Their attention, and that of s2s' decoder, has weights that can be dropped by name.
"""

import contextlib
from collections import Counter
from collections.abc import Iterable, Iterator

import torch
from jaxtyping import Bool, Float, Int64
from tokenizers import Tokenizer, models, processors
from torch import Tensor, nn
from transformers import (
    MODEL_MAPPING,
    AttentionInterface,
    AttentionMaskInterface,
    AutoConfig,
    AutoModel,
    AutoTokenizer,
    BertConfig,
    PretrainedConfig,
    PreTrainedModel,
)
from transformers.masking_utils import sdpa_mask
from transformers.utils import logging

from bcrlib.data.download import DataError, minilm_folder, mpnet_folder
from bcrlib.parsers.configuration import Seq2SeqConfig
from bcrlib.samplers.dropout_p import SiteDropout, Switch


def attend(
    query: Float[Tensor, "row head query size"],
    key: Float[Tensor, "row head key size"],
    value: Float[Tensor, "row head key size"],
    visible: Bool[Tensor, "row _ _ key"] | None,
    causal: bool,
    weights: SiteDropout,
) -> Float[Tensor, "row head query size"]:
    """softmax(q k^T / sqrt(size)) v, where `visible`, and under `causal` not to later positions.

    Computed step by step where a thinned network's weights must be seen, and in training on a CPU: the backward pass of
    the library's fused kernel takes ten times as long there on inputs as short as utterances. O(query key size).
    """
    if weights.switch.thinning is None and (query.is_cuda or not torch.is_grad_enabled()):
        p = weights.p if weights.training else 0.0
        return nn.functional.scaled_dot_product_attention(
            query, key, value, attn_mask=visible, dropout_p=p, is_causal=causal
        )
    scores = query @ key.transpose(2, 3) * query.shape[-1] ** -0.5
    if visible is not None:
        scores = scores.masked_fill(~visible, float("-inf"))
    if causal:
        later = torch.ones(scores.shape[2:], dtype=torch.bool, device=scores.device).triu(1)
        scores = scores.masked_fill(later, float("-inf"))
    return weights(scores.softmax(dim=-1)) @ value


ATTENTION = "thinnable"
MINILM = BertConfig(hidden_size=384, intermediate_size=1536, num_hidden_layers=6, num_attention_heads=12)
SPECIALS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]")
PROJECTIONS = ("query", "q", "q_lin", "q_proj", "Wqkv")
"""Names, among architectures, of what makes queries; only attentions have one."""


class PretrainedEncoder(nn.Module):
    """An encoder whose dropouts all look at one switch."""

    def __init__(self, network: PreTrainedModel, switch: Switch) -> None:
        super().__init__()
        self.network = network
        self.network.pooler = None  # reads the first position only, and nobody asks for it
        _replace_dropouts(network, switch)

    @property
    def size(self) -> int:
        return self.network.config.hidden_size

    def forward(
        self, ids: Int64[Tensor, "row piece"], mask: Bool[Tensor, "row piece"]
    ) -> Float[Tensor, "row piece size"]:
        """Encodings of all pieces; `mask` says which are there."""
        return self.network(input_ids=ids, attention_mask=mask.long()).last_hidden_state


def new_encoder(config: Seq2SeqConfig, utterances: Iterable[tuple[str, ...]]) -> tuple[PreTrainedModel, Tokenizer]:
    """A pretrained encoder and its tokenizer; "tiny" is made for these utterances. DataError where it cannot be had."""
    source = config.encoder
    if source == "tiny":
        tokenizer = tiny_tokenizer(utterances)
        network = empty_encoder(_tiny_config(config, tokenizer))
    elif source in ("minilm", "mpnet"):
        folder = minilm_folder() if source == "minilm" else mpnet_folder()
        sizes = MINILM if source == "minilm" else AutoConfig.from_pretrained(folder)
        tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        network = _pretrained(str(folder), _first_layers(sizes, config.encoder_layers))
    else:
        with _data_errors(source):
            sizes, tokenizer = AutoConfig.from_pretrained(source), _fast_tokenizer(source)
        sizes = _first_layers(sizes, config.encoder_layers)
        with _data_errors(source):
            network = _pretrained(source, sizes)
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return network, tokenizer


def empty_encoder(sizes: PretrainedConfig) -> PreTrainedModel:
    """An untrained encoder of these sizes, to be trained or to load weights into."""
    return AutoModel.from_config(sizes, attn_implementation=_attention_of(sizes))


def sizes_of(network: PreTrainedModel) -> dict:
    """The encoder's configuration as JSON values, for the checkpoint."""
    return {**network.config.to_diff_dict(), "model_type": network.config.model_type}


def sizes_from(content: dict) -> PretrainedConfig:
    """Back from JSON values."""
    fields = {name: value for name, value in content.items() if name != "model_type"}
    return AutoConfig.for_model(content["model_type"], **fields)


def tiny_tokenizer(utterances: Iterable[tuple[str, ...]], min_count: int = 2) -> Tokenizer:
    """Word pieces made on the spot: words that occur twice, and characters for all others."""
    counts = Counter(word for words in utterances for word in words)
    chars = sorted({char for word in counts for char in word})
    whole = sorted(word for word, count in counts.items() if count >= min_count and len(word) > 1)
    pieces = [*SPECIALS, *chars, *(f"##{char}" for char in chars), *whole]
    tokenizer = Tokenizer(models.WordPiece({piece: i for i, piece in enumerate(pieces)}, unk_token="[UNK]"))
    ends = [(name, pieces.index(name)) for name in ("[CLS]", "[SEP]")]
    tokenizer.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=ends)
    return tokenizer


def _tiny_config(config: Seq2SeqConfig, tokenizer: Tokenizer) -> BertConfig:
    size = config.tiny_size
    return BertConfig(
        vocab_size=tokenizer.get_vocab_size(),
        hidden_size=size,
        intermediate_size=2 * size,
        num_hidden_layers=config.encoder_layers or 2,
        num_attention_heads=4,
        max_position_embeddings=max(256, config.max_pieces + 2),
    )


def _first_layers(sizes: PretrainedConfig, num_layers: int) -> PretrainedConfig:
    sizes = type(sizes).from_dict(sizes.to_dict())
    if num_layers > sizes.num_hidden_layers:
        raise ValueError(f"the encoder has {sizes.num_hidden_layers} layers, not {num_layers}")
    sizes.num_hidden_layers = num_layers or sizes.num_hidden_layers
    return sizes


def _fast_tokenizer(source: str) -> Tokenizer:
    tokenizer = AutoTokenizer.from_pretrained(source, add_prefix_space=True).backend_tokenizer
    if tokenizer.get_vocab_size() <= len(tokenizer.get_added_tokens_decoder()):
        raise ValueError("it comes without a tokenizer")  # the library makes one of special symbols alone
    return tokenizer


def _pretrained(source: str, sizes: PretrainedConfig) -> PreTrainedModel:
    """Without a word: the weights that are left out are meant to be."""
    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        return AutoModel.from_pretrained(
            source, config=sizes, dtype=torch.float32, attn_implementation=_attention_of(sizes)
        )
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()


def _attention_of(sizes: PretrainedConfig) -> str:
    """Ours, unless the architecture computes its attention by itself: that drops its weights by a module of its own."""
    return ATTENTION if MODEL_MAPPING[type(sizes)].is_backend_compatible() else "eager"


@contextlib.contextmanager
def _data_errors(encoder: str) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError, AttributeError) as error:
        first_sentence = " ".join(str(error).split()).split(". ")[0][:200]
        raise DataError(
            f"the encoder {encoder!r} cannot be had ({first_sentence}): give a folder with a model and a fast"
            " tokenizer, or an encoder that needs no hub: minilm, mpnet, or tiny."
        ) from None


def _replace_dropouts(network: nn.Module, switch: Switch) -> None:
    for name, parent in list(network.named_modules()):
        in_attention = any(hasattr(parent, projection) for projection in PROJECTIONS)
        for child_name, child in list(parent.named_children()):
            if isinstance(child, nn.Dropout):
                of_weights = in_attention and not child_name.startswith("out")  # what is read has a dropout in some
                setattr(parent, child_name, SiteDropout(f"{name}.{child_name}", switch, of_weights))
        if in_attention and not _weights_dropouts(parent):  # some have but a rate
            parent.weights_dropout = SiteDropout(f"{name}.weights_dropout", switch, attention=True)


def _weights_dropouts(attention: nn.Module) -> list[SiteDropout]:
    return [child for child in attention.children() if isinstance(child, SiteDropout) and child.attention]


def _attention(
    module: nn.Module,
    query: Float[Tensor, "row head query size"],
    key: Float[Tensor, "row head key size"],
    value: Float[Tensor, "row head key size"],
    attention_mask: Bool[Tensor, "row _ query key"] | None,
    **_ignored: object,  # the library hands more to every attention; what there is of dropout, the site knows
) -> tuple[Float[Tensor, "row query head size"], None]:
    """The library's attention with weights that can be seen and dropped."""
    (dropout,) = _weights_dropouts(module)
    read = attend(query, key, value, attention_mask, False, dropout)
    return read.transpose(1, 2).contiguous(), None


AttentionInterface.register(ATTENTION, _attention)
AttentionMaskInterface.register(ATTENTION, sdpa_mask)
