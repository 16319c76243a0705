"""`bcr bench`: the project's speed bars on this machine."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bcrlib.cli.bench_frames import bench_frames
from bcrlib.cli.options import Json, print_json, progress, read_profile

if TYPE_CHECKING:  # at run time these would bring torch
    import numpy as np

    from bcrlib.bench.bars import Bar
    from bcrlib.data.treebank import Treebank
    from bcrlib.models.training import EpochReport

SEMANTIC = "s2s"
"""The kind of parser of the other task; it reads frames, not trees."""

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


def bench(
    corpus: Annotated[
        str | None,
        typer.Option(help="Its test split is parsed.", show_default="ewt where BCRLIB_DATA has it, else demo"),
    ] = None,
    sentences: Annotated[
        int, typer.Option(min=0, metavar="N", help="How many sentences, evenly drawn; 0 for all.")
    ] = 200,
    frames: Annotated[
        str | None,
        typer.Option(
            metavar="CORPUS", help="For s2s, likewise.", show_default="top where BCRLIB_DATA has it, else demo"
        ),
    ] = None,
    utterances: Annotated[int, typer.Option(min=0, metavar="N", help="How many of its utterances; 0 for all.")] = 400,
    turns: Annotated[
        int, typer.Option(min=1, metavar="N", help="Contestants take turns this often; medians count.")
    ] = 3,
    kind: Kind = None,
    model: Model = None,
    profile: Annotated[
        str | None, typer.Option(help="Whose sizes the network has.", show_default="the paper's, s2s behind MiniLM")
    ] = None,
    accuracy: Annotated[
        bool, typer.Option("--accuracy", help="Also train the deepbiaf of profile small and test it (minutes).")
    ] = False,
    as_json: Json = False,
) -> None:
    """Measure speed on one core, as ratios that carry over to other machines.

    Both dependency parsers, as fractions of a bare LSTM of their size:
    decoding, re-ranking, training; in float32 and, where the processor
    multiplies it natively, in bfloat16, always against the float32 LSTM. Tree
    searches against ufal.chu_liu_edmonds and each other. The semantic parser
    s2s: decoding against generate of transformers, re-ranking against
    decoding. Takes minutes; nothing else should run meanwhile.

    Example: [green]bcr bench --json --sentences 100 --kind stackptr[/green]
    """
    from bcrlib.bench.one_core import one_core

    kinds = _kinds(kind, model, accuracy)
    name = corpus or _default_corpus()
    treebank = None if kinds == (SEMANTIC,) else _sample(name, sentences)
    scores = _arc_scores(treebank, model) if "deepbiaf" in kinds else None
    with one_core():
        parsers = {kind: _parsers(treebank, kind, profile, turns) for kind in kinds if kind != SEMANTIC}
        trees = None if scores is None else _trees(scores, treebank)
        semantic = bench_frames(frames, utterances, profile, turns) if SEMANTIC in kinds else None
        trained = _accuracy(name) if accuracy else None
    bars = _bars(parsers, trees, semantic, trained if name == "ewt" else None)
    setting = _setting(name, treebank, turns, profile, model)
    measured = {"parsers": parsers, "trees": trees, "semantic": semantic, "accuracy": trained}
    if as_json:
        missed = [bar.name for bar in bars if bar.met is False]
        print_json(setting | measured | {"bars": [bar.to_json() for bar in bars], "missed": missed})
    else:
        typer.echo("\n".join([_describe(setting, semantic), "", *bar_table(bars)]))


def _bars(
    parsers: dict[str, Any], trees: dict[str, Any] | None, semantic: dict[str, Any] | None, trained: Any
) -> list["Bar"]:
    """All that was measured, beside what is asked for."""
    from bcrlib.bench.bars import accuracy_bars, parser_bars, seq2seq_bars, tree_bars

    bars = [bar for speeds in parsers.values() for speed in speeds.values() for bar in parser_bars(speed)]
    bars += tree_bars(trees) if trees else []
    bars += [bar for speed in semantic["speeds"].values() for bar in seq2seq_bars(speed)] if semantic else []
    return bars + (accuracy_bars(trained) if trained else [])


def _kinds(kind: str | None, model: Path | None, accuracy: bool) -> tuple[str, ...]:
    from bcrlib.configuration import KINDS

    known = (*KINDS, SEMANTIC)
    if kind is not None and kind not in known:
        raise ValueError(f"unknown kind of parser {kind!r}; choose one of {', '.join(known)}")
    if kind not in (None, "deepbiaf") and (model is not None or accuracy):
        raise ValueError(f"--model and --accuracy are about deepbiaf; leave out --kind {kind}")
    return known if kind is None else (kind,)


def _default_corpus() -> str:
    from bcrlib.data.download import ewt_path

    # Without BCRLIB_DATA the treebank would be downloaded: no measurement is worth that surprise.
    return "ewt" if os.environ.get("BCRLIB_DATA") and ewt_path("test").is_file() else "demo"


def _sample(corpus: str, num_sentences: int) -> "Treebank":
    """Sentences drawn evenly over the test split: files are not in random order."""
    import numpy as np

    from bcrlib.data.corpora import load_treebank

    treebank = load_treebank(corpus, "test")
    num_sentences = min(num_sentences or treebank.num_sentences, treebank.num_sentences)
    return treebank.select(np.linspace(0, treebank.num_sentences - 1, num_sentences).astype(np.int64))


def _parsers(treebank: "Treebank", kind: str, profile: str | None, turns: int) -> dict[str, dict[str, Any]]:
    from bcrlib.bench.parsers import bench_parser
    from bcrlib.configuration import NetworkConfig
    from bcrlib.models.runtime import fast_precision

    config = read_profile(profile, []).network(kind) if profile else NetworkConfig(kind=kind)
    speeds = {}
    for precision in dict.fromkeys(["float32", fast_precision("cpu")]):
        progress(f"{kind} in {precision}: {treebank.num_sentences} sentences, {turns} turns")
        speeds[precision] = bench_parser(treebank, config, precision, turns)
    return speeds


def _arc_scores(treebank: "Treebank", model: Path | None) -> "np.ndarray":
    """Score tables [sentence, dep, head] for the tree searches."""
    from bcrlib.bench.score_tables import arc_score_tables
    from bcrlib.bench.trees import simulated_arc_scores
    from bcrlib.cli.models import kind_of, load_model
    from bcrlib.models.graph_parser import GraphParser

    if model is None:
        return simulated_arc_scores(treebank.lengths, seed=1)
    parser = load_model(model)
    if not isinstance(parser, GraphParser):
        raise ValueError(f"{model}: a {kind_of(model)} has no scores for tree searches; name a deepbiaf")
    return arc_score_tables(parser, treebank)


def _trees(scores: "np.ndarray", treebank: "Treebank") -> dict[str, float]:
    from bcrlib.bench.trees import bench_trees

    progress("tree searches")
    return bench_trees(scores, treebank.lengths)


def _accuracy(corpus: str) -> dict[str, float]:
    from bcrlib.bench.accuracy import bench_accuracy

    def report(epoch: "EpochReport") -> None:
        progress(f"{epoch.epoch:3d}/{epoch.num_epochs}  dev {100 * epoch.dev_score:.2f} %  {epoch.seconds:.0f} s")

    progress("accuracy per minute: training")
    return bench_accuracy(read_profile("small", [f"corpus={corpus}"]), report=report)


def _setting(
    corpus: str, treebank: "Treebank | None", turns: int, profile: str | None, model: Path | None
) -> dict[str, Any]:
    from bcrlib.pipeline.manifest import machine

    return {
        "machine": machine(),
        "corpus": corpus if treebank else None,
        "num_sentences": treebank.num_sentences if treebank else 0,
        "num_turns": turns,
        "sizes": profile or "paper",
        "tree_scores": model.name if model else "simulated",
    }


def _describe(setting: dict[str, Any], semantic: dict[str, Any] | None) -> str:
    told = [f"{setting['machine']['processor']}, one core", f"sizes: {setting['sizes']}"]
    if setting["num_sentences"]:
        told += [f"{setting['num_sentences']} sentences of {setting['corpus']} test"]
        told += [f"scores for the tree searches: {setting['tree_scores']}"]
    if semantic:
        told += [f"{semantic['num_utterances']} utterances of {semantic['corpus']} test"]
    return "; ".join(told) + "."


def bar_table(bars: list["Bar"]) -> list[str]:
    """Lines for people: what was measured, its bar, and whether it is met."""
    width = max(len(bar.what) for bar in bars)
    return [f"{bar.what:{width}}  {_value(bar)}  {_verdict(bar)}".rstrip() for bar in bars]


def _value(bar: "Bar") -> str:
    return "-".rjust(7) if bar.value is None else f"{bar.value:7.3f}"


def _verdict(bar: "Bar") -> str:
    if bar.bar is None:
        return ""
    verdicts = {True: "met", False: "MISSED", None: "not measured: is ufal.chu_liu_edmonds installed?"}
    return f"{'<=' if bar.at_most else '>='} {bar.bar:<5g}  {verdicts[bar.met]}"
