"""The k best labelled trees of each sentence, exactly: heads and relations together.

Given the k best trees of heads, the words' relations are independent choices: a labelled tree costs what
its tree of heads loses against the best one, and what each word's relation loses against the best relation of that
arc. One queue holds labelled trees of all trees of heads. Whoever leaves it as the next best puts in at most three
successors, none of them cheaper, so that every labelling is reached in exactly one way: with the words of a tree in
the order of what their second-best relations lose, the last changed word gets its next relation; or the word after it
is changed too; or, where the last changed word has its second-best relation, the word after it is changed instead. So
k labelled trees take k steps, and of each arc only as many relations are ranked as are looked at.
"""

from collections.abc import Callable
from heapq import heappop, heappush
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Float64, Int16, Int64, Integer
from numba import njit

from bcrlib.samplers.k_best import insert, k_best_spanning_trees

LabelsOfArcs = Callable[
    [Int64[np.ndarray, "arc"], Int64[np.ndarray, "arc"], Int64[np.ndarray, "arc"]], Float[np.ndarray, "arc label"]
]
"""From the sentence, word and head of each arc to the scores of its relations."""


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
    Cost per sentence: that of `k_best_spanning_trees`, O(k n), and O(labels) for each relation that is ranked: of the
    trees that come up the two best of each arc, and up to 3 k more.
    """
    tree_heads, tree_scores = k_best_spanning_trees(arc_scores, lengths, k, single_root)
    lengths = np.asarray(lengths, dtype=np.int64)
    arcs, arc_of = np.empty((3, tree_heads.size), dtype=np.int64), np.zeros(tree_heads.shape, dtype=np.int64)
    num_arcs = _number_arcs(tree_heads, tree_scores, lengths, arcs, arc_of)
    label_scores = np.array(labels_of_arcs(*arcs[:, :num_arcs]))
    shape = (num_arcs, min(k, label_scores.shape[1]))
    ranking = Ranking(label_scores, np.zeros(shape, np.int16), np.zeros(shape), np.zeros(num_arcs, np.int64))
    heads, labels = np.zeros_like(tree_heads), np.zeros_like(tree_heads)
    scores = np.full(tree_scores.shape, -np.inf)
    _label_batch(tree_heads, tree_scores, lengths, arc_of, ranking, heads, labels, scores)
    return heads, labels, scores


# Records, not one array per field: compiled code pays for every array that it hands to a function.
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


@njit(cache=True, nogil=True)
def _number_arcs(heads, scores, lengths, arcs, arc_of):
    """Sentence, word and head of each arc of the trees with a finite score, each once, and every word's arc."""
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
def _label_batch(tree_heads, tree_scores, lengths, arc_of, ranking, heads, labels, scores):
    k, size = tree_scores.shape[1], tree_heads.shape[2]
    labellings = np.zeros(4 * k, LABELLING)  # the trees as they are, and three successors of all but the last
    order, num_places, losses = np.zeros((k, size), np.int64), np.zeros(k, np.int64), np.zeros(size)
    for b in range(len(lengths)):
        n, num, num_found = lengths[b], 0, 0
        queue = [(0.0, 0)]
        queue.clear()
        for tree in range(k):
            if tree_scores[b, tree] > -np.inf:
                num = _put(queue, labellings, num, tree, 0, UNCHANGED, 0, tree_scores[b, 0] - tree_scores[b, tree])
        while num_found < k and len(queue) > 0:
            loss, at = heappop(queue)
            tree = labellings[at].tree
            arcs, words = arc_of[b, tree], order[tree]
            if labellings[at].place == UNCHANGED:
                num_places[tree] = _order_words(n, k - 1, arcs, ranking, words, losses)
            for dep in range(1, n + 1):
                _loss(arcs[dep], 0, ranking)  # ranks the best one
                labels[b, num_found, dep] = ranking.label[arcs[dep], 0]
            changed = at
            while labellings[changed].place != UNCHANGED:
                dep = words[labellings[changed].place]
                labels[b, num_found, dep] = ranking.label[arcs[dep], labellings[changed].rank]
                changed = labellings[changed].previous
            heads[b, num_found] = tree_heads[b, tree]
            scores[b, num_found] = tree_scores[b, 0] - loss
            num_found += 1
            if num_found < k:
                num = _put_successors(queue, labellings, num, at, arcs, words[: num_places[tree]], ranking)
        for left in range(num_found, k):
            heads[b, left], labels[b, left] = heads[b, 0], labels[b, 0]


@njit(cache=True, nogil=True)
def _order_words(n, most, arc_of, ranking, order, losses):
    """The words whose second-best relations lose least, at most `most`, in that order; their number."""
    num_places = 0
    for dep in range(1, n + 1):
        loss = _loss(arc_of[dep], 1, ranking)
        if most == 0 or loss == np.inf:
            continue
        place = insert(loss, losses, num_places, most, 0)
        if place < most:
            num_places = min(num_places + 1, most)
            for later in range(num_places - 1, place, -1):
                order[later] = order[later - 1]
            order[place] = dep
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
    this = labellings[at]
    tree, previous, place, rank = this.tree, this.previous, this.place, this.rank
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
