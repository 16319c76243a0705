"""Alphabets, a treebank in numbers, and batches of it."""

import json

import numpy as np
import pytest
from random_trees import treebank_of

from bcrlib.data.treebank import Treebank, read_conllu
from bcrlib.parsers.batches import Runtime
from bcrlib.parsers.encoding import (
    MAX_CHARS,
    NUM_SPECIAL,
    ROOT,
    UNKNOWN,
    EncodedTreebank,
    Vocabulary,
    build_vocabulary,
    decoding_batches,
    encode,
    make_batch,
    normalise,
)

TRAIN = [
    [("The", "DET", 2, "det"), ("cat", "NOUN", 3, "nsubj"), ("sleeps", "VERB", 0, "root")],
    [("cat", "NOUN", 0, "root"), ("24", "NUM", 1, "nummod"), ("17", "NUM", 1, "nummod")],
    [("sleeps", "VERB", 0, "root"), ("cat", "NOUN", 1, "nsubj"), ("2x", "X", 1, "dep"), ("!", "PUNCT", 1, "punct")],
]
OTHER = [
    [("Cat", "NOUN", 2, "nsubj"), ("sleeps", "AUX", 0, "root"), ("99", "NUM", 2, "nsubj:pass")],
    [("é" + "a" * 60, "SYM", 0, "root")],
]


def encoded_lengths(lengths: np.ndarray) -> EncodedTreebank:
    """A treebank whose sentences have these lengths, the root included."""
    sentences = [[("w", "X", max(i, 0), "dep") for i in range(length - 1)] for length in lengths]
    treebank = treebank_of(*sentences)
    return encode(treebank, build_vocabulary(treebank), None)


@pytest.fixture
def train() -> Treebank:
    return treebank_of(*TRAIN)


@pytest.fixture
def vocabulary(train) -> Vocabulary:
    return build_vocabulary(train)


class InitialVectors:
    """Word vectors of two numbers: the code of the first character and the length."""

    name, dim = "initials", 2

    def lookup(self, forms):
        return np.array([[ord(form[0]), len(form)] for form in forms], dtype=np.float32)

    def covers(self, forms):
        return np.ones(len(forms), dtype=bool)


def test_alphabets(vocabulary):
    assert vocabulary.words == ("cat", "sleeps", "00", "The", "0x", "!"), "by decreasing count, then by first sight"
    assert vocabulary.singletons == ("The", "0x", "!"), "24 and 17 are one word"
    assert vocabulary.chars == tuple("Thecatslp2417x!")
    assert vocabulary.upos == ("DET", "NOUN", "VERB", "NUM", "X", "PUNCT")
    assert vocabulary.relations == ("det", "nsubj", "root", "nummod", "dep", "punct")


def test_ids_leave_room_for_the_special_symbols(vocabulary):
    assert {UNKNOWN, ROOT} == set(range(NUM_SPECIAL))
    for ids, symbols in (
        (vocabulary.word_ids, vocabulary.words),
        (vocabulary.char_ids, vocabulary.chars),
        (vocabulary.upos_ids, vocabulary.upos),
    ):
        assert list(ids.items()) == [(symbol, NUM_SPECIAL + i) for i, symbol in enumerate(symbols)]
    assert list(vocabulary.relation_ids.values()) == list(range(6)), "a parser predicts no special relation"


def test_vocabulary_survives_json(vocabulary):
    assert Vocabulary.from_json(json.loads(json.dumps(vocabulary.to_json()))) == vocabulary


def test_normalise_zeroes_ascii_digits_only():
    assert normalise("A1b290") == "A0b000"
    assert normalise("x²٣") == "x²٣"


def test_known_words(train, vocabulary):
    encoded = encode(train, vocabulary, None)
    assert encoded.offsets.tolist() == [0, 4, 8, 13] and encoded.lengths.tolist() == [4, 4, 5]
    words = encoded.forms.words[encoded.form]
    ids = vocabulary.word_ids
    expected = [ROOT, ids["The"], ids["cat"], ids["sleeps"], ROOT, ids["cat"], ids["00"], ids["00"]]
    assert words[:8].tolist() == expected
    assert encoded.upos[:4].tolist() == [ROOT, *(vocabulary.upos_ids[t] for t in ("DET", "NOUN", "VERB"))]
    assert encoded.heads.tolist() == [0, 2, 3, 0, 0, 0, 1, 1, 0, 0, 1, 1, 1]
    assert encoded.relations[:4].tolist() == [-1, 0, 1, 2]
    singleton = encoded.forms.is_singleton[encoded.form]
    assert singleton.tolist() == [False, True, *[False] * 9, True, True]


def test_one_row_a_type(train, vocabulary):
    encoded = encode(train, vocabulary, None)
    assert encoded.forms.words.shape == (1 + len(set(train.forms)),)
    assert encoded.form[6] != encoded.form[7], "24 and 17 are one word, but not one form"
    assert encoded.forms.words[encoded.form[6]] == encoded.forms.words[encoded.form[7]]
    assert encoded.form[2] == encoded.form[5] == encoded.form[10]


