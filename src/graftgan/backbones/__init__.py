"""Generators and discriminators as plain modules that name their layers.

To add one: a file that registers a builder in ``BACKBONES``, and its import here.
"""

from graftgan.backbones import began as began
from graftgan.backbones import dcgan as dcgan
from graftgan.backbones import mlp as mlp
from graftgan.backbones import sngan as sngan
from graftgan.backbones import stylegan as stylegan
from graftgan.backbones.blocks import NORMALISATIONS
from graftgan.backbones.latent_map import LATENT_MAPS, behind_latent_map
from graftgan.backbones.registry import BACKBONES, blank_pair, build_pair, surrounded

__all__ = [
    "BACKBONES",
    "LATENT_MAPS",
    "NORMALISATIONS",
    "behind_latent_map",
    "blank_pair",
    "build_pair",
    "surrounded",
]
