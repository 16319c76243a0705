"""The seq2seq-pointer parser, the paper's s2s: it writes frames token by token, and it scores any frame."""

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, replace
from json import loads
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
import torch
from jaxtyping import Float, Float32, Int16, Int64
from tokenizers import Tokenizer
from torch import Tensor
from torch.func import functional_call

from bcrlib.data.frame_candidates import FramePool
from bcrlib.data.frames import END, FrameBank, sequences_of
from bcrlib.data.randomness import key
from bcrlib.metrics.frames import correctness
from bcrlib.parsers.batches import Precision, Runtime, batches, training_batches
from bcrlib.parsers.configuration import Seq2SeqConfig, Seq2SeqTraining
from bcrlib.parsers.parser import Parser, scored_once
from bcrlib.parsers.pieces import Pieces, cut_into_pieces
from bcrlib.parsers.pretrained import empty_encoder, new_encoder, sizes_from, sizes_of
from bcrlib.parsers.s2s_network import Seq2Seq, Source, make_source
from bcrlib.parsers.targets import mean_probability, sequences_of_targets, target_log_probs, targets_of
from bcrlib.samplers.dropout_p import Rates, Switch, Thinning, set_rates, uniform
from bcrlib.samplers.rules import BracketRules, FirstEnded, PartialTargets, TargetBuilder, TargetRules
from bcrlib.samplers.search import best, best_actions, sampled_actions, search
from bcrlib.samplers.strategies import Beam, Drawn, DropoutP, KBest, Single

ATTENTION_DROPOUT = 0.1
"""Rate at which the authors train, and so the one of their dropout-p, where a checkpoint does not tell its own."""
AUTHORS_BATCH = 512


class Asked(NamedTuple):
    """Frames to be scored."""

    pool: FramePool
    first_equal: Int16[np.ndarray, "candidate utterance"]


