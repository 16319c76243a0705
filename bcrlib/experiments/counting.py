"""The paper's experiments, counted from stored correctness: which systems are compared, pair by pair of seeds.

An update replaces an old model of one kind of parser by a new model of the same or of another kind.  Every function
gives the flips of one method at one level as PairCounts; rates, intervals and tables follow from those.
No torch, no corpus.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float64, Int16

from bcrlib.experiments.store import CorrectnessStore, Pool, Score, System
from bcrlib.metrics.flips import flips_by_sentence
from bcrlib.metrics.uncertainty import PairCounts, Share
from bcrlib.reranking import accuracy_oracle, bcr_scores, choose, nfr_oracle, take
from bcrlib.samplers.strategies import JOINT, OneBest
from bcrlib.tasks import AUTHORS_LISTS, TASKS, Names, names_of, network_of

Right = Bool[np.ndarray, "unit"]

KINDS = tuple(kind for names in TASKS.values() for kind in names.kinds)
"""Of parsers of both tasks."""
ONE_BEST = str(OneBest())


@dataclass(frozen=True)
class Update:
    """The kinds of the replaced and of the replacing parser; prints as "deepbiaf=>stackptr"."""

    old: str
    new: str

    def __str__(self) -> str:
        return f"{self.old}=>{self.new}"

    @property
    def task(self) -> Names:
        """Levels and kinds of the task whose parser is replaced. KeyError for an unknown kind."""
        return names_of(self.new)


def parse_update(text: str) -> Update:
    """The update that prints as `text`. ValueError names what is wrong."""
    old, arrow, new = text.partition("=>")
    if not arrow:
        raise ValueError(f"an update has the form OLD=>NEW, not {text!r}")
    for kind in (old, new):
        if kind not in KINDS:
            raise ValueError(f"update {text!r}: unknown kind of parser {kind!r}; choose one of {', '.join(KINDS)}")
    if names_of(old) is not names_of(new):
        raise ValueError(f"update {text!r}: a parser of one task cannot replace one of the other")
    return Update(old, new)


def updates(store: CorrectnessStore) -> list[Update]:
    """The updates whose re-ranking a store can count, in the paper's order: within a kind first.

    A kind's own variants come before it: its part, or the one with static vectors, which the paper does not have.
    """
    old = {system.name: system.model for system in store.systems() if system.method == "old"}
    new = {system.name: system.model for system in store.systems() if system.method == "new"}
    found = {
        Update(old[scorer], new[pool.proposer])
        for pool in store.pools()
        for scorer in store.scorers(pool)
        if scorer in old and pool.proposer in new
    }

    def place(update: Update) -> tuple[bool, int, int]:
        return network_of(update.old) != update.new, KINDS.index(update.old), KINDS.index(update.new)

    return sorted(found, key=place)


def old_models(store: CorrectnessStore, kind: str) -> list[str]:
    """Names of the single models of this kind that an update replaces."""
    return [system.name for system in _systems(store, "old", kind)]


def new_models(store: CorrectnessStore, kind: str) -> list[str]:
    """Names of the single models of this kind that replace others."""
    return [system.name for system in _systems(store, "new", kind)]


def _systems(store: CorrectnessStore, method: str, kind: str) -> list[System]:
    return [system for system in store.systems() if (system.method, system.model) == (method, kind)]


def right_of_models(store: CorrectnessStore, preset: str, level: str, names: Iterable[str]) -> dict[str, Right]:
    """Which units these single models get right, by name."""
    singles = {system.name: system for system in store.systems() if system.method in ("old", "new")}
    return {name: store.load_system(singles[name], preset, level) for name in names}


def strategies(store: CorrectnessStore, kind: str) -> list[str]:
    """The strategies by which the new models of this kind proposed candidates, in alphabetical order.

    Without the 1-best, which leaves nothing to choose: it is stored for joined pools.
    """
    return sorted(_stored_strategies(store, kind) - {ONE_BEST})


def listed_strategy(store: CorrectnessStore, update: Update) -> str:
    """The strategy that lists the new parser's best structures, without chance: the best that the store has."""
    return best_list(strategies(store, update.new), update)


