"""Joined strategies of every model: the parts' structures, each once, under the model's own probability."""

import numpy as np
import pytest
from random_trees import random_treebank
from tiny_frames import frame_bank, tiny_seq2seq
from tiny_generators import tiny_generator
from tiny_parsers import tiny_parser, tiny_pointer_parser

from bcrlib.samplers.strategies import parse_strategy

TREEBANK = random_treebank(20, np.random.default_rng(4), longest=6)
INPUTS = ["abca", "dd", "b a c"]


def trees(pool) -> list[set]:
    """The labelled trees of each sentence."""
    spans = [slice(*pool.offsets[s : s + 2]) for s in range(pool.num_items)]
    names = [pool.relation_strings(c) for c in range(pool.num_candidates)]
    return [{(*pool.heads[c, span].tolist(), *names[c][span]) for c in range(pool.num_candidates)} for span in spans]


def frames(pool) -> list[set]:
    """The sequences of each utterance."""
    return [
        {tuple(code for code in sequence if code) for sequence in pool.sequences[:, u].tolist()}
        for u in range(pool.num_items)
    ]


def texts(pool) -> list[set]:
    return [set(column) for column in zip(*pool.texts)]


@pytest.mark.parametrize(
    ("model", "inputs", "strategy", "structures"),
    [
        (tiny_parser(TREEBANK), TREEBANK, "k-best+dropout-p(p=0.4)", trees),
        (tiny_parser(TREEBANK), TREEBANK, "k-best+k-best(labelled)", trees),
        (tiny_pointer_parser(TREEBANK), TREEBANK, "beam(b=3)+dropout-p(p=0.4)", trees),
        (tiny_seq2seq(), frame_bank(), "1-best+beam(b=4)+dropout-p(p=0.4)", frames),
        (tiny_seq2seq(preset="official"), frame_bank(), "1-best+top-k(k=3)", frames),
        (tiny_generator("t5"), INPUTS, "1-best+beam(b=3)+dropout-p(p=0.4)", texts),
    ],
    ids=["deepbiaf", "labelled", "stackptr", "s2s", "official s2s", "generator"],
)
def test_a_joined_pool_has_what_its_parts_have_once(model, inputs, strategy, structures):
    pool = model.candidates(inputs, parse_strategy(strategy, 4), seed=3)
    parts = [structures(model.candidates(inputs, parse_strategy(p, 4), seed=3)) for p in strategy.split("+")]
    union = [set.union(*of_item) for of_item in zip(*parts)]
    assert structures(pool) == union
    assert pool.num_candidates == max(map(len, union)) > max(len(of_item) for of_item in parts[-1])
    assert pool.log_probs == pytest.approx(model.log_probs(inputs, pool), abs=1e-3)


def test_what_a_parser_cannot_do_it_cannot_join():
    with pytest.raises(ValueError, match="for sequential parsers"):
        tiny_parser(TREEBANK).candidates(TREEBANK, parse_strategy("k-best+beam(b=3)"))
    with pytest.raises(ValueError, match="for graph-based parsers"):
        tiny_seq2seq().candidates(frame_bank(), parse_strategy("1-best+k-best"))
