"""Things that can be found in a picture: each is one file and one import here."""

from graftgan.pictures.curation.filters import appearance as appearance
from graftgan.pictures.curation.filters import face as face
from graftgan.pictures.curation.filters import outlier as outlier
from graftgan.pictures.curation.filters import text as text
from graftgan.pictures.curation.filters.filter import (
    FILTERS,
    Compared,
    Filter,
    FilterFunction,
    Mode,
    Reading,
    Tools,
    UnrejectedPicture,
)

__all__ = [
    "FILTERS",
    "Compared",
    "Filter",
    "FilterFunction",
    "Mode",
    "Reading",
    "Tools",
    "UnrejectedPicture",
]
