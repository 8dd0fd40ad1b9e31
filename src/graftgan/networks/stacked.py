"""Networks that are one layer after the other, named ``layer1``, ``layer2``, ..."""

from collections.abc import Sequence

from torch import nn

from graftgan.core.network_types import (
    Architecture,
    Discriminator,
    Generator,
    LayeredNetwork,
    Layers,
    in_turn,
)
from graftgan.core.tensors import Images, Latents, Logits


class Stacked(LayeredNetwork):
    """Holds the layers, input first."""

    def __init__(self, architecture: Architecture, layers: Sequence[nn.Module]) -> None:
        super().__init__()
        self.architecture = architecture
        self.blocks = numbered(layers)

    def layers(self) -> Layers:
        """Return the layers, input first."""
        return dict(self.blocks.items())


class StackedGenerator(Stacked, Generator):
    """A generator whose steps, one after the other, are all it does."""

    def forward(self, latents: Latents) -> Images:
        """Map latents (b, z) to images (b, c, h, w) in [-1, 1]."""
        return in_turn(self.steps(), latents)


class StackedDiscriminator(Stacked, Discriminator):
    """A discriminator whose last layer makes the score of the features."""

    def forward(self, images: Images) -> Logits:
        """Map images (b, c, h, w) in [-1, 1] to logits (b,)."""
        score = self.blocks[f"layer{len(self.blocks)}"]
        return score(in_turn(self.feature_steps(), images)).flatten()


def numbered(layers: Sequence[nn.Module]) -> nn.ModuleDict:
    """Return ``layers`` by their names."""
    return nn.ModuleDict({f"layer{number}": layer for number, layer in enumerate(layers, start=1)})
