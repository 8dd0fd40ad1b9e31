"""Adversarial losses, penalties, and the optimizer settings of each.

In every objective a higher logit means "more real". To add one: a class like those below,
registered in ``OBJECTIVES``.
"""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields, replace
from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from graftgan.core.errors import SettingsError
from graftgan.core.network_types import Images, Latents, Logits, Scalar, StyledGenerator
from graftgan.core.registry import Registry
from graftgan.core.settings import require_range, strict

Critic = Callable[[Images], Logits]
OptimizerName = Literal["adam", "rmsprop", "sgd"]

_USUAL_BETAS = {"beta1": 0.5, "beta2": 0.999}  # DCGAN's, where the objective advises no Adam
_OFF_BY_DEFAULT = ("r1_gamma", "path_length", "style_mixing")
_OF_ONE_OBJECTIVE = ("weight_clip", "gradient_penalty", "diversity_ratio", "balance_gain")


@strict
@dataclass(frozen=True, slots=True, kw_only=True)
class OptimizationSettings:
    """Settings of the optimizers. Defaults come from the objective's own paper."""

    optimizer: OptimizerName | None = None
    """adam, rmsprop or sgd."""
    generator_learning_rate: float | None = None
    """Step size of the generator."""
    discriminator_learning_rate: float | None = None
    """Step size of the discriminator."""
    beta1: float | None = None
    """Adam's decay of the gradient's mean."""
    beta2: float | None = None
    """Adam's decay of the gradient's square."""
    critic_steps: int | None = None
    """Discriminator steps for each generator step."""
    weight_clip: float | None = None
    """Largest absolute critic weight (wgan only)."""
    gradient_penalty: float | None = None
    """Weight of the gradient penalty (wgan_gp only)."""
    diversity_ratio: float | None = None
    """Error of generated pictures over that of real ones; lower is sharper (began only)."""
    balance_gain: float | None = None
    """How fast the balance follows the errors; raise it for short runs (began only)."""
    r1_gamma: float | None = None
    """Weight of the R1 penalty on real pictures; 0: none. StyleGANs have one by default."""
    r1_every: int = 16
    """Discriminator steps between two R1 penalties (lazy regularisation)."""
    path_length: float | None = None
    """Weight of the penalty on uneven path lengths; 0: none (networks with styles only)."""
    path_length_every: int = 4
    """Generator steps between two path length penalties."""
    style_mixing: float | None = None
    """Share of generated pictures whose coarse and fine layers take styles of two latents."""
    learning_rate_warm_up: float = 0.0
    """Share of the run in which all learning rates rise from 0; 0: they begin in full."""
    learning_rate_decay: Literal["none", "linear", "cosine"] = "none"
    """How all learning rates fall to 0 after that, until the end."""

    def __post_init__(self) -> None:
        require_range(self, "finite and not negative", *(field.name for field in fields(self)))
        require_range(self, "below 1", "beta1", "beta2", "learning_rate_warm_up")
        require_range(self, "at most 1", "style_mixing")
        for name in ("generator_learning_rate", "discriminator_learning_rate"):
            if getattr(self, name) == 0:
                raise SettingsError(f"{name} must be positive; a plan can freeze layers")
        require_range(self, "at least 1", "critic_steps", "r1_every", "path_length_every")

    def rate_at(self, progress: float) -> float:
        """Return the multiple of all learning rates when ``progress`` of the run is done."""
        warm_up = self.learning_rate_warm_up
        if progress < warm_up:
            return progress / warm_up
        left = (1 - progress) / (1 - warm_up)
        falls = {"none": 1.0, "linear": left, "cosine": 0.5 - 0.5 * math.cos(left * math.pi)}
        return falls[self.learning_rate_decay]

    def or_else(self, defaults: "OptimizationSettings") -> "OptimizationSettings":
        """Fill in ``defaults``; raise SettingsError for settings that mean nothing under them."""
        for name in _OF_ONE_OBJECTIVE:
            if getattr(self, name) is not None and getattr(defaults, name) is None:
                raise SettingsError(f"{name} means nothing for this objective; remove it")
        names = [field.name for field in fields(self)]
        merged = replace(self, **{n: _first(getattr(self, n), getattr(defaults, n)) for n in names})
        merged = replace(merged, **{n: _first(getattr(merged, n), 0.0) for n in _OFF_BY_DEFAULT})
        if merged.optimizer == "adam":
            betas = {n: _first(getattr(merged, n), usual) for n, usual in _USUAL_BETAS.items()}
            return replace(merged, **betas)
        if self.beta1 is not None or self.beta2 is not None:
            raise SettingsError(f"beta1 and beta2 mean nothing for {merged.optimizer}; remove them")
        return replace(merged, beta1=None, beta2=None)


