"""Penalties on the discriminator's slope, and the constraint on its weights."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from graftgan.core.tensors import Images, Logits, Scalar
from graftgan.training.objectives.settings import OptimizationSettings

Critic = Callable[[Images], Logits]


class Penalty(Protocol):
    """A term added to the discriminator's loss on every ``every``-th of its steps."""

    @property
    def name(self) -> str:
        """Its name in the log."""
        ...

    @property
    def every(self) -> int:
        """Discriminator steps between two uses."""
        ...

    def __call__(self, critic: Critic, real: Images, fake: Images, rng: torch.Generator) -> Scalar:
        """Return the weighted term."""
        ...


@dataclass(frozen=True, slots=True)
class GradientPenalty:
    """Pull the critic's slope towards 1 on random mixes of real and fake.

    Source: Gulrajani et al. 2017, eq. 3 (arXiv:1704.00028): weight x E (|grad D(mix)| - 1)^2, one
    mixing number per image.
    """

    weight: float = 10.0
    every: int = 1
    name: str = "gradient_penalty"

    def __call__(self, critic: Critic, real: Images, fake: Images, rng: torch.Generator) -> Scalar:
        """Return the weighted penalty, a scalar."""
        share = torch.rand(len(real), *(1 for _ in real.shape[1:]), generator=rng).to(real)
        mixed = torch.lerp(fake.detach().to(real), real.detach(), share).requires_grad_()
        slope = _gradient(critic, mixed).flatten(1).norm(dim=1)
        return self.weight * (slope - 1.0).square().mean()


@dataclass(frozen=True, slots=True)
class R1:
    """Keep the discriminator flat at the real pictures, lazily.

    Source: Mescheder et al. 2018, eq. 9 (arXiv:1801.04406): gamma/2 x E |grad D(x)|^2; every k-th
    step with k-fold weight (Karras et al. 2020, arXiv:1912.04958, section 3.1).
    """

    gamma: float
    every: int = 16
    name: str = "r1"

    def __call__(self, critic: Critic, real: Images, fake: Images, rng: torch.Generator) -> Scalar:
        """Return the weighted penalty, a scalar."""
        del fake, rng
        slope = _gradient(critic, real.detach().clone().requires_grad_())
        return 0.5 * self.gamma * self.every * slope.flatten(1).square().sum(dim=1).mean()


@dataclass(frozen=True, slots=True)
class Drift:
    """Keep the critic's scores of real pictures near zero, from which nothing else holds them.

    Source: Karras et al. 2018, appendix A.1 (arXiv:1710.10196): weight x E D(x)^2 on reals alone.
    """

    weight: float
    every: int = 1
    name: str = "drift"

    def __call__(self, critic: Critic, real: Images, fake: Images, rng: torch.Generator) -> Scalar:
        """Return the weighted term, a scalar."""
        del fake, rng
        return self.weight * critic(real).float().square().mean()


def penalties_of(settings: OptimizationSettings) -> tuple[Penalty, ...]:
    """Return the penalties that resolved ``settings`` ask for."""
    chosen: list[Penalty] = []
    if settings.gradient_penalty:
        chosen.append(GradientPenalty(settings.gradient_penalty))
    if settings.r1_gamma:
        chosen.append(R1(settings.r1_gamma, settings.r1_every))
    return tuple(chosen)


@torch.no_grad()
def clip_weights(parameters: Iterable[Tensor], limit: float) -> None:
    """Clamp ``parameters`` to [-limit, limit] in place (Arjovsky et al. 2017, algorithm 1)."""
    weights = list(parameters)
    if weights:
        torch._foreach_clamp_min_(weights, -limit)  # pyright: ignore[reportPrivateUsage]
        torch._foreach_clamp_max_(weights, limit)  # pyright: ignore[reportPrivateUsage]


def _gradient(critic: Critic, images: Images) -> Tensor:
    """Return the float32 gradient of the critic's scores by the images, itself differentiable."""
    (slope,) = torch.autograd.grad(critic(images).sum(), images, create_graph=True)
    return slope.float()
