"""The part of `bcr bench` that measures ratios on one core, which carry over to other machines."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from bcrlib.cli.bench_frames import SEMANTIC, bench_frames
from bcrlib.cli.bench_samples import Asked, Measured, sampled_trees
from bcrlib.cli.options import progress, read_profile

if TYPE_CHECKING:  # at run time these would bring torch
    import numpy as np

    from bcrlib.bench.bars import Bar
    from bcrlib.data.treebank import Treebank
    from bcrlib.models.training import EpochReport

NUM_SENTENCES, NUM_UTTERANCES = 200, 400


def on_one_core(kinds: tuple[str, ...], asked: Asked, model: Path | None, accuracy: bool) -> Measured:
    """Ratios of these kinds of parsers and of the tree searches, and with `accuracy` of a training, beside their bars.

    `model`: a deepbiaf whose scores the tree searches get.
    """
    from bcrlib.bench.one_core import one_core

    name, treebank = asked.corpus, None
    if kinds != (SEMANTIC,):
        name, treebank = sampled_trees(asked, NUM_SENTENCES)
    scores = _arc_scores(treebank, model) if "deepbiaf" in kinds else None
    with one_core():
        parsers = {kind: _parsers(treebank, kind, asked) for kind in kinds if kind != SEMANTIC}
        trees = None if scores is None else _trees(scores, treebank)
        semantic = bench_frames(asked, NUM_UTTERANCES) if SEMANTIC in kinds else None
        trained = _accuracy(name) if accuracy else None
    bars = _bars(parsers, trees, semantic, trained if name == "ewt" else None)
    setting = _setting(name, treebank, asked, model)
    measured = {"parsers": parsers, "trees": trees, "semantic": semantic, "accuracy": trained}
    return Measured(setting | measured, bars, _described(setting, semantic))


def _bars(
    parsers: dict[str, Any], trees: dict[str, Any] | None, semantic: dict[str, Any] | None, trained: Any
) -> list["Bar"]:
    """All that was measured, beside what is asked for."""
    from bcrlib.bench.bars import accuracy_bars, parser_bars, seq2seq_bars, tree_bars

    bars = [bar for speeds in parsers.values() for speed in speeds.values() for bar in parser_bars(speed)]
    bars += tree_bars(trees) if trees else []
    bars += [bar for speed in semantic["speeds"].values() for bar in seq2seq_bars(speed)] if semantic else []
    return bars + (accuracy_bars(trained) if trained else [])


def _parsers(treebank: "Treebank", kind: str, asked: Asked) -> dict[str, dict[str, Any]]:
    from bcrlib.bench.parsers import bench_parser
    from bcrlib.configuration import NetworkConfig
    from bcrlib.models.runtime import fast_precision

    config = read_profile(asked.profile, []).network(kind) if asked.profile else NetworkConfig(kind=kind)
    speeds = {}
    for precision in dict.fromkeys(["float32", fast_precision("cpu")]):
        progress(f"{kind} in {precision}: {treebank.num_sentences} sentences, {asked.turns} turns")
        speeds[precision] = bench_parser(treebank, config, precision, asked.turns)
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


def _setting(corpus: str | None, treebank: "Treebank | None", asked: Asked, model: Path | None) -> dict[str, Any]:
    from bcrlib.pipeline.manifest import machine

    return {
        "machine": machine(),
        "corpus": corpus if treebank else None,
        "num_sentences": treebank.num_sentences if treebank else 0,
        "num_turns": asked.turns,
        "sizes": asked.profile or "paper",
        "tree_scores": model.name if model else "simulated",
    }


def _described(setting: dict[str, Any], semantic: dict[str, Any] | None) -> str:
    told = [f"{setting['machine']['processor']}, one core", f"sizes: {setting['sizes']}"]
    if setting["num_sentences"]:
        told += [f"{setting['num_sentences']} sentences of {setting['corpus']} test"]
        told += [f"scores for the tree searches: {setting['tree_scores']}"]
    if semantic:
        told += [f"{semantic['num_utterances']} utterances of {semantic['corpus']} test"]
    return "; ".join(told) + "."
