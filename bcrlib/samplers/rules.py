"""What may come next, and what it leads to: the stack of trees, and the brackets of frames.

**Trees** grow by the steps of derivations.py. The heads found so far say all about the stack: below the top stand its
head, the head of that, and so on to the root. All hypotheses of a sentence end with the same step, so the longest
sentences come first and the others leave from behind.

**Frames** are written token by token, and end when they like; utterances whose hypotheses have all ended leave the
batch. Their rules: a bracket closes the one that was opened last, and only around something; words come from left to
right, their pieces together; the frame ends after its last word. A target always finishes in time: whoever opens a
bracket must have steps left to close it.
"""

from dataclasses import dataclass
from typing import Protocol

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor
from torch.nn.functional import pad

from bcrlib.samplers.search import Index, at, taken

END = 0
"""The token that ends a target, and starts it (as in the authors' decoder)."""
LEAVE_AT = 0.8  # gathering the utterances that stay costs about as much as a fifth of a step
MAX_DEPTH = 16


@dataclass(frozen=True)
class Rules:
    """What decoding allows beyond what makes a tree."""

    any_order: bool
    """Children in any order instead of from the inside out."""
    single_root: bool
    """One child of the root."""


@dataclass(frozen=True, eq=False)
class PartialTrees:
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

    @property
    def sibling(self) -> Int64[Tensor, "sentence hypothesis"]:
        """The last child of the top."""
        return _at(self.last_child, self.top)

    @property
    def grandparent(self) -> Int64[Tensor, "sentence hypothesis"]:
        """The head of the top; the root's is the root."""
        return _at(self.heads, self.top)


class StepScorer(Protocol):
    """A network, or an ensemble of them, that reads partial trees step by step."""

    def advance(self, hyps: PartialTrees, parent: Int64[Tensor, "s h"]) -> Float[Tensor, "s h position"]:
        """log p of pointing to every position. `parent`: the hypothesis of the step before that each one continues."""

    def label(
        self, parent: Int64[Tensor, "s child"], word: Int64[Tensor, "s child"], top: Int64[Tensor, "s child"]
    ) -> tuple[Float[Tensor, "s child"], Int64[Tensor, "s child"]]:
        """log p and number of the best relation of each step just chosen, from the top; 0 where a pop has none."""


class TreeBuilder:
    """Trees of sentences whose `lengths` count the root and decrease (`bcrlib.samplers.search.Builder`)."""

    def __init__(self, scorer: StepScorer, lengths: Int64[Tensor, "sentence"], rules: Rules) -> None:
        self.scorer, self.rules, self.hyps = scorer, rules, start(lengths)
        self.parent = torch.zeros_like(self.hyps.top)
        num_steps = 2 * lengths - 1
        self.max_steps = int(num_steps[0])
        steps = torch.arange(1, self.max_steps + 1, device=lengths.device)
        self.num_left = (num_steps[:, None] > steps).sum(dim=0).tolist()  # behind each step

    def log_probs(self, step: int) -> Float[Tensor, "sentence hypothesis position"]:
        """Of pointing to every position."""
        pointers = self.scorer.advance(self.hyps, self.parent)
        return pointers.masked_fill(~allowed(self.hyps, self.rules), float("-inf"))

    def take(self, parent: Tensor, word: Tensor, score: Tensor) -> None:
        """Point to words, which get their best relations."""
        tops = self.hyps.top.gather(1, parent)
        word = torch.where(score > float("-inf"), word, tops)  # one that is none must not point outside its sentence
        label_score, relation = self.scorer.label(parent, word, tops)
        self.hyps, self.parent = extend(self.hyps, parent, word, score + label_score, relation), parent

    def leaving(self, step: int) -> tuple[slice, slice] | None:
        """The shorter sentences, as soon as they have all their steps."""
        left = self.num_left[step]
        return None if left == len(self.parent) else (slice(left, None), slice(left))

    def keep(self, index: Index) -> None:
        """Go on with these sentences only: scorers see that they are fewer."""
        self.hyps, self.parent = at(self.hyps, index), self.parent[index]

    def found(self) -> PartialTrees:
        """Whole trees, behind the last step."""
        return self.hyps


def start(lengths: Int64[Tensor, "sentence"]) -> PartialTrees:
    """One hypothesis a sentence, the root on the stack. `lengths` count the root."""
    size = (len(lengths), 1, int(lengths.max()))
    position = torch.arange(size[2], device=lengths.device)
    is_word = (position > 0) & (position < lengths[:, None, None])
    zeros = torch.zeros(size, dtype=torch.int64, device=lengths.device)
    return PartialTrees(
        score=torch.zeros(size[:2], device=lengths.device),
        top=zeros[:, :, 0],
        heads=zeros.masked_fill(is_word, -1),
        relations=zeros,
        last_child=zeros,
        on_stack=(position == 0).expand(size),
    )


