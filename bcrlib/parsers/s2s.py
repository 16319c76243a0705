"""The seq2seq-pointer parser, one network or an ensemble: it proposes frames, and it scores any frame."""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Float, Float32, Int64
from tokenizers import Tokenizer
from torch import Tensor

from bcrlib.data.candidates import joined
from bcrlib.data.frame_candidates import FramePool
from bcrlib.data.frames import END, FrameBank
from bcrlib.data.presets import preset
from bcrlib.data.randomness import key
from bcrlib.parsers.batches import Runtime, batches
from bcrlib.parsers.pieces import Pieces, cut_into_pieces
from bcrlib.parsers.s2s_network import Seq2Seq, Source, make_source
from bcrlib.parsers.targets import Targets, mean_probability, sequences_of_targets, target_log_probs, targets_of
from bcrlib.samplers.dropout_p import Rates, Switch, Thinning, uniform
from bcrlib.samplers.rules import BracketRules, FirstEnded, PartialTargets, TargetBuilder, TargetRules
from bcrlib.samplers.search import Choose, best, best_actions, sampled_actions, search
from bcrlib.samplers.strategies import Beam, Drawn, DropoutP, Joined, KBest, OneBest, Single, Strategy

ATTENTION_DROPOUT = 0.1
"""Rate at which the authors train, and so the one of their dropout-p, where a checkpoint does not tell its own."""


