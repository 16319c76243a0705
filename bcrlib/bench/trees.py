"""How many sentences a second the tree searches decode on one core, beside `ufal.chu_liu_edmonds`."""

import time
from collections.abc import Callable
from importlib.util import find_spec

import numpy as np
from jaxtyping import Float, Float32, Integer

from bcrlib.decoding.k_best_trees import k_best_spanning_trees
from bcrlib.decoding.spanning_trees import maximum_spanning_trees

BATCH_SIZE = 64
NUM_REPEATS = 7


def bench_trees(
    arc_scores: Float[np.ndarray, "batch dep head"], lengths: Integer[np.ndarray, "batch"]
) -> dict[str, float]:
    """Sentences per CPU second of each search (median of interleaved repeats), ratios of these speeds.

    `arc_scores[b, dep, head]` padded as for `maximum_spanning_trees`. Sentences are decoded in batches of 64
    of like length, as the pipeline does. Keys: "one_best_single_root", "one_best_unconstrained",
    "ten_best_single_root", "ratio_ten_best_to_one_best"; if `ufal.chu_liu_edmonds` is installed also
    "ufal_single_root" (made single-rooted by a penalty on root arcs) and "ratio_one_best_to_ufal".
    """
    batches = _batches_by_length(arc_scores, lengths)
    searches: dict[str, Callable[[], None]] = {
        "one_best_single_root": lambda: _each(batches, maximum_spanning_trees),
        "one_best_unconstrained": lambda: _each(batches, _unconstrained),
        "ten_best_single_root": lambda: _each(batches, _ten_best),
    }
    if find_spec("ufal") is not None and find_spec("ufal.chu_liu_edmonds") is not None:
        tables = [table for batch in batches for table in _penalised_tables(*batch)]
        searches["ufal_single_root"] = lambda: _ufal_heads(tables)
    speeds = _interleaved_speeds(searches, len(lengths))
    speeds["ratio_ten_best_to_one_best"] = speeds["ten_best_single_root"] / speeds["one_best_single_root"]
    if "ufal_single_root" in speeds:
        speeds["ratio_one_best_to_ufal"] = speeds["one_best_single_root"] / speeds["ufal_single_root"]
    return speeds


def simulated_arc_scores(
    lengths: Integer[np.ndarray, "batch"], seed: int, mean_margin: float = 24.0
) -> Float32[np.ndarray, "batch dep head"]:
    """Arc log-probabilities (a log-softmax over heads) like a trained parser's, padding -inf.

    Each word's logits are noise (standard deviation 2); its head in a random single-root tree has a margin
    more, drawn for each word from a gamma distribution of shape 3: most words are sure, a few are not. At the
    default margin one greedy choice in twenty is no single-root tree.
    """
    rng = np.random.default_rng(seed)
    size = int(lengths.max()) + 1
    scores = np.full((len(lengths), size, size), -np.inf, dtype=np.float32)
    for b, length in enumerate(lengths):
        logits = rng.normal(scale=2.0, size=(length + 1, length + 1))
        words = np.arange(1, length + 1)
        logits[words, _random_heads(int(length), rng)] += rng.gamma(3.0, mean_margin / 3.0, size=length)
        logits[words, words] = -np.inf
        logits -= np.logaddexp.reduce(logits, axis=1, keepdims=True)
        scores[b, : length + 1, : length + 1] = logits
    return scores


def _random_heads(length: int, rng: np.random.Generator) -> np.ndarray:
    """Heads of a random single-root tree: in random order, each word picks a near one of those before it."""
    order = rng.permutation(length) + 1
    heads = np.zeros(length, dtype=np.int64)
    for i in range(1, length):
        nearness = np.exp(-np.abs(order[:i] - order[i]) / 2.0)
        heads[order[i] - 1] = order[np.searchsorted(np.cumsum(nearness), rng.random() * nearness.sum())]
    return heads


def _batches_by_length(arc_scores: np.ndarray, lengths: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    by_length = np.argsort(lengths, kind="stable")
    batches = []
    for start in range(0, len(lengths), BATCH_SIZE):
        rows = by_length[start : start + BATCH_SIZE]
        size = int(lengths[rows].max()) + 1
        batches.append((np.ascontiguousarray(arc_scores[rows, :size, :size]), lengths[rows]))
    return batches


def _each(batches: list[tuple[np.ndarray, np.ndarray]], search: Callable) -> None:
    for scores, lengths in batches:
        search(scores, lengths)


def _unconstrained(scores: np.ndarray, lengths: np.ndarray) -> None:
    maximum_spanning_trees(scores, lengths, single_root=False)


def _ten_best(scores: np.ndarray, lengths: np.ndarray) -> None:
    k_best_spanning_trees(scores, lengths, 10)


def _penalised_tables(scores: np.ndarray, lengths: np.ndarray) -> list[np.ndarray]:
    """What ufal wants: a float64 [dep, head] table a sentence. Root arcs cost more than any tree can gain."""
    tables = []
    for sentence, length in zip(scores, lengths):
        table = sentence[: length + 1, : length + 1].astype(np.float64)
        finite = table[np.isfinite(table)]
        table[:, 0] -= 1.0 + length * (finite.max() - finite.min())
        tables.append(table)
    return tables


def _ufal_heads(tables: list[np.ndarray]) -> None:
    from ufal.chu_liu_edmonds import chu_liu_edmonds

    for table in tables:
        chu_liu_edmonds(table)


def _interleaved_speeds(searches: dict[str, Callable[[], None]], num_sentences: int) -> dict[str, float]:
    """Medians, in CPU time, over repeats in which the searches take turns: others' work weighs little."""
    seconds: dict[str, list[float]] = {name: [] for name in searches}
    for repeat in range(NUM_REPEATS + 1):
        for name, search in searches.items():
            start = time.process_time()
            search()
            if repeat > 0:  # the first round compiles
                seconds[name].append(time.process_time() - start)
    return {name: num_sentences / float(np.median(taken)) for name, taken in seconds.items()}
