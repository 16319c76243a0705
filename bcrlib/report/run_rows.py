"""From the records of a run to table rows: its settings, the dropout rates tried on dev, the speeds measured."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd

from bcrlib.report.paper_numbers import lookup
from bcrlib.report.regression_rows import NUM_RESAMPLES

# Step of the speed record -> row, and what the paper's section 6.4 calls it.
_STEPS = {
    "1-best": ("1-best", "decode"),
    "k-best": ("ten candidates, k-best", ""),
    "dropout-p": ("ten candidates, dropout-p in one pass", ""),
    "dropout-p, one by one": ("ten candidates, dropout-p in ten passes", ""),
    "re-ranking": ("re-ranking ten candidates", "re-rank"),
}


def signature(manifest: Mapping[str, Any]) -> dict[str, object]:
    """The settings under a profile's numbers, from the manifest of its correctness; for tables and figures."""
    profile = manifest["profile"]
    named = {key: profile[key] for key in ("corpus", "preset", "old_seeds", "new_seeds")}
    return {"task": "dependency-parsing", **named, "resamples": NUM_RESAMPLES}


def candidate_signature(manifest: Mapping[str, Any]) -> dict[str, object]:
    """`signature` with what concerns ensembles and candidate pools."""
    profile = manifest["profile"]
    ensembles = [str(group).replace(" ", "") for group in profile["ensembles"]]
    sampling = {"num_candidates": profile["num_candidates"], "sampling": manifest["dropout_choice"]["strategy"]}
    return {**signature(manifest), "ensembles": ensembles, **sampling}


def dropout_rows(grid: Iterable[Mapping[str, Any]], row: str, levels: Sequence[str]) -> pd.DataFrame:
    """The manifest's grid of dropout rates on dev, with the column p: NFR, NFI and ACC after re-ranking.

    `grid`: dicts strategy ("dropout-p(p=0.15)"), level, nfr, nfi, acc_new.
    """
    rows = []
    for point in grid:
        cell = {"row": row, "level": point["level"], "p": dropout_rate(point["strategy"])}
        rates = {"NFR": point["nfr"], "NFI": point["nfi"], "ACC": point["acc_new"]}
        rows += [cell | {"metric": metric, "value": value} for metric, value in rates.items()]
    return pd.DataFrame(row for row in rows if row["level"] in levels)


def dropout_rate(strategy: str) -> float:
    """ "dropout-p(p=0.15)" -> 0.15"""
    return float(strategy.removeprefix("dropout-p(p=").removesuffix(")"))


def speed_rows(speeds: Mapping[str, Mapping[str, float]]) -> pd.DataFrame:
    """Sentences a second of each step, and as a share of 1-best decoding, by precision (paper, section 6.4).

    `speeds`: {precision: {step: sentences a second}}; the paper decodes and re-ranks on a V100.
    """
    rows = []
    for precision, of_step in speeds.items():
        for step, (row, stage) in _STEPS.items():
            cell = {"row": row, "level": precision, "unit": "sentences/s", "paper": _paper_speed(stage)}
            rows.append(cell | {"metric": "speed", "value": of_step[step]})
            share = of_step[step] / of_step["1-best"]
            rows.append(cell | {"metric": "of 1-best", "value": share, "unit": "%", "paper": None})
    return pd.DataFrame(rows)


def _paper_speed(stage: str) -> float | None:
    return lookup("Section 6.4", "deepbiaf", "single-model", "speed", "SENTENCES_PER_SECOND", {"stage": stage})
