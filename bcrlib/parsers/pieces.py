"""Between words and an encoder's word pieces: what goes into the encoder."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int64
from tokenizers import Tokenizer

from bcrlib.data.randomness import key


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
    _check(offsets, max_pieces)
    starts = ends[:-1]
    word_number = np.arange(len(words)) - np.repeat(word_offsets[:-1], np.diff(word_offsets))
    before, after = _specials(tokenizer)
    return Pieces(
        ids=np.array([i for word in words for i in ids_of[word]], dtype=np.int64),
        word=np.repeat(word_number, num_pieces),
        part=np.arange(ends[-1]) - np.repeat(starts, num_pieces),
        offsets=offsets,
        first_piece=starts - np.repeat(offsets[:-1], np.diff(word_offsets)),
        num_pieces=num_pieces,
        word_offsets=word_offsets,
        before=before,
        after=after,
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


def _specials(tokenizer: Tokenizer) -> tuple[tuple[int, ...], tuple[int, ...]]:
    encoding = tokenizer.encode(["a"], is_pretokenized=True)
    plain = [i for i, special in enumerate(encoding.special_tokens_mask) if not special]
    return tuple(encoding.ids[: plain[0]]), tuple(encoding.ids[plain[-1] + 1 :])


def _check(offsets: Int64[np.ndarray, "n"], max_pieces: int) -> None:
    lengths = np.diff(offsets)
    if (wrong := (lengths == 0) | (lengths > max_pieces)).any():
        number = int(wrong.argmax())
        fault = "no words" if lengths[number] == 0 else f"{lengths[number]} word pieces, the parser takes {max_pieces}"
        raise ValueError(f"utterance {number + 1}: {fault}")
