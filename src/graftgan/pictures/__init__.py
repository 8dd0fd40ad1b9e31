"""Turn a folder of pictures into a checked, hashed, split image set."""

from graftgan.pictures.avatars import CC0_STYLES, render_avatars
from graftgan.pictures.classes import find_classes
from graftgan.pictures.containers import find_container
from graftgan.pictures.decode import (
    Whole,
    decode_large_under,
    decode_whole,
    file_of,
    reasons_for_failure,
)
from graftgan.pictures.file_kinds import is_heif, is_jpeg_xl
from graftgan.pictures.image_set import ImageSet, load_image_set, load_picture, write_manifest
from graftgan.pictures.members import Container, Content, Member, Skipped, Unusable
from graftgan.pictures.mixture import Mixture, Part, mix_sets, parse_part
from graftgan.pictures.sampler import EndlessSampler
from graftgan.pictures.settings import DataSettings
from graftgan.pictures.split import contents_of, first_of_each

__all__ = [
    "CC0_STYLES",
    "Container",
    "Content",
    "DataSettings",
    "EndlessSampler",
    "ImageSet",
    "Member",
    "Mixture",
    "Part",
    "Skipped",
    "Unusable",
    "Whole",
    "contents_of",
    "decode_large_under",
    "decode_whole",
    "file_of",
    "find_classes",
    "find_container",
    "first_of_each",
    "is_heif",
    "is_jpeg_xl",
    "load_image_set",
    "load_picture",
    "mix_sets",
    "parse_part",
    "reasons_for_failure",
    "render_avatars",
    "write_manifest",
]