def _first(given: Any, otherwise: Any) -> Any:
    return otherwise if given is None else given


class Losses:
    """The two losses of one run, and their state between iterations."""

    def discriminator_loss(self, real: Logits, fake: Logits) -> Scalar:
        """Return what the discriminator minimises."""
        raise NotImplementedError

    def generator_loss(self, fake: Logits) -> Scalar:
        """Return what the generator minimises: by default -E D(G(z))."""
        return -fake.mean()

    def gauges(self) -> dict[str, Scalar]:
        """Return numbers for the log, after both losses of an iteration are known."""
        return {}

    def settle(self) -> None:
        """Update the state; called at the end of an iteration."""


@dataclass(frozen=True)
class Objective(Losses):
    """Adversarial losses on logits. Most have no state, and are their own losses.

    Attributes:
        defaults: The optimizer settings of its paper.
        allows_batch_normalised_critic: Whether the critic may mix the images of a batch.
        needs_autoencoder: Whether a score must be minus the error of an auto-encoder.
        tells_by_sign: Whether a score above 0 means real, and one below generated.
    """

    defaults: OptimizationSettings
    allows_batch_normalised_critic: bool = True
    needs_autoencoder: bool = False
    tells_by_sign: bool = False

    def begin(self, settings: OptimizationSettings) -> Losses:
        """Return the losses of a new run; a module, if they have state."""
        return self


class NonSaturatingGAN(Objective):
    """The first loss (Goodfellow et al. 2014, arXiv:1406.2661, section 3), non-saturating form."""

    def discriminator_loss(self, real: Logits, fake: Logits) -> Scalar:
        """Return -E log D(x) - E log(1 - D(G(z))), from logits."""
        return F.softplus(-real).mean() + F.softplus(fake).mean()

    def generator_loss(self, fake: Logits) -> Scalar:
        """Return -E log D(G(z))."""
        return F.softplus(-fake).mean()


class Hinge(Objective):
    """The hinge loss (Lim and Ye 2017, arXiv:1705.02894; Miyato et al. 2018, eq. 16-17)."""

    def discriminator_loss(self, real: Logits, fake: Logits) -> Scalar:
        """Return E max(0, 1 - D(x)) + E max(0, 1 + D(G(z)))."""
        return F.relu(1.0 - real).mean() + F.relu(1.0 + fake).mean()


class Wasserstein(Objective):
    """WGAN (Arjovsky et al. 2017, arXiv:1701.07875); WGAN-GP (Gulrajani et al. 2017, 1704.00028).

    WGAN clips the critic's weights before each of its steps. Differs from the authors' script:
    always ``critic_steps`` steps, not 100 at the start and every 500th time. WGAN-GP is not for a
    critic with BatchNorm, whose score of one image depends on the others (section 4).
    """

    def discriminator_loss(self, real: Logits, fake: Logits) -> Scalar:
        """Return E D(G(z)) - E D(x), the negative of the estimated distance."""
        return fake.mean() - real.mean()


class BoundaryEquilibrium(Objective):
    """BEGAN (Berthelot et al. 2017, arXiv:1703.10717, section 3.4): the errors of an auto-encoder.

    Differs: the learning rate is constant; the authors halve it when the convergence measure
    stalls, and do not say how they tell.
    """

    def begin(self, settings: OptimizationSettings) -> "BoundaryEquilibriumLosses":
        """Return the losses with their balance at 0."""
        assert settings.diversity_ratio is not None  # resolved
        assert settings.balance_gain is not None
        return BoundaryEquilibriumLosses(settings.diversity_ratio, settings.balance_gain)


