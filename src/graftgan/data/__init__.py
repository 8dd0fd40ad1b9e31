"""Turn a folder of pictures into a checked, hashed, split image set."""

from graftgan.data.avatars import CC0_STYLES, render_avatars
from graftgan.data.classes import find_classes
from graftgan.data.collect import Skipped
from graftgan.data.image_set import ImageSet, load_image_set, load_picture, write_manifest
from graftgan.data.mix import Mixture, Part, mix, parse_part
from graftgan.data.sampler import EndlessSampler
from graftgan.data.settings import DataSettings

__all__ = [
    "CC0_STYLES",
    "DataSettings",
    "EndlessSampler",
    "ImageSet",
    "Mixture",
    "Part",
    "Skipped",
    "find_classes",
    "load_image_set",
    "load_picture",
    "mix",
    "parse_part",
    "render_avatars",
    "write_manifest",
]
