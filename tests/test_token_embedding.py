"""Word, character and UPOS vectors: the convolutions against nn.Conv1d, unknown words, dropped tokens."""

import numpy as np
import pytest
import torch
from random_trees import random_treebank
from tiny_parsers import TINY, noise_of, strewn, tiny_parser, whole_batch
from torch.nn import functional as F

from bcrlib.parsers.encoder import CharacterCNN


@pytest.fixture
def treebank():
    return random_treebank(12, np.random.default_rng(0))


@pytest.fixture
def parser(treebank):
    return tiny_parser(treebank)


def random_chars(num_forms: int, longest: int, num_chars: int) -> torch.Tensor:
    """[form, character], -1 behind the end; one form has one character, one has the most."""
    rng = np.random.default_rng(0)
    lengths = rng.integers(1, longest + 1, num_forms)
    lengths[:2] = 1, longest
    chars = rng.integers(0, num_chars, (num_forms, longest))
    chars[np.arange(longest) >= lengths[:, None]] = -1
    return torch.from_numpy(chars)


def conv1d_twin(cnn: CharacterCNN, form: torch.Tensor, padding: int) -> torch.Tensor:
    """[position, size]: both convolutions by nn.Conv1d over one form and `padding` zero vectors behind it."""
    x = F.pad(cnn.embedding(form[form >= 0]), (0, 0, 0, padding)).T[None]
    for layer in (cnn.widen, cnn.narrow):
        # A window's three vectors stand side by side, a kernel of nn.Conv1d has the features first.
        kernel = layer.weight.unflatten(1, (3, -1)).transpose(1, 2)
        x = F.elu(F.conv1d(x, kernel, layer.bias, padding=1))
    return x[0].T


def assert_same_with_gradients(cnn: CharacterCNN, ours: torch.Tensor, expected: torch.Tensor) -> None:
    torch.testing.assert_close(ours, expected, atol=1e-6, rtol=1e-5)
    weights = torch.linspace(0, 3, ours.numel()).view_as(ours).sin()
    parameters = list(cnn.parameters())
    for a, b in zip(
        torch.autograd.grad((ours * weights).sum(), parameters),
        torch.autograd.grad((expected * weights).sum(), parameters),
    ):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(
    ("pool_padding", "longest", "padding"),
    [*((False, longest, 0) for longest in (1, 2, 9)), *((True, 9, n) for n in (4, 5, 20))],
)
def test_character_cnns_are_the_librarys_convolutions(pool_padding, longest, padding):
    """The clean one sees the word alone; the official one is the maximum over any padding."""
    cnn = strewn(CharacterCNN(12, 6, pool_padding))
    chars = random_chars(10, longest, 12)
    expected = torch.stack([conv1d_twin(cnn, form, padding).amax(dim=0) for form in chars])
    assert_same_with_gradients(cnn, cnn(chars), expected)


def test_official_character_cnn_sees_padding():
    official, clean = (strewn(CharacterCNN(12, 6, pool_padding)) for pool_padding in (True, False))
    chars = random_chars(10, 9, 12)
    assert ((official(chars) - clean(chars)).abs() > 0.1).any()


@pytest.mark.parametrize("pool_padding", [False, True])
def test_characters_do_not_depend_on_other_words(pool_padding):
    cnn = strewn(CharacterCNN(12, 6, pool_padding))
    chars = random_chars(10, 9, 12)
    together = cnn(chars)
    for form, expected in zip(chars, together):
        torch.testing.assert_close(cnn(form[form >= 0][None])[0], expected, atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(cnn(F.pad(chars, (0, 7), value=-1)), together, atol=1e-6, rtol=1e-5)


def tables_with_other_word(parser, batch, row: int):
    """Whether arcs change when the vector of one word of the vocabulary does."""
    with torch.no_grad():
        before = parser.tables(batch).arcs
        parser.network.encoder.embedding.words.weight[row] += 1
        return not torch.equal(parser.tables(batch).arcs, before)


@pytest.mark.parametrize(("preset", "is_used"), [("official", False), ("clean", True)])
def test_vectors_of_singletons_at_decoding_time(treebank, preset, is_used):
    once = treebank.forms.index("w8")
    treebank = treebank.with_trees(treebank.heads, treebank.relations)
    treebank.forms[once] = "once"
    parser = tiny_parser(treebank, preset=preset)
    batch = whole_batch(parser, treebank)
    singleton = parser.vocabulary.word_ids["once"]
    assert batch.is_singleton.sum() >= 1
    assert tables_with_other_word(parser, batch, singleton) is is_used
    assert tables_with_other_word(parser, batch, 0) is not is_used, "the unknown word stands in for it"


def unknown_share(parser, batch, training: bool) -> float:
    """Share of all tokens that get the vector of the unknown word."""
    with torch.no_grad():
        parser.network.encoder.embedding.words.weight.zero_()[0] = 1
        rows = parser.network.encoder.embedding(batch, noise_of(batch, 0.0), training)
    return (rows[:, : TINY.word_size] == 1).all(dim=1).float().mean().item()


@pytest.mark.parametrize(
    ("preset", "training", "share"),
    [("official", True, 1.0), ("official", False, 1.0), ("clean", True, 0.5), ("clean", False, 0.0)],
)
def test_how_often_a_singleton_is_unknown(preset, training, share):
    singles = random_treebank(300, np.random.default_rng(1))
    for i in range(singles.num_tokens):
        singles.forms[i] = "".join("abcdefghij"[int(digit)] for digit in str(i))
    parser = tiny_parser(singles, preset=preset)
    batch = whole_batch(parser, singles)
    num_words = singles.num_tokens
    expected = share * num_words / batch.packing.num_rows  # the root is never unknown
    assert unknown_share(parser, batch, training) == pytest.approx(expected, abs=0.05 if share == 0.5 else 1e-6)


def test_dropout_takes_whole_vectors_of_a_token(treebank, parser):
    batch = whole_batch(parser, treebank)
    with torch.no_grad():
        clean = parser.network.encoder.embedding(batch, None)
        noisy = parser.network.encoder.embedding(batch, noise_of(batch, 0.4))
    factors = []
    for part, noisy_part in zip(clean.split((8, 6, 4), dim=1), noisy.split((8, 6, 4), dim=1)):
        dropped = (noisy_part == 0).all(dim=1)
        torch.testing.assert_close(noisy_part[~dropped], part[~dropped] / 0.6)
        factors.append(dropped)
    assert all(0.2 < dropped.float().mean() < 0.6 for dropped in factors)
    assert not torch.equal(factors[0], factors[1]) and not torch.equal(factors[1], factors[2])
