"""StyleGAN2 (Karras et al. 2020, arXiv:1912.04958) in plain PyTorch, 16 to 1024 px.

Skip connections in the generator, residual ones in the discriminator (section 2, figure 7), as the
authors chose. Layers are the mapping and one block for each size; the discriminator's start at the
largest size, so that freezing the first ones is FreezeD. Parameters and buffers have the names of
the published networks, so that their state dicts fit.

Differs from the paper in the order of products of a modulated convolution (``modulated``).
"""

import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn

from graftgan.core.errors import SettingsError
from graftgan.core.network_types import (
    PROJECTION_LAYER,
    Architecture,
    ClassWeights,
    Discriminator,
    Generator,
    Images,
    Layers,
    Logits,
    NetworkPair,
    Steps,
    StyleArchitecture,
    in_turn,
)
from graftgan.networks.backbone import BACKBONES, Backbone
from graftgan.networks.blocks import builder_of
from graftgan.networks.stylegan.layers import (
    ClassDirections,
    MappingGenerator,
    ModulatedConv2d,
    ScaledConv2d,
    ScaledLinear,
    for_each_layer,
)
from graftgan.networks.stylegan.operators import (
    GAIN,
    binomial_filter,
    clamped,
    leaky,
    modulated,
    upsampled,
)

RESOLUTIONS = (16, 32, 64, 128, 256, 512, 1024)
_SMALLEST = 4  # pixels
_BRANCH_GAIN = math.sqrt(0.5)  # of both branches, so that their sum keeps the variance
_EPSILON = 1e-8


class Drawing(NamedTuple):
    """What each block passes to the next."""

    styles: Tensor  # (b, n, w), one for each remaining layer
    features: Tensor | None = None  # (b, c, h, w)
    pixels: Images | None = None  # (b, 3, h, w), the picture so far
    noise: torch.Generator | None = None  # draws the noise; None: the stored noise is used


class StyledConv2d(ModulatedConv2d):
    """A modulated 3 x 3 convolution, followed by noise, bias and leaky ReLU."""

    def __init__(
        self, inputs: int, outputs: int, style_size: int, side: int, *, up: bool, clamp: float
    ) -> None:
        super().__init__(inputs, outputs, 3, style_size, padding=1, clamp=clamp)
        self.noise_strength = nn.Parameter(torch.zeros(()))
        self.register_buffer("noise_const", torch.zeros(side, side))
        self.register_buffer("resample_filter", binomial_filter())
        self.noise_const: Tensor
        self.resample_filter: Tensor
        self._up = up

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
        return leaky(features, self.bias * GAIN, gain=1.0, clamp=self._clamp)

    @torch.no_grad()
    def start(self, rng: torch.Generator) -> None:
        """Draw initial weights."""
        super().start(rng)
        self.noise_const.normal_(0.0, 1.0, generator=rng)
        self.noise_strength.zero_()


class ToPixels(ModulatedConv2d):
    """A modulated 1 x 1 convolution to colours, without demodulation."""

    def forward(  # pyright: ignore[reportIncompatibleMethodOverride] - features come with a style
        self, input: Tensor, style: Tensor
    ) -> Images:
        """Return the colours (b, c, h, w)."""
        styles = self.affine(style) / math.sqrt(self.in_channels)
        offset = self.bias[:, None, None]
        pixels = modulated(input, self.weight, styles, demodulate=False, offset=offset)
        return clamped(pixels, self._clamp)


