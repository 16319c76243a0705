"""Where speed is measured: on how many sentences, in batches of which sizes, with how many candidates."""

from dataclasses import dataclass

PAPER_BATCH = 32
"""Sentences of a batch in the paper's measurement (section 6.4)."""


@dataclass(frozen=True)
class SpeedGrid:
    """What is varied, each while all else is as in the paper: batches of 32, ten candidates."""

    sentences: int = 512
    """Evenly drawn from the test split; 0: all."""
    num_turns: int = 2
    """The contestants take turns so often, after one to warm up; medians are kept."""
    batch_sizes: tuple[int, ...] = (32, 128, 512)
    """Beside the paper's."""
    num_candidates: tuple[int, ...] = (1, 2, 5, 10, 20)
    """Of dropout-p, and for re-ranking."""
    words: tuple[int, ...] = (5, 10, 20, 40)
    """Lengths; for each, one batch of the sentences that are nearest to it."""

    def __post_init__(self) -> None:
        counts = (self.num_turns, *self.batch_sizes, *self.num_candidates, *self.words)
        if min(counts) < 1 or self.sentences < 0:
            raise ValueError(f"speed is measured on some sentences, in some turns and batches, not {self}")
