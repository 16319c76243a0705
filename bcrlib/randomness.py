"""Randomness by name: every random thing has a key, and the same key gives the same numbers whatever ran before."""

import hashlib


def key(*names: object) -> int:
    """A 63-bit seed for what these names name, e.g. key(seed, "dropout", sample). O(length of the names)."""
    digest = hashlib.blake2b(repr(names).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1