def allowed(hyps: PartialTrees, rules: Rules) -> Bool[Tensor, "sentence hypothesis position"]:
    """Where the next step may point to such that a tree can still come about. O(hypotheses * length).

    A word just attached can take all the others, so attaching never leads into a dead end. The top can be finished if
    no word is left, or if something below it on the stack may still take one of those left.
    """
    unattached, last = hyps.heads < 0, hyps.last_child
    size = unattached.shape[2]
    position = torch.arange(size, device=unattached.device)
    top, sibling = hyps.top[:, :, None], hyps.sibling[:, :, None]
    may_attach, may_take = unattached, hyps.on_stack
    if not rules.any_order:
        first_left = position.where(unattached, size).amin(dim=2, keepdim=True)
        last_left = position.where(unattached, -1).amax(dim=2, keepdim=True)
        may_attach = may_attach & _outside(position, position, top, sibling)
        may_take = may_take & _outside(first_left, last_left, position, last)
    if rules.single_root:
        may_attach = may_attach & ~((top == 0) & (sibling > 0))
        may_take = may_take & ~((position == 0) & (last > 0))
    can_finish = ~unattached.any(dim=2) | (may_take & (position != top)).any(dim=2)
    return may_attach.scatter(2, top, can_finish[:, :, None])


def _outside(first: Tensor, last: Tensor, head: Tensor, child: Tensor) -> Tensor:
    """Whether some word, of which `first` and `last` are the outermost, may follow a child from the inside out."""
    return (child == 0) | torch.where(child < head, (first < child) | (last > head), last > child)


def extend(
    hyps: PartialTrees,
    parent: Int64[Tensor, "sentence child"],
    word: Int64[Tensor, "sentence child"],
    score: Float[Tensor, "sentence child"],
    relation: Int64[Tensor, "sentence child"] | None = None,
) -> PartialTrees:
    """The hypotheses after a step: child c of a sentence continues hypothesis parent[c] by pointing to word[c].

    `relation`: of the word, if it is attached.
    """
    top = hyps.top.gather(1, parent)
    heads, relations, last_child, on_stack = (
        taken(values, parent) for values in (hyps.heads, hyps.relations, hyps.last_child, hyps.on_stack)
    )
    is_pop = word == top
    below = _at(heads, top)
    _put(heads, word, torch.where(is_pop, below, top))
    _put(last_child, top, torch.where(is_pop, _at(last_child, top), word))
    _put(on_stack, word, ~is_pop)
    if relation is not None:
        _put(relations, word, torch.where(is_pop, _at(relations, word), relation))
    return PartialTrees(score, torch.where(is_pop, below, word), heads, relations, last_child, on_stack)


def _at(values: Tensor, index: Tensor) -> Tensor:
    return values.gather(2, index[:, :, None]).squeeze(2)


def _put(values: Tensor, index: Tensor, value: Tensor) -> None:
    values.scatter_(2, index[:, :, None], value[:, :, None])


@dataclass(frozen=True, eq=False)
class PartialTargets:
    """The targets of all utterances so far."""

    tokens: Int64[Tensor, "utterance hypothesis step"]
    """Filled up with ends."""
    score: Float[Tensor, "utterance hypothesis"]
    """log p; -inf: there is no such hypothesis."""
    ended: Bool[Tensor, "utterance hypothesis"]


class TokenScorer(Protocol):
    """A network, or an ensemble of them, that reads hypotheses token by token."""

    def advance(self, tokens: Int64[Tensor, "u h"], parent: Int64[Tensor, "u h"]) -> Float[Tensor, "u h action"]:
        """log p of every next token after these, each behind the hypothesis `parent` of the step before."""

    def keep(self, rows: Int64[Tensor, "kept"]) -> None:
        """Go on with these utterances only."""


class TargetRules(Protocol):
    """What a decoded target must look like, while it is being written."""

    def allowed(self, step: int) -> Bool[Tensor, "u h action"]:
        """Which tokens may come next."""

    def advance(self, parent: Int64[Tensor, "u child"], tokens: Int64[Tensor, "u child"]) -> None:
        """Go on to the children: token `tokens` behind hypothesis `parent`."""

    def keep(self, rows: Int64[Tensor, "kept"]) -> None:
        """Go on with these utterances only."""