def best_list(names: Collection[str], update: Update) -> str:
    """That of the new parser's kind; the authors' one where `names`, of strategies, have only that."""
    listed = update.task.listed[update.new]
    instead = AUTHORS_LISTS.get(listed, listed)
    return instead if instead in names and listed not in names else listed


def _chosen(store: CorrectnessStore, update: Update) -> dict[str, Any]:
    """What was chosen on dev for this update, from the manifest (`choices.choose_on_dev`); maybe nothing."""
    return store.load_manifest().get("dropout_choice", {}).get(str(update), {})


def dropout_strategy(store: CorrectnessStore, update: Update) -> str:
    """The dropout-p strategy chosen on dev for this update. KeyError where none was chosen."""
    if not (chosen := _chosen(store, update)):
        raise KeyError(f"no dropout rate was chosen for {update} in {store.folder}")
    return chosen["strategy"]


def joined_strategy(store: CorrectnessStore, update: Update, dropout: str) -> str:
    """The strategy that joins the new parser's list and its samples by `dropout`, "k-best+dropout-p(p=0.05)".

    And its 1-best, where that is stored: a beam need not have it.
    """
    first = [ONE_BEST] if ONE_BEST in _stored_strategies(store, update.new) else []
    return JOINT.join([*first, listed_strategy(store, update), dropout])


def joined_choice(store: CorrectnessStore, update: Update) -> tuple[str, float] | None:
    """The joined strategy and the new model's weight chosen on dev for this update; None in runs from before."""
    joined = _chosen(store, update).get("joined")
    return joined and (joined["strategy"], joined["new_weight"])


def chosen_score(store: CorrectnessStore, update: Update) -> Score:
    """How re-ranking of this update compares candidates, as chosen on dev; "sum" where nothing was chosen."""
    return _chosen(store, update).get("score", "sum")


def scores_of(store: CorrectnessStore, update: Update, strategy: str) -> tuple[Score, ...]:
    """How re-ranking of the new models' pools can compare candidates: by the sum alone where one has no lengths."""
    pools = [Pool(name, strategy) for name in new_models(store, update.new)]
    return ("sum", "mean") if all(store.has_lengths(pool, pool.proposer) for pool in pools) else ("sum",)


def retrained(store: CorrectnessStore, preset: str, level: str, update: Update) -> PairCounts:
    """The update before any choice of new models, by the old models alone (paper, Tables 1, 2 and 7).

    Within a kind: all ordered pairs of different seeds. Across kinds: every old model of the one kind with every old
    model of the other; with every new one where the other kind is replaced by nothing, and so has no old models.
    """
    others = old_models(store, update.new) or new_models(store, update.new)
    old, new = (right_of_models(store, preset, level, names) for names in (old_models(store, update.old), others))
    return _count(store, preset, level, {(o, n): (old[o], new[n]) for o in old for n in new if o != n})


def untreated(store: CorrectnessStore, preset: str, level: str, update: Update) -> PairCounts:
    """Every old model replaced by every new one (paper, Tables 3, 4 and 8)."""
    return _replaced_by(store, preset, level, update, _systems(store, "new", update.new))


def ensemble(store: CorrectnessStore, preset: str, level: str, update: Update) -> PairCounts:
    """Every old model replaced by every ensemble of new ones."""
    return _replaced_by(store, preset, level, update, _systems(store, "ensemble", update.new))


def growing_ensembles(store: CorrectnessStore, preset: str, level: str, update: Update) -> dict[int, PairCounts]:
    """Every old model replaced by an ensemble of 1, 2, ... new ones, by that number (paper, Figure 3)."""
    growing = sorted(_systems(store, "growing ensemble", update.new), key=lambda system: len(system.members))
    return {len(s.members): _replaced_by(store, preset, level, update, [s]) for s in growing}


def distillation(store: CorrectnessStore, preset: str, level: str, update: Update) -> PairCounts:
    """Every old model that taught a student of the new kind, replaced by it."""
    old = right_of_models(store, preset, level, old_models(store, update.old))
    students = [s for s in _systems(store, "distillation", update.new) if s.teacher in old]
    pairs = {(s.teacher, s.name): (old[s.teacher], store.load_system(s, preset, level)) for s in students}
    return _count(store, preset, level, pairs)


