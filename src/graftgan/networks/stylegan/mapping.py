"""From a draw, and a class, to the style of a picture."""

import math

import torch
from torch import Tensor, nn

from graftgan.core.tensors import ClassWeights, Latents, Styles
from graftgan.networks.stylegan.linear import ScaledLinear

_EPSILON = 1e-8
_KEPT = 0.998  # of the mean style, at each batch seen in training


def for_each_layer(styles: Tensor, layers: int) -> Styles:
    """Return styles (b, n, w), one for each layer: the same for all, unless they are so already."""
    return styles[:, None].expand(-1, layers, -1) if styles.ndim == 2 else styles


class Mapping(nn.Module):
    """Linear layers from latents to styles (b, w).

    Source: Karras et al. 2019, sections 2 and 3.1 (arXiv:1812.04948); with classes Karras et al.
    2020, appendix C (arXiv:2006.06676): a vector for each class, learnt, beside the latent.

    Args:
        latent_size: z; 0: the styles are of the classes alone.
        style_size: w.
        layers: So many.
        rate: Of the weights of these, beside those of the convolutions.
        classes: k; latents are then (b, z + k).
        keeps_mean: Whether the mean style is kept.
    """

    def __init__(
        self,
        latent_size: int,
        style_size: int,
        layers: int,
        *,
        rate: float = 0.01,
        classes: int = 0,
        keeps_mean: bool = True,
    ) -> None:
        super().__init__()
        self._latent_size = latent_size
        inputs = latent_size
        if classes:
            self.embed = ScaledLinear(classes, style_size)
            inputs += style_size
        self._knows_classes = classes > 0
        self._names = [f"fc{number}" for number in range(layers)]
        for name in self._names:
            self.add_module(name, ScaledLinear(inputs, style_size, active=True, rate=rate))
            inputs = style_size
        if keeps_mean:
            self.register_buffer("w_avg", torch.zeros(style_size))
        self.w_avg: Tensor
        self._keeps_mean = keeps_mean

    def forward(self, latents: Latents) -> Tensor:
        """Return styles (b, w); in training the mean style follows them."""
        draws, classes = latents[:, : self._latent_size], latents[:, self._latent_size :]
        parts = [_of_length_one(draws.float())] if self._latent_size else []
        if self._knows_classes:
            parts.append(_of_length_one(self.embed(classes.float()).float()))
        features = torch.cat(parts, dim=1)
        for name in self._names:
            features = self.get_submodule(name)(features)
        if self.training and self._keeps_mean:
            with torch.no_grad():
                self.w_avg.lerp_(features.detach().mean(dim=0), 1 - _KEPT)
        return features


class ClassDirections(Mapping):
    """Directions (b, f) of classes (b, k), which features are projected on to score them.

    Source: Karras et al. 2020, appendix C (arXiv:2006.06676), after the projection discriminator
    (Miyato and Koyama 2018, arXiv:1802.05637), here through layers as the published networks have.
    Networks converted from TensorFlow have none.
    """

    def __init__(self, classes: int, features: int, layers: int = 8, *, rate: float = 0.01) -> None:
        super().__init__(0, features, layers, rate=rate, classes=classes, keeps_mean=False)

    def score(self, features: Tensor, classes: ClassWeights) -> Tensor:
        """Return scores (b,) of features (b, f) as pictures of ``classes``."""
        directions = self(classes)
        return (features.float() * directions).sum(dim=1) / math.sqrt(features.shape[1])


def _of_length_one(features: Tensor) -> Tensor:
    """Return features (b, f) whose mean square is one."""
    return features * features.square().mean(dim=1, keepdim=True).add(_EPSILON).rsqrt()
