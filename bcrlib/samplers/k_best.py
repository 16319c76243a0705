"""The k best labelled trees, given the k best trees of heads: the words' relations are independent choices.

A labelled tree costs what its tree of heads loses against the best one, and what each word's relation loses against
the best relation of that arc. One queue holds labelled trees of all trees of heads. Whoever leaves it as the next best
puts in at most three successors, none of them cheaper, so that every labelling is reached in exactly one way: with the
words of a tree in the order of what their second-best relations lose,

    the last changed word gets its next relation,
    the word after it is changed too,
    or, where the last changed word has its second-best relation, the word after it is changed instead.

So k labelled trees take k steps, and of each arc only as many relations are ranked as are looked at.

The k best dependency trees of each sentence, exactly: of all trees of heads, or of all labelled trees.

The best tree comes from spanning_trees.py; the others are searched as the best tree with a few arcs swapped
(swap_search.py), which is quick for the scores of a trained parser. Where scores are so flat that this would
not end soon, the space of trees is split instead (split_trees.py): slower, but polynomial for any scores.
The labelled trees are these with a few relations changed (k_best_labellings.py).
"""

from collections.abc import Callable
from heapq import heappop, heappush
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Float64, Int16, Int64, Integer
from numba import njit

from bcrlib.samplers.spanning_trees import (
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
    split_and_search,
)
from bcrlib.samplers.swap_search import GAVE_UP, KEPT, new_scratch, search_by_swaps

UNCHANGED = -1  # the place of a tree with its best relations
LABELLING = np.dtype(  # in the queue or taken out of it
    [
        ("tree", np.int64),
        ("previous", np.int64),  # the labelling with this last change undone
        ("place", np.int64),  # of the last changed word in the order of its tree
        ("rank", np.int64),  # of its relation; 1 = second best
        ("loss", np.float64),
    ]
)


class Ranking(NamedTuple):
    """The relations of each arc, ranked as far as anybody looked."""

    left: np.ndarray  # [arc, label]: scores; -inf once ranked
    label: np.ndarray  # [arc, rank]
    score: np.ndarray  # [arc, rank]
    num_ranked: np.ndarray  # [arc]


def distinct_arcs(
    heads: Int16[np.ndarray, "batch tree dep"],
    scores: Float64[np.ndarray, "batch tree"],
    lengths: Integer[np.ndarray, "batch"],
) -> tuple[
    Int64[np.ndarray, "arc"], Int64[np.ndarray, "arc"], Int64[np.ndarray, "arc"], Int64[np.ndarray, "batch tree dep"]
]:
    """Sentence, word and head of each arc of the trees with a finite score, each once, and the arc of every word.

    Cost O(trees n).
    """
    arcs, arc_of = np.empty((3, heads.size), dtype=np.int64), np.zeros(heads.shape, dtype=np.int64)
    num_arcs = _number_arcs(heads, scores, np.asarray(lengths, dtype=np.int64), arcs, arc_of)
    sentence, dep, head = arcs[:, :num_arcs]
    return sentence, dep, head, arc_of


def search_labellings(
    tree_heads: Int16[np.ndarray, "batch k dep"],
    tree_scores: Float64[np.ndarray, "batch k"],
    lengths: Integer[np.ndarray, "batch"],
    arc_of: Int64[np.ndarray, "batch k dep"],
    label_scores: Float[np.ndarray, "arc label"],
) -> tuple[Int16[np.ndarray, "batch k dep"], Int16[np.ndarray, "batch k dep"], Float64[np.ndarray, "batch k"]]:
    """Heads, relations and scores of the k best labelled trees of these trees, which are scored with best relations.

    Where a sentence has fewer, the slots left have score -inf and repeat the best one. Cost per sentence: O(k n), and
    O(labels) for each relation that is ranked: of the trees that come up the two best of each arc, and up to 3 k more.
    """
    k, (num_arcs, num_labels) = tree_scores.shape[1], label_scores.shape
    width = min(k, num_labels)
    label, score = np.zeros((num_arcs, width), dtype=np.int16), np.zeros((num_arcs, width))
    ranking = Ranking(np.array(label_scores), label, score, np.zeros(num_arcs, dtype=np.int64))
    heads, labels = np.zeros_like(tree_heads), np.zeros_like(tree_heads)
    scores = np.full(tree_scores.shape, -np.inf)
    lengths = np.asarray(lengths, dtype=np.int64)
    _search_batch(tree_heads, tree_scores, lengths, arc_of, ranking, heads, labels, scores)
    return heads, labels, scores


@njit(cache=True, nogil=True)
def _number_arcs(heads, scores, lengths, arcs, arc_of):
    number, num_arcs = np.full((heads.shape[2], heads.shape[2]), -1), 0
    for b in range(len(lengths)):
        first = num_arcs  # lower numbers are of other sentences
        for tree in range(heads.shape[1]):
            if scores[b, tree] == -np.inf:
                break
            for dep in range(1, lengths[b] + 1):
                head = heads[b, tree, dep]
                if number[dep, head] < first:
                    number[dep, head] = num_arcs
                    arcs[0, num_arcs], arcs[1, num_arcs], arcs[2, num_arcs] = b, dep, head
                    num_arcs += 1
                arc_of[b, tree, dep] = number[dep, head]
    return num_arcs


