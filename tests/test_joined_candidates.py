"""Joined strategies of every model: the parts' structures, each once, under the model's own probability."""

import pytest
from pools import structures
from tiny_generators import tiny_generator
from tiny_kinds import BANKS, MAKE

from bcrlib.samplers.strategies import parse_strategy

INPUTS = ["abca", "dd", "b a c"]


@pytest.mark.parametrize(
    ("kind", "changes", "strategy"),
    [
        ("deepbiaf", {}, "k-best+dropout-p(p=0.4)"),
        ("deepbiaf", {}, "k-best+k-best(labelled)"),
        ("stackptr", {}, "beam(b=3)+dropout-p(p=0.4)"),
        ("s2s", {"constrained": False}, "1-best+beam(b=4)+dropout-p(p=0.4)"),
        ("s2s", {"constrained": False, "preset": "official"}, "1-best+top-k(k=3)"),
        ("generator", {}, "1-best+beam(b=3)+dropout-p(p=0.4)"),
    ],
)
def test_a_joined_pool_has_what_its_parts_have_once(kind, changes, strategy):
    model, inputs = (tiny_generator("t5"), INPUTS) if kind == "generator" else (MAKE[kind](**changes), BANKS[kind])
    pool = model.candidates(inputs, parse_strategy(strategy, 4), seed=3)
    parts = [structures(model.candidates(inputs, parse_strategy(p, 4), seed=3)) for p in strategy.split("+")]
    union = [set().union(*of_item) for of_item in zip(*parts)]
    assert [set(of_item) for of_item in structures(pool)] == union
    assert pool.num_candidates == max(map(len, union)) > max(len(set(of_item)) for of_item in parts[-1])
    assert pool.log_probs == pytest.approx(model.log_probs(inputs, pool), abs=1e-3)


@pytest.mark.parametrize(
    ("kind", "strategy", "fault"), [("deepbiaf", "k-best+beam(b=3)", "sequential"), ("s2s", "1-best+k-best", "graph")]
)
def test_what_a_parser_cannot_do_it_cannot_join(kind, strategy, fault):
    with pytest.raises(ValueError, match=f"for {fault}.* parsers"):
        MAKE[kind]().candidates(BANKS[kind], parse_strategy(strategy))
