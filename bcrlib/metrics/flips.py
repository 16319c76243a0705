"""What every metric is made of: units, the 2x2 count of an update over them, and the paper's rates of it."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int64, Num

RATES = ("acc_old", "acc_new", "nfr", "pfr", "nfi")

Count = int | np.integer | Num[np.ndarray, "..."]
Rate = float | Num[np.ndarray, "..."]


@dataclass(frozen=True, eq=False)
class Units:
    """Which sentence (utterance) each unit of each level belongs to; units are in the order of the corpus."""

    sentence_of_unit: dict[str, Int64[np.ndarray, "unit"]]
    num_sentences: int


@dataclass(frozen=True)
class Flips:
    """How many units an update kept right (yy), broke (yn), repaired (ny) and left wrong (nn).

    The counts are ints, or arrays of one shape: the flips of many pairs of models or many resamples, whose
    rates are then arrays too.  Rates of zero units do not exist (ZeroDivisionError for ints, nan in arrays).
    """

    yy: Count
    yn: Count
    ny: Count
    nn: Count

    @property
    def num_units(self) -> Count:
        """Number of units counted."""
        return self.yy + self.yn + self.ny + self.nn

    @property
    def acc_old(self) -> Rate:
        """Accuracy of the old model."""
        return (self.yy + self.yn) / self.num_units

    @property
    def acc_new(self) -> Rate:
        """Accuracy of the new model."""
        return (self.yy + self.ny) / self.num_units

    @property
    def nfr(self) -> Rate:
        """The paper's negative flip rate: units the update broke, as a share of all units."""
        return self.yn / self.num_units

    @property
    def pfr(self) -> Rate:
        """Positive flip rate: units the update repaired, as a share of all units."""
        return self.ny / self.num_units

    @property
    def nfi(self) -> Rate:
        """The paper's negative flip impact, NFR / (1 - ACC): the share of negative flips in the new errors.

        0 for a new model without errors.
        """
        return self.yn / np.maximum(self.yn + self.nn, 1)

    def __add__(self, other: "Flips") -> "Flips":
        """The flips over both sets of units: what micro-averaging sums before it divides."""
        return Flips(self.yy + other.yy, self.yn + other.yn, self.ny + other.ny, self.nn + other.nn)


def flips(old_right: Bool[np.ndarray, "unit"], new_right: Bool[np.ndarray, "unit"]) -> Flips:
    """Count the flips of one update.  Raises ValueError for different numbers of units.  O(units)."""
    if old_right.shape != new_right.shape:
        raise ValueError(f"{old_right.shape} old and {new_right.shape} new units")
    num_kept = int((old_right & new_right).sum())
    num_old, num_new = int(old_right.sum()), int(new_right.sum())
    return Flips(num_kept, num_old - num_kept, num_new - num_kept, old_right.size - num_old - num_new + num_kept)


def flips_by_sentence(
    old_right: Bool[np.ndarray, "*pair unit"],
    new_right: Bool[np.ndarray, "*pair unit"],
    sentence_of_unit: Int64[np.ndarray, "unit"],
    num_sentences: int,
) -> Int64[np.ndarray, "*pair sentence 4"]:
    """The counts (yy, yn, ny, nn) of every sentence, of one pair of models or of a stack of pairs.

    Sentences without units have zeros.  Raises ValueError for shapes that do not fit each other.
    O(pairs (units + sentences)).
    """
    if old_right.shape != new_right.shape or old_right.shape[-1:] != sentence_of_unit.shape:
        raise ValueError(f"{old_right.shape} old, {new_right.shape} new, {sentence_of_unit.shape} units")
    pairs = old_right.shape[:-1]
    num_cells = num_sentences * 4
    outcome = 2 * ~old_right + ~new_right  # 0 yy, 1 yn, 2 ny, 3 nn
    cell = (sentence_of_unit * 4 + outcome).reshape(-1, len(sentence_of_unit))
    cell += np.arange(len(cell))[:, None] * num_cells
    counts = np.bincount(cell.ravel(), minlength=len(cell) * num_cells)
    return counts.reshape(*pairs, num_sentences, 4)


def as_flips(counts: Num[np.ndarray, "*batch 4"]) -> Flips:
    """Counts (yy, yn, ny, nn) along the last axis as Flips over the other axes."""
    return Flips(*np.moveaxis(counts, -1, 0))
