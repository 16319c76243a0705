"""The report on an update as JSON: keyed by level as in `bcr evaluate`, and each level complete in itself."""

import math
from dataclasses import asdict
from typing import Any

import pandas as pd

from bcrlib.comparison.verdict import CHANGE, LevelVerdict, NoiseFloor, Verdict
from bcrlib.evaluation import rates_of


def to_json(verdict: Verdict) -> dict[str, dict[str, Any]]:
    """Level -> what `bcr evaluate --json` has, and what is known beyond it; rates in [0, 1], null for what is not.

    acc_change; intervals: [low, high] at 95 % of every rate; num_broken, num_repaired; p_value (McNemar);
    num_missing_new; noise_floor, or null; slices, the most harmed first; worst: items with the units that broke at this
    level; gate: whether it passed as a whole, and the checks of this level.  O(report).
    """
    return {name: _level(name, level, verdict) for name, level in verdict.levels.items()}


def _level(name: str, level: LevelVerdict, verdict: Verdict) -> dict[str, Any]:
    intervals = {rate: [_number(each.low), _number(each.high)] for rate, each in level.rates.items()}
    worst = [
        {
            "id": item.id,
            "num_broken": item.broken[name],
            "num_repaired": item.repaired[name],
            "missing": item.is_missing,
        }
        for item in verdict.worst
    ]
    checks = [asdict(check) for check in verdict.checks if check.level == name]
    return (
        rates_of(level.flips)
        | dict(verdict.update.num_invalid)
        | {CHANGE: level.rates[CHANGE].value, "intervals": intervals}
        | {"num_broken": level.flips.yn, "num_repaired": level.flips.ny, "p_value": level.p_value}
        | {"num_missing_new": verdict.num_missing, "noise_floor": _noise(level.noise)}
        | {"slices": _slices(level.slices), "worst": worst, "gate": {"passed": verdict.passed, "checks": checks}}
    )


def _noise(floor: NoiseFloor | None) -> dict[str, Any] | None:
    if floor is None:
        return None
    nfr = {"mean_nfr": floor.mean, "least_nfr": floor.low, "most_nfr": floor.high}
    excess = {"excess": floor.excess.value, "excess_interval": [_number(floor.excess.low), _number(floor.excess.high)]}
    return (
        {"num_models": floor.num_models, "num_pairs": floor.num_pairs}
        | nfr
        | excess
        | {"is_exceeded": floor.is_exceeded}
    )


def _slices(table: pd.DataFrame) -> list[dict[str, Any]]:
    renamed = table.rename(columns={"key": "slice", "num_sentences": "num_items", "broken": "num_broken"})
    rows = renamed.drop(columns=["share"]).to_dict(orient="records")
    return [{str(name): _number(value) for name, value in row.items()} for row in rows]


def _number(value: Any) -> Any:
    """What is not known, nan, as null."""
    return None if isinstance(value, float) and not math.isfinite(value) else value
