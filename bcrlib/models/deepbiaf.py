"""The deep biaffine parser: every word picks its head, a spanning tree search makes the picks agree.

The encoder's rows; four projections; biaffine scores (paper, section 6.1, after
Dozat and Manning 2017). log p(tree | sentence) is the sum over words of log p(head) + log p(relation | head).
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.nn import functional as F

from bcrlib.configuration import NetworkConfig
from bcrlib.models.biaffine import ArcBiaffine, LabelBiaffine
from bcrlib.models.encoding import Batch
from bcrlib.models.noise import Noise
from bcrlib.models.packing import unpack
from bcrlib.models.runtime import Runtime
from bcrlib.models.sentence_encoder import SentenceEncoder
from bcrlib.models.vocabulary import Vocabulary


class DeepBiaf(nn.Module):
    """The network; `vector_size` is the width of the pretrained vectors, None without any."""

    def __init__(self, config: NetworkConfig, vocabulary: Vocabulary, vector_size: int | None) -> None:
        super().__init__()
        self.config = config
        self.encoder = SentenceEncoder(config, vocabulary, vector_size)
        # One product for the four projections: arc dep, arc head, label dep, label head.
        self.sizes = (config.arc_size, config.arc_size, config.label_size, config.label_size)
        self.projection = nn.Linear(2 * config.hidden_size, sum(self.sizes))
        for block in self.projection.weight.split(self.sizes):
            nn.init.xavier_uniform_(block)
        nn.init.zeros_(self.projection.bias)
        self.arc = ArcBiaffine(config.arc_size)
        self.label = LabelBiaffine(config.label_size, len(vocabulary.relations))

    def encode(self, batch: Batch, noise: Noise | None) -> tuple[Tensor, ...]:
        """Rows of the four projections: arc dep, arc head [row, arc], label dep, label head [row, label]."""
        rows, _ = self.encoder(batch, noise)
        rows = F.elu(self.projection(rows))
        if noise is not None:
            rows = rows * self._projection_mask(noise)[batch.packing.sentence].to(rows.dtype)
        return rows.split(self.sizes, dim=1)

    def _projection_mask(self, noise: Noise) -> Tensor:
        """The two sides of an arc share their mask, and so do the two sides of a label."""
        arc = noise.per_sentence("arc", self.config.arc_size)
        label = noise.per_sentence("label", self.config.label_size)
        return torch.cat([arc, arc, label, label], dim=1)

    def arc_log_probs(self, dep: Tensor, head: Tensor, batch: Batch) -> Float[Tensor, "sentence dep head"]:
        """log p(head | dep): softmax over the positions of the sentence, the root and the word itself included."""
        scores = self.arc(unpack(dep, batch.packing), unpack(head, batch.packing)).float()
        positions = torch.arange(batch.packing.max_length, device=scores.device)
        outside = positions[None, :] >= batch.packing.lengths[:, None]
        return scores.masked_fill(outside[:, None, :], float("-inf")).log_softmax(dim=2)

    def tables(self, batch: Batch, noise: Noise | None, runtime: Runtime) -> "ScoreTables":
        """log p of every head of every word, and of every relation of every such arc. Decoding needs no more.

        The scores themselves are always float32: candidates may differ by less than what bfloat16 resolves.
        """
        with runtime.autocast():
            projections = self.encode(batch, noise)
        arc_dep, arc_head, label_dep, label_head = (rows.float() for rows in projections)
        label_scores = self.label.of_all_arcs(unpack(label_dep, batch.packing), unpack(label_head, batch.packing))
        return ScoreTables(self.arc_log_probs(arc_dep, arc_head, batch), label_scores.log_softmax(dim=2))

    def loss(self, batch: Batch, noise: Noise | None) -> Tensor:
        """-log p(gold trees), summed over the batch; the artificial root has no head."""
        arc_dep, arc_head, label_dep, label_head = self.encode(batch, noise)
        words = (batch.packing.step > 0).nonzero().squeeze(1)
        head_rows = rows_of_heads(batch)[words]
        arcs = self.arc_log_probs(arc_dep, arc_head, batch)
        log_p_head = arcs[batch.packing.sentence[words], batch.packing.step[words], batch.heads[words]]
        labels = self.label.of_arcs(label_dep[words], label_head[head_rows]).float()
        return F.cross_entropy(labels, batch.relations[words], reduction="sum") - log_p_head.sum()


@dataclass(frozen=True, eq=False)
class ScoreTables:
    """Log-probabilities of a batch from which its trees are found or scored."""

    arcs: Float[Tensor, "sentence dep head"]
    labels: Float[Tensor, "sentence dep label head"]


def rows_of_heads(batch: Batch) -> Int64[Tensor, "row"]:
    """The packed row of every token's head."""
    starts = torch.tensor(batch.packing.starts, device=batch.heads.device)
    return starts[batch.heads] + batch.packing.sentence