class TargetBuilder:
    """Targets of at most `max_steps` tokens, their ends included (`bcrlib.samplers.search.Builder`).

    One that has not ended by then has no END among its tokens. Without rules they may be anything.
    """

    def __init__(
        self, scorer: TokenScorer, num_utterances: int, max_steps: int, rules: TargetRules | None, device: str
    ) -> None:
        self.readers = [scorer] if rules is None else [scorer, rules]
        self.scorer, self.rules, self.max_steps = scorer, rules, max_steps
        zeros = torch.zeros(num_utterances, 1, dtype=torch.int64, device=device)
        self.hyps = PartialTargets(zeros[:, :, None][:, :, :0], zeros.float(), zeros.bool())
        self.parent, self.last = zeros, zeros + END

    def log_probs(self, step: int) -> Float[Tensor, "utterance hypothesis token"]:
        """Of the next tokens; a hypothesis that has ended goes on with ends, for nothing."""
        log_probs = self.scorer.advance(self.last, self.parent)
        if self.rules is not None:
            log_probs = log_probs.masked_fill(~self.rules.allowed(step), float("-inf"))
        log_probs = log_probs.masked_fill(self.hyps.ended[:, :, None], float("-inf"))
        log_probs[:, :, END].masked_fill_(self.hyps.ended, 0.0)
        return log_probs

    def take(self, parent: Tensor, token: Tensor, score: Tensor) -> None:
        """Write tokens."""
        token = token.masked_fill(score == float("-inf"), END)  # no hypothesis: nothing that rules could stumble over
        tokens = torch.cat([taken(self.hyps.tokens, parent), token[:, :, None]], dim=2)
        self.hyps, self.parent, self.last = PartialTargets(tokens, score, token == END), parent, token
        if self.rules is not None:
            self.rules.advance(parent, token)

    def leaving(self, step: int) -> tuple[Tensor, Tensor] | None:
        """The utterances that have what they need, if they are many."""
        stay = ~self.finished()
        if stay.sum() > LEAVE_AT * len(stay):
            return None
        return tuple(of.nonzero().squeeze(1) for of in (~stay, stay))

    def finished(self) -> Bool[Tensor, "utterance"]:
        """Whether nothing is to be found any more."""
        return self.hyps.ended.all(dim=1)

    def keep(self, index: Index) -> None:
        """Go on with these utterances only."""
        self.hyps = at(self.hyps, index)
        self.parent, self.last = self.parent[index], self.last[index]
        for reader in self.readers:
            reader.keep(index)

    def found(self) -> PartialTargets:
        """The targets, whether they have ended or not."""
        return self.hyps


class FirstEnded(TargetBuilder):
    """The first `width` targets of each utterance that end in a beam of `width`: the list as fairseq keeps it.

    Of the best 2 `width` continuations, for which the search has to ask, those that end are taken out, and listed if
    they are among the best `width`; the best `width` of the others go on. So what ended early is never driven out by
    what is better, and nothing is found that ends after the list is full. Scores are sums; the authors sort the list by
    means. An utterance of which nothing ended in time has its beam instead.
    """

    def __init__(
        self,
        width: int,
        scorer: TokenScorer,
        num_utterances: int,
        max_steps: int,
        rules: TargetRules | None,
        device: str,
    ) -> None:
        super().__init__(scorer, num_utterances, max_steps, rules, device)
        places = self.parent.expand(-1, width)
        nothing = torch.full_like(places, float("-inf"), dtype=torch.float32)
        self.listed = PartialTargets(places[:, :, None][:, :, :0], nothing, places.bool())

    def take(self, parent: Tensor, token: Tensor, score: Tensor) -> None:
        """List the first continuations that end, as many as there are places, and write the others; best first."""
        width, possible = self.listed.score.shape[1], score > float("-inf")
        ends, goes_on = possible & (token == END), possible & (token != END)
        place = self.listed.ended.sum(dim=1, keepdim=True) + ends.cumsum(dim=1) - 1
        row, child = (ends & (place < width))[:, :width].nonzero(as_tuple=True)
        at = place[row, child]
        tokens = pad(self.listed.tokens, (0, 1), value=END)
        scores, ended = self.listed.score.clone(), self.listed.ended.clone()
        tokens[row, at, :-1] = self.hyps.tokens[row, parent[row, child]]
        scores[row, at], ended[row, at] = score[row, child], True
        self.listed = PartialTargets(tokens, scores, ended)
        score = score.masked_fill(~goes_on, float("-inf"))
        first = (~goes_on).long().argsort(dim=1, stable=True)[:, :width]
        super().take(*(values.gather(1, first) for values in (parent, token, score)))

    def finished(self) -> Bool[Tensor, "utterance"]:
        """Whether the list is full, or nothing goes on."""
        return self.listed.ended.all(dim=1) | self.hyps.ended.all(dim=1)

    def keep(self, index: Index) -> None:
        """Go on with these utterances only."""
        super().keep(index)
        self.listed = at(self.listed, index)

    def found(self) -> PartialTargets:
        """The list, or of utterances where it is empty the beam."""
        empty = ~self.listed.ended.any(dim=1, keepdim=True)
        missing = (0, self.listed.score.shape[1] - self.hyps.score.shape[1])
        return PartialTargets(
            tokens=torch.where(empty[:, :, None], pad(self.hyps.tokens, (0, 0, *missing)), self.listed.tokens),
            score=torch.where(empty, pad(self.hyps.score, missing, value=float("-inf")), self.listed.score),
            ended=torch.where(empty, pad(self.hyps.ended, missing), self.listed.ended),
        )