@njit(cache=True, nogil=True)
def _search_batch(tree_heads, tree_scores, lengths, arc_of, ranking, heads, labels, scores):
    k, size = tree_scores.shape[1], tree_heads.shape[2]
    labellings = np.zeros(4 * k, LABELLING)  # the trees as they are, and three successors of all but the last
    order, num_places, losses = np.zeros((k, size), np.int64), np.zeros(k, np.int64), np.zeros(size)
    for b in range(len(lengths)):
        n, num = lengths[b], 0
        queue = [(0.0, 0)]
        queue.clear()
        for tree in range(k):
            if tree_scores[b, tree] > -np.inf:
                num = _put(queue, labellings, num, tree, 0, UNCHANGED, 0, tree_scores[b, 0] - tree_scores[b, tree])
        num_found = 0
        while num_found < k and len(queue) > 0:
            loss, at = heappop(queue)
            tree = labellings[at].tree
            if labellings[at].place == UNCHANGED:
                num_places[tree] = _order_words(n, k - 1, arc_of[b, tree], ranking, order[tree], losses)
            _write_labelling(n, labellings, at, arc_of[b, tree], order[tree], ranking, labels[b, num_found])
            heads[b, num_found] = tree_heads[b, tree]
            scores[b, num_found] = tree_scores[b, 0] - loss
            num_found += 1
            if num_found < k:
                num = _put_successors(
                    queue, labellings, num, at, arc_of[b, tree], order[tree, : num_places[tree]], ranking
                )
        for left in range(num_found, k):
            heads[b, left], labels[b, left] = heads[b, 0], labels[b, 0]


@njit(cache=True, nogil=True)
def _order_words(n, most, arc_of, ranking, order, losses):
    """The words whose second-best relations lose least, at most `most`, in that order; their number."""
    num_places = 0
    for dep in range(1, n + 1):
        loss = _loss(arc_of[dep], 1, ranking)
        if num_places == most:
            if most == 0 or loss >= losses[most - 1]:
                continue
            num_places -= 1
        if loss == np.inf:
            continue
        place = num_places
        while place > 0 and losses[place - 1] > loss:
            order[place], losses[place] = order[place - 1], losses[place - 1]
            place -= 1
        order[place], losses[place] = dep, loss
        num_places += 1
    return num_places


@njit(cache=True, nogil=True)
def _loss(arc, rank, ranking):
    """What the relation of this rank loses against the best one; inf where there is none. O(labels) if it is new."""
    if rank >= ranking.label.shape[1]:
        return np.inf
    while ranking.num_ranked[arc] <= rank:
        left = ranking.left[arc]
        top, best = left[0], 0
        for label in range(1, len(left)):
            if left[label] > top:
                top, best = left[label], label
        number = ranking.num_ranked[arc]
        ranking.label[arc, number], ranking.score[arc, number] = best, top
        ranking.num_ranked[arc] += 1
        left[best] = -np.inf
    return ranking.score[arc, 0] - ranking.score[arc, rank]


@njit(cache=True, nogil=True)
def _put_successors(queue, labellings, num, at, arc_of, order, ranking):
    """The three of the module's docstring, as far as there are such words and relations; the number of labellings."""
    tree, previous, place, rank = (
        labellings[at].tree,
        labellings[at].previous,
        labellings[at].place,
        labellings[at].rank,
    )
    if place != UNCHANGED:
        loss = _loss(arc_of[order[place]], rank + 1, ranking)
        num = _put(queue, labellings, num, tree, previous, place, rank + 1, labellings[previous].loss + loss)
    if place + 1 < len(order):
        loss = _loss(arc_of[order[place + 1]], 1, ranking)
        num = _put(queue, labellings, num, tree, at, place + 1, 1, labellings[at].loss + loss)
        if rank == 1:
            num = _put(queue, labellings, num, tree, previous, place + 1, 1, labellings[previous].loss + loss)
    return num


@njit(cache=True, nogil=True)
def _put(queue, labellings, num, tree, previous, place, rank, loss):
    if loss == np.inf:
        return num
    new = labellings[num]
    new.tree, new.previous, new.place, new.rank, new.loss = tree, previous, place, rank, loss
    heappush(queue, (loss, num))
    return num + 1


@njit(cache=True, nogil=True)
def _write_labelling(n, labellings, at, arc_of, order, ranking, labels):
    """The relations of a labelling: the best ones, but for the words that it changes."""
    for dep in range(1, n + 1):
        _loss(arc_of[dep], 0, ranking)  # ranks the best one
        labels[dep] = ranking.label[arc_of[dep], 0]
    while labellings[at].place != UNCHANGED:
        dep = order[labellings[at].place]
        labels[dep] = ranking.label[arc_of[dep], labellings[at].rank]
        at = labellings[at].previous


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