def _replaced_by(
    store: CorrectnessStore, preset: str, level: str, update: Update, systems: Iterable[System]
) -> PairCounts:
    """Every old model replaced by each of these systems."""
    old = right_of_models(store, preset, level, old_models(store, update.old))
    new = {system.name: store.load_system(system, preset, level) for system in systems}
    return _count(store, preset, level, {(o, n): (old[o], new[n]) for o in old for n in new})


def bcr(
    store: CorrectnessStore,
    preset: str,
    level: str,
    update: Update,
    strategy: str,
    num_candidates: int | None = None,
    new_weight: float = 0.0,
    score: Score | None = None,
) -> PairCounts:
    """Backward-congruent re-ranking of the first `num_candidates` of each pool (all by default).

    A joined strategy has the pools of its parts, one after the other: exactly a pool without copies, for equal
    structures have equal scores, and of equal scores the first counts.
    score: how the models' opinions are compared, by default as chosen on dev (`chosen_score`). KeyError for the mean
    where the store has no lengths.
    """
    how = score or chosen_score(store, update)

    def scores(pool: Pool, old: str) -> np.ndarray:
        own, theirs = (store.load_scores(pool, name, how) for name in (pool.proposer, old))
        return bcr_scores(own, [theirs], new_weight)

    return _reranked(store, preset, level, update, strategy, num_candidates, scores)


def own_choice(
    store: CorrectnessStore,
    preset: str,
    level: str,
    update: Update,
    strategy: str,
    num_candidates: int | None = None,
) -> PairCounts:
    """Re-ranking by the new model itself, as `bcr`: what the pool does without an old model."""
    how = chosen_score(store, update)

    def scores(pool: Pool, old: str) -> np.ndarray:
        return store.load_scores(pool, pool.proposer, how)

    return _reranked(store, preset, level, update, strategy, num_candidates, scores)


def oracle(
    store: CorrectnessStore,
    preset: str,
    level: str,
    update: Update,
    strategy: str,
    by: str,
    num_candidates: int | None = None,
) -> PairCounts:
    """The oracle re-ranker "ACC" or "NFR" (paper, Tables 6 and 9).

    Also for whole structures it decides by their parts: by words for trees, by spans for frames.
    """
    parts = update.task.atom_of.get(level, level)
    units = store.load_units(preset)
    of_unit, num_sentences = units.sentence_of_unit[parts], units.num_sentences
    old_right = right_of_models(store, preset, parts, old_models(store, update.old))

    def scores(pool: Pool, old: str) -> np.ndarray:
        right = store.load_pool(pool, preset, parts)
        if by == "ACC":
            return accuracy_oracle(right, of_unit, num_sentences)
        return nfr_oracle(right, old_right[old], of_unit, num_sentences)

    return _reranked(store, preset, level, update, strategy, num_candidates, scores)


