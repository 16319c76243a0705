"""What is timed, of either task and on any device: what a parser does with sentences, and its yardsticks beside it."""

from collections.abc import Callable, Iterable
from contextlib import suppress
from copy import copy
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Float32, Integer
from torch import nn

from bcrlib.bench.grid import NUM_CANDIDATES, PAPER_BATCH, STEPS, SpeedGrid
from bcrlib.bench.timing import Contestant
from bcrlib.bench.yardsticks import (
    GoldShapeParser,
    bare_lstm,
    encoder_decoder,
    greedy_generation,
    lstm_over,
    ufal_over,
)
from bcrlib.data.frames import FrameBank
from bcrlib.data.treebank import Treebank
from bcrlib.parsers.batches import Runtime, batches, training_batches
from bcrlib.parsers.configuration import TrainingConfig
from bcrlib.parsers.deepbiaf import DeepBiafParser
from bcrlib.parsers.encoding import EncodedTreebank, decoding_batches, make_batch
from bcrlib.parsers.s2s import Seq2SeqParser
from bcrlib.parsers.s2s_network import make_source
from bcrlib.parsers.stackptr import StackPtrParser
from bcrlib.samplers.dropout_p import Noise
from bcrlib.samplers.k_best import k_best_spanning_trees
from bcrlib.samplers.spanning_trees import maximum_spanning_trees
from bcrlib.samplers.strategies import Beam, DropoutP, KBest, OneBest, Strategy

Items = Treebank | FrameBank
SingleParser = DeepBiafParser | StackPtrParser | Seq2SeqParser
"""One network: an ensemble has no one encoder."""
Runs = dict[str, Callable[[], object]]
"""By the name of the step."""

DROPOUT_TREES, DROPOUT_FRAMES = 0.15, 0.1
ONE_PASS, PASSES = "dropout-p", "dropout-p, one by one"
RERANKING, RERANKING_SAMPLES = "re-ranking", "re-ranking dropout-p"
SOME = ("encoder", "1-best", ONE_PASS, RERANKING)
"""Steps that are timed for sentences of each length, and whose memory is measured."""
NUM_DISTINCT = 3
"""So many of ten candidates of dropout-p differ where trained parsers sample them: 2.6 on TOP at this rate."""
NUM_TRAINING_BATCHES, BATCH_TOKENS = 8, 2000
TREE_BATCH = 64


@dataclass(frozen=True, eq=False)
class Work:
    """A parser and sentences for it. Candidates to be re-ranked are made once: by the run that first needs them."""

    parser: SingleParser
    items: Any
    most_sampled: int = NUM_CANDIDATES

    @cached_property
    def listed(self) -> Any:
        """A pool of the ten best, in batches that the parser makes by itself."""
        *_, listed = strategies(self.parser).values()
        return self.parser.candidates(self.items, listed)

    @cached_property
    def sampled(self) -> Any:
        """A pool of dropout-p, perhaps of more than ten."""
        return self.parser.candidates(self.items, _dropout_p(self.parser, self.most_sampled))


def contestants(parser: SingleParser, items: Items, grid: SpeedGrid) -> list[Contestant]:
    """All that a grid asks for, each once: over batch sizes, numbers of candidates and lengths of sentences."""
    drawn = Work(parser, evenly_drawn(items, grid.sentences), max(NUM_CANDIDATES, *grid.num_candidates))
    found = [*over_batch_sizes(drawn, grid.batch_sizes), *over_candidates(drawn, grid.num_candidates)]
    found += over_lengths(parser, items, grid.words, min(PAPER_BATCH, len(drawn.items)))
    first = {(one.step, one.batch_size, one.num_candidates, one.words): one for one in reversed(found)}
    return [one for one in found if one in first.values()]


def over_batch_sizes(work: Work, batch_sizes: Iterable[int]) -> list[Contestant]:
    """Every step with ten candidates, in batches of each size and of the paper's; ten passes in the paper's alone."""
    sizes = sorted({*batch_sizes, PAPER_BATCH})
    found = [one for size in sizes for one in _contestants(work, steps(work, size), size)]
    parser = _in_batches_of(work.parser, PAPER_BATCH)

    def one_by_one() -> None:  # as the authors draw samples
        for sample in range(NUM_CANDIDATES):
            parser.decoded(work.items, _dropout_p(parser, 1), seed=sample)

    return [*found, *_contestants(work, {PASSES: one_by_one})]


def over_candidates(work: Work, numbers: Iterable[int]) -> list[Contestant]:
    """dropout-p in one pass and re-ranking of its samples, with each number of candidates, in the paper's batches."""
    parser, found = _in_batches_of(work.parser, PAPER_BATCH), []
    for number in numbers:
        runs = {
            ONE_PASS: partial(parser.decoded, work.items, _dropout_p(parser, number)),
            RERANKING_SAMPLES: partial(_rerank_samples, parser, work, number),
        }
        found += [replace(one, num_candidates=number) for one in _contestants(work, runs)]
    return found


def over_lengths(parser: SingleParser, items: Items, lengths: Iterable[int], number: int) -> list[Contestant]:
    """Some steps with ten candidates, for the `number` sentences nearest to each length, in the paper's batches."""
    works = [Work(parser, nearest_in_length(items, length, number)) for length in lengths]
    return [one for work in works for one in _some_contestants(work, PAPER_BATCH)]


