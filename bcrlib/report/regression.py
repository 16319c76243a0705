"""From counted flips to tidy rows: rates with intervals, differences, spread over seeds and pairs; settings of a run.

A table is given as counts by level and row, {"UAS": {"Untreated": PairCounts, "BCR": PairCounts}, ...}; what comes out
is what `tables.tidy`, `tables.beside_paper` and the figures take.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from itertools import product
from typing import Any

import numpy as np
import pandas as pd

from bcrlib.experiments.counting import parse_update
from bcrlib.metrics.flips import as_flips
from bcrlib.metrics.uncertainty import (
    Estimate,
    PairCounts,
    all_rate_intervals,
    difference_intervals,
    micro_average,
    pair_spread,
)
from bcrlib.pipeline.plan import Lesson, Model
from bcrlib.report.tables import arrow
from bcrlib.tasks import TASKS

NUM_RESAMPLES = 1000
BOOTSTRAP_SEED = 0
RATE_OF_METRIC = {"ACC": "acc_new", "NFR": "nfr", "PFR": "pfr", "NFI": "nfi"}
METRICS = ("ACC", "NFR", "NFI")

Counts = Mapping[str, Mapping[str, PairCounts]]
"""Level -> row -> flips."""


def drawing() -> tuple[int, np.random.Generator]:
    """How many resamples all intervals have, and what draws them: in every table the same ones."""
    return NUM_RESAMPLES, np.random.default_rng(BOOTSTRAP_SEED)


def rate_row(
    group: str, row: str, level: str, metric: str, rate: Estimate, further: Mapping[str, float] | None = None
) -> dict[str, object]:
    """One rate with its interval as a tidy row, perhaps with further columns."""
    return {"group": group, "row": row, "level": level, "metric": metric, **(further or {}), **asdict(rate)}


def method_rows(
    counts: Counts, group: str = "", metrics: Sequence[str] = METRICS, with_old: bool = False
) -> pd.DataFrame:
    """Micro-averaged rates of every method with 95 % intervals (paper, Tables 1 to 9).

    `group` is the update, "deepbiaf=>deepbiaf"; metrics are ACC (of the new models), ER = 1 - ACC, NFR, PFR, NFI.
    with_old: before them "Old", the accuracy of what is replaced, as of the row "Untreated".  All methods see the same
    resamples.  KeyError for another metric.  O(methods resamples sentences).
    """
    pairs_of = {(level, row): pairs for level, rows in counts.items() for row, pairs in rows.items()}
    rows, old = [], []
    for (level, row), rates in all_rate_intervals(pairs_of, *drawing()).items():
        if with_old and row == "Untreated":
            old.append(rate_row(group, "Old", level, "ACC", rates["acc_old"]))
        accuracy = rates["acc_new"]
        error = Estimate(1 - accuracy.value, 1 - accuracy.high, 1 - accuracy.low)
        for metric in metrics:
            rate = error if metric == "ER" else rates[RATE_OF_METRIC[metric]]
            rows.append(rate_row(group, row, level, metric, rate))
    return pd.DataFrame([*old, *rows])


def update_rows(counts_of: Mapping[str, Counts], metrics: Sequence[str] = METRICS) -> pd.DataFrame:
    """Tables 3, 4 and 8: of every update the row "Old", then every method.

    `counts_of`: {"deepbiaf=>stackptr": counts, ...}, a block of the table each, with the row "Untreated".
    """
    blocks = [method_rows(counts, update, metrics, with_old=True) for update, counts in counts_of.items()]
    return pd.concat(blocks, ignore_index=True)


def definition_rows(counts_by: Mapping[str, Mapping[str, Counts]]) -> pd.DataFrame:
    """`update_rows` with PFR, counted by several definitions: a metric is "NFR clean" or "NFR official".

    `counts_by`: {definition: {"deepbiaf=>stackptr": counts, ...}}, of the same parses: an old model picks by scores,
    so that re-ranking picks the same ones whatever counts as right.
    """
    frames = {definition: update_rows(of, ("ACC", "NFR", "PFR", "NFI")) for definition, of in counts_by.items()}
    together = pd.concat(frames, names=["definition"]).reset_index("definition")
    # Metric by metric, so that a table has the definitions of each side by side.
    ordered = pd.concat([rows for _, rows in together.groupby("metric", sort=False)], ignore_index=True)
    return ordered.assign(metric=ordered["metric"] + " " + ordered.pop("definition"))


def retraining_rows(pairs_of: Mapping[str, Mapping[str, Mapping[str, PairCounts]]]) -> pd.DataFrame:
    """Tables 1, 2 and 7: accuracy of every kind of parser by itself, then NFR and NFI of every update.

    `pairs_of`: {definition: {"deepbiaf=>deepbiaf": {level: pairs of old models}}}; a row is named after what is counted
    and the definition, "stackptr, clean" or "Untreated, clean".  A kind is counted where it is replaced, or else where
    it replaces another: mean and population standard deviation over its models, each once, however many pairs it is in.
    """
    updates = list(next(iter(pairs_of.values())))
    places: dict[str, tuple[str, int]] = {}  # kind -> an update to count it in, and on which side
    for side in (0, 1):
        for update in updates:
            places.setdefault(update.split("=>")[side], (update, side))
    single, flipped = [], []
    for (kind, (update, side)), (definition, pairs_by_update) in product(places.items(), pairs_of.items()):
        for level, pairs in pairs_by_update[update].items():
            flips = as_flips(pairs.counts.sum(axis=1))
            names, accuracy = (pairs.new_of_pair, flips.acc_new) if side else (pairs.old_of_pair, flips.acc_old)
            of_model = list(dict(zip(names, accuracy.tolist())).values())
            cell = {"row": f"{kind}, {definition}", "level": level, "metric": "ACC"}
            single.append(cell | {"value": float(np.mean(of_model)), "spread": float(np.std(of_model))})
    for update, (definition, pairs_by_update) in product(updates, pairs_of.items()):
        counts = {level: {f"Untreated, {definition}": pairs} for level, pairs in pairs_by_update[update].items()}
        flipped.append(method_rows(counts, update, ("NFR", "NFI")))
    return pd.concat([pd.DataFrame(single), *flipped], ignore_index=True)


def swept_rows(
    counts_at: Mapping[float, Counts], column: str, group: str = "", metrics: Sequence[str] = METRICS
) -> pd.DataFrame:
    """`method_rows` at every value of something that is varied, named by `column`; NaN for rows it does not concern.

    For curves: {1: counts, 2: counts, ...} by number of candidates has the form of the paper's Figure 2.
    """
    blocks = [method_rows(of, group, metrics).assign(**{column: float(at)}) for at, of in counts_at.items()]
    return pd.concat(blocks, ignore_index=True)


def difference_rows(
    counts: Counts, baseline: str, group: str, beside: pd.DataFrame | None = None, metrics: Sequence[str] = METRICS
) -> pd.DataFrame:
    """Every method minus the baseline row, "ΔNFR" and so on, with the interval of the paired difference.

    An interval that leaves out 0 is a difference at that confidence; below 0 the method has less.  `beside` holds the
    methods themselves with the paper's numbers (`tables.beside_paper` of `method_rows`), of this group and perhaps of
    others: the paper's differences come from there.  O(methods resamples sentences).
    """
    rows = []
    for level, of_row in counts.items():
        for row in [row for row in of_row if row != baseline]:
            rates = difference_intervals(of_row[row], of_row[baseline], *drawing())
            rows += [rate_row(group, row, level, f"Δ{metric}", rates[RATE_OF_METRIC[metric]]) for metric in metrics]
    found = pd.DataFrame(rows)
    if beside is None:
        return found
    paper = beside[beside["group"] == group].set_index(["row", "level", "metric"])["paper"]
    cells = zip(found["row"], found["level"], found["metric"].str.removeprefix("Δ"))
    return found.assign(paper=[paper[cell] - paper[baseline, *cell[1:]] for cell in cells])


def spread_rows(counts: Counts, group: str = "", metrics: Sequence[str] = METRICS) -> pd.DataFrame:
    """Mean and population standard deviation over pairs of models of the rate that each pair has by itself."""
    rows = []
    for level, of_row in counts.items():
        for row, pairs in of_row.items():
            rates = pair_spread(pairs.counts)
            for metric in metrics:
                mean, deviation = rates[RATE_OF_METRIC[metric]]
                names = {"group": group, "row": row, "level": level, "metric": metric}
                rows.append(names | {"value": mean, "spread": deviation})
    return pd.DataFrame(rows)


def pair_rows(pairs: PairCounts, metric: str = "NFR", group: str = "") -> pd.DataFrame:
    """One rate of every pair by itself, columns group, old_seed, new_seed, value: what a seed-pair map shows."""
    sides = {"old_seed": pairs.old_of_pair, "new_seed": pairs.new_of_pair}  # "deepbiaf/123"
    seeds = {side: [int(name.rsplit("/", 1)[1]) for name in names] for side, names in sides.items()}
    rates = getattr(as_flips(pairs.counts.sum(axis=1)), RATE_OF_METRIC[metric])
    return pd.DataFrame({"group": group} | seeds | {"value": rates})


def signature(manifest: Mapping[str, Any]) -> dict[str, object]:
    """The settings under a profile's numbers, from the manifest of its correctness; for tables and figures."""
    profile = manifest["profile"]
    named = {key: profile[key] for key in ("corpus", "preset", "old_seeds", "new_seeds")}
    task = TASKS[manifest.get("task", "dependency")].in_paper
    return {"task": task, **named, "resamples": NUM_RESAMPLES}


