"""What `bcr train` does for semantic parsers; `bcrlib.cli.train_trees` has the same names."""

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from bcrlib.cli.frames import read_text
from bcrlib.data.frame_corpora import load_frames as load
from bcrlib.data.frames import FrameBank
from bcrlib.parsers.configuration import Seq2SeqConfig, Seq2SeqTraining
from bcrlib.pipeline.profile import Profile, is_part

if TYPE_CHECKING:  # at run time these would bring torch
    from bcrlib.parsers.batches import Precision, Runtime
    from bcrlib.parsers.s2s import Seq2SeqParser
    from bcrlib.parsers.training import EpochReport

__all__ = ["load", "read_text"]
MAY_BE_0 = ("encoder_layers", "batch_tokens", "num_steps", "patience")
"""Sizes that mean something else then: all, the authors' batches, as many as the epochs have."""
RATES = ("dropout", "attention_dropout", "label_smoothing")


def corpus(settings: Profile) -> tuple[str, float]:
    """Name of the profile's corpus, and the dial of the generated one."""
    return settings.semantic.corpus, settings.semantic.ambiguity


def check_sizes(settings: Profile, kind: str, recipe_place: str) -> None:
    """ValueError for a size or rate that no network can have. `recipe_place`: where the recipe stands in a profile."""
    network, recipe = settings.semantic.network(kind, settings.preset), settings.semantic.recipe(kind)
    place = recipe_place.removesuffix("_training")
    _check_numbers(network, place)
    _check_numbers(recipe, recipe_place)
    size, heads = network.decoder_size, network.decoder_heads
    if size % heads or size % 2 or size < 4:
        raise ValueError(
            f"{place}.decoder_size must be even, at least 4 and a multiple of the {heads} heads, not {size}"
        )
    for name in RATES:
        if not 0 <= getattr(recipe, name) < 1:
            raise ValueError(f"{recipe_place}.{name} must be in [0, 1), not {getattr(recipe, name)}")


def fit(
    gold: FrameBank,
    dev: FrameBank,
    settings: Profile,
    kind: str,
    seed: int,
    runtime: "Runtime",
    precision: "Precision",
    report: Callable[["EpochReport"], None],
) -> tuple["Seq2SeqParser", list["EpochReport"]]:
    """A trained parser, and what its epochs were like. A part model sees a part of gold, but knows all its labels."""
    from bcrlib.parsers.checkpoint import new_parser
    from bcrlib.parsers.training import train

    asked = settings.semantic
    parser = new_parser(asked.network(kind, settings.preset), gold, seed, runtime)
    for name, bank in (("the training data", gold), ("dev", dev)):
        _check_lengths(parser, bank, name)
    seen = gold.part(asked.part, seed) if is_part(kind) else gold
    return parser, train(parser, seen, dev, asked.recipe(kind), seed, precision, report)


def save(parser: "Seq2SeqParser", folder: Path) -> None:
    """Write it into a folder."""
    from bcrlib.parsers.checkpoint import save_parser

    save_parser(parser, folder)


def _check_numbers(settings: Seq2SeqConfig | Seq2SeqTraining, place: str) -> None:
    for name, value in asdict(settings).items():
        least = 0 if name in MAY_BE_0 else 1
        if type(value) is int and value < least:
            raise ValueError(f"{place}.{name} must be at least {least}, not {value}")


def _check_lengths(parser: "Seq2SeqParser", bank: FrameBank, name: str) -> None:
    """Complain now about an utterance that is too long, not when it is to be parsed."""
    try:
        parser.read(bank)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None
