"""Attention of encoder and decoder, with weights that can be dropped by name."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from bcrlib.models.thinning import SiteDropout


def attend(
    query: Float[Tensor, "row head query size"],
    key: Float[Tensor, "row head key size"],
    value: Float[Tensor, "row head key size"],
    visible: Bool[Tensor, "row _ _ key"] | None,
    causal: bool,
    weights: SiteDropout,
) -> Float[Tensor, "row head query size"]:
    """softmax(q k^T / sqrt(size)) v, where `visible`, and under `causal` not to later positions.

    Computed step by step where a thinned network's weights must be seen, and in training on a CPU: the backward pass of
    the library's fused kernel takes ten times as long there on inputs as short as utterances. O(query key size).
    """
    if weights.switch.thinning is None and (query.is_cuda or not torch.is_grad_enabled()):
        p = weights.p if weights.training else 0.0
        return nn.functional.scaled_dot_product_attention(
            query, key, value, attn_mask=visible, dropout_p=p, is_causal=causal
        )
    scores = query @ key.transpose(2, 3) * query.shape[-1] ** -0.5
    if visible is not None:
        scores = scores.masked_fill(~visible, float("-inf"))
    if causal:
        later = torch.ones(scores.shape[2:], dtype=torch.bool, device=scores.device).triu(1)
        scores = scores.masked_fill(later, float("-inf"))
    return weights(scores.softmax(dim=-1)) @ value
