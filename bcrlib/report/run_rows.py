"""From the records of a run to table rows: its settings, the dropout rates tried on dev, the speeds measured."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from bcrlib.report.paper_numbers import lookup
from bcrlib.report.regression_rows import NUM_RESAMPLES
from bcrlib.report.table_text import arrow
from bcrlib.tasks.names import TASKS

# Step of the speed record -> row, and what the paper's section 6.4 calls it; other steps are strategies.
_STEPS = {
    "1-best": ("1-best", "decode"),
    "greedy": ("1-best, greedy", ""),
    "beam": ("ten candidates, beam", ""),
    "dropout-p": ("ten candidates, dropout-p in one pass", ""),
    "dropout-p, one by one": ("ten candidates, dropout-p in ten passes", ""),
    "re-ranking": ("re-ranking ten candidates", "re-rank"),
    "re-ranking dropout-p": ("re-ranking ten candidates of dropout-p", ""),
}


def signature(manifest: Mapping[str, Any]) -> dict[str, object]:
    """The settings under a profile's numbers, from the manifest of its correctness; for tables and figures."""
    profile = manifest["profile"]
    named = {key: profile[key] for key in ("corpus", "preset", "old_seeds", "new_seeds")}
    task = TASKS[manifest.get("task", "dependency")].in_paper
    return {"task": task, **named, "resamples": NUM_RESAMPLES}


def candidate_signature(manifest: Mapping[str, Any]) -> dict[str, object]:
    """`signature` with what concerns ensembles and candidate pools."""
    profile = manifest["profile"]
    # In manifests from before, a group is the text of a tuple already.
    groups = [group if isinstance(group, str) else str(tuple(group)) for group in profile["ensembles"]]
    ensembles = [group.replace(" ", "") for group in groups]
    sampling = [f"{update} {choice['strategy']}" for update, choice in manifest["dropout_choice"].items()]
    pools = {"num_candidates": profile["num_candidates"], "sampling": sampling}
    return {**signature(manifest), "ensembles": ensembles, **pools}


def dropout_rows(choices: Mapping[str, Mapping[str, Any]], levels: Sequence[str]) -> pd.DataFrame:
    """The dropout rates tried on dev, with the column p: NFR, NFI and ACC after re-ranking, a row an update.

    `choices`: the manifest's "dropout_choice", {"deepbiaf=>stackptr": {"grid": [...]}}; a grid is of dicts strategy
    ("dropout-p(p=0.15)"), level, nfr, nfi, acc_new.
    """
    rows = []
    for update, choice in choices.items():
        for point in choice["grid"]:
            cell = {"row": arrow(update), "level": point["level"], "p": dropout_rate(point["strategy"])}
            rates = {"NFR": point["nfr"], "NFI": point["nfi"], "ACC": point["acc_new"]}
            rows += [cell | {"metric": metric, "value": value} for metric, value in rates.items()]
    return pd.DataFrame(row for row in rows if row["level"] in levels)


def chosen_rates(choices: Mapping[str, Mapping[str, Any]]) -> dict[str, float]:
    """The dropout rate chosen for each update, by the names of `dropout_rows`."""
    return {arrow(update): dropout_rate(choice["strategy"]) for update, choice in choices.items()}


def dropout_rate(strategy: str) -> float:
    """ "dropout-p(p=0.15)" -> 0.15"""
    return float(strategy.removeprefix("dropout-p(p=").removesuffix(")"))


def speed_rows(speeds: Mapping[str, Mapping[str, Mapping[str, float]]]) -> pd.DataFrame:
    """Sentences a second of each step, and as a share of 1-best decoding, by kind and precision (paper, section 6.4).

    `speeds`: {kind of parser: {precision: {step: sentences a second}}}; the paper decodes and re-ranks on a V100.
    """
    rows = []
    for kind, of_precision in speeds.items():
        for precision, of_step in of_precision.items():
            rows += [row for step in of_step for row in _step_rows(kind, precision, step, of_step)]
    return pd.DataFrame(rows)


def _step_rows(kind: str, precision: str, step: str, of_step: Mapping[str, float]) -> list[dict[str, object]]:
    row, stage = _STEPS.get(step, (f"ten candidates, {step}", ""))
    cell = {"group": kind, "row": row, "level": precision}
    speed = {"metric": "speed", "value": of_step[step], "unit": "sentences/s", "paper": _paper_speed(kind, stage)}
    share = {"metric": "of 1-best", "value": of_step[step] / of_step["1-best"], "unit": "%", "paper": None}
    return [cell | speed, cell | share]


def _paper_speed(kind: str, stage: str) -> float | None:
    return lookup("Section 6.4", kind, "single-model", "speed", "SENTENCES_PER_SECOND", {"stage": stage})
