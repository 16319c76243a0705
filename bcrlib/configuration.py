"""What a parser is made of and how it is trained: plain numbers, read from profiles and kept in checkpoints."""

from dataclasses import dataclass
from typing import Literal

KINDS = ("deepbiaf", "stackptr")


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
    """Pretrained word vectors: "none", "minilm", or the path of a text file."""
    decoder_input_size: int = 256
    """Of stackptr's decoder, and so are the two below."""
    decoder_size: int = 512
    beam_width: int = 10
    """Of the search for the one best tree."""
    preset: str = "clean"


@dataclass(frozen=True)
class TrainingConfig:
    """A recipe. Defaults: few epochs, token batches, learning rate up and linearly down to zero."""

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
    reset_after: int = 0
    """Epochs without a better dev score after which the best weights come back and Adam starts anew; 0: never."""


AUTHORS_RECIPE = {
    "deepbiaf": TrainingConfig(
        num_epochs=400, batch_tokens=0, learning_rate=1e-3, warmup_steps=40, schedule="exponential",
        epsilon=1e-4, reset_after=20,
    ),
    "stackptr": TrainingConfig(
        num_epochs=600, batch_tokens=0, learning_rate=1e-3, warmup_steps=40, schedule="exponential",
        decay=0.999997, epsilon=1e-4, reset_after=20,
    ),
}  # fmt: skip
