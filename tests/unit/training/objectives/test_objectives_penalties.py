"""Penalties against critics whose slope is known, and the clip of WGAN."""

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from graftgan.core.errors import SettingsError
from graftgan.networks.backbone import build_pair
from graftgan.training.objectives import (
    OBJECTIVES,
    R1,
    Drift,
    GradientPenalty,
    OptimizationSettings,
    clip_weights,
    penalties_of,
)
from tiny_networks import tiny_architecture, tiny_images, tiny_run

REAL = tiny_images(4, side=6)
FAKE = tiny_images(4, side=6, seed=8) * 0.5
NUMBERS = 3 * 6 * 6


def rng() -> torch.Generator:
    return torch.Generator().manual_seed(0)


@pytest.mark.parametrize("slope", [0.02, 1 / math.sqrt(NUMBERS), -0.5])
def test_gradient_penalty_of_a_linear_critic(slope: float):
    def critic(images: Tensor) -> Tensor:
        return (images * slope).flatten(1).sum(1)

    expected = 10 * (abs(slope) * math.sqrt(NUMBERS) - 1) ** 2
    value = GradientPenalty()(critic, REAL, FAKE, rng())
    assert value.shape == ()
    assert value.item() == pytest.approx(expected, rel=1e-5, abs=1e-9)
    assert GradientPenalty(3.0)(critic, REAL, FAKE, rng()).item() == pytest.approx(
        0.3 * expected, rel=1e-5, abs=1e-9
    )


@pytest.mark.parametrize("shape", [(5, 7), (5, 2, 3, 3)])
def test_codes_of_any_shape_are_penalised_as_images_are(shape: tuple[int, ...]):
    real, fake = torch.randn(shape, generator=rng()), torch.zeros(shape)
    slope = torch.linspace(-1, 2, real[0].numel())
    value = GradientPenalty()(lambda codes: codes.flatten(1) @ slope, real, fake, rng())
    assert value.item() == pytest.approx(10 * (slope.norm().item() - 1) ** 2, rel=1e-5)
    seen: list[Tensor] = []

    def critic(codes: Tensor) -> Tensor:
        seen.append(codes.detach())
        return codes.flatten(1).square().sum(1)

    GradientPenalty()(critic, real, fake, rng())
    shares = (seen[0] / real).flatten(1)
    torch.testing.assert_close(shares, shares[:, :1].expand_as(shares))
    assert len(shares[:, 0].unique()) == len(real), "every code has a share of its own"


def test_drift_is_the_mean_squared_score_of_the_real_alone():
    value = Drift(0.01)(lambda x: x.flatten(1).sum(1), REAL, FAKE, rng())
    torch.testing.assert_close(value, 0.01 * REAL.flatten(1).sum(1).square().mean())


def test_gradient_penalty_looks_between_real_and_fake_with_one_share_per_image():
    seen: list[Tensor] = []

    def critic(images: Tensor) -> Tensor:
        seen.append(images.detach())
        return 0.5 * images.square().flatten(1).sum(1)  # its gradient is the image itself

    value = GradientPenalty()(critic, REAL, FAKE, rng())
    (mixed,) = seen
    shares = ((mixed - FAKE) / (REAL - FAKE)).flatten(1)
    torch.testing.assert_close(shares, shares[:, :1].expand_as(shares), atol=1e-3, rtol=1e-3)
    assert ((shares > 0) & (shares < 1)).all()
    assert len(shares[:, 0].unique()) == len(REAL), "every image has a share of its own"
    expected = 10 * (mixed.flatten(1).norm(dim=1) - 1).square().mean()
    torch.testing.assert_close(value, expected)


def test_gradient_penalty_follows_its_generator_of_numbers():
    def critic(images: Tensor) -> Tensor:
        return images.square().flatten(1).sum(1)

    values = [GradientPenalty()(critic, REAL, FAKE, rng()) for _ in range(2)]
    assert torch.equal(*values)
    other = GradientPenalty()(critic, REAL, FAKE, torch.Generator().manual_seed(1))
    assert not torch.equal(values[0], other)


def test_a_dead_critic_has_a_finite_penalty_gradient():
    weight = torch.zeros(NUMBERS, requires_grad=True)
    value = GradientPenalty()(lambda x: x.flatten(1) @ weight, REAL, FAKE, rng())
    value.backward()
    assert value.item() == pytest.approx(10)
    assert torch.isfinite(weight.grad).all()


@pytest.mark.parametrize(("gamma", "every"), [(1.0, 1), (10.0, 16), (3.0, 4)])
def test_r1_is_half_gamma_times_the_squared_slope_at_the_real_images(gamma: float, every: int):
    def critic(images: Tensor) -> Tensor:
        return 0.5 * images.square().flatten(1).sum(1)

    expected = 0.5 * gamma * every * REAL.square().flatten(1).sum(1).mean()
    torch.testing.assert_close(R1(gamma, every)(critic, REAL, FAKE, rng()), expected)


