"""Dropout that can be told what to drop: its random numbers, its masks wherever they are read, and that of training."""

import itertools
from collections.abc import Callable

import numpy as np
import pytest
import torch
from random_trees import treebank_of
from scipy.stats import chisquare
from torch import Tensor, nn

from bcrlib.data.randomness import key
from bcrlib.parsers.batches import pack
from bcrlib.parsers.encoding import build_vocabulary, encode
from bcrlib.parsers.s2s import thinned
from bcrlib.samplers.dropout_p import Noise, Rates, SiteDropout, Switch, Thinning, dropout, random_uint16, set_rates

STEPS, HEADS = 5, 4
Draw = Callable[[Tensor, str, int, float], Tensor]
"""Masks [row, ..., width] of keys [row], the name of a site, a width and a rate; 0 is dropped."""


def of_noise(keys: Tensor, p: float) -> Noise:
    """For sentences of STEPS tokens."""
    return Noise(keys, pack(np.full(len(keys), STEPS)), p)


def hits(keys: Tensor, site: str, width: int, p: float) -> Tensor:
    """Tokens that something happens to, as if they were dropped; its rate is not that of the noise."""
    hit = of_noise(keys, 0.2).tokens_hit(site, p).view(STEPS, -1).T
    return torch.where(hit, 0.0, 1 / (1 - p))


def features(keys: Tensor, site: str, width: int, p: float, per_step: bool = False) -> Tensor:
    return Thinning(keys, p, 0.1, per_step).features(site, torch.ones(len(keys), STEPS, width), 0)


def attention(keys: Tensor, site: str, width: int, p: float, per_step: bool = False) -> Tensor:
    return Thinning(keys, 0.1, p, per_step).attention(site, torch.ones(len(keys), HEADS, STEPS, width), 0)


DRAWS: dict[str, Draw] = {
    "per sentence": lambda keys, site, width, p: of_noise(keys, p).per_sentence(site, width),
    "per token": lambda keys, site, width, p: of_noise(keys, p).per_token(site).view(STEPS, -1).T,
    "tokens hit": hits,
    "features": features,
    "attention": attention,
    "features per step": lambda *of: features(*of, per_step=True),
    "attention per step": lambda *of: attention(*of, per_step=True),
}
EACH = pytest.mark.parametrize("draw", DRAWS.values(), ids=DRAWS)


def keys_of(count: int) -> Tensor:
    """As far apart as hashes are."""
    return torch.tensor([key("row", i) for i in range(count)])


@pytest.fixture
def site() -> SiteDropout:
    return SiteDropout("a", Switch())


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


@EACH
@pytest.mark.parametrize("p", [0.05, 0.15, 0.33, 0.5])
def test_rates_and_scale(draw, p):
    mask = draw(keys_of(2000), "a", 60, p)
    assert_share(mask == 0, p)
    torch.testing.assert_close(mask.unique(), torch.tensor([0, 1 / (1 - p)]))
    assert (draw(keys_of(3), "a", 7, 0.0) == 1).all()


@EACH
def test_a_row_has_the_same_masks_alone_and_in_any_batch_whatever_was_drawn_before(draw):
    whole = draw(keys_of(5), "a", 30, 0.3)
    for chosen in ([0], [4], [3, 1], [2, 2, 0, 4, 1]):
        torch.manual_seed(0)
        torch.rand(3), draw(keys_of(2), "b", 20, 0.3)
        assert torch.equal(draw(keys_of(5)[chosen], "a", 30, 0.3), whole[chosen])


@pytest.mark.parametrize("name", [name for name in DRAWS if "token" not in name])
def test_a_narrow_mask_is_the_beginning_of_a_wide_one(name):
    """Decoding step by step sees one more position each time."""
    wide, narrow = (DRAWS[name](keys_of(3), "a", width, 0.3) for width in (50, 13))
    assert torch.equal(narrow, wide[..., :13])


@EACH
def test_sites_and_neighbours_on_every_axis_are_independent(draw):
    masks = [draw(keys_of(1000), name, 40, 0.5) == 0 for name in ("a", "b", "decoder.0", "decoder.1")]
    pairs = [(first, second) for i, first in enumerate(masks) for second in masks[:i]]
    for axis in range(masks[0].dim()):
        if (size := masks[0].shape[axis]) > 1:
            pairs.append((masks[0].narrow(axis, 1, size - 1), masks[0].narrow(axis, 0, size - 1)))
    for first, second in pairs:
        assert_share(first & second, 0.25)


def test_masks_are_made_of_the_rows_key_and_the_sites_name():
    """Of packed rows by a sum that is mixed, of transformers by the two alone."""
    threshold, keys = round(0.3 * 65536), keys_of(2).tolist()
    mixed = [split_mix((k + key("a")) % 2**64) for k in keys]
    signed = [number - 2**64 * (number >= 2**63) for number in mixed]
    kept = random_uint16(torch.tensor(signed), 9) >= threshold
    assert torch.equal(of_noise(keys_of(2), 0.3).per_sentence("a", 9) > 0, kept)
    kept = random_uint16(torch.tensor([k ^ key("a") for k in keys]), 9) >= threshold
    assert torch.equal(features(keys_of(2), "a", 9, 0.3)[:, 0] > 0, kept)


