"""`bcr bench`: the project's speed bars on this machine."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bcrlib.cli.options import Json, load_model, print_json, progress, read_profile
from bcrlib.experiments.speed_grid import SEMANTIC
from bcrlib.parsers.configuration import KINDS, NetworkConfig, Seq2SeqConfig, kind_of

if TYPE_CHECKING:  # at run time these would bring torch
    from bcrlib.bench.timing import Bar
    from bcrlib.parsers.deepbiaf import DeepBiafParser

BATCH_SIZES = {"cpu": (8, 32), "cuda": (32, 128, 512)}
"""Of each device that can be asked for."""
NUMBER = {"cpu": 64, "cuda": 1000}
"""Of sentences, and of utterances."""
NUM_SENTENCES, NUM_UTTERANCES = 200, 400
"""On one core."""


def _shown(of_device: Mapping[str, object]) -> str:
    """Defaults that depend on the device, for the help."""
    return "; ".join(f"{device}: {value}" for device, value in of_device.items())


KIND = typer.Option(
    help="[bold]deepbiaf[/bold] (with the tree searches), [bold]stackptr[/bold] or [bold]s2s[/bold].",
    show_default="all",
)
MODEL = typer.Option(
    metavar="MODEL", help="Folder of a deepbiaf whose scores the tree searches get.", show_default="simulated"
)
DEVICE = typer.Option(
    help="Sentences per second on [bold]cpu[/bold] or [bold]cuda[/bold], instead of ratios.",
    show_default="ratios on one core",
)
BATCH_SIZE = typer.Option(
    "--batch-size",
    min=1,
    metavar="N",
    help="With --device: batch sizes besides the paper's 32. Repeatable.",
    show_default=_shown({device: ", ".join(map(str, sizes)) for device, sizes in BATCH_SIZES.items()}),
)
CORPUS = typer.Option(help="Its test split is parsed.", show_default="ewt where BCRLIB_DATA has it, else demo")
SENTENCES = typer.Option(
    min=0,
    metavar="N",
    help="How many sentences, spread evenly; 0 for all.",
    show_default=f"{NUM_SENTENCES}; {_shown(NUMBER)}",
)
FRAMES = typer.Option(
    metavar="CORPUS", help="For s2s, likewise.", show_default="top where BCRLIB_DATA has it, else demo"
)
UTTERANCES = typer.Option(
    min=0,
    metavar="N",
    help="How many of its utterances; 0 for all.",
    show_default=f"{NUM_UTTERANCES}; {_shown(NUMBER)}",
)
TURNS = typer.Option(min=1, metavar="N", help="Rounds in which the contestants take turns; medians count.")
PROFILE = typer.Option(help="Whose sizes the network has.", show_default="the paper's, s2s behind MiniLM")
ACCURACY = typer.Option("--accuracy", help="Also train the deepbiaf of profile small and test it (minutes).")


def bench(
    corpus: Annotated[str | None, CORPUS] = None,
    sentences: Annotated[int | None, SENTENCES] = None,
    frames: Annotated[str | None, FRAMES] = None,
    utterances: Annotated[int | None, UTTERANCES] = None,
    turns: Annotated[int, TURNS] = 3,
    kind: Annotated[str | None, KIND] = None,
    model: Annotated[Path | None, MODEL] = None,
    profile: Annotated[str | None, PROFILE] = None,
    accuracy: Annotated[bool, ACCURACY] = False,
    device: Annotated[str | None, DEVICE] = None,
    batch_sizes: Annotated[list[int] | None, BATCH_SIZE] = None,
    as_json: Json = False,
) -> None:
    """Measure speed: as ratios on one core, or in sentences per second on a device.

    On one core the results are ratios, which carry over to other machines.
    Dependency parsers (decoding, re-ranking, training) are compared with a bare
    float32 LSTM of their size, in float32 and, if the processor multiplies it
    natively, in bfloat16. Tree searches are compared with ufal.chu_liu_edmonds and
    with each other. For the semantic parser s2s, decoding is compared with
    generate of transformers, and re-ranking with decoding.

    With --device the results are sentences per second, in batches of several
    sizes: decoding, candidates, re-ranking, and the bare encoder as their limit.
    On cuda, networks of the paper's sizes have bars to reach.

    This takes minutes. Run nothing else meanwhile.

    Example: [green]bcr bench --json --sentences 100 --kind stackptr[/green]

    Example: [green]bcr bench --device cuda --kind deepbiaf[/green]
    """
    _check(kind, model, accuracy, device, batch_sizes)
    kinds = tuple(KINDS) if kind is None else (kind,)
    from bcrlib.bench.measure import Asked, on_device, on_one_core, sample

    samples = {}
    for one in kinds:
        of_frames, of_trees = (frames, utterances, NUM_UTTERANCES), (corpus, sentences, NUM_SENTENCES)
        name, number, usual = of_frames if one == SEMANTIC else of_trees
        samples[one] = sample(one, name, NUMBER.get(device, usual) if number is None else number)
    asked = Asked(samples, {one: _config(one, profile) for one in kinds}, profile or "paper", turns, progress)
    if device is None:
        small = read_profile("small", [f"corpus={samples['deepbiaf'][0]}"]) if accuracy else None
        result, bars, where = on_one_core(asked, (model.name, _graph_parser(model)) if model else None, small)
    else:
        result, bars, where = on_device(asked, device, batch_sizes or BATCH_SIZES[device])
    if as_json:
        missed = [bar.name for bar in bars if bar.met is False]
        print_json({**result, "bars": [bar.to_json() for bar in bars], "missed": missed})
    else:
        typer.echo("\n".join([where, "", *bar_table(bars)]))


def _check(
    kind: str | None, model: Path | None, accuracy: bool, device: str | None, batch_sizes: list[int] | None
) -> None:
    """ValueError for a kind or a device that is not there, and for what is not measured of it."""
    if kind is not None and kind not in KINDS:
        raise ValueError(f"unknown kind of parser {kind!r}; choose one of {', '.join(KINDS)}")
    if kind not in (None, "deepbiaf") and (model is not None or accuracy):
        raise ValueError(f"--model and --accuracy are about deepbiaf; leave out --kind {kind}")
    if device is None:
        if batch_sizes:
            raise ValueError("--batch-size is about --device")
        return
    import torch

    if model is not None or accuracy:
        raise ValueError("--model and --accuracy are measured on one core; leave out --device")
    if device not in BATCH_SIZES:
        raise ValueError(f"unknown device {device!r}; choose one of {', '.join(BATCH_SIZES)}")
    if device == "cuda" and not torch.cuda.is_available():
        raise ValueError("no CUDA device found, or this PyTorch has no CUDA")


def _config(kind: str, profile: str | None) -> NetworkConfig | Seq2SeqConfig:
    if profile is None:
        return Seq2SeqConfig(encoder="minilm") if kind == SEMANTIC else NetworkConfig(kind=kind)
    half = read_profile(profile, [])
    return half.semantic.network("s2s-large") if kind == SEMANTIC else half.network(kind)


def _graph_parser(folder: Path) -> "DeepBiafParser":
    from bcrlib.parsers.deepbiaf import DeepBiafParser

    parser = load_model(folder)
    if not isinstance(parser, DeepBiafParser):
        raise ValueError(f"{folder}: a {kind_of(folder)} has no scores for tree searches; name a deepbiaf")
    return parser


def bar_table(bars: list["Bar"]) -> list[str]:
    """Lines for people: what was measured, its bar, and whether it is met."""
    verdicts = {True: "met", False: "MISSED", None: "not measured: is ufal.chu_liu_edmonds installed?"}
    values = ["-" if bar.value is None else f"{bar.value:.3f}" for bar in bars]
    left, right = max(len(bar.what) for bar in bars), max(7, *map(len, values))
    lines = []
    for bar, value in zip(bars, values):
        told = "" if bar.bar is None else f"{'<=' if bar.at_most else '>='} {bar.bar:<5g}  {verdicts[bar.met]}"
        lines.append(f"{bar.what:{left}}  {value:>{right}}  {told}".rstrip())
    return lines
