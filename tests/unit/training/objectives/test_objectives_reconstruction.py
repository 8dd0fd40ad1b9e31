"""The terms of a reconstruction against closed forms, and what its settings refuse."""

import math

import pytest
import torch

from graftgan.core.errors import SettingsError
from graftgan.training import ReconstructionSettings
from graftgan.training.procedures.reconstruction import (
    PIXEL_DISTANCES,
    gaussian_of,
    laplacian_distance,
    neighbour_distance,
    within_ball,
)


def test_the_neighbour_distance_of_a_case_by_hand():
    latents = torch.tensor([[0.0, 0.0], [3.0, 0.0]])
    draws = torch.tensor([[1.0, 0.0], [3.0, 2.0], [0.0, -2.0]])
    # Each draw's nearest latent: 1, 4, 4. Each latent's nearest draw: 1, 4.
    assert neighbour_distance(latents, draws) == pytest.approx(9 / 3 + 5 / 2)
    assert neighbour_distance(latents, latents) == pytest.approx(0.0)


def test_the_neighbour_distance_pulls_a_latent_towards_the_draws():
    latents = torch.zeros(1, 2, requires_grad=True)
    neighbour_distance(latents, torch.tensor([[1.0, 0.0], [0.0, 3.0]])).backward()
    # d/dz of (|z - a|^2 + |z - b|^2) / 2 + |z - a|^2 at 0, with a the nearer.
    assert latents.grad is not None
    assert latents.grad.tolist() == [[-3.0, -3.0]]


def test_distances_of_pixels_by_hand():
    real = torch.zeros(2, 3, 32, 32)
    even = torch.full_like(real, 0.25)
    fine = 0.5 * torch.ones(32).cumsum(0).remainder(2).mul(2).sub(1).expand_as(real)
    assert PIXEL_DISTANCES["l1"](even, real) == pytest.approx(0.25)
    # A flat difference lies in the coarsest level alone, stripes of a pixel in the finest alone.
    assert laplacian_distance(even, real) == pytest.approx(0.25)
    assert laplacian_distance(fine, real) == pytest.approx(0.5, rel=1e-5)
    assert laplacian_distance(even[:1, :1], real[:1, :1]) == pytest.approx(0.25)


def test_a_gaussian_is_fitted_to_latents():
    rng = torch.Generator().manual_seed(0)
    latents = torch.randn(50, 3, generator=rng) @ torch.tensor(
        [[2.0, 0.5, 0.0], [0.0, 1.0, -1.0], [0.0, 0.0, 0.1]]
    ) + torch.tensor([1.0, -2.0, 3.0])
    mean, factor = gaussian_of(latents)
    torch.testing.assert_close(mean, latents.mean(0))
    torch.testing.assert_close(
        factor @ factor.T, torch.cov(latents.T, correction=0), atol=1e-5, rtol=0
    )
    assert factor.triu(1).abs().max() == 0


@pytest.mark.parametrize("latents", [torch.zeros(3, 8), torch.eye(8)[:2], torch.ones(1, 8)])
def test_a_gaussian_is_fitted_to_fewer_latents_than_dimensions(latents: torch.Tensor):
    mean, factor = gaussian_of(latents)
    torch.testing.assert_close(mean, latents.mean(0))
    centred = latents - latents.mean(0)
    expected = centred.T @ centred / len(latents)
    torch.testing.assert_close(factor @ factor.T, expected, atol=1e-5, rtol=0)


def test_what_is_outside_the_ball_comes_to_its_surface():
    latents = torch.tensor([[3.0, 4.0], [0.3, 0.4], [0.0, 0.0]])
    found = within_ball(latents, 2.0)
    torch.testing.assert_close(found, torch.tensor([[1.2, 1.6], [0.3, 0.4], [0.0, 0.0]]))


def test_rates_drop_at_shares_of_the_run():
    settings = ReconstructionSettings(rate_drop=0.2)
    found = [settings.rate_at(progress) for progress in (0.0, 0.29, 0.3, 0.6, 0.95)]
    assert found == pytest.approx([1, 1, 0.2, 0.04, 0.008])
    assert ReconstructionSettings().rate_at(0.95) == 1


@pytest.mark.parametrize(
    "wrong",
    [
        {"latent_rate": 0.0},
        {"latent_radius": -1.0},
        {"sampled_spread": math.inf},
        {"perceptual_weight": -1.0},
        {"rate_drop": 0.0},
        {"latent_noise": math.nan},
    ],
)
def test_settings_out_of_range_are_refused(wrong: dict[str, float]):
    with pytest.raises(SettingsError, match=next(iter(wrong))):
        ReconstructionSettings(**wrong)