class Seq2SeqParser:
    """Trained networks with their labels and tokenizer; several are an ensemble, the mean of their probabilities.

    The paper's s2s. The networks of an ensemble must share labels, tokenizer and definitions, as models of one profile
    do; ValueError otherwise.
    """

    selection_strategy = OneBest()

    def __init__(
        self, networks: Sequence[Seq2Seq], labels: tuple[str, ...], tokenizer: Tokenizer, runtime: Runtime
    ) -> None:
        self.networks = tuple(network.to(runtime.device).eval() for network in networks)
        self.labels, self.tokenizer, self.runtime = labels, tokenizer, runtime
        self.config = networks[0].config
        self.definitions = preset(self.config.preset)

    @property
    def network(self) -> Seq2Seq:
        """Of a single parser."""
        (network,) = self.networks
        return network

    def pieces(self, bank: FrameBank) -> Pieces:
        """The utterances as the encoder takes them. ValueError for an empty or too long one."""
        return cut_into_pieces(bank.utterances, self.tokenizer, self.config.max_pieces)

    def candidates(self, bank: FrameBank, strategy: Strategy, seed: int = 0) -> FramePool:
        """Candidate frames of every utterance; only its words are looked at.

        A sample of a sampling strategy depends on the seed, its number and the words of its utterance alone. All have
        this parser's own `log_probs`, also what thinned networks found: a pool with dropout-p costs one more than
        `decoded`. Of joined pools equal frames come once. ValueError for the strategy k-best, or no utterance.
        """
        if isinstance(strategy, Joined):
            pool = joined([self.decoded(bank, part, seed) for part in strategy.parts])
        else:
            pool = self.decoded(bank, strategy, seed)
        is_thinned = isinstance(strategy, DropoutP | Joined)
        return replace(pool, log_probs=self.log_probs(bank, pool)) if is_thinned else pool

    @torch.inference_mode()
    def decoded(self, bank: FrameBank, strategy: Single, seed: int = 0) -> FramePool:
        """The same candidates, each with the log-probability that it was decoded by: of dropout-p, in its sub-network.

        For who scores them later, with others, or asks what decoding alone costs.
        """
        if isinstance(strategy, KBest):
            raise ValueError("k-best trees are for graph-based parsers; a sequential parser has beam(b=WIDTH)")
        if not len(bank):
            raise ValueError("there is no utterance to parse")
        pieces, number = self.pieces(bank), strategy.num_candidates
        found = [
            (utterances, self._propose(pieces, utterances, strategy, seed))
            for utterances in self._batches(pieces, _weight(strategy))
        ]
        steps = max(sequences.shape[2] for _, (sequences, _) in found)
        pool = FramePool(
            sequences=np.full((number, len(bank), steps), END, dtype=np.int16),
            labels=self.labels,
            log_probs=np.zeros((number, len(bank)), dtype=np.float32),
        )
        for utterances, (sequences, log_probs) in found:
            pool.sequences[:, utterances, : sequences.shape[2]] = sequences.swapaxes(0, 1)
            pool.log_probs[:, utterances] = log_probs.T
        return pool

    def log_probs(self, bank: FrameBank, pool: FramePool) -> Float32[np.ndarray, "candidate utterance"]:
        """log p(sequence | utterance) of every candidate, whoever proposed it, its end included.

        -inf for one that is BROKEN or has a label that this parser lacks. Under `official` the mean over tokens. Equal
        candidates are scored once, all of an utterance over one encoder pass. ValueError for other utterances.
        """
        sums, num_tokens = self.sums(bank, pool)
        return sums / num_tokens.astype(np.float32) if self.definitions.s2s_length_normalised else sums

    @torch.inference_mode()
    def sums(
        self, bank: FrameBank, pool: FramePool
    ) -> tuple[Float32[np.ndarray, "candidate utterance"], Int64[np.ndarray, "candidate utterance"]]:
        """log p of every candidate, whatever the preset, and the number of tokens that it is a sum over.

        Tokens of this parser's targets: word pieces, brackets, and the end. 1 where log p is -inf.
        """
        _check_same_utterances(bank, pool)
        pieces, first_equal = self.pieces(bank), pool.first_equal()
        candidate, utterance = np.nonzero(first_equal == np.arange(pool.num_candidates)[:, None])
        targets = targets_of(pool.sequences[candidate, utterance], utterance, pool.labels, pieces, self.labels)
        scores = self._scores(pieces, utterance, targets)
        scores[~targets.expressible] = -np.inf
        sums, num_tokens = np.zeros(first_equal.shape, dtype=np.float32), np.zeros(first_equal.shape, dtype=np.int64)
        sums[candidate, utterance], num_tokens[candidate, utterance] = scores, np.diff(targets.offsets)
        first = first_equal.astype(np.int64)
        return np.take_along_axis(sums, first, axis=0), np.take_along_axis(num_tokens, first, axis=0)

    def rules(self, pieces: Pieces, rows: Int64[np.ndarray, "row"], source: Source) -> TargetRules | None:
        """What the decoded targets of these utterances must look like; None: they may be anything."""
        if not self.config.constrained:
            return None
        starts = _starts_word(pieces, rows, source.pieces.stop - source.pieces.start)
        starts_word = torch.from_numpy(starts).to(self.runtime.device)
        return BracketRules(len(self.labels), source.num_pieces, starts_word, self.config.max_steps)

    def _batches(self, pieces: Pieces, weight: int) -> Iterator[Int64[np.ndarray, "utterance"]]:
        """Of utterances each of which needs `weight` times what one position is reckoned at."""
        return batches(pieces.lengths, self.runtime.max_tokens, weight, self.runtime.batch_size)

    def _propose(
        self, pieces: Pieces, utterances: Int64[np.ndarray, "u"], strategy: Strategy, seed: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Sequences [utterance, candidate, step] and their log-probabilities."""
        copies = strategy.num_candidates if isinstance(strategy, DropoutP) else 1
        rows = np.repeat(utterances, copies)
        hyps = self._search(pieces, rows, strategy, seed)
        if self.definitions.s2s_length_normalised:
            hyps = replace(hyps, score=hyps.score / ((hyps.tokens != END).sum(dim=2) + hyps.ended))
        if not isinstance(strategy, Drawn):
            hyps = best(hyps, strategy.num_candidates // copies)
        tokens, score = hyps.tokens.cpu().numpy(), hyps.score.cpu().numpy()
        found = sequences_of_targets(
            tokens.reshape(-1, tokens.shape[2]), np.repeat(rows, tokens.shape[1]), pieces, len(self.labels)
        )
        return found.reshape(len(utterances), -1, found.shape[1]), score.reshape(len(utterances), -1)

    def _search(self, pieces: Pieces, rows: Int64[np.ndarray, "row"], strategy: Strategy, seed: int) -> PartialTargets:
        source = make_source(pieces, rows, self.runtime.device)
        thinnings = [self._thinning(network.rates, pieces, rows, strategy, seed) for network in self.networks]
        readers = [Reader(*both, source, self.runtime) for both in zip(self.networks, thinnings)]
        scorer = TokenByToken(readers)
        parts = (scorer, len(rows), self.config.max_steps, self.rules(pieces, rows, source), self.runtime.device)
        if isinstance(strategy, Beam) and (strategy.ended or self.definitions.s2s_beam_lists_ended):
            return search(FirstEnded(strategy.width, *parts), best_actions(2 * strategy.width))
        return search(TargetBuilder(*parts), self._choose(pieces, rows, strategy, seed))

    def _thinning(
        self, rates: Rates | None, pieces: Pieces, rows: np.ndarray, strategy: Strategy, seed: int
    ) -> Thinning | None:
        """The masks of dropout-p, one key an utterance and sample; None for other strategies.

        rates: of the network's training.
        """
        if not isinstance(strategy, DropoutP):
            return None
        sample = np.tile(np.arange(strategy.num_candidates), len(rows) // strategy.num_candidates)
        of_sample = np.array([key(seed, "dropout-p", i) for i in range(strategy.num_candidates)])
        keys = torch.from_numpy(pieces.keys[rows] ^ of_sample[sample]).to(self.runtime.device)
        attention_p = self._attention_p(rates, strategy.p)
        return Thinning(keys, strategy.p, attention_p, self.definitions.s2s_masks_per_step)

    def _attention_p(self, rates: Rates | None, p: float) -> float:
        """Rate at which dropout-p drops attention weights: a network stands no more than it was trained with."""
        if self.definitions.s2s_attention_dropout_fixed:
            return ATTENTION_DROPOUT if rates is None else rates.attention_dropout
        return p if rates is None else min(p, rates.attention_dropout)

    def _choose(self, pieces: Pieces, rows: np.ndarray, strategy: Strategy, seed: int) -> Choose:
        if not isinstance(strategy, Drawn):
            return best_actions(strategy.width if isinstance(strategy, Beam) else 1)
        of_sample = np.array([key(seed, "actions", i) for i in range(strategy.num_candidates)])
        keys = torch.from_numpy(pieces.keys[rows][:, None] ^ of_sample).to(self.runtime.device)
        return sampled_actions(strategy, lambda step, left: uniform(keys[left], step))

    def _scores(
        self, pieces: Pieces, utterance: Int64[np.ndarray, "row"], targets: Targets
    ) -> Float32[np.ndarray, "row"]:
        """log p of every row's target."""
        scores = np.zeros(len(utterance), dtype=np.float32)
        place = np.argsort(utterance, kind="stable")
        starts = np.searchsorted(utterance[place], np.arange(len(pieces.lengths) + 1))
        for utterances in self._batches(pieces, weight=2):
            source = make_source(pieces, utterances, self.runtime.device)
            with self.runtime.autocast():
                memories = [network.memory(source) for network in self.networks]
            rows = np.concatenate([place[starts[u] : starts[u + 1]] for u in utterances])
            of_row = np.repeat(np.arange(len(utterances)), starts[utterances + 1] - starts[utterances])
            scores[rows] = target_log_probs(self.networks, memories, of_row, targets.padded(rows), self.runtime)
        return scores


def ensemble(parsers: Sequence[Seq2SeqParser]) -> Seq2SeqParser:
    """Several parsers as one (the paper's baseline). ValueError: other labels, pieces or definitions."""
    first = parsers[0]
    if any(_definitions(parser) != _definitions(first) for parser in parsers):
        raise ValueError("the members of an ensemble must share labels, tokenizer and definitions")
    networks = [network for parser in parsers for network in parser.networks]
    return Seq2SeqParser(networks, first.labels, first.tokenizer, first.runtime)


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


def _weight(strategy: Strategy) -> int:
    """How much more than a greedy one a search with this strategy needs of everything."""
    if isinstance(strategy, Beam):
        return -(-strategy.width // 2)
    return strategy.num_candidates if isinstance(strategy, Drawn | DropoutP) else 1


def _check_same_utterances(bank: FrameBank, pool: FramePool) -> None:
    if pool.num_items != len(bank):
        raise ValueError(f"candidates of {pool.num_items} utterances for {len(bank)}")
    num_words = pool.sequences.max(axis=(0, 2), initial=0).astype(np.int64) - 2 * len(pool.labels)
    if (wrong := num_words > list(map(len, bank.utterances))).any():
        raise ValueError(f"a candidate has words that utterance {wrong.argmax() + 1} does not have")


def _starts_word(pieces: Pieces, rows: np.ndarray, longest: int) -> np.ndarray:
    there = np.arange(longest) < pieces.lengths[rows][:, None]
    flat = pieces.offsets[rows][:, None] + np.where(there, np.arange(longest), 0)
    return ~there | (pieces.part[flat] == 0)


def _definitions(parser: Seq2SeqParser) -> tuple:
    config = parser.config
    return (
        parser.labels,
        parser.tokenizer.to_str(),
        config.preset,
        config.constrained,
        config.max_steps,
        config.max_pieces,
    )
