"""Small pretrained encoders: of every architecture that tests name, and folders as the hub's."""

import copy
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_parsers import strewn
from tokenizers import ByteLevelBPETokenizer
from torch import Tensor
from transformers import (
    AlbertConfig,
    AutoModel,
    BertConfig,
    DistilBertConfig,
    ElectraConfig,
    ModernBertConfig,
    MPNetConfig,
    PretrainedConfig,
    PreTrainedModel,
    RobertaConfig,
)

from bcrlib.data.download import DataError, minilm_folder

NUM_IDS = 60
_COMMON = {
    "vocab_size": NUM_IDS,
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "max_position_embeddings": 40,
}
_NAMED = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "cls_token_id": 1, "sep_token_id": 2}
SIZES: dict[str, PretrainedConfig] = {
    "bert": BertConfig(**_COMMON),
    "roberta": RobertaConfig(**_COMMON),
    "mpnet": MPNetConfig(**_COMMON),  # computes its attention by itself
    "electra": ElectraConfig(**_COMMON, embedding_size=12),
    "albert": AlbertConfig(**_COMMON, embedding_size=12),
    "distilbert": DistilBertConfig(
        vocab_size=NUM_IDS, dim=16, hidden_dim=24, n_layers=3, n_heads=4, max_position_embeddings=40
    ),
    "modernbert": ModernBertConfig(**_COMMON, **_NAMED),  # its attention has a rate, and no module, for dropout
}
TEXTS = ("Wake me at 7 AM in Zürich", "don't CALL Mom", "wake Me", "traffic to McDonald's on 5th Ave.")


def sizes_like(name: str) -> PretrainedConfig:
    """A configuration of one's own: the library writes into those that it builds from."""
    return copy.deepcopy(SIZES[name])


def library_encoder(name: str, attention: str = "eager", seed: int = 0) -> PreTrainedModel:
    """The library's encoder with its own attention, its weights strewn so that every position matters."""
    network = AutoModel.from_config(sizes_like(name), attn_implementation=attention)
    return strewn(network, seed).eval()


def random_batch(lengths: tuple[int, ...] = (9, 4, 8), seed: int = 0) -> tuple[Tensor, Tensor]:
    """Ids and mask of utterances of these lengths, filled up with zeros as the parser's."""
    rng = np.random.default_rng(seed)
    mask = torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]
    ids = torch.from_numpy(rng.integers(5, NUM_IDS, mask.shape))
    return ids * mask, mask


def bpe_folder(folder: Path) -> Path:
    """A RoBERTa of 3 layers in a folder as the hub's, with a cased tokenizer of bytes learnt from the texts above."""
    tokenizer = ByteLevelBPETokenizer()
    specials = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    tokenizer.train_from_iterator(TEXTS * 2, vocab_size=300, special_tokens=specials, show_progress=False)
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save_model(str(folder))
    sizes = sizes_like("roberta")
    sizes.vocab_size = tokenizer.get_vocab_size()
    strewn(AutoModel.from_config(sizes)).save_pretrained(folder)
    return folder


def real_minilm() -> Path:
    """The folder of MiniLM-L6; skips loudly where it is not to be had."""
    try:
        return minilm_folder()
    except DataError as error:
        warnings.warn(f"MINILM NOT TO BE HAD: {error}", stacklevel=2)
        pytest.skip(f"MiniLM is not to be had: {error}")
