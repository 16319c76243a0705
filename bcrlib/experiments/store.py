"""The committed correctness: all that tables need of real runs, without text or annotation of a corpus.

A folder holds one evaluated corpus file (EWT test, say, or TOP test) as six parquet tables, each with key columns and
one column of arrays. Which levels there are is the task's affair (bcrlib.tasks); sentences are utterances in TOP.

    table    key                                                   array
    units    preset, level, num_sentences                          sentence_of_unit
    systems  method, model, seed, teacher, members, preset, level  right: units the 1-best gets right
    pools    proposer, strategy, preset, level, candidate          right: units the candidate gets right
    scores   proposer, strategy, scorer, candidate                 steps: its log-probability by sentence
    lengths  proposer, strategy, scorer, candidate                 tokens: of frames, what its probability is made of
    copies   proposer, strategy, candidate                         first_equal: first copy of the same tree

While jobs run side by side, each `save_*` makes files of its own; `consolidate` merges such folders into one
file a table, where pools, scores and lengths hold nothing of a candidate in sentences where it is a copy. Stores of
trees, and of frames made before there were any, have no lengths.
"""

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from jaxtyping import Bool, Float32, Int16, Int64, Shaped

from bcrlib.data.files import whole, write_whole
from bcrlib.metrics.flips import Units

MANIFEST = "manifest.json"
SCORE_STEP = 1 / 512  # nats
_IMPOSSIBLE = np.iinfo(np.int32).min  # steps of a log-probability of -inf

Score = Literal["sum", "mean"]
"""How candidates are compared: by log p, or by its mean over the tokens that the scoring model reads."""
Rows = dict[tuple, Shaped[np.ndarray, "_"]]
"""Key -> array."""

_LEVEL = [("preset", pa.string()), ("level", pa.string())]
_POOL = [("proposer", pa.string()), ("strategy", pa.string())]
_SCORER, _CANDIDATE = ("scorer", pa.string()), ("candidate", pa.int16())
_SYSTEM = [
    ("method", pa.string()),
    ("model", pa.string()),
    ("seed", pa.int32()),
    ("teacher", pa.string()),
    ("members", pa.list_(pa.int32())),
]
_RIGHT = ("right", pa.list_(pa.bool_()))
SCHEMAS = {
    "units": pa.schema([*_LEVEL, ("num_sentences", pa.int32()), ("sentence_of_unit", pa.list_(pa.int32()))]),
    "systems": pa.schema([*_SYSTEM, *_LEVEL, _RIGHT]),
    "pools": pa.schema([*_POOL, *_LEVEL, _CANDIDATE, _RIGHT]),
    "scores": pa.schema([*_POOL, _SCORER, _CANDIDATE, ("steps", pa.list_(pa.int32()))]),
    "lengths": pa.schema([*_POOL, _SCORER, _CANDIDATE, ("tokens", pa.list_(pa.int16()))]),
    "copies": pa.schema([*_POOL, _CANDIDATE, ("first_equal", pa.list_(pa.int16()))]),
}
"""Columns of each table; the last one is the array, all others are the key."""


@dataclass(frozen=True)
class System:
    """A parser whose 1-best was counted."""

    method: str
    """"old" or "new" (a single model before or after an update), "ensemble", or a student by "distillation"; "growing
    ensemble" for one of a row of ensembles, each with the members of the one before it and one more."""
    model: str
    """Kind of parser: "stackptr", "s2s-base"."""
    seed: int
    teacher: str | None = None
    """Name of the old model that taught a student."""
    members: tuple[int, ...] = ()
    """Seeds of the parsers in an ensemble."""

    @property
    def name(self) -> str:
        """The one name of this parser, for scorers and the bootstrap: "stackptr/123" for a single model."""
        if self.method in ("old", "new"):
            return f"{self.model}/{self.seed}"
        made_of = ",".join(map(str, self.members)) if self.teacher is None else self.teacher
        return f"{self.model}/{self.method}({made_of})/{self.seed}"


@dataclass(frozen=True)
class Pool:
    """A candidate pool: who proposed it ("stackptr/1"), and how ("dropout-p(p=0.15)")."""

    proposer: str
    strategy: str


