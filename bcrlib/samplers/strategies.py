"""How candidates come about: one small object a strategy, and its name in tables and on the command line.

Whoever adds one derives it from `Single`, or from `Drawn`, in a module of its own that bcrlib/samplers/__init__.py
imports: that registers it, and names are written and read as for those below.
"""

import re
from dataclasses import MISSING, dataclass, fields
from typing import TYPE_CHECKING, ClassVar, get_type_hints

if TYPE_CHECKING:  # to count what was sampled needs no torch
    from torch import Tensor

JOINT = "+"
"""Between the parts of a joined strategy's name."""


class Strategy:
    """What a parser can be asked for; it prints as its name."""

    num_candidates: int


class Single(Strategy):
    """A strategy that is no joined one: a frozen dataclass, with a name of its own and what the name says of it."""

    name: ClassVar[str]
    said: ClassVar[dict[str, str]] = {}
    """How parentheses behind the name say fields, e.g. {"b": "width"}: "beam(b=10)". A flag is said or not."""
    kinds: ClassVar[tuple[str, ...]] = ("deepbiaf", "stackptr", "s2s")
    """The kinds of parsers that have it."""

    def __init_subclass__(cls) -> None:
        if "name" in vars(cls):
            STRATEGIES[cls.name] = cls

    def __str__(self) -> str:
        default, words = {field.name: field.default for field in fields(self)}, []
        for word, field in self.said.items():
            value = getattr(self, field)
            if value != default[field]:
                number = f"{value:g}" if isinstance(value, float) else value
                words.append(word if value is True else f"{word}={number}")
        return f"{self.name}({','.join(words)})" if words else self.name


STRATEGIES: dict[str, type[Single]] = {}
"""All that there are, by their names without parentheses."""


@dataclass(frozen=True)
class OneBest(Single):
    """The parser's best structure: the maximum spanning tree, or the first of a beam of the parser's own width."""

    name = "1-best"
    num_candidates: int = 1


@dataclass(frozen=True)
class KBest(Single):
    """The exact k best structures; of a graph-based parser only."""

    name, said, kinds = "k-best", {"labelled": "labelled"}, ("deepbiaf",)
    num_candidates: int = 10
    labelled: bool = False
    """Whether heads and relations vary together; by default heads alone, each tree with its best relations (paper)."""


@dataclass(frozen=True)
class Beam(Single):
    """The best structures that a beam of `width` hypotheses ends with; of a sequential parser only.

    Fewer than `num_candidates` of them: the best one fills the places, as with k-best.
    """

    name, said, kinds = "beam", {"b": "width", "ended": "ended"}, ("stackptr", "s2s")
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


class Drawn(Single):
    """Samples, action by action, each drawn from what is kept of the model's distribution; of a sequential parser only.

    By default the most probable actions are kept first. The cut looks at probabilities after the temperature.
    """

    kinds = ("stackptr", "s2s")
    temperature: float = 1.0

    def __post_init__(self) -> None:
        if not self.temperature > 0:
            raise ValueError(f"a temperature is positive, not {self.temperature}")

    def order(self, probs: "Tensor") -> "Tensor":
        """The actions [..., rank] in the order in which they are kept, given their probabilities [..., action]."""
        return probs.argsort(dim=-1, descending=True, stable=True)

    def keeps(self, ordered: "Tensor") -> "Tensor":
        """Which to keep, given probabilities in that order [..., rank]."""
        raise NotImplementedError


@dataclass(frozen=True)
class TopK(Drawn):
    """Samples among the k most probable actions."""

    name, said = "top-k", {"k": "k", "t": "temperature"}
    k: int
    num_candidates: int = 10
    temperature: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.k < 1:
            raise ValueError(f"top-k chooses among at least one action, not {self.k}")

    def keeps(self, ordered: "Tensor") -> "Tensor":
        """The first k."""
        return ordered.new_ones(ordered.shape[-1]).cumsum(dim=-1) <= self.k


@dataclass(frozen=True)
class Nucleus(Drawn):
    """Samples among the fewest actions that have probability p together (top-p, Holtzman et al. 2020).

    p = 1 samples from the model's own distribution.
    """

    name, said = "nucleus", {"p": "p", "t": "temperature"}
    p: float
    num_candidates: int = 10
    temperature: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.p <= 1:
            raise ValueError(f"a nucleus has a probability in (0, 1], not {self.p}")

    def keeps(self, ordered: "Tensor") -> "Tensor":
        """Those before which the mass does not suffice yet."""
        return ordered.cumsum(dim=-1) - ordered < self.p


@dataclass(frozen=True)
class DropoutP(Single):
    """The best structure of `num_candidates` sub-networks: dropout stays on with rate `p` (paper, section 4.2)."""

    name, said = "dropout-p", {"p": "p"}
    p: float
    num_candidates: int = 10

    def __post_init__(self) -> None:
        if not 0 <= self.p < 1:
            raise ValueError(f"a dropout rate is in [0, 1), not {self.p}")


@dataclass(frozen=True)
class Joined(Strategy):
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


def parse_strategy(text: str, num_candidates: int = 10) -> Strategy:
    """The strategy that prints as `text`, e.g. "k-best", "beam(b=10)", "top-k(k=5)", "nucleus(p=0.9,t=0.7)".

    The letter of the first number may be left out, "beam(10)". Joined ones have a "+" between their parts,
    "k-best+dropout-p(p=0.05)"; `num_candidates` is that of each part.
    ValueError names the choices.
    """
    if JOINT in text:
        return Joined(tuple(_parse_single(part, num_candidates) for part in text.split(JOINT)))
    return _parse_single(text, num_candidates)


def _parse_single(text: str, num_candidates: int) -> Single:
    match = re.fullmatch(r"([^()]+)(?:\(([^()]+)\))?", text)
    kind = STRATEGIES.get(match[1]) if match else None
    values = _values(kind, match[2].split(",") if match[2] else []) if kind else None
    if values is None:
        names = ", ".join(f"{name}({','.join(kind.said)})" if kind.said else name for name, kind in STRATEGIES.items())
        raise ValueError(
            f"unknown strategy {text!r}; choose among {names}, with numbers where a name has some, e.g. beam(b=10) or"
            " top-k(k=5,t=0.7), or join some, k-best+dropout-p(p=0.1)"
        )
    return kind(**values) if kind is OneBest else kind(num_candidates=num_candidates, **values)


def _values(kind: type[Single], words: list[str]) -> dict[str, bool | int | float] | None:
    """The fields that the words behind a name say; None where they are no such words, or one is missing."""
    types, values = get_type_hints(kind), {}
    for text in words:
        letter = f"{next(iter(kind.said), '')}=" if text[:1].isdigit() else ""
        word, equals, number = (letter + text).partition("=")
        field = kind.said.get(word)
        if field is None or field in values or (types[field] is bool) == bool(equals):
            return None
        if equals and not re.fullmatch(r"[0-9]+" if types[field] is int else r"[0-9]+\.?[0-9]*|\.[0-9]+", number):
            return None
        values[field] = types[field](number) if equals else True
    return values if {field.name for field in fields(kind) if field.default is MISSING} <= values.keys() else None
