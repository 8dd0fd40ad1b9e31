"""Turn a folder of pictures into a checked, hashed, split image set."""

from graftgan.data.avatars import CC0_STYLES, render_avatars
from graftgan.data.classes import find_classes
from graftgan.data.collect import Content, Member, Skipped, Source, Unusable, find_source
from graftgan.data.decode import decode_whole, file_of, reasons_for_failure
from graftgan.data.image_set import ImageSet, load_image_set, load_picture, write_manifest
from graftgan.data.mix import Mixture, Part, mix, parse_part
from graftgan.data.sampler import EndlessSampler
from graftgan.data.settings import DataSettings

__all__ = [
    "CC0_STYLES",
    "Content",
    "DataSettings",
    "EndlessSampler",
    "ImageSet",
    "Member",
    "Mixture",
    "Part",
    "Skipped",
    "Source",
    "Unusable",
    "decode_whole",
    "file_of",
    "find_classes",
    "find_source",
    "load_image_set",
    "load_picture",
    "mix",
    "parse_part",
    "reasons_for_failure",
    "render_avatars",
    "write_manifest",
]