class CorrectnessStore:
    """The tables of one folder: `save_*` adds to them or replaces, `load_*` gives numpy arrays.

    A table is read once, when first asked for.  Every `load_*` but that of the manifest raises KeyError for
    what is not there, and names it.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        """Open a folder; the first `save_*` makes one that does not exist."""
        self.folder = Path(folder)
        self._tables: dict[str, Rows] = {}

    def save_units(self, units: Units, preset: str) -> None:
        """Add which sentence each unit belongs to, under one preset."""
        for level, sentence_of_unit in units.sentence_of_unit.items():
            self._save("units", (preset, level), {(preset, level, units.num_sentences): sentence_of_unit})

    def save_system(self, system: System, right: Mapping[str, Bool[np.ndarray, "_"]], preset: str) -> None:
        """Add which units of each level a parser's 1-best gets right."""
        for level, units in right.items():
            key = (*astuple(system), preset, level)
            self._save("systems", key, {key: units})

    def save_pool(self, pool: Pool, right: Mapping[str, Bool[np.ndarray, "candidate _"]], preset: str) -> None:
        """Add which units of each level every candidate gets right."""
        for level, units in right.items():
            self._save_candidates("pools", (*astuple(pool), preset, level), units)

    def save_scores(self, pool: Pool, scorer: str, log_probs: Float32[np.ndarray, "candidate sentence"]) -> None:
        """Add the log-probabilities a model (`System.name`) gives to the candidates, in nats.

        They are kept in steps of SCORE_STEP, and nearer ones are equal from here on: a third of the bytes.
        """
        possible = np.isfinite(log_probs)
        steps = np.round(np.where(possible, log_probs, 0) / SCORE_STEP).astype(np.int32)
        self._save_candidates("scores", (*astuple(pool), scorer), np.where(possible, steps, _IMPOSSIBLE))

    def save_lengths(self, pool: Pool, scorer: str, num_tokens: Int64[np.ndarray, "candidate sentence"]) -> None:
        """Add how many tokens the candidates are to a model: what its log-probabilities are sums over.

        That of the proposer, and of a scorer where it differs: one with another tokenizer.
        """
        self._save_candidates("lengths", (*astuple(pool), scorer), num_tokens.astype(np.int16))

    def save_first_equal(self, pool: Pool, first_equal: Int16[np.ndarray, "candidate sentence"]) -> None:
        """Add which candidates are copies of which (`TreePool.first_equal`)."""
        self._save_candidates("copies", astuple(pool), first_equal)

    def save_manifest(self, manifest: Mapping[str, Any]) -> None:
        """Replace the manifest: how the runs were made, any JSON object."""
        self.folder.mkdir(parents=True, exist_ok=True)
        text = json.dumps(manifest, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
        write_whole(self.folder / MANIFEST, text)

    def load_manifest(self) -> dict[str, Any]:
        """The manifest; empty if none was saved."""
        file = self.folder / MANIFEST
        return json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}

    def load_units(self, preset: str) -> Units:
        """Which sentence each unit of each level belongs to, under one preset."""
        rows = {key: array for key, array in self._table("units").items() if key[0] == preset}
        if not rows:
            raise KeyError(f"no units of preset {preset!r} in {self.folder}")
        (num_sentences,) = {key[2] for key in rows}
        return Units({key[1]: array.astype(np.int64) for key, array in rows.items()}, num_sentences)

    def load_system(self, system: System, preset: str, level: str) -> Bool[np.ndarray, "unit"]:
        """Which units a parser's 1-best gets right."""
        return self._load("systems", (*astuple(system), preset, level))

    def load_pool(self, pool: Pool, preset: str, level: str) -> Bool[np.ndarray, "candidate unit"]:
        """Which units every candidate gets right."""
        return self._load_candidates("pools", (*astuple(pool), preset, level))

    def load_scores(self, pool: Pool, scorer: str, score: Score = "sum") -> Float32[np.ndarray, "candidate sentence"]:
        """The log-probabilities a model gives to the candidates, or their means a token, in nats.

        KeyError for the mean of a pool without lengths.
        """
        steps = self._load_candidates("scores", (*astuple(pool), scorer))
        sums = np.where(steps == _IMPOSSIBLE, -np.inf, steps * SCORE_STEP).astype(np.float32)
        return sums if score == "sum" else sums / self.load_lengths(pool, scorer).astype(np.float32)

    def load_lengths(self, pool: Pool, scorer: str) -> Int16[np.ndarray, "candidate sentence"]:
        """How many tokens the candidates are to a model: the proposer's, unless its own were saved."""
        known = [name for name in (scorer, pool.proposer) if self.has_lengths(pool, name)]
        if not known:
            raise KeyError(f"no lengths of {pool} in {self.folder}: by them alone a mean a token can be told")
        return self._load_candidates("lengths", (*astuple(pool), known[0]))

    def has_lengths(self, pool: Pool, scorer: str) -> bool:
        """Whether the tokens that the candidates are to this model were saved."""
        return (*astuple(pool), scorer, 0) in self._table("lengths")

    def load_first_equal(self, pool: Pool) -> Int16[np.ndarray, "candidate sentence"]:
        """Index of the first candidate of the sentence that is the same tree."""
        return np.stack(self._load_rows("copies", astuple(pool)))

    def systems(self) -> list[System]:
        """All parsers, by method, model and seeds."""
        return [System(*key) for key in dict.fromkeys(key[:5] for key in self._table("systems"))]

    def pools(self) -> list[Pool]:
        """All candidate pools, by proposer and strategy."""
        return [Pool(*key) for key in dict.fromkeys(key[:2] for key in self._table("pools"))]

    def scorers(self, pool: Pool) -> list[str]:
        """Names of the models that scored a pool, in alphabetical order."""
        return list(dict.fromkeys(key[2] for key in self._table("scores") if key[:2] == astuple(pool)))

    def _save(self, table: str, file_key: tuple, rows: Rows) -> None:
        digest = hashlib.sha256(repr(file_key).encode()).hexdigest()[:16]
        _write_rows(self.folder / f"{table}-{digest}.parquet", table, rows)
        self._tables.pop(table, None)

    def _save_candidates(self, table: str, key: tuple, arrays: Shaped[np.ndarray, "candidate _"]) -> None:
        self._save(table, key, {(*key, candidate): array for candidate, array in enumerate(arrays)})

    def _table(self, table: str) -> Rows:
        if table not in self._tables:
            self._tables[table] = read_rows(table, [self.folder])
        return self._tables[table]

    def _load(self, table: str, key: tuple) -> Shaped[np.ndarray, "_"]:
        rows = self._table(table)
        if key not in rows:
            raise KeyError(f"no {key} in the table {table!r} of {self.folder}")
        return rows[key]

    def _load_rows(self, table: str, key: tuple) -> list[Shaped[np.ndarray, "_"]]:
        rows, arrays = self._table(table), [self._load(table, (*key, 0))]
        while (*key, len(arrays)) in rows:
            arrays.append(rows[*key, len(arrays)])
        return arrays

    def _load_candidates(self, table: str, key: tuple) -> Shaped[np.ndarray, "candidate item"]:
        """All candidates' values by sentence, of pools by unit, those of copies put back where they were left out."""
        rows, pool = self._load_rows(table, key), Pool(*key[:2])
        if (*key[:2], 0) not in self._table("copies"):
            return np.stack(rows)
        first_equal = self.load_first_equal(pool)[: len(rows)].astype(np.int64)
        if table == "pools":
            first_equal = first_equal[:, self.load_units(key[2]).sentence_of_unit[key[3]]]
        full = np.zeros(first_equal.shape, rows[0].dtype)
        for candidate, row in enumerate(rows):
            own = first_equal[candidate] == candidate
            full[candidate, own] = row if len(row) == own.sum() else row[own]
        return np.take_along_axis(full, first_equal, axis=0)


