"""Stores of random correctness, scores and copies, with all that experiments on a real one look at."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from bcrlib.experiments.store import CorrectnessStore, Pool, System
from bcrlib.metrics.flips import Units
from bcrlib.metrics.uncertainty import PairCounts, micro_average

NUM_SENTENCES, NUM_CANDIDATES = 5, 4
PARTS, WHOLE = np.array([0, 0, 0, 1, 1, 2, 2, 2, 2, 3, 4, 4]), np.arange(NUM_SENTENCES)
UNITS = {"UAS": PARTS, "UCM": WHOLE, "LAS": PARTS, "LCM": WHOLE}
FRAME_UNITS = {"spanEM": PARTS, "EM": WHOLE}


def random_store(
    folder: Path,
    rng: np.random.Generator,
    old: Iterable[str],
    new: Iterable[str],
    strategies: Iterable[str],
    units: dict[str, np.ndarray] = UNITS,
    with_lengths: bool = False,
) -> CorrectnessStore:
    """The new models' pools by every strategy, scored by everybody; names are those of `System.name`."""
    old, new = list(old), list(new)
    store = CorrectnessStore(folder)
    store.save_units(Units(units, NUM_SENTENCES), "clean")
    for method, names in (("old", old), ("new", new)):
        for name in names:
            kind, seed = name.split("/")
            store.save_system(System(method, kind, int(seed)), random_right(rng, units), "clean")
    for pool in [Pool(name, strategy) for name in new for strategy in strategies]:
        store.save_pool(pool, random_right(rng, units, NUM_CANDIDATES), "clean")
        trees = rng.integers(0, 3, size=(NUM_CANDIDATES, NUM_SENTENCES))  # three different ones
        first_equal = (trees[:, None] == trees).argmax(axis=1)
        store.save_first_equal(pool, first_equal.astype(np.int16))
        for scorer in [*old, *new]:
            store.save_scores(pool, scorer, rng.normal(size=(NUM_CANDIDATES, NUM_SENTENCES)).astype(np.float32))
        if with_lengths:
            store.save_lengths(pool, pool.proposer, rng.integers(1, 9, size=(NUM_CANDIDATES, NUM_SENTENCES)))
    return store


def random_right(rng: np.random.Generator, units: dict[str, np.ndarray], *shape: int) -> dict[str, np.ndarray]:
    """Which units of each level are right: seven in ten."""
    return {level: rng.random((*shape, len(of_unit))) < 0.7 for level, of_unit in units.items()}


def totals(pairs: PairCounts) -> tuple[int, int, int, int]:
    """yy, yn, ny, nn over all pairs."""
    flips = micro_average(pairs.counts)
    return flips.yy, flips.yn, flips.ny, flips.nn


def counted(pairs: Iterable[tuple[Iterable[bool], Iterable[bool]]]) -> tuple[int, ...]:
    """The same over pairs of what an old and a new model get right, one unit at a time."""
    total = [0, 0, 0, 0]
    for old, new in pairs:
        for o, n in zip(old, new, strict=True):
            total[2 * (not o) + (not n)] += 1
    return tuple(total)
