"""What `bcr bench` measures: ratios on one core, which carry over to other machines, or speeds on a device."""

import os
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import torch

from bcrlib.bench.bars import RATIOS, Bar, accuracy_bars, ratio_bars, ratios, throughput_bars, tree_bars
from bcrlib.bench.contestants import (
    Items,
    SingleParser,
    Work,
    arc_score_tables,
    beside_generate,
    beside_lstm,
    evenly_drawn,
    over_batch_sizes,
    tree_searches,
)
from bcrlib.bench.grid import SEMANTIC
from bcrlib.bench.timing import Row, throughput, timed
from bcrlib.bench.yardsticks import GoldShapeParser, untrained
from bcrlib.data.download import DataError, ewt_path, top_path
from bcrlib.data.presets import PRESETS
from bcrlib.metrics.attachment import correctness
from bcrlib.parsers.batches import Runtime, fast_precision, one_core, runtime_on
from bcrlib.parsers.checkpoint import new_parser
from bcrlib.parsers.configuration import NetworkConfig, Seq2SeqConfig
from bcrlib.parsers.deepbiaf import DeepBiafParser
from bcrlib.parsers.training import EpochReport, fit
from bcrlib.pipeline.manifest import machine
from bcrlib.pipeline.profile import Profile
from bcrlib.samplers.brute_force import simulated_arc_scores
from bcrlib.samplers.strategies import OneBest
from bcrlib.tasks.dependency import load_treebank
from bcrlib.tasks.semantic import load_frames

TREE_TURNS = 7
Measured = tuple[dict[str, Any], list[Bar], str]
"""The record, its bars, and for people where it was measured."""


@dataclass(frozen=True)
class Asked:
    """Which parsers are measured, on what."""

    samples: Mapping[str, tuple[str, Items]]
    """Kind -> the name of a corpus, and sentences of its test split."""
    configs: Mapping[str, NetworkConfig | Seq2SeqConfig]
    sizes: str
    """The name of these configurations."""
    turns: int
    progress: Callable[[str], None]


def sample(kind: str, corpus: str | None, number: int) -> tuple[str, Items]:
    """So many sentences of a corpus, by default ewt or top where BCRLIB_DATA has it, else demo.

    Otherwise it would be downloaded: no measurement is worth that surprise.
    """
    usual, path_of, load = ("top", top_path, load_frames) if kind == SEMANTIC else ("ewt", ewt_path, load_treebank)
    try:
        is_at_hand = bool(os.environ.get("BCRLIB_DATA")) and path_of("test").is_file()
    except DataError:
        is_at_hand = False
    corpus = corpus or (usual if is_at_hand else "demo")
    return corpus, evenly_drawn(load(corpus, "test"), number)


def on_one_core(asked: Asked, model: tuple[str, DeepBiafParser] | None, small: Profile | None) -> Measured:
    """Ratios of parsers and of tree searches, beside their bars. Minutes at the paper's sizes.

    `model`: whose scores the tree searches get, else simulated ones.  `small`: what is trained for `accuracy`.
    """
    corpus, bank = next((some for kind, some in asked.samples.items() if kind != SEMANTIC), (None, None))
    about = {"machine": machine(), "corpus": corpus, "num_sentences": bank.num_sentences if bank else 0}
    about |= {"num_turns": asked.turns, "sizes": asked.sizes, "tree_scores": model[0] if model else "simulated"}
    where = [f"{about['machine']['processor']}, one core", f"sizes: {asked.sizes}"]
    trees = semantic = trained = None
    with one_core():
        parsers = _records(asked, "cpu", _ratios)
        bars = [bar for kind in parsers if kind != SEMANTIC for bar in ratio_bars(kind, parsers[kind])]
        if bank:
            where += [f"{bank.num_sentences} sentences of {corpus} test"]
            where += [f"scores for the tree searches: {about['tree_scores']}"]
        if "deepbiaf" in parsers:
            asked.progress("tree searches")
            scores = arc_score_tables(model[1], bank) if model else simulated_arc_scores(bank.lengths, seed=1)
            trees = ratios("trees", timed(tree_searches(scores, bank.lengths), TREE_TURNS, time.process_time))
            bars += tree_bars(trees)
        if SEMANTIC in parsers:
            name, frames = asked.samples[SEMANTIC]
            where += [f"{len(frames)} utterances of {name} test"]
            semantic = {"corpus": name, "num_utterances": len(frames), "num_turns": asked.turns}
            semantic |= {"sizes": asked.sizes, "encoder": asked.configs[SEMANTIC].encoder}
            semantic |= {"transformers": version("transformers"), "speeds": parsers.pop(SEMANTIC)}
            bars += ratio_bars(SEMANTIC, semantic["speeds"])
        if small:
            asked.progress("accuracy per minute: training")
            trained = accuracy(small, asked.progress)
            bars += accuracy_bars(trained) if corpus == "ewt" else []
    record = {**about, "parsers": parsers, "trees": trees, "semantic": semantic, "accuracy": trained}
    return record, bars, "; ".join(where) + "."


