"""Checkpoints: weights as safetensors, everything else as JSON. Nothing is unpickled."""

import json
from dataclasses import asdict
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from bcrlib.data.randomness import key
from bcrlib.data.vectors import CONTEXTUAL, load_vectors
from bcrlib.parsers.batches import Runtime
from bcrlib.parsers.configuration import KINDS, NetworkConfig
from bcrlib.parsers.contextual import ContextualVectors
from bcrlib.parsers.deepbiaf import DeepBiaf, DeepBiafParser, GraphEnsemble
from bcrlib.parsers.encoding import Vocabulary
from bcrlib.parsers.parser import Parser
from bcrlib.parsers.stackptr import PointerEnsemble, StackPtrParser
from bcrlib.parsers.stackptr_network import StackPtr


def new_parser(
    config: NetworkConfig, vocabulary: Vocabulary, seed: int, runtime: Runtime
) -> DeepBiafParser | StackPtrParser:
    """An untrained parser; its initial weights depend on the seed alone. ValueError for an unknown kind."""
    contextual = config.vectors in CONTEXTUAL
    vectors = ContextualVectors(config.vectors, runtime.device) if contextual else load_vectors(config.vectors)
    vector_size = None if vectors is None else vectors.dim
    torch.manual_seed(key(seed, "weights"))
    if config.kind == "deepbiaf":
        return DeepBiafParser(DeepBiaf(config, vocabulary, vector_size), vocabulary, vectors, runtime)
    if config.kind == "stackptr":
        return StackPtrParser(StackPtr(config, vocabulary, vector_size), vocabulary, vectors, runtime)
    raise ValueError(f"unknown kind of parser {config.kind!r}; choose one of {', '.join(KINDS)}")


def save_parser(parser: DeepBiafParser | StackPtrParser, folder: Path) -> None:
    """Write model.safetensors, config.json and vocabulary.json into the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    save_file(parser.network.state_dict(), folder / "model.safetensors")
    _write(folder / "config.json", asdict(parser.network.config))
    _write(folder / "vocabulary.json", parser.vocabulary.to_json())


def load_parser(folder: Path, runtime: Runtime) -> DeepBiafParser | StackPtrParser:
    """The parser saved in a folder. ValueError for a folder that holds an unknown kind of model."""
    fields = json.loads((folder / "config.json").read_text("utf-8"))
    if (kind := fields.get("kind")) not in KINDS:
        raise ValueError(f"{folder}: a model of kind {kind!r}, expected one of {', '.join(KINDS)}")
    config = NetworkConfig(**fields)
    vocabulary = Vocabulary.from_json(json.loads((folder / "vocabulary.json").read_text("utf-8")))
    parser = new_parser(config, vocabulary, 0, runtime)
    parser.network.load_state_dict(load_file(folder / "model.safetensors", device=runtime.device))
    return parser


def load_parsers(folders: list[Path], runtime: Runtime) -> Parser:
    """One folder: that parser. Several: their ensemble. ValueError for an ensemble of different kinds."""
    parsers = [load_parser(folder, runtime) for folder in folders]
    if len(parsers) == 1:
        return parsers[0]
    return GraphEnsemble(parsers) if isinstance(parsers[0], DeepBiafParser) else PointerEnsemble(parsers)


def _write(path: Path, content: dict) -> None:
    path.write_text(json.dumps(content, ensure_ascii=False, indent=1) + "\n", "utf-8")
