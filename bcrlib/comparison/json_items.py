"""An update of any task with exact match, from JSON Lines: an item a line, right where its value is gold's.

    {"id": "q1", "gold": "Paris", "old": "Paris", "new": "Lyon", "old_seeds": ["Paris", "Rome"],
     "slices": {"language": "en"}}

(on one line).  `id`: text or a whole number, another one on every line.  `gold`, `old`, `new`: any JSON values, null
too, equal where they have the same type and content: 1 is 1.0 but not true, and the order of an object's keys does not
matter.  `new` may be left out: the new model has nothing to say, which is wrong.  `old_seeds`: what further seeds of
the old model say, equally many on every line.  `slices`: names of slices, with text, a number or a boolean.  Other keys
are left alone.
"""

import json
import math
from collections import Counter
from typing import Any

import numpy as np

from bcrlib.comparison.update import JSON_LINES, ItemsError, TextView, Update, make_levels
from bcrlib.data.files import InputFile, decoded
from bcrlib.data.presets import Preset
from bcrlib.metrics.breakdowns import Slices, by_tag, merge_rare

LEVEL = "EM"
SIDES = ("gold", "old", "new")


def read_json_items(file: InputFile, preset: Preset) -> Update:
    """The update in a file as described above; its only level is EM, whatever the preset.

    Raises ItemsError, with file, line and fault, for bad UTF-8, a line that is no such object, NaN and numbers out of
    range anywhere in it, a key twice, an id twice, a line without gold or old, and where no line has new.  O(bytes).
    """
    lines = _lines(file)
    line_of_id: dict[str, int] = {}
    answers: list[list[bool]] = []
    slices: list[dict[str, str]] = []
    missing: list[bool] = []
    for number, line in enumerate(lines, 1):
        try:
            record = _read(line)
            name, right = _judged(record)
            if line_of_id.setdefault(name, number) != number:
                raise ValueError(f"the id {name!r} a second time; the first is in line {line_of_id[name]}")
            answers.append(right)
            if len(right) != len(answers[0]):
                raise ValueError(f"{len(right) - 2} old_seeds, but {len(answers[0]) - 2} in the first line")
            missing.append("new" not in record)
            slices.append(_slices(record))
        except json.JSONDecodeError as error:
            raise ItemsError(file.name, number, f"not JSON: {error}") from None
        except RecursionError:
            raise ItemsError(file.name, number, "brackets nested too deeply") from None
        except ValueError as error:
            raise ItemsError(file.name, number, str(error)) from None
    if all(missing):
        raise ItemsError(file.name, 1, "no line of the file has a key 'new'")

    def by_name() -> dict[str, dict[str, Slices]]:
        breakdowns = dict.fromkeys(name for named in slices for name in named)
        return {LEVEL: {b: merge_rare(by_tag([named.get(b, "") for named in slices])) for b in breakdowns}}

    def view(item: int) -> TextView:
        record = _read(lines[item])
        values = (json.dumps(record[key], ensure_ascii=False) if key in record else None for key in SIDES)
        return TextView(tuple(values))

    right = [{LEVEL: column} for column in np.array(answers).T]
    levels = make_levels({LEVEL: np.arange(len(lines))}, len(lines), right)
    return Update(JSON_LINES, "id", list(line_of_id), np.array(missing), levels, preset, by_name, view, {})


def is_same(first: Any, second: Any) -> bool:
    """Whether two JSON values are: Python takes true for 1, JSON does not.  RecursionError for deep ones.  O(size)."""
    if isinstance(first, bool) or isinstance(second, bool):
        return first is second
    if isinstance(first, list) and isinstance(second, list):
        return len(first) == len(second) and all(map(is_same, first, second))
    if isinstance(first, dict) and isinstance(second, dict):
        return first.keys() == second.keys() and all(is_same(value, second[key]) for key, value in first.items())
    return first == second


def _lines(file: InputFile) -> list[str]:
    text = decoded(file.content, file.name, ItemsError)
    if not text:
        raise ItemsError(file.name, 1, "the file is empty; it must hold at least one item")
    if text.startswith("\ufeff"):
        raise ItemsError(file.name, 1, "byte order mark before the first line")
    return text.removesuffix("\n").split("\n")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        ((twice, _),) = Counter(name for name, _ in pairs).most_common(1)
        raise ValueError(f"the key {twice!r} stands twice in one object")
    return found


def _refuse_constant(constant: str) -> None:
    raise ValueError(f"{constant} is not a JSON value")


def _number(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"the number {text} is out of range")
    return number


_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_refuse_constant, parse_float=_number)


def _read(line: str) -> dict[str, Any]:
    record = _DECODER.decode(line)
    if not isinstance(record, dict):
        raise ValueError("the line is not a JSON object")
    return record


def _judged(record: dict[str, Any]) -> tuple[str, list[bool]]:
    """The id of an item, and whether old, new and the further seeds of old are right; ValueError with the fault."""
    for key in ("id", "gold", "old"):
        if key not in record:
            raise ValueError(f"no key {key!r}")
    name, gold, seeds = record["id"], record["gold"], record.get("old_seeds", [])
    if isinstance(name, bool) or not isinstance(name, (str, int)) or name == "":
        raise ValueError(f"the id {name!r} is neither text nor a whole number")
    if not isinstance(seeds, list):
        raise ValueError("'old_seeds' is not a list")
    new_right = "new" in record and is_same(record["new"], gold)
    return _encodable(str(name)), [is_same(record["old"], gold), new_right, *(is_same(seed, gold) for seed in seeds)]


def _slices(record: dict[str, Any]) -> dict[str, str]:
    slices = record.get("slices", {})
    if not isinstance(slices, dict):
        raise ValueError("'slices' is not an object")
    for breakdown, value in slices.items():
        if not isinstance(value, (str, int, float)):
            raise ValueError(f"the slice {breakdown!r} is neither text nor a number nor a boolean")
    texts = {name: value if isinstance(value, str) else json.dumps(value) for name, value in slices.items()}
    return {_encodable(name): _encodable(text) for name, text in texts.items()}


def _encodable(text: str) -> str:
    """The text with halves of characters, which JSON can spell but no encoding has, as escapes."""
    return text if text.isprintable() else text.encode("utf-8", "backslashreplace").decode("utf-8")
