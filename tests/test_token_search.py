"""Search token by token, with tables of log-probabilities for a network: against all targets and plain loops."""

import math
from collections import Counter
from functools import cache
from itertools import pairwise, product

import numpy as np
import pytest
import torch
from scipy.stats import chisquare
from test_sampling import plainly_kept
from torch import Tensor

from bcrlib.data.randomness import key
from bcrlib.samplers.dropout_p import uniform
from bcrlib.samplers.rules import END, FirstEnded, PartialTargets, TargetBuilder
from bcrlib.samplers.search import Choose, best_actions, sampled_actions, search
from bcrlib.samplers.strategies import Drawn, Nucleus, TopK

NUM_ACTIONS, LONGEST = 3, 5
FULL = 70
"""More than the 31 targets that end within five tokens and the 32 that do not."""

Target = tuple[int, ...]


@cache
def log_probs_of(utterance: int, prefix: Target) -> Tensor:
    """log p of the next token, another distribution for every prefix; low utterances end early, high ones late."""
    scores = torch.from_numpy(np.random.default_rng(key(utterance, prefix)).normal(0, 1.5, NUM_ACTIONS))
    scores[END] += 1.5 - utterance / 2
    return scores.float().log_softmax(dim=0)


class Table:
    """A `TokenScorer` of distributions that depend on the whole prefix."""

    def __init__(self, utterances: list[int]) -> None:
        self.utterances, self.prefixes = utterances, [[()] for _ in utterances]
        self.sizes, self.starts = [len(utterances)], True

    def advance(self, tokens: Tensor, parent: Tensor) -> Tensor:
        if self.starts:
            assert tokens.tolist() == [[END]] * len(self.utterances), "a target starts with the end"
            self.starts = False
        else:
            self.prefixes = [
                [(*old[p], token) for p, token in zip(parents, last)]
                for old, parents, last in zip(self.prefixes, parent.tolist(), tokens.tolist())
            ]
        rows = [[log_probs_of(u, prefix) for prefix in own] for u, own in zip(self.utterances, self.prefixes)]
        return torch.stack([torch.stack(row) for row in rows])

    def keep(self, rows: Tensor) -> None:
        self.utterances, self.prefixes = ([of[row] for row in rows] for of in (self.utterances, self.prefixes))
        self.sizes.append(len(rows))


def run(scorer, num_utterances: int, choose: Choose, max_steps: int) -> PartialTargets:
    return search(TargetBuilder(scorer, num_utterances, max_steps, None, "cpu"), choose)


def run_listing(scorer, num_utterances: int, width: int, max_steps: int) -> PartialTargets:
    return search(FirstEnded(width, scorer, num_utterances, max_steps, None, "cpu"), best_actions(2 * width))


def searched(utterances: list[int], choose: Choose, max_steps: int = LONGEST) -> PartialTargets:
    return run(Table(utterances), len(utterances), choose, max_steps)


def until_end(tokens: list[int]) -> Target:
    """The target in a row of tokens; behind its end there is nothing else."""
    end = tokens.index(END) + 1 if END in tokens else len(tokens)
    assert not any(tokens[end:])
    return tuple(tokens[:end])


def found(hyps: PartialTargets, u: int) -> dict[Target, float]:
    """All targets of an utterance with their scores."""
    rows = zip(hyps.tokens[u].tolist(), hyps.score[u].tolist())
    kept = [(until_end(tokens), score) for tokens, score in rows if score > -math.inf]
    assert len(dict(kept)) == len(kept), "no target comes twice"
    return dict(kept)


def log_prob(u: int, target: Target) -> float:
    return sum(log_probs_of(u, target[:step])[token].item() for step, token in enumerate(target))


def all_targets(longest: int) -> list[Target]:
    """Those that end, and those of `longest` tokens that do not."""
    inner = range(1, NUM_ACTIONS)
    ended = [(*body, END) for length in range(longest) for body in product(inner, repeat=length)]
    return ended + list(product(inner, repeat=longest))


def plain_beam(u: int, width: int) -> dict[Target, float]:
    beam = {(): 0.0}
    for _ in range(LONGEST):
        longer = {target: score for target, score in beam.items() if target[-1:] == (END,)}
        for target, score in beam.items():
            if target not in longer:
                scores = (score + log_probs_of(u, target)).tolist()
                longer |= {(*target, token): score for token, score in enumerate(scores)}
        beam = dict(sorted(longer.items(), key=lambda item: -item[1])[:width])
    return beam


