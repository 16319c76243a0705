"""What the fast searches are tried on: every tree of a short sentence, one by one, with which they must agree.

Beside it two stand-ins for parsers. Score tables like a trained graph-based parser's, for sentences of any length. And
a sequential parser whose numbers stand in a table, to watch decoding, and to test it, without a network: the weight of
a step depends on the top of the stack, its last child and its head, which is what the decoder of the
stack-pointer parser reads at a step (paper, section 6.1); the network also remembers the steps before. As a trained
network would, it points to words not yet attached, or to the top itself to finish it.
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import product

import numpy as np
import torch
from jaxtyping import Float, Float32, Int64, Integer
from torch import Tensor

from bcrlib.samplers.derivations import Derivations
from bcrlib.samplers.rules import PartialTrees, Rules, StepScorer, TreeBuilder, allowed, extend, start
from bcrlib.samplers.search import Choose, kept_probs, search
from bcrlib.samplers.strategies import Drawn


def is_tree(heads: tuple[int, ...], single_root: bool = True) -> bool:
    """Whether `heads` (of the words 1..n, 0 = root) form a tree: from every word one gets to the root.

    `single_root`: exactly one word may hang on the root. Cost O(n^2).
    """
    if single_root and heads.count(0) != 1:
        return False
    above = set(range(1, len(heads) + 1))
    for _ in heads:
        above = {heads[word - 1] for word in above if word > 0}
    return above <= {0}


def all_trees(length: int, single_root: bool = True) -> Iterator[tuple[int, ...]]:
    """Heads of all trees over `length` words: n^(n-1) single-root trees, (n+1)^(n-1) without the constraint.

    Cost O((n+1)^n n^2): meant for n <= 5.
    """
    for heads in product(range(length + 1), repeat=length):
        if is_tree(heads, single_root):
            yield heads


def all_scored_trees(
    arc_scores: Float[np.ndarray, "dep head"], single_root: bool = True
) -> list[tuple[float, tuple[int, ...]]]:
    """(score, heads) of all trees with a finite score, best first; equal scores in order of their heads.

    `arc_scores[dep, head]` is the score of one arc (row 0 is ignored, -inf forbids an arc); the score of a
    tree is the sum over its arcs, here the arc log-probabilities of paper, section 5. Cost O((n+1)^n n^2).
    """
    scored = []
    for heads in all_trees(len(arc_scores) - 1, single_root):
        score = sum(float(arc_scores[dep, head]) for dep, head in enumerate(heads, start=1))
        if score > -np.inf:
            scored.append((score, heads))
    return sorted(scored, key=lambda scored_tree: (-scored_tree[0], scored_tree[1]))


def all_scored_labelled_trees(
    arc_scores: Float[np.ndarray, "dep head"],
    label_scores: Float[np.ndarray, "dep label head"],
    single_root: bool = True,
) -> list[tuple[float, tuple[int, ...], tuple[int, ...]]]:
    """(score, heads, relations) of all labelled trees with a finite score, best first; ties as they sort.

    The score of a labelled tree is the sum over its words of the scores of the arc and of its relation, each -inf where
    it is forbidden. Cost O((n+1)^n labels^n n): meant for n <= 4 and few labels.
    """
    num_labels = label_scores.shape[1]
    scored = []
    for score, heads in all_scored_trees(arc_scores, single_root):
        for labels in product(range(num_labels), repeat=len(heads)):
            of_labels = (
                label_scores[dep, label, head] for dep, (label, head) in enumerate(zip(labels, heads), start=1)
            )
            total = score + sum(map(float, of_labels))
            if total > -np.inf:
                scored.append((total, heads, labels))
    return sorted(scored, key=lambda scored_tree: (-scored_tree[0], *scored_tree[1:]))


def simulated_arc_scores(
    lengths: Integer[np.ndarray, "batch"], seed: int, mean_margin: float = 24.0
) -> Float32[np.ndarray, "batch dep head"]:
    """Arc log-probabilities (a log-softmax over heads) like a trained parser's, padding -inf.

    Each word's logits are noise (standard deviation 2); its head in a random single-root tree has a margin
    more, drawn for each word from a gamma distribution of shape 3: most words are sure, a few are not. At the
    default margin one greedy choice in twenty is no single-root tree.
    """
    rng = np.random.default_rng(seed)
    size = int(lengths.max()) + 1
    scores = np.full((len(lengths), size, size), -np.inf, dtype=np.float32)
    for b, length in enumerate(lengths):
        logits = rng.normal(scale=2.0, size=(length + 1, length + 1))
        words = np.arange(1, length + 1)
        logits[words, _random_heads(int(length), rng)] += rng.gamma(3.0, mean_margin / 3.0, size=length)
        logits[words, words] = -np.inf
        logits -= np.logaddexp.reduce(logits, axis=1, keepdims=True)
        scores[b, : length + 1, : length + 1] = logits
    return scores


def _random_heads(length: int, rng: np.random.Generator) -> np.ndarray:
    """Heads of a random single-root tree: in random order, each word picks a near one of those before it."""
    order = rng.permutation(length) + 1
    heads = np.zeros(length, dtype=np.int64)
    for i in range(1, length):
        nearness = np.exp(-np.abs(order[:i] - order[i]) / 2.0)
        heads[order[i] - 1] = order[np.searchsorted(np.cumsum(nearness), rng.random() * nearness.sum())]
    return heads


class TableScorer:
    """Positive weights, shared among the words not yet attached and the top (`bcrlib.samplers.rules.StepScorer`).

    There are no relations: their log-probability is 0. O(hypotheses * length) a step.
    """

    def __init__(self, weights: Float[np.ndarray, "sentence grandparent top sibling position"]) -> None:
        self.weights = torch.from_numpy(np.asarray(weights, dtype=np.float64))

    def advance(self, hyps: PartialTrees, parent: Int64[Tensor, "s h"]) -> Float[Tensor, "s h position"]:
        sentence = torch.arange(len(hyps.top))[:, None]
        weights = self.weights[sentence, hyps.grandparent, hyps.top, hyps.sibling]
        position = torch.arange(weights.shape[2])
        weights = weights * ((hyps.heads < 0) | (position == hyps.top[:, :, None]))
        return (weights / weights.sum(dim=2, keepdim=True)).log()

    def label(
        self, parent: Int64[Tensor, "s child"], word: Int64[Tensor, "s child"], top: Int64[Tensor, "s child"]
    ) -> tuple[Float[Tensor, "s child"], Int64[Tensor, "s child"]]:
        return torch.zeros(word.shape, dtype=torch.float64), torch.zeros_like(word)


class SampledScorer:
    """What a strategy draws from, as a scorer: tempered, cut off, and shared among what the rules allow.

    So its log-probability of a tree is the exact one of drawing it, for trees with one derivation.
    """

    def __init__(self, scorer: StepScorer, strategy: Drawn, rules: Rules) -> None:
        self.scorer, self.strategy, self.rules = scorer, strategy, rules

    def advance(self, hyps: PartialTrees, parent: Int64[Tensor, "s h"]) -> Float[Tensor, "s h position"]:
        log_probs = self.scorer.advance(hyps, parent).masked_fill(~allowed(hyps, self.rules), float("-inf"))
        return kept_probs(log_probs, self.strategy).log()

    def label(
        self, parent: Int64[Tensor, "s child"], word: Int64[Tensor, "s child"], top: Int64[Tensor, "s child"]
    ) -> tuple[Float[Tensor, "s child"], Int64[Tensor, "s child"]]:
        return self.scorer.label(parent, word, top)


def decode(
    scorer: StepScorer, lengths: Int64[np.ndarray, "sentence"], choose: Choose, rules: Rules
) -> tuple[Int64[np.ndarray, "sentence tree position"], Float[np.ndarray, "sentence tree"]]:
    """Heads and log-probabilities of what `choose` ends with: a beam's best first, samples as drawn; -inf: no tree.

    `lengths` count the root and decrease. Nothing is left out: several derivations of a tree are listed each. O(steps)
    rounds of tensor operations.
    """
    hyps = search(TreeBuilder(scorer, torch.from_numpy(lengths), rules), choose)
    return hyps.heads.numpy(), hyps.score.numpy()


def next_steps(words: Sequence[int], length: int, rules: Rules) -> list[int]:
    """Where the step after `words` may point to; empty in a dead end. O(steps * length).

    `words` are taken as they are, even against the rules: to see where that leads. `length` counts the root.
    """
    hyps = start(torch.tensor([length]))
    for word in words:
        hyps = extend(hyps, torch.zeros(1, 1, dtype=torch.int64), torch.tensor([[word]]), hyps.score)
    return allowed(hyps, rules)[0, 0].nonzero()[:, 0].tolist()


def seeded_uniform(seed: int, num_samples: int) -> Callable[[int, Tensor], Float[Tensor, "sentence sample"]]:
    """The random numbers that `sampled_actions` asks for: of a step, for the first sentences."""

    def uniform(step: int, rows: Tensor) -> Float[Tensor, "sentence sample"]:
        return torch.from_numpy(np.random.default_rng([seed, step]).random((len(rows), num_samples)))

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
