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
    Candidate,
    Compared,
    Filter,
    Measure,
    Mode,
    Reading,
    Tools,
)

__all__ = [
    "FILTERS",
    "Candidate",
    "Compared",
    "Filter",
    "Measure",
    "Mode",
    "Reading",
    "Tools",
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
