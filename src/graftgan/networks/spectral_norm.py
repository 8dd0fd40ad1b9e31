"""Kernels divided by their largest singular value: spectral normalisation of a network.

Source: Miyato et al. 2018, algorithm 1 (arXiv:1802.05957): one step of power iteration in each
pass in training mode, none in evaluation mode. Differs from torch's parametrization of that name:
the parameter keeps its name and is divided where it is used, so that what a plan puts on a kernel
is normalised with it, and a modulation folds away as from any other layer.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class SpectralConv2d(nn.Conv2d):
    """A convolution with a kernel of norm 1."""

    def __init__(self, *arguments: int, bias: bool = True) -> None:
        super().__init__(*arguments, bias=bias)
        self.register_buffer("direction", torch.ones(self.out_channels))
        self.direction: Tensor

    def forward(self, input: Tensor) -> Tensor:
        """Return the features (b, c, h, w)."""
        return F.conv2d(input, _normalised(self), self.bias, self.stride, self.padding)


class SpectralConvTranspose2d(nn.ConvTranspose2d):
    """A transposed convolution with a kernel of norm 1."""

    def __init__(self, *arguments: int, bias: bool = True) -> None:
        super().__init__(*arguments, bias=bias)
        self.register_buffer("direction", torch.ones(self.out_channels))
        self.direction: Tensor

    def forward(self, input: Tensor, output_size: list[int] | None = None) -> Tensor:
        """Return the features (b, c, h, w)."""
        del output_size
        assert not isinstance(self.padding, str)
        return F.conv_transpose2d(input, _normalised(self, 1), self.bias, self.stride, self.padding)


class SpectralLinear(nn.Linear):
    """A linear layer with a matrix of norm 1."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs)
        self.register_buffer("direction", torch.ones(outputs))
        self.direction: Tensor

    def forward(self, input: Tensor) -> Tensor:
        """Return the features (b, f)."""
        return F.linear(input, _normalised(self), self.bias)


Spectral = SpectralConv2d | SpectralConvTranspose2d | SpectralLinear


def _normalised(part: Spectral, output_axis: int = 0) -> Tensor:
    """Return the kernel divided by its largest singular value, as far as that is known by now.

    The kernel counts as a matrix with a row for each output channel. ``direction`` follows its
    first left singular vector; in the gradient both vectors are constants.
    """
    with torch.autocast(part.weight.device.type, enabled=False):
        matrix = part.weight.transpose(0, output_axis).flatten(1)
        with torch.no_grad():
            left = part.direction
            right = F.normalize(matrix.T @ left, dim=0)
            left = F.normalize(matrix @ right, dim=0)
            if part.training:
                part.direction.copy_(left)
        return part.weight / (left @ matrix @ right)
