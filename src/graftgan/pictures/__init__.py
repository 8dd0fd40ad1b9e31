"""Turn a folder of pictures into a checked, hashed, split image set."""

from graftgan.pictures.avatars import CC0_STYLES as CC0_STYLES
from graftgan.pictures.avatars import render_avatars as render_avatars
from graftgan.pictures.classes import find_classes as find_classes
from graftgan.pictures.decode import decode_whole as decode_whole
from graftgan.pictures.decode import reasons_for_failure as reasons_for_failure
from graftgan.pictures.image_set import ImageSet as ImageSet
from graftgan.pictures.image_set import load_image_set as load_image_set
from graftgan.pictures.image_set import load_picture as load_picture
from graftgan.pictures.members import Unusable as Unusable
from graftgan.pictures.mixture import Part as Part
from graftgan.pictures.mixture import mix_sets as mix_sets
from graftgan.pictures.mixture import parse_part as parse_part
from graftgan.pictures.split import DataSettings as DataSettings
from graftgan.pictures.split import EndlessSampler as EndlessSampler
from graftgan.pictures.split import contents_of as contents_of
