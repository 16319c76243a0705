"""The tasks: what commands, notebooks and the pipeline ask of each, as one object a task.

A new task is an entry of `TASKS` and a module `bcrlib.tasks.NAME` with its TASK. It is imported by
its computed name, so that a change of one task's code leaves the results of the other as they are.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Names:
    """Of one task."""

    in_paper: str
    """The task in the file of the paper's numbers."""
    levels: tuple[str, ...]
    """What is counted: parts (words, spans) and whole structures, in the order of tables."""
    atom_of: Mapping[str, str]
    """Level of whole structures -> level of the parts that they consist of."""
    choice_level: str
    """The level by whose flips hyper-parameters are chosen on dev."""
    listed: Mapping[str, str]
    """Kind of parser -> the strategy that lists its best structures, without chance."""
    suffix: str
    """Of files of structures."""

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of parsers, each after those that it replaces."""
        return tuple(self.listed)


TASKS = {
    "dependency": Names(
        in_paper="dependency-parsing",
        levels=("UAS", "UCM", "LAS", "LCM"),
        atom_of={"UCM": "UAS", "LCM": "LAS"},
        choice_level="LAS",
        listed={
            "deepbiaf-static": "k-best(labelled)",
            "deepbiaf": "k-best(labelled)",
            "stackptr": "beam(b=10)",
        },
        suffix=".conllu",
    ),
    "semantic": Names(
        in_paper="semantic-parsing",
        levels=("spanEM", "EM"),
        atom_of={"EM": "spanEM"},
        choice_level="spanEM",
        listed=dict.fromkeys(("s2s-base-part", "s2s-base", "s2s-large-part", "s2s-large"), "beam(b=10)"),
        suffix=".tsv",
    ),
}
"""By the name of the module `bcrlib.tasks.NAME`."""

AUTHORS_LISTS = {"k-best(labelled)": "k-best"}
"""Strategy of `Names.listed` -> the authors' in its place: proposed beside it, and all that earlier stores have."""


def network_of(kind: str) -> str:
    """The kind whose sizes it has: "deepbiaf-static" -> "deepbiaf", "s2s-base-part" -> "s2s-base"."""
    return kind.removesuffix("-static").removesuffix("-part")


def names_of(kind: str) -> Names:
    """Those of the task of this kind of parser. KeyError for an unknown kind."""
    for names in TASKS.values():
        if kind in names.listed:
            return names
    raise KeyError(f"no task has parsers of the kind {kind!r}")


@dataclass(frozen=True)
class Task:
    """What is done with the structures of one task, for code that does not ask which one it is.

    Banks, pools and parsers are the task's own (`bcrlib.data.candidates.Bank` and `Pool`); parsers bring torch, which
    is imported when one is asked for.
    """

    names: Names
    pool: type[Any]
    """Class of its candidate pools."""
    load: Callable[..., Any]
    """(corpus, split, ambiguity) -> bank. ValueError for an unknown split."""
    corpus_file: Callable[..., Path | None]
    """(corpus, split) -> its file, downloaded where it must be, or None where it is generated. ValueError as `load`."""
    read: Callable[..., Any]
    """(path, kind of parser, gold = False) -> bank: a file to parse, or with `gold` to learn from. FileError, OSError;
    ValueError where it is of the other task."""
    write: Callable[..., None]
    """(bank, pool, path): the first candidate of every item, in the format that `read` takes."""
    scored_units: Callable[..., Any]
    """(gold, preset) -> `bcrlib.metrics.flips.Units`, what counts at each level."""
    correctness: Callable[..., Any]
    """(gold, pool, preset) -> {level: [candidate, unit]}, which are right, in the order of `scored_units`."""
    num_invalid: Callable[..., int]
    """(pool) -> how many candidates are no structure."""
    failures: Callable[..., dict[str, int]]
    """(bank, pool) -> what a summary tells of candidates that are no structure over the words of their item."""
    scored: Callable[..., Any]
    """(parser, bank, pool) -> log p of every candidate and how many tokens it is a sum over, or None where candidates
    of an item are all of one length: what the store keeps."""
    propose: Callable[..., Any]
    """(parser, bank, strategy, seed) -> pool with log p under the parser itself, as candidate files have it."""
    constrained: Callable[..., Any]
    """(parser) -> the parser proposing well-formed structures only. ValueError where it always does."""
    scorers: Callable[..., Any]
    """(models, score, from_file) -> the models scoring by "sum" or "mean", by default as their preset says. from_file:
    log-probabilities of the candidate file, which are sums, are added up with theirs. ValueError for what cannot be."""
    known: Callable[..., Any]
    """(parser) -> the relations or labels that it knows."""


def task_named(name: str) -> Task:
    """ "dependency" or "semantic". KeyError for another."""
    if name not in TASKS:
        raise KeyError(f"no task {name!r}; there are {', '.join(TASKS)}")
    return import_module(f"bcrlib.tasks.{name}").TASK
