"""Where speed is measured: on how many sentences, in batches of which sizes, with how many candidates."""

from dataclasses import dataclass

PAPER_BATCH = 32
"""Sentences of a batch in the paper's measurement (section 6.4)."""


@dataclass(frozen=True)
class SpeedGrid:
    """What is varied, each while all else is as in the paper: batches of 32, ten candidates."""

    sentences: int = 500
    """Evenly drawn from the test split."""
    num_turns: int = 3
    """The contestants take turns so often; medians are kept."""
    batch_sizes: tuple[int, ...] = (8, 32, 128)
    """Beside the paper's."""
    num_candidates: tuple[int, ...] = (1, 2, 5, 10, 20)
    """Of dropout-p, and for re-ranking."""
    words: tuple[int, ...] = (5, 10, 20, 40)
    """Lengths; for each, one batch of the sentences that are nearest to it."""
