"""Layers with equalized learning rate, the mapping network, and the generator behind it.

Source: Karras et al. 2018, section 4.1 (arXiv:1710.10196). Weights start from N(0, 1) and are
multiplied by 1/sqrt(fan-in) where they are used, so that Adam's steps suit all layers.
"""

import math
from abc import abstractmethod
from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from graftgan.core.network_types import (
    Architecture,
    ClassWeights,
    Images,
    Latents,
    Steps,
    StyleArchitecture,
    StyledGenerator,
    Styles,
    in_turn,
)
from graftgan.networks.stylegan.operators import (
    GAIN,
    binomial_filter,
    clamped,
    convolved_down,
    leaky,
)

_EPSILON = 1e-8
_DECAY = 0.998  # of the mean style, per training batch


class ScaledLinear(nn.Linear):
    """A linear layer, with leaky ReLU if it is ``active``: (b, i) to (b, o).

    ``rate`` multiplies its learning rate: the stored weights are divided by it. Initial biases are
    ``first_bias``.
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
        """Return the features (b, o) in float32: styles affect every pixel and are cheap."""
        with torch.autocast(input.device.type, enabled=False):
            scale = self._rate / math.sqrt(self.in_features)
            features = F.linear(input.float(), self.weight * scale, self.bias * self._rate)
            return leaky(features) if self._active else features

    @torch.no_grad()
    def start(self, rng: torch.Generator) -> None:
        """Draw initial weights."""
        self.weight.normal_(0.0, 1 / self._rate, generator=rng)
        self.bias.fill_(self._first_bias / self._rate)


class FreshConv2d(nn.Conv2d):
    """A convolution that draws its own initial weights."""

    @torch.no_grad()
    def start(self, rng: torch.Generator) -> None:
        """Draw initial weights."""
        self.weight.normal_(0.0, 1.0, generator=rng)
        if self.bias is not None:
            self.bias.zero_()


class ModulatedConv2d(FreshConv2d):
    """A convolution whose kernel is scaled by the output of ``affine`` for a style."""

    bias: Tensor  # pyright: ignore[reportIncompatibleVariableOverride] - it always has one

    def __init__(
        self, inputs: int, outputs: int, side: int, style_size: int, *, padding: int, clamp: float
    ) -> None:
        super().__init__(inputs, outputs, side, padding=padding)
        self.affine = ScaledLinear(style_size, inputs, first_bias=1.0)
        self._clamp = clamp


class ScaledConv2d(FreshConv2d):
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
        """Return the features (b, o, h', w'), multiplied by ``gain``."""
        clamp = self._clamp * gain
        if self._active:
            gain = gain * GAIN
        # Apply gains to the weights, which are fewer than the features: leaky ReLU is homogeneous.
        kernel = self.weight * (self._scale * gain)
        bias = None if self.bias is None else self.bias * gain
        if self._down:
            features = convolved_down(input, kernel, self.resample_filter, bias)
        else:
            features = F.conv2d(input, kernel, bias, padding=self.padding)
        if self._active:
            return leaky(features, gain=1.0, clamp=clamp)
        return clamped(features, clamp)


def for_each_layer(styles: Tensor, layers: int) -> Styles:
    """Return styles (b, w) repeated for each layer, (b, n, w); styles of that shape unchanged."""
    return styles[:, None].expand(-1, layers, -1) if styles.ndim == 2 else styles


class StyleMapping(nn.Module):
    """Linear layers from latents (b, z), with classes (b, z + k), to styles (b, w).

    ``rate`` multiplies their learning rate. With latent size 0, styles depend on the classes alone.
    Source: Karras et al. 2019, sections 2 and 3.1 (arXiv:1812.04948); for classes, whose learned
    vectors are appended to the latent, Karras et al. 2020, appendix C (arXiv:2006.06676).
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
        """Return styles (b, w); in training mode also update the mean style."""
        draws, classes = latents[:, : self._latent_size], latents[:, self._latent_size :]
        parts = [_of_length_one(draws.float())] if self._latent_size else []
        if self._knows_classes:
            parts.append(_of_length_one(self.embed(classes.float()).float()))
        features = torch.cat(parts, dim=1)
        for name in self._names:
            features = self.get_submodule(name)(features)
        if self.training and self._keeps_mean:
            with torch.no_grad():
                self.w_avg.lerp_(features.detach().mean(dim=0), 1 - _DECAY)
        return features


class ClassDirections(StyleMapping):
    """Directions (b, f) of classes (b, k), which features are projected onto.

    Source: Karras et al. 2020, appendix C (arXiv:2006.06676), after the projection discriminator
    (Miyato and Koyama 2018, arXiv:1802.05637). The ``layers`` are as in the published networks;
    networks converted from TensorFlow have none.
    """

    def __init__(self, classes: int, features: int, layers: int = 8, *, rate: float = 0.01) -> None:
        super().__init__(0, features, layers, rate=rate, classes=classes, keeps_mean=False)

    def score(self, features: Tensor, classes: ClassWeights) -> Tensor:
        """Return scores (b,) of features (b, f) as pictures of ``classes``."""
        directions = self(classes)
        return (features.float() * directions).sum(dim=1) / math.sqrt(features.shape[1])


def _of_length_one(features: Tensor) -> Tensor:
    return features * features.square().mean(dim=1, keepdim=True).add(_EPSILON).rsqrt()


class MappingGenerator(StyledGenerator):
    """A mapping network, and a synthesis network of ``parts`` that takes a number of ``styles``."""

    def __init__(
        self,
        architecture: Architecture,
        style: StyleArchitecture,
        parts: Mapping[str, nn.Module],
        styles: int,
    ) -> None:
        super().__init__()
        self.architecture = architecture
        self.mapping = StyleMapping(
            architecture.latent_size,
            style.style_size,
            style.mapping_layers,
            rate=style.mapping_rate,
            classes=len(architecture.classes),
        )
        self.synthesis = nn.ModuleDict(parts)
        self._styles = styles

    @abstractmethod
    def drawing(self, noise: torch.Generator | None) -> Steps:
        """Return the steps after the mapping: from styles (b, w), or (b, n, w), to images."""

    @property
    def mean_style(self) -> Tensor:
        """The mean (w,) of the styles of latents seen in training."""
        return self.mapping.w_avg

    def steps(self) -> Steps:
        """Return the mapping, from latents to styles (b, w), and the steps of the synthesis."""
        return {"mapping": self.mapping, **self.drawing(noise=None)}

    def styles(self, latents: Latents) -> Styles:
        """Map latents (b, z) to styles (b, n, w): the same style for each layer."""
        return for_each_layer(self.mapping(latents), self._styles)

    def synthesize(self, styles: Styles, rng: torch.Generator | None = None) -> Images:
        """Map styles (b, n, w) to images, with noise from ``rng`` or the stored noise."""
        return in_turn(self.drawing(noise=rng), styles)
