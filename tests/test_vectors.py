"""Word vectors by form."""

import gzip

import numpy as np
import pytest
from safetensors.numpy import save_file
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

from bcrlib.data import download, vectors
from bcrlib.data.vectors import load_vectors, read_minilm_vectors, read_text_vectors

TEXT = "the 1 2 3\nThe 4 5 6\n1990 7 8 9\nnew york 0.5 -1e-2 3\n"


@pytest.fixture
def text_file(tmp_path):
    def write(content, name="v.txt"):
        path = tmp_path / name
        path.write_bytes(gzip.compress(content.encode()) if name.endswith(".gz") else content.encode())
        return path

    return write


@pytest.mark.parametrize("name", ["v.txt", "v.txt.gz"])
@pytest.mark.parametrize("header", ["", "4 3\n"])
def test_a_form_has_its_own_vector_else_that_of_its_lower_case_else_zero(text_file, header, name):
    table = read_text_vectors(text_file(header + TEXT, name))
    forms = ["the", "The", "THE", "1990", "1991", "new york", "york"]
    expected = [[1, 2, 3], [4, 5, 6], [1, 2, 3], [7, 8, 9], [0, 0, 0], [0.5, -0.01, 3], [0, 0, 0]]
    np.testing.assert_array_equal(table.lookup(forms), np.array(expected, np.float32), strict=True)
    assert table.covers(forms).tolist() == [True, True, True, True, False, True, False]
    assert (table.name, table.dim) == (name, 3)


def test_digits_count_as_zero_where_asked_for(text_file):
    table = read_text_vectors(text_file("A1 1 1\na2 2 2\nA3 3 3\n"), digits_to_zero=True)
    forms = ["A9", "a9", "A0", "A"]
    assert table.lookup(forms)[:, 0].tolist() == [3, 2, 3, 0]
    assert table.covers(forms).tolist() == [True, True, True, False]


def test_trailing_spaces_are_no_field(text_file):
    assert read_text_vectors(text_file("a 1 2 \nb 3 4 \n")).lookup(["b"]).tolist() == [[3, 4]]


@pytest.mark.parametrize(
    "content, message",
    [
        ("", ":1: no vectors"),
        ("2 3\n", ":1: no vectors"),
        ("word\n", ":1: a form and 0 numbers"),
        ("a 1 2\nb 1\n", ":2: a form and 1 numbers, expected 2"),
        ("2 2\na 1 2\nb 1 x\n", ":3: .*not all numbers"),
        ("a 1 2\nb 1 2 3 x\n", ":2: .*not all numbers"),
        ("a 1 nan\n", "not finite"),
    ],
)
def test_a_malformed_file_is_refused_with_its_line(text_file, content, message):
    with pytest.raises(ValueError, match=rf"v\.txt{message}|v\.txt: .*{message}"):
        read_text_vectors(text_file(content))


@pytest.fixture
def small_minilm(tmp_path):
    """A folder as MiniLM's, with six pieces of two dimensions."""
    pieces = {"[UNK]": 0, "dog": 1, "##s": 2, ".": 3, "cat": 4, "##x": 5}
    tokenizer = Tokenizer(models.WordPiece(pieces, unk_token="[UNK]"))
    tokenizer.normalizer, tokenizer.pre_tokenizer = normalizers.Lowercase(), pre_tokenizers.BertPreTokenizer()
    tokenizer.enable_truncation(2)
    tokenizer.enable_padding(length=4, pad_token="[UNK]")
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    table = np.array([[9, 9], [1, 0], [0, 1], [4, 4], [2, 2], [0, 5]], np.float32)
    save_file({vectors.WORD_PIECE_TABLE: table, "other": table[:1]}, tmp_path / "model.safetensors")
    return tmp_path


def test_a_form_is_the_mean_of_its_known_word_pieces(small_minilm):
    table = read_minilm_vectors(small_minilm)
    forms = ["Dog", "dogs", "dogsxs", "??", "dog.?", "", "cat"]
    expected = np.array([[1, 0], [0.5, 0.5], [0.25, 1.75], [0, 0], [2.5, 2], [0, 0], [2, 2]], np.float32)
    np.testing.assert_allclose(table.lookup(forms), expected, rtol=1e-6, strict=True)
    assert table.covers(forms).tolist() == [True, True, True, False, True, False, True]
    assert table.dim == 2


def test_a_form_does_not_depend_on_its_neighbours(small_minilm):
    table = read_minilm_vectors(small_minilm)
    forms = ["dogsxs", "cat", "?", "dogs."]
    together = table.lookup(forms)
    for form, vector in zip(forms, together):
        np.testing.assert_array_equal(table.lookup([form])[0], vector)


def test_no_forms_have_no_vectors(small_minilm, text_file):
    for table in (read_minilm_vectors(small_minilm), read_text_vectors(text_file(TEXT))):
        assert table.lookup([]).shape == (0, table.dim)
        assert table.covers([]).shape == (0,)


def test_vectors_by_name(monkeypatch, small_minilm, text_file):
    monkeypatch.setattr(vectors, "minilm_folder", lambda: small_minilm)
    assert load_vectors("none") is None
    assert load_vectors("minilm").name == "minilm"
    assert load_vectors(str(text_file(TEXT))).name == "v.txt"
    assert load_vectors(str(text_file(TEXT))).covers(["1991"]).tolist() == [False]
    assert load_vectors(str(text_file(TEXT)), digits_to_zero=True).covers(["1991"]).tolist() == [True]


def test_the_real_minilm_table():
    folder = download.cache_folder() / "minilm-l6"
    if not (folder / "model.safetensors").is_file():
        pytest.skip(f"no MiniLM in {folder}")
    table = read_minilm_vectors(folder)
    assert table.table.shape == (30522, 384)
    first, second, third = table.lookup(["Dogs", "dogs", "transmogrification"])
    np.testing.assert_array_equal(first, second)
    assert table.covers(["transmogrification", "\u2603\u2603"]).tolist() == [True, False]
    assert len(table.tokenizer.encode("transmogrification", add_special_tokens=False).ids) > 1
    assert np.abs(first - third).max() > 0.01
