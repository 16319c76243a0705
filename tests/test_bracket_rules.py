"""Well-formedness while decoding: against all frames over a few pieces, and on random walks over more."""

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torch import Tensor

from bcrlib.samplers import rules as bracket_rules
from bcrlib.samplers.rules import END, BracketRules, TargetBuilder
from bcrlib.samplers.search import best_actions, search

Target = tuple[int, ...]


def rules_of(num_labels: int, words: list[list[int]], max_steps: int) -> BracketRules:
    """Of utterances given by how many pieces each of their words has."""
    lengths = [sum(parts) for parts in words]
    starts = torch.ones(len(words), max(lengths), dtype=torch.bool)
    for row, parts in zip(starts, words):
        for piece in set(range(sum(parts))) - {0, *np.cumsum(parts).tolist()}:
            row[piece] = False
    return BracketRules(num_labels, torch.tensor(lengths), starts, max_steps)


def nodes(num_labels: int, words: list[Target], room: int, depth: int) -> Iterator[Target]:
    """All brackets of at most `room` tokens and `depth` levels over these words, each a tuple of pieces."""
    if not words or depth == 0:
        return
    for inside in forests(num_labels, words, room - 2, depth - 1):
        for label in range(num_labels):
            yield (1 + label, *inside, 1 + num_labels + label)


def forests(num_labels: int, words: list[Target], room: int, depth: int) -> Iterator[Target]:
    """All rows of brackets and words."""
    if not words:
        yield ()
        return
    firsts = [(1, words[0])] if len(words[0]) <= room else []
    for end in range(1, len(words) + 1):
        firsts += [(end, node) for node in nodes(num_labels, words[:end], room, depth)]
    for end, first in firsts:
        for rest in forests(num_labels, words[end:], room - len(first), depth):
            if len(first) + len(rest) <= room:
                yield (*first, *rest)


def all_frames(num_labels: int, parts: list[int], max_steps: int, depth: int = 99) -> set[Target]:
    """All targets over words of so many pieces, their ends included."""
    pieces = iter(range(1 + 2 * num_labels, 1 + 2 * num_labels + sum(parts)))
    words = [tuple(next(pieces) for _ in range(count)) for count in parts]
    return {(*frame, END) for frame in nodes(num_labels, words, max_steps - 1, depth)}


def continuations(targets: set[Target]) -> dict[Target, set[int]]:
    """The tokens behind every prefix of a target."""
    after: dict[Target, set[int]] = {}
    for target in targets:
        for step, token in enumerate(target):
            after.setdefault(target[:step], set()).add(token)
    return after


