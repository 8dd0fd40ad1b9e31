"""SNGAN's residual networks (Miyato et al. 2018, arXiv:1802.05957, tables 3 to 6), 32 to 256 px.

Generator: a linear layer to 4 x 4 maps, residual blocks with BatchNorm that double the size, then
BatchNorm, ReLU and a convolution to pixels with Tanh. Discriminator: residual blocks that halve the
size, one that keeps it, ReLU, the sum over all positions, a linear score; every kernel is divided
by its largest singular value (``spectral``) unless the settings say otherwise.

Differs from the paper: the channels follow ``width`` as in our dcgan (the paper has 256 throughout
for CIFAR-10, and 64 to 1024 for its larger pictures); weights are initialised normal by fan-in, in
the paper uniform by Glorot.
"""

import itertools

import torch.nn.functional as F
from torch import Tensor, nn

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
)

_SMALLEST = 4  # pixels: the maps at the linear layers


class UpBlock(nn.Module):
    """A residual block that doubles the size: normalise, ReLU, double, convolve, and again."""

    def __init__(self, inputs: int, outputs: int, kind: str) -> None:
        super().__init__()
        convolution = layer_for(kind, nn.Conv2d)
        self.norm1 = NORMALISATIONS[kind](inputs)
        self.conv1 = convolution(inputs, outputs, 3, 1, 1)
        self.norm2 = NORMALISATIONS[kind](outputs)
        self.conv2 = convolution(outputs, outputs, 3, 1, 1)
        self.shortcut = convolution(inputs, outputs, 1, 1, 0)

    def forward(self, features: Tensor) -> Tensor:
        """Map features (b, c, h, w) to (b, d, 2h, 2w)."""
        changed = self.conv1(_doubled(F.relu(self.norm1(features))))
        changed = self.conv2(F.relu(self.norm2(changed)))
        return changed + self.shortcut(_doubled(features))


class DownBlock(nn.Module):
    """A residual block that halves or keeps the size; the ``first`` applies no ReLU to pixels."""

    def __init__(
        self, inputs: int, outputs: int, kind: str, *, halves: bool = True, first: bool = False
    ) -> None:
        super().__init__()
        convolution = layer_for(kind, nn.Conv2d)
        self.norm1 = nn.Identity() if first else NORMALISATIONS[kind](inputs)
        self.conv1 = convolution(inputs, outputs, 3, 1, 1)
        self.norm2 = NORMALISATIONS[kind](outputs)
        self.conv2 = convolution(outputs, outputs, 3, 1, 1)
        same = inputs == outputs and not halves
        self.shortcut = nn.Identity() if same else convolution(inputs, outputs, 1, 1, 0)
        self._halves, self._first = halves, first

    def forward(self, features: Tensor) -> Tensor:
        """Map features (b, c, h, w) to (b, d, h/2, w/2), or to (b, d, h, w)."""
        changed = features if self._first else F.relu(self.norm1(features))
        changed = self.conv2(F.relu(self.norm2(self.conv1(changed))))
        if not self._halves:
            return changed + self.shortcut(features)
        return F.avg_pool2d(changed, 2) + self.shortcut(F.avg_pool2d(features, 2))


class SNGANGenerator(StackedGenerator):
    """``layer1`` maps the latent to 4x4, each block doubles the size, the last layer draws."""

    def __init__(self, architecture: Architecture) -> None:
        kind = architecture.generator_normalisation
        maps = feature_maps(architecture)[::-1]
        linear = layer_for(kind, nn.Linear)(architecture.latent_size, maps[0] * _SMALLEST**2)
        shape = nn.Unflatten(1, (maps[0], _SMALLEST, _SMALLEST))
        layers: list[nn.Module] = [named_layers(linear=linear, maps=shape)]
        layers += [UpBlock(a, b, kind) for a, b in itertools.pairwise([*maps, maps[-1]])]
        norm = NORMALISATIONS[kind](maps[-1])
        conv = layer_for(kind, nn.Conv2d)(maps[-1], architecture.channels, 3, 1, 1)
        layers.append(named_layers(norm=norm, activation=nn.ReLU(), conv=conv, pixels=nn.Tanh()))
        super().__init__(architecture, layers)


class SNGANDiscriminator(StackedDiscriminator):
    """Every block but the last one halves the size; the last layer is the linear score."""

    def __init__(self, architecture: Architecture) -> None:
        kind = architecture.discriminator_normalisation
        maps = feature_maps(architecture)
        layers: list[nn.Module] = [DownBlock(architecture.channels, maps[0], kind, first=True)]
        layers += [DownBlock(a, b, kind) for a, b in itertools.pairwise(maps)]
        layers.append(DownBlock(maps[-1], maps[-1], kind, halves=False))
        layers.append(layer_for(kind, nn.Linear)(maps[-1], 1))
        super().__init__(architecture, layers)

    def feature_steps(self) -> Steps:
        """Return the blocks; the features of the last are summed over all positions."""
        steps = dict(super().feature_steps())
        name, last = steps.popitem()
        return {**steps, name: lambda features: F.relu(last(features)).sum(dim=(2, 3))}


def _doubled(features: Tensor) -> Tensor:
    return F.interpolate(features, scale_factor=2.0, mode="nearest")


BACKBONES.register("sngan")(
    Backbone(
        builder_of(SNGANGenerator, SNGANDiscriminator, sides=SIDES),
        normalisation="batch",
        discriminator_normalisation="spectral",
    )
)
