"""`bcr bench`: the project's speed bars on this machine."""

import os
import time
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bcrlib.cli.options import Json, print_json, progress, read_profile
from bcrlib.configuration import KINDS, NetworkConfig, Seq2SeqConfig

if TYPE_CHECKING:  # at run time these would bring torch
    import numpy as np

    from bcrlib.bench.bars import Bar
    from bcrlib.data.frames import FrameBank
    from bcrlib.data.treebank import Treebank
    from bcrlib.models.training import EpochReport
    from bcrlib.pipeline.profiles import Profile as Sizes

SEMANTIC = "s2s"
"""The kind of parser of the other task; it reads frames, not trees."""
BATCH_SIZES = {"cpu": (8, 32), "cuda": (32, 128, 512)}
"""Of each device that can be asked for."""
NUMBER = {"cpu": 64, "cuda": 1000}
"""Of sentences, and of utterances."""
NUM_SENTENCES, NUM_UTTERANCES = 200, 400
"""On one core."""
TREE_TURNS = 7
Samples = Mapping[str, tuple[str, "Treebank | FrameBank"]]
"""Kind of parser -> the name of a corpus, and sentences from its test split."""
Measured = tuple[dict[str, Any], list["Bar"], str]
"""What the command prints: the result, the bars, and for people where it was measured."""


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
    if device is None and batch_sizes:
        raise ValueError("--batch-size is about --device")
    if device is not None and (model is not None or accuracy):
        raise ValueError("--model and --accuracy are measured on one core; leave out --device")
    _check(device)
    samples: Samples = {}
    if kinds != (SEMANTIC,):
        trees = _sampled_trees(corpus, NUMBER.get(device, NUM_SENTENCES) if sentences is None else sentences)
        samples |= {kind: trees for kind in kinds if kind != SEMANTIC}
    if SEMANTIC in kinds:
        number = NUMBER.get(device, NUM_UTTERANCES) if utterances is None else utterances
        samples |= {SEMANTIC: _sampled_frames(frames, number)}
    if device is None:
        result, bars, told = _on_one_core(samples, profile, turns, model, accuracy)
    else:
        result, bars, told = _on_device(samples, profile, turns, device, batch_sizes or BATCH_SIZES[device])
    if as_json:
        missed = [bar.name for bar in bars if bar.met is False]
        print_json({**result, "bars": [bar.to_json() for bar in bars], "missed": missed})
    else:
        typer.echo("\n".join([told, "", *bar_table(bars)]))


def _kinds(kind: str | None, model: Path | None, accuracy: bool) -> tuple[str, ...]:
    known = (*KINDS, SEMANTIC)
    if kind is not None and kind not in known:
        raise ValueError(f"unknown kind of parser {kind!r}; choose one of {', '.join(known)}")
    if kind not in (None, "deepbiaf") and (model is not None or accuracy):
        raise ValueError(f"--model and --accuracy are about deepbiaf; leave out --kind {kind}")
    return known if kind is None else (kind,)


def _check(device: str | None) -> None:
    """ValueError for a device that is not there."""
    import torch

    if device not in (None, *BATCH_SIZES):
        raise ValueError(f"unknown device {device!r}; choose one of {', '.join(BATCH_SIZES)}")
    if device == "cuda" and not torch.cuda.is_available():
        raise ValueError("there is no CUDA device here, or PyTorch has come without CUDA")


def _sampled_trees(name: str | None, number: int) -> tuple[str, "Treebank"]:
    """So many sentences of a corpus, by default ewt where it is at hand, else demo."""
    from bcrlib.bench.contestants import evenly_drawn
    from bcrlib.data.corpora import load_treebank
    from bcrlib.data.download import ewt_path

    name = name or ("ewt" if _is_at_hand(ewt_path) else "demo")
    return name, evenly_drawn(load_treebank(name, "test"), number)


def _sampled_frames(name: str | None, number: int) -> tuple[str, "FrameBank"]:
    """So many utterances of a corpus, by default top where it is at hand, else demo."""
    from bcrlib.bench.contestants import evenly_drawn
    from bcrlib.data.download import top_path
    from bcrlib.data.frame_corpora import load_frames

    name = name or ("top" if _is_at_hand(top_path) else "demo")
    return name, evenly_drawn(load_frames(name, "test"), number)


def _is_at_hand(path_of: Callable[[str], Path]) -> bool:
    """Without BCRLIB_DATA a corpus would be downloaded: no measurement is worth that surprise."""
    from bcrlib.data.download import DataError

    try:
        return bool(os.environ.get("BCRLIB_DATA")) and path_of("test").is_file()
    except DataError:
        return False


