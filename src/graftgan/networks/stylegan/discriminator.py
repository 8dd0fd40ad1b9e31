"""StyleGAN2's discriminator: residual blocks from the pixels down, then the score.

Source: Karras et al. 2020, section 2 and figure 7c (arXiv:1912.04958); the deviation within groups
of pictures from Karras et al. 2018, section 3 (arXiv:1710.10196). StyleGAN3 has the same.
"""

import math

import torch
from torch import Tensor, nn

from graftgan.networks.stylegan.linear import ScaledConv2d, ScaledLinear
from graftgan.networks.stylegan.low_pass import binomial_filter

_GAIN = math.sqrt(0.5)  # of both branches, so that their sum has the variance of one
_EPSILON = 1e-8


class HalvingBlock(nn.Module):
    """Two convolutions that halve the size, beside one that does it at once where ``residual``."""

    def __init__(
        self, inputs: int, outputs: int, *, channels: int, clamp: float, residual: bool
    ) -> None:
        """``channels``: of the pictures, for the first block; 0 for any other."""
        super().__init__()
        self.register_buffer("resample_filter", binomial_filter())  # as the published have it
        if channels:
            self.fromrgb = ScaledConv2d(channels, inputs, 1, clamp=clamp)
        self.conv0 = ScaledConv2d(inputs, inputs, 3, clamp=clamp)
        self.conv1 = ScaledConv2d(inputs, outputs, 3, down=True, clamp=clamp)
        if residual:
            self.skip = ScaledConv2d(inputs, outputs, 1, active=False, bias=False, down=True)
        self._is_residual = residual
        self._is_first = channels > 0

    def forward(self, features: Tensor) -> Tensor:
        """Return features (b, o, h/2, w/2)."""
        if self._is_first:
            features = self.fromrgb(features)
        if not self._is_residual:
            return self.conv1(self.conv0(features))
        return self.skip(features, _GAIN) + self.conv1(self.conv0(features), _GAIN)


class Epilogue(nn.Module):
    """The deviation between pictures, a convolution, and two linear layers to the score."""

    def __init__(self, inputs: int, outputs: int, side: int, *, group: int, clamp: float) -> None:
        super().__init__()
        self.conv = ScaledConv2d(inputs + 1, inputs, 3, clamp=clamp)
        self.fc = ScaledLinear(inputs * side**2, inputs, active=True)
        self.out = ScaledLinear(inputs, outputs)
        self._group = group

    def forward(self, maps: Tensor) -> Tensor:
        """Return scores (b, o) of the last maps (b, c, h, w)."""
        return self.out(self.fc(self.conv(with_deviation(maps, self._group)).flatten(1)))


def with_deviation(maps: Tensor, group: int) -> Tensor:
    """Add a channel to maps (b, c, h, w): the mean standard deviation within groups of pictures.

    Groups have ``group`` pictures, or as many fewer as the batch is divided by; with 0 the batch is
    one group.
    """
    batch, channels, height, width = maps.shape
    size = next(size for size in range(min(group or batch, batch), 0, -1) if batch % size == 0)
    grouped = maps.float().reshape(size, batch // size, channels, height, width)
    variance = (grouped - grouped.mean(dim=0)).square().mean(dim=0)
    deviation = variance.add(_EPSILON).sqrt().mean(dim=(1, 2, 3))
    field = deviation.repeat(size)[:, None, None, None].expand(batch, 1, height, width)
    return torch.cat([maps, field.to(maps)], dim=1)
