"""The k best trees as the best tree with some arcs swapped.

Every swap costs at least its *reduced cost*: where all words have their best head that is the loss of score,
else what contraction has left of it (spanning_trees.py). The k - 1 cheapest swaps that are trees by
themselves already give k trees, so none of the k best trees has a swap dearer than the last of these. For
k = 10 and the scores of a trained parser about ten swaps are left then, and all sets of them that cost less
than the k-th tree found so far are looked at depth first: about twenty.
"""

from typing import NamedTuple

import numpy as np
from numba import njit

from bcrlib.samplers.spanning_trees import num_roots

# Beyond these the scores are flat, and the depth-first search would not end soon.
MAX_SWAPS_PER_TREE = 10
MAX_VISITS_PER_TREE = 100
GAVE_UP = -1
TREE_BY_ITSELF = -1.0


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
STEP = np.dtype(  # [depth]: the swaps made on the way down; cost and loss are sums over those above
    [
        ("swap", np.int64),
        ("dep", np.int64),
        ("old_head", np.int64),
        ("cost", np.float64),
        ("loss", np.float64),
        ("acyclic", np.bool_),
    ]
)
KEPT = np.dtype([("loss", np.float64), ("slot", np.int64)])  # [rank]: the best trees found so far, best first


class Scratch(NamedTuple):
    """Room for one sentence at a time, made once for a batch (`new_scratch`)."""

    drawn: np.ndarray
    swaps: np.ndarray
    path: np.ndarray
    smallest: np.ndarray


@njit(cache=True, nogil=True)
def new_scratch(size, k):
    """Room for the k best trees of sentences of less than `size` words."""
    path, swaps = np.zeros(size, STEP), np.zeros(MAX_SWAPS_PER_TREE * k + 1, SWAP)
    path[0].acyclic = True
    return Scratch(np.zeros(size, DRAWN), swaps, path, np.zeros(k))


@njit(cache=True, nogil=True)
def search_by_swaps(scores, gains, n, k, single_root, tree, kept, kept_swaps, scratch):
    """The k best trees into `kept`, given the best one; their number, or GAVE_UP.

    `kept_swaps[slot]` is the number of swaps of a tree, and then the swaps.
    `gains[dep, head]` is minus the reduced cost of an arc; the search uses the table up.
    """
    kept[0].loss, kept[0].slot, kept_swaps[0, 0] = 0.0, 0, 0
    if k == 1:
        return 1
    drawn, swaps, path, smallest = scratch
    _start_drawing(gains, n, tree, drawn)
    num_swaps, limit = _collect(scores, gains, n, k, single_root, tree, drawn, swaps, smallest)
    if num_swaps > MAX_SWAPS_PER_TREE * k:
        return GAVE_UP
    return _depth_first(num_swaps, n, k, single_root, tree, limit, swaps, kept, kept_swaps, path)


@njit(cache=True, nogil=True)
def _start_drawing(gains, n, tree, drawn):
    """The cheapest swap of each word; at 0 the least reduced cost of making another word the root."""
    new_root = np.inf
    for dep in range(1, n + 1):
        gains[dep, dep] = gains[dep, tree[dep]] = -np.inf
        new_root = min(new_root, -gains[dep, 0])
        _draw_next(gains, n, dep, drawn)
        drawn[dep].cheapest = drawn[dep].cost
    drawn[0].cheapest = new_root


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
def _cheapest_word(drawn, n):
    least, cheapest = drawn[1].cost, 1
    for dep in range(2, n + 1):
        if drawn[dep].cost < least:
            least, cheapest = drawn[dep].cost, dep
    return cheapest


@njit(cache=True, nogil=True)
def _collect(scores, gains, n, k, single_root, tree, drawn, swaps, smallest):
    """All swaps that may be part of a k-best tree, cheapest first: their number, a bound on the k-th loss.

    They are drawn in turn, each from the word whose next best head is cheapest, until k - 1 swaps are trees
    by themselves and none is left below the dearest of these. `smallest`: scratch for their losses.
    """
    num_swaps, num_trees, limit = 0, 0, np.inf
    while num_swaps <= MAX_SWAPS_PER_TREE * k:
        dep = _cheapest_word(drawn, n)
        cost, head, old_head = drawn[dep].cost, drawn[dep].head, tree[dep]
        if cost > limit or cost == np.inf:
            break
        _draw_next(gains, n, dep, drawn)
        repair = _repair_cost(drawn, single_root, tree, dep, head)
        loss = np.float64(scores[dep, old_head]) - np.float64(scores[dep, head])
        swap = swaps[num_swaps]
        swap.dep, swap.head, swap.cost, swap.loss = dep, head, cost, loss
        swap.needed, swap.acyclic = cost + max(repair, 0.0), head == 0 or repair == TREE_BY_ITSELF
        num_swaps += 1
        if repair == TREE_BY_ITSELF:
            num_trees = _insert(loss, smallest, num_trees, k - 1)
            if num_trees == k - 1:
                # The margin: reduced costs are sums, rounded, and must not lose the k-th tree by a hair.
                limit = smallest[k - 2] + 1e-9 * (1.0 + abs(smallest[k - 2]))
    return _drop_dear_swaps(num_swaps, k, limit, swaps), limit


