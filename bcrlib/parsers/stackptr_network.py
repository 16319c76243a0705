"""The stack-pointer parser's network: a decoder walks down the tree and points to the next child (Ma et al. 2018).

The encoder is that of deepbiaf. The decoder is an LSTM; its input is the word on top of the stack with its last child
and its head. Its state points to a position by biaffine attention: to a new child, or to the top itself to finish it.
log p(tree | sentence) is the sum over the 2 n - 1 steps of log p(position), and of log p(relation | position) wherever
a child is attached (paper, section 6.1). In training all steps of a batch's gold trees are read at once (`GoldWalk`).
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn
from torch.nn import functional as F

from bcrlib.data.presets import preset
from bcrlib.parsers.batches import Packing, Runtime, grouped, pack, unpack
from bcrlib.parsers.configuration import NetworkConfig
from bcrlib.parsers.encoder import ArcBiaffine, LabelBiaffine, SentenceEncoder, projections
from bcrlib.parsers.encoding import Batch, Vocabulary
from bcrlib.parsers.lstm import ForwardLayer, cell_of_rows
from bcrlib.samplers.derivations import derivations
from bcrlib.samplers.dropout_p import Noise


@dataclass(frozen=True, eq=False)
class GoldWalk:
    """The steps of every sentence; the words of a step are rows of the batch."""

    packing: Packing
    """Of the steps: 2 n - 1 for n positions, so the order of the sentences is the batch's."""
    word: Int64[Tensor, "step"]
    """Where the step points to, counted within the sentence."""
    row_of_word: Int64[Tensor, "step"]
    top: Int64[Tensor, "step"]
    """Row of the top of the stack, as are the next two: of its last child, where it has one, and of its head."""
    sibling: Int64[Tensor, "step"]
    has_sibling: Bool[Tensor, "step"]
    grandparent: Int64[Tensor, "step"]

    @property
    def is_pop(self) -> Bool[Tensor, "step"]:
        """Which steps finish the top."""
        return self.row_of_word == self.top


def gold_walk(batch: Batch) -> GoldWalk:
    """The derivations of the trees that the batch holds. ValueError if one is not a tree. O(steps)."""
    packing = batch.packing
    lengths = packing.lengths.cpu().numpy()
    steps = derivations(unpack(batch.heads, packing).cpu().numpy(), lengths)
    walk = pack(2 * lengths - 1, batch.heads.device)
    starts = torch.tensor(packing.starts, device=batch.heads.device)

    def of_steps(values) -> Tensor:
        return torch.from_numpy(values).to(batch.heads.device)[walk.sentence, walk.step]

    word, sibling = of_steps(steps.word), of_steps(steps.sibling)
    return GoldWalk(
        packing=walk,
        word=word,
        row_of_word=starts[word] + walk.sentence,
        top=starts[of_steps(steps.top)] + walk.sentence,
        sibling=starts[sibling] + walk.sentence,
        has_sibling=sibling > 0,
        grandparent=starts[of_steps(steps.grandparent)] + walk.sentence,
    )


@dataclass(frozen=True, eq=False)
class DecoderMasks:
    """Dropout of the decoder, one mask a sentence for all its steps and hypotheses: [sentence, width]."""

    input: Tensor
    hidden: Tensor
    query: tuple[Tensor, Tensor] | None
    """Of the decoder's output and of the projections, arc and label side by side; None: left out."""


@dataclass(frozen=True, eq=False)
class Memory:
    """What the decoder sees of sentences: computed once, however many hypotheses and candidates read it."""

    inputs: Float[Tensor, "sentence position input"]
    """Each position's share in the decoder's input."""
    keys: Float[Tensor, "sentence position arc"]
    key_bias: Float[Tensor, "sentence position"]
    """-inf behind the end, unless padding takes part in the softmax."""
    label_keys: Float[Tensor, "row label size"]
    """Of the batch's rows, the largest part: not padded."""
    label_bias: Float[Tensor, "row label"]
    starts: Int64[Tensor, "position"]
    """Row of each position of the first sentence; that of sentence s is s further."""
    hidden: Float[Tensor, "sentence hidden"]
    """The decoder's first state, its mask applied."""
    cell: Float[Tensor, "sentence hidden"]
    masks: DecoderMasks | None


@dataclass(frozen=True, eq=False)
class States:
    """The decoder after reading some rows: hypotheses, or prefixes of trees."""

    masked: Float[Tensor, "row hidden"]
    """What the recurrence goes on with."""
    cell: Float[Tensor, "row hidden"]
    arc_query: Float[Tensor, "row arc"]
    label_query: Float[Tensor, "row label"]


