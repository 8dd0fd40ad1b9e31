"""Things that can be found in a picture: each is one file and one import here."""

from graftgan.pictures.curation.filters import (
    blurred,
    border,
    duplicate,
    face,
    gray,
    outlier,
    overlay,
    shape,
    text,
)
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
    "blurred",
    "border",
    "duplicate",
    "face",
    "gray",
    "outlier",
    "overlay",
    "shape",
    "text",
]
