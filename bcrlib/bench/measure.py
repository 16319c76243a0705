"""What `bcr bench` measures: ratios on one core, which carry over to other machines, or speeds on a device."""

import os
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Float32, Float64, Integer
from torch import nn

from bcrlib.bench.contestants import (
    ONE_PASS,
    RERANKING,
    RERANKING_SAMPLES,
    GoldShapeParser,
    Items,
    SingleParser,
    Work,
    bare_lstm,
    encoder_decoder,
    evenly_drawn,
    greedy_generation,
    lstm_over,
    over_batch_sizes,
    steps,
    strategies,
    untrained,
)
from bcrlib.bench.timing import (
    RATIOS,
    Bar,
    Contestant,
    Row,
    accuracy_bars,
    ratio_bars,
    ratios,
    throughput,
    throughput_bars,
    timed,
    tree_bars,
)
from bcrlib.data.download import DataError, ewt_path, top_path
from bcrlib.data.frames import FrameBank
from bcrlib.data.presets import PRESETS
from bcrlib.data.treebank import Treebank
from bcrlib.experiments.speed_grid import NUM_CANDIDATES, SEMANTIC
from bcrlib.metrics.attachment import correctness
from bcrlib.parsers.batches import Runtime, fast_precision, one_core, runtime_on, training_batches
from bcrlib.parsers.configuration import NetworkConfig, Seq2SeqConfig, TrainingConfig
from bcrlib.parsers.deepbiaf import DeepBiafParser, root_in_its_place
from bcrlib.parsers.encoding import EncodedTreebank, decoding_batches, make_batch
from bcrlib.parsers.s2s import Seq2SeqParser
from bcrlib.parsers.stackptr import StackPtrParser
from bcrlib.parsers.training import EpochReport, fit, new_parser
from bcrlib.pipeline.manifest import machine
from bcrlib.pipeline.profile import Profile
from bcrlib.samplers.brute_force import simulated_arc_scores
from bcrlib.samplers.dropout_p import Noise
from bcrlib.samplers.k_best import k_best_spanning_trees
from bcrlib.samplers.spanning_trees import maximum_spanning_trees
from bcrlib.samplers.strategies import OneBest
from bcrlib.tasks.dependency import load_treebank
from bcrlib.tasks.semantic import load_frames

NUM_DISTINCT = 3
"""So many of ten candidates of dropout-p differ where trained parsers sample them: 2.6 on TOP at this rate."""
NUM_TRAINING_BATCHES, BATCH_TOKENS = 8, 2000
TREE_BATCH = 64
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


def beside_lstm(parser: DeepBiafParser | StackPtrParser, treebank: Treebank) -> list[Contestant]:
    """On a CPU: `steps`, and training, beside the bare LSTM in float32, forward ("bare LSTM") and backward too.

    What concerns dropout-p of a stackptr, ten beam searches a sentence, is done with every fourth sentence.
    """
    encoded = parser.read(treebank)
    lstm, cut = bare_lstm(parser.network.config), list(decoding_batches(encoded, parser.runtime))
    drawn = training_batches(encoded.lengths, BATCH_TOKENS, np.random.default_rng(0))[:NUM_TRAINING_BATCHES]
    num_tokens = sum(int(encoded.lengths[sentences].sum()) for sentences in drawn)
    part = treebank if isinstance(parser, DeepBiafParser) else treebank.select(np.arange(0, treebank.num_sentences, 4))
    of_all, of_part = steps(Work(parser, treebank)), steps(Work(parser, part))
    whole = ("1-best", *strategies(parser), RERANKING)
    return [
        Contestant("bare LSTM", lstm_over(lstm, encoded, cut, Runtime()), treebank.num_sentences),
        *(Contestant(step, of_all[step], treebank.num_sentences) for step in whole),
        *(Contestant(step, of_part[step], part.num_sentences) for step in (ONE_PASS, RERANKING_SAMPLES)),
        Contestant("training of bare LSTM", lstm_over(lstm, encoded, drawn, Runtime(), backward=True), num_tokens),
        Contestant("training", _training(parser, encoded, drawn), num_tokens),
    ]


