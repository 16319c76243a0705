"""`bcr train`: one parser, of either kind."""

import json
import os
import shutil
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bcrlib.cli.options import Json, Overrides, check_new_folder, print_json, progress, read_profile

if TYPE_CHECKING:  # at run time these would bring torch
    from bcrlib.data.treebank import Treebank
    from bcrlib.models.graph_parser import DeepBiafParser
    from bcrlib.models.pointer_parser import StackPtrParser
    from bcrlib.models.training import EpochReport
    from bcrlib.pipeline.profiles import Profile

RECIPES = {"deepbiaf": "training", "stackptr": "stackptr_training"}
"""Field of a profile that says how a kind of parser is trained."""


def train(
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FOLDER", help="New folder for the trained parser.")
    ],
    kind: Annotated[
        str,
        typer.Option(
            help="[bold]deepbiaf[/bold]: graph-based, scores every arc. [bold]stackptr[/bold]: transition-based, walks "
            "down the tree with a pointer, action by action."
        ),
    ] = "deepbiaf",
    profile: Annotated[
        str,
        typer.Option(
            help="Sizes and recipe: [bold]demo[/bold] (tiny), [bold]small[/bold] (real treebanks), a YAML file."
        ),
    ] = "demo",
    corpus: Annotated[
        str | None,
        typer.Option(
            help="[bold]demo[/bold], [bold]ewt[/bold], or a folder with train.conllu and dev.conllu.",
            show_default="the profile's",
        ),
    ] = None,
    train_file: Annotated[
        Path | None, typer.Option("--train", metavar="FILE", help="CoNLL-U file to learn from, in place of --corpus.")
    ] = None,
    dev_file: Annotated[
        Path | None,
        typer.Option("--dev", metavar="FILE", help="CoNLL-U file to choose the best epoch on; with --train."),
    ] = None,
    overrides: Overrides = [],  # noqa: B006  typer copies it
    seed: Annotated[int, typer.Option(help="Of weights, batches and dropout; same seed, same parser.")] = 1,
    as_json: Json = False,
) -> None:
    """Train a dependency parser of either kind on a treebank.

    Progress goes to stderr, an epoch a line: loss on the training data, mean
    of UAS and LAS on dev. The folder holds the weights of the best epoch;
    [bold]candidates[/bold] and [bold]rerank[/bold] take it as their MODEL.

    Example, an old and a new model that differ by their seed:

    [green]bcr train -o old --seed 1 && bcr train -o new --seed 2[/green]

    A new model of the other kind, and where its recipe stands in a profile:

    [green]bcr train --kind stackptr -o new --set stackptr_training.num_epochs=20[/green]
    """
    _check_kind(kind, overrides)
    settings = read_profile(profile, overrides)
    _check_sizes(settings, kind)
    check_new_folder(output)
    gold, dev = _treebanks(settings, corpus, train_file, dev_file)
    start = time.perf_counter()
    parser, record = _fit(gold, dev, settings, kind, seed)
    record |= {"kind": kind, "seed": seed, "corpus": corpus or (str(train_file) if train_file else settings.corpus)}
    _save(parser, record, output)
    _tell(record, output, time.perf_counter() - start, as_json)


def _check_kind(kind: str, overrides: list[str]) -> None:
    from bcrlib.configuration import KINDS

    if kind not in KINDS:
        raise ValueError(f"unknown kind of parser {kind!r}; choose one of {', '.join(KINDS)}")
    for override in overrides:
        place, dot, rest = override.partition(".")
        if dot and place in RECIPES.values() and place != RECIPES[kind]:
            raise ValueError(f"--set {override} is of another kind of parser; for {kind} say {RECIPES[kind]}.{rest}")


def _check_sizes(settings: "Profile", kind: str) -> None:
    sizes = {f"model.{name}": value for name, value in asdict(settings.model).items() if type(value) is int}
    recipe, place = settings.recipe(kind), RECIPES[kind]
    sizes |= {f"{place}.num_epochs": recipe.num_epochs, f"{place}.warmup_steps": recipe.warmup_steps}
    for name, value in sizes.items():
        if value < 1:
            raise ValueError(f"{name} must be at least 1, not {value}")
    if not 0 <= recipe.dropout < 1:
        raise ValueError(f"{place}.dropout must be in [0, 1), not {recipe.dropout}")


def _treebanks(
    settings: "Profile", corpus: str | None, train_file: Path | None, dev_file: Path | None
) -> tuple["Treebank", "Treebank"]:
    from bcrlib.data.conllu import read_conllu
    from bcrlib.data.corpora import load_treebank

    if (train_file is None) != (dev_file is None):
        raise ValueError("--train and --dev go together: a file to learn from, and one to choose the best epoch on")
    if train_file is not None and dev_file is not None:
        if corpus is not None:
            raise ValueError("give either --corpus or --train and --dev")
        return read_conllu(train_file), read_conllu(dev_file)
    train_bank, dev_bank = (
        load_treebank(corpus or settings.corpus, split, settings.ambiguity) for split in ("train", "dev")
    )
    return train_bank, dev_bank


def _fit(
    gold: "Treebank", dev: "Treebank", settings: "Profile", kind: str, seed: int
) -> tuple["DeepBiafParser | StackPtrParser", dict[str, Any]]:
    from bcrlib.models.checkpoint import new_parser
    from bcrlib.models.encoding import encode
    from bcrlib.models.runtime import Runtime, best_device, fast_precision
    from bcrlib.models.training import train as fit
    from bcrlib.models.vocabulary import build_vocabulary

    runtime = Runtime(best_device())
    precision = fast_precision(runtime.device) if settings.precision == "auto" else settings.precision
    parser = new_parser(settings.network(kind), build_vocabulary(gold), seed, runtime)
    encoded = encode(gold, parser.vocabulary, parser.vectors)
    history = fit(parser, encoded, dev, settings.recipe(kind), seed, precision, _report)
    return parser, {
        "precision": precision,
        "device": runtime.device,
        "history": [asdict(epoch) for epoch in history],
    }


def _report(epoch: "EpochReport") -> None:
    best = "  best so far" if epoch.is_best else ""
    progress(
        f"{epoch.epoch:3d}/{epoch.num_epochs}  loss {epoch.loss:.3f}  dev {100 * epoch.dev_score:.2f} %"
        f"  {epoch.seconds:.0f} s{best}"
    )


def _save(parser: "DeepBiafParser | StackPtrParser", record: dict[str, Any], folder: Path) -> None:
    """The whole folder or nothing."""
    from bcrlib.models.checkpoint import save_parser

    unfinished = folder.with_name(f".{folder.name}.{os.getpid()}.unfinished")
    try:
        save_parser(parser, unfinished)
        (unfinished / "training.json").write_text(json.dumps(record, indent=1) + "\n", "utf-8")
        os.replace(unfinished, folder)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _tell(record: dict[str, Any], folder: Path, seconds: float, as_json: bool) -> None:
    best = max(record["history"], key=lambda epoch: epoch["dev_score"])
    summary = {
        "output": str(folder),
        "best_epoch": best["epoch"],
        "dev_score": best["dev_score"],
        "seconds": round(seconds, 1),
        **record,
    }
    if as_json:
        print_json(summary)
    else:
        typer.echo(f"{folder}: epoch {best['epoch']}, dev {100 * best['dev_score']:.2f} %, {seconds:.0f} s")
