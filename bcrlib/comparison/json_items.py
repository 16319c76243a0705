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
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from bcrlib.comparison.slices import named_slices
from bcrlib.comparison.update import JSON_LINES, ItemsError, Update, make_levels
from bcrlib.comparison.views import ValueView
from bcrlib.data.formats import InputFile
from bcrlib.presets import Preset

LEVEL = "EM"
VALUES = ("gold", "old", "new")


@dataclass
class _Columns:
    """What the lines read so far say, a place a line."""

    line_of_id: dict[str, int] = field(default_factory=dict)
    old_right: list[bool] = field(default_factory=list)
    new_right: list[bool] = field(default_factory=list)
    missing: list[bool] = field(default_factory=list)
    seeds_right: list[list[bool]] = field(default_factory=list)
    slices: dict[str, dict[int, str]] = field(default_factory=dict)


def read_json_items(file: InputFile, preset: Preset) -> Update:
    """The update in a file as described above; its only level is EM, whatever the preset.

    Raises ItemsError, with file, line and fault, for bad UTF-8, a line that is no such object, NaN and numbers out of
    range anywhere in it, a key twice, an id twice, a line without gold or old, and where no line has new.  O(bytes).
    """
    lines, columns = _lines(file), _Columns()
    for number, line in enumerate(lines, 1):
        try:
            _add(columns, _read(line), number)
        except (ValueError, RecursionError) as error:
            raise ItemsError(file.name, number, _fault(error)) from None
    if all(columns.missing):
        raise ItemsError(file.name, 1, "no line of the file has a key 'new'")
    num_items = len(lines)
    old, new, missing = (np.array(column) for column in (columns.old_right, columns.new_right, columns.missing))
    seeds = [{LEVEL: right} for right in np.array(columns.seeds_right).T] if columns.seeds_right[0] else []
    slices = {LEVEL: named_slices(columns.slices, num_items)}
    units = {LEVEL: np.arange(num_items)}
    levels = make_levels(units, num_items, {LEVEL: old}, {LEVEL: new}, seeds, slices)

    def view(item: int) -> ValueView:
        record = _read(lines[item])
        return ValueView(*(json.dumps(record[key], ensure_ascii=False) if key in record else None for key in VALUES))

    return Update(JSON_LINES, "id", list(columns.line_of_id), missing, levels, preset, view, {})


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
    try:
        text = file.content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = file.content.count(b"\n", 0, error.start) + 1
        raise ItemsError(file.name, line, f"not UTF-8: byte 0x{file.content[error.start]:02x}") from None
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


def _fault(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "brackets nested too deeply"
    return f"not JSON: {error}" if isinstance(error, json.JSONDecodeError) else str(error)


def _add(columns: _Columns, record: dict[str, Any], number: int) -> None:
    """Judge one item; ValueError with the fault."""
    for key in ("id", "gold", "old"):
        if key not in record:
            raise ValueError(f"no key {key!r}")
    name = _id(record["id"])
    if columns.line_of_id.setdefault(name, number) != number:
        raise ValueError(f"the id {name!r} a second time; the first is in line {columns.line_of_id[name]}")
    gold, seeds = record["gold"], _seeds(record, columns.seeds_right)
    columns.missing.append("new" not in record)
    columns.old_right.append(is_same(record["old"], gold))
    columns.new_right.append("new" in record and is_same(record["new"], gold))
    columns.seeds_right.append([is_same(seed, gold) for seed in seeds])
    for breakdown, value in _slices(record).items():
        columns.slices.setdefault(breakdown, {})[number - 1] = value


def _id(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, (str, int)) or value == "":
        raise ValueError(f"the id {value!r} is neither text nor a whole number")
    return _encodable(str(value))


def _seeds(record: dict[str, Any], so_far: Sequence[list[bool]]) -> list[Any]:
    seeds = record.get("old_seeds", [])
    if not isinstance(seeds, list):
        raise ValueError("'old_seeds' is not a list")
    if so_far and len(seeds) != len(so_far[0]):
        raise ValueError(f"{len(seeds)} old_seeds, but {len(so_far[0])} in the first line")
    return seeds


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
