"""Dropout masks: right rates, right scale, functions of the sentence's key alone, and no pattern in them."""

import numpy as np
import pytest
import torch
from scipy.stats import chisquare

from bcrlib.data.randomness import key
from bcrlib.data.treebank import Treebank
from bcrlib.parsers.batches import pack
from bcrlib.parsers.encoding import build_vocabulary, encode
from bcrlib.samplers.dropout_p import Noise, random_uint16

RATES = [0.05, 0.15, 0.33, 0.5]
LENGTHS = np.array([9, 9, 6, 4, 1])


def noise_of(keys: torch.Tensor, lengths: np.ndarray, p: float = 0.33) -> Noise:
    return Noise(keys, pack(lengths), p)


@pytest.fixture
def keys() -> torch.Tensor:
    """One key a sentence, as far apart as hashes are."""
    return torch.tensor([key("sentence", i) for i in range(len(LENGTHS))])


@pytest.fixture
def many() -> tuple[torch.Tensor, np.ndarray]:
    """Keys and lengths of 500 sentences."""
    return torch.tensor([key("many", i) for i in range(500)]), np.full(500, 40)


def split_mix(z: int) -> int:
    """The finaliser of SplitMix64 in whole numbers."""
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) % 2**64
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) % 2**64
    return z ^ (z >> 31)


def assert_share(hits: torch.Tensor, rate: float) -> None:
    """The share of hits is within five standard deviations of the rate."""
    deviation = (rate * (1 - rate) / hits.numel()) ** 0.5
    assert abs(hits.float().mean().item() - rate) < 5 * deviation + 1 / 65536


@pytest.mark.parametrize("width", [1, 3, 4, 9])
def test_numbers_are_split_mix_of_key_and_column(width):
    keys = [0, 1, 2**63 - 1, -(2**63), key("a"), -5]
    expected = []
    for k in keys:
        hashes = [split_mix((k + column * 0x9E3779B97F4A7C15) % 2**64) for column in range(1, 4)]
        expected.append([(h >> shift) & 0xFFFF for h in hashes for shift in (0, 16, 32, 48)][:width])
    assert random_uint16(torch.tensor(keys), width).tolist() == expected


@pytest.mark.parametrize("name", ["hashed keys", "consecutive keys"])
def test_numbers_are_uniform(name):
    keys = torch.tensor([key(i) for i in range(2000)]) if name == "hashed keys" else torch.arange(2000)
    numbers = random_uint16(keys, 200).numpy()
    assert numbers.min() >= 0 and numbers.max() <= 65535
    for part in (numbers >> 8, numbers & 0xFF, numbers[:, 0] >> 10, numbers[:, -1] >> 10):
        assert chisquare(np.unique(part, return_counts=True)[1]).pvalue > 1e-4
    assert len(np.unique(numbers >> 8)) == 256


@pytest.mark.parametrize("name", ["hashed keys", "consecutive keys"])
@pytest.mark.parametrize("axis", [0, 1])
def test_neighbours_are_independent(name, axis):
    keys = torch.tensor([key(i) for i in range(1000)]) if name == "hashed keys" else torch.arange(1000)
    cells = random_uint16(keys, 100).numpy() >> 13  # eight values
    first, second = (cells[:-1], cells[1:]) if axis == 0 else (cells[:, :-1], cells[:, 1:])
    pairs = np.bincount((8 * first + second).ravel(), minlength=64)
    assert chisquare(pairs).pvalue > 1e-4


@pytest.mark.parametrize("p", RATES)
def test_rates_and_scale(many, p):
    noise = noise_of(*many, p)
    per_sentence, per_token = noise.per_sentence("a", 400), noise.per_token("b")
    assert per_sentence.shape == (500, 400) and per_token.shape == (500 * 40, 1)
    for mask in (per_sentence, per_token):
        assert_share(mask == 0, p)
        torch.testing.assert_close(mask.unique(), torch.tensor([0, 1 / (1 - p)]))
    assert_share(noise.tokens_hit("c", p), p)


