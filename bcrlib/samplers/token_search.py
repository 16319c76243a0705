"""Decoding of a parser that writes a frame token by token: greedy, beam search and sampling, all utterances at once.

One loop over steps; within a step everything is a tensor operation over utterances x hypotheses. Utterances whose
hypotheses have all ended leave the batch. How tokens are chosen is shared with the stack-pointer parser
(`bcrlib.samplers.search`).
"""

from dataclasses import dataclass
from typing import Protocol

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from bcrlib.samplers.search import Choose, best_actions

END = 0
"""The token that ends a target, and starts it (as in the authors' decoder)."""
LEAVE_AT = 0.8  # gathering what stays costs about as much as a fifth of a step


class TokenScorer(Protocol):
    """A network, or an ensemble of them, that reads hypotheses token by token."""

    def advance(self, tokens: Int64[Tensor, "u h"], parent: Int64[Tensor, "u h"]) -> Float[Tensor, "u h action"]:
        """log p of every next token after these, each behind the hypothesis `parent` of the step before."""

    def keep(self, rows: Int64[Tensor, "kept"]) -> None:
        """Go on with these utterances only."""


class Rules(Protocol):
    """What a decoded target must look like, while it is being written."""

    def allowed(self, step: int) -> Bool[Tensor, "u h action"]:
        """Which tokens may come next."""

    def advance(self, parent: Int64[Tensor, "u child"], tokens: Int64[Tensor, "u child"]) -> None:
        """Go on to the children."""

    def keep(self, rows: Int64[Tensor, "kept"]) -> None:
        """Go on with these utterances only."""


@dataclass(eq=False)
class Hypotheses:
    """The targets of all utterances so far."""

    tokens: Int64[Tensor, "utterance hypothesis step"]
    """Filled up with ends."""
    score: Float[Tensor, "utterance hypothesis"]
    """log p; -inf: there is no such hypothesis."""
    ended: Bool[Tensor, "utterance hypothesis"]


def search(
    scorer: TokenScorer, num_utterances: int, choose: Choose, max_steps: int, rules: Rules | None, device: str
) -> Hypotheses:
    """Targets of at most `max_steps` tokens, their ends included, as many an utterance as `choose` keeps, in no order.

    One that has not ended by then has no END among its tokens. O(steps) rounds of tensor operations.
    """
    rows = torch.arange(num_utterances, device=device)
    hyps = _start(num_utterances, device)
    parent, last = torch.zeros_like(hyps.ended, dtype=torch.int64), torch.full_like(hyps.ended, END, dtype=torch.int64)
    done: list[tuple[Tensor, Hypotheses]] = []
    for step in range(max_steps):
        log_probs = _next(scorer, rules, hyps, last, parent, step)
        parent, last, score = choose(step, hyps.score, log_probs)
        last = last.masked_fill(score == float("-inf"), END)  # no hypothesis: nothing that rules could stumble over
        hyps = _children(hyps, parent, last, score)
        if rules is not None:
            rules.advance(parent, last)
        staying = ~hyps.ended.all(dim=1)
        if not staying.any():
            break
        if staying.sum() <= LEAVE_AT * len(staying):
            done.append((rows[~staying], _of(hyps, ~staying)))
            kept = staying.nonzero().squeeze(1)
            rows, hyps, parent, last = rows[kept], _of(hyps, kept), parent[kept], last[kept]
            _keep(scorer, rules, kept)
    return _joined([*done, (rows, hyps)], num_utterances)


def first_ended(
    scorer: TokenScorer, num_utterances: int, width: int, max_steps: int, rules: Rules | None, device: str
) -> Hypotheses:
    """The first `width` targets of each utterance that end in a beam of `width`: the list as fairseq keeps it.

    Of the best 2 `width` continuations those that end are taken out, and listed if they are among the best `width`; the
    best `width` of the others go on. So what ended early is never driven out by what is better, and nothing is found
    that ends after the list is full. Scores are sums; the authors sort the list by means. An utterance of which nothing
    ended in `max_steps` tokens has its beam instead. O(steps) rounds of tensor operations.
    """
    rows, choose = torch.arange(num_utterances, device=device), best_actions(2 * width)
    beam, listed = _start(num_utterances, device), _nothing(num_utterances, width, device)
    parent, last = torch.zeros_like(beam.ended, dtype=torch.int64), torch.full_like(beam.ended, END, dtype=torch.int64)
    done: list[tuple[Tensor, Hypotheses]] = []
    for step in range(max_steps):
        log_probs = _next(scorer, rules, beam, last, parent, step)
        parent, last, score = choose(step, beam.score, log_probs)
        possible = score > float("-inf")
        listed = _with_ends(listed, beam, parent, score, possible & (last == END))
        goes_on = possible & (last != END)
        last, score = last.masked_fill(~goes_on, END), score.masked_fill(~goes_on, float("-inf"))
        first = (~goes_on).long().argsort(dim=1, stable=True)[:, :width]  # best first, as they are
        parent, last, score = (values.gather(1, first) for values in (parent, last, score))
        beam = _children(beam, parent, last, score)
        if rules is not None:
            rules.advance(parent, last)
        staying = ~listed.ended.all(dim=1) & ~beam.ended.all(dim=1)
        if not staying.any():
            break
        if staying.sum() <= LEAVE_AT * len(staying):
            done.append((rows[~staying], _of(_listed_or_beam(listed, beam), ~staying)))
            kept = staying.nonzero().squeeze(1)
            rows, beam, listed, parent, last = rows[kept], _of(beam, kept), _of(listed, kept), parent[kept], last[kept]
            _keep(scorer, rules, kept)
    return _joined([*done, (rows, _listed_or_beam(listed, beam))], num_utterances)


