"""What stands under every table, figure and drawing: its record, a small JSON file beside it."""

import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from bcrlib import __version__

Kind = Literal["table", "figure", "drawing"]
_NAME = re.compile(r"[a-z][a-z0-9_]*")
_NUMBERED = re.compile(r"(table|figure)(\d+)(?:_([a-z0-9_]+))?")


@dataclass(frozen=True)
class Record:
    """One table, figure or drawing: its claim, where it comes from and its numbers."""

    kind: Kind
    name: str
    """The file name without ending: "table3", "figure2", "table3_labelled"."""
    title: str
    """The claim, one sentence."""
    caption: str
    """What is shown: units, intervals, what the reader should see."""
    signature: str
    """The settings under the numbers, `key:value` joined by `|`."""
    command: str
    """The shell command that makes it."""
    rows: list[dict]
    """The numbers: rates in [0, 1]; absent values are None."""

    @property
    def label(self) -> str:
        return label(self.name)


def label(name: str) -> str:
    """ "table3" -> "Table 3", "figure2_words" -> "Figure 2 (words)", other names as plain words."""
    match = _NUMBERED.fullmatch(name)
    if match is None:
        return name.replace("_", " ").capitalize()
    kind, number, suffix = match.groups()
    return f"{kind.capitalize()} {number}" + (f" ({suffix.replace('_', ' ')})" if suffix else "")


def format_signature(settings: Mapping[str, object]) -> str:
    """The settings under a number as one string: `key:value|...|v:VERSION`; lists joined by commas.

    Two numbers may be compared when their signatures agree.
    """

    def text(value: object) -> str:
        if isinstance(value, (set, frozenset)):
            value = sorted(value)
        return ",".join(map(str, value)) if isinstance(value, (list, tuple, np.ndarray)) else str(value)

    return "|".join(f"{key}:{text(value)}" for key, value in [*settings.items(), ("v", __version__)])


def check_name(name: str) -> None:
    """ValueError unless `name` is lower-case letters, digits and underscores: it becomes a file name."""
    if not _NAME.fullmatch(name):
        raise ValueError(f"{name!r} cannot name a table or figure: lower-case letters, digits, _ only")


def _plain(value: object) -> object:
    """A value as JSON has it; floats at ten digits, so that the last bit of a sum changes no file."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float):
        return round(value, 10) if math.isfinite(value) else None
    return value


def plain_rows(frame: pd.DataFrame) -> list[dict]:
    """The rows of a frame as JSON-ready dicts; NaN becomes None. O(cells)."""
    return [{str(k): _plain(v) for k, v in row.items()} for row in frame.to_dict(orient="records")]


def write_record(record: Record, folder: Path) -> None:
    """Writes folder/NAME.json; the same record gives the same bytes."""
    check_name(record.name)
    folder.mkdir(parents=True, exist_ok=True)
    fields = {"kind": record.kind, "name": record.name, "label": record.label, "title": record.title}
    fields |= {"caption": record.caption, "signature": record.signature, "command": record.command}
    write_text(folder / f"{record.name}.json", json_with_rows(fields, record.rows))


def json_with_rows(fields: Mapping[str, object], rows: Iterable[Mapping[str, object]]) -> str:
    """{FIELDS, "rows": ROWS} as JSON, a row a line: readable, and a changed number is one changed line in a diff.

    ValueError without a field.
    """
    if not fields:
        raise ValueError("rows alone do not say what they are: name a field")
    head = json.dumps(fields, ensure_ascii=False, indent=1).removesuffix("\n}")
    lines = ",".join(f"\n  {json.dumps(row, ensure_ascii=False)}" for row in rows)
    return f'{head},\n "rows": [{lines}]\n}}\n'


def read_record(path: Path) -> Record:
    """Reads back what write_record wrote; ValueError names the file that is something else."""
    fields = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(fields, dict) or fields.pop("label", None) is None:
        raise ValueError(f"{path}: not the record of a table or figure")
    return Record(**fields)


def write_text(path: Path, content: str) -> None:
    """UTF-8 with bare line feeds, on every platform."""
    path.write_text(content, encoding="utf-8", newline="\n")
