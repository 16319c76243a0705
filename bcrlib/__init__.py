"""Measuring and reducing model update regression in structured prediction.

What a script or a class needs has its name here: parsers, samplers, the choice, what flips. A name is imported when it
is asked for, so that counting needs no torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bcrlib.comparison.verdict import assert_no_regression as assert_no_regression
    from bcrlib.comparison.verdict import compare as compare
    from bcrlib.metrics.flips import flips as flips
    from bcrlib.parsers.training import load as load
    from bcrlib.parsers.training import train as train
    from bcrlib.reranking import bcr_scores as bcr_scores
    from bcrlib.reranking import choose as choose
    from bcrlib.samplers.strategies import Beam as Beam
    from bcrlib.samplers.strategies import DropoutP as DropoutP
    from bcrlib.samplers.strategies import Joined as Joined
    from bcrlib.samplers.strategies import KBest as KBest
    from bcrlib.samplers.strategies import Nucleus as Nucleus
    from bcrlib.samplers.strategies import OneBest as OneBest
    from bcrlib.samplers.strategies import TopK as TopK
    from bcrlib.samplers.strategies import parse_strategy as parse_strategy

__version__ = "0.1.0"

FACE = {
    "load": "bcrlib.parsers.training",
    "train": "bcrlib.parsers.training",
    **dict.fromkeys(
        ("OneBest", "KBest", "Beam", "TopK", "Nucleus", "DropoutP", "Joined", "parse_strategy"),
        "bcrlib.samplers.strategies",
    ),
    "bcr_scores": "bcrlib.reranking",
    "choose": "bcrlib.reranking",
    "flips": "bcrlib.metrics.flips",
    **dict.fromkeys(("compare", "assert_no_regression"), "bcrlib.comparison.verdict"),
}
"""Name -> the module that it is imported from."""


def __getattr__(name: str) -> Any:
    if name not in FACE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(FACE[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *FACE})
