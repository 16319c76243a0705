"""Many updates in a row, each re-ranked by the models before it: the multi-round setting of the paper's discussion.

A chain old => new 1 => new 2 => ... deploys one system a round.  Round 0 is the old model's 1-best.  In round r the
r-th new model proposes its candidates, the last `memory` models of the chain before it pick by their weighted scores,
and what they pick is deployed:

    score(y) = sum_j decay^(r - 1 - j) log p_j(y | x),   j = r - 1, r - 2, ..., `memory` models, down to round 0

A scorer is a *model*, not the re-ranked system its users saw: a model gives every tree a probability, a re-ranked
system does not.  So the choice of round r does not depend on the choices before it; what it is compared with does.

Every round is counted against three things users may have had:

    "before"  what was deployed the round before: NFR is what this update breaks
    "first"   what was deployed in round 0: NFR is what the first users have lost by now
    "any"     what was right in at least one earlier round: NFR is what worked once and does not now
"""

import itertools
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Int64

from bcrlib.experiments.counting import Update, new_models, old_models, right_of_models
from bcrlib.experiments.store import CorrectnessStore, Pool
from bcrlib.metrics.flips import flips_by_sentence
from bcrlib.metrics.uncertainty import PairCounts
from bcrlib.reranking import bcr_scores, choose, take

AGAINST = ("before", "first", "any")
MAX_CHAINS = 24

Chain = tuple[str, ...]
"""Names of models in the order of their rounds: an old one, then every new one once."""
Rounds = dict[str, list[PairCounts]]
"""The flips against each of `AGAINST`, of round 1, 2, ...; a pair is an old model with all its chains."""


def chains(store: CorrectnessStore, update: Update, max_chains: int = MAX_CHAINS) -> list[Chain]:
    """Every old model followed by every order of the new models; too many are thinned out evenly, without chance.

    Every old model heads the same number of chains, one at least.  Thinned, the orders stay spread over the sorted
    list of all, each old model having others.  ValueError for an update without old or without new models.
    """
    olds, news = old_models(store, update.old), new_models(store, update.new)
    if not olds or not news:
        raise ValueError(f"{update}: no chain of {len(olds)} old and {len(news)} new models")
    orders = list(itertools.permutations(news))
    num_orders = max(1, min(len(orders), max_chains // len(olds)))
    step = len(orders) / (num_orders * len(olds))
    return [
        (old, *orders[int((number * len(olds) + place) * step)])
        for place, old in enumerate(olds)
        for number in range(num_orders)
    ]


def untreated(store: CorrectnessStore, preset: str, level: str, update: Update, max_chains: int = MAX_CHAINS) -> Rounds:
    """Every model's 1-best is deployed as it is."""
    of_chain = chains(store, update, max_chains)
    one_best = right_of_models(store, preset, level, sorted(set().union(*of_chain)))
    right = np.stack([[one_best[model] for model in chain] for chain in of_chain])
    return _count(store, preset, level, of_chain, right)


def bcr(
    store: CorrectnessStore,
    preset: str,
    level: str,
    update: Update,
    strategy: str,
    memory: int | None = None,
    decay: float = 1.0,
    max_chains: int = MAX_CHAINS,
) -> Rounds:
    """Every new model's candidates are re-ranked by the last `memory` models before it (None: by all of them).

    Decay 1 lets them count equally, 1/2 halves the weight a round.  ValueError for a memory below 1; KeyError names
    the scores that the store does not have.  O(chains rounds (memory candidates sentences + units)).
    """
    if memory is not None and memory < 1:
        raise ValueError(f"someone has to pick: a memory of {memory} models is none")
    of_chain = chains(store, update, max_chains)
    right = np.stack([deployed(store, preset, level, chain, strategy, memory, decay) for chain in of_chain])
    return _count(store, preset, level, of_chain, right)


def deployed(
    store: CorrectnessStore,
    preset: str,
    level: str,
    chain: Sequence[str],
    strategy: str,
    memory: int | None = None,
    decay: float = 1.0,
) -> Bool[np.ndarray, "round unit"]:
    """Which units the system deployed in each round of one chain gets right; arguments as of `bcr`."""
    of_unit = store.load_units(preset).sentence_of_unit[level]
    right = [right_of_models(store, preset, level, chain[:1])[chain[0]]]
    for number in range(1, len(chain)):
        pool = Pool(chain[number], strategy)
        models = chain[0 if memory is None else max(0, number - memory) : number]
        weights = [decay**age for age in reversed(range(len(models)))]  # the last one, of the round before, has 1
        log_probs = [store.load_scores(pool, model) for model in models]
        choice = choose(bcr_scores(log_probs[-1], log_probs, old_weights=weights))
        right.append(take(store.load_pool(pool, preset, level), choice, of_unit))
    return np.stack(right)


def flips_over_rounds(
    right: Bool[np.ndarray, "chain round unit"], sentence_of_unit: Int64[np.ndarray, "unit"], num_sentences: int
) -> dict[str, Int64[np.ndarray, "chain later_round sentence 4"]]:
    """The counts (yy, yn, ny, nn) of rounds 1, 2, ... against each of `AGAINST`, from what each round gets right.

    O(chains rounds (units + sentences)).
    """
    later = right[:, 1:]
    had = {
        "before": right[:, :-1],
        "first": np.broadcast_to(right[:, :1], later.shape),
        "any": np.logical_or.accumulate(right, axis=1)[:, :-1],
    }
    return {name: flips_by_sentence(had[name], later, sentence_of_unit, num_sentences) for name in AGAINST}


def _count(store: CorrectnessStore, preset: str, level: str, of_chain: list[Chain], right: np.ndarray) -> Rounds:
    """The flips of each round, summed over the chains of each old model.

    All new models are in every chain: intervals are over sentences and old models, not over new ones.
    """
    units = store.load_units(preset)
    olds = tuple(dict.fromkeys(chain[0] for chain in of_chain))
    is_of = np.array([[chain[0] == old for chain in of_chain] for old in olds], dtype=np.int64)
    counts = flips_over_rounds(right, units.sentence_of_unit[level], units.num_sentences)
    of_old = {against: np.einsum("oc,crsf->rosf", is_of, counts[against]) for against in AGAINST}
    names = ("all orders",) * len(olds)
    return {against: [PairCounts(of_round, olds, names) for of_round in of_old[against]] for against in AGAINST}
