"""Dropout that can be told what to drop: masks as functions of names, right rates, and the library's in training."""

import pytest
import torch
from test_noise import assert_share
from torch import Tensor, nn

from bcrlib.data.randomness import key
from bcrlib.parsers.s2s import thinned
from bcrlib.samplers.dropout_p import Rates, SiteDropout, Switch, Thinning, dropout, random_uint16, set_rates

RATES = [0.1, 0.3, 0.5]
PER_STEP = pytest.mark.parametrize("per_step", [False, True], ids=["fixed", "per step"])


def keys_of(count: int) -> Tensor:
    """As far apart as hashes are."""
    return torch.tensor([key("row", i) for i in range(count)])


def thinning_of(count: int, p: float = 0.3, attention_p: float = 0.5, per_step: bool = False) -> Thinning:
    return Thinning(keys_of(count), p, attention_p, per_step)


def ones(*shape: int) -> Tensor:
    return torch.ones(shape)


@pytest.fixture
def site() -> SiteDropout:
    return SiteDropout("a", Switch())


@pytest.mark.parametrize("p", RATES)
@PER_STEP
def test_rates_and_scale(p, per_step):
    thinning = thinning_of(400, p=p, attention_p=1 - p, per_step=per_step)
    features = thinning.features("a", ones(400, 5, 60), 0)
    weights = thinning.attention("a", ones(400, 4, 5, 20), 0)
    for mask, rate in ((features, p), (weights, 1 - p)):
        assert_share(mask == 0, rate)
        torch.testing.assert_close(mask.unique(), torch.tensor([0, 1 / (1 - rate)]))


def test_without_dropout_nothing_is_dropped_or_scaled():
    thinning = Thinning(keys_of(3), 0.0, 0.0, True)
    assert torch.equal(thinning.features("a", ones(3, 2, 7), 0), ones(3, 2, 7))
    assert torch.equal(thinning.attention("a", ones(3, 2, 4, 7), 0), ones(3, 2, 4, 7))


def test_a_fixed_mask_is_the_same_at_all_positions_and_steps():
    thinning = thinning_of(3)
    features, weights = thinning.features("a", ones(3, 5, 9), 0), thinning.attention("a", ones(3, 2, 4, 9), 0)
    assert features.shape == (3, 1, 9) and weights.shape == (3, 2, 1, 9)
    assert torch.equal(thinning.features("a", ones(3, 1, 9), 4), features)
    assert torch.equal(thinning.attention("a", ones(3, 2, 1, 9), 3), weights)


def test_a_fixed_mask_is_made_of_the_rows_key_and_the_sites_name():
    thinning, threshold = thinning_of(2), round(0.3 * 65536)
    kept = random_uint16(torch.tensor([k ^ key("a") for k in keys_of(2).tolist()]), 9) >= threshold
    assert torch.equal(thinning.features("a", ones(2, 5, 9), 0)[:, 0] > 0, kept)


def test_a_mask_per_step_depends_on_the_position_alone():
    """Whether a target is read at once or token by token."""
    thinning = thinning_of(3, per_step=True)
    features, weights = thinning.features("a", ones(3, 5, 40), 0), thinning.attention("a", ones(3, 2, 5, 40), 0)
    assert features.shape == (3, 5, 40) and weights.shape == (3, 2, 5, 40)
    for step in range(5):
        assert torch.equal(thinning.features("a", ones(3, 1, 40), step), features[:, step : step + 1])
        assert torch.equal(thinning.attention("a", ones(3, 2, 1, 40), step), weights[:, :, step : step + 1])
        for other in range(step):
            assert not torch.equal(features[:, step], features[:, other])
            assert not torch.equal(weights[:, :, step], weights[:, :, other])


@PER_STEP
def test_a_row_has_the_same_masks_alone_and_in_any_batch(per_step):
    thinning = thinning_of(5, per_step=per_step)
    features, weights = thinning.features("a", ones(5, 4, 30), 2), thinning.attention("a", ones(5, 2, 4, 30), 2)
    for chosen in ([0], [4], [3, 1], [2, 2, 0, 4, 1]):
        part = thinning.rows(torch.tensor(chosen))
        size = len(chosen)
        assert (part.p, part.attention_p, part.per_step) == (thinning.p, thinning.attention_p, per_step)
        assert torch.equal(part.features("a", ones(size, 4, 30), 2), features[chosen])
        assert torch.equal(part.attention("a", ones(size, 2, 4, 30), 2), weights[chosen])


