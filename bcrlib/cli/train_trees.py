"""What `bcr train` does for dependency parsers; `bcrlib.cli.train_frames` has the same names."""

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from bcrlib.cli.trees import read_text
from bcrlib.data.corpora import load_treebank as load
from bcrlib.data.treebank import Treebank
from bcrlib.pipeline.profile import Profile

if TYPE_CHECKING:  # at run time these would bring torch
    from bcrlib.parsers.batches import Precision, Runtime
    from bcrlib.parsers.deepbiaf import DeepBiafParser
    from bcrlib.parsers.stackptr import StackPtrParser
    from bcrlib.parsers.training import EpochReport

    Model = DeepBiafParser | StackPtrParser

__all__ = ["load", "read_text"]


def corpus(settings: Profile) -> tuple[str, float]:
    """Name of the profile's corpus, and the dial of the generated one."""
    return settings.corpus, settings.ambiguity


def check_sizes(settings: Profile, kind: str, recipe_place: str) -> None:
    """ValueError for a size or rate that no network can have. `recipe_place`: where the recipe stands in a profile."""
    sizes = {f"model.{name}": value for name, value in asdict(settings.model).items() if type(value) is int}
    recipe = settings.recipe(kind)
    sizes |= {f"{recipe_place}.{name}": getattr(recipe, name) for name in ("num_epochs", "warmup_steps")}
    for name, value in sizes.items():
        if value < 1:
            raise ValueError(f"{name} must be at least 1, not {value}")
    if not 0 <= recipe.dropout < 1:
        raise ValueError(f"{recipe_place}.dropout must be in [0, 1), not {recipe.dropout}")


def fit(
    gold: Treebank,
    dev: Treebank,
    settings: Profile,
    kind: str,
    seed: int,
    runtime: "Runtime",
    precision: "Precision",
    report: Callable[["EpochReport"], None],
) -> tuple["Model", list["EpochReport"]]:
    """A trained parser, and what its epochs were like."""
    from bcrlib.parsers.checkpoint import new_parser
    from bcrlib.parsers.training import train

    parser = new_parser(settings.network(kind), gold, seed, runtime)
    return parser, train(parser, gold, dev, settings.recipe(kind), seed, precision, report)


def save(parser: "Model", folder: Path) -> None:
    """Write it into a folder."""
    from bcrlib.parsers.checkpoint import save_parser

    save_parser(parser, folder)