class Block(nn.Module):
    """Two convolutions, of which the first doubles the size, and their share of the colours.

    The first block, which has no ``inputs``, has a learned constant instead of the first
    convolution.
    """

    def __init__(
        self, inputs: int, outputs: int, channels: int, style_size: int, side: int, clamp: float
    ) -> None:
        super().__init__()
        if inputs:
            self.conv0 = StyledConv2d(inputs, outputs, style_size, side, up=True, clamp=clamp)
        else:
            self.const = nn.Parameter(torch.zeros(outputs, side, side))
        self.conv1 = StyledConv2d(outputs, outputs, style_size, side, up=False, clamp=clamp)
        self.torgb = ToPixels(outputs, channels, 1, style_size, padding=0, clamp=clamp)
        self.register_buffer("resample_filter", binomial_filter())
        self.resample_filter: Tensor
        self.is_first = not inputs

    def forward(self, drawing: Drawing) -> Drawing:
        """Return the drawing at this block's size."""
        styles = drawing.styles
        if self.is_first:
            # Not `len(styles)`: an exporter would fix the batch size of its example.
            features = self.const.expand(styles.shape[0], *self.const.shape)
        else:
            features = self.conv0(drawing.features, styles[:, 0], drawing.noise)
            styles = styles[:, 1:]
        features = self.conv1(features, styles[:, 0], drawing.noise)
        pixels = self.torgb(features, styles[:, 1])
        if drawing.pixels is not None:
            pixels = upsampled(drawing.pixels, self.resample_filter) + pixels
        return drawing._replace(styles=styles[:, 1:], features=features, pixels=pixels)

    @torch.no_grad()
    def start(self, rng: torch.Generator) -> None:
        """Draw the constant, if there is one."""
        if self.is_first:
            self.const.normal_(0.0, 1.0, generator=rng)


class HalvingBlock(nn.Module):
    """Two convolutions that halve the size, with a residual connection if ``residual``.

    ``channels`` are those of the pictures for the first block, and 0 for any other.
    """

    def __init__(
        self, inputs: int, outputs: int, *, channels: int, clamp: float, residual: bool
    ) -> None:
        super().__init__()
        self.register_buffer("resample_filter", binomial_filter())  # only for the published names
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
        return self.skip(features, _BRANCH_GAIN) + self.conv1(self.conv0(features), _BRANCH_GAIN)


