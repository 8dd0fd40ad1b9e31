"""StyleGAN3 (Karras et al. 2021, arXiv:2106.12423) in plain PyTorch, 16 to 1024 px.

``stylegan3t`` moves its details with what they belong to, ``stylegan3r`` also turns them, with
convolutions of single pixels and twice as many feature maps in the generator. Layers of
the generator are the mapping, the waves it draws on (``input``), and fifteen convolutions ``L0`` to
``L14``; the discriminator is StyleGAN2's. Cut-offs, sizes and channels of each layer follow from
the resolution as in the paper, with its settings (appendix D).
"""

import math
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor, nn

from graftgan.core.errors import SettingsError
from graftgan.core.network_types import (
    Architecture,
    Layers,
    Steps,
    StyleArchitecture,
    StyledGenerator,
    in_turn,
)
from graftgan.core.tensors import Images, Latents, Styles
from graftgan.networks.stylegan.fourier import FourierFeatures
from graftgan.networks.stylegan.linear import ScaledLinear
from graftgan.networks.stylegan.low_pass import lowpass_filter
from graftgan.networks.stylegan.mapping import Mapping, for_each_layer
from graftgan.networks.stylegan.modulated_conv import modulated
from graftgan.networks.stylegan.resample import GAIN, LEAK, filtered_leaky
from graftgan.networks.stylegan.stylegan2 import register_styled

_LAYERS, _CRITICAL = 14, 2  # before the colours; of these the last are sampled critically
_FIRST_CUTOFF, _FIRST_STOPBAND = 2.0, 2.0**2.1  # waves along a side
_LAST_STOPBAND = 2.0**0.3  # over the last cut-off
_MARGIN = 10  # pixels around the picture
_TAPS = 6  # of a filter, for each factor of the rate
_FINER = 2  # than its output is the grid on which a nonlinearity is applied
_OUTPUT_SCALE = 0.25
_KEPT = 0.999  # of the mean square of a layer's input, at each batch seen in training
FILTERED_CLAMP = 256.0  # of the generator, where its style says no other


@dataclass(frozen=True, slots=True)
class Band:
    """The signal between two layers.

    Attributes:
        cutoff: Its highest frequency, in waves along the picture's side.
        half_width: Half the transition band of the filter around it.
        rate: Samples along the picture's side.
        size: Samples along the side with its margin.
        channels: Of the features.
    """

    cutoff: float
    half_width: float
    rate: int
    size: int
    channels: int


