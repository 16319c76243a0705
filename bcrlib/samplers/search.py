"""One search for all that is made step by step: greedy, beam, top-k and nucleus, of trees and of frames.

One loop over steps; within a step everything is a tensor operation over sentences x hypotheses. What may come next,
and what it leads to, is a builder's business (rules.py); how the next actions are chosen is the only difference
between greedy decoding, beam search and sampling.
"""

from collections.abc import Callable
from dataclasses import fields
from typing import Any, Protocol

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from bcrlib.samplers.strategies import Drawn

Hypotheses = Any
"""A dataclass of tensors [sentence, hypothesis, ...]; its `score` is log p so far, -inf of one that is none."""
Index = Any
"""What picks sentences: a slice, or their numbers."""
Choice = tuple[Tensor, Tensor, Tensor]
"""Of each child hypothesis of each sentence: its parent, the action, the log-probability so far: [sentence, child]."""
Choose = Callable[[int, Tensor, Tensor, Tensor], Choice]
"""From the step, the numbers of the sentences that are left, the scores [sentence, hypothesis], and log p of the
actions [sentence, hypothesis, action], -inf where not allowed."""


class Builder(Protocol):
    """The hypotheses of a batch of sentences, a scorer that reads them, and the rules by which they grow."""

    hyps: Hypotheses
    max_steps: int

    def log_probs(self, step: int) -> Float[Tensor, "sentence hypothesis action"]:
        """Of what may come next; -inf of what may not."""

    def take(self, parent: Tensor, action: Tensor, score: Tensor) -> None:
        """Go on to the children [sentence, child]: an action behind a hypothesis each, and log p so far."""

    def leaving(self, step: int) -> tuple[Index, Index] | None:
        """Which sentences are done and which go on; None while it is not worth while to part them."""

    def keep(self, index: Index) -> None:
        """Go on with these sentences only."""

    def found(self) -> Hypotheses:
        """What the search has come to."""


def search(builder: Builder, choose: Choose) -> Hypotheses:
    """Complete hypotheses, as many a sentence as `choose` keeps, in no particular order; score -inf: none.

    O(steps) rounds of tensor operations.
    """
    rows = torch.arange(len(builder.hyps.score), device=builder.hyps.score.device)
    num_sentences, done = len(rows), []
    for step in range(builder.max_steps):
        builder.take(*choose(step, rows, builder.hyps.score, builder.log_probs(step)))
        if (parted := builder.leaving(step)) is not None:
            gone, staying = parted
            done.append((rows[gone], at(builder.found(), gone)))
            rows = rows[staying]
            if not len(rows):
                break
            builder.keep(staying)
    if len(rows):
        done.append((rows, builder.found()))
    return _joined(done, num_sentences)


def at(hyps: Hypotheses, index: Index) -> Hypotheses:
    """Those of some sentences."""
    return type(hyps)(*(getattr(hyps, field.name)[index] for field in fields(hyps)))


def taken(values: Tensor, index: Int64[Tensor, "sentence n"]) -> Tensor:
    """Of values [sentence, hypothesis, ...] those of the hypotheses at index."""
    if values.dim() > 2:
        index = index[:, :, None].expand(-1, -1, values.shape[2])
    return values.gather(1, index)


def best(hyps: Hypotheses, number: int) -> Hypotheses:
    """The best `number` of each sentence, best first; where there are fewer, the best one again."""
    order = hyps.score.argsort(dim=1, descending=True, stable=True)
    place = torch.arange(number, device=order.device)
    known = (hyps.score > float("-inf")).sum(dim=1)[:, None]
    index = order.gather(1, torch.where(place < known, place, 0))
    return type(hyps)(*(taken(getattr(hyps, field.name), index) for field in fields(hyps)))


def _joined(parts: list[tuple[Tensor, Hypotheses]], num_sentences: int) -> Hypotheses:
    """All sentences again, in their order, filled up with zeros; hypotheses that were missing have score -inf."""

    def whole(name: str) -> Tensor:
        values = [(rows, getattr(part, name)) for rows, part in parts]
        shape = [max(of_part.shape[axis] for _, of_part in values) for axis in range(1, values[0][1].dim())]
        filled = values[0][1].new_full((num_sentences, *shape), float("-inf") if name == "score" else 0)
        for rows, of_part in values:
            filled[(rows, *(slice(size) for size in of_part.shape[1:]))] = of_part
        return filled

    first = parts[0][1]
    return type(first)(*(whole(field.name) for field in fields(first)))


def best_actions(width: int) -> Choose:
    """Beam search: of all continuations of a sentence the `width` most probable; 1 is greedy decoding.

    As in the authors' code the cut is made by the pointer's log-probability, a label's is added behind it.
    """

    def choose(step: int, rows: Tensor, scores: Tensor, log_probs: Tensor) -> Choice:
        size = log_probs.shape[2]
        flat = (scores[:, :, None] + log_probs).flatten(1)
        score, index = flat.topk(min(width, flat.shape[1]), dim=1)
        return index // size, index % size, score

    return choose


def sampled_actions(strategy: Drawn, uniform: Callable[[int, Tensor], Float[Tensor, "sentence sample"]]) -> Choose:
    """Sampling: every hypothesis is a sample and draws its own next action.

    `uniform(step, rows)` gives numbers uniform on [0, 1) for these sentences, [sentence, sample]. Scores stay those of
    the model: the cut and the temperature steer the choice only.
    """

    def choose(step: int, rows: Tensor, scores: Tensor, log_probs: Tensor) -> Choice:
        samples = uniform(step, rows)
        parent = torch.arange(samples.shape[1], device=samples.device).clamp(max=scores.shape[1] - 1)
        parent = parent.expand(len(scores), -1)
        of_parent = taken(log_probs, parent)
        action = draw(kept_probs(of_parent, strategy), samples)
        score = scores.gather(1, parent) + of_parent.gather(2, action[:, :, None]).squeeze(2)
        return parent, action, score

    return choose


def kept_probs(log_probs: Float[Tensor, "*row action"], strategy: Drawn) -> Float[Tensor, "*row action"]:
    """The distribution a strategy draws from: tempered, cut off, and normalised again. O(row action log action).

    Of `log_probs`, -inf forbids an action. The cut looks at the tempered probabilities.
    """
    probs = (log_probs / strategy.temperature).softmax(dim=-1)
    order = strategy.order(probs)
    ordered = probs.gather(-1, order)
    kept = torch.zeros_like(probs).scatter(-1, order, ordered * strategy.keeps(ordered))
    return kept / kept.sum(dim=-1, keepdim=True)


def draw(probs: Float[Tensor, "*row action"], uniform: Float[Tensor, "*row"]) -> Int64[Tensor, "*row"]:
    """One action a row, by inverting the distribution function at numbers uniform on [0, 1). O(row action)."""
    below = probs.cumsum(dim=-1, dtype=torch.float64)
    action = (below <= uniform[..., None] * below[..., -1:]).sum(dim=-1)
    # Rounding at the very end must not lead to an action without probability.
    last = probs.shape[-1] - 1 - (probs > 0).flip(-1).to(torch.int8).argmax(dim=-1)
    return torch.minimum(action, last)
