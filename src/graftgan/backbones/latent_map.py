"""Latent maps: what stands between a draw from N(0, I) and the latent that a generator takes.

Some methods of transfer do not change how the generator draws but which of its latents are drawn.
A latent map is then the generator's first layer, so that sampling, scoring, folding and every
plan work as they do without one. To add a map: register it in ``LATENT_MAPS``.
"""

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import nn

from graftgan.backbones.blocks import start_weights
from graftgan.errors import SettingsError
from graftgan.networks import NO_LATENT_MAP, Architecture, Generator, Layers, NetworkPair
from graftgan.registry import Registry
from graftgan.tensors import Images, Latents

LATENT_MAPS: Registry[Callable[[int, torch.Generator], nn.Module]] = Registry("latent map")
LAYER = "latent_map"


class MappedGenerator(Generator):
    """A generator behind a latent map, which is its first layer."""

    def __init__(self, inner: Generator, latent_map: nn.Module, architecture: Architecture) -> None:
        super().__init__()
        self.architecture = architecture
        self.latent_map = latent_map
        self.inner = inner

    def layers(self) -> Layers:
        """Return ``latent_map`` and the layers of the generator behind it."""
        return {LAYER: self.latent_map, **self.inner.layers()}

    def forward(self, latents: Latents) -> Images:
        """Map draws (b, z) from N(0, I) to images (b, c, h, w) in [-1, 1]."""
        return self.inner(self.latent_map(latents))


class AffineMap(nn.Module):
    """z = mean + factor u: draws from N(mean, factor factor^T). It starts as the identity."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(size))
        self.register_buffer("factor", torch.eye(size))
        self.mean: torch.Tensor
        self.factor: torch.Tensor

    def forward(self, draws: Latents) -> Latents:
        """Map draws (b, z) to latents (b, z)."""
        return torch.addmm(self.mean, draws, self.factor.T)


def _none(size: int, rng: torch.Generator) -> nn.Module:
    del size, rng
    return nn.Identity()


def _affine(size: int, rng: torch.Generator) -> nn.Module:
    del rng
    return AffineMap(size)


def _miner(size: int, rng: torch.Generator) -> nn.Module:
    """Return an MLP of two layers (Wang et al. 2020, arXiv:1912.05270)."""
    width = 4 * size
    miner = nn.Sequential(nn.Linear(size, width), nn.ReLU(), nn.Linear(width, size))
    start_weights(miner, rng)
    return miner


LATENT_MAPS.register(NO_LATENT_MAP)(_none)
LATENT_MAPS.register("affine")(_affine)
LATENT_MAPS.register("miner")(_miner)


def behind_latent_map(pair: NetworkPair, name: str, rng: torch.Generator) -> NetworkPair:
    """Return ``pair`` with its generator behind the latent map ``name``, fresh unless it has it.

    Raises:
        SettingsError: There is no such map, or the generator stands behind another one.
    """
    present = LAYER in pair.generator.layers()
    if name == NO_LATENT_MAP or (present and pair.architecture.latent_map == name):
        return pair
    if present:
        raise SettingsError(
            f"the generator stands behind the latent map '{pair.architecture.latent_map}' already, "
            f"so '{name}' cannot be put before it; choose another source"
        )
    architecture = replace(pair.architecture, latent_map=name)
    latent_map = LATENT_MAPS[name](architecture.latent_size, rng)
    pair.discriminator.architecture = architecture
    return NetworkPair(
        MappedGenerator(pair.generator, latent_map, architecture), pair.discriminator
    )
