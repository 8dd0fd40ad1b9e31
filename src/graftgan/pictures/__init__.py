"""Turn a folder of pictures into a checked, hashed, split image set."""

from graftgan.pictures.avatars import CC0_STYLES, render_avatars
from graftgan.pictures.classes import find_classes
from graftgan.pictures.decode import decode_whole, reasons_for_failure
from graftgan.pictures.image_set import ImageSet, load_image_set, load_picture, write_manifest
from graftgan.pictures.members import Unusable
from graftgan.pictures.mixture import Mixture, Part, mix_sets, parse_part
from graftgan.pictures.split import DataSettings, EndlessSampler, contents_of

__all__ = [
    "CC0_STYLES",
    "DataSettings",
    "EndlessSampler",
    "ImageSet",
    "Mixture",
    "Part",
    "Unusable",
    "contents_of",
    "decode_whole",
    "find_classes",
    "load_image_set",
    "load_picture",
    "mix_sets",
    "parse_part",
    "reasons_for_failure",
    "render_avatars",
    "write_manifest",
]
