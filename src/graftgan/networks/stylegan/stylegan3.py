"""StyleGAN3 (Karras et al. 2021, arXiv:2106.12423) in plain PyTorch, 16 to 1024 px.

``stylegan3t`` is equivariant to translation, ``stylegan3r`` also to rotation, with 1 x 1
convolutions and twice as many feature maps in the generator. Layers of the generator are the
mapping, the Fourier features (``input``), and fifteen convolutions ``L0`` to ``L14``; the
discriminator is StyleGAN2's. Cutoffs, sizes and channels of each layer follow from the resolution
as in the paper, with its settings (appendix D).
"""

import math
from dataclasses import dataclass, replace
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from graftgan.core.errors import SettingsError
from graftgan.core.network_types import Architecture, Layers, Steps, StyleArchitecture
from graftgan.networks.stylegan.layers import (
    MappingGenerator,
    ModulatedConv2d,
    ScaledLinear,
    for_each_layer,
)
from graftgan.networks.stylegan.operators import (
    GAIN,
    LEAK,
    filtered_leaky,
    lowpass_filter,
    modulated,
)
from graftgan.networks.stylegan.stylegan2 import register_styled

_LAYERS, _CRITICAL = 14, 2  # before the colours; the last ones are critically sampled
_FIRST_CUTOFF, _FIRST_STOPBAND = 2.0, 2.0**2.1  # cycles along a side
_LAST_STOPBAND = 2.0**0.3  # relative to the last cutoff
_MARGIN = 10  # pixels around the picture
_TAPS = 6  # of a filter, for each factor of the rate
_FINER = 2  # oversampling of the nonlinearities
_OUTPUT_SCALE = 0.25
_DECAY = 0.999  # of the mean square of a layer's input, per training batch
FILTERED_CLAMP = 256.0  # default of the generator


class FourierFeatures(nn.Module):
    """Waves of random direction and phase, mixed by a learned matrix: styles to (b, c, h, w).

    Source: section 3.2 and appendix F. A transform computed from the style rotates and shifts the
    waves; those above the bandwidth are faded out. Frequencies are in cycles along the picture's
    side, ``rate`` is in samples along it, and ``size`` counts the samples with the margin.
    """

    def __init__(
        self, style_size: int, channels: int, size: int, rate: float, bandwidth: float
    ) -> None:
        super().__init__()
        self.affine = ScaledLinear(style_size, 4)
        self.weight = nn.Parameter(torch.zeros(channels, channels))
        self.register_buffer("transform", torch.eye(3))
        self.register_buffer("freqs", torch.zeros(channels, 2))
        self.register_buffer("phases", torch.zeros(channels))
        self.transform: Tensor
        self.freqs: Tensor
        self.phases: Tensor
        self._size, self._rate, self._bandwidth = size, rate, bandwidth

    def forward(self, style: Tensor) -> Tensor:
        """Return the features (b, c, h, w), in float32."""
        with torch.autocast(style.device.type, enabled=False):
            transform = self._turn_and_move(self.affine(style)) @ self.transform
            phases = self.phases + (self.freqs @ transform[:, :2, 2:]).squeeze(2)
            freqs = self.freqs @ transform[:, :2, :2]
            room = self._rate / 2 - self._bandwidth
            faded = (1 - (freqs.norm(dim=2) - self._bandwidth) / room).clamp(0, 1)
            angles = self._grid(style) @ freqs.transpose(1, 2)[:, None] + phases[:, None, None]
            waves = torch.sin(2 * math.pi * angles) * faded[:, None, None]
            mixed = waves @ (self.weight / math.sqrt(len(self.weight))).T
        return mixed.permute(0, 3, 1, 2)

    def _turn_and_move(self, numbers: Tensor) -> Tensor:
        """Return transforms (b, 3, 3) from cosine, sine and two shifts (b, 4)."""
        cosine, sine, right, down = (numbers / numbers[:, :2].norm(dim=1, keepdim=True)).unbind(1)
        one, zero = torch.ones_like(cosine), torch.zeros_like(cosine)
        turn = torch.stack([cosine, -sine, zero, sine, cosine, zero, zero, zero, one], dim=1)
        move = torch.stack([one, zero, -right, zero, one, -down, zero, zero, one], dim=1)
        return turn.view(-1, 3, 3) @ move.view(-1, 3, 3)

    def _grid(self, like: Tensor) -> Tensor:
        """Return the position of each feature, (1, h, w, 2), in sides of the picture."""
        theta = torch.eye(2, 3, device=like.device) * (0.5 * self._size / self._rate)
        return F.affine_grid(theta[None], [1, 1, self._size, self._size], align_corners=False)

    @torch.no_grad()
    def start(self, rng: torch.Generator) -> None:
        """Draw the waves, uniformly from a disc of frequencies; the transform is the identity."""
        self.weight.normal_(0.0, 1.0, generator=rng)
        self.freqs.normal_(0.0, 1.0, generator=rng)
        radii = self.freqs.norm(dim=1, keepdim=True)
        self.freqs.mul_(self._bandwidth / (radii * radii.square().exp().pow(0.25)))
        self.phases.uniform_(-0.5, 0.5, generator=rng)
        self.affine.weight.zero_()
        assert self.affine.bias is not None
        self.affine.bias.copy_(torch.tensor([1.0, 0.0, 0.0, 0.0]))