def plain_first_ended(u: int, width: int, longest: int) -> dict[Target, float]:
    """fairseq's beam, one hypothesis at a time: its list, or its beam where nothing ended in time."""
    beam, listed = {(): 0.0}, {}
    for _ in range(longest):
        longer = {
            (*target, token): score + log_prob
            for target, score in beam.items()
            for token, log_prob in enumerate(log_probs_of(u, target).tolist())
        }
        best = sorted(longer.items(), key=lambda item: -item[1])[: 2 * width]
        for target, score in best[:width]:
            if target[-1] == END and len(listed) < width:
                listed[target] = score
        if len(listed) == width:
            return listed
        beam = dict([item for item in best if item[0][-1] != END][:width])
    return listed or beam


@pytest.mark.parametrize("longest", [1, 2, LONGEST, 9])
@pytest.mark.parametrize("width", [1, 2, 3, 7])
def test_the_first_that_end_are_those_of_a_plain_loop(width, longest):
    utterances = [4, 0, 5, 2, 1, 3, 6, 9]
    scorer = Table(utterances)
    hyps = run_listing(scorer, len(utterances), width, longest)
    for place, u in enumerate(utterances):
        expected = plain_first_ended(u, width, longest)
        assert_equal_scores(found(hyps, place), expected)
        ended = hyps.ended[place][hyps.score[place] > -math.inf].tolist()
        assert ended == [target[-1] == END for target in found(hyps, place)]
    if longest == 9:
        assert len(scorer.sizes) > 2, "those whose list is full leave"


def test_the_first_that_end_are_others_than_the_best():
    """Of two beams of two, one keeps what ended first, the other what is better: worked out by hand.

    The end comes at once with .3; a token that stays with .6 and is then followed by an end with .9; a third, .1.
    """
    first, ended_next, long = [0.3, 0.6, 0.1], [0.9, 0.1, 1e-9], [0.1, 0.9, 1e-9]
    table = torch.tensor([first, ended_next, long]).log()
    listed = {tuple(t): s for t, s in zip(*_targets(run_listing(Chain(table), 1, 2, 3)))}
    assert listed == pytest.approx({(0,): math.log(0.3), (1, 0): math.log(0.54)})
    table[1] = torch.tensor([0.45, 0.55, 1e-9]).log()  # now it is .27, then .33 * .45
    listed = {tuple(t): s for t, s in zip(*_targets(run_listing(Chain(table), 1, 2, 3)))}
    assert listed == pytest.approx({(0,): math.log(0.3), (1, 0): math.log(0.27)})
    best = {tuple(t): s for t, s in zip(*_targets(run(Chain(table), 1, best_actions(2), 3)))}
    assert best.keys() == {(0,), (1, 1, 1)}, "which has not ended, and drove (1, 0) out"


def _targets(hyps: PartialTargets) -> tuple[list[Target], list[float]]:
    return [until_end(tokens) for tokens in hyps.tokens[0].tolist()], hyps.score[0].tolist()


def assert_equal_scores(ours: dict[Target, float], expected: dict[Target, float]) -> None:
    assert set(ours) == set(expected)
    for target, score in expected.items():
        assert ours[target] == pytest.approx(score, abs=1e-5), target


@pytest.mark.parametrize("longest", [1, 2, LONGEST])
def test_a_beam_of_full_width_is_brute_force(longest):
    hyps = searched([0, 2, 4], best_actions(FULL), longest)
    targets = all_targets(longest)
    for place, u in enumerate([0, 2, 4]):
        assert_equal_scores(found(hyps, place), {target: log_prob(u, target) for target in targets})
    alive = hyps.score > -math.inf
    assert torch.equal((hyps.tokens == END).any(dim=2)[alive], hyps.ended[alive])
    assert hyps.tokens.shape == (3, hyps.score.shape[1], longest)


@pytest.mark.parametrize("width", [1, 2, 3, 7])
def test_a_narrow_beam_is_a_table_of_prefixes(width):
    utterances = list(range(6))
    hyps = searched(utterances, best_actions(width))
    for u in utterances:
        assert_equal_scores(found(hyps, u), plain_beam(u, width))


def keyed(strategy: Drawn, keys: Tensor) -> Choose:
    """As parsers do: numbers from the keys [utterance, sample] of those that are still there."""
    return sampled_actions(strategy, lambda step, rows: uniform(keys[rows], step))


def sampled(utterances: list[int], strategy: Drawn, keys: Tensor) -> tuple[PartialTargets, Table]:
    scorer = Table(utterances)
    return run(scorer, len(utterances), keyed(strategy, keys), 12), scorer


def sample_keys(num_utterances: int, num_samples: int) -> Tensor:
    return torch.tensor([[key("test", u, i) for i in range(num_samples)] for u in range(num_utterances)])


