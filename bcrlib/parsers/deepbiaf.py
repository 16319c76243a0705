"""The deep biaffine parser: every word picks its head, a spanning tree search makes the picks agree.

The encoder's rows; four projections; biaffine scores (paper, section 6.1, after Dozat and Manning 2017).
log p(tree | sentence) is the sum over words of log p(head) + log p(relation | head).
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Float32, Int64
from torch import Tensor, nn
from torch.nn import functional as F

from bcrlib.data.candidates import TreePool
from bcrlib.data.treebank import Treebank
from bcrlib.parsers.batches import Runtime, unpack
from bcrlib.parsers.configuration import NetworkConfig
from bcrlib.parsers.encoder import ArcBiaffine, LabelBiaffine, SentenceEncoder, projections
from bcrlib.parsers.encoding import Batch, EncodedTreebank, Vocabulary, make_batch
from bcrlib.parsers.tree_parser import TreeParser, words_and_columns
from bcrlib.samplers.dropout_p import Noise
from bcrlib.samplers.k_best import k_best_spanning_trees
from bcrlib.samplers.k_best_labels import k_best_labelled_trees
from bcrlib.samplers.spanning_trees import maximum_spanning_trees
from bcrlib.samplers.strategies import DropoutP, KBest, OneBest, Single


class DeepBiaf(nn.Module):
    """The network; `vector_size` is the width of the pretrained vectors, None without any."""

    def __init__(self, config: NetworkConfig, vocabulary: Vocabulary, vector_size: int | None) -> None:
        super().__init__()
        self.config = config
        self.encoder = SentenceEncoder(config, vocabulary, vector_size)
        self.sizes = (config.arc_size, config.arc_size, config.label_size, config.label_size)
        self.projection = projections(2 * config.hidden_size, self.sizes)  # arc dep, arc head, label dep, label head
        self.arc = ArcBiaffine(config.arc_size)
        self.label = LabelBiaffine(config.label_size, len(vocabulary.relations))

    def encode(self, batch: Batch, noise: Noise | None) -> tuple[Tensor, ...]:
        """Rows of the four projections: arc dep, arc head [row, arc], label dep, label head [row, label]."""
        rows, _ = self.encoder(batch, noise)
        rows = F.elu(self.projection(rows))
        if noise is not None:
            # The two sides of an arc share their mask, and so do the two sides of a label.
            arc = noise.per_sentence("arc", self.config.arc_size)
            label = noise.per_sentence("label", self.config.label_size)
            mask = torch.cat([arc, arc, label, label], dim=1)
            rows = rows * mask[batch.packing.sentence].to(rows.dtype)
        return rows.split(self.sizes, dim=1)

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


class DeepBiafParser(TreeParser):
    """A parser whose trees follow from tables of log-probabilities; of an ensemble the mean of its networks' tables.

    Another `Network` that makes such tables is another kind of parser (docs/add_a_parser.md).
    """

    Network = DeepBiaf

    def check_strategy(self, strategy: Single) -> None:
        if not isinstance(strategy, OneBest | KBest | DropoutP):
            raise ValueError(f"{strategy} is for sequential parsers; a graph-based one has k-best and dropout-p")

    def weight(self, strategy: Single | None) -> int:
        return strategy.num_candidates if isinstance(strategy, DropoutP) else 1

    def tables(self, batch: Batch, noise: Noise | None = None) -> ScoreTables:
        """The tables of a batch."""
        first, *others = (network.tables(batch, noise, self.runtime) for network in self.networks)
        if not others:
            return first
        arcs, labels = zip(*((tables.arcs, tables.labels) for tables in (first, *others)))
        return ScoreTables(torch.stack(arcs).mean(dim=0), torch.stack(labels).mean(dim=0))

    def trees(
        self, read: EncodedTreebank, batch: Batch, noise: Noise | None, strategy: Single, seed: int
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        tables, lengths = self.tables(batch, noise), batch.packing.lengths.cpu().numpy() - 1
        if self.root_relation is not None:
            tables = root_in_its_place(tables, self.root_relation)
        if isinstance(strategy, KBest) and strategy.labelled:
            return self._labelled_trees(tables, lengths, strategy.num_candidates)
        best_labels, labels = tables.labels.max(dim=2)  # (sentence, dep, head)
        scores, labels = (tables.arcs + best_labels).cpu().numpy(), labels.cpu().numpy()
        if isinstance(strategy, KBest):
            heads = k_best_spanning_trees(scores, lengths, strategy.num_candidates, self.single_root)[0]
        else:
            heads = maximum_spanning_trees(scores, lengths, self.single_root)[:, None]
        place = (np.arange(len(heads))[:, None, None], np.arange(heads.shape[2]), heads)
        is_word = np.arange(heads.shape[2]) - 1 < lengths[:, None]
        is_word[:, 0] = False
        log_probs = np.where(is_word[:, None], scores[place], 0).sum(axis=2, dtype=np.float64)
        return heads, labels[place], log_probs

    def _labelled_trees(self, tables: ScoreTables, lengths: np.ndarray, k: int) -> tuple[np.ndarray, ...]:
        """As `trees`, of the k best labelled trees; only the relations of their arcs leave the device."""

        def labels_of_arcs(*arcs: np.ndarray) -> np.ndarray:
            sentence, dep, head = (torch.from_numpy(index).to(tables.labels.device) for index in arcs)
            return tables.labels[sentence, dep, :, head].cpu().numpy()

        scores = (tables.arcs + tables.labels.amax(dim=2)).cpu().numpy()
        heads, labels, log_probs = k_best_labelled_trees(scores, lengths, k, labels_of_arcs, self.single_root)
        return heads, labels, np.where(log_probs > -np.inf, log_probs, log_probs[:, :1])

    def numbered(self, bank: Treebank, pool: TreePool) -> tuple[Tensor, Tensor, np.ndarray]:
        return torch.tensor(pool.heads), torch.from_numpy(self.relation_ids(bank, pool)), pool.offsets

    def score(self, read: EncodedTreebank, items: np.ndarray, asked: tuple) -> Float32[np.ndarray, "candidate some"]:
        (heads, relations, offsets), batch = asked, make_batch(read, items, self.runtime.device)
        words, columns = words_and_columns(batch, offsets)
        tables = self.tables(batch)
        return score_trees(tables, batch, words, heads[:, columns].long(), relations[:, columns]).cpu().numpy()


def root_in_its_place(tables: ScoreTables, relation: int) -> ScoreTables:
    """Tables in which arcs from the root have this relation, and no others have it. The given ones are used up."""
    labels = tables.labels.contiguous()  # of somebody's own network they may be views
    of_root = labels[:, :, relation, 0].clone()
    labels[:, :, :, 0], labels[:, :, relation] = float("-inf"), float("-inf")
    labels[:, :, relation, 0] = of_root
    return ScoreTables(tables.arcs, labels)


def score_trees(tables: ScoreTables, batch: Batch, words: Tensor, heads: Tensor, relations: Tensor) -> Tensor:
    """log p of trees: [candidate, sentence], the sum over words of log p(head) + log p(relation | head).

    words: int64 [word], the rows that are words; heads, relations: int64 [candidate, word]. A relation -1 scores -inf.
    """
    heads, relations = heads.to(words.device), relations.to(words.device)
    sentence, dep = batch.packing.sentence[words], batch.packing.step[words]
    labels = tables.labels[sentence, dep, relations.clamp(min=0), heads].masked_fill(relations < 0, float("-inf"))
    log_probs = tables.arcs[sentence, dep, heads] + labels
    return log_probs.new_zeros(len(heads), batch.packing.num_sentences).index_add_(1, sentence, log_probs)
