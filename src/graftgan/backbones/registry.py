"""The list of backbones."""

from dataclasses import dataclass
from typing import Protocol

import torch

from graftgan.backbones.latent_map import behind_latent_map
from graftgan.networks import Architecture, NetworkPair
from graftgan.registry import Registry


class BackboneBuilder(Protocol):
    """Builds a network pair with fresh weights drawn from ``rng``."""

    def __call__(self, architecture: Architecture, rng: torch.Generator) -> NetworkPair:
        """Build the pair."""
        ...


@dataclass(frozen=True, slots=True)
class Backbone:
    """A kind of network pair.

    Attributes:
        build: Makes one.
        normalisation: What its networks use where the settings say nothing.
    """

    build: BackboneBuilder
    normalisation: str


BACKBONES: Registry[Backbone] = Registry("backbone")


def build_pair(architecture: Architecture, rng: torch.Generator | None = None) -> NetworkPair:
    """Build the pair that ``architecture`` describes; without ``rng`` from a fixed seed.

    Raises:
        SettingsError: The backbone or a normalisation is unknown, or the resolution does not fit.
    """
    rng = torch.Generator().manual_seed(0) if rng is None else rng
    pair = BACKBONES[architecture.backbone].build(architecture, rng)
    return behind_latent_map(pair, architecture.latent_map, rng)
