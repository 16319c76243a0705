"""Small parsers with random weights, for tests of everything but accuracy."""

from dataclasses import replace

import numpy as np
import torch
from torch import nn

from bcrlib.data.randomness import key
from bcrlib.data.treebank import Treebank
from bcrlib.parsers.batches import Runtime
from bcrlib.parsers.configuration import NetworkConfig
from bcrlib.parsers.deepbiaf import DeepBiafParser
from bcrlib.parsers.encoding import Batch, Vocabulary, build_vocabulary, make_batch
from bcrlib.parsers.stackptr import StackPtrParser
from bcrlib.parsers.training import parser_class
from bcrlib.samplers.dropout_p import Noise

TINY = NetworkConfig(
    word_size=8, char_size=6, upos_size=4, hidden_size=7, num_layers=2, arc_size=9, label_size=5,
    decoder_input_size=6, decoder_size=8,
)  # fmt: skip


def tiny_parser(
    train: Treebank | Vocabulary, seed: int = 0, preset: str = "clean", runtime: Runtime | None = None
) -> DeepBiafParser:
    """A deepbiaf with the alphabets of `train`; its weights are strewn, biases too, so that no score is flat."""
    return _strewn_parser(replace(TINY, preset=preset), train, seed, runtime)


def tiny_pointer_parser(
    train: Treebank | Vocabulary, seed: int = 0, preset: str = "clean", runtime: Runtime | None = None
) -> StackPtrParser:
    """A stackptr, likewise."""
    return _strewn_parser(replace(TINY, kind="stackptr", preset=preset), train, seed, runtime)


def _strewn_parser(config: NetworkConfig, train: Treebank | Vocabulary, seed: int, runtime: Runtime | None):
    vocabulary = train if isinstance(train, Vocabulary) else build_vocabulary(train)
    torch.manual_seed(key(seed, "weights"))
    parser = parser_class(config.kind).of_vocabulary(config, vocabulary, runtime or Runtime())
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in parser.network.parameters():
            parameter += 0.4 * torch.randn(parameter.shape, generator=generator).to(parameter.device)
        parser.network.arc.bilinear *= 5
        parser.network.label.bilinear *= 3
    return parser


def whole_batch(parser: DeepBiafParser | StackPtrParser, treebank: Treebank) -> Batch:
    """All sentences of a treebank as one batch."""
    encoded = parser.read(treebank)
    return make_batch(encoded, np.arange(treebank.num_sentences))


def may_have(parser: DeepBiafParser | StackPtrParser, heads, relations) -> bool:
    """Whether decoding may give words these heads and relations: `root` from the root, there only, where that holds."""
    root = parser.vocabulary.relation_ids["root"] if parser.config.preset == "clean" else None
    return root is None or all((head == 0) == (relation == root) for head, relation in zip(heads, relations))


def strewn(module: nn.Module, seed: int = 0) -> nn.Module:
    """The module with random numbers for all its parameters, biases too."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(0.5 * torch.randn(parameter.shape, generator=generator))
    return module


def noise_of(batch, p: float = 0.33) -> Noise:
    """Dropout with another key for every sentence of the batch."""
    return Noise(torch.arange(batch.packing.num_sentences) * 7919, batch.packing, p)
