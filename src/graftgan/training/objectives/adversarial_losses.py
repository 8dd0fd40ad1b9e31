"""Adversarial losses: how logits of real and fake become two losses.

Every objective keeps one convention: a higher logit means "more real".
"""

from dataclasses import dataclass
from typing import Protocol, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from graftgan.core.registry import Registry
from graftgan.core.tensors import Logits, Scalar
from graftgan.training.objectives.settings import OptimizationSettings


class Losses(Protocol):
    """The two losses of one run, and what it keeps of them from one iteration to the next."""

    def discriminator_loss(self, real: Logits, fake: Logits) -> Scalar:
        """Return what the discriminator minimises."""
        ...

    def generator_loss(self, fake: Logits) -> Scalar:
        """Return what the generator minimises."""
        ...

    def gauges(self) -> dict[str, Scalar]:
        """Return numbers for the log, after both losses of an iteration are known."""
        ...

    def settle(self) -> None:
        """Move what is kept; called at the end of an iteration."""
        ...


class Objective(Protocol):
    """Adversarial losses on logits, with the optimizer settings of their paper."""

    @property
    def defaults(self) -> OptimizationSettings:
        """The optimizer settings its paper used."""
        ...

    @property
    def allows_batch_normalised_critic(self) -> bool:
        """Whether the critic may mix the images of a batch."""
        ...

    @property
    def needs_autoencoder(self) -> bool:
        """Whether the scores must be those of an auto-encoder: minus its error."""
        ...

    @property
    def tells_by_sign(self) -> bool:
        """Whether a score above 0 means real, and one below generated."""
        ...

    def begin(self, settings: OptimizationSettings) -> Losses:
        """Return the losses of a new run; a module, if they keep something."""
        ...


class Stateless:
    """An objective that is its own losses, since it keeps nothing."""

    needs_autoencoder = False
    tells_by_sign = False

    def begin(self, settings: OptimizationSettings) -> Self:
        """Return itself."""
        del settings
        return self

    def gauges(self) -> dict[str, Scalar]:
        """Return none."""
        return {}

    def settle(self) -> None:
        """Do nothing."""


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
_BEGAN_ADAM = OptimizationSettings(
    optimizer="adam",
    generator_learning_rate=1e-4,
    discriminator_learning_rate=1e-4,
    beta1=0.5,
    beta2=0.999,
    critic_steps=1,
    diversity_ratio=0.5,
    balance_gain=1e-3,
)


@dataclass(frozen=True, slots=True)
class NonSaturatingGAN(Stateless):
    """The first loss (Goodfellow et al. 2014, arXiv:1406.2661, section 3), non-saturating form.

    Optimizer as DCGAN used it (Radford et al. 2016).
    """

    defaults: OptimizationSettings = _DCGAN_ADAM
    allows_batch_normalised_critic: bool = True
    tells_by_sign: bool = True

    def discriminator_loss(self, real: Logits, fake: Logits) -> Scalar:
        """Return -E log D(x) - E log(1 - D(G(z))), from logits."""
        return F.softplus(-real).mean() + F.softplus(fake).mean()

    def generator_loss(self, fake: Logits) -> Scalar:
        """Return -E log D(G(z))."""
        return F.softplus(-fake).mean()


@dataclass(frozen=True, slots=True)
class Hinge(Stateless):
    """The hinge loss (Lim and Ye 2017, arXiv:1705.02894; Miyato et al. 2018, eq. 16-17)."""

    defaults: OptimizationSettings = _DCGAN_ADAM
    allows_batch_normalised_critic: bool = True
    tells_by_sign: bool = True

    def discriminator_loss(self, real: Logits, fake: Logits) -> Scalar:
        """Return E max(0, 1 - D(x)) + E max(0, 1 + D(G(z)))."""
        return F.relu(1.0 - real).mean() + F.relu(1.0 + fake).mean()

    def generator_loss(self, fake: Logits) -> Scalar:
        """Return -E D(G(z))."""
        return -fake.mean()


@dataclass(frozen=True, slots=True)
class Wasserstein(Stateless):
    """WGAN (Arjovsky et al. 2017, arXiv:1701.07875, algorithm 1).

    The critic's weights are clipped before every one of its steps. Differs from the authors'
    script: always ``critic_steps`` steps, without the 100 at the start and every 500th time.
    """

    defaults: OptimizationSettings = _WGAN_RMSPROP
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

    defaults: OptimizationSettings = _WGAN_GP_ADAM
    allows_batch_normalised_critic: bool = False


@dataclass(frozen=True, slots=True)
class BoundaryEquilibrium:
    """BEGAN (Berthelot et al. 2017, arXiv:1703.10717, section 3.4): the errors of an auto-encoder.

    Differs: the learning rate stays; the authors halve it when the measure of convergence stalls,
    and do not say when it does.
    """

    defaults: OptimizationSettings = _BEGAN_ADAM
    allows_batch_normalised_critic: bool = True
    needs_autoencoder: bool = True
    tells_by_sign: bool = False

    def begin(self, settings: OptimizationSettings) -> "BoundaryEquilibriumLosses":
        """Return the losses with their balance at 0."""
        assert settings.diversity_ratio is not None  # resolved
        assert settings.balance_gain is not None
        return BoundaryEquilibriumLosses(settings.diversity_ratio, settings.balance_gain)


class BoundaryEquilibriumLosses(nn.Module):
    """L_D = L(x) - k L(G(z)) and L_G = L(G(z)), L an auto-encoder's error: minus the score.

    Source: Berthelot et al. 2017, section 3.4. The balance k holds E L(G(z)) at the share
    ``diversity_ratio`` (gamma) of E L(x): k += gain (gamma L(x) - L(G(z))), kept in [0, 1], with a
    gain of 0.001 (lambda_k). It is a buffer, so that checkpoints have it. L(x) is that of the
    discriminator's last turn, L(G(z)) that of the generator's own batch, as in the paper.
    """

    def __init__(self, diversity_ratio: float, gain: float) -> None:
        super().__init__()
        self._ratio, self._gain = diversity_ratio, gain
        self.register_buffer("balance", torch.zeros(()))
        self.balance: Tensor
        self._real_error = torch.zeros(())
        self._fake_error = torch.zeros(())

    def discriminator_loss(self, real: Logits, fake: Logits) -> Scalar:
        """Return L(x) - k L(G(z))."""
        self._real_error = -real.detach().mean()
        return self.balance.to(fake.dtype) * fake.mean() - real.mean()

    def generator_loss(self, fake: Logits) -> Scalar:
        """Return L(G(z))."""
        self._fake_error = -fake.detach().mean()
        return -fake.mean()

    def gauges(self) -> dict[str, Scalar]:
        """Return k, and the measure of convergence M = L(x) + |gamma L(x) - L(G(z))|."""
        gap = self._ratio * self._real_error - self._fake_error
        return {"balance": self.balance.clone(), "convergence": self._real_error + gap.abs()}

    @torch.no_grad()
    def settle(self) -> None:
        """Move k by the errors of this iteration."""
        gap = self._ratio * self._real_error - self._fake_error
        self.balance.add_(gap, alpha=self._gain).clamp_(0.0, 1.0)


OBJECTIVES.register("gan")(NonSaturatingGAN())
OBJECTIVES.register("hinge")(Hinge())
OBJECTIVES.register("wgan")(Wasserstein())
OBJECTIVES.register("wgan_gp")(WassersteinGradientPenalty())
OBJECTIVES.register("began")(BoundaryEquilibrium())
