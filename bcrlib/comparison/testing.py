"""`bcr compare` in Python: the verdict on two files, and the gate as an assertion, for a test of your own.


    def test_the_update_may_ship():
        assert_no_regression("gold.conllu", "old.conllu", "new.conllu", max_nfr=0.01, must_not_break=["demo-1"])

It needs no model, and imports neither torch nor pytest.
"""

import os
from collections.abc import Iterable, Mapping

from bcrlib.comparison.gate import EVERY_LEVEL, Gate, read_must_not_break
from bcrlib.comparison.items import read_items
from bcrlib.comparison.read import Path, read_update
from bcrlib.comparison.reports import failure_text
from bcrlib.comparison.verdict import Verdict, judge
from bcrlib.data.presets import preset as preset_named

Limit = float | Mapping[str, float] | None


class CannotTell(AssertionError):
    """A confident gate for which there are too few items: it neither passes nor fails."""


def compare(gold: Path, old: Path, new: Path, preset: str = "clean") -> Verdict:
    """The verdict on two prediction files of the same items, CoNLL-U or rows of TOP. Errors as of `read_update`."""
    return judge(read_update(gold, old, new, [], preset_named(preset)), Gate())


def assert_no_regression(
    gold: Path,
    old: Path | None = None,
    new: Path | None = None,
    *,
    max_nfr: Limit = None,
    max_nfi: Limit = None,
    must_not_break: Iterable[str] | os.PathLike[str] = (),
    confident: bool = False,
    old_seeds: Iterable[Path] = (),
    new_seeds: Iterable[Path] = (),
    preset: str = "clean",
) -> None:
    """AssertionError unless the update keeps to all that is asked; its text has the failed checks and the worst items.

    Files as in `bcr compare`: CoNLL-U or rows of TOP, or as `gold` alone one file of JSON Lines.  max_nfr, max_nfi: a
    rate in [0, 1] for every level, or {level: rate}.  must_not_break: ids, or the path of a file with one a line, as an
    `os.PathLike`.  Where neither of the three is given, nothing at all may break: max_nfr = 0.  confident: bounds are
    kept where the whole 95 % interval keeps to them; `CannotTell`, an AssertionError, where the limit lies within it.
    Bad input is no failed assertion but a ValueError with file, line and fault, or an OSError.  Cost as `bcr compare`.
    """
    __tracebackhide__ = True  # pytest then points to the caller's line
    listed = _listed(must_not_break)
    if max_nfr is None and max_nfi is None and not listed:
        max_nfr = 0.0
    definitions = preset_named(preset)
    if old is None and new is None:
        update = read_items(gold, definitions)
    elif old is None or new is None:
        raise ValueError("give gold, old and new, or one file of JSON Lines alone")
    else:
        update = read_update(gold, old, new, list(old_seeds), definitions, new_seeds=list(new_seeds))
    verdict = judge(update, Gate(_limits(max_nfr), _limits(max_nfi), listed, confident))
    if not verdict.passed:
        raise (AssertionError if verdict.outcome == "failed" else CannotTell)(failure_text(verdict))


def _limits(limit: Limit) -> Mapping[str, float]:
    if limit is None:
        return {}
    return limit if isinstance(limit, Mapping) else {EVERY_LEVEL: limit}


def _listed(must_not_break: Iterable[str] | os.PathLike[str]) -> dict[str, str]:
    if isinstance(must_not_break, str):
        raise ValueError(f"must_not_break={must_not_break!r}: give a list of ids, or a pathlib.Path")
    if isinstance(must_not_break, os.PathLike):
        return read_must_not_break(must_not_break)
    return {name: f"must_not_break[{place}]" for place, name in enumerate(must_not_break)}
