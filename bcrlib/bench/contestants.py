"""Who is timed: what a parser of either task does with sentences, on any device, and yardsticks beside it.

Yardsticks are a bare LSTM and `generate` of transformers. Parsers beside them have random weights; targets of s2s are
as long as a trained one's, so that decoding costs the same. A trained parser's candidates agree more, and are re-ranked
faster.
"""

from collections.abc import Callable, Iterable
from copy import copy
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float32, Int64
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence
from transformers import AutoModel, BertConfig, BertLMHeadModel, EncoderDecoderModel, GenerationConfig

from bcrlib.bench.timing import Contestant
from bcrlib.data.download import DataError
from bcrlib.data.frames import FrameBank, sequences_of
from bcrlib.data.treebank import Treebank
from bcrlib.experiments.speed_grid import NUM_CANDIDATES, PAPER_BATCH, STEPS, SpeedGrid
from bcrlib.parsers.batches import Runtime, batches
from bcrlib.parsers.configuration import NetworkConfig, Seq2SeqConfig
from bcrlib.parsers.deepbiaf import DeepBiafParser
from bcrlib.parsers.encoding import EncodedTreebank, decoding_batches, make_batch
from bcrlib.parsers.pieces import Pieces
from bcrlib.parsers.pretrained import MINILM, empty_encoder, tiny_tokenizer
from bcrlib.parsers.s2s import Seq2SeqParser
from bcrlib.parsers.s2s_network import Seq2Seq, Source, make_source
from bcrlib.parsers.stackptr import StackPtrParser
from bcrlib.parsers.targets import targets_of
from bcrlib.parsers.training import new_parser
from bcrlib.samplers.rules import END
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
    parser = _in_batches_of(work.parser, PAPER_BATCH)

    def one_by_one() -> None:  # as the authors draw samples
        for sample in range(NUM_CANDIDATES):
            parser.decoded(work.items, _dropout_p(parser, 1), seed=sample)

    found = [one for size in sizes for one in _contestants(work, steps(work, size), size)]
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


def untrained(config: NetworkConfig | Seq2SeqConfig, items: Items, runtime: Runtime) -> SingleParser:
    """A parser of these sizes for the words of a treebank or a bank; of s2s the encoder alone has learnt something.

    Where MiniLM cannot be had, not even that: random weights of its sizes, and word pieces made of the bank.
    """
    try:
        return new_parser(config, items, 0, runtime)
    except DataError:
        if not (isinstance(config, Seq2SeqConfig) and config.encoder == "minilm"):
            raise
    network = Seq2Seq(config, empty_encoder(MINILM), len(items.labels))
    return Seq2SeqParser([network], items.labels, tiny_tokenizer(items.utterances), runtime)


class GoldShape:
    """Where the gold target has a bracket there is any bracket; its pieces and its end stand where they stand.

    As `bcrlib.samplers.rules.TargetRules`. Hypotheses are as long as the gold target and differ by their labels.
    """

    def __init__(self, targets: Int64[Tensor, "utterance step"], num_labels: int, num_actions: int) -> None:
        self.targets, self.num_hypotheses = targets, 1
        actions = torch.arange(num_actions, device=targets.device)
        self.actions, self.brackets = actions, (actions > END) & (actions <= 2 * num_labels)

    def allowed(self, step: int) -> Bool[Tensor, "utterance hypothesis action"]:
        """Which tokens may come next."""
        gold = self.targets[:, step, None]
        is_bracket = self.brackets[gold[:, 0]][:, None]
        mask = torch.where(is_bracket, self.brackets, self.actions == gold)
        return mask[:, None].expand(-1, self.num_hypotheses, -1)

    def advance(self, parent: Int64[Tensor, "u child"], tokens: Int64[Tensor, "u child"]) -> None:
        """Go on to the children."""
        self.num_hypotheses = tokens.shape[1]

    def keep(self, rows: Int64[Tensor, "kept"]) -> None:
        """Go on with these utterances only."""
        self.targets = self.targets[rows]