def candidate_signature(manifest: Mapping[str, Any]) -> dict[str, object]:
    """`signature` with what concerns ensembles and candidate pools."""
    profile, choices = manifest["profile"], manifest["dropout_choice"]
    # In manifests from before, a group is the text of a tuple already.
    groups = [group if isinstance(group, str) else str(tuple(group)) for group in profile["ensembles"]]
    settings = signature(manifest) | {"ensembles": [group.replace(" ", "") for group in groups]}
    settings["num_candidates"] = profile["num_candidates"]
    settings["sampling"] = [f"{update} {choice['strategy']}" for update, choice in choices.items()]
    weights = {update: choice["joined"] for update, choice in choices.items() if "joined" in choice}
    joined = [f"{update} {choice['strategy']} weight {choice['new_weight']:g}" for update, choice in weights.items()]
    return settings | ({"joined": joined} if joined else {})


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
            models = [name.rsplit("/", 1) for name in taught.old_of_pair]
            jobs = [Lesson(parse_update(update), Model(kind, int(seed))).job for kind, seed in models]
            told = [manifest.get("jobs", {}).get(job, {}).get("teacher_accuracy", {}).get(level) for job in jobs]
            if None in told:
                continue
            on_test = micro_average(taught.counts)
            accuracies = {"teacher, training data": sum(told) / len(told)}
            accuracies |= {"teacher, test": on_test.acc_old, "student, test": on_test.acc_new}
            cell = {"group": update, "row": "Distillation", "level": level}
            rows += [cell | {"metric": metric, "value": value} for metric, value in accuracies.items()]
    return pd.DataFrame(rows)


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
