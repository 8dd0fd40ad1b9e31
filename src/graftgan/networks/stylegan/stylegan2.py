"""StyleGAN2 (Karras et al. 2020, arXiv:1912.04958) in plain PyTorch, 16 to 1024 px.

Skips in the generator, residuals in the discriminator: the form the authors chose. Layers are the
mapping and then one block for each size; those of the discriminator come from the largest size
down, so that freezing the first is FreezeD.

Differs from the paper in the order of products of a modulated convolution (:mod:`modulation`).
"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import pairwise

import torch
from torch import Tensor, nn

from graftgan.core.errors import SettingsError
from graftgan.core.network_types import (
    PROJECTION_LAYER,
    Architecture,
    Discriminator,
    Generator,
    Layers,
    NetworkPair,
    Steps,
    StyleArchitecture,
    StyledGenerator,
    in_turn,
)
from graftgan.core.tensors import ClassWeights, Images, Latents, Logits, Styles
from graftgan.networks.backbone import BACKBONES, Backbone
from graftgan.networks.blocks import refuse_normalisation, refuse_resolution
from graftgan.networks.stylegan.discriminator import Epilogue, HalvingBlock
from graftgan.networks.stylegan.mapping import ClassDirections, Mapping, for_each_layer
from graftgan.networks.stylegan.synthesis import Block, Drawing, FirstBlock

RESOLUTIONS = (16, 32, 64, 128, 256, 512, 1024)
_SMALLEST = 4  # pixels


class StyleGAN2Generator(StyledGenerator):
    """Mapping, then a block for each size from 4 px on."""

    def __init__(self, architecture: Architecture, style: StyleArchitecture) -> None:
        super().__init__()
        self.architecture = architecture
        self.mapping = Mapping(
            architecture.latent_size,
            style.style_size,
            style.mapping_layers,
            rate=style.mapping_rate,
            classes=len(architecture.classes),
        )
        sides = sides_of(architecture)
        widths = widths_of(architecture, style, factor=style.generator_factor)
        clamp = style.clamp if style.generator_clamp is None else style.generator_clamp
        blocks: dict[str, nn.Module] = {
            f"b{_SMALLEST}": FirstBlock(
                widths[_SMALLEST], architecture.channels, style.style_size, _SMALLEST, clamp
            )
        }
        for small, large in pairwise(sides):
            blocks[f"b{large}"] = Block(
                widths[small],
                widths[large],
                architecture.channels,
                style.style_size,
                large,
                clamp,
            )
        self.synthesis = nn.ModuleDict(blocks)
        self._styles = 2 * len(sides)

    @property
    def mean_style(self) -> Tensor:
        """The mean (w,) of the styles of latents seen in training."""
        return self.mapping.w_avg

    def layers(self) -> Layers:
        """Return the mapping, then the blocks ``b4``, ``b8``, ... by their size."""
        return {"mapping": self.mapping, **dict(self.synthesis.items())}

    def steps(self) -> Steps:
        """Return the layers; between them goes a drawing, after the mapping a style (b, w)."""
        return {"mapping": self.mapping, **self._drawing(noise=None)}

    def styles(self, latents: Latents) -> Styles:
        """Map latents (b, z) to styles (b, n, w): one for each layer, all alike."""
        return for_each_layer(self.mapping(latents), self._styles)

    def synthesize(self, styles: Styles, rng: torch.Generator | None = None) -> Images:
        """Map styles (b, n, w) to images, with noise from ``rng``, else that which is kept."""
        return in_turn(self._drawing(noise=rng), styles)

    def _drawing(self, noise: torch.Generator | None) -> Steps:
        names = list(self.synthesis)
        first, last = self.synthesis[names[0]], self.synthesis[names[-1]]

        def begin(styles: Tensor) -> Drawing:
            return first(Drawing(for_each_layer(styles, self._styles), noise=noise))

        return {
            **dict(self.synthesis.items()),
            names[0]: begin,
            names[-1]: lambda drawing: last(drawing).pixels.float(),
        }


class StyleGAN2Discriminator(Discriminator):
    """A block for each size down to 8 px, then the epilogue at 4 px.

    With classes the epilogue gives features, which are projected on the direction of the class.
    """

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
        self.b4 = Epilogue(
            features,
            directions if classes else 1,
            _SMALLEST,
            group=style.minibatch_group,
            clamp=style.clamp,
        )
        if classes:
            self.mapping = ClassDirections(
                classes, directions, style.direction_layers, rate=style.direction_rate
            )

    def layers(self) -> Layers:
        """Return the blocks by their size, the pixels first; with classes then their directions."""
        return {
            PROJECTION_LAYER if name == "mapping" else name: part
            for name, part in self.named_children()
        }

    def feature_steps(self) -> Steps:
        """Return the blocks before the epilogue."""
        return {name: part for name, part in self._blocks().items() if part is not self.b4}

    def forward(self, images: Images, classes: ClassWeights | None = None) -> Logits:
        """Map images (b, c, h, w), and their classes (b, k), to logits (b,).

        Without classes, where it knows some, they are judged as a little of each.
        """
        features = in_turn(self._blocks(), images)
        if not self.architecture.classes:
            return features.flatten().float()
        count = len(self.architecture.classes)
        judged = features.new_full((len(images), count), 1 / count) if classes is None else classes
        return self.mapping.score(features, judged)

    def __call__(self, images: Images, classes: ClassWeights | None = None) -> Logits:
        """Run the network."""
        return nn.Module.__call__(self, images, classes)

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
    """Return the channels at each size: twice as many at half the size, up to the most.

    Raises:
        SettingsError: The style names those of other sizes.
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


def build_styled(
    architecture: Architecture,
    rng: torch.Generator,
    *,
    generator: Callable[[Architecture, StyleArchitecture], Generator],
    usual: StyleArchitecture,
) -> NetworkPair:
    """Build ``generator`` and the discriminator of StyleGAN2 with fresh weights.

    Raises:
        SettingsError: The resolution is no power of two from 16 to 1024, or a normalisation is
            asked for.
    """
    refuse_resolution(architecture, RESOLUTIONS)
    refuse_normalisation(architecture)
    style = architecture.style or usual
    architecture = replace(architecture, style=style)
    pair = NetworkPair(generator(architecture, style), StyleGAN2Discriminator(architecture, style))
    for _, network in pair.items():
        start_scaled(network, rng)
    return pair


def start_scaled(network: nn.Module, rng: torch.Generator) -> None:
    """Draw the fresh weights of every part that knows how its own start."""
    for part in network.modules():
        start = getattr(part, "start", None)
        if callable(start):
            start(rng)


def register_styled(
    name: str,
    generator: Callable[[Architecture, StyleArchitecture], Generator],
    usual: StyleArchitecture,
    *,
    mixes_styles: bool = False,
) -> None:
    """Register the backbone ``name``."""
    BACKBONES.register(name)(
        Backbone(
            partial(build_styled, generator=generator, usual=usual),
            normalisation="none",
            settings=usual,
            objective="gan",
            mixes_styles=mixes_styles,
            bounded=False,
        )
    )


register_styled("stylegan2", StyleGAN2Generator, StyleArchitecture(), mixes_styles=True)
