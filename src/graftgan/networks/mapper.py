"""Mappers: what stands between a draw from N(0, I) and the latent that a generator takes.

Some methods of transfer do not change how the generator draws but which of its latents are drawn.
A mapper is then the generator's first layer, so that sampling, scoring, folding and every
plan work as they do without one. To add a map: register it in ``MAPPERS``.
"""

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import nn

from graftgan.core.errors import SettingsError
from graftgan.core.network_types import (
    MAPPER_LAYER,
    NO_MAPPER,
    Architecture,
    Generator,
    Layers,
    NetworkPair,
    Steps,
    StyledGenerator,
)
from graftgan.core.registry import Registry
from graftgan.core.tensors import Images, Latents, Styles
from graftgan.networks.blocks import start_by_fan_in

MAPPERS: Registry[Callable[[int, torch.Generator], nn.Module]] = Registry("mapper")


class MappedGenerator(Generator):
    """A generator behind a mapper, which is its first layer."""

    def __init__(self, inner: Generator, mapper: nn.Module, architecture: Architecture) -> None:
        super().__init__()
        self.architecture = architecture
        self.mapper = mapper
        self.inner = inner

    def layers(self) -> Layers:
        """Return ``mapper`` and the layers of the generator behind it."""
        return {MAPPER_LAYER: self.mapper, **self.inner.layers()}

    def steps(self) -> Steps:
        """Return the map and the steps of the generator behind it."""
        return {MAPPER_LAYER: self.mapper, **self.inner.steps()}

    def forward(self, latents: Latents) -> Images:
        """Map draws (b, z) from N(0, I) to images (b, c, h, w) in [-1, 1]."""
        return self.inner(self.mapper(latents))

    def in_training(self, latents: Latents, rng: torch.Generator) -> Images:
        """Map draws to images with the noise of the generator behind the map."""
        return self.inner.in_training(self.mapper(latents), rng)


class MappedStyledGenerator(MappedGenerator, StyledGenerator):
    """The same for a generator with styles."""

    inner: StyledGenerator

    @property
    def mean_style(self) -> torch.Tensor:
        """The mean (w,) of the styles of latents seen in training."""
        return self.inner.mean_style

    def styles(self, latents: Latents) -> Styles:
        """Map draws (b, z) to styles (b, n, w)."""
        return self.inner.styles(self.mapper(latents))

    def synthesize(self, styles: Styles, rng: torch.Generator | None = None) -> Images:
        """Map styles (b, n, w) to images."""
        return self.inner.synthesize(styles, rng)


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


class Miner(nn.Module):
    """z = u + V relu(W u + a) + b, which learns where in the latent space to draw from.

    Source: MineGAN (Wang et al. 2020, arXiv:1912.05270), whose code has linear, ReLU and linear of
    the latent's size. Differs: there z is the network's output and the start is random; here it is
    added to the draw and V starts at zero, so that the first pictures are exactly the source's.
    """

    def __init__(self, size: int, rng: torch.Generator) -> None:
        super().__init__()
        self.hidden = nn.Linear(size, size)
        self.shift = nn.Linear(size, size)
        start_by_fan_in(self.hidden, rng)  # as large as the draws, for V to learn from at once
        for start in (self.shift.weight, self.shift.bias):
            nn.init.zeros_(start)

    def forward(self, draws: Latents) -> Latents:
        """Map draws (b, z) to latents (b, z)."""
        return draws + self.shift(torch.relu(self.hidden(draws)))


def _none(size: int, rng: torch.Generator) -> nn.Module:
    del size, rng
    return nn.Identity()


def _affine(size: int, rng: torch.Generator) -> nn.Module:
    del rng
    return AffineMap(size)


MAPPERS.register(NO_MAPPER)(_none)
MAPPERS.register("affine")(_affine)
MAPPERS.register("miner")(Miner)


def behind_mapper(pair: NetworkPair, name: str, rng: torch.Generator) -> NetworkPair:
    """Return ``pair`` with its generator behind the mapper ``name``, fresh unless it has it.

    Raises:
        SettingsError: There is no such map, or the generator stands behind another one.
    """
    mapped = MAPPER_LAYER in pair.generator.layers()
    present = pair.architecture.mapper if mapped else NO_MAPPER
    if name == present:
        return pair
    if present != NO_MAPPER:
        raise SettingsError(
            f"the generator stands behind the mapper '{present}', which '{name}' cannot "
            "replace; choose another source"
        )
    architecture = replace(pair.architecture, mapper=name)
    mapper = MAPPERS[name](architecture.latent_size, rng)
    pair.discriminator.architecture = architecture
    styled = isinstance(pair.generator, StyledGenerator)
    mapped_kind = MappedStyledGenerator if styled else MappedGenerator
    return NetworkPair(mapped_kind(pair.generator, mapper, architecture), pair.discriminator)
