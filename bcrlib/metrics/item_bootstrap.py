"""The bootstrap of one old and one new model over items, for hundreds of thousands of them in bounded memory.

`uncertainty.resample` draws models as well, and keeps what it draws of all sentences; here there is one pair of models.
"""

import numpy as np
from jaxtyping import Float64, Int64

from bcrlib.metrics.uncertainty import Estimate

CELLS_AT_ONCE = 2**22  # of the table [resample, item]: 32 MB


def resampled_sums(
    numbers: Int64[np.ndarray, "item column"], num_resamples: int, rng: np.random.Generator
) -> Float64[np.ndarray, "resample column"]:
    """Every column summed over as many items as there are, drawn with replacement; all columns by the same draws.

    Columns of an old and of a new model, or of several levels, so stay paired.  Exact while sums stay below 2**53.
    Equal generators give equal sums.  O(resamples items columns).
    """
    num_items = len(numbers)
    columns = numbers.astype(np.float64)
    sums = []
    for start in range(0, num_resamples, step := max(1, CELLS_AT_ONCE // num_items)):
        draws = [rng.integers(num_items, size=num_items) for _ in range(min(step, num_resamples - start))]
        times = np.stack([np.bincount(drawn, minlength=num_items) for drawn in draws])
        sums.append(times.astype(np.float64) @ columns)
    return np.concatenate(sums)


def estimate(value: float, draws: Float64[np.ndarray, "resample"], coverage: float = 0.95) -> Estimate:
    """A rate with the percentile interval of its resamples; those in which it has no unit (nan) are left out.

    O(resamples log resamples).
    """
    low, high = np.nanquantile(draws, [(1 - coverage) / 2, (1 + coverage) / 2])
    return Estimate(float(value), float(low), float(high))
