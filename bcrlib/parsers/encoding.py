"""From strings to numbers: the alphabets of a parser, a treebank in its numbers, and batches of it.

Work that depends on the word type alone (its characters) is kept once a type: `Forms` is the table of types, a token is
a row number in it. A batch gathers its own types, so that the character network sees each once. Pretrained vectors are
another table, with a row a type where they are static and a row a token where they are contextual.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from bcrlib.data.randomness import key
from bcrlib.data.treebank import Treebank
from bcrlib.data.vectors import WordVectors
from bcrlib.parsers.batches import Packing, Runtime, batches, pack
from bcrlib.parsers.pieces import ContextualVectors

UNKNOWN, ROOT = 0, 1
NUM_SPECIAL = 2
MAX_CHARS = 45
_DIGITS = str.maketrans("0123456789", "0" * 10)


@dataclass(frozen=True)
class Vocabulary:
    """Alphabets learned from training data; each starts with the unknown symbol and that of the artificial root.

    Words are forms with digits written as 0. Word types seen once (`singletons`) keep an identity of their own;
    whether they are used as such is decided where a parser meets them (Preset.unk_policy).
    """

    words: tuple[str, ...]
    singletons: tuple[str, ...]
    chars: tuple[str, ...]
    upos: tuple[str, ...]
    relations: tuple[str, ...]

    @cached_property
    def word_ids(self) -> dict[str, int]:
        return {word: i for i, word in enumerate(self.words, start=NUM_SPECIAL)}

    @cached_property
    def char_ids(self) -> dict[str, int]:
        return {char: i for i, char in enumerate(self.chars, start=NUM_SPECIAL)}

    @cached_property
    def upos_ids(self) -> dict[str, int]:
        return {tag: i for i, tag in enumerate(self.upos, start=NUM_SPECIAL)}

    @cached_property
    def relation_ids(self) -> dict[str, int]:
        """Relations have no special symbols: a parser predicts only what it has seen."""
        return {relation: i for i, relation in enumerate(self.relations)}

    def to_json(self) -> dict:
        return {name: list(symbols) for name, symbols in asdict(self).items()}

    @classmethod
    def from_json(cls, content: dict) -> "Vocabulary":
        return cls(**{name: tuple(symbols) for name, symbols in content.items()})


def normalise(form: str) -> str:
    """The form as a word of the vocabulary: every digit becomes 0."""
    return form.translate(_DIGITS)


def build_vocabulary(train: Treebank) -> Vocabulary:
    """Alphabets of a training treebank: words by decreasing count, all else in order of first sight. O(tokens)."""
    counts = Counter(map(normalise, train.forms))
    chars = dict.fromkeys(char for form in dict.fromkeys(train.forms) for char in form)
    return Vocabulary(
        words=tuple(word for word, _ in counts.most_common()),
        singletons=tuple(word for word, count in counts.items() if count == 1),
        chars=tuple(chars),
        upos=tuple(dict.fromkeys(train.upos)),
        relations=tuple(dict.fromkeys(train.relations)),
    )


@dataclass(frozen=True, eq=False)
class Forms:
    """Table of word types; row 0 is the artificial root."""

    words: np.ndarray
    """int64 [form]: word id."""
    chars: np.ndarray
    """int64 [form, character], -1 behind the end."""
    is_singleton: np.ndarray
    """bool [form]: seen exactly once in training."""


@dataclass(frozen=True, eq=False)
class EncodedTreebank:
    """Tokens with the artificial root in front of every sentence: sentence s is offsets[s] .. offsets[s + 1]."""

    forms: Forms
    form: np.ndarray
    """int64 [position]: row in `forms`."""
    upos: np.ndarray
    """int64 [position]."""
    heads: np.ndarray
    """int64 [position]: position of the head within the sentence, 0 for the root itself."""
    relations: np.ndarray
    """int64 [position]: relation id, -1 for the root and for relations unknown to the parser."""
    offsets: np.ndarray
    """int64 [sentence + 1]."""
    keys: np.ndarray
    """int64 [sentence]: a name for its words, from which its dropout masks come."""
    vectors: np.ndarray | None
    """float32 or float16 [vector, dim]: pretrained vectors, None without any."""
    vector: np.ndarray
    """int64 [position]: row in `vectors`, -1 for the root, which has none."""

    @property
    def lengths(self) -> np.ndarray:
        return np.diff(self.offsets)


@dataclass(frozen=True, eq=False)
class Batch:
    """Some sentences of an encoded treebank as tensors, longest first; rows as in `packing`."""

    sentences: np.ndarray
    """int64 [sentence]: which sentences of the treebank."""
    packing: Packing
    form: Tensor
    """int64 [row]: row in the tables of this batch."""
    upos: Tensor
    heads: Tensor
    relations: Tensor
    words: Tensor
    """int64 [form]."""
    chars: Tensor
    """int64 [form, character]."""
    is_singleton: Tensor
    vectors: Tensor | None
    """float32 [vector, dim]: pretrained vectors of this batch; the first is the root's, zeros."""
    vector: Tensor
    """int64 [row]: row in `vectors`."""