def bands_of(architecture: Architecture, style: StyleArchitecture) -> list[Band]:
    """Return the signal after each of the fifteen layers (section 3.2; appendix C.1).

    Raises:
        SettingsError: The style names the channels at the sizes of StyleGAN2.
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


class FilteredConv2d(nn.Conv2d):
    """A modulated convolution, and a nonlinearity between two filters; the last layer has none."""

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
        super().__init__(before.channels, after.channels, side, padding=side - 1)
        self.affine = ScaledLinear(style_size, before.channels, first_bias=1.0)
        self.register_buffer("magnitude_ema", torch.ones(()))
        self.magnitude_ema: Tensor
        rate = max(before.rate, after.rate) * (1 if last else _FINER)
        self.up, self.down = rate // before.rate, rate // after.rate
        up_taps, down_taps = (
            _TAPS * factor if factor > 1 and not last else 1 for factor in (self.up, self.down)
        )
        filters = {
            "up_filter": lowpass_filter(
                up_taps, cutoff=before.cutoff, width=2 * before.half_width, rate=rate
            ),
            "down_filter": lowpass_filter(
                down_taps,
                cutoff=after.cutoff,
                width=2 * after.half_width,
                rate=rate,
                radial=radial,
            ),
        }
        for name, taps in filters.items():
            self.register_buffer(name, taps)
        self.up_filter: Tensor | None
        self.down_filter: Tensor | None
        grown = (before.size + side - 1) * self.up  # the convolution pads to all it can see
        missing = (after.size - 1) * self.down + 1 - grown + up_taps + down_taps - 2
        low = (missing + self.up) // 2
        self.around = (low, missing - low, low, missing - low)
        self._last, self._clamp = last, clamp

    def forward(  # pyright: ignore[reportIncompatibleMethodOverride] - features come with a style
        self, input: Tensor, style: Tensor
    ) -> Tensor:
        """Return the features (b, o, h', w')."""
        if self.training:
            with torch.no_grad():
                self.magnitude_ema.lerp_(input.float().square().mean(), 1 - _KEPT)
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
        assert self.bias is not None
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

    @torch.no_grad()
    def start(self, rng: torch.Generator) -> None:
        """Draw fresh weights."""
        self.weight.normal_(0.0, 1.0, generator=rng)
        assert self.bias is not None
        self.bias.zero_()


class StyleGAN3Generator(StyledGenerator):
    """Mapping, waves, and fifteen filtered convolutions."""

    def __init__(
        self, architecture: Architecture, style: StyleArchitecture, *, rotates: bool
    ) -> None:
        super().__init__()
        self.architecture = architecture
        size = style.style_size
        self.mapping = Mapping(
            architecture.latent_size,
            size,
            style.mapping_layers,
            rate=style.mapping_rate,
            classes=len(architecture.classes),
        )
        bands = bands_of(architecture, style)
        first = bands[0]
        clamp = FILTERED_CLAMP if style.generator_clamp is None else style.generator_clamp
        parts: dict[str, nn.Module] = {
            "input": FourierFeatures(size, first.channels, first.size, first.rate, first.cutoff)
        }
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
        self.synthesis = nn.ModuleDict(parts)

    @property
    def mean_style(self) -> Tensor:
        """The mean (w,) of the styles of latents seen in training."""
        return self.mapping.w_avg

    def layers(self) -> Layers:
        """Return ``mapping``, ``input`` and ``L0`` to ``L14``."""
        drawing = {name.partition("_")[0]: part for name, part in self.synthesis.items()}
        return {"mapping": self.mapping, **drawing}

    def steps(self) -> Steps:
        """Return the layers; with the features go the styles of the layers that are left."""
        return {"mapping": self.mapping, **self._drawing()}

    def styles(self, latents: Latents) -> Styles:
        """Map latents (b, z) to styles (b, n, w): one for each layer, all alike."""
        return for_each_layer(self.mapping(latents), len(self.synthesis))

    def synthesize(self, styles: Styles, rng: torch.Generator | None = None) -> Images:
        """Map styles (b, n, w) to images; there is no noise, so ``rng`` changes nothing."""
        del rng
        return in_turn(self._drawing(), styles)

    def _drawing(self) -> Steps:
        steps = {
            name: partial(_with_the_next_style, part)
            for name, part in self.layers().items()
            if name.startswith("L")
        }
        last, draw = steps.popitem()
        return {
            "input": self._begin,
            **steps,
            last: lambda drawing: draw(drawing)[0].float() * _OUTPUT_SCALE,
        }

    def _begin(self, styles: Tensor) -> tuple[Tensor, Tensor]:
        """Return features and styles from styles (b, w), or (b, 16, w): one for each layer."""
        styles = for_each_layer(styles, len(self.synthesis))
        return self.synthesis["input"](styles[:, 0]), styles[:, 1:]


def _with_the_next_style(part: nn.Module, drawing: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    features, styles = drawing
    return part(features, styles[:, 0]), styles[:, 1:]


_USUAL = StyleArchitecture(mapping_layers=2)
register_styled("stylegan3t", partial(StyleGAN3Generator, rotates=False), _USUAL)
register_styled(
    "stylegan3r", partial(StyleGAN3Generator, rotates=True), replace(_USUAL, generator_factor=2.0)
)
