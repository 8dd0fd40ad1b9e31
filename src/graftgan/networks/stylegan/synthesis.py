"""The drawing half of StyleGAN2's generator, with a picture that grows along (skips).

Source: Karras et al. 2020, section 2 and figure 7b (arXiv:1912.04958). Names of parameters and
buffers are those of the published networks, so that their state fits.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from graftgan.core.tensors import Images
from graftgan.networks.stylegan.linear import ScaledLinear
from graftgan.networks.stylegan.low_pass import binomial_filter
from graftgan.networks.stylegan.modulated_conv import modulated
from graftgan.networks.stylegan.resample import GAIN, clamped, leaky, upsampled


class Drawing(NamedTuple):
    """What goes from block to block.

    Attributes:
        styles: (b, n, w), one for each layer that is left.
        features: (b, c, h, w); None before the first block.
        pixels: The picture so far, (b, 3, h, w).
        noise: Draws it; None: the noise is that which the network keeps.
    """

    styles: Tensor
    features: Tensor | None = None
    pixels: Images | None = None
    noise: torch.Generator | None = None


class StyledConv2d(nn.Conv2d):
    """A modulated convolution of three by three; noise, bias and leaky ReLU follow."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        style_size: int,
        resolution: int,
        *,
        up: bool,
        clamp: float,
    ) -> None:
        super().__init__(inputs, outputs, 3, padding=1)
        self.affine = ScaledLinear(style_size, inputs, first_bias=1.0)
        self.noise_strength = nn.Parameter(torch.zeros(()))
        self.register_buffer("noise_const", torch.zeros(resolution, resolution))
        self.register_buffer("resample_filter", binomial_filter())
        self.noise_const: Tensor
        self.resample_filter: Tensor
        self._up, self._clamp = up, clamp

    def forward(  # pyright: ignore[reportIncompatibleMethodOverride] - features come with a style
        self, input: Tensor, style: Tensor, noise: torch.Generator | None
    ) -> Tensor:
        """Return the features (b, o, h', w')."""
        field = self.noise_const
        if noise is not None:
            shape = (len(input), 1, *field.shape)
            field = torch.randn(shape, generator=noise, device=noise.device).to(input.device)
        features = modulated(
            input,
            self.weight,
            self.affine(style),
            padding=1,
            up_taps=self.resample_filter if self._up else None,
            gain=GAIN,
            offset=field * (self.noise_strength * GAIN),
        )
        assert self.bias is not None
        return leaky(features, self.bias * GAIN, gain=1.0, clamp=self._clamp)

    @torch.no_grad()
    def start(self, rng: torch.Generator) -> None:
        """Draw fresh weights."""
        self.weight.normal_(0.0, 1.0, generator=rng)
        self.noise_const.normal_(0.0, 1.0, generator=rng)
        assert self.bias is not None
        self.bias.zero_()
        self.noise_strength.zero_()


class ToPixels(nn.Conv2d):
    """A modulated convolution of one by one to colours, without demodulation."""

    def __init__(self, inputs: int, channels: int, style_size: int, clamp: float) -> None:
        super().__init__(inputs, channels, 1)
        self.affine = ScaledLinear(style_size, inputs, first_bias=1.0)
        self._clamp = clamp

    def forward(  # pyright: ignore[reportIncompatibleMethodOverride] - features come with a style
        self, input: Tensor, style: Tensor
    ) -> Images:
        """Return the colours (b, c, h, w)."""
        styles = self.affine(style) / math.sqrt(self.in_channels)
        assert self.bias is not None
        offset = self.bias[:, None, None]
        pixels = modulated(input, self.weight, styles, demodulate=False, offset=offset)
        return clamped(pixels, self._clamp)

    @torch.no_grad()
    def start(self, rng: torch.Generator) -> None:
        """Draw fresh weights."""
        self.weight.normal_(0.0, 1.0, generator=rng)
        assert self.bias is not None
        self.bias.zero_()


class FirstBlock(nn.Module):
    """A learnt constant, one convolution, and the first colours."""

    def __init__(
        self, outputs: int, channels: int, style_size: int, side: int, clamp: float
    ) -> None:
        super().__init__()
        self.const = nn.Parameter(torch.zeros(outputs, side, side))
        self.register_buffer("resample_filter", binomial_filter())  # as the published have it
        self.conv1 = StyledConv2d(outputs, outputs, style_size, side, up=False, clamp=clamp)
        self.torgb = ToPixels(outputs, channels, style_size, clamp)

    def forward(self, drawing: Drawing) -> Drawing:
        """Return the drawing at the first size."""
        first, second = drawing.styles[:, 0], drawing.styles[:, 1]
        # Not `len(first)`: an exporter would take the batch of its example for fixed.
        features = self.const.expand(first.shape[0], *self.const.shape)
        features = self.conv1(features, first, drawing.noise)
        pixels = self.torgb(features, second)
        return drawing._replace(styles=drawing.styles[:, 1:], features=features, pixels=pixels)

    @torch.no_grad()
    def start(self, rng: torch.Generator) -> None:
        """Draw the constant."""
        self.const.normal_(0.0, 1.0, generator=rng)


class Block(nn.Module):
    """Two convolutions, the first of which doubles the size, and their share of the colours."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        channels: int,
        style_size: int,
        side: int,
        clamp: float,
    ) -> None:
        super().__init__()
        self.conv0 = StyledConv2d(inputs, outputs, style_size, side, up=True, clamp=clamp)
        self.conv1 = StyledConv2d(outputs, outputs, style_size, side, up=False, clamp=clamp)
        self.torgb = ToPixels(outputs, channels, style_size, clamp)
        self.register_buffer("resample_filter", binomial_filter())
        self.resample_filter: Tensor

    def forward(self, drawing: Drawing) -> Drawing:
        """Return the drawing at twice the size."""
        assert drawing.features is not None
        assert drawing.pixels is not None
        first, second, third = drawing.styles[:, :3].unbind(1)
        features = self.conv0(drawing.features, first, drawing.noise)
        features = self.conv1(features, second, drawing.noise)
        pixels = upsampled(drawing.pixels, self.resample_filter) + self.torgb(features, third)
        return drawing._replace(styles=drawing.styles[:, 2:], features=features, pixels=pixels)
