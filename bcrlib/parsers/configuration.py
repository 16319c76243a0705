"""What a parser is made of and how it is trained: plain numbers, read from profiles and kept in checkpoints."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

KINDS = {
    "deepbiaf": "bcrlib.parsers.deepbiaf:DeepBiafParser",
    "stackptr": "bcrlib.parsers.stackptr:StackPtrParser",
    "s2s": "bcrlib.parsers.s2s:Seq2SeqParser",
}
"""Kind of parser -> its class, in a module that is imported when somebody asks for it."""
CONFIG = "config.json"
"""Of a saved parser: its kind and what else it is made of."""


def kind_of(folder: Path) -> str:
    """The kind of the parser saved in a folder, all sizes of s2s being one. OSError, ValueError: there is none."""
    try:
        kind = json.loads((folder / CONFIG).read_bytes())["kind"]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{folder}: not a trained parser: {type(error).__name__}: {error}") from None
    if kind not in KINDS:
        raise ValueError(f"{folder}: a model of kind {kind!r}, expected one of {', '.join(KINDS)}")
    return kind


@dataclass(frozen=True)
class NetworkConfig:
    """Sizes and definitions of a parser; the defaults are the paper's (section 6.1 and the authors' configuration)."""

    kind: str = "deepbiaf"
    """The graph-based "deepbiaf" or the transition-based "stackptr"; their encoders are the same."""
    word_size: int = 100
    char_size: int = 100
    upos_size: int = 100
    hidden_size: int = 512
    """Of each direction of the encoder."""
    num_layers: int = 3
    arc_size: int = 512
    label_size: int = 128
    vectors: str = "none"
    """Pretrained word vectors: "none"; static ones, "minilm" or the path of a text file; or contextual ones,
    "minilm-context" or "mpnet-context", hidden states of a frozen encoder."""
    decoder_input_size: int = 256
    """Of stackptr's decoder, and so are the two below."""
    decoder_size: int = 512
    beam_width: int = 10
    """Of the search for the one best tree."""
    preset: str = "clean"


class Recipe:
    """What a training asks for (`bcrlib.parsers.training`), where a kind's recipe has no field of that name."""

    num_steps = 0
    dev_every = 1
    reset_after = 0


@dataclass(frozen=True)
class TrainingConfig(Recipe):
    """A recipe for parsers of trees. Defaults: few epochs, token batches, learning rate up and linearly down to zero.

    That of the authors is in the profile "authors".
    """

    num_epochs: int = 12
    batch_tokens: int = 1000
    """Positions of a batch; 0 takes the authors' buckets of 32 sentences."""
    learning_rate: float = 2e-3
    warmup_steps: int = 100
    schedule: Literal["linear", "exponential"] = "linear"
    """Down to zero at the end, or the authors' constant factor a step."""
    decay: float = 0.999995
    """Factor a step of the exponential schedule."""
    beta1: float = 0.9
    beta2: float = 0.9
    epsilon: float = 1e-8
    weight_decay: float = 0.0
    dropout: float = 0.33
    """At every place: vectors, recurrences, encodings, projections."""
    clip: float = 5.0
    """Largest norm of the gradient; 0: not clipped."""
    reset_after: int = 0
    """Epochs without a better dev score after which the best weights come back and Adam starts anew; 0: never."""
    patience: int = 0
    """Epochs without a better dev score after which the training ends; 0: it goes on to the last."""


@dataclass(frozen=True)
class Seq2SeqConfig:
    """Sizes and definitions of a seq2seq-pointer parser; the defaults are the paper's s2s-base."""

    kind: ClassVar[str] = "s2s"
    encoder: str = "roberta-base"
    """Pretrained encoder: a name on the hub or a folder that `AutoModel.from_pretrained` takes, "minilm" (MiniLM-L6) or
    "mpnet" (MPNet-base) from hash-pinned wheels, or "tiny": untrained, its pieces learnt from the training data."""
    encoder_layers: int = 0
    """How many of the encoder's layers are used, from the first; 0: all."""
    tiny_size: int = 64
    """Width of the encoder "tiny"."""
    decoder_layers: int = 6
    decoder_size: int = 512
    decoder_inner_size: int = 1024
    """Of the feed-forward layers."""
    decoder_heads: int = 4
    max_pieces: int = 128
    """Most pieces of an utterance that can be pointed at."""
    max_steps: int = 200
    """Most actions of a decoded frame, the end included."""
    constrained: bool = False
    """Whether decoding allows well-formed frames over all words only."""
    preset: str = "clean"


@dataclass(frozen=True)
class Seq2SeqTraining(Recipe):
    """A recipe for fine-tuning. Defaults: token batches, learning rate up and linearly down to zero."""

    num_epochs: int = 10
    batch_tokens: int = 6000
    """Word pieces and actions of a batch; 0 takes the authors' batches of 512 utterances."""
    learning_rate: float = 1e-3
    """Of the decoder, which starts from nothing."""
    encoder_learning_rate: float = 2e-4
    warmup_steps: int = 200
    schedule: Literal["linear", "inverse_sqrt"] = "linear"
    """Down to zero at the end, or with the inverse square root of the step (authors)."""
    num_steps: int = 0
    """Ends the training after this many updates; 0: after `num_epochs`."""
    beta1: float = 0.9
    beta2: float = 0.98
    epsilon: float = 1e-8
    weight_decay: float = 1e-4
    dropout: float = 0.1
    attention_dropout: float = 0.1
    label_smoothing: float = 0.1
    clip: float = 1.0
    """Largest norm of the gradient; 0: not clipped."""
    train_embeddings: bool = True
    """Whether the encoder's table of pieces is trained too."""
    dev_every: int = 1
    """Epochs between two evaluations on dev; the last epoch is always evaluated."""
    patience: int = 0
    """Epochs without a better dev score after which the training ends; 0: it goes on to the last."""


SMALL = dict.fromkeys(
    ("deepbiaf", "stackptr"),
    (
        NetworkConfig(
            word_size=32, char_size=16, upos_size=16, hidden_size=64, num_layers=1, arc_size=64, label_size=32,
            decoder_input_size=32, decoder_size=64,
        ),
        TrainingConfig(num_epochs=6, batch_tokens=300, warmup_steps=10, learning_rate=1.5e-2, dropout=0.2),
    ),
) | {
    "s2s": (
        Seq2SeqConfig(
            encoder="tiny", encoder_layers=1, tiny_size=48, decoder_layers=1, decoder_size=64, decoder_inner_size=128,
            decoder_heads=2, max_steps=60,
        ),
        Seq2SeqTraining(
            num_epochs=6, batch_tokens=400, learning_rate=6e-3, encoder_learning_rate=6e-3, warmup_steps=30,
            dropout=0.05,
        ),
    )
}  # fmt: skip
"""Kind of parser -> sizes and a recipe with which it learns in seconds: to look into and to teach with."""
