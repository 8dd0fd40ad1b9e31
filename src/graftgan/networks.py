"""What the rooms agree a network is: a module that names its layers, and pairs of them."""

from abc import abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn

from graftgan.errors import SettingsError
from graftgan.tensors import Images, Latents, Logits

Layers = Mapping[str, nn.Module]
NO_LATENT_MAP = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class Architecture:
    """Everything needed to build a network pair again, as plain data for a card.

    Attributes:
        backbone: Name of the backbone in the registry.
        resolution: Height and width of the pictures, in pixels.
        channels: 1 for gray, 3 for colour.
        latent_size: Length of the latent vector.
        width: Channels of the widest-resolution feature map; deeper maps are multiples of it.
        generator_normalisation: ``batch``, ``instance``, ``layer`` or ``none``.
        discriminator_normalisation: The same for the discriminator.
        latent_map: What the generator maps draws from N(0, I) with before its own first layer.
    """

    backbone: str
    resolution: int
    channels: int = 3
    latent_size: int = 100
    width: int = 64
    generator_normalisation: str = "batch"
    discriminator_normalisation: str = "batch"
    latent_map: str = NO_LATENT_MAP

    def __post_init__(self) -> None:
        for name in ("resolution", "channels", "latent_size", "width"):
            if getattr(self, name) < 1:
                raise SettingsError(f"{name} must be at least 1, got {getattr(self, name)}")

    def as_dict(self) -> dict[str, Any]:
        """Return plain data that ``Architecture(**data)`` turns back."""
        return asdict(self)


class LayeredNetwork(nn.Module):
    """A network made of named layers, ordered from input to output.

    Every parameter and buffer lies in exactly one layer; the contract tests hold each registered
    backbone to that.
    """

    architecture: Architecture

    @abstractmethod
    def layers(self) -> Layers:
        """Return the layers by name, input first."""


class Generator(LayeredNetwork):
    """Turns latents into images."""

    @abstractmethod
    def forward(self, latents: Latents) -> Images:
        """Map latents (b, z) to images (b, c, h, w) in [-1, 1]."""

    def __call__(self, latents: Latents) -> Images:
        """Run the network."""
        return super().__call__(latents)


class Discriminator(LayeredNetwork):
    """Scores how real images look. Without a sigmoid at its end, so also a critic."""

    @abstractmethod
    def forward(self, images: Images) -> Logits:
        """Map images (b, c, h, w) in [-1, 1] to logits (b,)."""

    def __call__(self, images: Images) -> Logits:
        """Run the network."""
        return super().__call__(images)


@dataclass(frozen=True, slots=True)
class NetworkPair:
    """A generator with the discriminator that trains it."""

    generator: Generator
    discriminator: Discriminator

    @property
    def architecture(self) -> Architecture:
        """The common architecture of both networks."""
        return self.generator.architecture

    def items(self) -> Iterator[tuple[str, LayeredNetwork]]:
        """Yield ``("discriminator", D)`` and ``("generator", G)``, in the papers' order."""
        yield "discriminator", self.discriminator
        yield "generator", self.generator


def tensors_of(module: nn.Module) -> dict[str, Tensor]:
    """Return every parameter and buffer of ``module`` by name, detached, sharing memory."""
    return {name: tensor.detach() for name, tensor in module.state_dict().items()}


def draw_latents(
    count: int, latent_size: int, rng: torch.Generator, device: torch.device | str = "cpu"
) -> Latents:
    """Draw ``count`` latents from N(0, I), on ``device``.

    The numbers come from ``rng`` on its own device, so a CPU generator gives the same latents on
    every machine.
    """
    return torch.randn(count, latent_size, generator=rng, device=rng.device).to(device)
