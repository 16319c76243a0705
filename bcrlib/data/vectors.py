"""Pretrained word vectors: text files (sskip, GloVe, word2vec), MiniLM's table of pieces, names of contextual ones.

A static vector is the same wherever the word stands. Those that depend on the sentence are the business of
`bcrlib.parsers.pieces`.
"""

import gzip
import re
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from jaxtyping import Bool, Float32, Int64
from safetensors import safe_open
from tokenizers import Tokenizer

from bcrlib.data.download import minilm_folder

WORD_PIECE_TABLE = "embeddings.word_embeddings.weight"
DIGIT = re.compile(r"\d")
HEADER = re.compile(r"\d+ \d+\s*")


@dataclass(frozen=True)
class Contextual:
    """Vectors that are hidden states of an encoder."""

    encoder: str
    dim: int
    layers: tuple[int, ...]
    """Their mean is taken; layer 1 is the first above the table of pieces."""


CONTEXTUAL = {
    "minilm-context": Contextual("minilm", 384, (2, 3, 4)),
    "mpnet-context": Contextual("mpnet", 768, (5, 6, 7)),
}
"""Middle layers know most of syntax (Tenney et al. 2019); MiniLM's were compared on a part of EWT."""


class WordVectors(Protocol):
    """Static vectors by form; a form without one has the zero vector."""

    @property
    def name(self) -> str:
        """What a table of results calls them."""

    @property
    def dim(self) -> int:
        """Length of a vector."""

    def lookup(self, forms: Sequence[str]) -> Float32[np.ndarray, "form dim"]:
        """The vector of each form, zero where it has none."""

    def covers(self, forms: Sequence[str]) -> Bool[np.ndarray, "form"]:
        """Whether each form has a vector."""


@dataclass(frozen=True, eq=False)
class TextVectors:
    """Vectors of a text file; a form has that of itself or else of its lower-cased self."""

    name: str
    table: Float32[np.ndarray, "row dim"]  # the last row is the zero vector
    row_of_form: dict[str, int]
    digits_to_zero: bool  # every digit of a form counts as 0, in the file and in look-ups

    @property
    def dim(self) -> int:
        """Length of a vector."""
        return self.table.shape[1]

    def lookup(self, forms: Sequence[str]) -> Float32[np.ndarray, "form dim"]:
        """The vector of each form, zero where it has none.  O(forms dim)."""
        return self.table[self._rows(forms)]

    def covers(self, forms: Sequence[str]) -> Bool[np.ndarray, "form"]:
        """Whether each form has a vector, as itself or lower-cased.  O(forms)."""
        return self._rows(forms) < len(self.table) - 1

    def _rows(self, forms: Sequence[str]) -> Int64[np.ndarray, "form"]:
        if self.digits_to_zero:
            forms = [DIGIT.sub("0", form) for form in forms]
        nowhere, row_of_form = len(self.table) - 1, self.row_of_form
        rows = (row_of_form.get(form, row_of_form.get(form.lower(), nowhere)) for form in forms)
        return np.fromiter(rows, np.int64, len(forms))


