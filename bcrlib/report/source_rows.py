"""What a source of candidates offers, and what becomes of it, as tidy rows."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from functools import partial

import numpy as np
import pandas as pd

from bcrlib import experiments
from bcrlib.correctness import CorrectnessStore
from bcrlib.decoding.strategies import Beam, DropoutP, KBest, Nucleus, OneBest, Strategy, TopK, parse_strategy
from bcrlib.diversity import measure, share_intervals
from bcrlib.experiments import Update
from bcrlib.metrics.uncertainty import Estimate, all_rate_intervals
from bcrlib.report.regression_rows import BOOTSTRAP_SEED, NUM_RESAMPLES

# Metric of the table -> who picks from the pool, and which rate of what is picked.
_PICKED = {
    "ACC own": (experiments.own_choice, "acc_new"),
    "ACC oracle": (partial(experiments.oracle, by="ACC"), "acc_new"),
    "NFR oracle": (partial(experiments.oracle, by="NFR"), "nfr"),
    "ACC BCR": (experiments.bcr, "acc_new"),
    "NFR BCR": (experiments.bcr, "nfr"),
}
_SOURCES = [OneBest, KBest, Beam, TopK, Nucleus, DropoutP]
_UNITS = {"distinct trees": "a sentence"}

_Pools = Mapping[str, tuple[CorrectnessStore, str, str, Update, str]]
"""Row of the table -> what measures of pools ask for: store, preset, level, update, strategy."""
_Estimates = Mapping[tuple[str, str], Estimate]
"""By row and metric."""


def source_rows(
    store: CorrectnessStore,
    preset: str,
    levels: Sequence[str],
    update: Update,
    strategies: Mapping[str, str],
    num_candidates: int | None = None,
    num_resamples: int = NUM_RESAMPLES,
) -> pd.DataFrame:
    """What the pools of each strategy offer, and who picks what from them, with 95 % intervals.

    `strategies`: {row of the table: strategy}.  Metrics: the measures of `bcrlib.diversity.measure`; accuracy of the
    new model's own choice, of the best candidate (oracle) and of what the old model picks (BCR); negative flip rate of
    the safest candidate (oracle) and of BCR's.
    O(strategies resamples sentences pairs).
    """
    some = []
    for level in levels:
        pools = {row: (store, preset, level, update, strategy) for row, strategy in strategies.items()}
        some += [_rows(level, estimates(pools, num_candidates, num_resamples)) for estimates in (_measured, _picked)]
    return pd.concat(some, ignore_index=True).assign(group=str(update))


def strategy_rows(names: Iterable[str], chosen: str = "") -> dict[str, str]:
    """The rows of a table of these strategies, {row: strategy}: source by source, parameters ascending.

    A row is called as its strategy, the one `chosen` on dev with that remark.
    """
    ordered = sorted(map(parse_strategy, names), key=lambda s: (_SOURCES.index(type(s)), _parameter(s), str(s)))
    return {f"{s}, chosen on dev" if str(s) == chosen else str(s): str(s) for s in ordered}


def shown_strategies(names: Sequence[str], update: Update, dropout: str, k: int = 5, p: float = 0.95) -> dict[str, str]:
    """One strategy of each source by the source's name: what curves show where a table shows every parameter.

    The list of best trees, the top-k nearest to this k, the nucleus nearest to this p, and the dropout-p given.
    A source without strategies among `names` is left out.
    """
    parsed = [parse_strategy(name) for name in names]
    top_k = sorted((s for s in parsed if isinstance(s, TopK)), key=lambda s: abs(s.k - k))
    nucleus = sorted((s for s in parsed if isinstance(s, Nucleus)), key=lambda s: abs(s.p - p))
    shown = [experiments.best_list(names, update), *map(str, top_k[:1]), *map(str, nucleus[:1]), dropout]
    return {source_of(name): name for name in shown if name in names}


def source_of(row: str) -> str:
    """ "top-k(k=5)" -> "top-k" """
    return row.split("(")[0]


def _parameter(strategy: Strategy) -> float:
    return next((float(getattr(strategy, name)) for name in ("width", "k", "p") if hasattr(strategy, name)), 0.0)


def _measured(pools: _Pools, num_candidates: int | None, num_resamples: int) -> _Estimates:
    shares = {
        (row, metric): share for row, pool in pools.items() for metric, share in measure(*pool, num_candidates).items()
    }
    return share_intervals(shares, num_resamples, np.random.default_rng(BOOTSTRAP_SEED))


def _picked(pools: _Pools, num_candidates: int | None, num_resamples: int) -> _Estimates:
    picked = {
        (row, metric): pick(*pool, num_candidates=num_candidates)
        for row, pool in pools.items()
        for metric, (pick, _) in _PICKED.items()
    }
    rates = all_rate_intervals(picked, num_resamples, np.random.default_rng(BOOTSTRAP_SEED))
    return {(row, metric): of_rate[_PICKED[metric][1]] for (row, metric), of_rate in rates.items()}


def _rows(level: str, estimates: _Estimates) -> pd.DataFrame:
    return pd.DataFrame(
        {"row": row, "level": level, "metric": metric, "unit": _UNITS.get(metric, "%"), **asdict(estimate)}
        for (row, metric), estimate in estimates.items()
    )