class BracketRules:
    """Only targets that are one frame over all words, in order: the state of all hypotheses (`TargetRules`)."""

    def __init__(
        self,
        num_labels: int,
        num_pieces: Int64[Tensor, "utterance"],
        starts_word: Bool[Tensor, "utterance piece"],
        max_steps: int,
    ) -> None:
        """`starts_word`: whether a piece is the first of its word. ValueError where an utterance is too long."""
        longest = int(num_pieces.max())
        if longest + 3 > max_steps:
            raise ValueError(f"a frame over {longest} word pieces has more than {max_steps} tokens")
        self.num_labels, self.max_steps = num_labels, max_steps
        self.num_pieces, self.starts_word = num_pieces, starts_word
        zero = torch.zeros_like(num_pieces)[:, None]
        self.piece, self.depth = zero, zero
        self.stack = zero[:, :, None].expand(-1, -1, MAX_DEPTH)
        self.has_content, self.finished = zero.bool(), zero.bool()

    def allowed(self, step: int) -> Bool[Tensor, "utterance hypothesis action"]:
        """Which tokens may come next: the end, opening brackets, closing brackets, pieces."""
        left = self.num_pieces[:, None] - self.piece
        in_word = ~pad(self.starts_word, (0, 1), value=True).gather(1, self.piece)  # behind the last piece: no
        # This step, the pieces, a closing bracket for each that is open, and the end.
        in_time = 1 + left + (self.depth + 1) + 1 <= self.max_steps - step
        may_open = ~self.finished & (left > 0) & ~in_word & in_time & (self.depth < MAX_DEPTH)
        may_close = self.has_content & ~in_word & ((self.depth > 1) | (left == 0)) & (self.depth > 0)
        labels = torch.arange(self.num_labels, device=left.device)
        top = self.stack.gather(2, (self.depth - 1).clamp(min=0)[:, :, None])
        pieces = torch.arange(self.starts_word.shape[1], device=left.device)
        may_point = (self.depth > 0) & (left > 0)
        return torch.cat(
            [
                self.finished[:, :, None],
                may_open[:, :, None].expand(-1, -1, self.num_labels),
                may_close[:, :, None] & (labels == top),
                may_point[:, :, None] & (pieces == self.piece[:, :, None]),
            ],
            dim=2,
        )

    def advance(self, parent: Int64[Tensor, "u child"], tokens: Int64[Tensor, "u child"]) -> None:
        """Go on to the children: token `tokens` behind hypothesis `parent`."""
        stack, depth, piece, content, finished = (
            taken(values, parent) for values in (self.stack, self.depth, self.piece, self.has_content, self.finished)
        )
        opens = (tokens > END) & (tokens <= self.num_labels)
        closes = (tokens > self.num_labels) & (tokens <= 2 * self.num_labels)
        points = tokens > 2 * self.num_labels
        place = depth.clamp(max=MAX_DEPTH - 1)[:, :, None]
        label = torch.where(opens, tokens - 1, stack.gather(2, place).squeeze(2))
        self.stack = stack.scatter(2, place, label[:, :, None])
        self.depth = depth + opens.long() - closes.long()
        self.piece = piece + points.long()
        self.has_content = (content & ~opens) | closes | points
        self.finished = finished | (closes & (self.depth == 0))

    def keep(self, rows: Int64[Tensor, "kept"]) -> None:
        """Go on with these utterances only."""
        for name in ("num_pieces", "starts_word", "piece", "depth", "stack", "has_content", "finished"):
            setattr(self, name, getattr(self, name)[rows])
