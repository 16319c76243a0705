"""Checkpoints: weights as safetensors, everything else as JSON. Nothing is unpickled."""

import json
from dataclasses import asdict
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from bcrlib.data.vectors import load_vectors
from bcrlib.models.deepbiaf import DeepBiaf, DeepBiafConfig
from bcrlib.models.graph_parser import DeepBiafParser, GraphEnsemble, GraphParser
from bcrlib.models.runtime import Runtime
from bcrlib.models.vocabulary import Vocabulary
from bcrlib.randomness import key


def new_parser(config: DeepBiafConfig, vocabulary: Vocabulary, seed: int, runtime: Runtime) -> DeepBiafParser:
    """An untrained parser; its initial weights depend on the seed alone."""
    vectors = load_vectors(config.vectors)
    torch.manual_seed(key(seed, "weights"))
    network = DeepBiaf(config, vocabulary, None if vectors is None else vectors.dim)
    return DeepBiafParser(network, vocabulary, vectors, runtime)


def save_parser(parser: DeepBiafParser, folder: Path) -> None:
    """Write model.safetensors, config.json and vocabulary.json into the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    save_file(parser.network.state_dict(), folder / "model.safetensors")
    _write(folder / "config.json", {"kind": "deepbiaf", **asdict(parser.network.config)})
    _write(folder / "vocabulary.json", parser.vocabulary.to_json())


def load_parser(folder: Path, runtime: Runtime) -> DeepBiafParser:
    """The parser saved in a folder. ValueError for a folder that holds another kind of model."""
    config = json.loads((folder / "config.json").read_text("utf-8"))
    if (kind := config.pop("kind")) != "deepbiaf":
        raise ValueError(f"{folder}: a model of kind {kind!r}, expected 'deepbiaf'")
    vocabulary = Vocabulary.from_json(json.loads((folder / "vocabulary.json").read_text("utf-8")))
    parser = new_parser(DeepBiafConfig(**config), vocabulary, 0, runtime)
    parser.network.load_state_dict(load_file(folder / "model.safetensors", device=runtime.device))
    return parser


def load_parsers(folders: list[Path], runtime: Runtime) -> GraphParser:
    """One folder: that parser. Several: their ensemble."""
    parsers = [load_parser(folder, runtime) for folder in folders]
    return parsers[0] if len(parsers) == 1 else GraphEnsemble(parsers)


def _write(path: Path, content: dict) -> None:
    path.write_text(json.dumps(content, ensure_ascii=False, indent=1) + "\n", "utf-8")
