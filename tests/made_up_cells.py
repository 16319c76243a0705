"""Results of an ablation made up by hand: cells whose rates are known, of both tasks."""

from collections.abc import Callable
from itertools import product

import numpy as np

from bcrlib.metrics.uncertainty import PairCounts
from bcrlib.pipeline.profile import cell_name
from bcrlib.report.candidate_sources import JOINED, SAMPLED
from bcrlib.report.causes import DISTILLED, LISTED, LISTED_ORACLE, SAMPLED_ORACLE, UNTREATED, Found
from bcrlib.tasks import TASKS

Share = Callable[[int], float]
NUM_SENTENCES, UNITS = 400, 10
FACTORS = {
    "dependency": {"epochs": ["4", "10", "25"], "vectors": ["static", "context"]},
    "semantic": {"epochs": ["5", "40"], "dropout": ["0.1", "0.3"]},
}
KINDS = {"dependency": "deepbiaf", "semantic": "s2s-base"}


def a_fifth(number: int) -> float:
    """Of the errors are flips, whatever the number of epochs."""
    return 0.2


def rates(number: int, setting: dict[str, str], share: Share = a_fifth) -> dict[str, tuple[float, float]]:
    """Row -> (NFR, error rate) of a cell: dropout-p beats the list at the last number of epochs alone.

    The first number of epochs makes students worse, later ones do not.  share: the NFI of the plain update.
    """
    errors = 0.2 / (1 + number)
    nfr = share(number) * errors
    return {
        UNTREATED: (nfr, errors),
        DISTILLED: (nfr * 1.5, errors * 1.1) if number == 0 else (nfr * 0.8, errors),
        SAMPLED: (nfr * (0.3 if number == last(setting) else 0.9), errors),
        LISTED: (nfr * 0.6, errors),
        JOINED: (nfr * 0.5, errors),
        SAMPLED_ORACLE: (nfr * 0.2, errors),
        LISTED_ORACLE: (nfr * 0.1, errors),
    }


def last(setting: dict[str, str]) -> int:
    """Index of the last number of epochs of the task with these factors."""
    (factors,) = (of for of in FACTORS.values() if set(of) == set(setting))
    return len(factors["epochs"]) - 1


def flips(nfr: float, errors: float, old_errors: float) -> np.ndarray:
    """Counts [1, sentence, 4] that have these rates, the same units each time; broken ones are not wrong before."""
    num = NUM_SENTENCES * UNITS
    broken, wrong, wrong_before = (round(rate * num) for rate in (nfr, errors, old_errors))
    old, new = np.ones(num, dtype=bool), np.ones(num, dtype=bool)
    order = np.random.default_rng(0).permutation(num)
    old[order[:wrong_before]] = False
    new[order[: wrong - broken]] = False
    new[order[num - broken :]] = False
    outcome = (2 * ~old + ~new).reshape(NUM_SENTENCES, UNITS)
    return np.stack([(outcome == kind).sum(axis=1) for kind in range(4)], axis=-1)[None].astype(np.int64)


def made_up(task: str, share: Share = a_fifth) -> Found:
    """Everything that a run of cells keeps of a task."""
    counts, cells, kind = {}, {}, KINDS[task]
    for combination in product(*FACTORS[task].values()):
        setting = dict(zip(FACTORS[task], combination))
        cell, number = cell_name(setting), FACTORS[task]["epochs"].index(setting["epochs"])
        of_row = {
            row: PairCounts(flips(nfr, errors, 0.25), (f"{cell}: {kind}/1",), (f"{cell}: {kind}/2",))
            for row, (nfr, errors) in rates(number, setting, share).items()
        }
        counts[cell] = dict.fromkeys(TASKS[task].levels, of_row)
        known = dict.fromkeys(TASKS[task].levels, 0.8 + 0.05 * number)
        choice = {f"{kind}=>{kind}": {"strategy": "dropout-p(p=0.1)", "grid": []}}
        cells[cell] = {"teacher_accuracy": {f"{kind}/1": known}, "dropout_choice": choice}
    profile = {"corpus": "demo", "preset": "clean", "ablation": {"train_share": 0.25}}
    return Found(counts, {"task": task, "profile": profile, "factors": [*FACTORS[task].items()], "cells": cells})
