"""The k best dependency trees of each sentence, exactly.

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
"""

from heapq import heappop, heappush

import numpy as np
from jaxtyping import Float, Float64, Int16, Integer
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
        if acyclic and not (single_root and new_head == 0) and insert(swap.loss, losses, num_trees, k - 1, 0) < k - 1:
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
def insert(value, smallest, count, capacity, first):
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
                rank = insert(after.loss, losses, num_kept, k, 1)
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
