"""What reports show of one item: gold, old and new beside each other, as trees, frames or values."""

from collections.abc import Sequence
from dataclasses import dataclass

from bcrlib.data.frames import Node


@dataclass(frozen=True)
class Tree:
    """Heads and relations, one a word."""

    heads: Sequence[int]
    relations: Sequence[str]


@dataclass(frozen=True)
class TreeView:
    """A sentence under three dependency trees."""

    forms: Sequence[str]
    upos: Sequence[str]
    gold: Tree
    old: Tree
    new: Tree | None
    """None: the new file does not have the sentence."""


@dataclass(frozen=True)
class FrameView:
    """An utterance under three frames, as trees and as the texts they were read from."""

    words: Sequence[str]
    gold: Node
    old: Node | None
    """None: no tree."""
    new: Node | None
    texts: tuple[str, str, str]
    """Of gold, old and new; of what is no tree, too."""


@dataclass(frozen=True)
class ValueView:
    """Three values, as text."""

    gold: str
    old: str
    new: str | None
    """None: the new model has no answer."""


View = TreeView | FrameView | ValueView
