"""Score tables of a trained parser, for timing tree searches on what they meet in practice."""

import numpy as np
import torch
from jaxtyping import Float32

from bcrlib.data.treebank import Treebank
from bcrlib.models.encoding import decoding_batches, encode, make_batch
from bcrlib.models.graph_parser import GraphParser


@torch.inference_mode()
def arc_score_tables(parser: GraphParser, treebank: Treebank) -> Float32[np.ndarray, "sentence dep head"]:
    """log p of every arc with its best relation, as the parser hands them to a tree search; padding is minus infinity.

    O(sentences longest^2) memory.
    """
    encoded = encode(treebank, parser.vocabulary, parser.vectors)
    size = int(treebank.lengths.max()) + 1
    scores = np.full((treebank.num_sentences, size, size), -np.inf, dtype=np.float32)
    for sentences in decoding_batches(encoded, parser.runtime):
        batch = make_batch(encoded, sentences, parser.runtime.device)
        tables = parser.tables(batch, None)
        found = (tables.arcs + tables.labels.amax(dim=2)).cpu().numpy()
        scores[batch.sentences, : found.shape[1], : found.shape[2]] = found
    return scores
