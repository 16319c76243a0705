"""The layers that both dependency parsers share (paper, section 6.1).

Word, character and UPOS vectors side by side go through a variational BiLSTM; behind it, biaffine scores of arcs and of
their labels (Dozat and Manning 2017).
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from bcrlib.data.presets import preset
from bcrlib.parsers.configuration import NetworkConfig
from bcrlib.parsers.encoding import NUM_SPECIAL, UNKNOWN, Batch, Vocabulary
from bcrlib.parsers.lstm import VariationalLSTM
from bcrlib.samplers.dropout_p import Noise


class TokenEmbedding(nn.Module):
    """Word vectors (learned, plus a linear map of pretrained ones), a character CNN and UPOS vectors, concatenated."""

    def __init__(self, config: NetworkConfig, vocabulary: Vocabulary, vector_size: int | None) -> None:
        super().__init__()
        definitions, size = preset(config.preset), config.word_size
        self.unk_policy = definitions.unk_policy
        self.words = nn.Embedding(NUM_SPECIAL + len(vocabulary.words), size)
        self.upos = nn.Embedding(NUM_SPECIAL + len(vocabulary.upos), config.upos_size)
        num_chars = NUM_SPECIAL + len(vocabulary.chars)
        self.characters = CharacterCNN(num_chars, config.char_size, definitions.char_pool_padding)
        self.pretrained = None if vector_size is None else nn.Linear(vector_size, size, bias=False)
        # The learned part starts small beside pretrained vectors, so that rare words do not drown them in noise.
        bound = (3 / size) ** 0.5 if vector_size is None else 0.05
        nn.init.uniform_(self.words.weight, -bound, bound)
        nn.init.uniform_(self.upos.weight, -0.1, 0.1)

    def forward(self, batch: Batch, noise: Noise | None, training: bool = False) -> Float[Tensor, "row feature"]:
        """[row, word + char + upos]. Under dropout each of the three vectors of a token is dropped whole."""
        words = self._word_vectors(batch, noise if training else None)
        characters = self.characters(batch.chars)[batch.form]
        upos = self.upos(batch.upos)
        parts = {"word": words, "char": characters, "upos": upos}
        if noise is not None:
            parts = {name: part * noise.per_token(name) for name, part in parts.items()}
        return torch.cat(list(parts.values()), dim=1)

    def _word_vectors(self, batch: Batch, noise: Noise | None) -> Tensor:
        ids = batch.words[batch.form]
        singleton = batch.is_singleton[batch.form]
        never_seen = self.unk_policy == "always"
        if never_seen:
            ids = ids.masked_fill(singleton, UNKNOWN)
        elif noise is not None:
            ids = ids.masked_fill(singleton & noise.tokens_hit("unk", 0.5), UNKNOWN)
        vectors = self.words(ids)
        if self.pretrained is not None:
            pretrained = self.pretrained(batch.vectors)[batch.vector]
            # The authors' unknown word has no pretrained vector either.
            vectors = vectors + (pretrained.masked_fill(singleton[:, None], 0) if never_seen else pretrained)
        return vectors


class CharacterCNN(nn.Module):
    """Two convolutions of width three over the characters of a word, then the maximum over the word.

    All words of a batch stand in one long row, each closed by a position kept at zero, so that nothing is computed for
    padding. The authors' network does see padding: with `pool_padding` each word is followed by four open positions,
    two that its characters reach, one that sees nothing but padding, and the last before the zeros. Any longer padding
    gives the same maximum.
    """

    def __init__(self, num_chars: int, size: int, pool_padding: bool) -> None:
        super().__init__()
        self.num_open = 4 if pool_padding else 0
        self.embedding = nn.Embedding(num_chars, size)
        self.widen = nn.Linear(3 * size, 4 * size)
        self.narrow = nn.Linear(3 * 4 * size, size)
        nn.init.uniform_(self.embedding.weight, -0.1, 0.1)
        for layer in (self.widen, self.narrow):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, chars: Tensor) -> Float[Tensor, "form size"]:
        """chars: int64 [form, character], -1 behind the end. O(characters * size^2)."""
        chars = F.pad(chars, (0, self.num_open + 1), value=-1)
        lengths = (chars >= 0).sum(dim=1, keepdim=True)
        place = torch.arange(chars.shape[1], device=chars.device)
        used = place < lengths + self.num_open + 1
        flat, place = chars[used], place.expand_as(chars)[used]
        length_here = lengths.expand_as(chars)[used]
        x = self.embedding(flat.clamp(min=0)) * (flat >= 0)[:, None]  # (position, size)
        x = F.elu(self.widen(_windows(x)))
        x = x * (place < length_here + self.num_open)[:, None]
        x = F.elu(self.narrow(_windows(x))).float()
        x = x[place < length_here + self.num_open]
        return torch.segment_reduce(x, "max", lengths=lengths[:, 0] + self.num_open, axis=0)


def _windows(x: Float[Tensor, "position size"]) -> Float[Tensor, "position three_sizes"]:
    """Each position beside its neighbours, zeros at the ends: a convolution is then one matrix product."""
    padded = F.pad(x, (0, 0, 1, 1))
    return torch.cat([padded[:-2], padded[1:-1], padded[2:]], dim=1)


class SentenceEncoder(nn.Module):
    """`vector_size` is the width of the pretrained vectors, None without any."""

    def __init__(self, config: NetworkConfig, vocabulary: Vocabulary, vector_size: int | None) -> None:
        super().__init__()
        self.embedding = TokenEmbedding(config, vocabulary, vector_size)
        width = config.word_size + config.char_size + config.upos_size
        self.lstm = VariationalLSTM(width, config.hidden_size, config.num_layers)

    def forward(
        self, batch: Batch, noise: Noise | None
    ) -> tuple[Float[Tensor, "row two_hidden"], Float[Tensor, "sentence two_hidden"]]:
        """Encodings of all positions, under dropout with one mask a sentence, and the last layer's final cells."""
        rows = self.embedding(batch, noise, self.training)
        rows, cells = self.lstm(rows, batch.packing, noise)
        if noise is not None:
            mask = noise.per_sentence("encoded", rows.shape[1])
            rows = rows * mask[batch.packing.sentence]
        return rows, cells


