"""Every kind of parser, small, with what it parses and how: for what all of them promise."""

from collections.abc import Callable

import numpy as np
from random_trees import random_treebank
from tiny_frames import frame_bank, tiny_seq2seq
from tiny_parsers import tiny_parser, tiny_pointer_parser

from bcrlib.parsers.parser import Parser
from bcrlib.samplers.strategies import Beam, DropoutP, KBest, Nucleus, OneBest, TopK

TREES = random_treebank(20, np.random.default_rng(4), longest=12)
BANKS = {"deepbiaf": TREES, "stackptr": TREES, "s2s": frame_bank()}
MAKE: dict[str, Callable[..., Parser]] = {
    "deepbiaf": lambda **changes: tiny_parser(TREES, **changes),
    "stackptr": lambda **changes: tiny_pointer_parser(TREES, **changes),
    "s2s": lambda **changes: tiny_seq2seq(**{"constrained": True, **changes}),
}
SAMPLING = [TopK(3, 4), Nucleus(0.9, 4), Nucleus(1.0, 4, temperature=1.5)]
STRATEGIES = {
    "deepbiaf": [OneBest(), KBest(4), KBest(4, labelled=True), DropoutP(0.2, 4)],
    "stackptr": [OneBest(), Beam(4, 4), *SAMPLING, DropoutP(0.2, 4)],
    "s2s": [OneBest(), Beam(4, 4), Beam(4, 4, ended=True), *SAMPLING, DropoutP(0.2, 4)],
}
