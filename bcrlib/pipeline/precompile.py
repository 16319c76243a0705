"""Compiles at installation what numba would otherwise compile in the first runs: python -m bcrlib.pipeline.precompile.

Numba compiles a function when it is first called, for the types it is called with, and keeps the result beside the
module. Two jobs that start together would both wait for it, and do it twice.
"""

from dataclasses import replace

from bcrlib.data.generated.frames import generate_frames
from bcrlib.data.generated.trees import generate_treebank
from bcrlib.parsers.configuration import SMALL
from bcrlib.parsers.training import train
from bcrlib.samplers.strategies import Beam, DropoutP, KBest

LISTED = {"deepbiaf": KBest(4, labelled=True), "stackptr": Beam(4, 4), "s2s": Beam(4, 4)}


def compile_all() -> None:
    """A parser of every kind trains, is evaluated, proposes and scores once."""
    for kind, listed in LISTED.items():
        bank = generate_frames(30, seed=1) if kind == "s2s" else generate_treebank(30, seed=1)
        parser = train(kind, bank, bank, recipe=replace(SMALL[kind][1], num_epochs=1))
        for strategy in (listed, DropoutP(0.1, 2)):
            parser.log_probs(bank, parser.candidates(bank, strategy))


if __name__ == "__main__":
    compile_all()
