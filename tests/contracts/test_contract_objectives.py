"""What every registered objective promises: higher logits mean more real."""

import pytest
import torch
from torch import Tensor, nn

from graftgan.training.objectives import OBJECTIVES, Losses

REAL = torch.tensor([0.3, -0.6, 0.8, -0.1])
FAKE = torch.tensor([-0.4, 0.7, 0.2, -0.9])


def test_there_are_objectives_to_hold_to_the_contract():
    assert {"gan", "hinge", "wgan", "wgan_gp", "began"} <= set(OBJECTIVES)


@pytest.fixture(params=list(OBJECTIVES))
def losses(request: pytest.FixtureRequest) -> Losses:
    """Return the losses of a run under way: BEGAN's begin without a word on fakes."""
    objective = OBJECTIVES[request.param]
    begun = objective.begin(objective.defaults)
    if isinstance(begun, nn.Module):
        for kept in begun.buffers():
            kept.fill_(0.5)
    return begun


def leaves() -> tuple[Tensor, Tensor]:
    return REAL.clone().requires_grad_(), FAKE.clone().requires_grad_()


def test_the_discriminator_is_pushed_up_on_real_and_down_on_fake(losses: Losses):
    real, fake = leaves()
    losses.discriminator_loss(real, fake).backward()
    assert (real.grad < 0).all(), "a step against the gradient must raise real logits"
    assert (fake.grad > 0).all(), "a step against the gradient must lower fake logits"


def test_the_generator_is_pushed_towards_real(losses: Losses):
    _, fake = leaves()
    losses.generator_loss(fake).backward()
    assert (fake.grad < 0).all()


def test_losses_are_means(losses: Losses):
    twice = (torch.cat([REAL, REAL]), torch.cat([FAKE, FAKE]))
    one, two = losses.discriminator_loss(REAL, FAKE), losses.discriminator_loss(*twice)
    assert one.shape == ()
    torch.testing.assert_close(one, two)
    torch.testing.assert_close(
        losses.generator_loss(FAKE), losses.generator_loss(torch.cat([FAKE, FAKE]))
    )


def test_extreme_logits_stay_finite(losses: Losses):
    huge = torch.tensor([1e5, -1e5], requires_grad=True)
    loss = losses.discriminator_loss(huge, huge) + losses.generator_loss(huge)
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(huge.grad).all()


@pytest.mark.parametrize("name", OBJECTIVES)
def test_advice_leaves_nothing_open(name: str):
    defaults = OBJECTIVES[name].defaults
    assert defaults.optimizer is not None
    assert defaults.critic_steps is not None
    assert defaults.generator_learning_rate
    assert defaults.discriminator_learning_rate
    if defaults.optimizer == "adam":
        assert defaults.beta1 is not None
        assert defaults.beta2 is not None
