"""The k best dependency trees of each sentence, exactly: of all trees of heads, or of all labelled trees.

The best tree comes from spanning_trees.py; the others are searched as the best tree with a few arcs swapped
(swap_search.py), which is quick for the scores of a trained parser. Where scores are so flat that this would
not end soon, the space of trees is split instead (split_trees.py): slower, but polynomial for any scores.
The labelled trees are these with a few relations changed (k_best_labellings.py).
"""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float, Float64, Int16, Int64, Integer
from numba import njit

from bcrlib.decoding.k_best_labellings import distinct_arcs, search_labellings
from bcrlib.decoding.spanning_trees import (
    NO_TREE,
    OK,
    checked_input,
    contract,
    contracted_tree,
    fill_costs,
    greedy_heads,
    is_valid,
    num_roots,
    raise_on_fault,
)
from bcrlib.decoding.split_trees import split_and_search
from bcrlib.decoding.swap_search import GAVE_UP, KEPT, new_scratch, search_by_swaps

LabelsOfArcs = Callable[
    [Int64[np.ndarray, "arc"], Int64[np.ndarray, "arc"], Int64[np.ndarray, "arc"]], Float[np.ndarray, "arc label"]
]
"""From the sentence, word and head of each arc to the scores of its relations."""


def k_best_spanning_trees(
    arc_scores: Float[np.ndarray, "batch dep head"],
    lengths: Integer[np.ndarray, "batch"],
    k: int,
    single_root: bool = True,
) -> tuple[Int16[np.ndarray, "batch k dep"], Float64[np.ndarray, "batch k"]]:
    """The k highest-scoring trees of each sentence and their scores, best first (paper, section 5: k-best).

    Input as for `maximum_spanning_trees`. The trees of a sentence are distinct and the search is exact; trees
    through a -inf arc do not count. Where a sentence has fewer than k trees, the slots left have score -inf
    and repeat the heads of the best tree, as in the authors' code. Scores are sums of arc scores
    (log-probabilities if the arc scores are), in float64.

    ValueError: as for `maximum_spanning_trees`, and k < 1.
    Cost per sentence: O(n^2) and a search that is short for peaked scores, at worst O(k n) contractions.
    """
    if k < 1:
        raise ValueError(f"k is {k}: at least one tree must be asked for")
    arc_scores, lengths = checked_input(arc_scores, lengths)
    heads = np.zeros((len(lengths), k, arc_scores.shape[1]), dtype=np.int16)
    scores = np.full((len(lengths), k), -np.inf)
    status = np.zeros(len(lengths), dtype=np.uint8)
    _decode_batch(arc_scores, lengths, k, single_root, heads, scores, status)
    raise_on_fault(status, single_root)
    return heads, scores


def k_best_labelled_trees(
    arc_scores: Float[np.ndarray, "batch dep head"],
    lengths: Integer[np.ndarray, "batch"],
    k: int,
    labels_of_arcs: LabelsOfArcs,
    single_root: bool = True,
) -> tuple[Int16[np.ndarray, "batch k dep"], Int16[np.ndarray, "batch k dep"], Float64[np.ndarray, "batch k"]]:
    """Heads, relations and scores of the k highest-scoring labelled trees of each sentence, best first.

    `arc_scores` are those of every arc with its best relation, input as for `k_best_spanning_trees`.
    `labels_of_arcs(sentence, dep, head)` gives the scores of all relations of these arcs, [arc label]; -inf forbids a
    relation, and between the relations of an arc only differences count. It is asked once, for the few arcs that occur
    among the k best trees of heads: a labelled tree that is none of these has k better ones, each of those trees
    with its best relations.

    The labelled trees of a sentence are distinct and the search is exact. Where a sentence has fewer than k, the slots
    left have score -inf and repeat the best one. The paper's k-best varies heads alone (section 5); this is the same
    list over all that a candidate consists of.

    ValueError: as for `k_best_spanning_trees`.
    Cost per sentence: that of `k_best_spanning_trees`, O(k n), and O(labels) for each of at most k n arcs.
    """
    heads, scores = k_best_spanning_trees(arc_scores, lengths, k, single_root)
    sentence, dep, head, arc_of = distinct_arcs(heads, scores, lengths)
    return search_labellings(heads, scores, lengths, arc_of, labels_of_arcs(sentence, dep, head))