def projections(width: int, sizes: tuple[int, ...]) -> nn.Linear:
    """Several projections as one product, each initialised by itself."""
    linear = nn.Linear(width, sum(sizes))
    for block in linear.weight.split(sizes):
        nn.init.xavier_uniform_(block)
    nn.init.zeros_(linear.bias)
    return linear


class ArcBiaffine(nn.Module):
    """s(dep, head) = dep' U head + u . head.

    The authors have a constant and a term of the dependent alone as well; both cancel in the softmax over heads.
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        self.bilinear = nn.Parameter(torch.empty(size, size))
        self.head = nn.Parameter(torch.empty(size))
        nn.init.xavier_uniform_(self.bilinear)
        nn.init.uniform_(self.head, -(size**-0.5), size**-0.5)

    def forward(
        self, dep: Float[Tensor, "sentence dep size"], head: Float[Tensor, "sentence head size"]
    ) -> Float[Tensor, "sentence dep head"]:
        """Scores of all arcs. O(sentence * length * size * (size + length))."""
        return torch.bmm(dep @ self.bilinear + self.head.to(dep.dtype), head.transpose(1, 2))

    def keys(self, head: Float[Tensor, "*row size"]) -> tuple[Float[Tensor, "*row size"], Float[Tensor, "*row"]]:
        """U head and u . head: whatever comes as dependents, s(dep, head) = dep . key + bias. O(row * size^2)."""
        return head @ self.bilinear.T, head @ self.head


class LabelBiaffine(nn.Module):
    """s(dep, head, label) = dep' U_label head + v_label . dep + w_label . head + b_label."""

    def __init__(self, size: int, num_labels: int) -> None:
        super().__init__()
        self.bilinear = nn.Parameter(torch.empty(num_labels, size, size))
        self.dep = nn.Linear(size, num_labels)
        self.head = nn.Linear(size, num_labels, bias=False)
        for matrix in self.bilinear:
            nn.init.xavier_uniform_(matrix)

    def of_arcs(self, dep: Float[Tensor, "arc size"], head: Float[Tensor, "arc size"]) -> Float[Tensor, "arc label"]:
        """Scores of all labels of given arcs. O(arc * label * size^2)."""
        num_labels, size, _ = self.bilinear.shape
        projected = dep @ self.bilinear.permute(1, 0, 2).reshape(size, -1)  # (arc, label * size)
        scores = torch.bmm(projected.view(-1, num_labels, size), head[:, :, None]).squeeze(2)
        return scores + self.dep(dep) + self.head(head)

    def of_all_arcs(
        self, dep: Float[Tensor, "sentence dep size"], head: Float[Tensor, "sentence head size"]
    ) -> Float[Tensor, "sentence dep label head"]:
        """Scores of all labels of all arcs. O(sentence * length * label * size * (size + length))."""
        num_labels, size, _ = self.bilinear.shape
        batch, length, _ = dep.shape
        keys, own = self.keys(dep)
        keys, own = keys.view(batch, length * num_labels, size), own.view(batch, length * num_labels, 1)
        return torch.baddbmm(own, keys, head.transpose(1, 2)).view(batch, length, num_labels, length)

    def keys(
        self, dep: Float[Tensor, "*row size"]
    ) -> tuple[Float[Tensor, "*row label size"], Float[Tensor, "*row label"]]:
        """A vector and a bias a label: whatever comes as heads, s(dep, head, label) = key . head + bias.

        w_label joins each word's own vector for a label. O(row * label * size^2).
        """
        num_labels, size, _ = self.bilinear.shape
        weight = self.bilinear.permute(0, 2, 1).reshape(-1, size)
        projected = F.linear(dep, weight, self.head.weight.flatten())
        return projected.unflatten(-1, (num_labels, size)), self.dep(dep)