@dataclass(frozen=True, eq=False)
class MiniLMVectors:
    """The input table of MiniLM-L6, without its encoder: a form is the mean of its word pieces' rows.

    The tokenizer lower-cases.  Pieces unknown to it do not count, so that a form has a vector unless all its
    pieces are unknown.
    """

    name: str
    table: Float32[np.ndarray, "piece dim"]
    tokenizer: Tokenizer

    @property
    def dim(self) -> int:
        """Length of a vector."""
        return self.table.shape[1]

    def lookup(self, forms: Sequence[str]) -> Float32[np.ndarray, "form dim"]:
        """The vector of each form, zero where it has none.  O(pieces dim)."""
        pieces, form_of_piece, num_pieces = self._pieces(forms)
        sums = np.zeros((len(forms), self.dim), np.float32)
        np.add.at(sums, form_of_piece, self.table[pieces])
        return sums / np.maximum(num_pieces, 1)[:, None].astype(np.float32)

    def covers(self, forms: Sequence[str]) -> Bool[np.ndarray, "form"]:
        """Whether each form has a known word piece.  O(characters)."""
        return self._pieces(forms)[2] > 0

    def _pieces(
        self, forms: Sequence[str]
    ) -> tuple[Int64[np.ndarray, "piece"], Int64[np.ndarray, "piece"], Int64[np.ndarray, "form"]]:
        """Known pieces of all forms in a row, the form of each, and how many each form has."""
        unknown = self.tokenizer.token_to_id("[UNK]")
        encodings = self.tokenizer.encode_batch(list(forms), add_special_tokens=False)
        known = [[piece for piece in encoding.ids if piece != unknown] for encoding in encodings]
        num_pieces = np.fromiter(map(len, known), np.int64, len(known))
        form_of_piece = np.repeat(np.arange(len(known)), num_pieces)
        return np.array([piece for ids in known for piece in ids], np.int64), form_of_piece, num_pieces


def load_vectors(name_or_path: str, digits_to_zero: bool = False) -> WordVectors | None:
    """Vectors by name: "none" (None), "minilm", or the path of a text file.

    digits_to_zero concerns text files alone; the authors' code sets it.  Raises as read_text_vectors and
    minilm_folder do.
    """
    if name_or_path == "none":
        return None
    if name_or_path == "minilm":
        return read_minilm_vectors(minilm_folder())
    return read_text_vectors(name_or_path, digits_to_zero)


def read_minilm_vectors(folder: str | Path) -> MiniLMVectors:
    """The table of word pieces (30,522 x 384) in a folder such as minilm_folder().  O(table)."""
    tokenizer = Tokenizer.from_file(str(Path(folder) / "tokenizer.json"))
    tokenizer.no_padding()  # the file asks for 128 pieces whatever the form
    tokenizer.no_truncation()
    with safe_open(Path(folder) / "model.safetensors", framework="numpy") as tensors:
        return MiniLMVectors("minilm", tensors.get_tensor(WORD_PIECE_TABLE), tokenizer)


def read_text_vectors(path: str | Path, digits_to_zero: bool = False) -> TextVectors:
    """Vectors of a text file, one a line: form, then numbers, between spaces; .gz is unpacked.

    A first line of two integers is a header and skipped.  With digits_to_zero each digit of a form becomes 0;
    of several lines for one form the last one counts, as in the authors' code.  Raises ValueError
    "FILE:LINE: fault" for a malformed file, OSError for one that cannot be read.  O(bytes).
    """
    row_of_form: dict[str, int] = {}
    values = array("f")
    dim = 0
    for row, (number, line) in enumerate(_vector_lines(Path(path))):
        form, *numbers = line.rsplit(" ", dim) if dim else line.split(" ")
        dim = dim or len(numbers)
        if len(numbers) != dim or not dim:
            raise ValueError(f"{path}:{number}: a form and {len(numbers)} numbers, expected {max(dim, 1)}")
        try:
            values.extend(map(float, numbers))
        except ValueError:
            raise ValueError(f"{path}:{number}: the last {dim} fields are not all numbers") from None
        row_of_form[DIGIT.sub("0", form) if digits_to_zero else form] = row
    if not values:
        raise ValueError(f"{path}:1: no vectors in this file")
    table = np.append(np.frombuffer(values, np.float32), np.zeros(dim, np.float32)).reshape(-1, dim)
    if not np.isfinite(table).all():
        raise ValueError(f"{path}: some numbers are not finite")
    return TextVectors(Path(path).name, table, row_of_form, digits_to_zero)


def _vector_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Numbered lines without the header."""
    opener = gzip.open if path.suffix == ".gz" else open
    # public files hold broken UTF-8 in rare forms, which then match no word
    with opener(path, "rt", encoding="utf-8", errors="replace", newline="\n") as file:
        for number, line in enumerate(file, start=1):
            if number > 1 or not HEADER.fullmatch(line):
                yield number, line.rstrip()
