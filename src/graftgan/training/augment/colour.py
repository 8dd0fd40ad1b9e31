"""Changes of colour, as DiffAugment defines them (Zhao et al. 2020, arXiv:2006.10738, section 3.2).

Differs: the ranges are arguments. Nothing is clamped here, so that gradients reach every pixel.
"""

import torch

from graftgan.core.tensors import Images
from graftgan.training.augment.operations import Chances, per_image, pixel_operation


@pixel_operation("brightness", draws=1, amount=0.5)
def brightness(images: Images, chances: Chances, amount: float) -> Images:
    """Add to every image one number from U(-amount, amount); images span [-1, 1]."""
    return images + per_image(amount * (2 * chances[:, 0] - 1), images)


@pixel_operation("saturation", draws=1, amount=1.0)
def saturation(images: Images, chances: Chances, amount: float) -> Images:
    """Scale colours about the gray of every pixel, its mean over the channels."""
    gray = images.mean(dim=1, keepdim=True)
    return torch.lerp(gray, images, _factor(images, chances, amount))


@pixel_operation("contrast", draws=1, amount=0.5)
def contrast(images: Images, chances: Chances, amount: float) -> Images:
    """Scale every image about its mean over pixels and channels."""
    mean = images.mean(dim=(1, 2, 3), keepdim=True)
    return torch.lerp(mean, images, _factor(images, chances, amount))


def _factor(images: Images, chances: Chances, amount: float) -> torch.Tensor:
    """Return a factor per image from U(1 - amount, 1 + amount), never below 0 (a negative)."""
    return per_image((1 + amount * (2 * chances[:, 0] - 1)).clamp(min=0), images)
