"""Which words and which whole trees a parser gets right: UAS, LAS, UCM and LCM before any averaging.

A *unit* is what a level counts: a word (UAS, LAS) or a whole tree (UCM, LCM); of frames a span or a whole frame.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Int64, Integer

from bcrlib.data.presets import Preset
from bcrlib.data.treebank import Treebank
from bcrlib.metrics.flips import Units

LEVELS = ("UAS", "UCM", "LAS", "LCM")


def scored_words(gold: Treebank, preset: Preset) -> Bool[np.ndarray, "token"]:
    """Which words UAS and LAS count: those whose gold UPOS the preset does not leave out.

    The paper leaves out punctuation; the authors' code leaves out symbols too.  O(tokens).
    """
    return ~np.fromiter(map(preset.punct_exclude.__contains__, gold.upos), bool, gold.num_tokens)


def scored_units(gold: Treebank, preset: Preset) -> Units:
    """The units of every level: words for UAS and LAS, sentences with a compared word for UCM and LCM.

    Under `official` whole trees are compared over all words, so every sentence counts; under `clean` over the
    scored words only, so a sentence of nothing but punctuation does not.  O(tokens).
    """
    scored, sentences = scored_words(gold, preset), gold.sentence_of_token
    words, compared = sentences[scored], sentences[_compared(scored, preset)]
    trees = compared[_starts(compared)]
    return Units({"UAS": words, "UCM": trees, "LAS": words, "LCM": trees}, gold.num_sentences)


def correctness(
    gold: Treebank,
    heads: Integer[np.ndarray, "candidate token"],
    relations: Integer[np.ndarray, "candidate token"],
    relation_names: Sequence[str],
    preset: Preset,
) -> dict[str, Bool[np.ndarray, "candidate unit"]]:
    """Which units of each level are right in each candidate, in the order of `scored_units`.

    A word is right if its head is (UAS), or its head and its relation, sub-type included (LAS); a tree if all
    its compared words are (UCM, LCM).  The authors' code compares trees downwards from the
    gold root, so their LCM does not see the root word's own relation; the preset says whether ours does.
    `relations` indexes `relation_names`.  Raises ValueError where shapes do not fit the treebank, or a name
    occurs twice.  O(candidates tokens).
    """
    if heads.shape[1:] != (gold.num_tokens,) or heads.shape != relations.shape:
        raise ValueError(f"heads {heads.shape} and relations {relations.shape} for {gold.num_tokens} gold tokens")
    head_right = heads == gold.heads
    relation_right = relations == _relation_ids(gold, relation_names)
    tree_relation_right = relation_right if preset.lcm_root_label else relation_right | (gold.heads == 0)
    words = scored_words(gold, preset)
    compared = np.flatnonzero(_compared(words, preset))
    starts = _starts(gold.sentence_of_token[compared])

    def whole_trees(right: np.ndarray) -> np.ndarray:
        return np.logical_and.reduceat(right[:, compared], starts, axis=1)

    return {
        "UAS": head_right[:, words],
        "UCM": whole_trees(head_right),
        "LAS": (head_right & relation_right)[:, words],
        "LCM": whole_trees(head_right & tree_relation_right),
    }


def treebank_correctness(gold: Treebank, predicted: Treebank, preset: Preset) -> dict[str, Bool[np.ndarray, "unit"]]:
    """`correctness` of one prediction, a treebank of the same words: [unit] for each level.  O(tokens)."""
    names = sorted(set(predicted.relations))
    index = {name: i for i, name in enumerate(names)}
    relations = np.fromiter(map(index.__getitem__, predicted.relations), np.int64, predicted.num_tokens)
    right = correctness(gold, predicted.heads[None], relations[None], names, preset)
    return {level: candidates[0] for level, candidates in right.items()}


def _relation_ids(gold: Treebank, relation_names: Sequence[str]) -> Int64[np.ndarray, "token"]:
    """The gold relations as indices into the names; -1, which no prediction has, for any other."""
    index = {name: i for i, name in enumerate(relation_names)}
    if len(index) != len(relation_names):
        raise ValueError("a relation name occurs twice")
    index = {name: index.get(name, -1) for name in set(gold.relations)}
    return np.fromiter(map(index.__getitem__, gold.relations), np.int64, gold.num_tokens)


def compared_words(gold: Treebank, preset: Preset) -> Bool[np.ndarray, "token"]:
    """Which words the levels above single words compare: all of them, or the scored ones.  O(tokens)."""
    return _compared(scored_words(gold, preset), preset)


def _compared(scored: Bool[np.ndarray, "token"], preset: Preset) -> Bool[np.ndarray, "token"]:
    return np.ones_like(scored) if preset.tree_level_punct else scored


def _starts(sentences: Int64[np.ndarray, "unit"]) -> Int64[np.ndarray, "sentence"]:
    """The first unit of each sentence that has one."""
    return np.flatnonzero(np.diff(sentences, prepend=-1))