class Seq2SeqParser(Parser):
    """Networks with their labels and tokenizer; of an ensemble every token by the mean of its probabilities."""

    SHARED = "labels, tokenizer and definitions"

    def __init__(
        self, networks: Sequence[Seq2Seq], labels: tuple[str, ...], tokenizer: Tokenizer, runtime: Runtime
    ) -> None:
        super().__init__(networks, runtime)
        self.labels, self.tokenizer = labels, tokenizer

    def shared(self) -> tuple:
        config = self.config
        sizes = (config.preset, config.constrained, config.max_steps, config.max_pieces)
        return self.labels, self.tokenizer.to_str(), *sizes

    def read(self, bank: FrameBank) -> Pieces:
        """The utterances as the encoder takes them. ValueError for none, an empty or a too long one."""
        if not len(bank):
            raise ValueError("there is no utterance to parse")
        return cut_into_pieces(bank.utterances, self.tokenizer, self.config.max_pieces)

    def check_strategy(self, strategy: Single) -> None:
        if isinstance(strategy, KBest):
            raise ValueError("k-best trees are for graph-based parsers; a sequential parser has beam(b=WIDTH)")

    def batches(self, read: Pieces, strategy: Single | None) -> Iterator[Int64[np.ndarray, "utterance"]]:
        weight = 1  # how much more of everything than greedy search
        if strategy is None:
            weight = 2
        elif isinstance(strategy, Beam):
            weight = -(-strategy.width // 2)
        elif isinstance(strategy, Drawn | DropoutP):
            weight = strategy.num_candidates
        return batches(read.lengths, self.runtime.max_tokens, weight, self.runtime.batch_size)

    def gathered(self, bank: FrameBank, num_candidates: int, proposals: Iterable[tuple]) -> FramePool:
        found = list(proposals)
        steps = max(sequences.shape[2] for _, sequences, _ in found)
        pool = FramePool(
            sequences=np.full((num_candidates, len(bank), steps), END, dtype=np.int16),
            labels=self.labels,
            log_probs=np.zeros((num_candidates, len(bank)), dtype=np.float32),
        )
        for utterances, sequences, log_probs in found:
            pool.sequences[:, utterances, : sequences.shape[2]] = sequences.swapaxes(0, 1)
            pool.log_probs[:, utterances] = log_probs.T
        return pool

    def log_probs(self, bank: FrameBank, pool: FramePool) -> Float32[np.ndarray, "candidate utterance"]:
        """As of every parser, the end of the sequence included; -inf too for one that is BROKEN.

        Under `official` the mean over tokens.
        """
        if not self.definitions.s2s_length_normalised:
            return super().log_probs(bank, pool)
        sums, num_tokens = self.sums(bank, pool)
        return sums / num_tokens.astype(np.float32)

    def sums(
        self, bank: FrameBank, pool: FramePool
    ) -> tuple[Float32[np.ndarray, "candidate utterance"], Int64[np.ndarray, "candidate utterance"]]:
        """log p of every candidate, whatever the preset, and the number of tokens that it is a sum over.

        Tokens of this parser's targets: word pieces, brackets, and the end. 1 where log p is -inf.
        """
        sums, read = super().log_probs(bank, pool), self.read(bank)

        def num_tokens(utterance: np.ndarray, candidate: np.ndarray) -> Int64[np.ndarray, "row"]:
            codes = pool.sequences[candidate, utterance]
            return np.diff(targets_of(codes, utterance, pool.labels, read, self.labels).offsets)

        return sums, scored_once(pool.first_equal(), num_tokens)

    def numbered(self, bank: FrameBank, pool: FramePool) -> Asked:
        pool.check(bank)
        num_words = pool.sequences.max(axis=(0, 2), initial=0).astype(np.int64) - 2 * len(pool.labels)
        if (wrong := num_words > bank.lengths).any():
            raise ValueError(f"a candidate has words that utterance {wrong.argmax() + 1} does not have")
        return Asked(pool, pool.first_equal())

    def score(self, read: Pieces, items: np.ndarray, asked: Asked) -> Float32[np.ndarray, "candidate some"]:
        """All candidates of an utterance over one encoder pass."""
        source = make_source(read, items, self.runtime.device)
        with self.runtime.autocast():
            memories = [network.memory(source) for network in self.networks]

        def score(place: np.ndarray, candidate: np.ndarray) -> Float32[np.ndarray, "row"]:
            codes = asked.pool.sequences[candidate, items[place]]
            targets = targets_of(codes, items[place], asked.pool.labels, read, self.labels)
            tokens = targets.padded(np.arange(len(place)))
            scores = target_log_probs(self.networks, memories, place, tokens, self.runtime)
            scores[~targets.expressible] = -np.inf
            return scores

        return scored_once(asked.first_equal[:, items], score)

    def dev_score(self, dev: FrameBank) -> float:
        """Exact match: share of utterances whose greedy frame is the bank's."""
        pool = self.candidates(dev, self.selection_strategy)
        return float(correctness(dev, pool, self.definitions)["EM"][0].mean())

    def lessons(self, gold: FrameBank, recipe: Seq2SeqTraining, precision: Precision) -> "FrameLessons":
        return FrameLessons(self, gold, recipe, precision)

    @classmethod
    def untrained(cls, config: Seq2SeqConfig, gold: FrameBank, runtime: Runtime) -> Self:
        """DataError where the pretrained encoder cannot be had."""
        encoder, tokenizer = new_encoder(config, gold.utterances)
        return cls([Seq2Seq(config, encoder, len(gold.labels))], gold.labels, tokenizer, runtime)

    def files(self) -> dict[str, Any]:
        """config.json tells with what dropout it was trained, if it was: dropout-p asks for that."""
        rates = {} if self.network.rates is None else {"rates": asdict(self.network.rates)}
        return {
            "config.json": {"kind": self.config.kind, **asdict(self.config), **rates},
            "encoder.json": sizes_of(self.network.encoder.network),
            "labels.json": list(self.labels),
            "tokenizer.json": self.tokenizer.to_str(pretty=True),
        }

    @classmethod
    def restored(cls, fields: dict[str, Any], folder: Path, runtime: Runtime) -> Self:
        encoder, labels = (loads((folder / name).read_text("utf-8")) for name in ("encoder.json", "labels.json"))
        rates = fields.pop("rates", None)  # not told in old checkpoints
        config = Seq2SeqConfig(**{name: value for name, value in fields.items() if name != "kind"})
        network = Seq2Seq(config, empty_encoder(sizes_from(encoder)), len(labels))
        network.rates = None if rates is None else Rates(**rates)
        tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        return cls([network], tuple(labels), tokenizer, runtime)

    def rules(self, read: Pieces, rows: Int64[np.ndarray, "row"], source: Source) -> TargetRules | None:
        """What the decoded targets of these utterances must look like; None: they may be anything."""
        if not self.config.constrained:
            return None
        longest = np.arange(source.pieces.stop - source.pieces.start)
        there = longest < read.lengths[rows][:, None]
        flat = read.offsets[rows][:, None] + np.where(there, longest, 0)
        starts_word = torch.from_numpy(~there | (read.part[flat] == 0)).to(self.runtime.device)
        return BracketRules(len(self.labels), source.num_pieces, starts_word, self.config.max_steps)

    def propose(self, read: Pieces, items: Int64[np.ndarray, "u"], strategy: Single, seed: int) -> tuple:
        """Utterances, their sequences [utterance, candidate, step], and log-probabilities."""
        copies = strategy.num_candidates if isinstance(strategy, DropoutP) else 1
        rows = np.repeat(items, copies)
        hyps = self._search(read, rows, strategy, seed)
        if self.definitions.s2s_length_normalised:
            hyps = replace(hyps, score=hyps.score / ((hyps.tokens != END).sum(dim=2) + hyps.ended))
        if not isinstance(strategy, Drawn):
            hyps = best(hyps, strategy.num_candidates // copies)
        tokens, score = hyps.tokens.cpu().numpy(), hyps.score.cpu().numpy()
        found = sequences_of_targets(
            tokens.reshape(-1, tokens.shape[2]), np.repeat(rows, tokens.shape[1]), read, len(self.labels)
        )
        return items, found.reshape(len(items), -1, found.shape[1]), score.reshape(len(items), -1)

    def _search(self, read: Pieces, rows: Int64[np.ndarray, "row"], strategy: Single, seed: int) -> PartialTargets:
        source, device = make_source(read, rows, self.runtime.device), self.runtime.device
        thinnings = [self._thinning(network.rates, read, rows, strategy, seed) for network in self.networks]
        readers = [Reader(*both, source, self.runtime) for both in zip(self.networks, thinnings)]
        parts = (TokenByToken(readers), len(rows), self.config.max_steps, self.rules(read, rows, source), device)
        if isinstance(strategy, Beam) and (strategy.ended or self.definitions.s2s_beam_lists_ended):
            return search(FirstEnded(strategy.width, *parts), best_actions(2 * strategy.width))
        if not isinstance(strategy, Drawn):
            return search(TargetBuilder(*parts), best_actions(strategy.width if isinstance(strategy, Beam) else 1))
        of_sample = np.array([key(seed, "actions", i) for i in range(strategy.num_candidates)])
        keys = torch.from_numpy(read.keys[rows][:, None] ^ of_sample).to(device)
        return search(TargetBuilder(*parts), sampled_actions(strategy, lambda step, left: uniform(keys[left], step)))

    def _thinning(
        self, rates: Rates | None, read: Pieces, rows: np.ndarray, strategy: Single, seed: int
    ) -> Thinning | None:
        """The masks of dropout-p, one key an utterance and sample; None for other strategies.

        Attention weights are dropped at a rate of their own: a network stands no more than it was trained with (rates).
        """
        if not isinstance(strategy, DropoutP):
            return None
        of_sample = np.array([key(seed, "dropout-p", i) for i in range(strategy.num_candidates)])
        keys = read.keys[rows] ^ np.tile(of_sample, len(rows) // strategy.num_candidates)
        if self.definitions.s2s_attention_dropout_fixed:
            attention_p = ATTENTION_DROPOUT if rates is None else rates.attention_dropout
        else:
            attention_p = strategy.p if rates is None else min(strategy.p, rates.attention_dropout)
        keys = torch.from_numpy(keys).to(self.runtime.device)
        return Thinning(keys, strategy.p, attention_p, self.definitions.s2s_masks_per_step)


class FrameLessons:
    """Gold frames, batch by batch (`bcrlib.parsers.training.Lessons`)."""

    def __init__(self, parser: Seq2SeqParser, gold: FrameBank, recipe: Seq2SeqTraining, precision: Precision) -> None:
        self.network, self.device, self.recipe = parser.network, parser.runtime.device, recipe
        self.rounding = precision != "float32"
        self.network.rates = Rates(recipe.dropout, recipe.attention_dropout)
        set_rates(self.network, self.network.rates)
        self.read, rows = parser.read(gold), np.arange(len(gold))
        self.targets = targets_of(sequences_of(gold, parser.labels), rows, parser.labels, self.read, parser.labels)
        encoder = self.network.encoder
        encoder.network.get_input_embeddings().requires_grad_(recipe.train_embeddings)
        trained = [weight for weight in encoder.parameters() if weight.requires_grad]
        self.groups = [
            {"params": trained, "lr": recipe.encoder_learning_rate},
            {"params": [*self.network.decoder.parameters()], "lr": recipe.learning_rate},
        ]
        self.frozen = self._rounded(trained=False)

    def batches(self, rng: np.random.Generator) -> list[Int64[np.ndarray, "row"]]:
        """Of one epoch."""
        lengths = self.read.lengths + np.diff(self.targets.offsets)
        if self.recipe.batch_tokens:
            return training_batches(lengths, self.recipe.batch_tokens, rng)
        order = rng.permutation(len(lengths))
        return [order[i : i + AUTHORS_BATCH] for i in range(0, len(order), AUTHORS_BATCH)]

    def loss(self, items: Int64[np.ndarray, "row"], rng: np.random.Generator) -> tuple[Tensor, Tensor, int]:
        """The smoothed loss; told is -log p of the targets; over so many tokens."""
        source = make_source(self.read, items, self.device)
        target = torch.from_numpy(self.targets.padded(items)).to(self.device)
        weights = {**self.frozen, **self._rounded(trained=True)}
        loss, nll = functional_call(self.network, weights, (source, target, self.recipe.label_smoothing))
        return loss, nll.detach(), int((self.targets.offsets[items + 1] - self.targets.offsets[items]).sum())

    def _rounded(self, trained: bool) -> dict[str, Tensor]:
        """What a step computes with, of the weights that are trained or of the others: themselves, or their roundings.

        Gradients pass through the rounding. All activations then are bfloat16 too; autocast would convert them back and
        forth, a quarter of a step's time.
        """
        weights = {name: one for name, one in self.network.named_parameters() if one.requires_grad == trained}
        return {name: one.to(torch.bfloat16) for name, one in weights.items()} if self.rounding else weights


class Reader:
    """One network reading hypotheses token by token."""

    def __init__(self, network: Seq2Seq, thinning: Thinning | None, source: Source, runtime: Runtime) -> None:
        self.network, self.thinning, self.runtime = network, thinning, runtime
        with thinned(network.switch, thinning), runtime.autocast():
            self.memory = network.memory(source)
        self.caches = network.decoder.caches(len(source.ids))
        self.step, self.num_hypotheses = 0, 1

    def advance(self, tokens: Int64[Tensor, "u h"], parent: Int64[Tensor, "u h"]) -> Float[Tensor, "u h action"]:
        """log p of every next token."""
        count, number = tokens.shape
        rows = (torch.arange(count, device=tokens.device)[:, None] * self.num_hypotheses + parent).flatten()
        self._reorder(rows)
        self.num_hypotheses = number
        with thinned(self.network.switch, self.thinning), self.runtime.autocast():
            log_probs = self.network.decoder(tokens.reshape(-1, 1), self.memory, self.caches, self.step)
        self.step += 1
        return log_probs.view(count, number, -1)

    def keep(self, rows: Int64[Tensor, "kept"]) -> None:
        """Go on with these utterances only."""
        self.memory = self.memory.rows(rows)
        if self.thinning is not None:
            self.thinning = self.thinning.rows(rows)
        hypotheses = torch.arange(self.num_hypotheses, device=rows.device)
        self._reorder((rows[:, None] * self.num_hypotheses + hypotheses).flatten())

    def _reorder(self, rows: Int64[Tensor, "row"]) -> None:
        same = len(rows) == len(self.caches[0].keys) and bool(
            (rows == torch.arange(len(rows), device=rows.device)).all()
        )
        if not same:
            for cache in self.caches:
                cache.gather(rows)


class TokenByToken:
    """The members of an ensemble, or one network, as `bcrlib.samplers.rules.TokenScorer`."""

    def __init__(self, readers: list[Reader]) -> None:
        self.readers = readers

    def advance(self, tokens: Int64[Tensor, "u h"], parent: Int64[Tensor, "u h"]) -> Float[Tensor, "u h action"]:
        return mean_probability([reader.advance(tokens, parent) for reader in self.readers])

    def keep(self, rows: Int64[Tensor, "kept"]) -> None:
        for reader in self.readers:
            reader.keep(rows)


@contextlib.contextmanager
def thinned(switch: Switch, thinning: Thinning | None) -> Iterator[None]:
    """A network whose dropouts follow a thinning, for as long as the context lasts, however it ends."""
    switch.thinning = thinning
    try:
        yield
    finally:
        switch.thinning, switch.position = None, 0
