"""Which candidates a parser is to propose: from the options of `bcr candidates` to a strategy."""

from dataclasses import dataclass, fields, replace

from bcrlib.decoding.strategies import JOINT, Beam, DropoutP, Joined, KBest, Nucleus, Strategy, TopK, parse_strategy

STRATEGIES = {
    "deepbiaf": ("1-best", "k-best", "dropout-p"),
    "stackptr": ("1-best", "beam", "top-k", "nucleus", "dropout-p"),
    "s2s": ("1-best", "beam", "top-k", "nucleus", "dropout-p"),
}
"""What each kind of parser can do, by the first part of a strategy's name."""
DEFAULTS = {"deepbiaf": "k-best(labelled)", "stackptr": "beam", "s2s": "beam"}
_IN_WORDS = {"deepbiaf": "a deepbiaf", "stackptr": "a stackptr", "s2s": "an s2s"}


@dataclass(frozen=True)
class StrategyOptions:
    """What was said on the command line; None, or False, where nothing was."""

    beam_width: int | None = None
    k: int | None = None
    p: float | None = None
    temperature: float | None = None
    keep_duplicates: bool = False
    labelled: bool = False

    def given(self) -> set[str]:
        """Names of the options that were said."""
        return {f.name for f in fields(self) if getattr(self, f.name) not in (None, False)}


_OPTIONS = {
    "k-best": {"labelled"},
    "beam": {"beam_width", "keep_duplicates"},
    "top-k": {"k", "temperature"},
    "nucleus": {"p", "temperature"},
    "dropout-p": {"p"},
}


def chosen_strategy(name: str | None, kind: str, num_candidates: int, options: StrategyOptions) -> Strategy:
    """The strategy of this name for a parser of this kind; without a name the kind's own.

    A name is short, e.g. "beam", its numbers then come from the options; or it is a strategy as tables print it, e.g.
    "beam(b=10)", which leaves no choice but `keep_duplicates`. "k-best" is both: without `labelled` the authors' list.
    Joined ones, "k-best(labelled)+dropout-p(p=0.1)", say their numbers themselves. ValueError: an unknown name, a
    strategy that this kind of parser does not have, an option that the strategy does not have or that is missing, a
    number out of range.
    """
    name = DEFAULTS[kind] if name is None else name
    if JOINT in name:
        if options.given():
            told = _flags(options.given())
            raise ValueError(f"--strategy {name!r} joins several: say {told} in the name, a rate as (p=0.1)")
        parts = (chosen_strategy(part, kind, num_candidates, options) for part in name.split(JOINT))
        return Joined(tuple(parts))
    short, parenthesis, _ = name.partition("(")
    every = {strategy for strategies in STRATEGIES.values() for strategy in strategies}
    if short not in every:
        raise ValueError(f"unknown strategy {name!r}; {_choices(kind)}")
    if short not in STRATEGIES[kind]:
        raise ValueError(f"{_IN_WORDS[kind]} has no strategy {short}; {_choices(kind)}")
    foreign = options.given() - _OPTIONS.get(short, set())
    if foreign:
        raise ValueError(f"{_flags(foreign)} is no option of --strategy {short}")
    if kind == "s2s" and options.keep_duplicates:
        raise ValueError("--keep-duplicates is of a stackptr: a frame is written in one way only")
    if parenthesis or short not in _OPTIONS:
        return _spelt_out(name, num_candidates, options)
    return _from_options(short, num_candidates, options)


def _spelt_out(name: str, num_candidates: int, options: StrategyOptions) -> Strategy:
    twice = options.given() - {"keep_duplicates", "labelled"}
    if twice:
        raise ValueError(f"--strategy {name!r} already says what {_flags(twice)} says; give one of them")
    strategy = parse_strategy(name, num_candidates)
    if isinstance(strategy, Beam):
        return replace(strategy, keep_duplicates=options.keep_duplicates)
    return strategy


def _from_options(short: str, num_candidates: int, options: StrategyOptions) -> Strategy:
    temperature = 1.0 if options.temperature is None else options.temperature
    if short == "k-best":
        return KBest(num_candidates, options.labelled)
    if short == "beam":
        width = 10 if options.beam_width is None else options.beam_width
        return Beam(width, num_candidates, options.keep_duplicates)
    if short == "top-k":
        if options.k is None:
            raise ValueError("--strategy top-k needs the number of actions to choose among, e.g. --k 5")
        return TopK(options.k, num_candidates, temperature)
    if options.p is None:
        what = "the probability that is kept, e.g. --p 0.9" if short == "nucleus" else "its rate, e.g. --p 0.15"
        raise ValueError(f"--strategy {short} needs {what}")
    return (
        Nucleus(options.p, num_candidates, temperature) if short == "nucleus" else DropoutP(options.p, num_candidates)
    )


def _choices(kind: str) -> str:
    return f"for {_IN_WORDS[kind]} choose one of {', '.join(STRATEGIES[kind])}"


def _flags(names: set[str]) -> str:
    return ", ".join(f"--{name.replace('_', '-')}" for name in sorted(names))
