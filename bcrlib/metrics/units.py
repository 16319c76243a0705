"""What is counted at each level, whatever the task: words or spans, whole trees or frames."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Int64


@dataclass(frozen=True, eq=False)
class Units:
    """Which sentence (utterance) each unit of each level belongs to; units are in the order of the corpus."""

    sentence_of_unit: dict[str, Int64[np.ndarray, "unit"]]
    num_sentences: int