@pytest.mark.parametrize("strategy", [None, TopK(2, 4), Nucleus(1.0, 4)], ids=str)
def test_those_who_leave_change_nothing_for_the_others(strategy):
    """All together as each alone, bit for bit, whoever ends first."""
    utterances, keys = [4, 0, 5, 2, 1, 3], sample_keys(6, 4)
    if strategy is None:
        scorer = Table(utterances)
        together = run(scorer, 6, best_actions(2), 12)
    else:
        together, scorer = sampled(utterances, strategy, keys)
    assert len(scorer.sizes) > 2 and all(later <= 0.8 * former for former, later in pairwise(scorer.sizes))
    for place, u in enumerate(utterances):
        if strategy is None:
            alone = searched([u], best_actions(2), 12)
        else:
            alone, _ = sampled([u], strategy, keys[place : place + 1])
        steps = alone.tokens.shape[2]
        assert torch.equal(together.tokens[place, :, :steps], alone.tokens[0])
        assert not together.tokens[place, :, steps:].any()
        assert torch.equal(together.score[place], alone.score[0]) and torch.equal(together.ended[place], alone.ended[0])


def test_few_who_leave_may_stay():
    """One of six is not worth the gathering: it goes on with ends, for nothing."""
    scorer = Table([0, 5, 5, 5, 5, 5])
    hyps = run(scorer, 6, best_actions(1), 3)
    assert scorer.sizes == [6]
    assert until_end(hyps.tokens[0, 0].tolist()) == (END,) and hyps.score[0, 0] == log_probs_of(0, ())[END]


def test_a_sample_depends_on_its_key_and_its_words_alone():
    """Equal keys: equal samples of the same utterance; another number, utterance or step draws anew."""
    keys = sample_keys(1, 30).expand(3, -1)
    hyps, _ = sampled([4, 5, 4], Nucleus(1.0, 30), keys)
    assert torch.equal(hyps.tokens[0], hyps.tokens[2]) and torch.equal(hyps.score[0], hyps.score[2])
    assert not torch.equal(hyps.tokens[0], hyps.tokens[1])
    samples = {until_end(tokens) for tokens in hyps.tokens[0].tolist()}
    assert len(samples) > 10
    fewer, _ = sampled([4], Nucleus(1.0, 10), keys[:1, :10])
    assert [until_end(t) for t in fewer.tokens[0].tolist()] == [until_end(t) for t in hyps.tokens[0, :10].tolist()]
    assert any(len(set(target[:-1])) > 1 for target in samples), "every step draws by the same number"


class Chain:
    """Distributions that depend on the last token only: quick for many samples."""

    def __init__(self, table: Tensor) -> None:
        self.table, self.utterances = table, [0]

    def advance(self, tokens: Tensor, parent: Tensor) -> Tensor:
        return self.table[tokens]

    def keep(self, rows: Tensor) -> None:
        raise AssertionError("there is one utterance only")


@pytest.mark.parametrize(
    "strategy", [TopK(2), TopK(3, temperature=0.5), Nucleus(0.7), Nucleus(1.0), Nucleus(0.9, temperature=2.0)], ids=str
)
def test_targets_come_as_often_as_their_probabilities(strategy):
    """Of a chain over four tokens, all targets of up to three: chi-square over 20,000 samples."""
    table = torch.randn(4, 4, generator=torch.Generator().manual_seed(1)).log_softmax(dim=1)
    kept = [plainly_kept(row, strategy) for row in table.tolist()]
    bodies = [(*body, END) for length in range(3) for body in product(range(1, 4), repeat=length)]
    targets = bodies + list(product(range(1, 4), repeat=3))
    expected = {t: math.prod(kept[before][token] for before, token in pairwise((END, *t))) for t in targets}
    assert sum(expected.values()) == pytest.approx(1)
    choose = keyed(strategy, torch.arange(20_000)[None] * 7919)
    hyps = run(Chain(table), 1, choose, 3)
    drawn = [until_end(tokens) for tokens in hyps.tokens[0].tolist()]
    possible, count_of = [target for target, p in expected.items() if p > 0], Counter(drawn)
    assert set(count_of) <= set(possible) and len(possible) > 4
    observed = [count_of[target] for target in possible]
    assert chisquare(observed, [20_000 * expected[target] for target in possible]).pvalue > 1e-3
    for target, score in zip(drawn[:50], hyps.score[0, :50].tolist()):  # the model's own, uncut and not tempered
        assert score == pytest.approx(sum(table[a, b].item() for a, b in pairwise((END, *target))), abs=1e-5)
