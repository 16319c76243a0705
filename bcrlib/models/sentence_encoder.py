"""The encoder that both parsers share: word, character and UPOS vectors, then a variational BiLSTM (paper, 6.1)."""

from jaxtyping import Float
from torch import Tensor, nn

from bcrlib.configuration import NetworkConfig
from bcrlib.models.encoding import Batch
from bcrlib.models.noise import Noise
from bcrlib.models.token_embedding import TokenEmbedding
from bcrlib.models.variational_lstm import VariationalLSTM
from bcrlib.models.vocabulary import Vocabulary
from bcrlib.presets import preset


class SentenceEncoder(nn.Module):
    """`vector_size` is the width of the pretrained vectors, None without any."""

    def __init__(self, config: NetworkConfig, vocabulary: Vocabulary, vector_size: int | None) -> None:
        super().__init__()
        self.embedding = TokenEmbedding(
            vocabulary,
            config.word_size,
            config.char_size,
            config.upos_size,
            vector_size,
            preset(config.preset),
        )
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
