"""Generators and discriminators as plain modules that name their layers.

To add one: a file that registers a builder in ``BACKBONES``, and its import here.
"""

from graftgan.networks import began as began
from graftgan.networks import dcgan as dcgan
from graftgan.networks import mlp as mlp
from graftgan.networks import sngan as sngan
from graftgan.networks import stylegan as stylegan
from graftgan.networks.backbone import (
    BACKBONES,
    blank_pair,
    build_pair,
    own_fields,
    own_settings,
    surrounded,
)
from graftgan.networks.blocks import NORMALISATIONS
from graftgan.networks.mapper import MAPPERS, behind_mapper
from graftgan.networks.settings import OWN_SETTINGS, NetworkSettings

__all__ = [
    "BACKBONES",
    "MAPPERS",
    "NORMALISATIONS",
    "OWN_SETTINGS",
    "NetworkSettings",
    "behind_mapper",
    "blank_pair",
    "build_pair",
    "own_fields",
    "own_settings",
    "surrounded",
]