def consolidate(parts: Iterable[str | os.PathLike[str]], folder: str | os.PathLike[str]) -> None:
    """Merge the tables of many folders into one file a table, of the scores one a proposer, and into `folder`.

    The old tables there are replaced.  The bytes do not depend on the order or the number of parts.  Manifests are
    not merged.  Raises ValueError where two parts differ about the same key, a copy from its first, or where an array
    has not one value a unit or sentence.  O(values).
    """
    folders, folder = [Path(part) for part in parts], Path(folder)
    tables = {table: read_rows(table, folders) for table in SCHEMAS}
    num_units = {key[:2]: len(array) for key, array in tables["units"].items()}
    num_sentences = {key[2] for key in tables["units"]}
    for key, array in tables["systems"].items():
        _check(len(array) == num_units.get(key[-2:]), "systems", key)
    for key, array in tables["copies"].items():
        _check({len(array)} == num_sentences, "copies", key)
    for table in ("pools", "scores", "lengths"):
        tables |= {table: {key: _own_values(tables, table, key) for key in tables[table]}}
    for table, rows in tables.items():
        files: dict[str, Rows] = {}
        for key, array in rows.items():
            of = f"-{key[0].replace('/', '-')}" if table == "scores" else ""  # most of everything
            files.setdefault(f"{table}{of}.parquet", {})[key] = array
        for name, some in files.items():
            _write_rows(folder / name, table, some, dense=True)
        for file in folder.glob(f"{table}*.parquet"):  # last: nothing is lost when killed in between
            if file.name not in files:
                file.unlink()


