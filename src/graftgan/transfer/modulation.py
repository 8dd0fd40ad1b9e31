"""Modulations of a fixed kernel, as parametrizations: they fit any layer and fold away."""

import torch
from torch import Tensor, nn


class AdaFM(nn.Module):
    """Adaptive filter modulation: one scale and one shift for every k x k kernel.

    Source: Zhao et al. 2020 (arXiv:2002.11810), W' = gamma * W + beta with gamma, beta of the
    kernel's first two axes, the same for every tap. The first two axes are (out, in) for a
    convolution and (in, out) for a transposed one; either way there is one pair for each kernel.
    At the start gamma is 1 and beta 0, which gives W back exactly.
    """

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        shape = (*weight.shape[:2], *(1 for _ in weight.shape[2:]))
        self.gamma = nn.Parameter(weight.new_ones(shape))
        self.beta = nn.Parameter(weight.new_zeros(shape))

    def forward(self, weight: Tensor) -> Tensor:
        """Return the modulated kernel."""
        return torch.addcmul(self.beta, self.gamma, weight)


class ChannelScale(nn.Module):
    """One learnable scale for each output channel: W' = gamma * W."""

    def __init__(self, weight: Tensor, channel_axis: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(weight.new_ones(weight.shape[channel_axis]))
        self._shape = [1] * weight.dim()
        self._shape[channel_axis] = -1

    def forward(self, weight: Tensor) -> Tensor:
        """Return the scaled tensor."""
        return self.gamma.view(self._shape) * weight


def scales_in(module: nn.Module) -> list[nn.Parameter]:
    """Return the scales (gamma) of every modulation in ``module``."""
    parts = module.modules()
    return [part.gamma for part in parts if isinstance(part, AdaFM | ChannelScale)]


class ChannelShift(nn.Module):
    """One learnable shift for each output channel: b' = b + beta."""

    def __init__(self, bias: Tensor) -> None:
        super().__init__()
        self.beta = nn.Parameter(torch.zeros_like(bias))

    def forward(self, bias: Tensor) -> Tensor:
        """Return the shifted bias."""
        return bias + self.beta
