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
    return np.array([tag not in preset.punct_exclude for tag in gold.upos], dtype=bool)


def scored_units(gold: Treebank, preset: Preset) -> Units:
    """The units of every level: words for UAS and LAS, sentences with a compared word for UCM and LCM.

    Under `official` whole trees are compared over all words, so every sentence counts; under `clean` over the
    scored words only, so a sentence of nothing but punctuation does not.  O(tokens).
    """
    words = gold.sentence_of_token[scored_words(gold, preset)]
    trees = np.unique(gold.sentence_of_token[compared_words(gold, preset)])
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
    return {
        "UAS": head_right[:, words],
        "UCM": _whole_trees(gold, head_right, preset),
        "LAS": (head_right & relation_right)[:, words],
        "LCM": _whole_trees(gold, head_right & tree_relation_right, preset),
    }


def treebank_correctness(gold: Treebank, predicted: Treebank, preset: Preset) -> dict[str, Bool[np.ndarray, "unit"]]:
    """`correctness` of one prediction, a treebank of the same words: [unit] for each level.  O(tokens)."""
    names = sorted(set(predicted.relations))
    index = {name: i for i, name in enumerate(names)}
    relations = np.array([[index[name] for name in predicted.relations]], dtype=np.int64)
    right = correctness(gold, predicted.heads[None], relations, names, preset)
    return {level: candidates[0] for level, candidates in right.items()}


def _relation_ids(gold: Treebank, relation_names: Sequence[str]) -> Int64[np.ndarray, "token"]:
    """The gold relations as indices into the names; -1, which no prediction has, for any other."""
    index = {name: i for i, name in enumerate(relation_names)}
    if len(index) != len(relation_names):
        raise ValueError("a relation name occurs twice")
    return np.array([index.get(name, -1) for name in gold.relations], dtype=np.int64)


def compared_words(gold: Treebank, preset: Preset) -> Bool[np.ndarray, "token"]:
    """Which words the levels above single words compare: all of them, or the scored ones.  O(tokens)."""
    return np.ones(gold.num_tokens, dtype=bool) if preset.tree_level_punct else scored_words(gold, preset)


def _whole_trees(
    gold: Treebank, right: Bool[np.ndarray, "candidate token"], preset: Preset
) -> Bool[np.ndarray, "candidate tree"]:
    """Whether all compared words are right, for each sentence that has one."""
    compared = compared_words(gold, preset)
    _, starts = np.unique(gold.sentence_of_token[compared], return_index=True)
    return np.logical_and.reduceat(right[:, compared], starts, axis=1)
