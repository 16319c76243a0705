"""Tiny generators with random weights and tokenizers of single characters, for tests of everything but accuracy."""

import torch
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    BartConfig,
    BartForConditionalGeneration,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
    T5Config,
    T5ForConditionalGeneration,
)

from bcrlib.parsers.generator import Generator

LETTERS = "abcd "


def character_tokenizer(letters: str = LETTERS) -> PreTrainedTokenizerFast:
    """Every letter is a token; 0 pads, 1 ends, 2 is unknown."""
    vocabulary = {token: i for i, token in enumerate(["<pad>", "</s>", "<unk>", *letters])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex("."), behavior="isolated")
    tokenizer.decoder = decoders.Fuse()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<pad>", eos_token="</s>", unk_token="<unk>")


def tiny_model(kind: str, vocab_size: int, seed: int = 0, spread: float = 0.5):
    """ "t5", "bart", "gpt2" or, without any dropout, "llama"; weights strewn, so that no distribution is flat."""
    if kind == "t5":
        model = T5ForConditionalGeneration(
            T5Config(
                vocab_size=vocab_size, d_model=16, d_kv=8, d_ff=24, num_layers=2, num_heads=2, decoder_start_token_id=0,
                pad_token_id=0, eos_token_id=1, dropout_rate=0.1,
            )
        )  # fmt: skip
    elif kind == "bart":
        model = BartForConditionalGeneration(
            BartConfig(
                vocab_size=vocab_size, d_model=16, encoder_layers=1, decoder_layers=1, encoder_attention_heads=2,
                decoder_attention_heads=2, encoder_ffn_dim=24, decoder_ffn_dim=24, max_position_embeddings=40,
                decoder_start_token_id=0, pad_token_id=0, bos_token_id=0, eos_token_id=1, forced_eos_token_id=None,
            )
        )  # fmt: skip
    elif kind == "gpt2":
        ids = {"bos_token_id": 1, "eos_token_id": 1, "pad_token_id": 0}
        model = GPT2LMHeadModel(
            GPT2Config(vocab_size=vocab_size, n_positions=40, n_embd=16, n_layer=2, n_head=2, **ids)
        )
    else:
        sizes = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 1, "num_attention_heads": 2}
        ids = {"bos_token_id": 1, "eos_token_id": 1, "pad_token_id": 0}
        model = LlamaForCausalLM(LlamaConfig(vocab_size=vocab_size, max_position_embeddings=40, **sizes, **ids))
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(spread * torch.randn(parameter.shape, generator=generator))
    return model


def tiny_generator(kind: str, seed: int = 0, letters: str = LETTERS, **settings) -> Generator:
    tokenizer = character_tokenizer(letters)
    torch.manual_seed(seed)
    return Generator(tiny_model(kind, len(tokenizer), seed), tokenizer, max_new_tokens=6, **settings)
