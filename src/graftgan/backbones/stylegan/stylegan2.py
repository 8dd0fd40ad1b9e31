"""StyleGAN2 (Karras et al. 2020, arXiv:1912.04958) in plain PyTorch, 16 to 1024 px.

Skips in the generator, residuals in the discriminator: the form the authors chose. Layers are the
mapping and then one block for each size; those of the discriminator come from the largest size
down, so that freezing the first is FreezeD.

Differs from the paper in the order of products of a modulated convolution (:mod:`modulation`).
"""

from itertools import pairwise

import torch
from torch import Tensor, nn

from graftgan.backbones.blocks import refuse_normalisation, refuse_resolution
from graftgan.backbones.registry import BACKBONES, Backbone
from graftgan.backbones.stylegan.judgement import Epilogue, ResidualBlock
from graftgan.backbones.stylegan.mapping import Mapping, for_each_layer
from graftgan.backbones.stylegan.synthesis import Block, Drawing, FirstBlock
from graftgan.networks import (
    Architecture,
    Discriminator,
    Generator,
    Layers,
    NetworkPair,
    Steps,
    StyleArchitecture,
    in_turn,
)
from graftgan.tensors import Images, Latents, Logits

RESOLUTIONS = (16, 32, 64, 128, 256, 512, 1024)
_SMALLEST = 4  # pixels


class StyleGAN2Generator(Generator):
    """Mapping, then a block for each size from 4 px on."""

    def __init__(self, architecture: Architecture, style: StyleArchitecture) -> None:
        super().__init__()
        self.architecture = architecture
        self.mapping = Mapping(
            architecture.latent_size,
            style.style_size,
            style.mapping_layers,
        )
        sides, widths = sides_of(architecture), widths_of(architecture, style)
        blocks: dict[str, nn.Module] = {
            f"b{_SMALLEST}": FirstBlock(
                widths[_SMALLEST], architecture.channels, style.style_size, _SMALLEST, style.clamp
            )
        }
        for small, large in pairwise(sides):
            blocks[f"b{large}"] = Block(
                widths[small],
                widths[large],
                architecture.channels,
                style.style_size,
                large,
                style.clamp,
            )
        self.synthesis = nn.ModuleDict(blocks)
        self._styles = 2 * len(sides)

    def layers(self) -> Layers:
        """Return the mapping, then the blocks ``b4``, ``b8``, ... by their size."""
        return {"mapping": self.mapping, **dict(self.synthesis.items())}

    def steps(self) -> Steps:
        """Return the layers; between them goes a drawing, after the mapping a style (b, w)."""
        return self._steps(noise=None)

    def forward(self, latents: Latents) -> Images:
        """Map latents (b, z) to images (b, c, h, w), with the noise that the network keeps."""
        return in_turn(self.steps(), latents)

    def in_training(self, latents: Latents, rng: torch.Generator) -> Images:
        """Map latents to images with fresh noise for each picture."""
        return in_turn(self._steps(noise=rng), latents)

    def _steps(self, noise: torch.Generator | None) -> Steps:
        names = list(self.synthesis)
        first, last = self.synthesis[names[0]], self.synthesis[names[-1]]

        def begin(styles: Tensor) -> Drawing:
            return first(Drawing(for_each_layer(styles, self._styles), noise=noise))

        return {
            **self.layers(),
            names[0]: begin,
            names[-1]: lambda drawing: last(drawing).pixels.float(),
        }


class StyleGAN2Discriminator(Discriminator):
    """A block for each size down to 8 px, then the epilogue at 4 px."""

    def __init__(self, architecture: Architecture, style: StyleArchitecture) -> None:
        super().__init__()
        self.architecture = architecture
        sides, widths = sides_of(architecture)[::-1], widths_of(architecture, style)
        for large, small in pairwise(sides):
            block = ResidualBlock(
                widths[large],
                widths[small],
                channels=architecture.channels if large == sides[0] else 0,
                clamp=style.clamp,
            )
            self.add_module(f"b{large}", block)
        self.b4 = Epilogue(
            widths[_SMALLEST], 1, _SMALLEST, group=style.minibatch_group, clamp=style.clamp
        )

    def layers(self) -> Layers:
        """Return the blocks by their size, the pixels first."""
        return dict(self.named_children())

    def forward(self, images: Images) -> Logits:
        """Map images (b, c, h, w) to logits (b,)."""
        return in_turn(self.layers(), images).flatten().float()


def sides_of(architecture: Architecture) -> list[int]:
    """Return the sizes of the blocks, from 4 px up to that of the pictures."""
    return [2**power for power in range(2, architecture.resolution.bit_length())]


def widths_of(architecture: Architecture, style: StyleArchitecture) -> dict[int, int]:
    """Return the channels at each size: twice as many at half the size, up to the most."""
    total = architecture.width * architecture.resolution
    return {side: min(total // side, style.most_channels) for side in sides_of(architecture)}


def build_stylegan2(architecture: Architecture, rng: torch.Generator) -> NetworkPair:
    """Build the pair with fresh weights.

    Raises:
        SettingsError: The resolution is no power of two from 16 to 1024, or a normalisation is
            asked for.
    """
    refuse_resolution(architecture, RESOLUTIONS)
    refuse_normalisation(architecture)
    style = architecture.style or StyleArchitecture()
    pair = NetworkPair(
        StyleGAN2Generator(architecture, style), StyleGAN2Discriminator(architecture, style)
    )
    for _, network in pair.items():
        start_scaled(network, rng)
    return pair


def start_scaled(network: nn.Module, rng: torch.Generator) -> None:
    """Draw the fresh weights of every part that knows how its own start."""
    for part in network.modules():
        start = getattr(part, "start", None)
        if callable(start):
            start(rng)


BACKBONES.register("stylegan2")(
    Backbone(build_stylegan2, normalisation="none", style=StyleArchitecture(), bounded=False)
)
