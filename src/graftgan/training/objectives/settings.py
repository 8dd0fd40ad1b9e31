"""The optimizer's settings: what an objective advises unless a person says otherwise."""

import math
from dataclasses import dataclass, fields, replace
from typing import Literal

from graftgan.core.errors import SettingsError
from graftgan.core.settings import strict

_USUAL_BETAS = (0.5, 0.999)  # DCGAN's, for Adam under an objective that advises another optimizer

_ZERO_IF_OPEN = ("r1_gamma", "path_length", "style_mixing")

OptimizerName = Literal["adam", "rmsprop", "sgd"]


@strict
@dataclass(frozen=True, slots=True, kw_only=True)
class OptimizationSettings:
    """How the optimizers work. What is not given comes from the objective's own paper."""

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
    """Error of generated pictures as a share of that of real ones, low for sharp (began only)."""
    balance_gain: float | None = None
    """How fast the balance follows the errors; more for short runs (began only)."""
    r1_gamma: float | None = None
    """Weight of the R1 penalty on real pictures; 0: none. StyleGANs have one by themselves."""
    r1_every: int = 16
    """Discriminator steps between two R1 penalties (lazy regularisation)."""
    path_length: float | None = None
    """Weight of the penalty on uneven path lengths; 0: none (networks with styles only)."""
    path_length_every: int = 4
    """Generator steps between two penalties on path lengths."""
    style_mixing: float | None = None
    """Share of generated pictures whose coarse and fine layers get the styles of two latents."""

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, int | float) and not 0 <= value < math.inf:
                raise SettingsError(f"{field.name} must be finite and not negative, got {value}")
        for name in ("beta1", "beta2"):
            if (getattr(self, name) or 0.0) >= 1:
                raise SettingsError(f"{name} must be below 1, got {getattr(self, name)}")
        if (self.style_mixing or 0.0) > 1:
            raise SettingsError(f"style_mixing must be at most 1, got {self.style_mixing}")
        for name in ("generator_learning_rate", "discriminator_learning_rate"):
            if getattr(self, name) == 0:
                raise SettingsError(f"{name} must be positive; a plan can freeze layers")
        for name in ("critic_steps", "r1_every", "path_length_every"):
            if getattr(self, name) == 0:
                raise SettingsError(f"{name} must be at least 1, got 0")

    def or_else(self, defaults: "OptimizationSettings") -> "OptimizationSettings":
        """Fill what is not given from ``defaults``.

        Raises:
            SettingsError: A setting is given that means nothing under this defaults.
        """
        given = {f.name: getattr(self, f.name) for f in fields(self)}
        for name in ("weight_clip", "gradient_penalty", "diversity_ratio", "balance_gain"):
            if given[name] is not None and getattr(defaults, name) is None:
                raise SettingsError(f"{name} means nothing for this objective; remove it")
        filled = {n: getattr(defaults, n) for n, v in given.items() if v is None}
        merged = replace(self, **filled)
        absent = {n: 0.0 for n in _ZERO_IF_OPEN if getattr(merged, n) is None}
        merged = replace(merged, **absent)
        if merged.optimizer == "adam":
            beta1 = _USUAL_BETAS[0] if merged.beta1 is None else merged.beta1
            beta2 = _USUAL_BETAS[1] if merged.beta2 is None else merged.beta2
            return replace(merged, beta1=beta1, beta2=beta2)
        if self.beta1 is not None or self.beta2 is not None:
            raise SettingsError(f"beta1 and beta2 mean nothing for {merged.optimizer}; remove them")
        return replace(merged, beta1=None, beta2=None)
