"""Draw what others measured: grids, curves, charts, and one look for every page.

A page is one HTML file that needs nothing beside it: the pictures, the curves and the style lie
inside. Every page extends ``templates/base.html`` and is put together from the macros of
``templates/parts.html``.
"""

from graftgan.reports.drawing import curve_svg, in_words
from graftgan.reports.grid import (
    Thumbnail,
    labelled_strip,
    neighbour_gallery,
    pairs_in_rows,
    picture_grid,
    save_png,
    strip_of,
    thumbnail,
)
from graftgan.reports.page import duration

__all__ = [
    "Thumbnail",
    "curve_svg",
    "duration",
    "in_words",
    "labelled_strip",
    "neighbour_gallery",
    "pairs_in_rows",
    "picture_grid",
    "save_png",
    "strip_of",
    "thumbnail",
]