def test_unknown_words_tags_and_relations(vocabulary):
    encoded = encode(treebank_of(*OTHER), vocabulary, None)
    words = encoded.forms.words[encoded.form]
    ids = vocabulary.word_ids
    assert words.tolist() == [ROOT, UNKNOWN, ids["sleeps"], ids["00"], ROOT, UNKNOWN], "case matters, digits do not"
    assert encoded.upos.tolist() == [ROOT, vocabulary.upos_ids["NOUN"], UNKNOWN, vocabulary.upos_ids["NUM"], ROOT, 0]
    relation = vocabulary.relation_ids
    assert encoded.relations.tolist() == [-1, relation["nsubj"], relation["root"], -1, -1, relation["root"]]
    assert not encoded.forms.is_singleton[encoded.form].any(), "a word never seen is no singleton"


def test_characters(vocabulary):
    encoded = encode(treebank_of(*OTHER), vocabulary, None)
    chars = encoded.forms.chars[encoded.form]
    ids = vocabulary.char_ids
    assert chars.shape == (6, MAX_CHARS) and MAX_CHARS == 45
    assert chars[0].tolist() == [ROOT] + [-1] * 44
    assert chars[1].tolist() == [UNKNOWN, ids["a"], ids["t"]] + [-1] * 42, "C was never seen, c was"
    assert chars[3].tolist() == [UNKNOWN, UNKNOWN] + [-1] * 43, "characters are those of the form, not of the word"
    assert chars[5].tolist() == [UNKNOWN] + [ids["a"]] * 44, "what is behind the 45th is cut"


def test_vectors_by_type(train, vocabulary):
    encoded = encode(train, vocabulary, InitialVectors())
    assert encoded.vectors.dtype == np.float32
    assert encoded.vector[0] == -1, "the root has none"
    assert encoded.vectors[encoded.vector[1:4]].tolist() == [[ord("T"), 3], [ord("c"), 3], [ord("s"), 6]]
    assert encode(train, vocabulary, None).vectors is None


@pytest.mark.parametrize("sentences", [[0, 1, 2], [2], [1, 2, 2, 0]])
def test_a_batch_holds_its_sentences(train, vocabulary, sentences):
    encoded = encode(train, vocabulary, InitialVectors())
    batch = make_batch(encoded, np.array(sentences))
    lengths = encoded.lengths[batch.sentences]
    assert sorted(batch.sentences.tolist()) == sorted(sentences)
    assert batch.packing.lengths.tolist() == lengths.tolist() == sorted(lengths.tolist(), reverse=True)
    forms = batch.form.numpy()
    for row in range(batch.packing.num_rows):
        at = encoded.offsets[batch.sentences[batch.packing.sentence[row]]] + batch.packing.step[row].item()
        form = encoded.form[at]
        for name in ("upos", "heads", "relations"):
            assert getattr(batch, name)[row] == getattr(encoded, name)[at]
        assert batch.words[forms[row]] == encoded.forms.words[form]
        assert batch.is_singleton[forms[row]] == encoded.forms.is_singleton[form]
        vector = encoded.vectors[encoded.vector[at]].tolist() if batch.packing.step[row] else [0, 0]
        assert batch.vectors[batch.vector[row]].tolist() == vector
        chars = batch.chars[forms[row]].tolist()
        expected = encoded.forms.chars[form].tolist()
        assert chars == expected[: len(chars)] and set(expected[len(chars) :]) <= {-1}
    assert len(batch.words) == len(set(forms.tolist())), "each type of the batch once, and no other"
    assert (batch.chars >= 0).any(dim=0).all(), "no wider than the longest form"


def test_equally_long_sentences_keep_their_order(train, vocabulary):
    encoded = encode(train, vocabulary, None)
    assert make_batch(encoded, np.array([1, 0, 2])).sentences.tolist() == [2, 1, 0]


@pytest.mark.parametrize(("max_tokens", "copies", "max_arcs"), [(60, 1, 10_000), (60, 3, 10_000), (10_000, 2, 900)])
def test_decoding_batches_keep_their_budgets(max_tokens, copies, max_arcs):
    lengths = np.random.default_rng(0).integers(2, 30, 200)
    encoded = encoded_lengths(lengths)
    batches = list(decoding_batches(encoded, Runtime(max_tokens=max_tokens, max_arcs=max_arcs), copies))
    assert sorted(np.concatenate(batches)) == list(range(200))
    assert all((np.diff(lengths[batch]) <= 0).all() for batch in batches), "the longest first"
    by_length = lengths[np.concatenate([batch[::-1] for batch in batches])]
    assert (np.diff(by_length) >= 0).all(), "alike lengths together"
    num_alone = 0
    for batch, after in zip(batches, [*batches[1:], None]):
        longest = lengths[batch].max()
        fits = longest * len(batch) * copies <= max_tokens and longest**2 * len(batch) * copies <= max_arcs
        assert fits or len(batch) == 1
        num_alone += not fits
        if after is not None:  # one more would not have fitted
            longest, count = lengths[after].min(), (len(batch) + 1) * copies
            assert longest * count > max_tokens or longest**2 * count > max_arcs
    assert (num_alone > 0) == (copies == 3 or max_arcs == 900), "the case of a sentence over the budget is tested"


@pytest.mark.corpus
def test_ewt_alphabets(ewt):
    train = read_conllu(ewt("train"))
    vocabulary = build_vocabulary(train)
    assert (len(vocabulary.relations), len(vocabulary.upos)) == (49, 17)
    singleton = encode(train, vocabulary, None)
    share = singleton.forms.is_singleton[singleton.form].sum() / train.num_tokens
    assert share == pytest.approx(0.045, abs=5e-4), "4.5 % of the tokens, as with the authors"
