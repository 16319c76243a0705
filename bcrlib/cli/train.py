"""`bcr train`: one parser, of any kind."""

import json
import math
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bcrlib.cli.options import Json, Overrides, check_new_folder, print_json, progress, read_profile, task_of

if TYPE_CHECKING:  # at run time these would bring torch
    from bcrlib.parsers.training import EpochReport

SECTIONS = {
    "deepbiaf-static": ("model", "static_training"),
    "deepbiaf": ("model", "training"),
    "stackptr": ("model", "stackptr_training"),
    "s2s-base": ("semantic.base", "semantic.base_training"),
    "s2s-large": ("semantic.large", "semantic.large_training"),
}
"""Where a profile says how large a kind of parser is, and how it is trained; part models are of the kind they are named
after."""
CORPUS_FIELDS = ("corpus", "ambiguity")
MAY_BE_0 = ("encoder_layers", "batch_tokens", "num_steps", "patience", "reset_after")
"""Sizes that mean something else then: all, the authors' batches, as many as the epochs have."""
RATES = ("dropout", "attention_dropout", "label_smoothing", "beta1", "beta2")
"""In [0, 1)."""
POSITIVE = ("learning_rate", "encoder_learning_rate", "epsilon", "decay")
NOT_NEGATIVE = ("weight_decay", "clip")

OUTPUT = typer.Option("--output", "-o", metavar="FOLDER", help="New folder for the trained parser.")
KIND = typer.Option(
    help="[bold]deepbiaf[/bold]: graph-based, scores every arc. [bold]deepbiaf-static[/bold]: the same with the "
    "profile's static_vectors. [bold]stackptr[/bold]: transition-based, builds the tree from the root down with a "
    "pointer network. [bold]s2s-base[/bold] (short: [bold]s2s[/bold]), [bold]s2s-large[/bold]: generate a semantic "
    "frame, on top of a pretrained encoder. [bold]s2s-base-part[/bold], [bold]s2s-large-part[/bold]: the same, "
    "trained on a part of the data."
)
PROFILE_NAME = typer.Option(
    help="Sizes and recipe: [bold]demo[/bold] (tiny), [bold]small[/bold] (real data), a YAML file."
)
CORPUS = typer.Option(
    help="[bold]demo[/bold]; [bold]ewt[/bold] or a folder with train.conllu and dev.conllu; for s2s "
    "[bold]top[/bold] or a folder with train.tsv and eval.tsv.",
    show_default="the profile's",
)
TRAIN_FILE = typer.Option(
    "--train", metavar="FILE", help="Training file instead of --corpus: CoNLL-U, or rows of TOP for s2s."
)
DEV_FILE = typer.Option("--dev", metavar="FILE", help="File that decides the best epoch; needs --train.")


