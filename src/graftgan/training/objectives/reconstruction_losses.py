"""Reconstruct pictures from a latent each: the settings, and the terms that need no network."""

import math
from dataclasses import dataclass, fields
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from graftgan.core.errors import SettingsError
from graftgan.core.settings import strict
from graftgan.core.tensors import Images, Latents, Scalar

_SMALLEST = 8  # pixels: where the pyramid of differences ends


@strict
@dataclass(frozen=True, slots=True, kw_only=True)
class ReconstructionSettings:
    """How pictures are reconstructed from a latent each; only for the procedure reconstruction."""

    pixel_distance: Literal["l1", "laplacian"] = "l1"
    """l1, or laplacian: the same on each level of a Laplacian pyramid."""
    perceptual_weight: float = 1.0
    """Weight of the distance between feature maps; 0: none."""
    perceptual_network: str = "efficientnet_lite0"
    """Whose feature maps: efficientnet_lite0 (from pip), or a file of torchvision's VGG16."""
    latent_rate: float = 0.05
    """Step size of the latents."""
    latent_radius: float = 0.0
    """Latents start at random in a ball of this radius and stay in it; 0: at 0, and are free."""
    latent_noise: float = 0.0
    """Standard deviation of the noise on latents while training."""
    latent_prior_weight: float = 0.0
    """Weight of the distance between a batch's latents and N(0, I)."""
    modulation_prior_weight: float = 0.0
    """Weight of the squared distance of learnt scales from 1 and learnt shifts from 0."""
    sampled_spread: float = 0.0
    """Samples come from N(0, spread^2 I); 0: from a Gaussian fitted to the latents."""
    rate_drop: float = 1.0
    """What all learning rates are multiplied with after 30, 60 and 90 % of the run."""

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, int | float) and not 0 <= value < math.inf:
                raise SettingsError(f"{field.name} must be finite and not negative, got {value}")
        for name in ("latent_rate", "rate_drop"):
            if getattr(self, name) == 0:
                raise SettingsError(f"{name} must be positive")

    def rate_at(self, progress: float) -> float:
        """Return the multiple of all learning rates when ``progress`` of the run is done."""
        return self.rate_drop ** sum(progress >= share for share in (0.3, 0.6, 0.9))


def neighbour_distance(latents: Latents, draws: Latents) -> Scalar:
    """Return how far two sets of latents lie apart: squared distances to nearest neighbours.

    Source: what Noguchi and Harada's code (arXiv:1904.01774) calls EMD: the mean over ``draws`` of
    the nearest of ``latents``, plus the mean over ``latents`` of the nearest of ``draws``.
    """
    squares = latents.square().sum(1)[:, None] + draws.square().sum(1) - 2 * latents @ draws.T
    return squares.amin(0).mean() + squares.amin(1).mean()


def pixel_distance(generated: Images, real: Images) -> Scalar:
    """Return the mean absolute difference of pixels in [-1, 1]."""
    return F.l1_loss(generated, real)


def laplacian_distance(generated: Images, real: Images) -> Scalar:
    """Return the mean absolute difference on each level of a Laplacian pyramid, summed.

    Source: Lap1 of GLO (Bojanowski et al. 2018, arXiv:1707.05776; Ling and Okada 2006). Its weights
    of 4^j on sums over level j are equal weights on means.
    """
    rest = generated - real  # a pyramid is linear: that of the difference will do
    total = rest.new_zeros(())
    while rest.shape[-1] > _SMALLEST:
        blurred = _halved(rest)
        enlarged = F.interpolate(blurred, size=rest.shape[-2:], mode="bilinear")
        total = total + (rest - enlarged).abs().mean()
        rest = blurred
    return total + rest.abs().mean()


def _halved(images: Images) -> Images:
    """Blur with Burt and Adelson's five taps, and keep every other row and column."""
    taps = images.new_tensor([1.0, 4.0, 6.0, 4.0, 1.0]) / 16
    channels = images.shape[1]
    kernel = torch.outer(taps, taps).expand(channels, 1, 5, 5)
    padded = F.pad(images, (2, 2, 2, 2), mode="reflect")
    return F.conv2d(padded, kernel, stride=2, groups=channels)


def kl_to_standard_normal(mean: Latents, log_variance: Latents) -> Scalar:
    """Return KL(N(mean, variance) | N(0, I)) in nats, a mean over the batch (b, z).

    Source: Kingma and Welling 2014, appendix B (arXiv:1312.6114).
    """
    each = mean.square() + log_variance.exp() - 1.0 - log_variance
    return 0.5 * each.sum(dim=1).mean()


def within_ball(latents: Latents, radius: float) -> Latents:
    """Return ``latents`` (n, z) with those outside the ball of ``radius`` put on its surface."""
    return latents * (radius / latents.norm(dim=1, keepdim=True)).clamp(max=1.0)


def gaussian_of(latents: Latents) -> tuple[Tensor, Tensor]:
    """Return mean (z,) and factor (z, z) of a Gaussian fitted to ``latents`` (n, z).

    The factor is that of Cholesky, which follows slow latents slowly: an eigenbasis would jump, and
    with it the samples from latents that stay the same. Its small ridge lets it exist for fewer
    pictures than dimensions.
    """
    exact = latents.detach().to("cpu", torch.float64)  # not every device knows float64
    mean = exact.mean(0)
    centred = exact - mean
    covariance = centred.T @ centred / len(exact)
    ridge = 1e-6 * (covariance.diagonal().mean() + 1e-6)
    factor = torch.linalg.cholesky(covariance + ridge * torch.eye(len(mean)))
    return mean.to(latents), factor.to(latents)
