"""DCGAN (Radford et al. 2016, arXiv:1511.06434) as papers 000 and 001 use it, for 32 to 256 px.

At 64 px: a generator of five transposed convolutions (BatchNorm and ReLU, Tanh at the end) and a
discriminator of four convolutions (LeakyReLU 0.2, BatchNorm) with one fully connected layer. Each
doubling of the resolution adds one layer to both. Weights start from N(0, 0.02).

Differs from the paper: the normalisation is a setting, and the discriminator ends in a fully
connected layer without a sigmoid, so that it serves as a critic too (papers 000/001 do the same).
"""

import itertools

from torch import nn

from graftgan.core.network_types import Architecture, Steps
from graftgan.networks.backbone import BACKBONES, Backbone
from graftgan.networks.blocks import (
    NORMALISATIONS,
    SIDES,
    StackedDiscriminator,
    StackedGenerator,
    builder_of,
    feature_maps,
    layer_for,
    named_layers,
    start_weights,
)


class DCGANGenerator(StackedGenerator):
    """``layer1`` takes the latent to 4x4; every further layer doubles the size."""

    def __init__(self, architecture: Architecture) -> None:
        maps = feature_maps(architecture)[::-1]
        kind = architecture.generator_normalisation
        blocks = [_up(architecture.latent_size, maps[0], kind, stride=1, padding=0)]
        blocks += [_up(a, b, kind) for a, b in itertools.pairwise(maps)]
        last = layer_for(kind, nn.ConvTranspose2d)(maps[-1], architecture.channels, 4, 2, 1)
        blocks.append(named_layers(conv=last, activation=nn.Tanh()))
        super().__init__(architecture, blocks)

    def steps(self) -> Steps:
        """Return the layers; the first takes the latent as an image of one pixel."""
        first = self.blocks["layer1"]
        return {**self.layers(), "layer1": lambda latents: first(latents[:, :, None, None])}


class DCGANDiscriminator(StackedDiscriminator):
    """Every layer but the last halves the size; the last is fully connected."""

    def __init__(self, architecture: Architecture) -> None:
        maps = feature_maps(architecture)
        kind = architecture.discriminator_normalisation
        # DCGAN does not normalise the features of the input layer.
        blocks = [_down(architecture.channels, maps[0], kind if kind == "spectral" else "none")]
        blocks += [_down(a, b, kind) for a, b in itertools.pairwise(maps)]
        linear = layer_for(kind, nn.Linear)(maps[-1] * 4 * 4, 1)
        blocks.append(named_layers(flatten=nn.Flatten(), linear=linear))
        super().__init__(architecture, blocks)


def _up(inputs: int, outputs: int, kind: str, *, stride: int = 2, padding: int = 1) -> nn.Module:
    biased = kind in {"none", "spectral"}
    conv = layer_for(kind, nn.ConvTranspose2d)(inputs, outputs, 4, stride, padding, bias=biased)
    norm = NORMALISATIONS[kind](outputs)
    return named_layers(conv=conv, norm=norm, activation=nn.ReLU(inplace=True))


def _down(inputs: int, outputs: int, kind: str) -> nn.Module:
    conv = layer_for(kind, nn.Conv2d)(inputs, outputs, 4, 2, 1, bias=kind in {"none", "spectral"})
    norm = NORMALISATIONS[kind](outputs)
    return named_layers(conv=conv, norm=norm, activation=nn.LeakyReLU(0.2, inplace=True))


BACKBONES.register("dcgan")(
    Backbone(
        builder_of(DCGANGenerator, DCGANDiscriminator, start_weights, sides=SIDES),
        normalisation="batch",
    )
)
