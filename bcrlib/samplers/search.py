"""Drawing actions from a distribution that is cut off or flattened: top-k, nucleus, temperature.

The same for every sequential parser: it only needs log-probabilities, one row a draw.

Decoding of a parser that builds a tree action by action: beam search and sampling, all sentences at once.

One loop over time steps; within a step everything is a tensor operation over sentences x hypotheses. How the next
actions are chosen is the only difference between greedy decoding, beam search and sampling.
"""

from collections.abc import Callable
from typing import Protocol

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from bcrlib.samplers.strategies import Nucleus, TopK
from bcrlib.samplers.transitions import Hypotheses, Rules, allowed, extend, start, with_relations


def kept_probs(log_probs: Float[Tensor, "*row action"], strategy: TopK | Nucleus) -> Float[Tensor, "*row action"]:
    """The distribution a strategy draws from: tempered, cut off, and normalised again. O(row action log action).

    Of `log_probs`, -inf forbids an action. Top-k keeps the k most probable actions; the nucleus the fewest that have
    probability p together (the smallest set with mass >= p, as in Holtzman et al. 2020). The cut looks at the tempered
    probabilities.
    """
    probs = (log_probs / strategy.temperature).softmax(dim=-1)
    ordered, order = probs.sort(dim=-1, descending=True, stable=True)
    if isinstance(strategy, TopK):
        keep = torch.arange(probs.shape[-1], device=probs.device) < strategy.k
    else:
        keep = ordered.cumsum(dim=-1) - ordered < strategy.p  # the mass before an action does not suffice yet
    kept = torch.zeros_like(probs).scatter(-1, order, ordered * keep)
    return kept / kept.sum(dim=-1, keepdim=True)


def draw(probs: Float[Tensor, "*row action"], uniform: Float[Tensor, "*row"]) -> Int64[Tensor, "*row"]:
    """One action a row, by inverting the distribution function at numbers uniform on [0, 1). O(row action)."""
    below = probs.cumsum(dim=-1, dtype=torch.float64)
    action = (below <= uniform[..., None] * below[..., -1:]).sum(dim=-1)
    # Rounding at the very end must not lead to an action without probability.
    last = probs.shape[-1] - 1 - (probs > 0).flip(-1).to(torch.int8).argmax(dim=-1)
    return torch.minimum(action, last)


Choice = tuple[Tensor, Tensor, Tensor]
"""Of each child hypothesis of each sentence: its parent, the action, the log-probability so far: [sentence, child]."""
Choose = Callable[[int, Tensor, Tensor], Choice]
"""From the step, the scores [sentence, hypothesis], and log p of the actions [sentence, hypothesis, action], -inf where
not allowed."""


class StepScorer(Protocol):
    """A network, or an ensemble of them, that reads hypotheses step by step."""

    def advance(self, hyps: Hypotheses, parent: Int64[Tensor, "sentence hypothesis"]) -> Float[Tensor, "s h position"]:
        """log p of pointing to every position. `parent`: the hypothesis of the step before that each one continues."""

    def label(
        self,
        parent: Int64[Tensor, "sentence child"],
        word: Int64[Tensor, "sentence child"],
        is_pop: Bool[Tensor, "s c"],
    ) -> tuple[Float[Tensor, "s child"], Int64[Tensor, "s child"]]:
        """log p and number of the best relation of each step just chosen; 0 where a pop has none."""


def search(scorer: StepScorer, lengths: Int64[Tensor, "sentence"], choose: Choose, rules: Rules) -> Hypotheses:
    """Complete derivations, as many a sentence as `choose` keeps, in no particular order; score -inf: none.

    `lengths` count the root and decrease. O(steps) rounds of tensor operations.
    """
    hyps, ended = start(lengths), []
    parent = torch.zeros_like(hyps.top)
    num_steps = 2 * lengths - 1
    counts = (num_steps[:, None] > torch.arange(int(num_steps[0]), device=lengths.device)).sum(dim=0).tolist()
    for step, count in enumerate(counts):
        if count < len(hyps.top):
            ended.append(Hypotheses(*(getattr(hyps, name)[count:] for name in hyps.__dataclass_fields__)))
            hyps, parent = hyps.of(count), parent[:count]
        pointers = scorer.advance(hyps, parent)
        scores = pointers.masked_fill(~allowed(hyps, rules), float("-inf"))
        parent, word, score = choose(step, hyps.score, scores)
        tops = hyps.top.gather(1, parent)
        word = torch.where(score > float("-inf"), word, tops)  # one that is none must not point outside its sentence
        is_pop = word == tops
        label_score, relation = scorer.label(parent, word, is_pop)
        children = extend(hyps, parent, word, score + label_score)
        relation = torch.where(is_pop, children.relations.gather(2, word[:, :, None]).squeeze(2), relation)
        hyps = with_relations(children, word, relation)
    return _joined([hyps, *reversed(ended)])


def _joined(parts: list[Hypotheses]) -> Hypotheses:
    """All sentences again; those that ended with fewer hypotheses get -inf ones."""
    most = max(part.top.shape[1] for part in parts)

    def filled(values: Tensor, name: str) -> Tensor:
        missing = most - values.shape[1]
        filler = values[:, :1].expand(-1, missing, *values.shape[2:])
        return torch.cat([values, torch.full_like(filler, float("-inf")) if name == "score" else filler], dim=1)

    names = Hypotheses.__dataclass_fields__
    return Hypotheses(*(torch.cat([filled(getattr(part, name), name) for part in parts]) for name in names))


def best_actions(width: int) -> Choose:
    """Beam search: of all continuations of a sentence the `width` most probable; 1 is greedy decoding.

    As in the authors' code the cut is made by the pointer's log-probability, the label's is added behind it.
    """

    def choose(step: int, scores: Tensor, log_probs: Tensor) -> Choice:
        size = log_probs.shape[2]
        flat = (scores[:, :, None] + log_probs).flatten(1)
        best, index = flat.topk(min(width, flat.shape[1]), dim=1)
        return index // size, index % size, best

    return choose


def sampled_actions(
    strategy: TopK | Nucleus, uniform: Callable[[int, int], Float[Tensor, "sentence sample"]]
) -> Choose:
    """Sampling: every hypothesis is a sample and draws its own next action.

    `uniform(step, count)` gives numbers uniform on [0, 1) for the first `count` sentences, [sentence, sample]. Scores
    stay those of the model: the cut and the temperature steer the choice only.
    """

    def choose(step: int, scores: Tensor, log_probs: Tensor) -> Choice:
        samples = uniform(step, len(scores))
        parent = torch.arange(samples.shape[1], device=samples.device).clamp(max=scores.shape[1] - 1)
        parent = parent.expand(len(scores), -1)
        of_parent = log_probs.gather(1, parent[:, :, None].expand(-1, -1, log_probs.shape[2]))
        word = draw(kept_probs(of_parent, strategy), samples)
        score = scores.gather(1, parent) + of_parent.gather(2, word[:, :, None]).squeeze(2)
        return parent, word, score

    return choose
