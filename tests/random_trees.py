"""Treebanks: of sentences written by hand, and of random trees, with random mistakes in them; how two are compared."""

import numpy as np

from bcrlib.data.treebank import Treebank

TAGS = ["NOUN", "VERB", "PUNCT", "SYM", "ADV"]
RELATIONS = ["nsubj", "nsubj:pass", "obj", "punct", "root"]


def treebank_of(*sentences: list[tuple[str, str, int, str]]) -> Treebank:
    """Of words given by form, tag, head and relation."""
    forms, upos, heads, relations = zip(*(word for sentence in sentences for word in sentence))
    offsets = np.cumsum([0, *map(len, sentences)])
    return Treebank(list(forms), list(upos), np.array(heads, dtype=np.int32), list(relations), offsets)


def random_heads(length: int, rng: np.random.Generator) -> np.ndarray:
    """A random tree with a single root: every word hangs from a random one of those drawn before it."""
    order = rng.permutation(length) + 1
    heads = np.zeros(length, dtype=np.int32)
    for position in range(1, length):
        heads[order[position] - 1] = order[rng.integers(position)]
    return heads


def random_treebank(num_sentences: int, rng: np.random.Generator, longest: int = 6) -> Treebank:
    lengths = rng.integers(1, longest + 1, num_sentences)
    num_tokens = int(lengths.sum())
    return Treebank(
        forms=[f"w{rng.integers(50)}" for _ in range(num_tokens)],
        upos=[TAGS[i] for i in rng.choice(5, num_tokens, p=[0.3, 0.2, 0.3, 0.1, 0.1])],
        heads=np.concatenate([random_heads(length, rng) for length in lengths]),
        relations=[RELATIONS[i] for i in rng.integers(5, size=num_tokens)],
        offsets=np.concatenate([[0], np.cumsum(lengths)]),
    )


def random_mistakes(gold: Treebank, rng: np.random.Generator, rate: float = 0.5) -> Treebank:
    """New random trees for some sentences, then several roots in a few, and new relations for some words."""
    heads, relations = gold.heads.copy(), list(gold.relations)
    for start, end in zip(gold.offsets, gold.offsets[1:]):
        if rng.random() < rate:
            heads[start:end] = random_heads(end - start, rng)
        if rng.random() < rate / 5:
            heads[start + rng.integers(end - start)] = 0
    for token in np.flatnonzero(rng.random(gold.num_tokens) < rate / 4):
        relations[token] = RELATIONS[rng.integers(5)]
    return gold.with_trees(heads, relations)


def children(heads: list[int]) -> dict[int, list[int]]:
    """The twin of comparing trees: words as numbers from 1, the children of each in order of position."""
    return {head: [word for word, h in enumerate(heads, start=1) if h == head] for head in range(len(heads) + 1)}


def same_below(word: int, gold: tuple, predicted: tuple, compared: set[int], labelled: bool) -> bool:
    """Whether two trees, heads and relations, have the same compared words below this one of the first; recursively."""

    def daughters(tree: tuple) -> list:
        heads, relations = tree
        found = [child for child in children(heads)[word] if child in compared]
        return [(child, relations[child - 1]) if labelled else child for child in found]

    below = children(gold[0])[word]
    return daughters(gold) == daughters(predicted) and all(
        same_below(child, gold, predicted, compared, labelled) for child in below
    )
