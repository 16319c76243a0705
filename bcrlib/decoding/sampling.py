"""Drawing actions from a distribution that is cut off or flattened: top-k, nucleus, temperature.

The same for every sequential parser: it only needs log-probabilities, one row a draw.
"""

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from bcrlib.decoding.strategies import Nucleus, TopK


def kept_probs(log_probs: Float[Tensor, "*row action"], strategy: TopK | Nucleus) -> Float[Tensor, "*row action"]:
    """The distribution a strategy draws from: tempered, cut off, and normalised again. O(row action log action).

    Of `log_probs`, -inf forbids an action. Top-k keeps the k most probable actions; the nucleus the fewest that have
    probability p together (the smallest set with mass >= p, as in Holtzman et al. 2020). The cut looks at the tempered
    probabilities.
    """
    probs = (log_probs / strategy.temperature).softmax(dim=-1)
    ordered, order = probs.sort(dim=-1, descending=True, stable=True)
    if isinstance(strategy, TopK):
        keep = torch.arange(probs.shape[-1], device=probs.device) < strategy.k
    else:
        keep = ordered.cumsum(dim=-1) - ordered < strategy.p  # the mass before an action does not suffice yet
    kept = torch.zeros_like(probs).scatter(-1, order, ordered * keep)
    return kept / kept.sum(dim=-1, keepdim=True)


def draw(probs: Float[Tensor, "*row action"], uniform: Float[Tensor, "*row"]) -> Int64[Tensor, "*row"]:
    """One action a row, by inverting the distribution function at numbers uniform on [0, 1). O(row action)."""
    below = probs.cumsum(dim=-1, dtype=torch.float64)
    action = (below <= uniform[..., None] * below[..., -1:]).sum(dim=-1)
    # Rounding at the very end must not lead to an action without probability.
    last = probs.shape[-1] - 1 - (probs > 0).flip(-1).to(torch.int8).argmax(dim=-1)
    return torch.minimum(action, last)
