"""The rows of Tables 3 to 6, 8 and 9: what replaces an old model, under the name of its row, and its flips counted."""

from collections.abc import Callable, Iterable, Mapping
from functools import partial

from bcrlib import experiments
from bcrlib.correctness import CorrectnessStore
from bcrlib.experiments import Update
from bcrlib.metrics.uncertainty import PairCounts
from bcrlib.report.source_rows import strategy_rows

SAMPLED = "BCR (dropout-p)"
JOINED = "BCR (joined)"
IN_PAPER = {SAMPLED: ("BCR", {})} | {f"oracle {by}": ("oracle-re-ranker", {"reranker": by}) for by in ("NFR", "ACC")}
"""What the paper calls a row, for `tables.beside_paper`."""

Method = Callable[[CorrectnessStore, str, str, Update], PairCounts]
"""From a store, a preset, a level and an update to the flips, as the functions of `bcrlib.experiments`."""


def listed_row(update: Update) -> str:
    """The name of re-ranking over the new parser's list of best structures: "BCR (k-best)" or "BCR (beam)"."""
    return f"BCR ({update.task.listed[update.new].partition('(')[0]})"


def rerankers(store: CorrectnessStore, update: Update) -> dict[str, Method]:
    """BCR over both main pools: sampled with the dropout rate chosen on dev for this update, and listed.

    And over both together, the new model having the say that was chosen on dev; runs from before have no such row.
    """
    strategies = {SAMPLED: experiments.dropout_strategy(store, update)}
    strategies[listed_row(update)] = experiments.listed_strategy(store, update)
    rows: dict[str, Method] = {row: partial(experiments.bcr, strategy=name) for row, name in strategies.items()}
    if choice := experiments.joined_choice(store, update):
        rows[JOINED] = partial(experiments.bcr, strategy=choice[0], new_weight=choice[1])
    return rows


def methods(store: CorrectnessStore, update: Update) -> dict[str, Method]:
    """The methods of the paper's Tables 3, 4 and 8, and BCR over listed structures and joined pools."""
    plain = {name: getattr(experiments, name.lower()) for name in ("Untreated", "Distillation", "Ensemble")}
    return plain | rerankers(store, update)


def pickers(store: CorrectnessStore, update: Update) -> dict[str, Method]:
    """Who may choose from the sampled pool: nobody, the new model, the old one, the oracles (paper, Tables 6 and 9)."""
    sampling = experiments.dropout_strategy(store, update)
    models: dict[str, Method] = {"own choice": partial(experiments.own_choice, strategy=sampling)}
    models[SAMPLED] = rerankers(store, update)[SAMPLED]
    oracles = {f"oracle {by}": partial(experiments.oracle, strategy=sampling, by=by) for by in ("NFR", "ACC")}
    return {"Untreated": experiments.untreated, **models, **oracles}


def sources(store: CorrectnessStore, update: Update) -> dict[str, Method]:
    """BCR over what every strategy proposes, rows named as by `strategy_rows` (paper, Table 5)."""
    rows = strategy_rows(experiments.strategies(store, update.new), experiments.dropout_strategy(store, update))
    return {row: partial(experiments.bcr, strategy=strategy) for row, strategy in rows.items()}


def by_score(store: CorrectnessStore, update: Update, rows: Mapping[str, str]) -> dict[str, Method]:
    """BCR of strategies, {row: strategy}, by the sum and by the mean a token, where the store can tell that."""
    names = {"sum": "sum", "mean": "mean a token"}
    return {
        f"{row}, {names[score]}": partial(experiments.bcr, strategy=strategy, score=score)
        for row, strategy in rows.items()
        for score in experiments.scores_of(store, update, strategy)
    }


def count(
    store: CorrectnessStore,
    preset: str,
    update: Update,
    rows: Mapping[str, Method],
    levels: Iterable[str] | None = None,
) -> dict[str, dict[str, PairCounts]]:
    """The flips of every row at these levels, by default all of the update's task, as `regression_rows` takes them."""
    chosen = update.task.levels if levels is None else levels
    return {level: {row: method(store, preset, level, update) for row, method in rows.items()} for level in chosen}
