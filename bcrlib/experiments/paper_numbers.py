"""The paper's numbers: the only place where their values live is data/paper_numbers.csv."""

import json
from collections.abc import Mapping
from functools import cache

import pandas as pd

from bcrlib.data.files import ROOT
from bcrlib.samplers.strategies import Beam, DropoutP, Nucleus, TopK, parse_strategy

_FILE = ROOT / "data" / "paper_numbers.csv"
_COUNTS = {"COUNT", "SENTENCES_PER_SECOND"}
_DECODINGS = {
    "beam": (Beam, "width", "beam"),
    "top-k": (TopK, "k", "k"),
    "top-p": (Nucleus, "p", "p"),
    "dropout-p": (DropoutP, "p", "p"),
}
"""What the paper calls a way of decoding -> ours, its field, and the param of that."""


@cache
def paper_numbers() -> pd.DataFrame:
    """Every number of the paper's Tables 1-9, section 6.4 and the ends of Figures 2-3, one a row.

    Columns: source ("paper", or "notebook" for the outputs stored in the authors' notebooks), table,
    task, update ("old=>new", or one model's name where method is "single-model"), method, params (a
    dict), level, metric, value (a rate in [0, 1]; COUNT and SENTENCES_PER_SECOND as they are), derived
    ("yes" where not printed but following from what is), note.
    Read once; treat as read-only.
    """
    rows = pd.read_csv(_FILE, keep_default_na=False, dtype={"value": float})
    is_rate = ~rows["metric"].isin(_COUNTS)
    # Printed values have two decimals per cent; rounding takes the binary noise of the division away.
    rows.loc[is_rate, "value"] = (rows.loc[is_rate, "value"] / 100).round(6)
    rows["params"] = [json.loads(text) if text else {} for text in rows["params"]]
    return rows


@cache
def _by_cell() -> dict[tuple[str, ...], list[tuple[dict, float]]]:
    cells: dict[tuple[str, ...], list[tuple[dict, float]]] = {}
    for row in paper_numbers().itertuples():
        cell = (row.table, row.update, row.method, row.level, row.metric)
        cells.setdefault(cell, []).append((row.params, row.value))
    return cells


def lookup(
    table: str,
    update: str,
    method: str,
    level: str,
    metric: str,
    params: Mapping[str, object] | None = None,
) -> float | None:
    """One number of the paper, e.g. lookup("Table 3", "deepbiaf=>deepbiaf", "BCR", "UAS", "NFR").

    Rates in [0, 1]; ER is 1 - ACC where only that is printed. None where the paper has no such number. For a
    single model `update` is its name and `method` is "single-model". `params` chooses among the rows of one
    method, e.g. {"decoding": "top-k"} in Table 5; ValueError where several remain. O(1).
    """
    wanted = params or {}
    cell = (table, update, method, level, metric)
    if metric == "ER" and cell not in _by_cell():
        accuracy = lookup(table, update, method, level, "ACC", params)
        return None if accuracy is None else round(1 - accuracy, 6)
    found = [
        (row_params, value)
        for row_params, value in _by_cell().get(cell, [])
        if all(row_params.get(key) == value for key, value in wanted.items())
    ]
    if len(found) > 1:
        choices = "; ".join(json.dumps(row_params) for row_params, _ in found)
        raise ValueError(f"{table}, {update}, {method}, {level} {metric}: say which params: {choices}")
    return found[0][1] if found else None


def reranked_from(strategy: str) -> tuple[str, dict[str, object]]:
    """Method and params of the paper for BCR over the candidates of a strategy: its Tables 4 to 6, Figure 2.

    For `tables.beside_paper`: "nucleus(p=0.95)" -> ("BCR", {"decoding": "top-p", "p": 0.95}).  A strategy that the
    paper does not have, or one with a temperature, gets params without a number.  ValueError for any other text.
    """
    parsed = parse_strategy(strategy)
    for decoding, (kind, field, param) in _DECODINGS.items():
        if isinstance(parsed, kind) and getattr(parsed, "temperature", 1) == 1:
            return "BCR", {"decoding": decoding, param: getattr(parsed, field)}
    return "BCR", {"decoding": strategy}


def strategy_of(params: Mapping[str, object]) -> str:
    """The strategy that the paper's params name, the reverse of `reranked_from`."""
    kind, _, param = _DECODINGS[params["decoding"]]
    return str(kind(params[param]))
