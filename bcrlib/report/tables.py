"""Result tables: tidy rows, the paper's numbers beside ours, written as JSON, Markdown and LaTeX."""

import math
from collections.abc import Iterable, Mapping
from pathlib import Path

import pandas as pd

from bcrlib.report.paper_numbers import lookup
from bcrlib.report.records import Record, format_signature, plain_rows, write_record, write_text
from bcrlib.report.table_text import to_latex, to_markdown

REQUIRED = ("row", "level", "metric", "value")
DEFAULTS: dict[str, object] = {
    "group": "",
    "low": float("nan"),
    "high": float("nan"),
    "spread": float("nan"),
    "paper": float("nan"),
    "paper_spread": float("nan"),
    "unit": "%",
    "command": "",
}
COLUMNS = ("group", "row", "level", "metric", "value", "low", "high", "spread", "paper", "paper_spread")
COLUMNS += ("unit", "command")


def tidy(rows: pd.DataFrame | Iterable[Mapping[str, object]], extra: tuple[str, ...] = ()) -> pd.DataFrame:
    """One number a line, all columns present, in the order given.

    Columns: group (the update, e.g. "deepbiaf=>deepbiaf"), row (the method or model), level, metric,
    value, low, high (interval), spread (standard deviation over seeds or pairs), paper, paper_spread
    (the paper's), unit ("%": value is a rate in [0, 1]; any other: printed as it is), command (of this
    row of the table). Only row, level, metric and value must be given. `extra` names further columns
    (a curve's x). ValueError for an unknown or missing column, or a cell given twice. O(rows).
    """
    frame = rows.copy() if isinstance(rows, pd.DataFrame) else pd.DataFrame(list(rows))
    if missing := [c for c in (*REQUIRED, *extra) if c not in frame]:
        raise ValueError(f"a table needs the columns {', '.join(missing)}")
    if unknown := [c for c in frame if c not in (*COLUMNS, *extra)]:
        raise ValueError(f"unknown columns {', '.join(map(str, unknown))}; known: {', '.join(COLUMNS)}")
    for column, default in DEFAULTS.items():
        if column not in frame:
            frame[column] = default
        elif not isinstance(default, float):
            frame[column] = frame[column].fillna(default)
    key = ["group", "row", "level", "metric", *extra]
    if (twice := frame.duplicated(key)).any():
        raise ValueError(f"given twice: {' / '.join(map(str, frame.loc[twice, key].iloc[0]))}")
    # Ten digits, as in the JSON: else a table and its figure may round a tie to different percentages.
    numbers = ["value", "low", "high", "spread", "paper", "paper_spread"]
    frame[numbers] = frame[numbers].astype(float).round(10)
    return frame[[*COLUMNS, *extra]].reset_index(drop=True)


def beside_paper(
    rows: pd.DataFrame | Iterable[Mapping[str, object]],
    table: str,
    paper_rows: Mapping[str, tuple[str, Mapping[str, object]]] | None = None,
    along: str = "",
) -> pd.DataFrame:
    """Tidy rows with the paper's numbers filled in from `table` ("Table 3"); NaN where it has none.

    A row is looked up as (update = group, method = row); a row whose group is empty is a single model
    called `row`. `paper_rows` names the paper's method and params for rows called differently here:
    {"BCR, dropout 0.3": ("BCR", {"decoding": "dropout-p", "p": 0.3})}. The rows of a curve have one more column,
    `along` ("num_candidates"), which is such a param too; NaN there: it does not concern the row.
    """
    frame = tidy(rows, extra=(along,) if along else ())
    names = paper_rows or {}

    def number(row: tuple, metric: str) -> float | None:
        method, params = names.get(row.row, (row.row, {}))
        if along and not math.isnan(getattr(row, along)):
            params = {**params, along: getattr(row, along)}
        update, method = (row.group, method) if row.group else (method, "single-model")
        return lookup(table, update, method, row.level, metric, params)

    frame["paper"] = [number(row, row.metric) for row in frame.itertuples()]
    frame["paper_spread"] = [number(row, f"{row.metric}_STD") for row in frame.itertuples()]
    return frame.astype({"paper": float, "paper_spread": float})


def write_table(
    rows: pd.DataFrame | Iterable[Mapping[str, object]],
    folder: Path,
    name: str,
    *,
    title: str,
    caption: str,
    signature: Mapping[str, object],
    command: str,
) -> None:
    """Writes NAME.json (rates in [0, 1]), NAME.md and NAME.tex (per cent, two decimals) into `folder`.

    `name` is the paper's: "table3", or "table3_words" for a part of it. `title` is the claim. `signature`
    holds the settings under the numbers (task, corpus, preset, seeds, ...). Equal arguments give equal
    bytes. ValueError for rows `tidy` refuses.
    """
    frame = tidy(rows)
    stamp = format_signature(signature)
    record = Record("table", name, title, caption, stamp, command, plain_rows(frame))
    write_record(record, Path(folder))
    write_text(Path(folder) / f"{name}.md", to_markdown(record))
    write_text(Path(folder) / f"{name}.tex", to_latex(record))