def _config(kind: str, profile: str | None) -> NetworkConfig | Seq2SeqConfig:
    if profile is None:
        return Seq2SeqConfig(encoder="minilm") if kind == SEMANTIC else NetworkConfig(kind=kind)
    half = read_profile(profile, [])
    return half.semantic.network("s2s-large", half.preset) if kind == SEMANTIC else half.network(kind)


def _precisions(device: str) -> list[str]:
    """float32, and what is fast there."""
    from bcrlib.models.runtime import fast_precision

    return list(dict.fromkeys(["float32", fast_precision(device)]))


def _on_one_core(samples: Samples, profile: str | None, turns: int, model: Path | None, accuracy: bool) -> Measured:
    """Ratios of parsers and of the tree searches, and with `accuracy` a training, beside their bars.

    `model`: a deepbiaf whose scores the tree searches get.
    """
    from bcrlib.bench.bars import accuracy_bars, ratio_bars, tree_bars
    from bcrlib.models.runtime import one_core
    from bcrlib.pipeline.manifest import machine

    corpus, treebank = next((sample for kind, sample in samples.items() if kind != SEMANTIC), (None, None))
    scores = _arc_scores(treebank, model) if "deepbiaf" in samples else None
    with one_core():
        parsers = {kind: _ratios(kind, items, profile, turns) for kind, (_, items) in samples.items()}
        trees = None if scores is None else _tree_ratios(scores, treebank)
        trained = _accuracy(corpus) if accuracy else None
    bars = {
        kind: [bar for one in of_kind.values() for bar in ratio_bars(kind, one)] for kind, of_kind in parsers.items()
    }
    of_frames = bars.pop(SEMANTIC, [])
    listed = [bar for of_kind in bars.values() for bar in of_kind] + (tree_bars(trees) if trees else []) + of_frames
    listed += accuracy_bars(trained) if trained and corpus == "ewt" else []
    num_sentences, sizes = treebank.num_sentences if treebank else 0, profile or "paper"
    tree_scores = model.name if model else "simulated"
    told = [f"{machine()['processor']}, one core", f"sizes: {sizes}"]
    if treebank:
        told += [f"{num_sentences} sentences of {corpus} test", f"scores for the tree searches: {tree_scores}"]
    semantic = None
    if SEMANTIC in samples:
        name, bank = samples[SEMANTIC]
        told += [f"{bank.num_utterances} utterances of {name} test"]
        semantic = {"corpus": name, "num_utterances": bank.num_utterances, "num_turns": turns, "sizes": sizes}
        semantic |= {"encoder": _config(SEMANTIC, profile).encoder, "transformers": version("transformers")}
        semantic |= {"speeds": parsers.pop(SEMANTIC)}
    result = {"machine": machine(), "corpus": corpus, "num_sentences": num_sentences, "num_turns": turns}
    result |= {"sizes": sizes, "tree_scores": tree_scores}
    result |= {"parsers": parsers, "trees": trees, "semantic": semantic, "accuracy": trained}
    return result, listed, "; ".join(told) + "."


def _ratios(kind: str, items: Any, profile: str | None, turns: int) -> dict[str, dict[str, Any]]:
    """Precision -> speeds of an untrained parser beside its yardsticks. Minutes at the paper's sizes."""
    from bcrlib.bench.bars import RATIOS, ratios
    from bcrlib.bench.contestants import beside_generate, beside_lstm
    from bcrlib.bench.timing import timed
    from bcrlib.bench.untrained import untrained
    from bcrlib.models.runtime import Runtime

    records = {}
    for precision in _precisions("cpu"):
        noun = "utterances" if kind == SEMANTIC else "sentences"
        progress(f"{kind} in {precision}: {len(items.lengths)} {noun}, {turns} turns")
        parser, about = untrained(_config(kind, profile), items, Runtime(precision=precision)), {}
        if kind == SEMANTIC:
            found, about["num_distinct"] = beside_generate(parser, items)
        else:
            found = beside_lstm(parser, items)
        steps = {step for ratio in RATIOS[kind] for step in (ratio.step, ratio.against)}
        seconds = timed([one for one in found if one.step in steps], turns, time.process_time)
        records[precision] = {"kind": kind, "precision": precision, **about, **ratios(kind, seconds)}
    return records


def _arc_scores(treebank: "Treebank", model: Path | None) -> "np.ndarray":
    """Score tables [sentence, dep, head] for the tree searches."""
    from bcrlib.bench.contestants import arc_score_tables
    from bcrlib.cli.models import kind_of, load_model
    from bcrlib.decoding.brute_force import simulated_arc_scores
    from bcrlib.models.graph_parser import GraphParser

    if model is None:
        return simulated_arc_scores(treebank.lengths, seed=1)
    parser = load_model(model)
    if not isinstance(parser, GraphParser):
        raise ValueError(f"{model}: a {kind_of(model)} has no scores for tree searches; name a deepbiaf")
    return arc_score_tables(parser, treebank)