def encode(
    treebank: Treebank, vocabulary: Vocabulary, vectors: WordVectors | ContextualVectors | None
) -> EncodedTreebank:
    """The treebank in a parser's numbers. ValueError: no sentence.

    O(tokens), and the vectors' cost a word type (static) or a token (contextual).
    """
    if treebank.num_sentences == 0:
        raise ValueError("there is no sentence to parse")
    types = list(dict.fromkeys(treebank.forms))
    row = {form: i for i, form in enumerate(types, start=1)}
    offsets = treebank.offsets + np.arange(len(treebank.offsets))
    form = _with_root([row[form] for form in treebank.forms], treebank.offsets, 0)
    if isinstance(vectors, ContextualVectors):
        table = vectors.of_tokens(treebank.forms, treebank.offsets)
        vector = _with_root(np.arange(treebank.num_tokens), treebank.offsets, -1)
    else:
        table, vector = vectors and vectors.lookup(types), form - 1
    return EncodedTreebank(
        forms=_encode_forms(types, vocabulary),
        form=form,
        upos=_with_root([vocabulary.upos_ids.get(tag, UNKNOWN) for tag in treebank.upos], treebank.offsets, ROOT),
        heads=_with_root(treebank.heads, treebank.offsets, 0),
        relations=_with_root([vocabulary.relation_ids.get(r, -1) for r in treebank.relations], treebank.offsets, -1),
        offsets=offsets,
        keys=np.array([key(*treebank.forms[a:b]) for a, b in zip(treebank.offsets, treebank.offsets[1:])]),
        vectors=table,
        vector=vector,
    )


def _encode_forms(types: list[str], vocabulary: Vocabulary) -> Forms:
    singletons = set(vocabulary.singletons)
    chars = np.full((len(types) + 1, min(max(map(len, types)), MAX_CHARS)), -1, dtype=np.int64)
    chars[0, 0] = ROOT
    for i, form in enumerate(types, start=1):
        ids = [vocabulary.char_ids.get(char, UNKNOWN) for char in form[:MAX_CHARS]]
        chars[i, : len(ids)] = ids
    return Forms(
        words=np.array([ROOT] + [vocabulary.word_ids.get(normalise(form), UNKNOWN) for form in types]),
        chars=chars,
        is_singleton=np.array([False] + [normalise(form) in singletons for form in types]),
    )


def _with_root(values, offsets: np.ndarray, root: int) -> np.ndarray:
    return np.insert(np.asarray(values, dtype=np.int64), offsets[:-1], root)


def make_batch(encoded: EncodedTreebank, sentences: np.ndarray, device: torch.device | str = "cpu") -> Batch:
    """These sentences (int64, any order, repeats allowed) as one batch. O(tokens of the batch)."""
    sentences = sentences[np.argsort(-encoded.lengths[sentences], kind="stable")]
    packing = pack(encoded.lengths[sentences], device)
    positions = encoded.offsets[sentences][packing.sentence.cpu().numpy()] + packing.step.cpu().numpy()
    used, form = np.unique(encoded.form[positions], return_inverse=True)
    width = int((encoded.forms.chars[used] >= 0).sum(axis=1).max())
    rows, vector = np.unique(encoded.vector[positions], return_inverse=True)  # the first is the roots', -1
    vectors = None
    if encoded.vectors is not None:
        vectors = np.zeros((len(rows), encoded.vectors.shape[1]), np.float32)
        vectors[1:] = encoded.vectors[rows[1:]]

    def tensor(array: np.ndarray) -> Tensor:
        return torch.from_numpy(array).to(device, non_blocking=True)

    return Batch(
        sentences=sentences,
        packing=packing,
        form=tensor(form),
        upos=tensor(encoded.upos[positions]),
        heads=tensor(encoded.heads[positions]),
        relations=tensor(encoded.relations[positions]),
        words=tensor(encoded.forms.words[used]),
        chars=tensor(encoded.forms.chars[used, :width]),
        is_singleton=tensor(encoded.forms.is_singleton[used]),
        vectors=None if vectors is None else tensor(vectors),
        vector=tensor(vector),
    )


def decoding_batches(encoded: EncodedTreebank, runtime: Runtime, copies: int = 1) -> Iterator[np.ndarray]:
    """Every sentence once, in batches of like length, the longest first; `copies` of each must fit (`batches`)."""
    lengths = encoded.lengths
    for some in batches(lengths, runtime.max_tokens, copies, runtime.batch_size, runtime.max_arcs):
        yield some[np.argsort(-lengths[some], kind="stable")]
