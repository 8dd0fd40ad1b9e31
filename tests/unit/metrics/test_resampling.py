"""The bootstrap against the theory of means."""

import math

import pytest
import torch

from graftgan.metrics import metric as module
from graftgan.metrics.metric import Estimate, Resampling


def test_every_resample_draws_as_many_pictures_as_there_are():
    weights = Resampling(replicates=2000).weights(10, "generated")
    assert weights.shape == (2000, 10)
    assert weights.dtype == torch.float64
    assert (weights.sum(dim=1) == 10).all()
    # Binomial(10, 1/10): mean 1, variance 0.9.
    assert weights.mean(dim=0).tolist() == pytest.approx([1.0] * 10, abs=0.1)
    assert weights.var().item() == pytest.approx(0.9, rel=0.05)


def test_the_draws_depend_on_seed_and_role_only(monkeypatch: pytest.MonkeyPatch):
    draws = Resampling(replicates=50, seed=3)
    first = draws.weights(20, "generated")
    torch.randn(5)
    assert torch.equal(first, draws.weights(20, "generated"))
    assert not torch.equal(first, draws.weights(20, "reference"))
    assert not torch.equal(first, Resampling(replicates=50, seed=4).weights(20, "generated"))
    monkeypatch.setattr(module, "_DRAWS_AT_ONCE", 60)
    assert torch.equal(first, draws.weights(20, "generated"))


def test_the_means_are_of_the_resamples():
    draws = Resampling(replicates=40)
    values = torch.randn(15, generator=torch.Generator().manual_seed(0))
    expected = [
        values.double().repeat_interleave(counts).mean()
        for counts in draws.weights(15, "generated").long()
    ]
    torch.testing.assert_close(draws.means(values, "generated"), torch.stack(expected))


def test_the_interval_of_a_mean_is_its_standard_error_both_ways():
    values = torch.randn(400, generator=torch.Generator().manual_seed(0))
    estimate = Resampling(replicates=4000).mean(values, "generated")
    error = float(values.std()) / math.sqrt(400)
    assert estimate.value == pytest.approx(float(values.double().mean()))
    assert estimate.high - estimate.value == pytest.approx(1.96 * error, rel=0.1)
    assert estimate.value - estimate.low == pytest.approx(1.96 * error, rel=0.1)


def test_nineteen_of_twenty_intervals_hold_the_truth():
    rng = torch.Generator().manual_seed(0)
    held = 0
    for seed in range(400):
        values = torch.randn(60, generator=rng) ** 2
        estimate = Resampling(replicates=300, seed=seed).mean(values, "generated")
        held += estimate.low <= 1.0 <= estimate.high
    assert 0.88 < held / 400 < 0.98


def test_the_interval_is_shifted_to_the_value_and_as_wide_as_the_level_says():
    replicates = torch.arange(101.0)
    assert Resampling().interval(7.0, replicates) == Estimate(7.0, 7 - 47.5, 7 + 47.5)
    assert Resampling(level=0.5).interval(7.0, replicates) == Estimate(7.0, 7 - 25.0, 7 + 25.0)


def test_resamples_without_a_score_are_left_out():
    replicates = torch.cat([torch.arange(101.0), torch.tensor([torch.nan, torch.inf])])
    assert Resampling().interval(0.0, replicates) == Estimate(0.0, -47.5, 47.5)
    nothing = Resampling(replicates=0).mean(torch.ones(3), "generated")
    assert nothing == Estimate(1.0, 1.0, 1.0)
