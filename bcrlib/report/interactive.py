"""What a reader may turn in a notebook: the re-ranking of a stored pool under other choices, counted at once.

No training, no network, no torch. Sliders appear where a person runs the cell; a program that runs the notebook (the
pipeline, nbval, the site) gets the same table once, so that committed outputs are text and equal from run to run.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from importlib.util import find_spec

import pandas as pd
from IPython import get_ipython

from bcrlib.experiments import counting
from bcrlib.experiments.store import CorrectnessStore
from bcrlib.metrics.uncertainty import micro_average

RATES = {"ACC": "acc_new", "NFR": "nfr", "NFI": "nfi"}


def pool_rates(
    store: CorrectnessStore,
    definition: str,
    update: counting.Update,
    strategy: str,
    num_candidates: int,
    new_weight: float = 0.0,
    levels: Sequence[str] = (),
) -> pd.DataFrame:
    """Rates in [0, 1] of an update as it is and re-ranked: rows (level, method), columns ACC, NFR and NFI.

    Micro-averages over all pairs of an old and a new model (paper, Tables 3 and 4). BCR picks from the first
    `num_candidates` of each pool, with the new model's log-probability weighted by `new_weight`. `levels`: all of the
    task where none is given. ValueError for a strategy that is not stored and for fewer candidates than one.
    O(pairs candidates units).
    """
    stored = counting.strategies(store, update.new)
    if strategy not in stored:
        raise ValueError(f"{update}: no pool by {strategy!r} is stored; choose one of {', '.join(stored)}")
    if num_candidates < 1:
        raise ValueError(f"{update}: {num_candidates} candidates leave nothing to pick")
    choices = {"strategy": strategy, "num_candidates": num_candidates, "new_weight": new_weight}
    methods = {"Untreated": counting.untreated, "BCR": partial(counting.bcr, **choices)}
    rows = {}
    for level in levels or update.task.levels:
        for method, count in methods.items():
            total = micro_average(count(store, definition, level, update).counts)
            rows[level, method] = {name: getattr(total, rate) for name, rate in RATES.items()}
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis(["level", "method"])


def per_cent(rates: pd.DataFrame) -> str:
    """Rates as text for the eye, in per cent."""
    return (100 * rates).to_string(float_format="%.2f")


def explore(look: Callable[..., None], choices: Mapping[str, object]) -> None:
    """Sliders and menus over `look` for a person; for a program one look at its defaults.

    choices: the name of each parameter of `look` and what `ipywidgets.interact` makes a control of, a range or a list.
    """
    if a_person_is_here() and find_spec("ipywidgets"):
        from ipywidgets import interact

        interact(look, **choices)
    else:
        look()


def a_person_is_here() -> bool:
    """Whether the running cell was sent by a front end that could ask its user for input, as JupyterLab's could.

    Programs that run notebooks say with each cell that nobody is there to be asked.
    """
    kernel = getattr(get_ipython(), "kernel", None)
    return kernel is not None and bool(kernel.get_parent().get("content", {}).get("allow_stdin", False))
