"""From a draw to the style of a picture."""

import torch
from torch import Tensor, nn

from graftgan.backbones.stylegan.linear import ScaledLinear
from graftgan.tensors import Latents

_RATE = 0.01  # of the mapping's weights, beside those of the convolutions
_EPSILON = 1e-8
_KEPT = 0.998  # of the mean style, at each batch seen in training


def for_each_layer(styles: Tensor, layers: int) -> Tensor:
    """Return styles (b, n, w), one for each layer: the same for all, unless they are so already."""
    return styles[:, None].expand(-1, layers, -1) if styles.ndim == 2 else styles


class Mapping(nn.Module):
    """Linear layers from latents (b, z) to styles (b, w).

    Source: Karras et al. 2019, sections 2 and 3.1 (arXiv:1812.04948).
    """

    def __init__(self, latent_size: int, style_size: int, layers: int) -> None:
        super().__init__()
        inputs = latent_size
        self._names = [f"fc{number}" for number in range(layers)]
        for name in self._names:
            self.add_module(name, ScaledLinear(inputs, style_size, active=True, rate=_RATE))
            inputs = style_size
        self.register_buffer("w_avg", torch.zeros(style_size))
        self.w_avg: Tensor

    def forward(self, latents: Latents) -> Tensor:
        """Return styles (b, w); in training the mean style follows them."""
        latents = latents.float()
        features = latents * latents.square().mean(dim=1, keepdim=True).add(_EPSILON).rsqrt()
        for name in self._names:
            features = self.get_submodule(name)(features)
        if self.training:
            with torch.no_grad():
                self.w_avg.lerp_(features.detach().mean(dim=0), 1 - _KEPT)
        return features
