"""A sequential parser whose numbers stand in a table: to watch decoding, and to test it, without a network.

The weight of a step depends on the top of the stack, its last child and its head, which is what the decoder of the
stack-pointer parser reads at a step (paper, section 6.1); the network also remembers the steps before. As a trained
network would, it points to words not yet attached, or to the top itself to finish it.
"""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from bcrlib.decoding.derivations import Derivations
from bcrlib.decoding.sampling import kept_probs
from bcrlib.decoding.sequential import Choose, StepScorer, search
from bcrlib.decoding.stack_transitions import Hypotheses, Rules, allowed, extend, start
from bcrlib.decoding.strategies import Nucleus, TopK


class TableScorer:
    """Positive weights, shared among the words not yet attached and the top (`bcrlib.decoding.sequential.StepScorer`).

    There are no relations: their log-probability is 0. O(hypotheses * length) a step.
    """

    def __init__(self, weights: Float[np.ndarray, "sentence grandparent top sibling position"]) -> None:
        self.weights = torch.from_numpy(np.asarray(weights, dtype=np.float64))

    def advance(self, hyps: Hypotheses, parent: Int64[Tensor, "s h"]) -> Float[Tensor, "s h position"]:
        sentence = torch.arange(len(hyps.top))[:, None]
        weights = self.weights[sentence, hyps.grandparent, hyps.top, hyps.sibling]
        position = torch.arange(weights.shape[2])
        weights = weights * ((hyps.heads < 0) | (position == hyps.top[:, :, None]))
        return (weights / weights.sum(dim=2, keepdim=True)).log()

    def label(
        self, parent: Int64[Tensor, "s child"], word: Int64[Tensor, "s child"], is_pop: Bool[Tensor, "s child"]
    ) -> tuple[Float[Tensor, "s child"], Int64[Tensor, "s child"]]:
        return torch.zeros(word.shape, dtype=torch.float64), torch.zeros_like(word)


class SampledScorer:
    """What a strategy draws from, as a scorer: tempered, cut off, and shared among what the rules allow.

    So its log-probability of a tree is the exact one of drawing it, for trees with one derivation.
    """

    def __init__(self, scorer: StepScorer, strategy: TopK | Nucleus, rules: Rules) -> None:
        self.scorer, self.strategy, self.rules = scorer, strategy, rules

    def advance(self, hyps: Hypotheses, parent: Int64[Tensor, "s h"]) -> Float[Tensor, "s h position"]:
        log_probs = self.scorer.advance(hyps, parent).masked_fill(~allowed(hyps, self.rules), float("-inf"))
        return kept_probs(log_probs, self.strategy).log()

    def label(
        self, parent: Int64[Tensor, "s child"], word: Int64[Tensor, "s child"], is_pop: Bool[Tensor, "s child"]
    ) -> tuple[Float[Tensor, "s child"], Int64[Tensor, "s child"]]:
        return self.scorer.label(parent, word, is_pop)


def decode(
    scorer: StepScorer, lengths: Int64[np.ndarray, "sentence"], choose: Choose, rules: Rules
) -> tuple[Int64[np.ndarray, "sentence tree position"], Float[np.ndarray, "sentence tree"]]:
    """Heads and log-probabilities of what `choose` ends with: a beam's best first, samples as drawn; -inf: no tree.

    `lengths` count the root and decrease. Nothing is left out: several derivations of a tree are listed each. O(steps)
    rounds of tensor operations.
    """
    hyps = search(scorer, torch.from_numpy(lengths), choose, rules)
    return hyps.heads.numpy(), hyps.score.numpy()


def next_steps(words: Sequence[int], length: int, rules: Rules) -> list[int]:
    """Where the step after `words` may point to; empty in a dead end. O(steps * length).

    `words` are taken as they are, even against the rules: to see where that leads. `length` counts the root.
    """
    hyps = start(torch.tensor([length]))
    for word in words:
        hyps = extend(hyps, torch.zeros(1, 1, dtype=torch.int64), torch.tensor([[word]]), hyps.score)
    return allowed(hyps, rules)[0, 0].nonzero()[:, 0].tolist()


def seeded_uniform(seed: int, num_samples: int) -> Callable[[int, int], Float[Tensor, "sentence sample"]]:
    """The random numbers that `sampled_actions` asks for: of a step, for the first sentences."""

    def uniform(step: int, count: int) -> Float[Tensor, "sentence sample"]:
        return torch.from_numpy(np.random.default_rng([seed, step]).random((count, num_samples)))

    return uniform


def step_log_probs(
    weights: Float[np.ndarray, "grandparent top sibling position"], steps: Derivations
) -> Float[np.ndarray, "tree step"]:
    """log p of the steps of trees over all positions of a table; their sum is a tree's. O(trees * steps * length)."""
    tree = np.arange(len(steps.word))
    attached = np.zeros((len(tree), weights.shape[-1]), dtype=bool)
    attached[:, 0] = True
    log_probs = np.zeros(steps.word.shape)
    for step, (word, top) in enumerate(zip(steps.word.T, steps.top.T)):
        row = weights[steps.grandparent[:, step], top, steps.sibling[:, step]]
        choices = ~attached
        choices[tree, top] = True
        log_probs[:, step] = np.log(row[tree, word] / (row * choices).sum(axis=1))
        attached[tree, word] = True
    return log_probs
