"""The paper's experiments, counted from stored correctness: which systems are compared, pair by pair of seeds.

Every function gives the flips of one method at one level as PairCounts; rates, intervals and tables follow from those.
Old models are those that score the candidates of others, new models those that propose them. No torch, no corpus.
"""

from collections.abc import Callable, Iterable

import numpy as np
from jaxtyping import Bool

from bcrlib.correctness import CorrectnessStore, Pool
from bcrlib.metrics.flips import flips_by_sentence
from bcrlib.metrics.uncertainty import PairCounts
from bcrlib.reranking import accuracy_oracle, bcr_scores, choose, nfr_oracle, take

Right = Bool[np.ndarray, "unit"]


def new_models(store: CorrectnessStore) -> list[str]:
    """Names of the models that propose candidates."""
    return list(dict.fromkeys(pool.proposer for pool in store.pools()))


def old_models(store: CorrectnessStore) -> list[str]:
    """Names of the models that only score."""
    new = new_models(store)
    scorers = dict.fromkeys(scorer for pool in store.pools() for scorer in store.scorers(pool))
    return [name for name in scorers if name not in new]


def strategies(store: CorrectnessStore) -> list[str]:
    """The strategies candidates came from, by name."""
    return list(dict.fromkeys(pool.strategy for pool in store.pools()))


def dropout_strategy(store: CorrectnessStore) -> str:
    """The one dropout-p strategy of a store of test results. ValueError where there is none or more than one."""
    (strategy,) = [name for name in strategies(store) if name.startswith("dropout-p")]
    return strategy


def retrained(store: CorrectnessStore, preset: str, level: str) -> PairCounts:
    """An update that only retrains: ordered pairs of different seeds among the old models (paper, Tables 1 and 7)."""
    right = _right_of_single(store, preset, level, old_models(store))
    pairs = {(old, new): (right[old], right[new]) for old in right for new in right if old != new}
    return _count(store, preset, level, pairs)


def untreated(store: CorrectnessStore, preset: str, level: str) -> PairCounts:
    """Every old model replaced by every new one (paper, Tables 3 and 8)."""
    old = _right_of_single(store, preset, level, old_models(store))
    new = _right_of_single(store, preset, level, new_models(store))
    return _count(store, preset, level, {(o, n): (old[o], new[n]) for o in old for n in new})


def ensemble(store: CorrectnessStore, preset: str, level: str) -> PairCounts:
    """Every old model replaced by every ensemble."""
    old = _right_of_single(store, preset, level, old_models(store))
    groups = [system for system in store.systems() if system.method == "ensemble"]
    pairs = {(o, group.name): (old[o], store.load_system(group, preset, level)) for o in old for group in groups}
    return _count(store, preset, level, pairs)


def distillation(store: CorrectnessStore, preset: str, level: str) -> PairCounts:
    """Every old model replaced by the student it taught."""
    old = _right_of_single(store, preset, level, old_models(store))
    students = {s.old_seed: s for s in store.systems() if s.method == "distillation"}
    pairs = {}
    for name in old:
        student = students[int(name.split("/")[1])]
        pairs[name, student.name] = (old[name], store.load_system(student, preset, level))
    return _count(store, preset, level, pairs)


def bcr(
    store: CorrectnessStore,
    preset: str,
    level: str,
    strategy: str,
    num_candidates: int | None = None,
    new_weight: float = 0.0,
) -> PairCounts:
    """Backward-congruent re-ranking of the first `num_candidates` of each pool (all by default)."""

    def scores(pool: Pool, old: str) -> np.ndarray:
        return bcr_scores(store.load_scores(pool, pool.proposer), [store.load_scores(pool, old)], new_weight)

    return _reranked(store, preset, level, strategy, num_candidates, scores)


def own_choice(
    store: CorrectnessStore, preset: str, level: str, strategy: str, num_candidates: int | None = None
) -> PairCounts:
    """Re-ranking by the new model itself: what the pool does without an old model."""
    return _reranked(
        store, preset, level, strategy, num_candidates, lambda pool, _: store.load_scores(pool, pool.proposer)
    )


def oracle(
    store: CorrectnessStore,
    preset: str,
    level: str,
    strategy: str,
    by: str,
    num_candidates: int | None = None,
) -> PairCounts:
    """The oracle re-ranker "ACC" or "NFR" (paper, Tables 6 and 9): it decides by the words also for whole trees."""
    words = {"UCM": "UAS", "LCM": "LAS"}.get(level, level)
    units = store.load_units(preset)
    of_unit, num_sentences = units.sentence_of_unit[words], units.num_sentences
    old_right = _right_of_single(store, preset, words, old_models(store))

    def scores(pool: Pool, old: str) -> np.ndarray:
        right = store.load_pool(pool, preset, words)
        if by == "ACC":
            return accuracy_oracle(right, of_unit, num_sentences)
        return nfr_oracle(right, old_right[old], of_unit, num_sentences)

    return _reranked(store, preset, level, strategy, num_candidates, scores)


def _reranked(
    store: CorrectnessStore,
    preset: str,
    level: str,
    strategy: str,
    num_candidates: int | None,
    scores: Callable[[Pool, str], np.ndarray],
) -> PairCounts:
    """Every old model replaced by every new one, the candidates chosen by their scores [candidate, sentence]."""
    of_unit = store.load_units(preset).sentence_of_unit[level]
    old = _right_of_single(store, preset, level, old_models(store))
    pairs = {}
    for name in new_models(store):
        pool = Pool(name, strategy)
        right = store.load_pool(pool, preset, level)
        for o in old:
            choice = choose(scores(pool, o)[:num_candidates])
            pairs[o, name] = (old[o], take(right, choice, of_unit))
    return _count(store, preset, level, pairs)


def _right_of_single(store: CorrectnessStore, preset: str, level: str, names: Iterable[str]) -> dict[str, Right]:
    singles = {system.name: system for system in store.systems() if system.method == "untreated"}
    return {name: store.load_system(singles[name], preset, level) for name in names}


def _count(
    store: CorrectnessStore, preset: str, level: str, pairs: dict[tuple[str, str], tuple[Right, Right]]
) -> PairCounts:
    """The flips of each pair of names (old, new), from which units either gets right."""
    units = store.load_units(preset)
    old, new = (np.stack(side) for side in zip(*pairs.values()))
    counts = flips_by_sentence(old, new, units.sentence_of_unit[level], units.num_sentences)
    return PairCounts(counts, tuple(o for o, _ in pairs), tuple(n for _, n in pairs))
