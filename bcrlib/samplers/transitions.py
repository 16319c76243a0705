"""Partial derivations of many sentences as tensors: what may come next, and what it leads to (see derivations.py).

The heads found so far say all about the stack: below the top stand its head, the head of that, and so on to the root.
"""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor


@dataclass(frozen=True)
class Rules:
    """What decoding allows beyond what makes a tree."""

    any_order: bool
    """Children in any order instead of from the inside out."""
    single_root: bool
    """One child of the root."""


@dataclass(frozen=True, eq=False)
class Hypotheses:
    """Partial derivations: [sentence, hypothesis], and [..., position] of each."""

    score: Float[Tensor, "sentence hypothesis"]
    """log-probability so far; -inf for one that is none."""
    top: Int64[Tensor, "sentence hypothesis"]
    heads: Int64[Tensor, "sentence hypothesis position"]
    """-1 for an unattached word; 0 behind the end."""
    relations: Int64[Tensor, "sentence hypothesis position"]
    last_child: Int64[Tensor, "sentence hypothesis position"]
    """The child each position was given last, 0 if none yet."""
    on_stack: Bool[Tensor, "sentence hypothesis position"]

    def of(self, count: int) -> "Hypotheses":
        """Those of the first `count` sentences."""
        return Hypotheses(*(getattr(self, name)[:count] for name in self.__dataclass_fields__))

    @property
    def sibling(self) -> Int64[Tensor, "sentence hypothesis"]:
        """The last child of the top."""
        return _at(self.last_child, self.top)

    @property
    def grandparent(self) -> Int64[Tensor, "sentence hypothesis"]:
        """The head of the top; the root's is the root."""
        return _at(self.heads, self.top)


def start(lengths: Int64[Tensor, "sentence"]) -> Hypotheses:
    """One hypothesis a sentence, the root on the stack. `lengths` count the root."""
    size = (len(lengths), 1, int(lengths.max()))
    position = torch.arange(size[2], device=lengths.device)
    is_word = (position > 0) & (position < lengths[:, None, None])
    zeros = torch.zeros(size, dtype=torch.int64, device=lengths.device)
    return Hypotheses(
        score=torch.zeros(size[:2], device=lengths.device),
        top=zeros[:, :, 0],
        heads=zeros.masked_fill(is_word, -1),
        relations=zeros,
        last_child=zeros,
        on_stack=(position == 0).expand(size),
    )


def allowed(hyps: Hypotheses, rules: Rules) -> Bool[Tensor, "sentence hypothesis position"]:
    """Where the next step may point to such that a tree can still come about. O(hypotheses * length).

    A word just attached can take all the others, so attaching never leads into a dead end. The top can be finished if
    no word is left, or if something below it on the stack may still take one of those left.
    """
    unattached = hyps.heads < 0
    position = torch.arange(unattached.shape[2], device=unattached.device)
    top, sibling = hyps.top[:, :, None], hyps.sibling[:, :, None]
    may_attach = unattached if rules.any_order else unattached & _outside(position, top, sibling)
    if rules.single_root:
        may_attach = may_attach & ~((top == 0) & (sibling > 0))
    can_finish = ~unattached.any(dim=2) | (_may_take(hyps, unattached, position, rules) & (position != top)).any(dim=2)
    return may_attach.scatter(2, top, can_finish[:, :, None])


def _outside(word: Tensor, head: Tensor, last: Tensor) -> Tensor:
    """Whether a word may follow the child `last` of `head`, from the inside out."""
    further_left, right = (word < last) | (word > head), word > last
    return (last == 0) | torch.where(last < head, further_left, right)


def _may_take(hyps: Hypotheses, unattached: Tensor, position: Tensor, rules: Rules) -> Tensor:
    """Which positions on the stack may take some word that is left, [sentence, hypothesis, position]."""
    last, size = hyps.last_child, len(position)
    takes = hyps.on_stack
    if not rules.any_order:
        first_left = position.where(unattached, size).amin(dim=2, keepdim=True)
        last_left = position.where(unattached, -1).amax(dim=2, keepdim=True)
        further_left, right = (first_left < last) | (last_left > position), last_left > last
        takes = takes & ((last == 0) | torch.where(last < position, further_left, right))
    if rules.single_root:
        takes = takes & ~((position == 0) & (last > 0))
    return takes


def extend(
    hyps: Hypotheses,
    parent: Int64[Tensor, "sentence child"],
    word: Int64[Tensor, "sentence child"],
    score: Float[Tensor, "sentence child"],
) -> Hypotheses:
    """The hypotheses after a step: child c of a sentence continues hypothesis parent[c] by pointing to word[c]."""
    top = hyps.top.gather(1, parent)
    of_position = parent[:, :, None].expand(-1, -1, hyps.heads.shape[2])
    heads, relations, last_child, on_stack = (
        values.gather(1, of_position) for values in (hyps.heads, hyps.relations, hyps.last_child, hyps.on_stack)
    )
    is_pop = word == top
    below = _at(heads, top)
    _put(heads, word, torch.where(is_pop, below, top))
    _put(last_child, top, torch.where(is_pop, _at(last_child, top), word))
    _put(on_stack, word, ~is_pop)
    return Hypotheses(score, torch.where(is_pop, below, word), heads, relations, last_child, on_stack)


def with_relations(
    hyps: Hypotheses, word: Int64[Tensor, "sentence hypothesis"], relation: Int64[Tensor, "sentence hypothesis"]
) -> Hypotheses:
    """The hypotheses with a relation set at one word each."""
    return replace(hyps, relations=hyps.relations.scatter(2, word[:, :, None], relation[:, :, None]))


def _at(values: Tensor, index: Tensor) -> Tensor:
    return values.gather(2, index[:, :, None]).squeeze(2)


def _put(values: Tensor, index: Tensor, value: Tensor) -> None:
    values.scatter_(2, index[:, :, None], value[:, :, None])