def _own_values(tables: Mapping[str, Rows], table: str, key: tuple) -> Shaped[np.ndarray, "_"]:
    """The row of one candidate with the units or sentences alone where it is not a copy; it may be so already."""
    proposer, strategy, *of, candidate = key
    row = tables[table][key]
    num_sentences = max((num for _, _, num in tables["units"]), default=0)
    first = tables["copies"].get((proposer, strategy, candidate), np.full(num_sentences, candidate, np.int16))
    if table == "pools":
        first = first[tables["units"].get((*of, num_sentences), np.empty(0, int))]
    own = first == candidate
    if len(row) == own.sum():
        return row
    _check(len(row) == len(first), table, key)
    for other in np.unique(first[~own]):
        copied = first == other
        if not np.array_equal(row[copied], tables[table][*key[:-1], other][copied]):
            raise ValueError(f"{key} in the table {table!r} differs from candidate {other}, of which it is a copy")
    return row[own]


def _check(fits: bool, table: str, key: tuple) -> None:
    if not fits:
        raise ValueError(f"{key} in the table {table!r} does not fit the table 'units'")


def read_rows(table: str, folders: Iterable[Path]) -> Rows:
    """All rows of a table in these folders, by key, whether merged or still one file a job.

    Raises ValueError for a file with other columns, or where two files differ about the same key.  O(values).
    """
    rows: Rows = {}
    for file in sorted(file for folder in folders for file in folder.glob(f"{table}*.parquet")):
        content = pq.read_table(file)
        if not content.schema.equals(SCHEMAS[table]):
            raise ValueError(f"{file}: columns {content.column_names}, not those of the table {table!r}")
        *key_columns, arrays = (column.combine_chunks() for column in content.columns)
        ends, values = arrays.offsets.to_numpy(), arrays.values.to_numpy(zero_copy_only=False)
        for start, end, *key in zip(ends, ends[1:], *(column.to_pylist() for column in key_columns)):
            hashable = tuple(tuple(part) if isinstance(part, list) else part for part in key)
            if not np.array_equal(rows.setdefault(hashable, values[start:end]), values[start:end]):
                raise ValueError(f"{file}: differs from another file about {hashable}")
    return {key: rows[key] for key in sorted(rows, key=_sortable)}


def _write_rows(file: Path, table: str, rows: Rows, *, dense: bool = False) -> None:
    """Write one file of a table, at once or not at all; the same rows give the same bytes.  O(values).

    dense: in a sixth fewer bytes, and many times as slowly.
    """
    *key_fields, array_field = schema = SCHEMAS[table]
    keys = sorted(rows, key=_sortable)
    columns = [pa.array([key[i] for key in keys], field.type) for i, field in enumerate(key_fields)]
    ends = np.cumsum([0] + [len(rows[key]) for key in keys]).astype(np.int32)
    values = pa.array(np.concatenate([rows[key] for key in keys]), array_field.type.value_type)
    content = pa.Table.from_arrays([*columns, pa.ListArray.from_arrays(ends, values)], schema=schema)
    is_split = array_field.name in ("steps", "tokens")  # byte by byte, the first bytes of all together: those are alike
    options = {
        "compression": "brotli" if dense else "zstd",
        "compression_level": 11 if dense else 1,
        "use_dictionary": not is_split,
        "column_encoding": {f"{array_field.name}.list.element": "BYTE_STREAM_SPLIT"} if is_split else None,
    }
    file.parent.mkdir(parents=True, exist_ok=True)
    with whole(file) as unfinished:
        pq.write_table(content, unfinished, **options)


def _sortable(key: tuple) -> list:
    return ["" if part is None else part for part in key]  # only the name of a teacher may be missing