@pytest.mark.parametrize("penalty", [GradientPenalty(), R1(1.0, 1)], ids=lambda p: p.name)
def test_penalties_train_the_critic_and_nothing_else(penalty: GradientPenalty | R1):
    pair = build_pair(tiny_architecture(discriminator_normalisation="layer"))
    with torch.no_grad():
        for parameter in pair.discriminator.parameters():
            parameter.mul_(10)
    real, fake = tiny_images(), pair.generator(torch.randn(4, 8, generator=rng()))
    real.requires_grad_()
    penalty(pair.discriminator, real, fake, rng()).backward()
    kernels = {n: p for n, p in pair.discriminator.named_parameters() if p.dim() > 1}
    assert len(kernels) == 4
    unreached = [n for n, p in kernels.items() if p.grad is None or not p.grad.any()]
    assert not unreached, f"differentiating twice did not reach {unreached}"
    assert real.grad is None
    assert all(p.grad is None for p in pair.generator.parameters())


def test_the_second_derivative_is_right():
    """Compare the penalty's gradient with finite differences, in float64 and a smooth critic."""
    torch.manual_seed(0)
    critic = nn.Sequential(nn.Linear(5, 4), nn.Tanh(), nn.Linear(4, 1)).double()
    real = torch.randn(3, 5, dtype=torch.float64).view(3, 5, 1, 1)
    weight = critic[0].weight

    def value() -> Tensor:
        # R1 casts the slope to float32, so a coarse step with a tolerance to match.
        return R1(2.0, 1)(lambda x: critic(x.flatten(1)).flatten(), real, real, rng())

    value().backward()
    step = 1e-2
    with torch.no_grad():
        weight[1, 2] += step
    upper = value().item()
    with torch.no_grad():
        weight[1, 2] -= 2 * step
    lower = value().item()
    assert weight.grad[1, 2].item() == pytest.approx((upper - lower) / (2 * step), rel=1e-2)


def test_clip_brings_every_weight_within_the_limit_and_leaves_small_ones():
    weights = [torch.tensor([-0.5, 0.003, 0.02]), torch.tensor([[0.01, -0.01]])]
    clip_weights(weights, 0.01)
    assert weights[0].tolist() == pytest.approx([-0.01, 0.003, 0.01])
    assert weights[1].tolist() == [pytest.approx([0.01, -0.01])]
    clip_weights([], 0.01)


def test_wgan_clips_before_every_critic_step():
    run = tiny_run(objective="wgan", plan="fine_tune", iterations=3)
    critic, generator = run.training.updates
    assert max(p.abs().max() for p in critic.parameters) > 0.5, "the start must need clipping"
    largest: list[float] = []

    def spy(context):
        largest.append(max(p.abs().max().item() for p in critic.parameters))
        return critic.losses(context)

    run.training.updates = [replace(critic, losses=spy), generator]
    run.training.run()
    assert len(largest) == 3 * 5
    assert max(largest) <= 0.01 + 1e-9
    assert max(p.abs().max() for p in generator.parameters) > 0.5, "the generator is not clipped"


def test_wgan_clips_no_modulation_away():
    """A scale starts at 1, and a clip to 0.01 would erase the source's kernels."""
    run = tiny_run(objective="wgan", plan="adafm", iterations=1)
    run.training.run()
    scales = [
        p for n, p in run.training.pair.discriminator.named_parameters() if n.endswith("gamma")
    ]
    assert len(scales) == 4
    assert all((p - 1).abs().max() < 0.1 for p in scales)


def test_penalties_are_those_the_settings_ask_for():
    assert penalties_of(OBJECTIVES["hinge"].defaults) == ()
    assert penalties_of(OBJECTIVES["wgan_gp"].defaults) == (GradientPenalty(10.0),)
    both = OptimizationSettings(r1_gamma=2.0, r1_every=4).or_else(OBJECTIVES["wgan_gp"].defaults)
    assert penalties_of(both) == (GradientPenalty(10.0), R1(2.0, 4))


def test_r1_is_lazy_in_a_run():
    run = tiny_run(objective="hinge", iterations=7, optimization={"r1_gamma": 1.0, "r1_every": 3})
    seen: list[bool] = []

    class Watch:
        def started(self, training): ...
        def ended(self, training): ...

        def iterated(self, training, terms):
            seen.append("discriminator.r1" in terms)

    run.training.callbacks = [Watch()]
    run.training.run()
    assert seen == [True, False, False, True, False, False, True]


def test_settings_fill_from_the_advice_and_refuse_what_means_nothing():
    defaults = OBJECTIVES["wgan"].defaults
    filled = OptimizationSettings(critic_steps=2).or_else(defaults)
    assert (filled.critic_steps, filled.weight_clip, filled.optimizer) == (2, 0.01, "rmsprop")
    with pytest.raises(SettingsError, match="weight_clip means nothing"):
        OptimizationSettings(weight_clip=0.1).or_else(OBJECTIVES["gan"].defaults)
    with pytest.raises(SettingsError, match="gradient_penalty means nothing"):
        OptimizationSettings(gradient_penalty=1.0).or_else(defaults)


@pytest.mark.parametrize(
    "wrong",
    [
        {"beta1": 1.0},
        {"beta2": 1.5},
        {"critic_steps": 0},
        {"r1_every": 0},
        {"r1_gamma": -1.0},
        {"generator_learning_rate": float("nan")},
        {"discriminator_learning_rate": math.inf},
    ],
    ids=str,
)
def test_impossible_settings_are_refused_by_name(wrong: dict[str, float]):
    with pytest.raises(SettingsError, match=next(iter(wrong))):
        OptimizationSettings(**wrong)