def test_the_rate_of_tokens_hit_is_its_own(many):
    noise = noise_of(*many, 0.1)
    assert_share(noise.tokens_hit("a", 0.5), 0.5)
    assert not noise.tokens_hit("a", 0.0).any() and noise.tokens_hit("a", 1.0).all()


def test_without_dropout_nothing_is_dropped_or_scaled(keys):
    noise = noise_of(keys, LENGTHS, 0.0)
    assert torch.equal(noise.per_sentence("a", 7), torch.ones(5, 7))
    assert torch.equal(noise.per_token("a"), torch.ones(int(LENGTHS.sum()), 1))


def test_masks_do_not_depend_on_the_batch(keys):
    whole = noise_of(keys, LENGTHS)
    rows_of = [(whole.packing.sentence == b).nonzero().squeeze(1) for b in range(len(LENGTHS))]
    for chosen in ([0], [4], [1, 3], [1, 0, 2], [0, 1, 2, 3, 4]):  # the first two are equally long
        part = noise_of(keys[chosen], LENGTHS[chosen])
        assert torch.equal(part.per_sentence("s", 11), whole.per_sentence("s", 11)[chosen])
        for b, sentence in enumerate(chosen):
            rows = (part.packing.sentence == b).nonzero().squeeze(1)
            assert torch.equal(part.per_token("t")[rows], whole.per_token("t")[rows_of[sentence]])
            hit = part.tokens_hit("u", 0.5)[rows]
            assert torch.equal(hit, whole.tokens_hit("u", 0.5)[rows_of[sentence]])


def test_a_narrow_mask_is_the_beginning_of_a_wide_one(keys):
    noise = noise_of(keys, LENGTHS)
    assert torch.equal(noise.per_sentence("s", 50)[:, :13], noise.per_sentence("s", 13))


def test_masks_do_not_depend_on_what_was_drawn_before(keys):
    noise = noise_of(keys, LENGTHS)
    before = noise.per_sentence("s", 20)
    torch.manual_seed(0)
    torch.rand(3), noise.per_token("t"), noise.per_sentence("other", 20)
    assert torch.equal(noise.per_sentence("s", 20), before)


@pytest.mark.parametrize(
    "draw",
    [
        lambda noise, site: noise.per_sentence(site, 40) == 0,
        lambda noise, site: noise.per_token(site) == 0,
        lambda noise, site: noise.tokens_hit(site, noise.p),
    ],
    ids=["per_sentence", "per_token", "tokens_hit"],
)
def test_sites_are_independent(many, draw):
    noise = noise_of(*many, 0.5)
    drawn = [draw(noise, site) for site in ("word", "char", "lstm0.input", "lstm0.hidden")]
    for i, first in enumerate(drawn):
        for second in drawn[:i]:
            assert_share(first & second, 0.25)


def test_tokens_and_sentences_are_independent(many):
    noise = noise_of(*many, 0.5)
    hit = noise.tokens_hit("a", 0.5).view(40, 500)  # all are equally long: step by step
    assert_share(hit[1:] & hit[:-1], 0.25)
    assert_share(hit[:, 1:] & hit[:, :-1], 0.25)


def test_the_same_words_have_the_same_key():
    sentences = [["a", "b"], ["a", "b", "c"], ["ab"], ["a", "b"], ["b", "a"], ["A", "b"]]
    forms = [form for sentence in sentences for form in sentence]
    treebank = Treebank(
        forms=forms,
        upos=[f"T{i % 3}" for i in range(len(forms))],
        heads=np.array([h for s in sentences for h in range(len(s))], dtype=np.int32),
        relations=["dep"] * len(forms),
        offsets=np.cumsum([0, *map(len, sentences)]),
    )
    encoded = encode(treebank, build_vocabulary(treebank), None)
    assert encoded.keys[0] == encoded.keys[3], "the same words under other tags"
    assert len(set(encoded.keys.tolist())) == 5
    noise = noise_of(torch.from_numpy(encoded.keys[[0, 3]]), np.array([3, 3]))
    assert torch.equal(*noise.per_sentence("s", 64))
    alone = encode(treebank.select(np.array([4, 3])), build_vocabulary(treebank), None)
    assert alone.keys.tolist() == encoded.keys[[4, 3]].tolist()