def _with_ends(listed: Hypotheses, beam: Hypotheses, parent: Tensor, score: Tensor, ends: Tensor) -> Hypotheses:
    """The list with those of the first continuations, as many as it has places, that end; they come best first."""
    width = listed.ended.shape[1]
    place = listed.ended.sum(dim=1, keepdim=True) + ends.cumsum(dim=1) - 1
    row, child = (ends & (place < width))[:, :width].nonzero(as_tuple=True)
    tokens = torch.nn.functional.pad(listed.tokens, (0, 1), value=END)
    score_of, ended = listed.score.clone(), listed.ended.clone()
    at = place[row, child]
    tokens[row, at, :-1] = beam.tokens[row, parent[row, child]]
    score_of[row, at], ended[row, at] = score[row, child], True
    return Hypotheses(tokens, score_of, ended)


def _listed_or_beam(listed: Hypotheses, beam: Hypotheses) -> Hypotheses:
    """The list, or of utterances where it is empty the beam."""
    empty = ~listed.ended.any(dim=1, keepdim=True)
    missing = (0, listed.score.shape[1] - beam.score.shape[1])
    tokens = torch.nn.functional.pad(beam.tokens, (0, 0, *missing), value=END)
    score = torch.nn.functional.pad(beam.score, missing, value=float("-inf"))
    ended = torch.nn.functional.pad(beam.ended, missing, value=True)
    return Hypotheses(
        tokens=torch.where(empty[:, :, None], tokens, listed.tokens),
        score=torch.where(empty, score, listed.score),
        ended=torch.where(empty, ended, listed.ended),
    )


def _nothing(num_utterances: int, width: int, device: str) -> Hypotheses:
    return Hypotheses(
        tokens=torch.empty(num_utterances, width, 0, dtype=torch.int64, device=device),
        score=torch.full((num_utterances, width), float("-inf"), device=device),
        ended=torch.zeros((num_utterances, width), dtype=torch.bool, device=device),
    )


def _keep(scorer: TokenScorer, rules: Rules | None, kept: Int64[Tensor, "kept"]) -> None:
    for reader in (scorer, rules):
        if reader is not None:
            reader.keep(kept)


def _start(num_utterances: int, device: str) -> Hypotheses:
    one = (num_utterances, 1)
    return Hypotheses(
        tokens=torch.empty(*one, 0, dtype=torch.int64, device=device),
        score=torch.zeros(one, device=device),
        ended=torch.zeros(one, dtype=torch.bool, device=device),
    )


def _next(
    scorer: TokenScorer, rules: Rules | None, hyps: Hypotheses, last: Tensor, parent: Tensor, step: int
) -> Float[Tensor, "u h action"]:
    """log p of the next tokens; a hypothesis that has ended goes on with ends, for nothing."""
    log_probs = scorer.advance(last, parent)
    if rules is not None:
        log_probs = log_probs.masked_fill(~rules.allowed(step), float("-inf"))
    log_probs = log_probs.masked_fill(hyps.ended[:, :, None], float("-inf"))
    log_probs[:, :, END].masked_fill_(hyps.ended, 0.0)
    return log_probs


def _children(hyps: Hypotheses, parent: Tensor, last: Tensor, score: Tensor) -> Hypotheses:
    steps = parent[:, :, None].expand(-1, -1, hyps.tokens.shape[2])
    return Hypotheses(
        tokens=torch.cat([hyps.tokens.gather(1, steps), last[:, :, None]], dim=2),
        score=score,
        ended=last == END,
    )


def _of(hyps: Hypotheses, rows: Tensor) -> Hypotheses:
    return Hypotheses(hyps.tokens[rows], hyps.score[rows], hyps.ended[rows])


def _joined(parts: list[tuple[Tensor, Hypotheses]], num_utterances: int) -> Hypotheses:
    """All utterances again, in their order."""
    most = max(part.score.shape[1] for _, part in parts)
    steps = max(part.tokens.shape[2] for _, part in parts)
    device = parts[0][0].device
    tokens = torch.full((num_utterances, most, steps), END, device=device)
    score = torch.full((num_utterances, most), float("-inf"), device=device)
    ended = torch.ones((num_utterances, most), dtype=torch.bool, device=device)
    for rows, part in parts:
        count = part.score.shape[1]
        tokens[rows, :count, : part.tokens.shape[2]] = part.tokens
        score[rows, :count], ended[rows, :count] = part.score, part.ended
    return Hypotheses(tokens, score, ended)
