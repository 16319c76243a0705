"""Candidates that are copies of one before them: left out of merged tables, put back when these are loaded."""

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Int16, Shaped

from bcrlib.correctness_tables import Key, Rows


def leave_out_copies(tables: Mapping[str, Rows]) -> dict[str, Rows]:
    """The pools, scores and lengths, each row with the units or sentences alone where its candidate is no copy.

    Rows that are so already stay as they are. Raises ValueError where a copy differs from its first, or where a row
    is neither.  O(values).
    """
    return {
        table: {key: _own_values(tables, table, key, row) for key, row in tables[table].items()}
        for table in ("pools", "scores", "lengths")
    }


def put_back_copies(
    rows: Sequence[Shaped[np.ndarray, "_"]], first_equal: Int16[np.ndarray, "candidate item"]
) -> Shaped[np.ndarray, "candidate item"]:
    """All candidates' values, from rows with or without those of copies.

    first_equal: index of the first candidate that is the same, by sentence or by unit.
    """
    full = np.zeros((len(rows), first_equal.shape[1]), rows[0].dtype)
    for candidate, row in enumerate(rows):
        own = first_equal[candidate] == candidate
        full[candidate, own] = row if len(row) == own.sum() else row[own]
    return np.take_along_axis(full, first_equal[: len(rows)].astype(np.int64), axis=0)


def _own_values(tables: Mapping[str, Rows], table: str, key: Key, row: Shaped[np.ndarray, "_"]) -> np.ndarray:
    *head, candidate = key
    first = _first_equal(tables, table, key)
    own = first == candidate
    if len(row) == own.sum():
        return row
    if len(row) != len(first):
        raise ValueError(f"{key} in the table {table!r} does not fit the table 'units'")
    for other in np.unique(first[~own]):
        copied = first == other
        if not np.array_equal(row[copied], tables[table][*head, other][copied]):
            raise ValueError(f"{key} in the table {table!r} differs from candidate {other}, of which it is a copy")
    return row[own]


def _first_equal(tables: Mapping[str, Rows], table: str, key: Key) -> Int16[np.ndarray, "item"]:
    """By unit or sentence; itself everywhere if nothing is known of copies."""
    proposer, strategy, *preset_level, candidate = key
    num_sentences = max((num for _, _, num in tables["units"]), default=0)
    first = tables["copies"].get((proposer, strategy, candidate), np.full(num_sentences, candidate, np.int16))
    if table in ("scores", "lengths"):
        return first
    return first[tables["units"].get((*preset_level, num_sentences), np.empty(0, int))]
