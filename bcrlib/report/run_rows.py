"""From the records of a run to table rows: its settings, and the dropout rates tried on dev."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from bcrlib.experiments import parse_update
from bcrlib.metrics.uncertainty import micro_average
from bcrlib.pipeline.half import Lesson, Model
from bcrlib.report.regression_rows import NUM_RESAMPLES, Counts
from bcrlib.report.table_text import arrow
from bcrlib.tasks.names import TASKS


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
    weights = {update: choice["joined"] for update, choice in manifest["dropout_choice"].items() if "joined" in choice}
    joined = [f"{update} {choice['strategy']} weight {choice['new_weight']:g}" for update, choice in weights.items()]
    return {**signature(manifest), "ensembles": ensembles, **pools, **({"joined": joined} if joined else {})}


def joint_signature(manifests: Sequence[Mapping[str, Any]]) -> dict[str, object]:
    """`candidate_signature` of several tasks: what they have in common once, all else one after the other."""
    of_each = [candidate_signature(manifest) for manifest in manifests]
    joint: dict[str, object] = {}
    for key in dict.fromkeys(key for settings in of_each for key in settings):
        values = [settings[key] for settings in of_each if key in settings]
        several = [part for value in values for part in (value if isinstance(value, list) else [value])]
        joint[key] = values[0] if all(value == values[0] for value in values) else several
    return joint


def teacher_rows(manifest: Mapping[str, Any], counts_of: Mapping[str, Counts]) -> pd.DataFrame:
    """How well teachers know the data they teach from, and how good they and their students are on test.

    Accuracies, means over the lessons of an update; a row an update and level, three metrics. The first is counted by
    `clean`. `counts_of`: {"deepbiaf=>stackptr": counts, ...} with the row "Distillation". Empty for a manifest from
    before it was recorded. O(updates sentences).
    """
    rows = []
    for update, counts in counts_of.items():
        for level, of_row in counts.items():
            taught = of_row["Distillation"]
            known = [_teacher_accuracy(manifest, update, teacher).get(level) for teacher in taught.old_of_pair]
            if None in known:
                continue
            on_test = micro_average(taught.counts)
            accuracies = {"teacher, training data": sum(known) / len(known)}
            accuracies |= {"teacher, test": on_test.acc_old, "student, test": on_test.acc_new}
            cell = {"group": update, "row": "Distillation", "level": level}
            rows += [cell | {"metric": metric, "value": value} for metric, value in accuracies.items()]
    return pd.DataFrame(rows)


def _teacher_accuracy(manifest: Mapping[str, Any], update: str, teacher: str) -> Mapping[str, float]:
    """By level, as the job that trained the student recorded it; empty where it did not."""
    kind, seed = teacher.rsplit("/", 1)
    lesson = Lesson(parse_update(update), Model(kind, int(seed)))
    return manifest.get("jobs", {}).get(lesson.job, {}).get("teacher_accuracy", {})


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