@dataclass(frozen=True, slots=True)
class Band:
    """The signal between two layers."""

    cutoff: float  # the highest frequency, in cycles along the picture's side
    half_width: float  # of the filter's transition band around it
    rate: int  # samples along the picture's side
    size: int  # the same with the margin
    channels: int


def bands_of(architecture: Architecture, style: StyleArchitecture) -> list[Band]:
    """Return the signal after each of the fifteen layers (section 3.2; appendix C.1).

    Raises SettingsError: ``feature_maps`` is given, which only StyleGAN2 has.
    """
    if style.feature_maps:
        raise SettingsError("feature_maps is of StyleGAN2; a StyleGAN3 takes width alone")
    side, most = architecture.resolution, style.most_channels * style.generator_factor
    total = architecture.width * side * style.generator_factor
    bands: list[Band] = []
    for number in range(_LAYERS + 1):
        exponent = min(number / (_LAYERS - _CRITICAL), 1.0)
        cutoff = _FIRST_CUTOFF * (side / 2 / _FIRST_CUTOFF) ** exponent
        stopband = _FIRST_STOPBAND * (side / 2 * _LAST_STOPBAND / _FIRST_STOPBAND) ** exponent
        rate = 2 ** math.ceil(math.log2(min(2 * stopband, side)))
        last = number == _LAYERS
        bands.append(
            Band(
                cutoff=cutoff,
                half_width=max(stopband, rate / 2) - cutoff,
                rate=rate,
                size=side if number >= _LAYERS - 1 else rate + 2 * _MARGIN,
                channels=architecture.channels if last else round(min(total / 2 / cutoff, most)),
            )
        )
    return bands