class GoldShapeParser(Seq2SeqParser):
    """A parser of one bank, whose targets all have the shape of the bank's own."""

    def __init__(self, parser: Seq2SeqParser, bank: FrameBank) -> None:
        super().__init__(parser.networks, parser.labels, parser.tokenizer, parser.runtime)
        self.sequences = sequences_of(bank, parser.labels)

    def rules(self, read: Pieces, rows: Int64[np.ndarray, "row"], source: Source) -> GoldShape:
        """Those of the gold targets of these utterances of the bank."""
        targets = self.gold_targets(read, rows)
        num_actions = 1 + 2 * len(self.labels) + source.pieces.stop - source.pieces.start
        return GoldShape(torch.from_numpy(targets).to(self.runtime.device), len(self.labels), num_actions)

    def gold_targets(self, pieces: Pieces, rows: Int64[np.ndarray, "row"]) -> Int64[np.ndarray, "row step"]:
        """Filled up with ends."""
        targets = targets_of(self.sequences[rows], rows, self.labels, pieces, self.labels)
        return targets.padded(np.arange(len(rows)))


def bare_lstm(config: NetworkConfig) -> nn.LSTM:
    """An LSTM of the size of this parser's encoder, with random weights."""
    width = config.word_size + config.char_size + config.upos_size
    return nn.LSTM(width, config.hidden_size, config.num_layers, bidirectional=True)


def lstm_over(
    lstm: nn.LSTM, encoded: EncodedTreebank, cut: list[np.ndarray], runtime: Runtime, backward: bool = False
) -> Callable[[], None]:
    """A run over length-sorted packed batches, forward alone or, three times as dear, forward and backward.

    It is fed with vectors that are there already: a parser must also embed words, score, and find trees. On the
    runtime's device and in its precision, nothing is left to autocast.  O(tokens * hidden * (input + hidden)) a layer.
    """
    packings = [make_batch(encoded, sentences).packing for sentences in cut]
    lstm = lstm.to(runtime.device, torch.bfloat16 if runtime.precision == "bfloat16" else torch.float32)
    like = next(lstm.parameters())

    @torch.inference_mode(not backward)
    def run() -> None:
        for packing in packings:
            rows = torch.randn(packing.num_rows, lstm.input_size, device=like.device, dtype=like.dtype)
            outputs = lstm(PackedSequence(rows, torch.tensor(packing.counts)))[0].data
            if backward:
                outputs.sum().backward()

    return run


def encoder_decoder(parser: Seq2SeqParser) -> EncoderDecoderModel:
    """The library's encoder and decoder of the parser's sizes, with random weights.

    Its vocabulary are our brackets and pieces. Where the library would do more than we do, it is spared: no transform
    before the logits, and the decoder's keys and values come straight from encodings of the encoder's width, which the
    library would first project to the decoder's, anew at every step.
    """
    sizes, config = parser.network.encoder.network.config, parser.config
    of_decoder = BertConfig(
        vocab_size=1 + 2 * len(parser.labels) + config.max_pieces,
        hidden_size=config.decoder_size,
        num_hidden_layers=config.decoder_layers,
        num_attention_heads=config.decoder_heads,
        intermediate_size=config.decoder_inner_size,
        max_position_embeddings=config.max_steps + 1,
        is_decoder=True,
        add_cross_attention=True,
        cross_attention_hidden_size=sizes.hidden_size,
    )
    decoder = BertLMHeadModel(of_decoder)
    for layer in decoder.bert.encoder.layer:
        read = layer.crossattention.self
        read.key, read.value = (nn.Linear(sizes.hidden_size, read.all_head_size) for _ in range(2))
    decoder.cls.predictions.transform = nn.Identity()
    encoder = AutoModel.from_config(sizes, attn_implementation="sdpa")
    encoder.pooler = None
    return EncoderDecoderModel(encoder=encoder, decoder=decoder).eval().to(parser.runtime.device)


def greedy_generation(
    model: EncoderDecoderModel, parser: GoldShapeParser, bank: FrameBank
) -> Callable[[], list[Tensor]]:
    """A run over the parser's batches; gives the tokens of each. As many steps a batch as its longest gold target.

    It cannot do without: the library keeps an utterance that has ended in the batch until all have ended.
    """
    pieces, work = parser.read(bank), []
    for utterances in batches(pieces.lengths, parser.runtime.max_tokens):
        num_steps = min(parser.gold_targets(pieces, utterances).shape[1], parser.config.max_steps)
        greedy = GenerationConfig(  # no token is an end: none has to be looked for
            max_new_tokens=num_steps, do_sample=False, use_cache=True, decoder_start_token_id=END, pad_token_id=END
        )
        work.append((make_source(pieces, utterances, parser.runtime.device), greedy))

    @torch.inference_mode()
    def run() -> list[Tensor]:
        with parser.runtime.autocast():
            return [
                model.generate(source.ids, attention_mask=source.mask.long(), generation_config=greedy)
                for source, greedy in work
            ]

    return run
