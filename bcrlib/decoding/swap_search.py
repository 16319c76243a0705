"""The k best trees as the best tree with some arcs swapped.

Every swap costs at least its *reduced cost*: where all words have their best head that is the loss of score,
else what contraction has left of it (spanning_trees.py). The k - 1 cheapest swaps that are trees by
themselves already give k trees, so none of the k best trees contains a swap dearer than the last of these. For
k = 10 and the scores of a trained parser about ten swaps are left then, and all sets of them that cost less
than the k-th tree found so far are looked at depth first: about twenty.
"""

from typing import NamedTuple

import numpy as np
from numba import njit

from bcrlib.decoding.spanning_trees import num_roots

# Beyond these the scores are flat, and the depth-first search would not end soon.
MAX_SWAPS_PER_TREE = 10
MAX_VISITS_PER_TREE = 100
GAVE_UP = -1
TREE_BY_ITSELF = -1.0


class Drawn(NamedTuple):
    """For each word [dep] the next swap to draw, and the reduced cost of its cheapest one."""

    head: np.ndarray
    cost: np.ndarray
    cheapest: np.ndarray  # at 0: the least reduced cost of making another word the root


class Swaps(NamedTuple):
    """Arcs that may replace those of the best tree, cheapest first, one array each: [swap]."""

    dep: np.ndarray
    head: np.ndarray
    cost: np.ndarray  # reduced cost: what the swap costs at least, whatever else is swapped
    loss: np.ndarray  # score of the old arc minus that of the new one
    needed: np.ndarray  # reduced cost with what it takes at least to make a tree of it again


class Path(NamedTuple):
    """The swaps made on the way down, one array each: [depth]; costs and losses are sums over them."""

    swap: np.ndarray
    old_head: np.ndarray
    cost: np.ndarray
    loss: np.ndarray
    acyclic: np.ndarray


class Kept(NamedTuple):
    """The best trees found so far, best first [rank]; each one's swaps stay where they are put [slot, ..]."""

    loss: np.ndarray
    slot: np.ndarray
    path: np.ndarray  # number of swaps, then the swaps


class Scratch(NamedTuple):
    drawn: Drawn
    swaps: Swaps
    path: Path


@njit(cache=True, nogil=True)
def new_scratch(size, k):
    """Room for sentences of less than `size` words."""
    most = MAX_SWAPS_PER_TREE * k + 1
    drawn = Drawn(np.empty(size, np.int64), np.empty(size), np.empty(size))
    arcs, bounds = np.empty((2, most), np.int64), np.empty((3, most))
    swaps = Swaps(arcs[0], arcs[1], bounds[0], bounds[1], bounds[2])
    words, sums = np.zeros((2, size), np.int64), np.zeros((2, size))
    return Scratch(drawn, swaps, Path(words[0], words[1], sums[0], sums[1], np.ones(size, np.bool_)))


@njit(cache=True, nogil=True)
def search_by_swaps(scores, gains, n, k, single_root, tree, kept, scratch):
    """The k best trees into `kept`, given the best one; their number, or GAVE_UP.

    `gains[dep, head]` is minus the reduced cost of an arc; the search uses the table up.
    """
    kept.loss[0], kept.slot[0], kept.path[0, 0] = 0.0, 0, 0
    if k == 1:
        return 1
    _start_drawing(gains, n, tree, scratch.drawn)
    num_swaps, limit = _collect(
        scores, gains, n, k, single_root, tree, scratch.drawn, scratch.swaps, kept.loss
    )
    if num_swaps > MAX_SWAPS_PER_TREE * k:
        return GAVE_UP
    kept.loss[0] = 0.0
    return _depth_first(num_swaps, n, k, single_root, tree, limit, scratch.swaps, kept, scratch.path)