class FilteredConv2d(ModulatedConv2d):
    """A modulated convolution and a filtered nonlinearity, which the last layer does not have."""

    def __init__(
        self,
        before: Band,
        after: Band,
        style_size: int,
        *,
        side: int,
        radial: bool,
        last: bool,
        clamp: float,
    ) -> None:
        sizes = (before.channels, after.channels, side, style_size)
        super().__init__(*sizes, padding=side - 1, clamp=clamp)
        self.register_buffer("magnitude_ema", torch.ones(()))
        self.magnitude_ema: Tensor
        rate = max(before.rate, after.rate) * (1 if last else _FINER)
        self.up, self.down = rate // before.rate, rate // after.rate
        up_taps, down_taps = (
            _TAPS * factor if factor > 1 and not last else 1 for factor in (self.up, self.down)
        )
        for way, taps, band in (("up", up_taps, before), ("down", down_taps, after)):
            width, is_radial = 2 * band.half_width, radial and way == "down"
            kernel = lowpass_filter(
                taps, cutoff=band.cutoff, width=width, rate=rate, radial=is_radial
            )
            self.register_buffer(f"{way}_filter", kernel)
        self.up_filter: Tensor | None
        self.down_filter: Tensor | None
        grown = (before.size + side - 1) * self.up  # the convolution pads to all it can see
        missing = (after.size - 1) * self.down + 1 - grown + up_taps + down_taps - 2
        low = (missing + self.up) // 2
        self.around = (low, missing - low, low, missing - low)
        self._last = last

    def forward(  # pyright: ignore[reportIncompatibleMethodOverride] - features come with a style
        self, input: Tensor, style: Tensor
    ) -> Tensor:
        """Return the features (b, o, h', w')."""
        if self.training:
            with torch.no_grad():
                self.magnitude_ema.lerp_(input.float().square().mean(), 1 - _DECAY)
        styles = self.affine(style)
        if self._last:
            styles = styles / math.sqrt(self.in_channels)
        features = modulated(
            input,
            self.weight,
            styles,
            demodulate=not self._last,
            padding=self.kernel_size[0] - 1,
            input_gain=self.magnitude_ema.rsqrt(),
        )
        return filtered_leaky(
            features,
            self.bias,
            up_taps=self.up_filter,
            down_taps=self.down_filter,
            up=self.up,
            down=self.down,
            padding=self.around,
            gain=1.0 if self._last else GAIN,
            leak=1.0 if self._last else LEAK,
            clamp=self._clamp,
        )


class StyleGAN3Generator(MappingGenerator):
    """Mapping, Fourier features and fifteen filtered convolutions, without noise."""

    def __init__(
        self, architecture: Architecture, style: StyleArchitecture, *, rotates: bool
    ) -> None:
        size, bands = style.style_size, bands_of(architecture, style)
        first = bands[0]
        clamp = FILTERED_CLAMP if style.generator_clamp is None else style.generator_clamp
        waves = FourierFeatures(size, first.channels, first.size, first.rate, first.cutoff)
        parts: dict[str, nn.Module] = {"input": waves}
        for number, (before, after) in enumerate(zip([first, *bands], bands, strict=False)):
            last = number == _LAYERS
            parts[f"L{number}_{after.size}_{after.channels}"] = FilteredConv2d(
                before,
                after,
                size,
                side=1 if rotates or last else 3,
                radial=rotates and number < _LAYERS - _CRITICAL,
                last=last,
                clamp=clamp,
            )
        super().__init__(architecture, style, parts, len(parts))

    def layers(self) -> Layers:
        """Return ``mapping``, ``input`` and ``L0`` to ``L14``."""
        drawing = {name.partition("_")[0]: part for name, part in self.synthesis.items()}
        return {"mapping": self.mapping, **drawing}

    def drawing(self, noise: torch.Generator | None) -> Steps:
        """Return the layers, which pass on the features and the styles of the remaining layers."""
        parts = self.layers()
        _, waves, *names, last = parts

        def begin(styles: Tensor) -> tuple[Tensor, Tensor]:
            styles = for_each_layer(styles, self._styles)
            return parts[waves](styles[:, 0]), styles[:, 1:]

        def convolve(name: str, drawing: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
            features, styles = drawing
            return parts[name](features, styles[:, 0]), styles[:, 1:]

        return {
            waves: begin,
            **{name: partial(convolve, name) for name in names},
            last: lambda drawing: convolve(last, drawing)[0].float() * _OUTPUT_SCALE,
        }


_USUAL = StyleArchitecture(mapping_layers=2)
register_styled("stylegan3t", partial(StyleGAN3Generator, rotates=False), _USUAL)
register_styled(
    "stylegan3r", partial(StyleGAN3Generator, rotates=True), replace(_USUAL, generator_factor=2.0)
)
