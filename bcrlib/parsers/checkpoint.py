"""Parsers of any kind, new or from a folder. Weights are safetensors, all else is JSON: nothing is unpickled."""

import json
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from bcrlib.data.randomness import key
from bcrlib.parsers.batches import Runtime, best_runtime
from bcrlib.parsers.configuration import KINDS, NetworkConfig, Seq2SeqConfig
from bcrlib.parsers.parser import Parser, ensemble


def parser_class(kind: str) -> type[Parser]:
    """That of a kind of parser. ValueError for an unknown kind."""
    if kind not in KINDS:
        raise ValueError(f"unknown kind of parser {kind!r}; choose one of {', '.join(KINDS)}")
    module, name = KINDS[kind].split(":")
    return getattr(import_module(module), name)


def new_parser(config: NetworkConfig | Seq2SeqConfig, gold: Any, seed: int, runtime: Runtime) -> Parser:
    """A parser to be trained, with the alphabets of a gold bank; its initial weights depend on the seed alone.

    ValueError for an unknown kind, DataError where vectors or a pretrained encoder cannot be had.
    """
    torch.manual_seed(key(seed, "weights"))
    return parser_class(config.kind).untrained(config, gold, runtime)


def save_parser(parser: Parser, folder: Path) -> None:
    """Write model.safetensors, config.json and what else the kind needs into the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    save_file(parser.network.state_dict(), weights := folder / "model.safetensors")
    weights.chmod(folder.stat().st_mode & 0o666)  # save_file leaves them to their owner alone
    for name, content in parser.files().items():
        is_text = isinstance(content, str)
        text = content if is_text else json.dumps(content, ensure_ascii=False, indent=1) + "\n"
        (folder / name).write_text(text, "utf-8")


def load_parser(folder: Path, runtime: Runtime) -> Parser:
    """The parser saved in a folder. ValueError for a folder that holds an unknown kind of model."""
    fields = json.loads((folder / "config.json").read_text("utf-8"))
    if (kind := fields.get("kind")) not in KINDS:
        raise ValueError(f"{folder}: a model of kind {kind!r}, expected one of {', '.join(KINDS)}")
    parser = parser_class(kind).restored(fields, folder, runtime)
    parser.network.load_state_dict(load_file(folder / "model.safetensors", device=runtime.device))
    return parser


def load(*folders: Path | str) -> Parser:
    """The parser saved in a folder, or the ensemble of several, on the best device. Errors as of `load_parsers`."""
    return load_parsers([Path(folder) for folder in folders], best_runtime())


def load_parsers(folders: Sequence[Path], runtime: Runtime) -> Parser:
    """One folder: that parser. Several: their ensemble. ValueError for an ensemble of different kinds."""
    parsers = [load_parser(folder, runtime) for folder in folders]
    return parsers[0] if len(parsers) == 1 else ensemble(parsers)