def longest_batches(parser: SingleParser, items: Items, batch_sizes: Iterable[int]) -> list[Contestant]:
    """Some steps with ten candidates, for one batch of the longest sentences of each size: what needs most memory.

    A size beyond the number of sentences is left out.
    """
    by_length = np.argsort(items.lengths, kind="stable")
    works = {size: Work(parser, items.select(by_length[-size:])) for size in batch_sizes if size <= len(by_length)}
    return [one for size, work in works.items() for one in _some_contestants(work, size)]


def steps(work: Work, batch_size: int | None = None) -> Runs:
    """Step -> a run of it over all sentences, with ten candidates where it has any; decoding ends with whole trees.

    Those of `limits` and `strategies`; "1-best"; "dropout-p", ten samples in one pass, decoded and not yet scored by
    the whole network; "re-ranking" of the ten that were listed, "re-ranking dropout-p" of the samples, which is also
    what `candidates` pays for that score.  `batch_size`: else the parser's own.
    """
    parser = _in_batches_of(work.parser, batch_size)
    decoded = {"1-best": OneBest(), **strategies(parser), ONE_PASS: _dropout_p(parser, NUM_CANDIDATES)}
    return {
        **limits(parser, work.items),
        **{step: partial(parser.decoded, work.items, strategy) for step, strategy in decoded.items()},
        RERANKING: lambda: parser.log_probs(work.items, work.listed),
        RERANKING_SAMPLES: partial(_rerank_samples, parser, work, NUM_CANDIDATES),
    }


def strategies(parser: SingleParser) -> dict[str, Strategy]:
    """Step -> how it decodes, beside 1-best: "greedy" of stackptr; last the ten best, "k-best" or those of a "beam"."""
    if isinstance(parser, DeepBiafParser):
        return {"k-best": KBest(NUM_CANDIDATES)}
    greedy = {"greedy": Beam(1, 1)} if isinstance(parser, StackPtrParser) else {}
    return {**greedy, "beam": Beam(NUM_CANDIDATES, NUM_CANDIDATES)}


def limits(parser: SingleParser, items: Items) -> Runs:
    """What decoding cannot do without: the "encoder" over the batches of 1-best decoding; of trees its "bare LSTM"."""
    runtime = parser.runtime
    if isinstance(parser, Seq2SeqParser):
        pieces = parser.read(items)
        cut = batches(pieces.lengths, runtime.max_tokens, batch_size=runtime.batch_size)
        sources = [make_source(pieces, utterances, runtime.device) for utterances in cut]
        return {"encoder": _encoder_over(parser, [(source.ids, source.mask) for source in sources])}
    encoded = parser.read(items)
    cut = list(decoding_batches(encoded, runtime))
    made = [(make_batch(encoded, sentences, runtime.device), None) for sentences in cut]
    lstm = lstm_over(bare_lstm(parser.network.config), encoded, cut, runtime)
    return {"encoder": _encoder_over(parser, made), "bare LSTM": lstm}


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
        runs["ufal_single_root"] = ufal_over(cut)
    return [Contestant(name, run, len(lengths)) for name, run in runs.items()]


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
        found = (tables.arcs + tables.labels.amax(dim=2)).cpu().numpy()
        scores[batch.sentences, : found.shape[1], : found.shape[2]] = found
    return scores


def evenly_drawn(items: Items, number: int) -> Items:
    """So many items evenly drawn, for files are not in random order; all of them where `number` is 0 or too large."""
    most = len(items)
    return items.select(np.linspace(0, most - 1, min(number or most, most)).astype(np.int64))


def nearest_in_length(items: Items, words: int, number: int) -> Items:
    """The `number` items whose length is nearest to so many words, the first ones of the equally near."""
    return items.select(np.argsort(np.abs(items.lengths - words), kind="stable")[:number])


def _contestants(work: Work, runs: Runs, batch_size: int = PAPER_BATCH) -> list[Contestant]:
    num_items = len(work.items)
    return [Contestant(step, run, num_items, batch_size, STEPS[step].num_candidates) for step, run in runs.items()]


def _some_contestants(work: Work, batch_size: int) -> list[Contestant]:
    """Of sentences alike in length."""
    runs, words = steps(work, batch_size), round(float(work.items.lengths.mean()), 1)
    found = _contestants(work, {step: runs[step] for step in SOME}, batch_size)
    return [replace(one, words=words) for one in found]


def _in_batches_of(parser: SingleParser, batch_size: int | None) -> SingleParser:
    """The same parser, decoding in batches of so many sentences."""
    parser = copy(parser)
    parser.runtime = replace(parser.runtime, batch_size=batch_size or parser.runtime.batch_size)
    return parser


def _dropout_p(parser: SingleParser, number: int) -> DropoutP:
    return DropoutP(DROPOUT_FRAMES if isinstance(parser, Seq2SeqParser) else DROPOUT_TREES, number)


def _rerank_samples(parser: SingleParser, work: Work, number: int) -> Float32[np.ndarray, "candidate sentence"]:
    return parser.log_probs(work.items, work.sampled.take(slice(number)))


def _encoder_over(parser: SingleParser, inputs: list[tuple]) -> Callable[[], None]:
    @torch.inference_mode()
    def run() -> None:
        with parser.runtime.autocast():
            for some in inputs:
                parser.network.encoder(*some)

    return run


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
