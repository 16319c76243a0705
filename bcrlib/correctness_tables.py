"""The parquet tables of the committed correctness: rows of one key and one array each."""

import os
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from jaxtyping import Shaped

Key = tuple
Rows = dict[Key, Shaped[np.ndarray, "_"]]

_RIGHT = pa.field("right", pa.list_(pa.bool_()))
_PRESET_LEVEL = [pa.field("preset", pa.string()), pa.field("level", pa.string())]
_POOL = [pa.field("proposer", pa.string()), pa.field("strategy", pa.string())]
_CANDIDATE = pa.field("candidate", pa.int16())
_SYSTEM = [
    pa.field("method", pa.string()),
    pa.field("model", pa.string()),
    pa.field("seed", pa.int32()),
    pa.field("teacher", pa.string()),
    pa.field("members", pa.list_(pa.int32())),
]
_SENTENCE_OF_UNIT = [
    pa.field("num_sentences", pa.int32()),
    pa.field("sentence_of_unit", pa.list_(pa.int32())),
]

SCHEMAS = {
    "units": pa.schema([*_PRESET_LEVEL, *_SENTENCE_OF_UNIT]),
    "systems": pa.schema([*_SYSTEM, *_PRESET_LEVEL, _RIGHT]),
    "pools": pa.schema([*_POOL, *_PRESET_LEVEL, _CANDIDATE, _RIGHT]),
    "scores": pa.schema([*_POOL, pa.field("scorer", pa.string()), _CANDIDATE, pa.field("steps", pa.list_(pa.int32()))]),
    "lengths": pa.schema(
        [*_POOL, pa.field("scorer", pa.string()), _CANDIDATE, pa.field("tokens", pa.list_(pa.int16()))]
    ),
    "copies": pa.schema([*_POOL, _CANDIDATE, pa.field("first_equal", pa.list_(pa.int16()))]),
}
"""Columns of each table; the last one is the array, all others are the key."""


def write_rows(file: Path, table: str, rows: Rows, *, dense: bool = False) -> None:
    """Write one file of a table, at once or not at all; the same rows give the same bytes.  O(values).

    dense: in a sixth fewer bytes, and many times as slowly.
    """
    schema, keys = SCHEMAS[table], sorted(rows, key=_sortable)
    columns = [pa.array([key[i] for key in keys], field.type) for i, field in enumerate([*schema][:-1])]
    ends = np.cumsum([0] + [len(rows[key]) for key in keys]).astype(np.int32)
    values = pa.array(np.concatenate([rows[key] for key in keys]), schema.field(-1).type.value_type)
    columns.append(pa.ListArray.from_arrays(ends, values))
    content = pa.Table.from_arrays(columns, schema=schema)
    write_whole(file, lambda unfinished: _write(content, unfinished, *(("brotli", 11) if dense else ("zstd", 1))))


def _write(content: pa.Table, file: Path, compression: str, level: int) -> None:
    """Scores and lengths byte by byte, the first bytes of all together: those are alike."""
    field = content.schema.field(-1)
    is_split = field.name in ("steps", "tokens")
    encoding = {f"{field.name}.list.element": "BYTE_STREAM_SPLIT"} if is_split else None
    pq.write_table(
        content,
        file,
        compression=compression,
        compression_level=level,
        use_dictionary=not is_split,
        column_encoding=encoding,
    )


def write_whole(file: Path, write: Callable[[Path], object]) -> None:
    """Let `write` fill a temporary neighbour, then rename it: a killed run leaves no half file there."""
    file.parent.mkdir(parents=True, exist_ok=True)
    unfinished = file.with_name(f".{file.name}.{os.getpid()}.unfinished")
    try:
        write(unfinished)
        os.replace(unfinished, file)
    finally:
        unfinished.unlink(missing_ok=True)


def read_rows(table: str, folders: Iterable[Path]) -> Rows:
    """All rows of a table in these folders, by key, whether merged or still one file a job.

    Raises ValueError for a file with other columns, or where two files differ about the same key.  O(values).
    """
    rows: Rows = {}
    for file in sorted(file for folder in folders for file in folder.glob(f"{table}*.parquet")):
        for key, values in _read_file(file, table).items():
            if not np.array_equal(rows.setdefault(key, values), values):
                raise ValueError(f"{file}: differs from another file about {key}")
    return dict(sorted(rows.items(), key=lambda row: _sortable(row[0])))


def _read_file(file: Path, table: str) -> Rows:
    content = pq.read_table(file)
    if not content.schema.equals(SCHEMAS[table]):
        raise ValueError(f"{file}: columns {content.column_names}, not those of the table {table!r}")
    *key_columns, arrays = (column.combine_chunks() for column in content.columns)
    keys = zip(*(map(_hashable, column.to_pylist()) for column in key_columns))
    ends = arrays.offsets.to_numpy()
    values = arrays.values.to_numpy(zero_copy_only=False)
    return {key: values[start:end] for key, start, end in zip(keys, ends, ends[1:])}


def _hashable(value: object) -> object:
    return tuple(value) if isinstance(value, list) else value


def _sortable(key: Key) -> list:
    return ["" if part is None else part for part in key]  # only the name of a teacher may be missing