@njit(cache=True, nogil=True)
def _decode_batch(arc_scores, lengths, k, single_root, heads, scores, status):
    size = arc_scores.shape[1]
    best, tree, stamp = np.empty(size), np.zeros(size, np.int16), np.empty(size, np.int64)
    gains, forest = np.empty((size, size)), np.empty((5, 2 * size), np.int64)
    scratch = new_scratch(size, k)
    kept, kept_swaps = np.zeros(k, KEPT), np.zeros((k, size), np.int64)
    for b in range(len(lengths)):
        n, table = lengths[b], arc_scores[b]
        status[b] = greedy_heads(table, n, tree, best)
        if status[b] != OK:
            continue
        if is_valid(tree, n, single_root, stamp):
            _greedy_gains(table, n, best, gains)
        else:
            status[b] = _contracted_gains(table, n, single_root, tree, gains, forest)
            if status[b] != OK:
                continue
        num_kept = search_by_swaps(table, gains, n, k, single_root, tree, kept, kept_swaps, scratch)
        if num_kept == GAVE_UP:
            num_kept = split_and_search(table, n, k, single_root, heads[b], scores[b])
        else:
            _write(table, n, num_kept, tree, kept, kept_swaps, scratch.swaps, heads[b], scores[b])
        _repeat_best(n, num_kept, heads[b])


@njit(cache=True, nogil=True)
def _write(table, n, num_kept, tree, kept, kept_swaps, swaps, heads, scores):
    best_score = _sum_of_arcs(table, n, tree)
    for rank in range(num_kept):
        for dep in range(1, n + 1):
            heads[rank, dep] = tree[dep]
        slot = kept[rank].slot
        for level in range(kept_swaps[slot, 0]):
            swap = swaps[kept_swaps[slot, 1 + level]]
            heads[rank, swap.dep] = swap.head
        scores[rank] = best_score - kept[rank].loss


@njit(cache=True, nogil=True)
def _repeat_best(n, num_kept, heads):
    for rank in range(num_kept, heads.shape[0]):
        for dep in range(1, n + 1):
            heads[rank, dep] = heads[0, dep]


@njit(cache=True, nogil=True)
def _greedy_gains(scores, n, best, gains):
    for dep in range(1, n + 1):
        for head in range(n + 1):
            gains[dep, head] = scores[dep, head] - best[dep]


@njit(cache=True, nogil=True)
def _contracted_gains(scores, n, single_root, tree, gains, forest):
    """The best tree by contraction, and minus its reduced costs in `gains`; OK or NO_TREE.

    With one root only, the reduced costs are those under a penalty on root arcs just large enough to make the
    tree optimal among all trees; an infinite one would do, but contracts everything and says little.
    """
    fill_costs(scores, n, 0.0, gains)
    if not contract(gains, n, True, tree, forest):
        return NO_TREE
    if single_root and num_roots(tree, n) > 1:
        penalty = _sum_of_arcs(scores, n, tree)
        if contracted_tree(scores, n, True, tree, gains, forest) != OK:
            return NO_TREE
        penalty -= _sum_of_arcs(scores, n, tree)
        fill_costs(scores, n, penalty, gains)
        contract(gains, n, True, tree.copy(), forest)
    for dep in range(1, n + 1):
        for head in range(n + 1):
            gains[dep, head] = -gains[dep, head]
    return OK


@njit(cache=True, nogil=True)
def _sum_of_arcs(scores, n, tree):
    total = 0.0
    for dep in range(1, n + 1):
        total += scores[dep, tree[dep]]
    return total
