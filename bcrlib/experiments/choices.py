"""What is chosen on dev for each update, by stated rules: dropout-p's rate, and the new model's say in a joined pool.

    rate      fewest negative flips after re-ranking (NFR at the task's choice level, labelled words or spans)
    score     of frames, at that rate: the sum of log-probabilities or the mean a token, whichever leaves fewer flips of
              spans and frames together, of equal ones the sum; the authors' definitions are means
    weight    of those at which BCR over the joined pool is, at every level, no less accurate than BCR over dropout-p
              alone, the one that cuts most negative flips

The bar of the weight is the paper's BCR, which the joined pool is to dominate: to break less and to be no less
accurate, at every level.  The accuracy of the plain update would be the wrong bar.  Where models of less data judge
models of more, every pool loses some of what was gained, and no weight wins that back but one that gives up most of the
cut; where old and new complement each other, every pool gains, and with so low a bar the joined one would gain less.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from bcrlib.data.presets import PRESETS
from bcrlib.experiments.counting import Update, bcr, joined_strategy, scores_of, strategies, untreated
from bcrlib.experiments.store import CorrectnessStore, Score
from bcrlib.metrics.flips import Flips
from bcrlib.metrics.uncertainty import micro_average
from bcrlib.samplers.strategies import DropoutP, parse_strategy

NEW_WEIGHTS = (0.0, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.7, 1.0)

OfLevel = Mapping[str, Flips]
"""Level -> flips over all pairs of models."""


def choose_on_dev(
    store: CorrectnessStore, preset: str, update: Update, weights: Sequence[float] = NEW_WEIGHTS
) -> dict[str, Any]:
    """Rate, score and weight of an update with all that was tried, as JSON values for the manifest ("dropout_choice").

    {"strategy": the dropout-p chosen, "grid": [a row a rate and level: strategy, level, nfr, nfi, acc_new],
     "score": "sum" or "mean", "flips_by_score": {score: flips left},
     "untreated": [a row a level],
     "joined": {"strategy": its name, "new_weight": the weight chosen, "grid": [a row a weight and level]}}
    `store` is of dev.  KeyError names what it lacks.  O((rates + weights) levels pairs (candidates sentences + units)).
    """

    def flips(strategy: str, weight: float = 0.0, score: Score = "sum") -> dict[str, Flips]:
        """What BCR leaves, by level."""
        return {
            level: micro_average(bcr(store, preset, level, update, strategy, None, weight, score).counts)
            for level in update.task.levels
        }

    plain = {level: micro_average(untreated(store, preset, level, update).counts) for level in update.task.levels}
    sampled = {s: flips(s) for s in strategies(store, update.new) if isinstance(parse_strategy(s), DropoutP)}
    dropout = chosen_rate(sampled, update.task.choice_level)
    by_score = {
        score: sum(left.yn for left in flips(dropout, score=score).values())
        for score in scores_of(store, update, dropout)
    }
    is_mean = PRESETS[preset].s2s_length_normalised and "mean" in by_score
    score = "mean" if is_mean else min(by_score, key=by_score.get)
    joined = joined_strategy(store, update, dropout)
    weighted = {weight: flips(joined, weight, score) for weight in weights}
    return {
        "strategy": dropout,
        "score": score,
        "flips_by_score": by_score,
        "grid": [row for strategy, of_level in sampled.items() for row in _rows(of_level, {"strategy": strategy})],
        "untreated": _rows(plain, {}),
        "joined": {
            "strategy": joined,
            "new_weight": chosen_weight(weighted, plain, flips(dropout, score=score)),
            "grid": [row for weight, of_level in weighted.items() for row in _rows(of_level, {"new_weight": weight})],
        },
    }


def chosen_rate(of_strategy: Mapping[str, OfLevel], level: str) -> str:
    """The strategy with the lowest NFR at a level; of equal ones the first.

    A rate, unlike NFI, does not improve when the update makes more errors of other kinds.
    """
    return min(of_strategy, key=lambda strategy: of_strategy[strategy][level].nfr)


def chosen_weight(of_weight: Mapping[float, OfLevel], plain: OfLevel, bar: OfLevel) -> float:
    """The weight that cuts most of the plain update's NFR, mean over levels, among those that keep the bar's accuracy.

    A weight keeps it where its accuracy is that of the bar or higher at every level; where none does, the most accurate
    one (mean over levels) is taken.  Of equal ones the first.  A level at which the update breaks nothing does not
    count for the cut.
    """

    def cut(weight: float) -> float:
        broken = [level for level in plain if plain[level].yn]
        return sum(1 - of_weight[weight][level].nfr / plain[level].nfr for level in broken)

    def accuracy(weight: float) -> float:
        return float(np.mean([flips.acc_new for flips in of_weight[weight].values()]))

    def keeps(weight: float) -> bool:
        return all(of_weight[weight][level].acc_new >= bar[level].acc_new for level in bar)

    keeping = list(filter(keeps, of_weight))
    return max(keeping, key=cut) if keeping else max(of_weight, key=accuracy)


def _rows(of_level: OfLevel, of_all: Mapping[str, object]) -> list[dict[str, Any]]:
    return [
        {**of_all, "level": level, "nfr": flips.nfr, "nfi": flips.nfi, "acc_new": flips.acc_new}
        for level, flips in of_level.items()
    ]