class StackPtr(nn.Module):
    """The network; `vector_size` is the width of the pretrained vectors, None without any."""

    def __init__(self, config: NetworkConfig, vocabulary: Vocabulary, vector_size: int | None) -> None:
        super().__init__()
        self.config = config
        self.definitions = preset(config.preset)
        self.encoder = SentenceEncoder(config, vocabulary, vector_size)
        width, self.sizes = 2 * config.hidden_size, (config.arc_size, config.label_size)
        self.source = nn.Linear(width, config.decoder_input_size)
        self.initial = nn.Linear(width, config.decoder_size)
        self.decoder = ForwardLayer(config.decoder_input_size, config.decoder_size)
        self.query = projections(config.decoder_size, self.sizes)
        self.key = projections(width, self.sizes)
        self.arc = ArcBiaffine(config.arc_size)
        # Finishing a word has a label of its own only in the authors' definitions.
        self.pop_label = len(vocabulary.relations) if self.definitions.stackptr_pop_label else None
        self.label = LabelBiaffine(config.label_size, len(vocabulary.relations) + (self.pop_label is not None))

    def loss(self, batch: Batch, noise: Noise | None) -> Tensor:
        """-log p(gold trees), summed over the batch, by the one derivation of each tree. ValueError: no tree."""
        walk, packing = gold_walk(batch), batch.packing
        rows, cells = self.encoder(batch, noise)
        masks = None if noise is None else self._masks(noise)
        states = self._read(walk, rows, cells, masks)
        arc_query, label_query = self._queries(states, walk.packing.sentence, masks)
        arc_key, label_key = self._keys(rows, packing.sentence, masks)
        scores = self.arc(unpack(arc_query, walk.packing), unpack(arc_key, packing)).float()
        scores = scores + self._outside(batch, self.definitions.stackptr_padding_scored)[:, None]
        log_p_word = scores.log_softmax(dim=2)[walk.packing.sentence, walk.packing.step, walk.word]
        steps, relations = self._labelled_steps(walk, batch.relations)
        labels = self.label.of_arcs(label_key[walk.row_of_word[steps]], label_query[steps]).float()
        return F.cross_entropy(labels, relations, reduction="sum") - log_p_word.sum()

    def _read(self, walk: GoldWalk, rows: Tensor, cells: Tensor, masks: DecoderMasks | None) -> Tensor:
        """The decoder's states at the gold steps, [step, hidden]."""
        initial = self.initial(cells)
        shares = F.linear(rows, self.source.weight).float()
        inputs = self._input(shares, walk.top, walk.sibling, walk.has_sibling, walk.grandparent)
        if masks is not None:
            inputs = inputs * masks.input[walk.packing.sentence]
        hidden_mask = None if masks is None else masks.hidden
        return self.decoder(inputs, walk.packing, initial.float().tanh(), initial, hidden_mask)

    def _labelled_steps(self, walk: GoldWalk, relations: Tensor) -> tuple[Tensor, Tensor]:
        """Which steps have a label, and their labels: attaching steps the relation, by the authors pops as well."""
        relations = relations[walk.row_of_word]
        if self.pop_label is None:
            return ~walk.is_pop, relations[~walk.is_pop]
        return torch.ones_like(walk.is_pop), relations.masked_fill(walk.is_pop, self.pop_label)

    def memory(self, batch: Batch, noise: Noise | None, runtime: Runtime, padding_scored: bool = False) -> Memory:
        """What decoding needs of a batch. Scores are always float32. O(position * label * size^2)."""
        with runtime.autocast():
            rows, cells = self.encoder(batch, noise)
            shares = F.linear(rows, self.source.weight)
        masks = None if noise is None else self._masks(noise, decoding=True)
        initial = self.initial(cells.float())
        arc_key, label_key = self._keys(rows.float(), batch.packing.sentence, masks)
        keys, bias = self.arc.keys(arc_key)
        label_keys, label_bias = self.label.keys(label_key)
        hidden = initial.tanh()
        return Memory(
            inputs=unpack(shares.float(), batch.packing),
            keys=unpack(keys, batch.packing),
            key_bias=unpack(bias, batch.packing) + self._outside(batch, padding_scored),
            label_keys=label_keys,
            label_bias=label_bias,
            starts=torch.tensor(batch.packing.starts, device=rows.device),
            hidden=hidden if masks is None else hidden * masks.hidden,
            cell=initial,
            masks=masks,
        )

    def step(
        self,
        memory: Memory,
        masked: Float[Tensor, "before hidden"],
        cell: Float[Tensor, "before hidden"],
        parent: Int64[Tensor, "row"],
        sentence: Int64[Tensor, "row"],
        top: Int64[Tensor, "row"],
        sibling: Int64[Tensor, "row"],
        grandparent: Int64[Tensor, "row"],
    ) -> States:
        """The decoder's next states: row r goes on from row parent[r] of the states before.

        What rows have in common is computed once: the recurrent product for each parent that has children, the input
        for each different triple of words. O(row * hidden * (input + hidden)) at most.
        """
        size = memory.inputs.shape[1]
        triple = ((sentence * size + top) * size + sibling) * size + grandparent
        triples, which = triple.unique(return_inverse=True)
        of, triples = triples // size**3, triples % size**3
        first, second, third = triples // size**2, triples // size % size, triples % size
        at = of * size
        inputs = self._input(memory.inputs.flatten(0, 1), at + first, at + second, second > 0, at + third)
        if memory.masks is not None:
            inputs = inputs * memory.masks.input[of]
        gates = F.linear(inputs, self.decoder.weight_input).float() + self.decoder.bias
        used, continues = parent.unique(return_inverse=True)
        recurrent = F.linear(masked[used], self.decoder.weight_hidden).float()
        hidden, cell = cell_of_rows(gates, which, recurrent, continues, cell, parent)
        arc_query, label_query = self._queries(hidden, sentence, memory.masks)
        masked = hidden if memory.masks is None else hidden * memory.masks.hidden[sentence]
        return States(masked, cell, arc_query, label_query)

    def label_log_probs(
        self,
        memory: Memory,
        sentence: Int64[Tensor, "row"],
        word: Int64[Tensor, "row"],
        query: Float[Tensor, "row size"],
    ) -> Float[Tensor, "row label"]:
        """log p(relation) of attaching words. Rows that attach the same word share its keys. O(row * label * size)."""
        words, which = (memory.starts[word] + sentence).unique(return_inverse=True)
        rows, place = grouped(which, len(words))
        queries = torch.cat([query, query.new_zeros(1, query.shape[1])])[rows]  # (word, row of word, size)
        keys, bias = memory.label_keys[words], memory.label_bias[words]
        scores = torch.baddbmm(bias[:, None], queries, keys.transpose(1, 2))
        return scores[which, place].log_softmax(dim=1)

    def _input(self, shares: Tensor, top: Tensor, sibling: Tensor, has_sibling: Tensor, grandparent: Tensor) -> Tensor:
        """The decoder's input: three words' encodings summed and projected; projecting, being linear, comes first."""
        total = shares[top] + shares[sibling] * has_sibling[:, None] + shares[grandparent]
        return F.elu(total + self.source.bias)

    def _queries(self, states: Tensor, sentence: Tensor, masks: DecoderMasks | None) -> tuple[Tensor, Tensor]:
        if masks is None or masks.query is None:
            return F.elu(self.query(states)).split(self.sizes, dim=1)
        of_output, of_projection = masks.query
        projected = F.elu(self.query(states * of_output[sentence]))
        return (projected * of_projection[sentence].to(projected.dtype)).split(self.sizes, dim=1)

    def _keys(self, rows: Tensor, sentence: Tensor, masks: DecoderMasks | None) -> tuple[Tensor, Tensor]:
        """The words' side of arcs and labels; it shares its masks with the states' side."""
        projected = F.elu(self.key(rows))
        if masks is not None and masks.query is not None:
            projected = projected * masks.query[1][sentence].to(projected.dtype)
        return projected.split(self.sizes, dim=1)

    def _masks(self, noise: Noise, decoding: bool = False) -> DecoderMasks:
        query = None
        if not (decoding and self.definitions.stackptr_dropout_encoder_only):
            arc, label = noise.per_sentence("arc", self.sizes[0]), noise.per_sentence("label", self.sizes[1])
            query = noise.per_sentence("decoded", self.config.decoder_size), torch.cat([arc, label], dim=1)
        return DecoderMasks(
            noise.per_sentence("decoder.input", self.config.decoder_input_size),
            noise.per_sentence("decoder.hidden", self.config.decoder_size),
            query,
        )

    def _outside(self, batch: Batch, padding_scored: bool) -> Float[Tensor, "sentence position"]:
        """-inf behind the end of each sentence, 0 elsewhere; 0 everywhere where padding takes part."""
        lengths = batch.packing.lengths
        outside = torch.arange(batch.packing.max_length, device=lengths.device) >= lengths[:, None]
        nothing = torch.zeros(outside.shape, device=lengths.device)
        return nothing if padding_scored else nothing.masked_fill(outside, float("-inf"))