class Epilogue(nn.Module):
    """Minibatch standard deviation, a convolution, and two linear layers to the score."""

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

    The group size is the largest divisor of the batch up to ``group``; 0: the batch. Source: Karras
    et al. 2018, section 3 (arXiv:1710.10196).
    """
    batch, channels, height, width = maps.shape
    size = next(size for size in range(min(group or batch, batch), 0, -1) if batch % size == 0)
    grouped = maps.float().reshape(size, batch // size, channels, height, width)
    variance = (grouped - grouped.mean(dim=0)).square().mean(dim=0)
    deviation = variance.add(_EPSILON).sqrt().mean(dim=(1, 2, 3))
    field = deviation.repeat(size)[:, None, None, None].expand(batch, 1, height, width)
    return torch.cat([maps, field.to(maps)], dim=1)


class StyleGAN2Generator(MappingGenerator):
    """Mapping, then a block for each size from 4 px on."""

    def __init__(self, architecture: Architecture, style: StyleArchitecture) -> None:
        colours = architecture.channels
        widths = widths_of(architecture, style, factor=style.generator_factor)
        clamp = style.clamp if style.generator_clamp is None else style.generator_clamp
        blocks: dict[str, nn.Module] = {}
        inputs = 0
        for side, outputs in widths.items():
            blocks[f"b{side}"] = Block(inputs, outputs, colours, style.style_size, side, clamp)
            inputs = outputs
        super().__init__(architecture, style, blocks, 2 * len(blocks))

    def layers(self) -> Layers:
        """Return the mapping, then the blocks ``b4``, ``b8``, ... by their size."""
        return {"mapping": self.mapping, **dict(self.synthesis.items())}

    def drawing(self, noise: torch.Generator | None) -> Steps:
        """Return the blocks, which pass on a :class:`Drawing`."""
        names = list(self.synthesis)
        first, last = self.synthesis[names[0]], self.synthesis[names[-1]]
        return {
            **dict(self.synthesis.items()),
            names[0]: lambda styles: first(
                Drawing(for_each_layer(styles, self._styles), noise=noise)
            ),
            names[-1]: lambda drawing: last(drawing).pixels.float(),
        }


class StyleGAN2Discriminator(Discriminator):
    """A block for each size down to 8 px, then the epilogue at 4 px: a score, or class features."""

    def __init__(self, architecture: Architecture, style: StyleArchitecture) -> None:
        super().__init__()
        self.architecture = architecture
        sides, widths = sides_of(architecture)[::-1], widths_of(architecture, style)
        classes, features = len(architecture.classes), widths[_SMALLEST]
        directions = style.direction_size or features
        for large, small in pairwise(sides):
            block = HalvingBlock(
                widths[large],
                widths[small],
                channels=architecture.channels if large == sides[0] else 0,
                clamp=style.clamp,
                residual=style.residual,
            )
            self.add_module(f"b{large}", block)
        scores, group = directions if classes else 1, style.minibatch_group
        self.b4 = Epilogue(features, scores, _SMALLEST, group=group, clamp=style.clamp)
        if classes:
            self.mapping = ClassDirections(
                classes, directions, style.direction_layers, rate=style.direction_rate
            )

    def layers(self) -> Layers:
        """Return the blocks, the largest size first, and with classes the projection."""
        return {
            PROJECTION_LAYER if name == "mapping" else name: part
            for name, part in self.named_children()
        }

    def feature_steps(self) -> Steps:
        """Return the blocks before the epilogue."""
        return {name: part for name, part in self._blocks().items() if part is not self.b4}

    def forward(self, images: Images, classes: ClassWeights | None = None) -> Logits:
        """Map images (b, c, h, w), and their classes (b, k), to logits (b,).

        If it knows classes and none are given, all have equal weight.
        """
        features = in_turn(self._blocks(), images)
        if not self.architecture.classes:
            return features.flatten().float()
        count = len(self.architecture.classes)
        equal = features.new_full((len(images), count), 1 / count)
        return self.mapping.score(features, equal if classes is None else classes)

    def conditioned_on(self, classes: ClassWeights | None) -> Callable[[Images], Logits]:
        """Return the critic of pictures of ``classes``."""
        return self if classes is None else partial(self, classes=classes)

    def _blocks(self) -> Layers:
        return {name: part for name, part in self.layers().items() if name != PROJECTION_LAYER}


def sides_of(architecture: Architecture) -> list[int]:
    """Return the sizes of the blocks, from 4 px up to that of the pictures."""
    return [2**power for power in range(2, architecture.resolution.bit_length())]


def widths_of(
    architecture: Architecture, style: StyleArchitecture, *, factor: float = 1.0
) -> dict[int, int]:
    """Return the channels at each size: ``feature_maps``, or twice as many at half the size.

    Raises SettingsError: ``feature_maps`` is of another length.
    """
    sides = sides_of(architecture)
    if style.feature_maps:
        if len(style.feature_maps) != len(sides):
            raise SettingsError(
                f"feature_maps has {len(style.feature_maps)} numbers, where pictures of "
                f"{architecture.resolution} px need {len(sides)}: those at 4 px, 8 px and so on"
            )
        return dict(zip(sides, style.feature_maps, strict=True))
    total = round(architecture.width * architecture.resolution * factor)
    most = round(style.most_channels * factor)
    return {side: min(total // side, most) for side in sides}


def register_styled(
    name: str,
    generator: Callable[[Architecture, StyleArchitecture], Generator],
    usual: StyleArchitecture,
    *,
    mixes_styles: bool = False,
) -> None:
    """Register the backbone ``name``: ``generator`` and the discriminator of StyleGAN2."""

    def build(architecture: Architecture, rng: torch.Generator) -> NetworkPair:
        style = architecture.style or usual
        pair_of = builder_of(
            lambda known: generator(known, style),
            lambda known: StyleGAN2Discriminator(known, style),
            start_scaled,
            sides=RESOLUTIONS,
            normalises=False,
        )
        return pair_of(replace(architecture, style=style), rng)

    BACKBONES.register(name)(
        Backbone(
            build,
            normalisation="none",
            settings=usual,
            objective="gan",
            mixes_styles=mixes_styles,
            bounded=False,
        )
    )


def start_scaled(network: nn.Module, rng: torch.Generator) -> None:
    """Draw the initial weights of every part that has a ``start`` method."""
    for part in network.modules():
        start = getattr(part, "start", None)
        if callable(start):
            start(rng)


register_styled("stylegan2", StyleGAN2Generator, StyleArchitecture(), mixes_styles=True)
