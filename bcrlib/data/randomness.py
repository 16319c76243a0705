"""Randomness by name: every random thing has a key, and the same key gives the same numbers whatever ran before.

A seeded share of a corpus: for models of less data, and for choices that need not see all of dev.
"""

import hashlib

import numpy as np
from jaxtyping import Int64


def key(*names: object) -> int:
    """A 63-bit seed for what these names name, e.g. key(seed, "dropout", sample). O(length of the names)."""
    digest = hashlib.blake2b(repr(names).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


PART_SEED = 0
"""Of a share of dev: the same for all models, for they are compared on it."""


def rows_of_part(num_rows: int, share: float, seed: int) -> Int64[np.ndarray, "chosen"]:
    """Which rows are in a share of a corpus, in their order.

    By the same seed a smaller share is a part of a larger one. ValueError for a share outside (0, 1].  O(rows).
    """
    if not 0 < share <= 1:
        raise ValueError(f"a part is a share in (0, 1], not {share}")
    order = np.random.default_rng(key(seed, "part")).permutation(num_rows)
    return np.sort(order[: round(share * num_rows)])
