"""The k best trees by splitting the space of trees (Murty's and Lawler's scheme), for scores of any kind.

A *part* holds all trees that agree with a known tree on the words before some word, where they differ from it
(and from those found there earlier). The best tree of a part is found by contraction; the rest of the part is
split in at most n parts in turn. A part is searched only when its upper bound, known from the reduced costs
of the tree it was split from, comes first in the queue: most parts never do.
"""

from heapq import heappop, heappush

import numpy as np
from numba import njit

from bcrlib.decoding.spanning_trees import contract, fill_costs, num_roots


@njit(cache=True, nogil=True)
def split_and_search(arc_scores, n, k, single_root, heads, scores):
    """The k best trees into `heads` [k, dep] and `scores` [k], best first; their number.

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
    while len(queue) > 0 and num_found < k:
        minus_score, unsearched, part = heappop(queue)
        free = first_free[part]
        if unsearched == 1:
            tree, loss_at = found[part].copy(), np.full(n + 1, np.inf)
            if _best_of_part(arc_scores, n, single_root, free, forbidden[part], tree, loss_at, reduced, forest):
                found[part], least_loss[part] = tree, loss_at
                heappush(queue, (-_score(arc_scores, n, tree), 0, part))
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


@njit(cache=True, nogil=True)
def _best_of_part(scores, n, single_root, free, forbidden, tree, least_loss, reduced, forest):
    """The best tree of a part into `tree`, with its reduced costs' minima; False where the part is empty."""
    fixed = tree.copy()
    _fill_part(scores, n, free, forbidden, fixed, reduced)
    if not contract(reduced, n, True, tree, forest):
        return False
    if single_root and num_roots(tree, n) > 1:
        _fill_part(scores, n, free, forbidden, fixed, reduced)
        if not contract(reduced, n, False, tree, forest) or num_roots(tree, n) > 1:
            return False
        _close_root(reduced, n, tree, forest[3])
    for dep in range(free, n + 1):
        for head in range(n + 1):
            if head != dep and head != tree[dep]:
                least_loss[dep] = min(least_loss[dep], reduced[dep, head])
    return True


@njit(cache=True, nogil=True)
def _close_root(reduced, n, tree, component):
    """The component that only the root could enter must have the root arc, so no other may."""
    root = 1
    while tree[root] != 0:
        root += 1
    for dep in range(1, n + 1):
        if component[dep] != component[root]:
            reduced[dep, 0] = np.inf


@njit(cache=True, nogil=True)
def _fill_part(scores, n, free, forbidden, fixed, reduced):
    fill_costs(scores, n, 0.0, reduced)
    for dep in range(1, free):
        for head in range(n + 1):
            if head != fixed[dep]:
                reduced[dep, head] = np.inf
    for head in range(n + 1):
        if forbidden[head]:
            reduced[free, head] = np.inf


@njit(cache=True, nogil=True)
def _score(scores, n, tree):
    total = 0.0
    for dep in range(1, n + 1):
        total += scores[dep, tree[dep]]
    return total
