"""The adversarial games: how logits of real and fake become two losses.

Every objective keeps one convention: a higher logit means "more real".
"""

from dataclasses import dataclass
from typing import Protocol

import torch.nn.functional as F

from graftgan.objectives.settings import OptimizationSettings
from graftgan.registry import Registry
from graftgan.tensors import Logits, Scalar


class Objective(Protocol):
    """A two-player game on logits, with its paper's advice on how to play it."""

    @property
    def advice(self) -> OptimizationSettings:
        """The optimizer settings its paper used."""
        ...

    @property
    def allows_batch_normalised_critic(self) -> bool:
        """Whether the critic may mix the images of a batch."""
        ...

    def discriminator_loss(self, real: Logits, fake: Logits) -> Scalar:
        """Return what the discriminator minimises."""
        ...

    def generator_loss(self, fake: Logits) -> Scalar:
        """Return what the generator minimises."""
        ...


OBJECTIVES: Registry[Objective] = Registry("objective")

_DCGAN_ADAM = OptimizationSettings(
    optimizer="adam",
    generator_learning_rate=2e-4,
    discriminator_learning_rate=2e-4,
    beta1=0.5,
    beta2=0.999,
    critic_steps=1,
)
_WGAN_RMSPROP = OptimizationSettings(
    optimizer="rmsprop",
    generator_learning_rate=5e-5,
    discriminator_learning_rate=5e-5,
    critic_steps=5,
    weight_clip=0.01,
)
_WGAN_GP_ADAM = OptimizationSettings(
    optimizer="adam",
    generator_learning_rate=1e-4,
    discriminator_learning_rate=1e-4,
    beta1=0.0,
    beta2=0.9,
    critic_steps=5,
    gradient_penalty=10.0,
)


@dataclass(frozen=True, slots=True)
class NonSaturatingGAN:
    """The first game (Goodfellow et al. 2014, arXiv:1406.2661, section 3), non-saturating form.

    Optimizer as DCGAN used it (Radford et al. 2016).
    """

    advice: OptimizationSettings = _DCGAN_ADAM
    allows_batch_normalised_critic: bool = True

    def discriminator_loss(self, real: Logits, fake: Logits) -> Scalar:
        """Return -E log D(x) - E log(1 - D(G(z))), from logits."""
        return F.softplus(-real).mean() + F.softplus(fake).mean()

    def generator_loss(self, fake: Logits) -> Scalar:
        """Return -E log D(G(z))."""
        return F.softplus(-fake).mean()


@dataclass(frozen=True, slots=True)
class Hinge:
    """The hinge game (Lim and Ye 2017, arXiv:1705.02894; Miyato et al. 2018, eq. 16-17)."""

    advice: OptimizationSettings = _DCGAN_ADAM
    allows_batch_normalised_critic: bool = True

    def discriminator_loss(self, real: Logits, fake: Logits) -> Scalar:
        """Return E max(0, 1 - D(x)) + E max(0, 1 + D(G(z)))."""
        return F.relu(1.0 - real).mean() + F.relu(1.0 + fake).mean()

    def generator_loss(self, fake: Logits) -> Scalar:
        """Return -E D(G(z))."""
        return -fake.mean()


@dataclass(frozen=True, slots=True)
class Wasserstein:
    """WGAN (Arjovsky et al. 2017, arXiv:1701.07875, algorithm 1).

    The critic's weights are clipped before every one of its steps. Differs from the authors'
    script: always ``critic_steps`` steps, without the 100 at the start and every 500th time.
    """

    advice: OptimizationSettings = _WGAN_RMSPROP
    allows_batch_normalised_critic: bool = True

    def discriminator_loss(self, real: Logits, fake: Logits) -> Scalar:
        """Return E D(G(z)) - E D(x), the negative of the estimated distance."""
        return fake.mean() - real.mean()

    def generator_loss(self, fake: Logits) -> Scalar:
        """Return -E D(G(z))."""
        return -fake.mean()


@dataclass(frozen=True, slots=True)
class WassersteinGradientPenalty(Wasserstein):
    """WGAN-GP (Gulrajani et al. 2017, arXiv:1704.00028, algorithm 1).

    Not for a critic with BatchNorm: its score of one image depends on the others (section 4).
    """

    advice: OptimizationSettings = _WGAN_GP_ADAM
    allows_batch_normalised_critic: bool = False


OBJECTIVES.register("gan")(NonSaturatingGAN())
OBJECTIVES.register("hinge")(Hinge())
OBJECTIVES.register("wgan")(Wasserstein())
OBJECTIVES.register("wgan_gp")(WassersteinGradientPenalty())
