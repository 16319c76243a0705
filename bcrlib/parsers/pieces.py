"""Words in an encoder's word pieces, and contextual vectors: one a word, from hidden states of an encoder.

A contextual encoder stays as it is: in place of a static table (`bcrlib.data.vectors`), whose vector of a word is the
same in every sentence, its states are computed once a text and kept.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Bool, Float16, Int64
from tokenizers import Tokenizer

from bcrlib.data.download import cache_folder, sha256_of_encoder
from bcrlib.data.files import whole
from bcrlib.data.randomness import key
from bcrlib.data.vectors import CONTEXTUAL
from bcrlib.parsers.batches import batches
from bcrlib.parsers.configuration import Seq2SeqConfig
from bcrlib.samplers.dropout_p import Switch

if TYPE_CHECKING:
    from transformers import PreTrainedModel

WINDOW = 256
"""Most word pieces that an encoder reads at once; a longer sentence is read in windows, cut between words."""
BATCH_PIECES = 4096
KEPT_FROM = 1000
"""Sentences of a text from which on its vectors are kept: a corpus is parsed again and again, a user's file is not."""
_NOTHING = -1
_LAST: dict[str, Float16[np.ndarray, "token dim"]] = {}


@dataclass(frozen=True, eq=False)
class Pieces:
    """Utterances in word pieces, without special symbols: those of utterance u are offsets[u] .. offsets[u + 1]."""

    ids: Int64[np.ndarray, "piece"]
    word: Int64[np.ndarray, "piece"]
    """Number of the word in its utterance."""
    part: Int64[np.ndarray, "piece"]
    """Number of the piece in its word."""
    offsets: Int64[np.ndarray, "utterance_plus_one"]
    first_piece: Int64[np.ndarray, "word"]
    """Number of a word's first piece in its utterance."""
    num_pieces: Int64[np.ndarray, "word"]
    word_offsets: Int64[np.ndarray, "utterance_plus_one"]
    before: tuple[int, ...]
    """Special symbols in front of every utterance, and behind it."""
    after: tuple[int, ...]
    keys: Int64[np.ndarray, "utterance"]
    """A name for the words of each utterance, from which its random choices come."""

    @property
    def lengths(self) -> Int64[np.ndarray, "utterance"]:
        """Pieces of each utterance."""
        return np.diff(self.offsets)


def cut_into_pieces(utterances: Sequence[tuple[str, ...]], tokenizer: Tokenizer, max_pieces: int) -> Pieces:
    """The pieces of every word, each word by itself. O(words), and the tokenizer's cost a word type.

    A word that the tokenizer makes nothing of (a control character, say) becomes its symbol for unknown words.
    ValueError, naming the utterance, for one without words or with more than `max_pieces` pieces.
    """
    types = sorted({word for words in utterances for word in words})
    ids_of = dict(zip(types, (_ids(word, tokenizer) for word in types)))
    words = [word for utterance in utterances for word in utterance]
    num_pieces = np.array([len(ids_of[word]) for word in words], dtype=np.int64)
    word_offsets = np.cumsum([0, *map(len, utterances)])
    ends = np.cumsum(np.insert(num_pieces, 0, 0))
    offsets = ends[word_offsets]
    lengths = np.diff(offsets)
    if (wrong := (lengths == 0) | (lengths > max_pieces)).any():
        number = int(wrong.argmax())
        fault = "no words" if lengths[number] == 0 else f"{lengths[number]} word pieces, the parser takes {max_pieces}"
        raise ValueError(f"utterance {number + 1}: {fault}")
    starts = ends[:-1]
    word_number = np.arange(len(words)) - np.repeat(word_offsets[:-1], np.diff(word_offsets))
    example = tokenizer.encode(["a"], is_pretokenized=True)
    plain = [i for i, special in enumerate(example.special_tokens_mask) if not special]
    return Pieces(
        ids=np.array([i for word in words for i in ids_of[word]], dtype=np.int64),
        word=np.repeat(word_number, num_pieces),
        part=np.arange(ends[-1]) - np.repeat(starts, num_pieces),
        offsets=offsets,
        first_piece=starts - np.repeat(offsets[:-1], np.diff(word_offsets)),
        num_pieces=num_pieces,
        word_offsets=word_offsets,
        before=tuple(example.ids[: plain[0]]),
        after=tuple(example.ids[plain[-1] + 1 :]),
        keys=np.array([key(*utterance) for utterance in utterances], dtype=np.int64),
    )


def _ids(word: str, tokenizer: Tokenizer) -> list[int]:
    ids = tokenizer.encode([word], is_pretokenized=True, add_special_tokens=False).ids
    if ids:
        return ids
    unknown = next((i for name in ("[UNK]", "<unk>") if (i := tokenizer.token_to_id(name)) is not None), None)
    if unknown is None:
        raise ValueError(f"the tokenizer makes nothing of the word {word!r} and has no symbol for unknown words")
    return [unknown]


def forget() -> None:
    """Drop the vectors kept in memory: who measures time wants every text to be read anew."""
    _LAST.clear()


