"""A penalty on the generator: equal steps of a style change the picture by equal amounts."""

import math

import torch
from torch import Tensor, nn

from graftgan.core.network_types import StyledGenerator
from graftgan.core.tensors import Latents, Scalar
from graftgan.training.objectives.settings import OptimizationSettings

_DECAY = 0.01  # of the mean length
_SHARE = 2  # a batch over this is looked at: the gradient of a gradient is dear


class PathLength(nn.Module):
    """weight x E (|J^T y| - a)^2, lazily.

    Source: Karras et al. 2020, eq. 4 and appendix B (arXiv:1912.04958): J is the derivative of the
    picture by the style of each layer, y a picture of N(0, 1) over its number of rows, a the
    running mean of lengths. Every k-th step with k-fold weight, on half a batch. Differs: added to
    the loss of that step, where the authors take a step of its own, so that Adam's rates need no
    correction; a is a constant in the penalty.
    """

    def __init__(self, weight: float, every: int) -> None:
        super().__init__()
        self.weight, self.every = weight, every
        self.register_buffer("mean_length", torch.zeros(()))
        self.mean_length: Tensor

    def forward(self, generator: StyledGenerator, latents: Latents, rng: torch.Generator) -> Scalar:
        """Return the weighted penalty on the first half of ``latents`` (b, z), a scalar."""
        styles = generator.styles(latents[: max(1, len(latents) // _SHARE)])
        if not styles.requires_grad:  # a plan may have frozen the mapping
            styles = styles.detach().requires_grad_()
        images = generator.synthesize(styles, rng)
        noise = torch.randn(images.shape, generator=rng, device=rng.device).to(images)
        noise = noise / math.sqrt(images.shape[2] * images.shape[3])
        (slope,) = torch.autograd.grad((images * noise).sum(), styles, create_graph=True)
        lengths = slope.float().square().sum(dim=2).mean(dim=1).sqrt()
        with torch.no_grad():
            self.mean_length.lerp_(lengths.mean(), _DECAY)
        return self.weight * self.every * (lengths - self.mean_length).square().mean()


def path_length_of(settings: OptimizationSettings) -> PathLength | None:
    """Return the penalty that resolved ``settings`` ask for, if any."""
    if not settings.path_length:
        return None
    return PathLength(settings.path_length, settings.path_length_every)
