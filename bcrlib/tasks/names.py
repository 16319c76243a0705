"""What tells the tasks apart where nothing is parsed: the kinds of parsers, and the levels at which is counted.

No torch, no corpus, none of our modules: a change of one task's code leaves the results of the other as they are.
"""

from collections.abc import Mapping
from dataclasses import dataclass


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
