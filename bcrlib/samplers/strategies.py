"""How candidates come about: one small object a strategy, and its name in tables and on the command line."""

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class OneBest:
    """The parser's best structure: the maximum spanning tree, or the first of a beam of the parser's own width."""

    num_candidates: int = 1

    def __str__(self) -> str:
        return "1-best"


@dataclass(frozen=True)
class KBest:
    """The exact k best structures; of a graph-based parser only."""

    num_candidates: int = 10
    labelled: bool = False
    """Whether heads and relations vary together; by default heads alone, each tree with its best relations (paper)."""

    def __str__(self) -> str:
        return "k-best(labelled)" if self.labelled else "k-best"


@dataclass(frozen=True)
class Beam:
    """The best structures that a beam of `width` hypotheses ends with; of a sequential parser only.

    Fewer than `num_candidates` of them: the best one fills the places, as with k-best.
    """

    width: int
    num_candidates: int = 10
    keep_duplicates: bool = False
    """Whether structures that several sequences of actions lead to are listed several times (authors' code)."""
    ended: bool = False
    """Whether it lists the first `width` structures that ended, as fairseq does, not the best; of s2s alone. Under
    `official` every beam of an s2s does (`Preset.s2s_beam_lists_ended`)."""

    def __post_init__(self) -> None:
        if self.width < 1:
            raise ValueError(f"a beam has at least one hypothesis, not {self.width}")

    def __str__(self) -> str:
        return f"beam(b={self.width}{',ended' if self.ended else ''})"


@dataclass(frozen=True)
class TopK:
    """Samples, action by action, each among the k most probable ones; of a sequential parser only."""

    k: int
    num_candidates: int = 10
    temperature: float = 1.0

    def __post_init__(self) -> None:
        _check_temperature(self.temperature)
        if self.k < 1:
            raise ValueError(f"top-k chooses among at least one action, not {self.k}")

    def __str__(self) -> str:
        return f"top-k(k={self.k}{_temperature(self.temperature)})"


@dataclass(frozen=True)
class Nucleus:
    """Samples, action by action, each among the fewest actions that have probability p together (top-p).

    p = 1 samples from the model's own distribution. Of a sequential parser only.
    """

    p: float
    num_candidates: int = 10
    temperature: float = 1.0

    def __post_init__(self) -> None:
        _check_temperature(self.temperature)
        if not 0 < self.p <= 1:
            raise ValueError(f"a nucleus has a probability in (0, 1], not {self.p}")

    def __str__(self) -> str:
        return f"nucleus(p={self.p:g}{_temperature(self.temperature)})"


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


Single = OneBest | KBest | Beam | TopK | Nucleus | DropoutP
SAMPLING = (TopK, Nucleus, DropoutP)


@dataclass(frozen=True)
class Joined:
    """The candidates of several strategies as one pool, equal structures once; the parts say all that is in it.

    Where a list does not begin with the parser's best structure (a beam of an s2s, whose 1-best is greedy), a part
    `OneBest()` keeps it among the candidates.
    """

    parts: tuple[Single, ...]

    def __post_init__(self) -> None:
        if len(set(map(str, self.parts))) != len(self.parts) or len(self.parts) < 2:
            raise ValueError(f"a joined pool has two or more different parts, not {str(self) or 'none'}")

    @property
    def num_candidates(self) -> int:
        """At most, where all parts' candidates differ."""
        return sum(part.num_candidates for part in self.parts)

    def __str__(self) -> str:
        return JOINT.join(map(str, self.parts))


Strategy = Single | Joined
JOINT = "+"
"""Between the parts of a joined strategy's name."""

_NUMBER = r"([0-9.]+)"
_TEMPERATURE = rf"(?:,t={_NUMBER})?"


def parse_strategy(text: str, num_candidates: int = 10) -> Strategy:
    """The strategy that prints as `text`, e.g. "k-best", "beam(b=10)", "top-k(k=5)", "nucleus(p=0.9,t=0.7)".

    Joined ones have a "+" between their parts, "k-best+dropout-p(p=0.05)"; `num_candidates` is that of each part.
    ValueError names the choices.
    """
    if JOINT in text:
        return Joined(tuple(_parse_single(part, num_candidates) for part in text.split(JOINT)))
    return _parse_single(text, num_candidates)


def _parse_single(text: str, num_candidates: int) -> Single:
    if text == "1-best":
        return OneBest()
    if text in ("k-best", "k-best(labelled)"):
        return KBest(num_candidates, labelled=text != "k-best")
    if match := re.fullmatch(r"beam\(b=([0-9]+)(,ended)?\)", text):
        return Beam(int(match[1]), num_candidates, ended=bool(match[2]))
    if match := re.fullmatch(rf"top-k\(k=([0-9]+){_TEMPERATURE}\)", text):
        return TopK(int(match[1]), num_candidates, float(match[2] or 1))
    if match := re.fullmatch(rf"nucleus\(p={_NUMBER}{_TEMPERATURE}\)", text):
        return Nucleus(float(match[1]), num_candidates, float(match[2] or 1))
    if match := re.fullmatch(rf"dropout-p\(p={_NUMBER}\)", text):
        return DropoutP(float(match[1]), num_candidates)
    raise ValueError(
        f"unknown strategy {text!r}; choose 1-best, k-best, k-best(labelled), beam(b=WIDTH), top-k(k=K),"
        " nucleus(p=P) or dropout-p(p=RATE), or join some, k-best+dropout-p(p=0.1); top-k and nucleus also with a"
        " temperature, top-k(k=5,t=0.7); of an s2s also beam(b=WIDTH,ended), the first that end"
    )


def _temperature(value: float) -> str:
    return "" if value == 1 else f",t={value:g}"


def _check_temperature(value: float) -> None:
    if not value > 0:
        raise ValueError(f"a temperature is positive, not {value}")