def on_device(asked: Asked, device: str, batch_sizes: Iterable[int]) -> Measured:
    """Sentences a second by the clock; bars on cuda alone. "throughput" of the record: {kind: {precision: rows}}."""

    def speeds(kind: str, parser: SingleParser, items: Items, turns: int) -> list[Row]:
        work = Work(GoldShapeParser(parser, items) if kind == SEMANTIC else parser, items)
        return throughput(over_batch_sizes(work, batch_sizes), device, turns)

    found, is_judged = _records(asked, device, speeds), device == "cuda" and asked.sizes == "paper"
    bars = [bar for kind, rows in found.items() for bar in throughput_bars(kind, rows, is_judged)]
    corpora = {kind: name for kind, (name, _) in asked.samples.items()}
    about = {"machine": machine(), "device": device, "num_threads": torch.get_num_threads(), "corpora": corpora}
    threads = f"{about['machine']['processor']}, {about['num_threads']} threads"
    read = ", ".join(dict.fromkeys(f"{name} test" for name in corpora.values()))
    where = f"{about['machine']['gpu'] if device == 'cuda' else threads}; sizes: {asked.sizes}; {read}."
    return {**about, "num_turns": asked.turns, "sizes": asked.sizes, "throughput": found}, bars, where


def _records(asked: Asked, device: str, measured: Callable[[str, SingleParser, Items, int], Any]) -> dict[str, dict]:
    """{kind: {precision: what was measured}} of untrained parsers, in float32 and in what is fast on the device."""
    records = {kind: {} for kind in asked.samples}
    for kind, (_, items) in asked.samples.items():
        for precision in dict.fromkeys(["float32", fast_precision(device)]):
            noun = "utterances" if kind == SEMANTIC else "sentences"
            asked.progress(f"{kind} in {precision} on {device}: {len(items)} {noun}, {asked.turns} turns")
            parser = untrained(asked.configs[kind], items, runtime_on(device, precision))
            records[kind][precision] = measured(kind, parser, items, asked.turns)
    return records


def _ratios(kind: str, parser: SingleParser, items: Items, turns: int) -> dict[str, Any]:
    about = {"kind": kind, "precision": parser.runtime.precision}
    if kind == SEMANTIC:
        found, about["num_distinct"] = beside_generate(parser, items)
    else:
        found = beside_lstm(parser, items)
    steps = {step for ratio in RATIOS[kind] for step in (ratio.step, ratio.against)}
    seconds = timed([one for one in found if one.step in steps], turns, time.process_time)
    return about | ratios(kind, seconds)


def accuracy(profile: Profile, progress: Callable[[str], None]) -> dict[str, float]:
    """Accuracy per minute: train a profile's deepbiaf on the CPU and test it.

    "uas" and "las" in [0, 1] on the test split without PUNCT; "minutes" and "cpu_minutes" of the training, from word
    vectors to the choice of the best epoch on dev. Threads are as the caller set them.
    """

    def report(epoch: EpochReport) -> None:
        progress(f"{epoch.epoch:3d}/{epoch.num_epochs}  dev {100 * epoch.dev_score:.2f} %  {epoch.seconds:.0f} s")

    gold, dev, test = (load_treebank(profile.corpus, split, profile.ambiguity) for split in ("train", "dev", "test"))
    wall, cpu = time.perf_counter(), time.process_time()
    parser = new_parser(profile.network("deepbiaf"), gold, 1, Runtime())
    precision = fast_precision("cpu") if profile.precision == "auto" else profile.precision
    fit(parser, gold, dev, profile.recipe("deepbiaf"), 1, precision, report)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    pool = parser.candidates(test, OneBest())
    right = correctness(test, pool.heads, pool.relations, pool.relation_names, PRESETS["clean"])
    of_level = {level.lower(): float(right[level].mean()) for level in ("UAS", "LAS")}
    return of_level | {"minutes": wall / 60, "cpu_minutes": cpu / 60}
