"""Layers whose weights are stored at one scale and used at another: equalised learning rates.

Source: Karras et al. 2018, section 4.1 (arXiv:1710.10196). Weights start at N(0, 1) and are
multiplied by 1/sqrt(inputs of a unit) where they are used, so that Adam's steps are alike for all.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from graftgan.networks.stylegan.low_pass import binomial_filter
from graftgan.networks.stylegan.resample import GAIN, clamped, convolved_down, leaky


class ScaledLinear(nn.Linear):
    """A linear layer, with leaky ReLU where it is ``active``: (b, i) to (b, o).

    ``rate`` is that of its weights beside those of other layers: what is stored is divided by it.
    Fresh biases are ``first_bias``.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        *,
        active: bool = False,
        rate: float = 1.0,
        first_bias: float = 0.0,
    ) -> None:
        super().__init__(inputs, outputs)
        self._active, self._rate, self._first_bias = active, rate, first_bias

    def forward(self, input: Tensor) -> Tensor:
        """Return the features (b, o), in float32: a style decides every pixel, and costs little."""
        with torch.autocast(input.device.type, enabled=False):
            scale = self._rate / math.sqrt(self.in_features)
            features = F.linear(input.float(), self.weight * scale, self.bias * self._rate)
            return leaky(features) if self._active else features

    @torch.no_grad()
    def start(self, rng: torch.Generator) -> None:
        """Draw fresh weights."""
        self.weight.normal_(0.0, 1 / self._rate, generator=rng)
        self.bias.fill_(self._first_bias / self._rate)


class ScaledConv2d(nn.Conv2d):
    """A convolution that keeps the size of images, or halves it after a low-pass filter."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        side: int,
        *,
        active: bool = True,
        bias: bool = True,
        down: bool = False,
        clamp: float = 0.0,
    ) -> None:
        super().__init__(inputs, outputs, side, padding=side // 2, bias=bias)
        self._scale = 1 / math.sqrt(inputs * side**2)
        self._active, self._down, self._clamp = active, down, clamp
        self.register_buffer("resample_filter", binomial_filter())
        self.resample_filter: Tensor

    def forward(self, input: Tensor, gain: float = 1.0) -> Tensor:
        """Return the features (b, o, h', w'), multiplied by ``gain`` at last."""
        clamp = self._clamp * gain
        if self._active:
            gain = gain * GAIN
        # Gains multiply the few weights, not the many features: leaky ReLU lets them through.
        kernel = self.weight * (self._scale * gain)
        bias = None if self.bias is None else self.bias * gain
        if self._down:
            features = convolved_down(input, kernel, self.resample_filter, bias)
        else:
            features = F.conv2d(input, kernel, bias, padding=self.padding)
        if self._active:
            return leaky(features, gain=1.0, clamp=clamp)
        return clamped(features, clamp)

    @torch.no_grad()
    def start(self, rng: torch.Generator) -> None:
        """Draw fresh weights."""
        self.weight.normal_(0.0, 1.0, generator=rng)
        if self.bias is not None:
            self.bias.zero_()
