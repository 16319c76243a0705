"""Maximum spanning trees: for each sentence the dependency tree whose arcs have the highest total score.

Three attempts, each exact when it succeeds and each dearer than the one before:

1. every word takes its best head; for the scores of a trained parser this is nearly always a tree already;
2. Edmonds' algorithm: cycles of best arcs are contracted until none is left;
3. if several words hang on the root but only one may: Edmonds' algorithm with the arcs of the root held
   back until a component has no other arc left, which is the limit of an infinite penalty on root arcs.

Contraction works on *reduced costs* in place: when a component chooses its cheapest entering arc, the cost of
that arc is taken off all arcs entering the component. What is left at the end is never negative, is zero on
the arcs of the tree found, and bounds from below what any other arc costs: the search for the k best trees
(k_best.py) lives on that.
"""

import numpy as np
from jaxtyping import Float, Float32, Int16, Integer
from numba import njit

OK, NOT_A_NUMBER, NO_TREE = 0, 1, 2


def maximum_spanning_trees(
    arc_scores: Float[np.ndarray, "batch dep head"],
    lengths: Integer[np.ndarray, "batch"],
    single_root: bool = True,
) -> Int16[np.ndarray, "batch dep"]:
    """Heads of the highest-scoring tree of each sentence (the 1-best decoding of paper, section 5).

    Axes `dep` and `head` have size max_length + 1, position 0 is the root; row dep = 0, the diagonal and
    everything beyond a sentence's length are ignored. -inf forbids an arc. Result: head of each word, 0 =
    root; 0 at position 0 and in the padding. Of equal heads the lowest wins if the greedy choice is a tree.

    `single_root`: exactly one word hangs on the root (False: the authors' code, any number).
    ValueError: NaN or +inf among the scores, no tree with a finite score, shapes or lengths that do not fit.
    Cost: O(n^2) per sentence where the greedy choice is a tree, else O(n^2) per level of nested cycles.
    """
    scores, lengths = checked_input(arc_scores, lengths)
    heads = np.zeros(scores.shape[:2], dtype=np.int16)
    status = np.zeros(len(lengths), dtype=np.uint8)
    _decode_batch(scores, lengths, single_root, heads, status)
    raise_on_fault(status, single_root)
    return heads


def tree_score(arc_scores: Float[np.ndarray, "dep head"], heads: Integer[np.ndarray, "dep"], length: int) -> float:
    """Sum of the scores of the arcs of one tree over the words 1..length (`heads[0]` is ignored). O(n)."""
    words = np.arange(1, length + 1)
    return float(np.sum(arc_scores[words, np.asarray(heads)[words]], dtype=np.float64))


def checked_input(
    arc_scores: Float[np.ndarray, "batch dep head"], lengths: Integer[np.ndarray, "batch"]
) -> tuple[Float32[np.ndarray, "batch dep head"], Integer[np.ndarray, "batch"]]:
    """Contiguous float32 or float64 scores and int64 lengths; ValueError where shapes do not fit."""
    scores = np.asarray(arc_scores)
    if scores.dtype != np.float64:
        scores = scores.astype(np.float32, copy=False)
    lengths = np.asarray(lengths, dtype=np.int64)
    if scores.ndim != 3 or scores.shape[1] != scores.shape[2] or lengths.shape != scores.shape[:1]:
        raise ValueError(f"arc_scores {scores.shape} and lengths {lengths.shape}: want [b, n + 1, n + 1] and [b]")
    if scores.shape[1] > np.iinfo(np.int16).max:
        raise ValueError(f"{scores.shape[1] - 1} words are too many for heads stored as int16")
    if len(lengths) and (lengths.min() < 1 or lengths.max() >= scores.shape[1]):
        raise ValueError(f"lengths must lie in 1..{scores.shape[1] - 1}")
    return np.ascontiguousarray(scores), lengths


def raise_on_fault(status: np.ndarray, single_root: bool) -> None:
    """ValueError naming the first sentence whose status is not OK."""
    if not status.any():
        return
    sentence = int(np.flatnonzero(status)[0])
    if status[sentence] == NOT_A_NUMBER:
        raise ValueError(f"sentence {sentence} of the batch: an arc score is NaN or +inf")
    kind = "single-root tree" if single_root else "tree"
    raise ValueError(f"sentence {sentence} of the batch: no {kind} with a finite score")


@njit(cache=True, nogil=True)
def _decode_batch(scores, lengths, single_root, heads, status):
    size = scores.shape[1]
    best, stamp, anything = np.empty(size), np.empty(size, np.int64), np.zeros(size, np.bool_)
    reduced, forest = np.empty((size, size)), np.empty((5, 2 * size), np.int64)
    for b in range(len(lengths)):
        n = lengths[b]
        status[b] = greedy_heads(scores[b], n, heads[b], best)
        if status[b] == OK and not is_valid(heads[b], n, single_root, stamp):
            status[b] = contracted_tree(scores[b], n, single_root, 1, anything, heads[b], reduced, forest)


@njit(cache=True, nogil=True)
def greedy_heads(scores, n, heads, best):
    """Each word's best head and that arc's score. `not x < inf` is true of NaN and +inf alike. O(n^2)."""
    for dep in range(1, n + 1):
        row = scores[dep]
        top, head, fault = -np.inf, -1, False
        for candidate in range(dep):
            fault |= not row[candidate] < np.inf
            if row[candidate] > top:
                top, head = row[candidate], candidate
        for candidate in range(dep + 1, n + 1):
            fault |= not row[candidate] < np.inf
            if row[candidate] > top:
                top, head = row[candidate], candidate
        if fault:
            return NOT_A_NUMBER
        if head < 0:
            return NO_TREE
        heads[dep], best[dep] = head, top
    return OK