def train(
    output: Annotated[Path, OUTPUT],
    kind: Annotated[str, KIND] = "deepbiaf",
    profile: Annotated[str, PROFILE_NAME] = "demo",
    corpus: Annotated[str | None, CORPUS] = None,
    train_file: Annotated[Path | None, TRAIN_FILE] = None,
    dev_file: Annotated[Path | None, DEV_FILE] = None,
    overrides: Overrides = [],  # noqa: B006  typer copies it
    seed: Annotated[int, typer.Option(help="Seed of weights, batches and dropout: same seed, same parser.")] = 1,
    as_json: Json = False,
) -> None:
    """Train a parser of any kind: on a treebank, or for s2s on utterances with their frames.

    Progress goes to stderr, one line per epoch: the loss on the training data and
    the score on dev (the mean of UAS and LAS; for s2s exact match). The folder
    gets the weights of the best epoch. [bold]candidates[/bold] and [bold]rerank[/bold] take it as MODEL.

    Example: an old and a new model that differ only in their seed:

    [green]bcr train -o old --seed 1 && bcr train -o new --seed 2[/green]

    New models of other kinds, with a value of their recipes changed:

    [green]bcr train --kind stackptr -o new --set stackptr_training.num_epochs=20[/green]

    [green]bcr train --kind s2s-base -o old --set semantic.base_training.num_epochs=20[/green]
    """
    kind = "s2s-base" if kind == "s2s" else kind
    _check_places(kind, overrides)
    settings, sections = read_profile(profile, overrides), SECTIONS[kind.removesuffix("-part")]
    task, half = task_of(kind), settings if sections[0] == "model" else settings.semantic
    network, recipe = half.network(kind), half.recipe(kind)
    for place, numbers in zip(sections, (network, recipe)):
        _check_numbers(place, asdict(numbers))
    check_new_folder(output)
    if (train_file is None) != (dev_file is None):
        raise ValueError("--train and --dev go together: one file to train on, one to choose the best epoch")
    if train_file is None:
        gold, dev = (task.load(corpus or half.corpus, split, half.ambiguity) for split in ("train", "dev"))
    elif corpus is not None:
        raise ValueError("give either --corpus or --train and --dev")
    else:
        gold, dev = (task.read(file, kind, gold=True) for file in (train_file, dev_file))
    start = time.perf_counter()
    from bcrlib.data.files import whole
    from bcrlib.parsers.batches import best_runtime, fast_precision
    from bcrlib.parsers.training import fit, new_parser, save_parser
    from bcrlib.pipeline.profile import is_part

    runtime = best_runtime()
    precision = fast_precision(runtime.device) if settings.precision == "auto" else settings.precision
    seen = gold.part(half.part, seed) if is_part(kind) else gold
    parser = new_parser(network, gold, seed, runtime)
    for name, bank in (("the training data", gold), ("dev", dev)):
        try:
            parser.read(bank)  # complains now about what is too long, not when it is to be parsed
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from None
    history = fit(parser, seen, dev, recipe, seed, precision, _report)
    record = {"precision": precision, "device": runtime.device, "history": [asdict(epoch) for epoch in history]}
    record |= {"kind": kind, "seed": seed, "corpus": corpus or str(train_file or half.corpus)}
    with whole(output) as unfinished:
        save_parser(parser, unfinished)
        (unfinished / "training.json").write_text(json.dumps(record, indent=1) + "\n", "utf-8")
    best = max(record["history"], key=lambda epoch: -1.0 if epoch["dev_score"] is None else epoch["dev_score"])
    told = {"output": str(output), "best_epoch": best["epoch"], "dev_score": best["dev_score"]}
    seconds = time.perf_counter() - start
    if as_json:
        print_json({**told, "seconds": round(seconds, 1), **record})
    else:
        typer.echo(f"{output}: epoch {best['epoch']}, dev {100 * best['dev_score']:.2f} %, {seconds:.0f} s")


def _check_places(kind: str, overrides: list[str]) -> None:
    """ValueError for an unknown kind, and for overrides of what another kind is."""
    from bcrlib.tasks import TASKS

    kinds = [name for task in TASKS.values() for name in task.kinds]
    if kind not in kinds:
        raise ValueError(f"unknown kind of parser {kind!r}; choose one of {', '.join(kinds)}")
    for override in overrides:
        place, equals, value = override.partition("=")
        own = _own_place(place, kind.removesuffix("-part"))
        if place != own:
            right = own + equals + value
            raise ValueError(f"--set {override} belongs to another kind of parser; for {kind} use {right}")


def _own_place(place: str, kind: str) -> str:
    """Where this kind has what others have in a place of the profile; the place itself if it is of no kind."""
    section, _, name = place.rpartition(".")
    of_trees = SECTIONS[kind][0] == "model"
    if of_trees and place in ("model.vectors", "static_vectors"):
        return "static_vectors" if kind == "deepbiaf-static" else "model.vectors"
    if section in ("", "semantic") and name in CORPUS_FIELDS:
        return name if of_trees else f"semantic.{name}"
    for own, *others in zip(SECTIONS[kind], *SECTIONS.values()):
        if section in others:
            return f"{own}.{name}"
    return place


def _check_numbers(place: str, numbers: dict[str, Any]) -> None:
    """ValueError for a size or rate that no network can have; `place` is the section of a profile that says so."""
    for name, value in numbers.items():
        least = 0 if name in MAY_BE_0 else 1
        if type(value) is int and value < least:
            raise ValueError(f"{place}.{name} must be at least {least}, not {value}")
        if name in RATES and not 0 <= value < 1:
            raise ValueError(f"{place}.{name} must be in [0, 1), not {value}")
        if name in POSITIVE and not 0 < value < math.inf:
            raise ValueError(f"{place}.{name} must be greater than 0, not {value}")
        if name in NOT_NEGATIVE and not 0 <= value < math.inf:
            raise ValueError(f"{place}.{name} must be at least 0, not {value}")
    heads, size = numbers.get("decoder_heads"), numbers.get("decoder_size", 0)
    if heads and (size % heads or size % 2 or size < 4):
        raise ValueError(
            f"{place}.decoder_size must be even, at least 4 and a multiple of the {heads} heads, not {size}"
        )


def _report(epoch: "EpochReport") -> None:
    best = "  best so far" if epoch.is_best else ""
    dev = "" if epoch.dev_score is None else f"  dev {100 * epoch.dev_score:.2f} %"
    progress(f"{epoch.epoch:3d}/{epoch.num_epochs}  loss {epoch.loss:.3f}{dev}  {epoch.seconds:.0f} s{best}")
