"""Parts that several backbones share: normalisations, and the papers' start of the weights."""

from collections.abc import Callable

import torch
from torch import nn

from graftgan.registry import Registry

Normalisation = Callable[[int], nn.Module]
NORMALISATIONS: Registry[Normalisation] = Registry("normalisation")


@NORMALISATIONS.register("batch")
def batch_normalisation(channels: int) -> nn.Module:
    """Statistics over the batch (Ioffe and Szegedy 2015). Not for a critic with a gradient penalty.

    A penalty on single images means nothing where one image's score depends on the others.
    """
    return nn.BatchNorm2d(channels)


@NORMALISATIONS.register("instance")
def instance_normalisation(channels: int) -> nn.Module:
    """Statistics of every channel of every image (Ulyanov et al. 2016)."""
    return nn.GroupNorm(channels, channels)


@NORMALISATIONS.register("layer")
def layer_normalisation(channels: int) -> nn.Module:
    """Statistics of every image (Ba et al. 2016): what WGAN-GP advises for its critic."""
    return nn.GroupNorm(1, channels)


@NORMALISATIONS.register("none")
def no_normalisation(channels: int) -> nn.Module:
    """Leave the features as they are."""
    del channels
    return nn.Identity()


@torch.no_grad()
def start_weights(module: nn.Module, rng: torch.Generator) -> None:
    """Draw the starting weights of DCGAN (Radford et al. 2016, section 3).

    Convolutions and linear layers from N(0, 0.02), scales of normalisations from N(1, 0.02), every
    bias zero.
    """
    for part in module.modules():
        if isinstance(part, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            part.weight.normal_(0.0, 0.02, generator=rng)
        elif isinstance(part, nn.BatchNorm2d | nn.GroupNorm):
            part.weight.normal_(1.0, 0.02, generator=rng)
        else:
            continue
        if part.bias is not None:  # pyright: ignore[reportUnnecessaryComparison]
            part.bias.zero_()


@torch.no_grad()
def start_before_relu(linear: nn.Linear, rng: torch.Generator) -> None:
    """Draw weights that keep the size of the features through a ReLU; the bias is zero.

    Source: He et al. 2015, eq. 10 (arXiv:1502.01852).
    """
    linear.weight.normal_(0.0, (2.0 / linear.in_features) ** 0.5, generator=rng)
    linear.bias.zero_()