class ContextualVectors:
    """Vectors by token, of one of CONTEXTUAL; the encoder is loaded when the first text is read."""

    def __init__(self, name: str, device: torch.device | str = "cpu") -> None:
        """KeyError for a name that is not among CONTEXTUAL."""
        self.name, self.source, self.device = name, CONTEXTUAL[name], device
        self.dim = self.source.dim

    def of_tokens(
        self, forms: Sequence[str], offsets: Int64[np.ndarray, "sentence_plus_one"]
    ) -> Float16[np.ndarray, "token dim"]:
        """The vectors of these sentences of words, each the mean of its word's pieces.

        Those of a text of KEPT_FROM sentences are kept in the cache folder and come back as a memory map; those of the
        last shorter text are kept in memory, for what an old and a new parser read one after the other. Raises
        DataError where the encoder's weights cannot be had. O(pieces layers dim^2), once a text.
        """
        sentences = [tuple(forms[a:b]) for a, b in pairwise(offsets)]
        digest = self._digest(sentences)
        if len(sentences) < KEPT_FROM:
            if digest not in _LAST:
                vectors = self._computed(sentences)
                _LAST.clear()
                _LAST[digest] = vectors
            return _LAST[digest]
        path = cache_folder() / "contextual" / f"{digest}.npy"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            with whole(path) as unfinished, open(unfinished, "wb") as file:  # several trainings may want it at once
                np.save(file, self._computed(sentences))
        return np.load(path, mmap_mode="r")

    @cached_property
    def _encoder(self) -> tuple["PreTrainedModel", Tokenizer]:
        from bcrlib.parsers.pretrained import PretrainedEncoder, new_encoder

        config = Seq2SeqConfig(encoder=self.source.encoder, encoder_layers=max(self.source.layers))
        network, tokenizer = new_encoder(config, ())
        return PretrainedEncoder(network, Switch()).network.to(self.device).eval(), tokenizer

    def _digest(self, sentences: Sequence[tuple[str, ...]]) -> str:
        """Of all that the vectors follow from: weights, layers, words."""
        weights = sha256_of_encoder(self.source.encoder)
        digest = hashlib.sha256(repr((weights, self.source.layers, WINDOW)).encode())
        for words in sentences:
            digest.update("\t".join(words).encode() + b"\n")
        return digest.hexdigest()[:32]

    @torch.inference_mode()
    def _computed(self, sentences: Sequence[tuple[str, ...]]) -> Float16[np.ndarray, "token dim"]:
        network, tokenizer = self._encoder
        pieces = cut_into_pieces(sentences, tokenizer, max_pieces=np.iinfo(np.int64).max)
        count = np.minimum(pieces.num_pieces, WINDOW)
        start, stop = _windows(count, pieces.word_offsets)
        ends = np.cumsum(np.insert(count, 0, 0))
        result = np.empty((len(count), self.dim), np.float16)
        for chosen in batches(ends[stop] - ends[start], BATCH_PIECES):
            words = np.concatenate([np.arange(a, b) for a, b in zip(start[chosen], stop[chosen])])
            ids, inside = _padded(pieces, count, start[chosen], stop[chosen])
            ids, mask = torch.from_numpy(ids).to(self.device), torch.from_numpy(ids != _NOTHING).to(self.device)
            output = network(input_ids=ids.clamp(min=0), attention_mask=mask.long(), output_hidden_states=True)
            states = torch.stack([output.hidden_states[layer] for layer in self.source.layers]).mean(dim=0)
            rows = states[torch.from_numpy(inside).to(self.device)].float()
            lengths = torch.from_numpy(count[words]).to(self.device)
            result[words] = torch.segment_reduce(rows, "mean", lengths=lengths, axis=0).half().cpu().numpy()
        return result


def _windows(
    count: Int64[np.ndarray, "word"], word_offsets: Int64[np.ndarray, "sentence_plus_one"]
) -> tuple[Int64[np.ndarray, "window"], Int64[np.ndarray, "window"]]:
    """First word of every window, and the first behind it: a sentence, or what of it has WINDOW pieces at most."""
    starts, stops = [], []
    for first, last in pairwise(word_offsets):
        ends = np.cumsum(count[first:last])
        begin = 0
        while begin < len(ends):
            read = ends[begin - 1] if begin else 0
            end = int(np.searchsorted(ends, read + WINDOW, side="right"))
            starts.append(first + begin)
            stops.append(first + end)
            begin = end
    return np.array(starts), np.array(stops)


def _padded(
    pieces: Pieces,
    count: Int64[np.ndarray, "word"],
    start: Int64[np.ndarray, "window"],
    stop: Int64[np.ndarray, "window"],
) -> tuple[Int64[np.ndarray, "window piece"], Bool[np.ndarray, "window piece"]]:
    """The windows' pieces between the encoder's special symbols, _NOTHING behind them; and which are of words."""
    first = np.cumsum(np.insert(pieces.num_pieces, 0, 0))
    rows = []
    for a, b in zip(start, stop):
        inner = [pieces.ids[first[word] : first[word] + count[word]] for word in range(a, b)]
        rows.append(np.concatenate([pieces.before, *inner, pieces.after]))
    lengths = np.array([len(row) for row in rows])
    ids = np.full((len(rows), lengths.max()), _NOTHING, dtype=np.int64)
    place = np.arange(ids.shape[1])
    ids[place < lengths[:, None]] = np.concatenate(rows)
    inside = (place >= len(pieces.before)) & (place < (lengths - len(pieces.after))[:, None])
    return ids, inside