class BoundaryEquilibriumLosses(nn.Module, Losses):
    """L_D = L(x) - k L(G(z)) and L_G = L(G(z)), L an auto-encoder's error: minus the score.

    Source: Berthelot et al. 2017, section 3.4. The balance k holds E L(G(z)) at the share
    ``diversity_ratio`` (gamma) of E L(x): k += gain (gamma L(x) - L(G(z))), kept in [0, 1], with a
    gain of 0.001 (lambda_k). It is a buffer, so that checkpoints contain it. L(x) is from the
    discriminator's last turn, L(G(z)) from the generator's own batch, as in the paper.
    """

    def __init__(self, diversity_ratio: float, gain: float) -> None:
        super().__init__()
        self._ratio, self._gain = diversity_ratio, gain
        self.register_buffer("balance", torch.zeros(()))
        self.balance: Tensor
        self._real_error = self._fake_error = torch.zeros(())

    def discriminator_loss(self, real: Logits, fake: Logits) -> Scalar:
        """Return L(x) - k L(G(z))."""
        self._real_error = -real.detach().mean()
        return self.balance.to(fake.dtype) * fake.mean() - real.mean()

    def generator_loss(self, fake: Logits) -> Scalar:
        """Return L(G(z))."""
        self._fake_error = -fake.detach().mean()
        return -fake.mean()

    def gauges(self) -> dict[str, Scalar]:
        """Return k, and the convergence measure M = L(x) + |gamma L(x) - L(G(z))|."""
        convergence = self._real_error + self._gap().abs()
        return {"balance": self.balance.clone(), "convergence": convergence}

    @torch.no_grad()
    def settle(self) -> None:
        """Move k by the errors of this iteration."""
        self.balance.add_(self._gap(), alpha=self._gain).clamp_(0.0, 1.0)

    def _gap(self) -> Scalar:
        return self._ratio * self._real_error - self._fake_error


def _advice(rate: float, **others: Any) -> OptimizationSettings:
    return OptimizationSettings(
        generator_learning_rate=rate, discriminator_learning_rate=rate, **others
    )


OBJECTIVES: Registry[Objective] = Registry("objective")

_ADAM = {"optimizer": "adam", "beta1": 0.5, "beta2": 0.999, "critic_steps": 1}
_DCGAN = _advice(2e-4, **_ADAM)
_WGAN = _advice(5e-5, optimizer="rmsprop", critic_steps=5, weight_clip=0.01)
_GP = _advice(1e-4, optimizer="adam", beta1=0.0, beta2=0.9, critic_steps=5, gradient_penalty=10.0)
_BEGAN = _advice(1e-4, **_ADAM, diversity_ratio=0.5, balance_gain=1e-3)
OBJECTIVES.register("gan")(NonSaturatingGAN(_DCGAN, tells_by_sign=True))
OBJECTIVES.register("hinge")(Hinge(_DCGAN, tells_by_sign=True))
OBJECTIVES.register("wgan")(Wasserstein(_WGAN))
OBJECTIVES.register("wgan_gp")(Wasserstein(_GP, allows_batch_normalised_critic=False))
OBJECTIVES.register("began")(BoundaryEquilibrium(_BEGAN, needs_autoencoder=True))


@dataclass(frozen=True)
class Penalty:
    """A term added to the discriminator's loss on every ``every``-th of its steps.

    ``name`` is its name in the log, ``weight`` that of its paper.
    """

    name: ClassVar[str]
    weight: float
    every: int = 1

    def __call__(self, critic: Critic, real: Images, fake: Images, rng: torch.Generator) -> Scalar:
        """Return the weighted term, a scalar."""
        raise NotImplementedError


