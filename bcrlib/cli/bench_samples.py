"""What `bcr bench` is asked for and finds, and its sentences: evenly drawn from the test split of a corpus at hand."""

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:  # at run time these would bring numba
    from bcrlib.bench.bars import Bar
    from bcrlib.data.frames import FrameBank
    from bcrlib.data.treebank import Treebank


@dataclass(frozen=True)
class Asked:
    """Options of the command; None: what is sensible."""

    corpus: str | None
    sentences: int | None
    frames: str | None
    utterances: int | None
    turns: int
    profile: str | None


class Measured(NamedTuple):
    """What the command prints."""

    result: dict[str, Any]
    bars: list["Bar"]
    told: str
    """Where it was measured, for people."""


# Without BCRLIB_DATA a corpus would be downloaded: no measurement is worth that surprise.


def sampled_trees(asked: Asked, number: int) -> tuple[str, "Treebank"]:
    """The corpus, by default ewt where it is at hand, else demo, and its sentences: `number` if nothing is asked."""
    from bcrlib.bench import dependency
    from bcrlib.bench.contestants import evenly_drawn
    from bcrlib.data.corpora import load_treebank

    name = asked.corpus or ("ewt" if _has_ewt() else "demo")
    number = number if asked.sentences is None else asked.sentences
    return name, evenly_drawn(dependency, load_treebank(name, "test"), number)


def sampled_frames(asked: Asked, number: int) -> tuple[str, "FrameBank"]:
    """The corpus, by default top where it is at hand, else demo, and its utterances: `number` if nothing is asked."""
    from bcrlib.bench import semantic
    from bcrlib.bench.contestants import evenly_drawn
    from bcrlib.data.frame_corpora import load_frames

    name = asked.frames or ("top" if _has_top() else "demo")
    number = number if asked.utterances is None else asked.utterances
    return name, evenly_drawn(semantic, load_frames(name, "test"), number)


def _has_ewt() -> bool:
    from bcrlib.data.download import ewt_path

    return bool(os.environ.get("BCRLIB_DATA")) and ewt_path("test").is_file()


def _has_top() -> bool:
    from bcrlib.data.download import DataError, top_path

    if not os.environ.get("BCRLIB_DATA"):
        return False
    try:
        top_path("test")
    except DataError:
        return False
    return True