@PER_STEP
def test_masks_do_not_depend_on_the_inputs_or_on_what_was_drawn_before(per_step):
    thinning = thinning_of(3, per_step=per_step)
    before = thinning.features("a", ones(3, 4, 20), 0), thinning.attention("a", ones(3, 2, 4, 20), 0)
    torch.rand(3), thinning.features("b", ones(3, 4, 20), 0)
    assert torch.equal(thinning.features("a", torch.rand(3, 4, 20), 0), before[0])
    assert torch.equal(thinning.attention("a", torch.rand(3, 2, 4, 20), 0), before[1])


@PER_STEP
def test_more_keys_leave_the_masks_of_the_first_ones_as_they_were(per_step):
    """Decoding step by step sees one more position each time."""
    thinning = thinning_of(3, per_step=per_step)
    wide = thinning.attention("a", ones(3, 2, 4, 50), 0)
    assert torch.equal(thinning.attention("a", ones(3, 2, 4, 13), 0), wide[..., :13])


@PER_STEP
def test_sites_heads_rows_and_steps_are_independent(per_step):
    thinning = thinning_of(500, p=0.5, per_step=per_step)
    sites = [thinning.features(name, ones(500, 4, 40), 0) == 0 for name in ("a", "b", "decoder.0", "decoder.1")]
    weights = thinning.attention("a", ones(500, 4, 4, 40), 0) == 0
    pairs = [(first, second) for i, first in enumerate(sites) for second in sites[:i]]
    pairs += [(sites[0][1:], sites[0][:-1]), (weights[1:], weights[:-1]), (weights[:, 1:], weights[:, :-1])]
    if per_step:
        pairs += [(sites[0][:, 1:], sites[0][:, :-1]), (weights[:, :, 1:], weights[:, :, :-1])]
    for first, second in pairs:
        assert_share(first & second, 0.25)


def test_a_site_follows_the_thinning_in_force_also_in_training(site):
    x, thinning = torch.rand(3, 4, 9), thinning_of(3, per_step=True)
    site.p = 0.9
    for training in (False, True):
        site.train(training)
        with thinned(site.switch, thinning):
            assert torch.equal(site(x), x * thinning.features("a", x, 0))
            site.switch.position = 6
            assert torch.equal(site(x), x * thinning.features("a", x, 6))


def test_a_site_of_attention_weights_masks_those():
    weights, thinning = torch.rand(3, 2, 4, 9), thinning_of(3)
    site = SiteDropout("a", Switch(thinning), attention=True)
    assert torch.equal(site(weights), weights * thinning.attention("a", weights, 0))


def test_a_site_drops_nothing_outside_training_or_without_a_rate(site):
    x = torch.rand(3, 4, 50)
    assert site(x) is x
    site.p = 0.5
    assert (site(x) == 0).any()
    assert site.eval()(x) is x


def test_a_switch_is_off_again_after_an_exception(site):
    with pytest.raises(KeyError), thinned(site.switch, thinning_of(3)):
        site.switch.position = 7
        raise KeyError
    assert site.switch.thinning is None and site.switch.position == 0


def test_rates_reach_every_site_of_a_network():
    switch = Switch()
    inner = nn.Sequential(SiteDropout("b", switch, attention=True), nn.Tanh())
    network = nn.Sequential(SiteDropout("a", switch), inner)
    set_rates(network, Rates(0.3, 0.2))
    assert (network[0].p, inner[0].p) == (0.3, 0.2)


@pytest.mark.parametrize("p", RATES)
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


def test_dropout_keeps_the_expectation():
    torch.manual_seed(0)
    x = torch.randn(50)
    mean = torch.stack([dropout(x, 0.3) for _ in range(4000)]).mean(dim=0)
    deviation = x.abs() * (0.3 / 0.7 / 4000) ** 0.5
    assert ((mean - x).abs() < 5 * deviation + 1e-4).all()


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