def test_a_fixed_mask_is_the_same_at_all_positions_and_steps():
    thinning = Thinning(keys_of(3), 0.3, 0.5)
    of_all, weights = features(keys_of(3), "a", 9, 0.3), attention(keys_of(3), "a", 9, 0.5)
    assert of_all.shape == (3, 1, 9) and weights.shape == (3, HEADS, 1, 9)
    assert torch.equal(thinning.features("a", torch.ones(3, 1, 9), 4), of_all)
    assert torch.equal(thinning.attention("a", torch.ones(3, HEADS, 1, 9), 3), weights)


def test_a_mask_per_step_depends_on_the_position_alone():
    """Whether a target is read at once or token by token."""
    thinning = Thinning(keys_of(3), 0.3, 0.5, per_step=True)
    of_all, weights = features(keys_of(3), "a", 40, 0.3, True), attention(keys_of(3), "a", 40, 0.5, True)
    for step in range(STEPS):
        assert torch.equal(thinning.features("a", torch.ones(3, 1, 40), step), of_all[:, step : step + 1])
        assert torch.equal(thinning.attention("a", torch.ones(3, HEADS, 1, 40), step), weights[:, :, step : step + 1])


def test_the_same_words_have_the_same_key():
    sentences = [["a", "b"], ["a", "b", "c"], ["ab"], ["a", "b"], ["b", "a"], ["A", "b"]]
    number = itertools.count()
    treebank = treebank_of(
        *([(w, f"T{next(number) % 3}", i, "dep") for i, w in enumerate(words)] for words in sentences)
    )
    encoded = encode(treebank, build_vocabulary(treebank), None)
    assert encoded.keys[0] == encoded.keys[3], "the same words under other tags"
    assert len(set(encoded.keys.tolist())) == 5
    alone = encode(treebank.select(np.array([4, 3])), build_vocabulary(treebank), None)
    assert alone.keys.tolist() == encoded.keys[[4, 3]].tolist()


def test_a_site_follows_the_thinning_in_force_also_in_training(site):
    x, thinning = torch.rand(3, 4, 9), Thinning(keys_of(3), 0.3, 0.5, per_step=True)
    site.p = 0.9
    for training in (False, True):
        site.train(training)
        with thinned(site.switch, thinning):
            assert torch.equal(site(x), x * thinning.features("a", x, 0))
            site.switch.position = 6
            assert torch.equal(site(x), x * thinning.features("a", x, 6))


def test_a_site_of_attention_weights_masks_those():
    weights, thinning = torch.rand(3, 2, 4, 9), Thinning(keys_of(3), 0.3, 0.5)
    site = SiteDropout("a", Switch(thinning), attention=True)
    assert torch.equal(site(weights), weights * thinning.attention("a", weights, 0))


def test_a_site_drops_nothing_outside_training_or_without_a_rate(site):
    x = torch.rand(3, 4, 50)
    assert site(x) is x
    site.p = 0.5
    assert (site(x) == 0).any()
    assert site.eval()(x) is x


def test_a_switch_is_off_again_after_an_exception(site):
    with pytest.raises(KeyError), thinned(site.switch, Thinning(keys_of(3), 0.3, 0.5)):
        site.switch.position = 7
        raise KeyError
    assert site.switch.thinning is None and site.switch.position == 0


def test_rates_reach_every_site_of_a_network():
    switch = Switch()
    inner = nn.Sequential(SiteDropout("b", switch, attention=True), nn.Tanh())
    network = nn.Sequential(SiteDropout("a", switch), inner)
    set_rates(network, Rates(0.3, 0.2))
    assert (network[0].p, inner[0].p) == (0.3, 0.2)


@pytest.mark.parametrize("p", [0.1, 0.3, 0.5])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_dropout_has_its_rate_and_scale(p, dtype):
    torch.manual_seed(0)
    dropped = dropout(torch.ones(301, 333, dtype=dtype), p)
    assert dropped.dtype == dtype
    assert_share(dropped == 0, p)
    torch.testing.assert_close(dropped.unique(), torch.tensor([0, 1 / (1 - p)], dtype=dtype))


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 8])
def test_dropout_reaches_every_unit_of_any_number(size):
    torch.manual_seed(0)
    kept = torch.stack([dropout(torch.ones(size), 0.5) > 0 for _ in range(400)])
    for unit in range(size):
        assert_share(kept[:, unit], 0.5)
        for other in range(unit):
            assert_share(kept[:, unit] & kept[:, other], 0.25)


def test_the_gradient_of_dropout_is_its_mask():
    torch.manual_seed(0)
    x = (1 + torch.rand(40, 30)).t().requires_grad_()  # not contiguous
    above = torch.randn(30, 40)
    dropped = dropout(x, 0.4)
    (gradient,) = torch.autograd.grad(dropped, x, above)
    torch.testing.assert_close(gradient, above * (dropped.detach() != 0) / 0.6)
    torch.testing.assert_close(dropped, x * (dropped.detach() != 0) / 0.6)


def test_dropout_follows_the_librarys_seed():
    drawn = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        drawn.append(dropout(torch.ones(50), 0.5))
    assert torch.equal(drawn[0], drawn[1]) and not torch.equal(drawn[0], drawn[2])
