"""The k best dependency trees of each sentence, exactly: of all trees of heads, or of all labelled trees.

**Swaps.** The best tree comes from spanning_trees.py; the others are that tree with some arcs swapped. Every swap costs
at least its reduced cost: where all words have their best head that is the loss of score, else what contraction has
left of it. The k - 1 cheapest swaps that are trees by themselves already give k trees, so none of the k best trees has
a swap dearer than the last of these. For k = 10 and the scores of a trained parser about ten swaps are left then, and
all sets of them that cost less than the k-th tree found so far are looked at depth first: about twenty.

**Parts.** Where scores are so flat that this would not end soon, the space of trees is split (Murty's and Lawler's
scheme): twenty times slower for a trained parser, but polynomial for any scores. A part holds all trees that agree with
a known tree on the words before some word, where they differ from it (and from those found there earlier). The best
tree of a part is found by contraction; the rest of the part is split in at most n parts in turn. A part is searched
only when its upper bound, known from the reduced costs of the tree it was split from, comes first in the queue.

**Labels.** Given the k best trees of heads, the words' relations are independent choices: a labelled tree costs what
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
)

# Beyond these the scores are flat, and the depth-first search would not end soon.
MAX_SWAPS_PER_TREE = 10
MAX_VISITS_PER_TREE = 100
GAVE_UP = -1

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
    _decode_batch(arc_scores, lengths, single_root, heads, scores, status)
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
DRAWN = np.dtype(  # [dep]: the next swap to draw of each word
    [
        ("head", np.int64),
        ("cost", np.float64),
        ("cheapest", np.float64),  # cost of its cheapest swap; at 0: of making another word the root
    ]
)
SWAP = np.dtype(  # an arc that may replace one of the best tree; cheapest first
    [
        ("dep", np.int64),
        ("head", np.int64),
        ("cost", np.float64),  # reduced cost: what the swap costs at least, whatever else is swapped
        ("loss", np.float64),  # score of the old arc minus that of the new one
        ("needed", np.float64),  # reduced cost with what it takes at least to make a tree of it again
        ("acyclic", np.bool_),  # whether this swap by itself makes no cycle
    ]
)
STEP = np.dtype(  # [depth]: the swap made there; cost and loss are sums over those above
    [("swap", np.int64), ("cost", np.float64), ("loss", np.float64), ("acyclic", np.bool_)]
)


@njit(cache=True, nogil=True)
def _decode_batch(arc_scores, lengths, single_root, heads, scores, status):
    size, k = arc_scores.shape[1], heads.shape[1]
    best, tree, stamp = np.empty(size), np.zeros(size, np.int16), np.empty(size, np.int64)
    gains, forest = np.empty((size, size)), np.empty((5, 2 * size), np.int64)
    drawn, swaps, path = np.zeros(size, DRAWN), np.zeros(MAX_SWAPS_PER_TREE * k + 1, SWAP), np.zeros(size, STEP)
    path[0].acyclic = True
    losses = np.zeros(k)
    for b in range(len(lengths)):
        n, table = lengths[b], arc_scores[b]
        status[b] = greedy_heads(table, n, tree, best)
        if status[b] != OK:
            continue
        if is_valid(tree, n, single_root, stamp):
            for dep in range(1, n + 1):
                for head in range(n + 1):
                    gains[dep, head] = table[dep, head] - best[dep]
        else:
            status[b] = _contracted_gains(table, n, single_root, tree, gains, forest)
            if status[b] != OK:
                continue
        num_swaps, limit = _cheap_swaps(table, gains, n, k, single_root, tree, drawn, swaps, losses)
        num_found = _sets_of_swaps(num_swaps, limit, n, single_root, tree, swaps, path, heads[b], losses)
        if num_found == GAVE_UP:
            num_found = split_and_search(table, n, single_root, heads[b], scores[b])
        else:
            best_score = _sum_of_arcs(table, n, heads[b, 0])
            for rank in range(num_found):
                scores[b, rank] = best_score - losses[rank]
        for rank in range(num_found, k):
            for dep in range(1, n + 1):
                heads[b, rank, dep] = heads[b, 0, dep]


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
        if contracted_tree(scores, n, True, 1, np.zeros(n + 1, np.bool_), tree, gains, forest) != OK:
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


@njit(cache=True, nogil=True)
def _cheap_swaps(scores, gains, n, k, single_root, tree, drawn, swaps, losses):
    """All swaps that may be part of a k-best tree, cheapest first: their number, a bound on the k-th loss.

    They are drawn in turn, each from the word whose next best head is cheapest, until k - 1 swaps are trees by
    themselves and none is left below the dearest of these; or until they are too many. The table of gains, minus the
    reduced costs, is used up.
    """
    drawn[0].cheapest, root = np.inf, 0
    for dep in range(1, n + 1):
        gains[dep, dep] = gains[dep, tree[dep]] = -np.inf
        drawn[0].cheapest = min(drawn[0].cheapest, -gains[dep, 0])
        _draw_next(gains, n, dep, drawn)
        drawn[dep].cheapest = drawn[dep].cost
        root = dep if tree[dep] == 0 else root
    num_swaps, num_trees, limit = 0, 0, np.inf if k > 1 else -np.inf
    while num_swaps <= MAX_SWAPS_PER_TREE * k:
        dep = 1
        for other in range(2, n + 1):
            if drawn[other].cost < drawn[dep].cost:
                dep = other
        cost, new_head, old_head = drawn[dep].cost, drawn[dep].head, tree[dep]
        if cost > limit or cost == np.inf:
            break
        _draw_next(gains, n, dep, drawn)
        break_cycle, head = np.inf, new_head
        while head != dep and head != 0:
            break_cycle = min(break_cycle, drawn[head].cheapest)
            head = tree[head]
        acyclic, repair = head == 0, 0.0
        if not acyclic:
            repair = max(break_cycle, drawn[0].cheapest) if single_root and old_head == 0 else break_cycle
        elif new_head == 0 and single_root:
            repair = drawn[root].cheapest
        swap = swaps[num_swaps]
        swap.dep, swap.head, swap.cost, swap.acyclic = dep, new_head, cost, acyclic
        swap.loss = np.float64(scores[dep, old_head]) - np.float64(scores[dep, new_head])
        swap.needed = cost + max(repair, 0.0)
        num_swaps += 1
        if acyclic and not (single_root and new_head == 0) and _insert(swap.loss, losses, num_trees, k - 1, 0) < k - 1:
            num_trees = min(num_trees + 1, k - 1)
            if num_trees == k - 1:
                # The margin: reduced costs are sums, rounded, and must not lose the k-th tree by a hair.
                limit = losses[k - 2] + 1e-9 * (1.0 + abs(losses[k - 2]))
    if num_swaps > MAX_SWAPS_PER_TREE * k:
        return num_swaps, limit
    num_left = 0
    for i in range(num_swaps):
        if swaps[i].needed <= limit:
            swaps[num_left] = swaps[i]
            num_left += 1
    return num_left, limit


@njit(cache=True, nogil=True)
def _draw_next(gains, n, dep, drawn):
    """The cheapest arc left of a word, taken out of the table: what is drawn once does not come again."""
    top, found = gains[dep, 0], 0
    for head in range(1, n + 1):
        if gains[dep, head] > top:
            top, found = gains[dep, head], head
    gains[dep, found] = -np.inf
    drawn[dep].head, drawn[dep].cost = found, -top


@njit(cache=True, nogil=True)
def _insert(value, smallest, count, capacity, first):
    """Put a value among the `capacity` smallest, in order and behind the `first` ones: its rank; or `capacity`."""
    if count == capacity:
        if value >= smallest[count - 1]:
            return capacity
        count -= 1
    rank = count
    while rank > first and smallest[rank - 1] > value:
        smallest[rank] = smallest[rank - 1]
        rank -= 1
    smallest[rank] = value
    return rank


@njit(cache=True, nogil=True)
def _sets_of_swaps(num_swaps, limit, n, single_root, tree, swaps, path, heads, losses):
    """The best trees into `heads` and their losses, the one without a swap first; their number, or GAVE_UP.

    All sets of swaps are looked at whose cost stays below the k-th loss.
    """
    k = len(heads)
    if num_swaps > MAX_SWAPS_PER_TREE * k:
        return GAVE_UP
    for dep in range(1, n + 1):
        heads[0, dep] = tree[dep]
    losses[0] = 0.0
    num_kept, num_visits, depth, roots, i = 1, 0, 0, num_roots(tree, n), 0
    while True:
        if i == num_swaps or path[depth].cost + swaps[i].cost > limit:
            if depth == 0:
                return num_kept
            depth -= 1
            i = path[depth].swap
            dep = swaps[i].dep
            tree[dep] = heads[0, dep]
            roots += int(tree[dep] == 0) - int(swaps[i].head == 0)
        elif tree[swaps[i].dep] == heads[0, swaps[i].dep]:  # a word is swapped once
            num_visits += 1
            if num_visits > MAX_VISITS_PER_TREE * k:
                return GAVE_UP
            step, after, swap = path[depth], path[depth + 1], swaps[i]
            step.swap = i
            roots += int(swap.head == 0) - int(tree[swap.dep] == 0)
            tree[swap.dep] = swap.head
            after.acyclic = swap.acyclic if depth == 0 else _all_reach_root(tree, n, swaps, path, depth)
            after.cost, after.loss = step.cost + swap.cost, step.loss + swap.loss
            depth += 1
            if after.acyclic and (roots == 1 or not single_root):
                rank = _insert(after.loss, losses, num_kept, k, 1)
                if rank < k:
                    num_kept = min(num_kept + 1, k)
                    for worse in range(num_kept - 1, rank, -1):
                        for dep in range(1, n + 1):
                            heads[worse, dep] = heads[worse - 1, dep]
                    for dep in range(1, n + 1):
                        heads[rank, dep] = tree[dep]
                if num_kept == k:
                    limit = min(limit, losses[k - 1])
        i += 1


@njit(cache=True, nogil=True)
def _all_reach_root(tree, n, swaps, path, depth):
    """Whether the tree with the swap at `depth` has no cycle; one can only run through a swapped word."""
    for level in range(depth if path[depth].acyclic else 0, depth + 1):
        word, num_steps = tree[swaps[path[level].swap].dep], 0
        while word != 0 and num_steps < n:
            word = tree[word]
            num_steps += 1
        if word != 0:
            return False
    return True


@njit(cache=True, nogil=True)
def split_and_search(arc_scores, n, single_root, heads, scores):
    """The k best trees into `heads` [k, dep] and `scores` [k], best first, by splitting; their number.

    Per part: the tree it was split from (heads before `first_free` hold), the heads that word may not take,
    and, once searched, its own best tree with the least loss of any tree that differs from it at a word.
    """
    first_free, num_parts = [1], 1
    forbidden = [np.zeros(n + 1, np.bool_)]
    found = [np.zeros(n + 1, heads.dtype)]
    least_loss = [np.zeros(n + 1)]
    reduced, forest = np.empty((n + 1, n + 1)), np.empty((5, 2 * n + 2), np.int64)
    queue = [(-np.inf, 1, 0)]  # (minus score or a bound on it, 1 = not searched, part): searched ones first in ties
    num_found = 0
    while len(queue) > 0 and num_found < len(heads):
        minus_score, unsearched, part = heappop(queue)
        free = first_free[part]
        if unsearched == 1:
            tree, loss_at = found[part].copy(), np.full(n + 1, np.inf)
            if contracted_tree(arc_scores, n, single_root, free, forbidden[part], tree, reduced, forest) == OK:
                for dep in range(free, n + 1):
                    for head in range(n + 1):
                        if head != dep and head != tree[dep]:
                            loss_at[dep] = min(loss_at[dep], reduced[dep, head])
                found[part], least_loss[part] = tree, loss_at
                heappush(queue, (-_sum_of_arcs(arc_scores, n, tree), 0, part))
            continue
        heads[num_found, : n + 1] = found[part]
        scores[num_found] = -minus_score
        num_found += 1
        for dep in range(free, n + 1):
            if least_loss[part][dep] < np.inf:
                not_here = forbidden[part].copy() if dep == free else np.zeros(n + 1, np.bool_)
                not_here[found[part][dep]] = True
                first_free.append(dep)
                forbidden.append(not_here)
                found.append(found[part])
                least_loss.append(least_loss[part])
                heappush(queue, (minus_score + least_loss[part][dep], 1, num_parts))
                num_parts += 1
    return num_found


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
        place = _insert(loss, losses, num_places, most, 0)
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
