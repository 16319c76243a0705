"""`bcr bench`: the project's speed bars on this machine."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bcrlib.cli.bench_device import BATCH_SIZES, NUMBER, check_device, on_device
from bcrlib.cli.bench_frames import SEMANTIC
from bcrlib.cli.bench_one_core import NUM_SENTENCES, NUM_UTTERANCES, on_one_core
from bcrlib.cli.bench_samples import Asked
from bcrlib.cli.options import Json, print_json

if TYPE_CHECKING:  # at run time this would bring torch
    from bcrlib.bench.bars import Bar


def _shown(of_device: Mapping[str, object]) -> str:
    """Defaults that depend on the device, for the help."""
    return "; ".join(f"{device}: {value}" for device, value in of_device.items())


Kind = Annotated[
    str | None,
    typer.Option(
        help="[bold]deepbiaf[/bold] (with the tree searches), [bold]stackptr[/bold] or [bold]s2s[/bold].",
        show_default="all",
    ),
]
Model = Annotated[
    Path | None,
    typer.Option(
        metavar="MODEL", help="Folder of a deepbiaf whose scores the tree searches get.", show_default="simulated"
    ),
]
Device = Annotated[
    str | None,
    typer.Option(
        help="Sentences a second on [bold]cpu[/bold] or [bold]cuda[/bold], instead of ratios.",
        show_default="ratios on one core",
    ),
]
BatchSizes = Annotated[
    list[int] | None,
    typer.Option(
        "--batch-size",
        min=1,
        metavar="N",
        help="With --device: sentences of a batch, beside the paper's 32. Repeatable.",
        show_default=_shown({device: ", ".join(map(str, sizes)) for device, sizes in BATCH_SIZES.items()}),
    ),
]
Corpus = Annotated[
    str | None,
    typer.Option(help="Its test split is parsed.", show_default="ewt where BCRLIB_DATA has it, else demo"),
]
Sentences = Annotated[
    int | None,
    typer.Option(
        min=0,
        metavar="N",
        help="How many sentences, evenly drawn; 0 for all.",
        show_default=f"{NUM_SENTENCES}; {_shown(NUMBER)}",
    ),
]
Frames = Annotated[
    str | None,
    typer.Option(metavar="CORPUS", help="For s2s, likewise.", show_default="top where BCRLIB_DATA has it, else demo"),
]
Utterances = Annotated[
    int | None,
    typer.Option(
        min=0,
        metavar="N",
        help="How many of its utterances; 0 for all.",
        show_default=f"{NUM_UTTERANCES}; {_shown(NUMBER)}",
    ),
]
Turns = Annotated[int, typer.Option(min=1, metavar="N", help="Contestants take turns this often; medians count.")]
Profile = Annotated[
    str | None, typer.Option(help="Whose sizes the network has.", show_default="the paper's, s2s behind MiniLM")
]
Accuracy = Annotated[
    bool, typer.Option("--accuracy", help="Also train the deepbiaf of profile small and test it (minutes).")
]


def bench(
    corpus: Corpus = None,
    sentences: Sentences = None,
    frames: Frames = None,
    utterances: Utterances = None,
    turns: Turns = 3,
    kind: Kind = None,
    model: Model = None,
    profile: Profile = None,
    accuracy: Accuracy = False,
    device: Device = None,
    batch_sizes: BatchSizes = None,
    as_json: Json = False,
) -> None:
    """Measure speed: on one core as ratios, on a device in sentences a second.

    On one core, ratios that carry over to other machines. Both dependency
    parsers, as fractions of a bare LSTM of their size: decoding, re-ranking,
    training; in float32 and, where the processor multiplies it natively, in
    bfloat16, always against the float32 LSTM. Tree searches against
    ufal.chu_liu_edmonds and each other. The semantic parser s2s: decoding
    against generate of transformers, re-ranking against decoding.

    With --device, by the clock: decoding, candidates, re-ranking, and the bare
    encoder as their limit, in batches of several sizes. On cuda, networks of
    the paper's sizes have bars to reach.

    Takes minutes; nothing else should run meanwhile.

    Example: [green]bcr bench --json --sentences 100 --kind stackptr[/green]

    Example: [green]bcr bench --device cuda --kind deepbiaf[/green]
    """
    kinds = _kinds(kind, model, accuracy)
    asked = Asked(corpus, sentences, frames, utterances, turns, profile)
    if device is None:
        if batch_sizes:
            raise ValueError("--batch-size is about --device")
        measured = on_one_core(kinds, asked, model, accuracy)
    else:
        if model is not None or accuracy:
            raise ValueError("--model and --accuracy are measured on one core; leave out --device")
        check_device(device)
        measured = on_device(kinds, asked, device, batch_sizes or BATCH_SIZES[device])
    if as_json:
        missed = [bar.name for bar in measured.bars if bar.met is False]
        print_json({**measured.result, "bars": [bar.to_json() for bar in measured.bars], "missed": missed})
    else:
        typer.echo("\n".join([measured.told, "", *bar_table(measured.bars)]))


def _kinds(kind: str | None, model: Path | None, accuracy: bool) -> tuple[str, ...]:
    from bcrlib.configuration import KINDS

    known = (*KINDS, SEMANTIC)
    if kind is not None and kind not in known:
        raise ValueError(f"unknown kind of parser {kind!r}; choose one of {', '.join(known)}")
    if kind not in (None, "deepbiaf") and (model is not None or accuracy):
        raise ValueError(f"--model and --accuracy are about deepbiaf; leave out --kind {kind}")
    return known if kind is None else (kind,)


def bar_table(bars: list["Bar"]) -> list[str]:
    """Lines for people: what was measured, its bar, and whether it is met."""
    values = ["-" if bar.value is None else f"{bar.value:.3f}" for bar in bars]
    left, right = max(len(bar.what) for bar in bars), max(7, *map(len, values))
    lines = [f"{bar.what:{left}}  {value:>{right}}  {_verdict(bar)}" for bar, value in zip(bars, values)]
    return [line.rstrip() for line in lines]


def _verdict(bar: "Bar") -> str:
    if bar.bar is None:
        return ""
    verdicts = {True: "met", False: "MISSED", None: "not measured: is ufal.chu_liu_edmonds installed?"}
    return f"{'<=' if bar.at_most else '>='} {bar.bar:<5g}  {verdicts[bar.met]}"
