"""Sliced Wasserstein distance of small pictures: cheap, and without a feature network.

It picks the best checkpoint and warns of collapse; it is no replacement for a perceptual score.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from graftgan.core.tensors import PictureBytes, to_images


@dataclass(frozen=True, slots=True, kw_only=True)
class SlicedWassersteinProtocol:
    """How a distance was measured; two distances compare only if these agree.

    Attributes:
        side: Pictures are averaged down to this many pixels a side before they are compared.
        directions: Random unit directions.
        count: Pictures of each kind.
        seed: Of the directions and the choice of pictures.
    """

    side: int = 16
    directions: int = 256
    count: int = 512
    seed: int = 0


def sliced_wasserstein(
    generated: PictureBytes, real: PictureBytes, protocol: SlicedWassersteinProtocol
) -> float:
    """Return the mean 1-Wasserstein distance over random directions, in units of [-1, 1] pixels.

    Source: Rabin et al. 2011; used on GANs by Karras et al. 2018 (arXiv:1710.10196, section 5) on
    patches. Here: whole pictures, scaled down; every picture is one point. Sets of different
    sizes are compared at ``protocol.count`` evenly spaced quantiles.
    """
    rng = torch.Generator().manual_seed(protocol.seed)
    points = [_points(pictures, protocol) for pictures in (generated, real)]
    directions = torch.randn(points[0].shape[1], protocol.directions, generator=rng)
    directions /= directions.norm(dim=0, keepdim=True)
    quantiles = (torch.arange(protocol.count) + 0.5) / protocol.count
    first, second = (torch.quantile(p @ directions, quantiles, dim=0) for p in points)
    return float((first - second).abs().mean())


def _points(pictures: PictureBytes, protocol: SlicedWassersteinProtocol) -> Tensor:
    """Return up to ``count`` pictures, scaled down, as rows."""
    if len(pictures) > protocol.count:
        rng = torch.Generator().manual_seed(protocol.seed)
        pictures = pictures[torch.randperm(len(pictures), generator=rng)[: protocol.count]]
    small = F.adaptive_avg_pool2d(to_images(pictures.cpu()), min(protocol.side, pictures.shape[-1]))
    return small.flatten(1)