@njit(cache=True, nogil=True)
def is_valid(heads, n, single_root, stamp):
    """Whether heads 1..n are a tree: every walk up ends at 0 or in an earlier walk that did. O(n)."""
    num_roots = 0
    for dep in range(1, n + 1):
        stamp[dep] = 0
        num_roots += heads[dep] == 0
    if num_roots == 0 or (single_root and num_roots > 1):
        return False
    stamp[0] = -1
    for dep in range(1, n + 1):
        word = dep
        while stamp[word] == 0:
            stamp[word] = dep
            word = heads[word]
        if stamp[word] == dep:
            return False
    return True


@njit(cache=True, nogil=True)
def contracted_tree(scores, n, single_root, free, forbidden, tree, reduced, forest):
    """The best tree by contraction into `tree`; `reduced` is left with reduced costs; OK or NO_TREE.

    Of the trees in which the words before `free` have their heads in `tree`, and word `free` none of the `forbidden`
    ones: with 1 and no such head, of all.
    """
    for root_open in (True, False):
        fill_costs(scores, n, 0.0, reduced)
        for dep in range(1, free):
            for head in range(n + 1):
                if head != tree[dep]:
                    reduced[dep, head] = np.inf
        for head in range(n + 1):
            if forbidden[head]:
                reduced[free, head] = np.inf
        if not contract(reduced, n, root_open, tree, forest):
            return NO_TREE
        if not single_root or num_roots(tree, n) == 1:
            if not root_open:
                _close_root(reduced, n, tree, forest[3])
            return OK
    return NO_TREE


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
def num_roots(heads, n):
    """How many words hang on the root."""
    count = 0
    for dep in range(1, n + 1):
        count += heads[dep] == 0
    return count


@njit(cache=True, nogil=True)
def fill_costs(scores, n, root_penalty, reduced):
    """Costs = minus scores, + `root_penalty` for arcs of the root; no word is its own head."""
    for dep in range(1, n + 1):
        for head in range(n + 1):
            reduced[dep, head] = -scores[dep, head]
        reduced[dep, 0] += root_penalty
        reduced[dep, dep] = np.inf


@njit(cache=True, nogil=True)
def contract(reduced, n, root_open, heads, forest):
    """Edmonds' algorithm on a cost matrix [dep, head], in place; False where some word cannot be reached.

    `root_open` False: an arc of the root is chosen only by a component that no other arc enters.
    Nodes 1..n of the contraction forest are words, later ones are cycles of earlier ones. `forest` holds for
    each node its parent and the word and head of the arc it chose (rows 0-2), for each word its component
    (row 3); row 4 is scratch.
    """
    parent, chosen_dep, chosen_head, component, mark = forest[0], forest[1], forest[2], forest[3], forest[4]
    for node in range(n + 1):
        parent[node], component[node] = 0, node
    first_new, num_nodes = 1, n
    while first_new <= num_nodes:
        for node in range(first_new, num_nodes + 1):
            if not _enter_component(reduced, n, node, root_open, component, chosen_dep, chosen_head):
                return False
        first_new = num_nodes + 1
        num_nodes = _merge_cycles(n, num_nodes, parent, chosen_head, component, mark)
    _unwind(num_nodes, parent, chosen_dep, chosen_head, mark, heads)
    return True


@njit(cache=True, nogil=True)
def _enter_component(reduced, n, node, root_open, component, chosen_dep, chosen_head):
    """Choose the cheapest arc into a component and take its cost off all arcs into it. O(size n)."""
    cheapest = np.inf
    for attempt in range(1 if root_open else 2):
        first, stop = (0, n + 1) if root_open else ((1, n + 1) if attempt == 0 else (0, 1))
        for dep in range(1, n + 1):
            if component[dep] == node:
                for head in range(first, stop):
                    if reduced[dep, head] < cheapest and component[head] != node:
                        cheapest = reduced[dep, head]
                        chosen_dep[node], chosen_head[node] = dep, head
        if cheapest < np.inf:
            break
    if cheapest == np.inf:
        return False
    for dep in range(1, n + 1):
        if component[dep] == node:
            for head in range(n + 1):
                if component[head] != node:
                    reduced[dep, head] -= cheapest
    return True


@njit(cache=True, nogil=True)
def _merge_cycles(n, num_nodes, parent, chosen_head, component, mark):
    """Make one new node of each cycle of chosen arcs; returns the new number of nodes. O(n) per cycle."""
    old_num_nodes = num_nodes
    mark[: num_nodes + 1] = 0
    mark[0] = -1
    for word in range(1, n + 1):
        start = component[word]
        if start > old_num_nodes or mark[start] != 0:
            continue
        node = start
        while mark[node] == 0:
            mark[node] = start
            node = component[chosen_head[node]]
            if node > old_num_nodes:
                break
        if node <= old_num_nodes and mark[node] == start:
            num_nodes += 1
            parent[num_nodes] = 0
            while parent[node] == 0:
                parent[node] = num_nodes
                node = component[chosen_head[node]]
            for member in range(1, n + 1):
                if parent[component[member]] == num_nodes:
                    component[member] = num_nodes
    return num_nodes


@njit(cache=True, nogil=True)
def _unwind(num_nodes, parent, chosen_dep, chosen_head, mark, heads):
    """Heads of all words: a node's arc holds unless a larger node was entered through the same place."""
    mark[: num_nodes + 1] = 0
    for node in range(num_nodes, 0, -1):
        if mark[node] == 0:
            dep = chosen_dep[node]
            heads[dep] = chosen_head[node]
            inner = dep
            while inner != node:
                mark[inner] = 1
                inner = parent[inner]
