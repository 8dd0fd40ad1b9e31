"""Closed forms of the losses, and what the papers advise."""

import math

import pytest
import torch

from graftgan.training.objectives import OBJECTIVES

ZERO = torch.zeros(5)
REAL = torch.tensor([2.0, -1.0])
FAKE = torch.tensor([0.5, -3.0])


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


@pytest.mark.parametrize(
    ("name", "discriminator", "generator"),
    [
        ("gan", 2 * math.log(2), math.log(2)),
        ("hinge", 2.0, 0.0),
        ("wgan", 0.0, 0.0),
        ("wgan_gp", 0.0, 0.0),
    ],
)
def test_at_undecided_logits(name: str, discriminator: float, generator: float):
    objective = OBJECTIVES[name]
    assert objective.discriminator_loss(ZERO, ZERO).item() == pytest.approx(discriminator)
    assert objective.generator_loss(ZERO).item() == pytest.approx(generator)


def test_gan_is_the_cross_entropy_of_goodfellow():
    expected = -sum(math.log(sigmoid(float(x))) for x in REAL) / 2
    expected -= sum(math.log(1 - sigmoid(float(x))) for x in FAKE) / 2
    assert OBJECTIVES["gan"].discriminator_loss(REAL, FAKE).item() == pytest.approx(expected)
    wanted = -sum(math.log(sigmoid(float(x))) for x in FAKE) / 2
    assert OBJECTIVES["gan"].generator_loss(FAKE).item() == pytest.approx(wanted)


def test_hinge_stops_at_the_margin():
    # real 2 is beyond its margin, real -1 lacks 2; fake 0.5 is 1.5 over, fake -3 is beyond.
    assert OBJECTIVES["hinge"].discriminator_loss(REAL, FAKE).item() == pytest.approx(
        2 / 2 + 1.5 / 2
    )
    assert OBJECTIVES["hinge"].generator_loss(FAKE).item() == pytest.approx(1.25)


@pytest.mark.parametrize("name", ["wgan", "wgan_gp"])
def test_wasserstein_is_the_difference_of_means(name: str):
    assert OBJECTIVES[name].discriminator_loss(REAL, FAKE).item() == pytest.approx(-1.25 - 0.5)
    assert OBJECTIVES[name].generator_loss(FAKE).item() == pytest.approx(1.25)


def test_advice_is_that_of_the_papers():
    wgan, gp, gan = (OBJECTIVES[n].defaults for n in ("wgan", "wgan_gp", "gan"))
    assert (wgan.optimizer, wgan.weight_clip, wgan.critic_steps) == ("rmsprop", 0.01, 5)
    assert (wgan.discriminator_learning_rate, wgan.generator_learning_rate) == (5e-5, 5e-5)
    assert (gp.optimizer, gp.beta1, gp.beta2, gp.critic_steps) == ("adam", 0.0, 0.9, 5)
    assert (gp.gradient_penalty, gp.discriminator_learning_rate, gp.weight_clip) == (10, 1e-4, None)
    assert (gan.optimizer, gan.beta1, gan.beta2, gan.critic_steps) == ("adam", 0.5, 0.999, 1)
    assert not OBJECTIVES["wgan_gp"].allows_batch_normalised_critic
    assert OBJECTIVES["gan"].allows_batch_normalised_critic
