"""Parts that several backbones share: normalisations, and the papers' start of the weights."""

from collections.abc import Callable, Sequence

import torch
from torch import nn

from graftgan.core.errors import SettingsError
from graftgan.core.network_types import Architecture
from graftgan.core.registry import Registry

_LARGEST_MULTIPLE = 8  # no feature map has more than 8 x width channels

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


@NORMALISATIONS.register("spectral")
def spectral_normalisation(channels: int) -> nn.Module:
    """Leave the features as they are: the kernels before them have norm 1 (:mod:`spectral`)."""
    del channels
    return nn.Identity()


def feature_maps(architecture: Architecture) -> list[int]:
    """Return the channels of the hidden maps from the picture's side to the 4x4 side."""
    halvings = architecture.resolution.bit_length() - 3
    return [architecture.width * min(2**i, _LARGEST_MULTIPLE) for i in range(halvings)]


def refuse_resolution(architecture: Architecture, possible: Sequence[int]) -> None:
    """Refuse an ``architecture`` whose pictures are of another side than the ``possible`` ones.

    Raises:
        SettingsError: It is.
    """
    if architecture.resolution not in possible:
        raise SettingsError(
            f"{architecture.backbone} makes pictures of {', '.join(map(str, possible))} px, "
            f"not {architecture.resolution} px; choose one of those as the resolution"
        )


def refuse_normalisation(architecture: Architecture) -> None:
    """Refuse an ``architecture`` that asks for a normalisation where its backbone has none.

    Raises:
        SettingsError: It does.
    """
    norms = {architecture.generator_normalisation, architecture.discriminator_normalisation}
    if norms != {"none"}:
        raise SettingsError(
            f"{architecture.backbone} has no normalisation; leave it out, or choose dcgan"
        )


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
def start_by_fan_in(module: nn.Module, rng: torch.Generator, *, gain: float = 2.0) -> None:
    """Draw kernels that keep the size of the features through many layers; biases are zero.

    Source: He et al. 2015, eq. 10 (arXiv:1502.01852): variance ``gain`` / inputs of a unit. A gain
    of 2 undoes what a ReLU takes away.
    """
    for part in module.modules():
        if isinstance(part, nn.Conv2d | nn.Linear):
            inputs = part.weight[0].numel()
            part.weight.normal_(0.0, (gain / inputs) ** 0.5, generator=rng)
            if part.bias is not None:  # pyright: ignore[reportUnnecessaryComparison]
                part.bias.zero_()
