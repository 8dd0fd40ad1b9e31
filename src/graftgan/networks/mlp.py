"""The original GAN (Goodfellow et al. 2014, arXiv:1406.2661): fully connected, of any size.

Differs from the paper: LeakyReLU 0.2 instead of maxout and dropout in the discriminator, Tanh at
the generator's end (pictures are in [-1, 1]), weights initialised normal by fan-in. (With DCGAN's
N(0, 0.02) the features shrink from layer to layer: on MNIST the generator then collapses.)
"""

import itertools

from torch import nn

from graftgan.core.network_types import Architecture, Steps
from graftgan.networks.backbone import BACKBONES, Backbone
from graftgan.networks.blocks import (
    StackedDiscriminator,
    StackedGenerator,
    builder_of,
    named_layers,
)


class MLPGenerator(StackedGenerator):
    """Three growing hidden layers (4, 8 and 16 times the width), then the pixels."""

    def __init__(self, architecture: Architecture) -> None:
        width = architecture.width
        sizes = [architecture.latent_size, 4 * width, 8 * width, 16 * width]
        blocks = [_dense(a, b, nn.ReLU(inplace=True)) for a, b in itertools.pairwise(sizes)]
        blocks.append(_dense(sizes[-1], _pixels(architecture), nn.Tanh()))
        super().__init__(architecture, blocks)

    def steps(self) -> Steps:
        """Return the layers; the last reshapes its output to images."""
        last, side = self.blocks["layer4"], self.architecture.resolution
        shape = (self.architecture.channels, side, side)
        return {**self.layers(), "layer4": lambda features: last(features).unflatten(1, shape)}


class MLPDiscriminator(StackedDiscriminator):
    """Three shrinking hidden layers (16, 8 and 4 times the width), then the score."""

    def __init__(self, architecture: Architecture) -> None:
        width = architecture.width
        sizes = [_pixels(architecture), 16 * width, 8 * width, 4 * width]
        blocks = [
            _dense(a, b, nn.LeakyReLU(0.2, inplace=True)) for a, b in itertools.pairwise(sizes)
        ]
        blocks.append(_dense(sizes[-1], 1, nn.Identity()))
        super().__init__(architecture, blocks)

    def feature_steps(self) -> Steps:
        """Return the hidden layers; the first flattens the images."""
        first = self.blocks["layer1"]
        return {**super().feature_steps(), "layer1": lambda images: first(images.flatten(1))}


def _dense(inputs: int, outputs: int, activation: nn.Module) -> nn.Module:
    return named_layers(linear=nn.Linear(inputs, outputs), activation=activation)


def _pixels(architecture: Architecture) -> int:
    return architecture.channels * architecture.resolution**2


BACKBONES.register("mlp")(
    Backbone(builder_of(MLPGenerator, MLPDiscriminator, normalises=False), normalisation="none")
)