def beside_generate(parser: Seq2SeqParser, bank: FrameBank) -> tuple[list[Contestant], list[float]]:
    """On a CPU: what an untrained s2s does, beside the library's `generate`, and how many re-ranked candidates differ.

    Our targets have the shape of the gold ones (`GoldShape`): as long as a trained parser's, in batches that utterances
    leave when they have ended. The library's `generate` writes as many tokens for the same batches as the longest gold
    target of each has: utterances do not leave its batches. Every eighth utterance gets ten candidates.

    Ten thinned networks that have learnt nothing hardly agree. Re-ranking, which scores equal candidates once, is
    therefore timed twice: over the first NUM_DISTINCT of them, repeated, and over the candidates as they are. The
    second result is the mean number of different candidates in these two pools.
    """
    few, number = bank.select(np.arange(0, len(bank), 8)), len(bank)
    shaped, part = GoldShapeParser(parser, bank), Work(GoldShapeParser(parser, few), few)
    agreeing, of_few = part.sampled.take(np.arange(NUM_CANDIDATES) % NUM_DISTINCT), steps(part)
    of_few |= {"1-best of few": of_few["1-best"]}
    of_few |= {"re-ranking agreeing dropout-p": partial(part.parser.log_probs, few, agreeing)}
    names = ("1-best of few", "beam", ONE_PASS, "re-ranking agreeing dropout-p", RERANKING_SAMPLES)
    found = [
        Contestant("generate", greedy_generation(encoder_decoder(parser), shaped, bank), number),
        Contestant("1-best", steps(Work(shaped, bank))["1-best"], number),
        *(Contestant(step, of_few[step], len(few)) for step in names),
    ]
    return found, [float(pool.num_distinct().mean()) for pool in (agreeing, part.sampled)]


def tree_searches(
    arc_scores: Float[np.ndarray, "sentence dep head"], lengths: Integer[np.ndarray, "sentence"]
) -> list[Contestant]:
    """Searches over score tables, padded as for `maximum_spanning_trees`, and ufal.chu_liu_edmonds where installed.

    Sentences are decoded in batches of 64 of like length, as parsers do.
    """
    by_length, cut = np.argsort(lengths, kind="stable"), []
    for rows in np.split(by_length, range(TREE_BATCH, len(lengths), TREE_BATCH)):
        size = int(lengths[rows].max()) + 1
        cut.append((np.ascontiguousarray(arc_scores[rows, :size, :size]), lengths[rows]))
    searches = {
        "one_best_single_root": maximum_spanning_trees,
        "one_best_unconstrained": partial(maximum_spanning_trees, single_root=False),
        "ten_best_single_root": partial(k_best_spanning_trees, k=NUM_CANDIDATES),
    }
    runs = {name: lambda search=search: [search(*batch) for batch in cut] for name, search in searches.items()}
    with suppress(ImportError):  # a peer, not needed
        from ufal.chu_liu_edmonds import chu_liu_edmonds

        tables = [_single_rooted(table, length) for batch in cut for table, length in zip(*batch)]
        runs["ufal_single_root"] = lambda: [chu_liu_edmonds(table) for table in tables]
    return [Contestant(name, run, len(lengths)) for name, run in runs.items()]


def _single_rooted(scores: Float[np.ndarray, "dep head"], length: int) -> Float64[np.ndarray, "dep head"]:
    """For a search that knows no single root: root arcs cost more than any tree can gain."""
    table = scores[: length + 1, : length + 1].astype(np.float64)
    finite = table[np.isfinite(table)]
    table[:, 0] -= 1.0 + length * (finite.max() - finite.min())
    return table


@torch.inference_mode()
def arc_score_tables(parser: DeepBiafParser, treebank: Treebank) -> Float32[np.ndarray, "sentence dep head"]:
    """log p of every arc with its best relation, as the parser hands them to a tree search; padding is minus infinity.

    O(sentences longest^2) memory.
    """
    encoded = parser.read(treebank)
    size = int(treebank.lengths.max()) + 1
    scores = np.full((treebank.num_sentences, size, size), -np.inf, dtype=np.float32)
    for sentences in decoding_batches(encoded, parser.runtime):
        batch = make_batch(encoded, sentences, parser.runtime.device)
        tables = parser.tables(batch)
        if parser.root_relation is not None:
            tables = root_in_its_place(tables, parser.root_relation)
        found = (tables.arcs + tables.labels.amax(dim=2)).cpu().numpy()
        scores[batch.sentences, : found.shape[1], : found.shape[2]] = found
    return scores


def _training(
    parser: DeepBiafParser | StackPtrParser, encoded: EncodedTreebank, drawn: list[np.ndarray]
) -> Callable[[], None]:
    """Whole steps: batch making, masks, loss, gradient, clipping, update."""
    network, recipe = parser.network, TrainingConfig()
    optimizer = torch.optim.AdamW(network.parameters(), fused=True)

    def run() -> None:
        network.train()
        for sentences in drawn:
            batch = make_batch(encoded, sentences)
            noise = Noise(torch.arange(len(sentences)), batch.packing, recipe.dropout)
            with parser.runtime.autocast():
                loss = network.loss(batch, noise)
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(network.parameters(), recipe.clip)
            optimizer.step()
        network.eval()

    return run
