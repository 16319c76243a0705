"""What is measured of a parser's speed, and where: its steps, and sentences, batches and candidates; without torch."""

from dataclasses import dataclass

PAPER_BATCH = 32
"""Sentences of a batch in the paper's measurement (section 6.4)."""
NUM_CANDIDATES = 10
"""Of a sentence, where their number is not what is varied."""
SEMANTIC = "s2s"
"""The kind of parser of the other task; it reads frames, not trees."""
SPEED, MEMORY = "per_second", "peak_bytes"
"""What is measured: sentences a second; the most bytes of tensors at once."""


@dataclass(frozen=True)
class Step:
    """Something that a parser does with sentences."""

    name: str
    """As tables write it."""
    num_candidates: int = NUM_CANDIDATES
    """Of a sentence."""
    in_paper: str = ""
    """Its stage in the file of the paper's numbers."""


STEPS = {
    "encoder": Step("the encoder alone", 0),
    "bare LSTM": Step("torch.nn.LSTM of its size", 0),
    "1-best": Step("1-best", 1, "decode"),
    "greedy": Step("1-best, greedy", 1),
    "k-best": Step("ten candidates, k-best"),
    "beam": Step("ten candidates, beam"),
    "dropout-p": Step("ten candidates, dropout-p in one pass"),
    "dropout-p, one by one": Step("ten candidates, dropout-p in ten passes"),
    "re-ranking": Step("re-ranking ten candidates", in_paper="re-rank"),
    "re-ranking dropout-p": Step("re-ranking ten candidates of dropout-p"),
}
"""By the name in records; with the usual number of candidates."""


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
