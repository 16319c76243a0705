"""Checkpoints of seq2seq-pointer parsers: weights as safetensors, all else as JSON. No hub is needed to load one."""

import json
from dataclasses import asdict
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer

from bcrlib.data.frames import FrameBank
from bcrlib.data.randomness import key
from bcrlib.parsers.batches import Runtime
from bcrlib.parsers.configuration import Seq2SeqConfig
from bcrlib.parsers.pretrained import empty_encoder, new_encoder, sizes_from, sizes_of
from bcrlib.parsers.s2s import Seq2SeqParser, ensemble
from bcrlib.parsers.s2s_network import Seq2Seq
from bcrlib.samplers.dropout_p import Rates

KIND = "s2s"


def new_parser(config: Seq2SeqConfig, bank: FrameBank, seed: int, runtime: Runtime) -> Seq2SeqParser:
    """A parser to be trained, with the labels of this bank; its initial weights depend on the seed alone.

    DataError where the pretrained encoder cannot be had.
    """
    torch.manual_seed(key(seed, "weights"))
    encoder, tokenizer = new_encoder(config, bank.utterances)
    return Seq2SeqParser([Seq2Seq(config, encoder, len(bank.labels))], bank.labels, tokenizer, runtime)


def save_parser(parser: Seq2SeqParser, folder: Path) -> None:
    """Write model.safetensors, config.json, encoder.json, labels.json and tokenizer.json into the folder.

    config.json tells with what dropout the parser was trained, if it was: dropout-p asks for it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rates = {} if parser.network.rates is None else {"rates": asdict(parser.network.rates)}
    save_file(parser.network.state_dict(), folder / "model.safetensors")
    _write(folder / "config.json", {"kind": KIND, **asdict(parser.config), **rates})
    _write(folder / "encoder.json", sizes_of(parser.network.encoder.network))
    _write(folder / "labels.json", list(parser.labels))
    parser.tokenizer.save(str(folder / "tokenizer.json"))


def load_parser(folder: Path, runtime: Runtime) -> Seq2SeqParser:
    """The parser saved in a folder. ValueError for a folder that holds another kind of model."""
    fields = _read(folder / "config.json")
    kind = fields.pop("kind", None)
    if kind != KIND:
        raise ValueError(f"{folder}: a model of kind {kind!r}, expected {KIND}")
    rates = fields.pop("rates", None)  # not told in old checkpoints
    labels = tuple(_read(folder / "labels.json"))
    encoder = empty_encoder(sizes_from(_read(folder / "encoder.json")))
    network = Seq2Seq(Seq2SeqConfig(**fields), encoder, len(labels))
    network.rates = None if rates is None else Rates(**rates)
    network.load_state_dict(load_file(folder / "model.safetensors"))
    return Seq2SeqParser([network], labels, Tokenizer.from_file(str(folder / "tokenizer.json")), runtime)


def load_parsers(folders: list[Path], runtime: Runtime) -> Seq2SeqParser:
    """One folder: that parser. Several: their ensemble."""
    parsers = [load_parser(folder, runtime) for folder in folders]
    return parsers[0] if len(parsers) == 1 else ensemble(parsers)


def _read(path: Path) -> dict | list:
    return json.loads(path.read_text("utf-8"))


def _write(path: Path, content: dict | list) -> None:
    path.write_text(json.dumps(content, ensure_ascii=False, indent=1) + "\n", "utf-8")
