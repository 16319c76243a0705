"""Compiles at installation what numba would otherwise compile in the first runs: python -m bcrlib.pipeline.precompile.

Numba compiles a function when it is first called, for the types it is called with, and keeps the result beside the
module. Two jobs that start together would both wait for it, and do it twice.
"""

from dataclasses import replace

from bcrlib.data.generated.frames import generate_frames
from bcrlib.data.generated.trees import generate_treebank
from bcrlib.parsers.batches import Runtime
from bcrlib.parsers.configuration import NetworkConfig, Seq2SeqConfig, Seq2SeqTraining, TrainingConfig
from bcrlib.parsers.training import fit, new_parser
from bcrlib.samplers.strategies import Beam, DropoutP, KBest

SMALL = NetworkConfig(word_size=8, char_size=8, upos_size=8, hidden_size=8, num_layers=1, arc_size=8, label_size=8)
SMALL_SEQ2SEQ = Seq2SeqConfig(encoder="tiny", tiny_size=16, encoder_layers=1, decoder_layers=1, decoder_size=16)


def compile_trees() -> None:
    """Both dependency parsers train, propose and score once."""
    treebank = generate_treebank(30, seed=1)
    for kind, listed in {"deepbiaf": KBest(4, labelled=True), "stackptr": Beam(4, 4)}.items():
        parser = new_parser(replace(SMALL, kind=kind), treebank, 0, Runtime())
        fit(parser, treebank, treebank, TrainingConfig(num_epochs=1), seed=0)
        for strategy in (listed, DropoutP(0.1, 2)):
            parser.log_probs(treebank, parser.candidates(treebank, strategy))


def compile_frames() -> None:
    """The semantic parser trains, is evaluated, proposes and scores once."""
    bank = generate_frames(30, seed=1)
    parser = new_parser(SMALL_SEQ2SEQ, bank, 0, Runtime())
    fit(parser, bank, bank, Seq2SeqTraining(num_epochs=1), seed=0)
    parser.log_probs(bank, parser.candidates(bank, DropoutP(0.1, 2)))


if __name__ == "__main__":
    compile_trees()
    compile_frames()