@dataclass(frozen=True)
class GradientPenalty(Penalty):
    """Pull the critic's slope towards 1 on random mixes of real and fake.

    Source: Gulrajani et al. 2017, eq. 3 (arXiv:1704.00028): weight x E (|grad D(mix)| - 1)^2, one
    mixing number per image.
    """

    name: ClassVar[str] = "gradient_penalty"
    weight: float = 10.0

    def __call__(self, critic: Critic, real: Images, fake: Images, rng: torch.Generator) -> Scalar:
        """Return the weighted penalty, a scalar."""
        share = torch.rand(len(real), *(1 for _ in real.shape[1:]), generator=rng).to(real)
        mixed = torch.lerp(fake.detach().to(real), real.detach(), share).requires_grad_()
        slope = _gradient(critic, mixed).flatten(1).norm(dim=1)
        return self.weight * (slope - 1.0).square().mean()


@dataclass(frozen=True)
class R1(Penalty):
    """Keep the discriminator flat at the real pictures, lazily.

    Source: Mescheder et al. 2018, eq. 9 (arXiv:1801.04406): weight/2 x E |grad D(x)|^2; every k-th
    step with k-fold weight (Karras et al. 2020, arXiv:1912.04958, section 3.1).
    """

    name: ClassVar[str] = "r1"
    every: int = 16

    def __call__(self, critic: Critic, real: Images, fake: Images, rng: torch.Generator) -> Scalar:
        """Return the weighted penalty, a scalar."""
        slope = _gradient(critic, real.detach().clone().requires_grad_())
        return 0.5 * self.weight * self.every * slope.flatten(1).square().sum(dim=1).mean()


@dataclass(frozen=True)
class Drift(Penalty):
    """Keep the critic's scores of real pictures near zero; nothing else does.

    Source: Karras et al. 2018, appendix A.1 (arXiv:1710.10196): weight x E D(x)^2 on reals alone.
    """

    name: ClassVar[str] = "drift"

    def __call__(self, critic: Critic, real: Images, fake: Images, rng: torch.Generator) -> Scalar:
        """Return the weighted term, a scalar."""
        return self.weight * critic(real).float().square().mean()


def _gradient(critic: Critic, images: Images) -> Tensor:
    """Return the float32 gradient of the critic's scores by the images, differentiable again."""
    (slope,) = torch.autograd.grad(critic(images).sum(), images, create_graph=True)
    return slope.float()


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


class PathLength(nn.Module):
    """A penalty on the generator: equal steps of a style change the picture by equal amounts.

    Source: Karras et al. 2020, eq. 4 and appendix B (arXiv:1912.04958): weight x E (|J^T y| - a)^2,
    J the derivative of the picture by the style of each layer, y a picture of N(0, 1) over its
    number of rows, a the running mean of lengths. Every k-th step with k-fold weight, on half a
    batch. Differs: added to the loss of that step, where the authors take a separate step, so that
    Adam's rates need no correction; a is a constant in the penalty.
    """

    def __init__(self, weight: float, every: int) -> None:
        super().__init__()
        self.weight, self.every = weight, every
        self.register_buffer("mean_length", torch.zeros(()))
        self.mean_length: Tensor

    def forward(self, generator: StyledGenerator, latents: Latents, rng: torch.Generator) -> Scalar:
        """Return the weighted penalty on the first half of ``latents`` (b, z), a scalar."""
        styles = generator.styles(latents[: max(1, len(latents) // 2)])  # the others cost too much
        if not styles.requires_grad:  # a plan may have frozen the mapping
            styles = styles.detach().requires_grad_()
        images = generator.synthesize(styles, rng)
        noise = torch.randn(images.shape, generator=rng, device=rng.device).to(images)
        noise = noise / math.sqrt(images.shape[2] * images.shape[3])
        (slope,) = torch.autograd.grad((images * noise).sum(), styles, create_graph=True)
        lengths = slope.float().square().sum(dim=2).mean(dim=1).sqrt()
        with torch.no_grad():
            self.mean_length.lerp_(lengths.mean(), 0.01)
        return self.weight * self.every * (lengths - self.mean_length).square().mean()


def path_length_of(settings: OptimizationSettings) -> PathLength | None:
    """Return the penalty that resolved ``settings`` ask for, if any."""
    if not settings.path_length:
        return None
    return PathLength(settings.path_length, settings.path_length_every)