def offered(
    store: CorrectnessStore,
    preset: str,
    level: str,
    update: Update,
    strategy: str,
    num_candidates: int | None = None,
) -> dict[str, Share]:
    """What the first `num_candidates` of the new models' pools offer before anybody picks (all by default), by name.

    Copies of one tree leave nothing to choose; trees that differ because they are bad are no choice either.

    distinct trees  different trees a sentence
    same tree       share of pairs of candidates that are one tree (same_tree); not for a single candidate
    same verdict    the same for units and their correctness (same_verdict); not for a single candidate
    ACC random      accuracy of a candidate drawn by lot
    safe            sentences with units of which some candidate breaks nothing, gets every unit right that the old
                    model gets right; mean over the old models

    KeyError names what is not stored.  O(new models (candidates^2 sentences + old models candidates units)).
    """
    units = store.load_units(preset)
    of_unit, num_sentences = units.sentence_of_unit[level], units.num_sentences
    old_rights = right_of_models(store, preset, level, old_models(store, update.old)).values()
    sentences, num_units = np.ones(num_sentences), np.bincount(of_unit, minlength=num_sentences)
    with_units = np.minimum(num_units, 1)
    of_models: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {}
    for model in new_models(store, update.new):
        pool = Pool(model, strategy)
        first_equal = store.load_first_equal(pool)[:num_candidates]
        right = store.load_pool(pool, preset, level)[:num_candidates]
        safe = [(nfr_oracle(right, old, of_unit, num_sentences) == 0).any(axis=0) for old in old_rights]
        parts = {
            "distinct trees": ((first_equal == np.arange(len(first_equal))[:, None]).sum(axis=0), sentences),
            "ACC random": (np.bincount(of_unit, right.mean(axis=0), num_sentences), num_units),
            "safe": (np.mean(safe, axis=0) * with_units, with_units),
        }
        if len(right) > 1:
            verdicts = np.bincount(of_unit, same_verdict(right), num_sentences)
            parts |= {"same tree": (same_tree(first_equal), sentences), "same verdict": (verdicts, num_units)}
        for name, amount_and_out_of in parts.items():
            of_models.setdefault(name, []).append(amount_and_out_of)
    return {name: Share(*map(np.stack, zip(*parts))) for name, parts in of_models.items()}


def same_tree(first_equal: Int16[np.ndarray, "candidate sentence"]) -> Float64[np.ndarray, "sentence"]:
    """Of all pairs of candidates of a sentence, the share whose trees are the same.

    `first_equal` is the index of the first candidate that is the same tree, as the store has it.  A tree with c copies
    makes c (c - 1) of the n (n - 1) ordered pairs.  O(candidates^2 sentences).
    """
    num_candidates = len(first_equal)
    copies = np.stack([(first_equal == first).sum(axis=0) for first in range(num_candidates)])
    return (copies * (copies - 1)).sum(axis=0) / (num_candidates * (num_candidates - 1))


def same_verdict(right: Bool[np.ndarray, "candidate unit"]) -> Float64[np.ndarray, "unit"]:
    """Of all pairs of candidates, the share of which a unit is right in both or wrong in both.  O(candidates units)."""
    num_candidates, num_right = len(right), right.sum(axis=0)
    num_wrong = num_candidates - num_right
    same = num_right * (num_right - 1) + num_wrong * (num_wrong - 1)
    return same / (num_candidates * (num_candidates - 1))


def _reranked(
    store: CorrectnessStore,
    preset: str,
    level: str,
    update: Update,
    strategy: str,
    num_candidates: int | None,
    scores: Callable[[Pool, str], np.ndarray],
) -> PairCounts:
    """Every old model replaced by every new one, the candidates chosen by their scores [candidate, sentence].

    The scores of all parts of a joined strategy must be comparable.
    """
    of_unit = store.load_units(preset).sentence_of_unit[level]
    old = right_of_models(store, preset, level, old_models(store, update.old))
    pairs = {}
    for name in new_models(store, update.new):
        pools = [Pool(name, part) for part in strategy.split(JOINT)]
        right = np.concatenate([store.load_pool(pool, preset, level)[:num_candidates] for pool in pools])
        for o in old:
            choice = choose(np.concatenate([scores(pool, o)[:num_candidates] for pool in pools]))
            pairs[o, name] = (old[o], take(right, choice, of_unit))
    return _count(store, preset, level, pairs)


def _stored_strategies(store: CorrectnessStore, kind: str) -> set[str]:
    new = new_models(store, kind)
    return {pool.strategy for pool in store.pools() if pool.proposer in new}


def _count(
    store: CorrectnessStore, preset: str, level: str, pairs: Mapping[tuple[str, str], tuple[Right, Right]]
) -> PairCounts:
    """The flips of each pair of names (old, new), from which units either gets right."""
    if not pairs:
        raise KeyError(f"no models of this update in {store.folder}")
    units = store.load_units(preset)
    old, new = (np.stack(side) for side in zip(*pairs.values()))
    counts = flips_by_sentence(old, new, units.sentence_of_unit[level], units.num_sentences)
    return PairCounts(counts, tuple(o for o, _ in pairs), tuple(n for _, n in pairs))
