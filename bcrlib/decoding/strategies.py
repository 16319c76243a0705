"""How candidates come about: one small object a strategy, and its name in tables and on the command line."""

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class OneBest:
    """The parser's best structure."""

    num_candidates: int = 1

    def __str__(self) -> str:
        return "1-best"


@dataclass(frozen=True)
class KBest:
    """The exact k best structures."""

    num_candidates: int = 10

    def __str__(self) -> str:
        return "k-best"


@dataclass(frozen=True)
class DropoutP:
    """The best structure of `num_candidates` sub-networks: dropout stays on with rate `p` (paper, section 4.2)."""

    p: float
    num_candidates: int = 10

    def __post_init__(self) -> None:
        if not 0 <= self.p < 1:
            raise ValueError(f"a dropout rate is in [0, 1), not {self.p}")

    def __str__(self) -> str:
        return f"dropout-p(p={self.p:g})"


Strategy = OneBest | KBest | DropoutP


def parse_strategy(text: str, num_candidates: int = 10) -> Strategy:
    """The strategy that prints as `text`: "1-best", "k-best" or "dropout-p(p=0.15)". ValueError names the choices."""
    if text == "1-best":
        return OneBest()
    if text == "k-best":
        return KBest(num_candidates)
    if match := re.fullmatch(r"dropout-p\(p=([0-9.]+)\)", text):
        return DropoutP(float(match[1]), num_candidates)
    raise ValueError(f"unknown strategy {text!r}; choose 1-best, k-best or dropout-p(p=RATE)")
