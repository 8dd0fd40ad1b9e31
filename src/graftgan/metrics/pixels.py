"""Checks and hashes of pictures, and the sliced Wasserstein distance of their pixels."""

import hashlib
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from graftgan.core.errors import ScoreError
from graftgan.core.network_types import PictureBytes, to_images


def check_pictures(pictures: Tensor) -> None:
    """Raise ScoreError if ``pictures`` are not square uint8 ones (n, 1 or 3, h, h)."""
    shape = tuple(pictures.shape)
    fits = len(shape) == 4 and shape[1] in (1, 3) and shape[2] == shape[3] and shape[2] > 0
    if not fits or pictures.dtype != torch.uint8:
        raise ScoreError(
            f"pictures to measure are uint8 of (count, 1 or 3, side, side), got {pictures.dtype} "
            f"of {shape}"
        )


def check_measurable(pictures: Tensor) -> None:
    """Raise ScoreError if ``pictures`` are malformed, fewer than two, or all of a single colour."""
    check_pictures(pictures)
    if len(pictures) < 2:
        raise ScoreError(f"a score needs at least 2 pictures, got {len(pictures)}")
    # In chunks, as the first one usually decides.
    if all(bool((chunk == chunk[:, :, :1, :1]).all()) for chunk in pictures.split(256)):
        raise ScoreError(
            f"all {len(pictures)} pictures are one-colour pictures, so there is nothing to "
            "measure; look at the samples, the generator may have collapsed"
        )


def pictures_sha256(pictures: Tensor) -> str:
    """Return the sha256 of the shape and bytes of uint8 ``pictures``, in their order."""
    digest = hashlib.sha256(repr(tuple(pictures.shape)).encode())
    for chunk in pictures.split(256):
        digest.update(chunk.cpu().contiguous().numpy().data)
    return digest.hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class SlicedWassersteinProtocol:
    """How a distance was measured; distances are comparable only if these agree."""

    side: int = 16  # pixels a side, to which pictures are averaged down
    directions: int = 256  # random unit directions
    count: int = 512  # pictures of each kind
    seed: int = 0  # of the directions and the choice of pictures


@dataclass(frozen=True, slots=True, kw_only=True)
class SlicedWassersteinUse(SlicedWassersteinProtocol):
    """The protocol with the real pictures that it was used on."""

    real: str
    real_count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SlicedWassersteinScore:
    """A distance and how it was measured."""

    name: str
    value: float
    better: str = "lower"
    protocol: SlicedWassersteinUse


def sliced_wasserstein(
    generated: PictureBytes, real: PictureBytes, protocol: SlicedWassersteinProtocol
) -> float:
    """Return the mean 1-Wasserstein distance over random directions, in units of [-1, 1] pixels.

    It is cheap and needs no feature network, so it selects the best checkpoint and detects
    collapse; it does not replace a perceptual score.

    Source: Rabin et al. 2011; used on GANs by Karras et al. 2018 (arXiv:1710.10196, section 5) on
    patches. Differs: each whole picture, scaled down, is one point. Sets of different sizes are
    compared at ``protocol.count`` evenly spaced quantiles.
    """
    rng = torch.Generator().manual_seed(protocol.seed)
    points = [_points(pictures, protocol) for pictures in (generated, real)]
    directions = torch.randn(points[0].shape[1], protocol.directions, generator=rng)
    directions /= directions.norm(dim=0, keepdim=True)
    quantiles = (torch.arange(protocol.count) + 0.5) / protocol.count
    first, second = (torch.quantile(p @ directions, quantiles, dim=0) for p in points)
    return float((first - second).abs().mean())


def _points(pictures: PictureBytes, protocol: SlicedWassersteinProtocol) -> Tensor:
    if len(pictures) > protocol.count:
        rng = torch.Generator().manual_seed(protocol.seed)
        pictures = pictures[torch.randperm(len(pictures), generator=rng)[: protocol.count]]
    small = F.adaptive_avg_pool2d(to_images(pictures.cpu()), min(protocol.side, pictures.shape[-1]))
    return small.flatten(1)