@njit(cache=True, nogil=True)
def _start_drawing(gains, n, tree, drawn):
    """The cheapest swap of each word; at 0 the least reduced cost of making another word the root."""
    new_root = np.inf
    for dep in range(1, n + 1):
        gains[dep, dep] = gains[dep, tree[dep]] = -np.inf
        new_root = min(new_root, -gains[dep, 0])
        _draw_next(gains, n, dep, drawn)
        drawn.cheapest[dep] = drawn.cost[dep]
    drawn.cheapest[0] = new_root


@njit(cache=True, nogil=True)
def _draw_next(gains, n, dep, drawn):
    """The cheapest arc left of a word, taken out of the table: what is drawn once does not come again."""
    top, found = gains[dep, 0], 0
    for head in range(1, n + 1):
        if gains[dep, head] > top:
            top, found = gains[dep, head], head
    gains[dep, found] = -np.inf
    drawn.head[dep], drawn.cost[dep] = found, -top


@njit(cache=True, nogil=True)
def _cheapest_word(cost, n):
    cheapest = 1
    for dep in range(2, n + 1):
        if cost[dep] < cost[cheapest]:
            cheapest = dep
    return cheapest


@njit(cache=True, nogil=True)
def _collect(scores, gains, n, k, single_root, tree, drawn, swaps, smallest):
    """All swaps that may be part of a k-best tree, cheapest first: their number, a bound on the k-th loss.

    They are drawn in turn, each from the word whose next best head is cheapest, until k - 1 swaps are trees
    by themselves and none is left below the dearest of these. `smallest`: scratch for their losses.
    """
    num_swaps, num_trees, limit = 0, 0, np.inf
    while num_swaps <= MAX_SWAPS_PER_TREE * k:
        dep = _cheapest_word(drawn.cost, n)
        cost, head, old_head = drawn.cost[dep], drawn.head[dep], tree[dep]
        if cost > limit or cost == np.inf:
            break
        _draw_next(gains, n, dep, drawn)
        repair = _repair_cost(drawn.cheapest, single_root, tree, dep, head)
        loss = np.float64(scores[dep, old_head]) - np.float64(scores[dep, head])
        swaps.dep[num_swaps], swaps.head[num_swaps] = dep, head
        swaps.cost[num_swaps], swaps.loss[num_swaps] = cost, loss
        swaps.needed[num_swaps] = cost + max(repair, 0.0)
        num_swaps += 1
        if repair == TREE_BY_ITSELF:
            num_trees = _insert(loss, smallest, num_trees, k - 1)
            if num_trees == k - 1:
                # The margin: reduced costs are sums, rounded, and must not lose the k-th tree by a hair.
                limit = smallest[k - 2] + 1e-9 * (1.0 + abs(smallest[k - 2]))
    return _drop_dear_swaps(num_swaps, k, limit, swaps), limit


@njit(cache=True, nogil=True)
def _repair_cost(cheapest, single_root, tree, dep, head):
    """What other swaps must cost at least for this one to be part of a tree, or TREE_BY_ITSELF."""
    if head == 0:
        return _cost_of_leaving_root(cheapest, tree) if single_root else TREE_BY_ITSELF
    break_cycle = np.inf
    while head != dep and head != 0:
        break_cycle = min(break_cycle, cheapest[head])
        head = tree[head]
    if head == 0:
        return TREE_BY_ITSELF
    return max(break_cycle, cheapest[0]) if single_root and tree[dep] == 0 else break_cycle


@njit(cache=True, nogil=True)
def _cost_of_leaving_root(cheapest, tree):
    dep = 1
    while tree[dep] != 0:
        dep += 1
    return cheapest[dep]


@njit(cache=True, nogil=True)
def _insert(value, smallest, count, capacity):
    """Keep the `capacity` smallest values in order; the number kept."""
    if count == capacity:
        if value >= smallest[count - 1]:
            return count
        count -= 1
    rank = count
    while rank > 0 and smallest[rank - 1] > value:
        smallest[rank] = smallest[rank - 1]
        rank -= 1
    smallest[rank] = value
    return count + 1


