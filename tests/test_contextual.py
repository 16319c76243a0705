"""Contextual vectors against the library's encoder, one sentence at a time."""

import numpy as np
import pytest
import torch
from random_trees import treebank_of
from test_encoding import TRAIN
from tiny_encoders import real_minilm
from transformers import AutoModel

from bcrlib.data.vectors import CONTEXTUAL, Contextual
from bcrlib.parsers import pieces
from bcrlib.parsers.encoding import build_vocabulary, encode, make_batch
from bcrlib.parsers.pieces import ContextualVectors, forget
from bcrlib.parsers.pretrained import MINILM

SENTENCES = [("The", "unparseable", "cat", "sleeps"), ("A",), ("Don't", "zzxqj", "!", "\x07", "Dr.-Ing.")]
FORMS, OFFSETS = [word for words in SENTENCES for word in words], np.array([0, 4, 5, 10])


@pytest.fixture
def minilm(tmp_path, monkeypatch) -> ContextualVectors:
    real_minilm()
    monkeypatch.setattr(pieces, "cache_folder", lambda: tmp_path)
    monkeypatch.setattr(pieces, "_LAST", {})
    return ContextualVectors("minilm-context")


def plain_vectors(vectors: ContextualVectors, words: tuple[str, ...]) -> np.ndarray:
    """The same by the library's own attention: a sentence at a time, a word at a time."""
    _, tokenizer = vectors._encoder
    network = AutoModel.from_pretrained(real_minilm(), config=MINILM, attn_implementation="eager").eval()
    encoding = tokenizer.encode(list(words), is_pretokenized=True)
    with torch.no_grad():
        states = network(torch.tensor([encoding.ids]), output_hidden_states=True).hidden_states
    mean = sum(states[layer][0] for layer in CONTEXTUAL["minilm-context"].layers) / 3
    of_word = [[i for i, word in enumerate(encoding.word_ids) if word == number] for number in range(len(words))]
    return np.stack([mean[rows].mean(dim=0).numpy() for rows in of_word])


def test_a_vector_is_the_mean_of_its_words_pieces_and_of_the_layers(minilm):
    found = minilm.of_tokens(FORMS[:5], OFFSETS[:3])
    assert found.dtype == np.float16 and found.shape == (5, minilm.dim)
    expected = np.concatenate([plain_vectors(minilm, words) for words in SENTENCES[:2]])
    np.testing.assert_allclose(found.astype(np.float32), expected, atol=2e-3)


def test_every_word_has_a_vector_of_its_sentence(minilm):
    found = minilm.of_tokens(["bank", "river", "bank", "money"], np.array([0, 2, 4]))
    assert np.abs(found[0] - found[2]).max() > 0.1
    assert np.isfinite(minilm.of_tokens(FORMS, OFFSETS)).all()


def test_a_sentence_has_the_same_vectors_alone_and_among_others(minilm):
    together = minilm.of_tokens(FORMS, OFFSETS)
    alone = [minilm.of_tokens(words, np.array([0, len(words)])) for words in SENTENCES]
    np.testing.assert_allclose(together.astype(np.float32), np.concatenate(alone).astype(np.float32), atol=2e-3)


def test_long_sentences_are_read_in_windows_between_words(minilm, monkeypatch):
    monkeypatch.setattr(pieces, "WINDOW", 4)
    words = ("The", "cat", "sleeps", "on", "the", "mat", "antidisestablishmentarianism")
    found = minilm.of_tokens(words, np.array([0, 7]))
    first, second = minilm.of_tokens(words[:4], np.array([0, 4])), minilm.of_tokens(words[4:6], np.array([0, 2]))
    np.testing.assert_allclose(found[:4].astype(np.float32), first.astype(np.float32), atol=2e-3)
    np.testing.assert_allclose(found[4:6].astype(np.float32), second.astype(np.float32), atol=2e-3)
    assert np.isfinite(found[6]).all(), "a word longer than a window is read as far as the window goes"


def test_the_vectors_of_a_corpus_are_kept(minilm, tmp_path, monkeypatch):
    monkeypatch.setattr(pieces, "KEPT_FROM", 2)
    computed = np.array(minilm.of_tokens(FORMS, OFFSETS))
    (kept,) = (tmp_path / "contextual").glob("*.npy")
    monkeypatch.setattr(ContextualVectors, "_computed", None)
    assert (minilm.of_tokens(FORMS, OFFSETS) == computed).all()
    with pytest.raises(TypeError):  # other words: not what is kept
        minilm.of_tokens([*FORMS[:-1], "other"], OFFSETS)
    with pytest.raises(TypeError):  # the same words cut into other sentences
        minilm.of_tokens(FORMS, np.array([0, 3, 5, 10]))
    monkeypatch.setitem(CONTEXTUAL, "minilm-context", Contextual("minilm", 384, (1, 2)))
    with pytest.raises(TypeError):  # other layers
        ContextualVectors("minilm-context").of_tokens(FORMS, OFFSETS)
    assert [*(tmp_path / "contextual").iterdir()] == [kept]


def test_a_batch_has_the_vectors_of_its_tokens(minilm):
    train = treebank_of(*TRAIN)
    encoded = encode(train, build_vocabulary(train), minilm)
    of_tokens = minilm.of_tokens(train.forms, train.offsets).astype(np.float32)
    batch = make_batch(encoded, np.array([2, 0, 2]))
    for row in range(batch.packing.num_rows):
        step = batch.packing.step[row].item()
        token = train.offsets[batch.sentences[batch.packing.sentence[row]]] + step - 1
        expected = of_tokens[token] if step else np.zeros(minilm.dim)
        assert (batch.vectors[batch.vector[row]].numpy() == expected).all()


def test_the_last_short_text_is_kept_until_it_is_forgotten(minilm, monkeypatch):
    computed = minilm.of_tokens(FORMS, OFFSETS)
    monkeypatch.setattr(ContextualVectors, "_computed", None)
    assert ContextualVectors("minilm-context").of_tokens(FORMS, OFFSETS) is computed, "of another parser too"
    forget()
    with pytest.raises(TypeError):
        minilm.of_tokens(FORMS, OFFSETS)
