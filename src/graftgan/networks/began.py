"""BEGAN (Berthelot et al. 2017, arXiv:1703.10717): a discriminator that is an auto-encoder.

The generator and the discriminator's decoder have one architecture: a linear layer to 8 x 8 maps,
then at each size two 3 x 3 convolutions with ELU, and nearest-neighbour upsampling between sizes.
The encoder has as many convolutions, grows by ``width`` channels at each size, halves the size by
convolutions of stride 2 and ends in a linear code as long as the latent. No normalisation.

Differs from the paper: generator and decoder end in Tanh (pictures are in [-1, 1]), latents come
from N(0, I) instead of a uniform distribution, no vanishing residuals (section 3.5.1); the initial
weights keep the size of the features, as the paper states none.
"""

from functools import partial

from torch import nn

from graftgan.core.network_types import Architecture, Discriminator, Images, Layers, Logits, in_turn
from graftgan.networks.backbone import BACKBONES, Backbone
from graftgan.networks.blocks import (
    SIDES,
    Stacked,
    StackedGenerator,
    builder_of,
    named_layers,
    start_by_fan_in,
)

_SMALLEST = 8  # pixels: the maps at the linear layers
_ELU_GAIN = 1.55  # 1 / E elu(x)^2 for x ~ N(0, 1)


class BEGANGenerator(StackedGenerator):
    """``layer1`` maps the latent to 8x8, each further one doubles the size, the last draws."""

    def __init__(self, architecture: Architecture) -> None:
        super().__init__(architecture, _decoder(architecture))


class BEGANDiscriminator(Stacked, Discriminator):
    """An auto-encoder of pixels, whose score is the negative reconstruction error."""

    def __init__(self, architecture: Architecture) -> None:
        encoder = _encoder(architecture)
        super().__init__(architecture, [*encoder, *_decoder(architecture)])
        self._depth = len(encoder)

    def feature_steps(self) -> Layers:
        """Return the encoder's layers."""
        return dict(list(self.blocks.items())[: self._depth])

    def forward(self, images: Images) -> Logits:
        """Map images (b, c, h, w) to scores (b,): the negative of L(v) = mean |v - D(v)|."""
        return -(images - in_turn(self.layers(), images)).abs().flatten(1).mean(dim=1)


def _sizes(architecture: Architecture) -> int:
    """Return the number of sizes, from 8 x 8 to the picture's own."""
    return (architecture.resolution // _SMALLEST).bit_length()


def _decoder(architecture: Architecture) -> list[nn.Module]:
    width = architecture.width
    linear = nn.Linear(architecture.latent_size, width * _SMALLEST**2)
    maps = nn.Unflatten(1, (width, _SMALLEST, _SMALLEST))
    layers: list[nn.Module] = [
        named_layers(linear=linear, maps=maps, **_two_convolutions(width, width))
    ]
    for _ in range(_sizes(architecture) - 1):
        doubled = nn.Upsample(scale_factor=2)
        layers.append(named_layers(doubled=doubled, **_two_convolutions(width, width)))
    pixels = nn.Conv2d(width, architecture.channels, 3, padding=1)
    return [*layers, named_layers(conv=pixels, activation=nn.Tanh())]


def _encoder(architecture: Architecture) -> list[nn.Module]:
    width, sizes = architecture.width, _sizes(architecture)
    layers: list[nn.Module] = []
    for number in range(1, sizes + 1):
        inputs, maps = (number - 1) * width or architecture.channels, number * width
        parts = _two_convolutions(inputs, maps)
        if number < sizes:
            parts["halved"] = nn.Conv2d(maps, maps, 3, stride=2, padding=1)
            parts["halved_activation"] = nn.ELU()
        else:
            parts["flatten"] = nn.Flatten()
            parts["code"] = nn.Linear(maps * _SMALLEST**2, architecture.latent_size)
        layers.append(named_layers(**parts))
    return layers


def _two_convolutions(inputs: int, outputs: int) -> dict[str, nn.Module]:
    return {
        "conv1": nn.Conv2d(inputs, outputs, 3, padding=1),
        "activation1": nn.ELU(),
        "conv2": nn.Conv2d(outputs, outputs, 3, padding=1),
        "activation2": nn.ELU(),
    }


_start = partial(start_by_fan_in, gain=_ELU_GAIN)
BACKBONES.register("began")(
    Backbone(
        builder_of(BEGANGenerator, BEGANDiscriminator, _start, sides=SIDES, normalises=False),
        normalisation="none",
        autoencodes=True,
        objective="began",
    )
)