@njit(cache=True, nogil=True)
def _drop_dear_swaps(num_swaps, k, limit, swaps):
    if num_swaps > MAX_SWAPS_PER_TREE * k:
        return num_swaps
    num_left = 0
    for i in range(num_swaps):
        if swaps.needed[i] <= limit:
            swaps.dep[num_left], swaps.head[num_left] = swaps.dep[i], swaps.head[i]
            swaps.cost[num_left], swaps.loss[num_left] = swaps.cost[i], swaps.loss[i]
            num_left += 1
    return num_left


@njit(cache=True, nogil=True)
def _depth_first(num_swaps, n, k, single_root, tree, limit, swaps, kept, path):
    """All sets of swaps whose cost stays below the k-th loss; `tree` ends as it began."""
    num_kept, num_visits, depth, roots, i = 1, 0, 0, num_roots(tree, n), 0
    while True:
        if i == num_swaps or path.cost[depth] + swaps.cost[i] > limit:
            if depth == 0:
                return num_kept
            depth -= 1
            i = path.swap[depth]
            roots += int(path.old_head[depth] == 0) - int(swaps.head[i] == 0)
            tree[swaps.dep[i]] = path.old_head[depth]
        elif not _is_swapped(swaps.dep[i], swaps, path, depth):
            num_visits += 1
            if num_visits > MAX_VISITS_PER_TREE * k:
                _undo(tree, swaps, path, depth)
                return GAVE_UP
            roots += int(swaps.head[i] == 0) - int(tree[swaps.dep[i]] == 0)
            _make_swap(i, n, tree, swaps, path, depth)
            depth += 1
            if path.acyclic[depth] and (roots == 1 or not single_root):
                num_kept = _keep(path, depth, num_kept, k, kept)
                if num_kept == k:
                    limit = min(limit, kept.loss[k - 1])
        i += 1


@njit(cache=True, nogil=True)
def _make_swap(i, n, tree, swaps, path, depth):
    dep = swaps.dep[i]
    path.swap[depth], path.old_head[depth] = i, tree[dep]
    tree[dep] = swaps.head[i]
    path.acyclic[depth + 1] = _all_reach_root(tree, n, swaps, path, depth)
    path.cost[depth + 1] = path.cost[depth] + swaps.cost[i]
    path.loss[depth + 1] = path.loss[depth] + swaps.loss[i]


@njit(cache=True, nogil=True)
def _is_swapped(dep, swaps, path, depth):
    for level in range(depth):  # noqa: SIM110 (numba compiles no generator expression)
        if swaps.dep[path.swap[level]] == dep:
            return True
    return False


@njit(cache=True, nogil=True)
def _undo(tree, swaps, path, depth):
    for level in range(depth):
        tree[swaps.dep[path.swap[level]]] = path.old_head[level]


@njit(cache=True, nogil=True)
def _all_reach_root(tree, n, swaps, path, depth):
    """Whether the tree with the swap at `depth` has no cycle; one can only run through a swapped word."""
    for level in range(depth if path.acyclic[depth] else 0, depth + 1):
        word, num_steps = tree[swaps.dep[path.swap[level]]], 0
        while word != 0 and num_steps < n:
            word = tree[word]
            num_steps += 1
        if word != 0:
            return False
    return True


@njit(cache=True, nogil=True)
def _keep(path, depth, num_kept, k, kept):
    """Give the swaps made their rank among the best k; no swap at all keeps rank 0. The number kept."""
    loss = path.loss[depth]
    if num_kept == k:
        if loss >= kept.loss[k - 1]:
            return k
        rank, slot = k - 1, kept.slot[k - 1]
    else:
        rank, slot = num_kept, num_kept
        num_kept += 1
    while rank > 1 and kept.loss[rank - 1] > loss:
        kept.loss[rank], kept.slot[rank] = kept.loss[rank - 1], kept.slot[rank - 1]
        rank -= 1
    kept.loss[rank], kept.slot[rank] = loss, slot
    kept.path[slot, 0] = depth
    for level in range(depth):
        kept.path[slot, 1 + level] = path.swap[level]
    return num_kept