CASES = {
    "one word": (3, [1], 8), "two words": (2, [1, 1], 9), "three words": (1, [1, 1, 1], 11),
    "a word of two pieces": (1, [1, 2, 1], 10), "just time enough": (3, [1, 2], 6), "no other frame": (2, [3], 8),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("depth", [16, 2])
def test_a_token_is_allowed_if_a_frame_in_time_goes_on_with_it(case, depth, monkeypatch):
    """All prefixes at once, each a hypothesis."""
    monkeypatch.setattr(bracket_rules, "MAX_DEPTH", depth)
    num_labels, parts, max_steps = CASES[case]
    targets = all_frames(num_labels, parts, max_steps, depth)
    after = continuations(targets)
    rules, prefixes, ended = rules_of(num_labels, [parts], max_steps), [()], set()
    for step in range(max_steps):
        allowed = rules.allowed(step)[0]
        assert allowed.shape == (len(prefixes), 1 + 2 * num_labels + sum(parts))
        told = [set(row.nonzero().flatten().tolist()) for row in allowed]
        assert told == [after.get(prefix, {END}) for prefix in prefixes], step
        children = [(p, token) for p, tokens in enumerate(told) for token in sorted(tokens)]
        prefixes = [(*prefixes[p], token) for p, token in children]
        ended |= {prefix for prefix in prefixes if prefix in targets}
        rules.advance(torch.tensor([[p for p, _ in children]]), torch.tensor([[token for _, token in children]]))
    assert ended == targets and len(targets) >= num_labels


def is_frame(target: Target, num_labels: int, parts: list[int]) -> bool:
    """One bracket over all words, in order, none empty; then the end."""
    *body, end = target
    open_, piece, before = [], 0, None
    inner = set(range(sum(parts))) - {0, *np.cumsum(parts).tolist()}  # pieces that do not start a word
    for place, token in enumerate(body):
        if 0 < token <= num_labels:
            open_.append(token)
            good = piece not in inner
        elif token <= 2 * num_labels:
            good = bool(open_) and open_.pop() == token - num_labels and before != "open" and piece not in inner
            good = good and (bool(open_) or place == len(body) - 1)
        else:
            good = bool(open_) and token - 1 - 2 * num_labels == piece
            piece += 1
        if not good or token == END:
            return False
        before = "open" if token <= num_labels else "other"
    return end == END and not open_ and piece == sum(parts)


def test_the_judge_of_frames_agrees_with_their_enumeration():
    num_labels, parts, longest = 1, [1, 2], 10
    frames = all_frames(num_labels, parts, longest)
    assert len(frames) > 4 and all(is_frame(frame, num_labels, parts) for frame in frames)
    rng = np.random.default_rng(0)
    for frame in sorted(frames) * 20:
        changed = list(frame)
        changed[rng.integers(len(frame))] = int(rng.integers(6))
        assert is_frame(tuple(changed), num_labels, parts) == (tuple(changed) in frames)


def walk(words: list[list[int]], max_steps: int, num_hypotheses: int, seed: int) -> list[list[Target]]:
    """Random targets of every utterance: parents at random, their tokens among the allowed ones; who is done leaves."""
    generator = torch.Generator().manual_seed(seed)
    rules, rows = rules_of(3, words, max_steps), torch.arange(len(words))
    targets = torch.empty(len(words), 1, 0, dtype=torch.int64)
    done: dict[int, list[Target]] = {}
    for step in range(max_steps):
        allowed = rules.allowed(step)
        parent = torch.randint(allowed.shape[1], (len(rows), num_hypotheses), generator=generator)
        of_parent = allowed.gather(1, parent[:, :, None].expand(-1, -1, allowed.shape[2])).float()
        token = of_parent.flatten(0, 1).multinomial(1, generator=generator).view(parent.shape)
        targets = torch.cat([targets.gather(1, parent[:, :, None].expand(-1, -1, step)), token[:, :, None]], dim=2)
        rules.advance(parent, token)
        going = (token != END).any(dim=1)
        for row, own in zip(rows[~going].tolist(), targets[~going].tolist()):
            done[row] = [tuple(target[: target.index(END) + 1]) for target in own]
        kept = going.nonzero().squeeze(1)
        rules.keep(kept)
        rows, targets = rows[kept], targets[kept]
        if not len(rows):
            break
    return [done[row] for row in range(len(words))]


@pytest.mark.parametrize("max_steps", [20, 40])
def test_every_random_walk_is_a_frame_in_time(max_steps):
    """Over one to twelve words of one to three pieces, 17 pieces at most."""
    rng = np.random.default_rng(1)
    words = [rng.integers(1, 4, size=rng.integers(1, 7)).tolist() for _ in range(30)]
    words = [parts for parts in words if sum(parts) <= 17] + [[1] * 12, [2, 1] * 5, [3, 3, 3, 3, 3, 2]]
    walks = walk(words, max_steps, 6, seed=max_steps)
    for parts, targets in zip(words, walks):
        for target in targets:
            assert is_frame(target, 3, parts) and len(target) <= max_steps
    if max_steps == 40:
        assert max(len(target) for targets in walks for target in targets) > 30, "time was never short"


def deepest(target: Target, num_labels: int) -> int:
    steps = [(0 < token <= num_labels) - (num_labels < token <= 2 * num_labels) for token in target]
    return int(np.cumsum(steps).max())


class Opening:
    """A network that would open brackets for ever."""

    def __init__(self, num_actions: int) -> None:
        self.log_probs = (-torch.arange(num_actions).float()).log_softmax(dim=0)
        self.log_probs[END] = -100.0

    def advance(self, tokens: Tensor, parent: Tensor) -> Tensor:
        return self.log_probs.expand(*tokens.shape, -1).clone()

    def keep(self, rows: Tensor) -> None: ...


@pytest.mark.parametrize(("max_steps", "depth"), [(100, 16), (13, 5)], ids=["depth", "time"])
def test_a_frame_is_as_deep_as_it_may_and_no_deeper(max_steps, depth):
    """Until brackets are too deep, or there is no time to close another one."""
    hyps = search(TargetBuilder(Opening(5), 1, max_steps, rules_of(1, [[1, 1]], max_steps), "cpu"), best_actions(1))
    target = tuple(hyps.tokens[0, 0].tolist())
    assert is_frame(target, 1, [1, 1]) and deepest(target, 1) == depth


@pytest.mark.parametrize("width", [1, 3, 10, 40])
def test_a_beam_may_be_wider_than_there_are_frames(width):
    """What fills it up is no hypothesis, and disturbs no other."""
    words, frames = [[1], [2, 1]], [all_frames(1, parts, 8) for parts in ([1], [2, 1])]
    assert [len(own) for own in frames] == [3, 4]
    hyps = search(TargetBuilder(Opening(6), 2, 8, rules_of(1, words, 8), "cpu"), best_actions(width))
    for u, own in enumerate(frames):
        alive = hyps.score[u] > -torch.inf
        found = [tuple(target[: target.index(END) + 1]) for target in hyps.tokens[u, alive].tolist()]
        assert len(set(found)) == len(found) == min(width, len(own))
        assert set(found) <= own


def test_utterances_that_are_too_long_are_refused():
    """Two brackets, the pieces and the end must fit."""
    with pytest.raises(ValueError, match="over 5 word pieces has more than 7 tokens"):
        rules_of(2, [[1], [2, 3]], 7)
    assert len(all_frames(2, [2, 3], 8)) == 2
    walks = walk([[2, 3]], 8, 4, seed=0)
    assert all(is_frame(target, 3, [2, 3]) for target in walks[0])