def _tree_ratios(scores: "np.ndarray", treebank: "Treebank") -> dict[str, float]:
    from bcrlib.bench.bars import ratios
    from bcrlib.bench.contestants import tree_searches
    from bcrlib.bench.timing import timed

    progress("tree searches")
    return ratios("trees", timed(tree_searches(scores, treebank.lengths), TREE_TURNS, time.process_time))


def _accuracy(corpus: str) -> dict[str, float]:
    def report(epoch: "EpochReport") -> None:
        progress(f"{epoch.epoch:3d}/{epoch.num_epochs}  dev {100 * epoch.dev_score:.2f} %  {epoch.seconds:.0f} s")

    progress("accuracy per minute: training")
    return accuracy_per_minute(read_profile("small", [f"corpus={corpus}"]), report)


def accuracy_per_minute(profile: "Sizes", report: Callable[["EpochReport"], None]) -> dict[str, float]:
    """Train a profile's deepbiaf on the CPU and test it.

    "uas" and "las" in [0, 1] on the test split without PUNCT; "minutes" and "cpu_minutes" of the training, from word
    vectors to the choice of the best epoch on dev. Threads are as the caller set them.
    """
    from bcrlib.data.corpora import load_treebank
    from bcrlib.decoding.strategies import OneBest
    from bcrlib.metrics.attachment import correctness
    from bcrlib.models.checkpoint import new_parser
    from bcrlib.models.encoding import encode
    from bcrlib.models.runtime import Runtime, fast_precision
    from bcrlib.models.training import train
    from bcrlib.models.vocabulary import build_vocabulary
    from bcrlib.presets import PRESETS

    gold, dev, test = (load_treebank(profile.corpus, split, profile.ambiguity) for split in ("train", "dev", "test"))
    wall, cpu = time.perf_counter(), time.process_time()
    parser = new_parser(profile.network("deepbiaf"), build_vocabulary(gold), 1, Runtime())
    precision = fast_precision("cpu") if profile.precision == "auto" else profile.precision
    encoded = encode(gold, parser.vocabulary, parser.vectors)
    train(parser, encoded, dev, profile.recipe("deepbiaf"), 1, precision, report)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    pool = parser.candidates(test, OneBest())
    right = correctness(test, pool.heads, pool.relations, pool.relation_names, PRESETS["clean"])
    accuracy = {level.lower(): float(right[level].mean()) for level in ("UAS", "LAS")}
    return accuracy | {"minutes": wall / 60, "cpu_minutes": cpu / 60}


def _on_device(samples: Samples, profile: str | None, turns: int, device: str, batch_sizes: Sequence[int]) -> Measured:
    """Sentences a second by the clock; bars on cuda alone. "throughput" of the result: {kind: {precision: rows}}."""
    import torch

    from bcrlib.bench.bars import throughput_bars
    from bcrlib.bench.contestants import Work, over_batch_sizes
    from bcrlib.bench.timing import throughput
    from bcrlib.bench.untrained import GoldShapeParser, untrained
    from bcrlib.models.runtime import runtime_on
    from bcrlib.pipeline.manifest import machine

    rows: dict[str, dict[str, list]] = {kind: {} for kind in samples}
    bars: list[Bar] = []
    for kind, (_, items) in samples.items():
        for precision in _precisions(device):
            progress(f"{kind} in {precision} on {device}, {turns} turns")
            parser = untrained(_config(kind, profile), items, runtime_on(device, precision))
            work = Work(GoldShapeParser(parser, items) if kind == SEMANTIC else parser, items)
            rows[kind][precision] = throughput(over_batch_sizes(work, batch_sizes), device, turns)
            is_judged = device == "cuda" and profile is None
            bars += throughput_bars(kind, precision, rows[kind][precision], is_judged)
    corpora = {kind: name for kind, (name, _) in samples.items()}
    about = {"machine": machine(), "device": device, "num_threads": torch.get_num_threads(), "corpora": corpora}
    about |= {"num_turns": turns, "sizes": profile or "paper"}
    where = machine()["gpu"] if device == "cuda" else f"{machine()['processor']}, {torch.get_num_threads()} threads"
    read = ", ".join(dict.fromkeys(f"{name} test" for name in corpora.values()))
    return {**about, "throughput": rows}, bars, f"{where}; sizes: {about['sizes']}; {read}."


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