@njit(cache=True, nogil=True)
def _repair_cost(drawn, single_root, tree, dep, head):
    """What other swaps must cost at least for this one to be part of a tree, or TREE_BY_ITSELF."""
    if head == 0:
        return _cost_of_leaving_root(drawn, tree) if single_root else TREE_BY_ITSELF
    break_cycle = np.inf
    while head != dep and head != 0:
        break_cycle = min(break_cycle, drawn[head].cheapest)
        head = tree[head]
    if head == 0:
        return TREE_BY_ITSELF
    return max(break_cycle, drawn[0].cheapest) if single_root and tree[dep] == 0 else break_cycle


@njit(cache=True, nogil=True)
def _cost_of_leaving_root(drawn, tree):
    dep = 1
    while tree[dep] != 0:
        dep += 1
    return drawn[dep].cheapest


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
        if swaps[i].needed <= limit:
            swaps[num_left] = swaps[i]
            num_left += 1
    return num_left


@njit(cache=True, nogil=True)
def _depth_first(num_swaps, n, k, single_root, tree, limit, swaps, kept, kept_swaps, path):
    """All sets of swaps whose cost stays below the k-th loss."""
    num_kept, num_visits, depth, roots, i = 1, 0, 0, num_roots(tree, n), 0
    while True:
        if i == num_swaps or path[depth].cost + swaps[i].cost > limit:
            if depth == 0:
                return num_kept
            depth -= 1
            i = path[depth].swap
            roots += int(path[depth].old_head == 0) - int(swaps[i].head == 0)
            tree[swaps[i].dep] = path[depth].old_head
        elif not _is_swapped(swaps[i].dep, path, depth):
            num_visits += 1
            if num_visits > MAX_VISITS_PER_TREE * k:
                return GAVE_UP
            roots += int(swaps[i].head == 0) - int(tree[swaps[i].dep] == 0)
            _make_swap(i, n, tree, swaps, path, depth)
            depth += 1
            if path[depth].acyclic and (roots == 1 or not single_root):
                num_kept = _keep(path, depth, num_kept, k, kept, kept_swaps)
                if num_kept == k:
                    limit = min(limit, kept[k - 1].loss)
        i += 1


@njit(cache=True, nogil=True)
def _make_swap(i, n, tree, swaps, path, depth):
    step, after, swap = path[depth], path[depth + 1], swaps[i]
    step.swap, step.dep, step.old_head = i, swap.dep, tree[swap.dep]
    tree[swap.dep] = swap.head
    after.acyclic = swap.acyclic if depth == 0 else _all_reach_root(tree, n, path, depth)
    after.cost, after.loss = step.cost + swap.cost, step.loss + swap.loss


@njit(cache=True, nogil=True)
def _is_swapped(dep, path, depth):
    for level in range(depth):  # noqa: SIM110 (numba compiles no generator expression)
        if path[level].dep == dep:
            return True
    return False


@njit(cache=True, nogil=True)
def _all_reach_root(tree, n, path, depth):
    """Whether the tree with the swap at `depth` has no cycle; one can only run through a swapped word."""
    for level in range(depth if path[depth].acyclic else 0, depth + 1):
        word, num_steps = tree[path[level].dep], 0
        while word != 0 and num_steps < n:
            word = tree[word]
            num_steps += 1
        if word != 0:
            return False
    return True


@njit(cache=True, nogil=True)
def _keep(path, depth, num_kept, k, kept, kept_swaps):
    """Give the swaps made their rank among the best k; no swap at all keeps rank 0. The number kept."""
    loss = path[depth].loss
    if num_kept == k:
        if loss >= kept[k - 1].loss:
            return k
        rank, slot = k - 1, kept[k - 1].slot
    else:
        rank, slot = num_kept, num_kept
        num_kept += 1
    while rank > 1 and kept[rank - 1].loss > loss:
        kept[rank] = kept[rank - 1]
        rank -= 1
    kept[rank].loss, kept[rank].slot = loss, slot
    kept_swaps[slot, 0] = depth
    for level in range(depth):
        kept_swaps[slot, 1 + level] = path[level].swap
    return num_kept
